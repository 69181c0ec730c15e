//! What clients want, and the commands that ask for it.

use aggregates::account::{AccountCommand, AccountKind, PolicyChange, TradingState};
use aggregates::id::{AccountId, CommandId, InstrumentId, OrderId};
use aggregates::instrument::{InstrumentCommand, InstrumentKind};
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{
    CancelReason, Exits, OrderChange, OrderClass, OrderSpec, OrderType, Side, StopLoss, TakeProfit,
    TimeInForce, Trail, TriggerBy,
};
use aggregates::trading::Command;
use blotter::ledger::memory::Dice;

use crate::checker::Checker;
use crate::clients::fresh;
use crate::market::{Board, SYMBOLS, UNDERLYING, is_option, listed, pick, price};
use crate::options::{self, OptionWish};

/// What a client wants, whatever ids an attempt gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    Open {
        cash: u64,
        margin: bool,
        /// What it may do with options.
        level: u8,
    },
    Deposit {
        account: AccountId,
        amount: u64,
    },
    Withdraw {
        account: AccountId,
        amount: u64,
    },
    Place {
        account: AccountId,
        symbol: &'static str,
        sell: bool,
        qty: u64,
        limit: Option<u64>,
        stop: Option<u64>,
        trail: Option<u64>,
        /// The take-profit and the stop-loss, in cents.
        exits: (Option<u64>, Option<u64>),
        /// They are for shares that are held, and no other order is.
        oco: bool,
    },
    Cancel {
        account: AccountId,
        order: OrderId,
    },
    CancelAll {
        account: AccountId,
    },
    Replace {
        account: AccountId,
        order: OrderId,
        /// What it is for.
        spec: Box<OrderSpec>,
        qty: Option<u64>,
        limit: Option<i64>,
    },
    /// Something of options.
    Options {
        account: AccountId,
        wish: OptionWish,
    },
    List {
        symbol: &'static str,
    },
    /// Limits on losses: dollars a day, percent of the highest equity.
    Limit {
        account: AccountId,
        daily: Option<u64>,
        drawdown: Option<u64>,
        /// Sets the account active.
        active: bool,
    },
    /// Of the engine, by its own ids: sent as it stands.
    Engine(Box<Command>, u64),
}

fn money(dollars: u64) -> Money {
    dollars.to_string().parse().unwrap()
}

/// A price of so many cents.
fn cents(cents: u64) -> Price {
    price(cents as i64)
}

/// Something that a client might want now: mostly of options, if they are `traded`.
pub fn wish(dice: &mut Dice, log: &Checker, board: &Board, traded: bool) -> Wish {
    let accounts: Vec<AccountId> = log.accounts.keys().copied().collect();
    let on_sale: Vec<_> = listed().take(if traded { usize::MAX } else { SYMBOLS.len() }).collect();
    let known = |symbol: &&str| log.instruments.contains_key(&InstrumentId::of_symbol(symbol));
    let unknown: Vec<_> = on_sale.iter().filter(|symbol| !known(symbol)).collect();
    if let Some(symbol) = pick(dice, &unknown).filter(|_| dice.permille(300)) {
        return Wish::List { symbol };
    }
    let Some(account) = pick(dice, &accounts).copied().filter(|_| dice.permille(950)) else {
        let (cash, margin) = (dice.below(if traded { 60_000 } else { 3_000 }), dice.permille(400));
        let level = if traded { dice.below(if margin { 5 } else { 3 }) as u8 } else { 0 };
        return Wish::Open { cash, margin, level };
    };
    if traded && dice.permille(550) {
        return Wish::Options { account, wish: options::wish(dice, log, board, account) };
    }
    let symbol = match traded && dice.permille(600) {
        true => UNDERLYING,
        false => *pick(dice, &SYMBOLS).unwrap(),
    };
    match dice.below(27) {
        24.. => Wish::Limit {
            account,
            daily: dice.permille(700).then(|| 1 + dice.below(30)),
            drawdown: dice.permille(500).then(|| 1 + dice.below(3)),
            active: dice.permille(500),
        },
        0 => Wish::Deposit { account, amount: dice.below(500) },
        1..3 => Wish::Withdraw { account, amount: dice.below(1_500) },
        3..7 => {
            let orders: Vec<(OrderId, AccountId)> = log
                .orders
                .iter()
                .filter_map(|(id, order)| Some((*id, order.spec()?.account_id)))
                .collect();
            match pick(dice, &orders) {
                // Sometimes of another account, or of none.
                Some((order, owner)) if dice.permille(900) => {
                    Wish::Cancel { account: *owner, order: *order }
                }
                _ => Wish::Cancel { account, order: OrderId::new(fresh(dice)) },
            }
        }
        20 => Wish::CancelAll { account },
        21..24 => {
            let open = log.orders.iter().filter(|(_, order)| order.is_open());
            let open: Vec<(OrderId, &OrderSpec)> =
                open.filter_map(|(id, order)| Some((*id, order.spec()?))).collect();
            let Some((order, spec)) = pick(dice, &open).copied() else {
                return Wish::CancelAll { account };
            };
            let (account, spec) = (spec.account_id, Box::new(spec.clone()));
            let qty = dice.permille(600).then(|| dice.below(10));
            let from = if spec.is_of_options() { -500 } else { 9_000 };
            let limit = dice.permille(500).then(|| from + dice.below(2_000) as i64);
            Wish::Replace { account, order, spec, qty, limit }
        }
        _ => {
            let (sell, oco) = (dice.permille(400), dice.permille(500));
            // What options are on is wanted by the hundred.
            let lot = if symbol == UNDERLYING && dice.permille(700) { 100 } else { 1 };
            let above = dice.permille(800).then(|| 10_001 + dice.below(1_500));
            let below = dice.permille(800).then(|| 9_000 + dice.below(1_000));
            Wish::Place {
                account,
                symbol: if dice.permille(20) { "NONE" } else { symbol },
                sell,
                qty: lot * dice.below(if lot > 1 { 3 } else { 8 }),
                limit: dice.permille(700).then(|| 9_000 + dice.below(2_000)),
                stop: dice.permille(300).then(|| 9_000 + dice.below(2_000)),
                trail: dice.permille(200).then(|| 1 + dice.below(500)),
                exits: match (dice.permille(400), sell == oco) {
                    (true, true) => (above, below),
                    (true, false) => (below, above),
                    (false, _) => (None, None),
                },
                oco,
            }
        }
    }
}

/// The command of a wish, with ids of its own.
pub fn command(dice: &mut Dice, wish: &Wish, board: &Board) -> Command {
    let id = CommandId::new(fresh(dice));
    match wish {
        Wish::Engine(command, _) => (**command).clone(),
        Wish::Options { account, wish } => wish.command(dice, board, *account),
        Wish::Open { cash, margin, level } => {
            let account_id = AccountId::new(fresh(dice));
            let command = AccountCommand::Open {
                account_id,
                kind: if *margin { AccountKind::Margin } else { AccountKind::Cash },
                option_level: *level,
                name_digest: String::new(),
                starting_balance: money(*cash),
                deposit_id: id,
                at: None,
            };
            Command::Account { account_id, command }
        }
        Wish::Deposit { account, amount } => Command::Account {
            account_id: *account,
            command: AccountCommand::Deposit { deposit_id: id, amount: money(*amount), at: None },
        },
        Wish::Withdraw { account, amount } => Command::Withdraw {
            account_id: *account,
            withdrawal_id: id,
            amount: money(*amount),
            marks: board.marks.clone(),
            at: None,
        },
        Wish::Cancel { account, order } => Command::Cancel {
            account_id: *account,
            order_id: *order,
            reason: CancelReason::Requested,
            at: board.at,
        },
        Wish::CancelAll { account } => {
            Command::CancelAll { account_id: *account, kind: None, at: Some(board.at) }
        }
        Wish::Replace { account, order, spec, qty, limit } => {
            let change = OrderChange {
                qty: qty.map(|qty| qty.to_string().parse().unwrap()),
                limit_price: limit.map(price),
                ..OrderChange::default()
            };
            Command::Replace {
                account_id: *account,
                order_id: *order,
                change,
                seen: None,
                market: board.view(spec),
            }
        }
        Wish::Limit { account, daily, drawdown, active } => {
            let change = PolicyChange {
                trading_state: active.then_some(TradingState::Active),
                max_daily_loss: Some(daily.map(money)),
                max_drawdown_pct: Some(
                    drawdown.map(|percent| percent.to_string().parse().unwrap()),
                ),
                ..PolicyChange::default()
            };
            Command::Account {
                account_id: *account,
                command: AccountCommand::ChangePolicy { change },
            }
        }
        Wish::List { symbol } => {
            let instrument_id = InstrumentId::of_symbol(symbol);
            let command = InstrumentCommand::List {
                instrument_id,
                symbol: (*symbol).to_owned(),
                name: (*symbol).to_owned(),
                kind: if is_option(symbol) {
                    InstrumentKind::Option
                } else {
                    InstrumentKind::Stock
                },
                at: None,
            };
            Command::Instrument { instrument_id, command }
        }
        Wish::Place { account, symbol, sell, qty, limit, stop, trail, exits, oco } => {
            let order_id = OrderId::new(fresh(dice));
            let (profit, loss) = exits;
            let limit = limit.filter(|_| trail.is_none());
            let stop = stop.filter(|_| trail.is_none());
            let offset = trail.filter(|trail| trail % 5 < 2).map(|trail| trail % 50);
            let at_once = stop.is_none() && trail.is_none();
            let auctioned = at_once && *qty == 3;
            let take_profit = profit.map(|limit| TakeProfit { limit_price: cents(limit) });
            let stop_loss = loss.map(|stop| StopLoss {
                stop_price: cents(stop),
                limit_price: (stop % 3 == 0)
                    .then(|| cents(if sell == oco { stop - 10 } else { stop + 10 })),
            });
            // Some of them are no orders that can be: the ledger refuses them.
            let order_class = match (oco, take_profit, stop_loss) {
                (_, None, None) => OrderClass::Simple,
                (true, ..) => OrderClass::Oco,
                (false, Some(_), Some(_)) => OrderClass::Bracket,
                (false, ..) => OrderClass::Oto,
            };
            let exits = match order_class {
                OrderClass::Simple => None,
                OrderClass::Oco => Some(Box::new(Exits { take_profit: None, stop_loss })),
                _ => Some(Box::new(Exits { take_profit, stop_loss })),
            };
            let spec = OrderSpec {
                account_id: *account,
                instrument_id: InstrumentId::of_symbol(symbol),
                symbol: (*symbol).to_owned(),
                side: if *sell { Side::Sell } else { Side::Buy },
                order_type: match (stop, limit) {
                    _ if offset.is_some() => OrderType::TrailingStopLimit,
                    _ if trail.is_some() => OrderType::TrailingStop,
                    (None, None) => OrderType::Market,
                    (None, Some(_)) => OrderType::Limit,
                    (Some(_), None) => OrderType::Stop,
                    (Some(_), Some(_)) => OrderType::StopLimit,
                },
                qty: qty.to_string().parse::<Quantity>().unwrap(),
                notional: (*qty == 0 && at_once && limit.is_none()).then(|| money(1_000)),
                limit_price: limit.map(cents),
                stop_price: stop.map(cents),
                // Hundredths of a percent, or cents.
                trail: trail.map(|trail| {
                    let distance = cents(trail);
                    if trail % 3 == 0 { Trail::Percent(distance) } else { Trail::Price(distance) }
                }),
                limit_offset: offset.map(cents),
                activation_price: trail
                    .filter(|trail| trail % 7 < 3)
                    .map(|trail| cents(9_000 + 4 * trail)),
                trigger_by: stop
                    .or(*trail)
                    .map(|at| if at % 2 == 0 { TriggerBy::Quote } else { TriggerBy::Last }),
                good_till: None,
                time_in_force: if auctioned { TimeInForce::Opg } else { TimeInForce::Day },
                extended_hours: at_once && !auctioned && limit.is_some() && qty % 2 == 0,
                order_class,
                client_order_id: order_id.to_string(),
                note_digest: None,
                contract: None,
                position_intent: None,
                legs: None,
                parent_order_id: None,
                exits,
            };
            let market = board.view(&spec);
            Command::Place { order_id, spec, market }
        }
    }
}
