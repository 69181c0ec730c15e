//! Clients: what they ask, under which keys, what they were told, and what that obliges the log to.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::account::{AccountCommand, AccountKind, PolicyChange, TradingState};
use aggregates::id::{
    AccountId, ActorId, CommandId, ENGINE, InstrumentId, MARKET_TENANT, OPERATOR, OPERATOR_TENANT,
    OrderId, RequestId, TenantId,
};
use aggregates::instrument::{InstrumentCommand, InstrumentKind};
use aggregates::margin::{Mark, Marks};
use aggregates::market::{MarketTime, Reference};
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{
    CancelReason, Exits, OrderChange, OrderClass, OrderSpec, OrderType, Side, StopLoss, TakeProfit,
    TimeInForce, Trail, TriggerBy,
};
use aggregates::refusal::RefusalCode;
use aggregates::trading::{AuctionEntry, Command, MarketView};
use blotter::engine::replay::causation;
use blotter::ledger::log::KeyRow;
use blotter::ledger::memory::{Dice, MemoryStore};
use blotter::ledger::{Committed, Interface, Key, LedgerError, Origin, Submission};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::checker::Checker;

pub const SYMBOLS: [&str; 2] = ["AAPL", "MSFT"];

/// What a client wants, whatever ids an attempt gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    Open {
        cash: u64,
        margin: bool,
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
        qty: Option<u64>,
        limit: Option<u64>,
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

/// One submission that was sent, and what is known of it.
#[derive(Debug)]
pub struct Attempt {
    pub wish: Wish,
    pub key: Option<Key>,
    pub submission: Submission,
    pub answer: Option<Result<Committed, LedgerError>>,
    /// Its process crashed: nobody will answer.
    pub lost: bool,
}

impl Attempt {
    /// Whether a client may not rely on its not having happened.
    pub fn is_in_doubt(&self) -> bool {
        self.lost || matches!(self.answer, Some(Err(LedgerError::OutcomeUnknown)))
    }
}

#[derive(Default)]
pub struct Clients {
    pub attempts: Vec<Attempt>,
    /// Commands that were refused: the log must never name them.
    denied: BTreeSet<String>,
    /// By key: the outcome that was told.
    told: BTreeMap<Uuid, Uuid>,
    carried_out: BTreeSet<Uuid>,
    keys: u64,
}

fn price(cents: u64) -> Price {
    format!("{}.{:02}", cents / 100, cents % 100).parse().unwrap()
}

pub fn noon() -> MarketTime {
    "2024-01-17T17:00:00Z".parse().unwrap()
}

fn money(dollars: u64) -> Money {
    dollars.to_string().parse().unwrap()
}

pub fn fresh(dice: &mut Dice) -> Uuid {
    Uuid::from_u64_pair(dice.any(), dice.any())
}

fn pick<'a, T>(dice: &mut Dice, from: &'a [T]) -> Option<&'a T> {
    if from.is_empty() { None } else { from.get(dice.below(from.len() as u64) as usize) }
}

/// Something that a client might want now.
pub fn wish(dice: &mut Dice, log: &Checker) -> Wish {
    let accounts: Vec<AccountId> = log.accounts.keys().copied().collect();
    let symbol = *pick(dice, &SYMBOLS).unwrap();
    if log.instruments.len() < SYMBOLS.len() && dice.permille(300) {
        return Wish::List { symbol };
    }
    let Some(account) = pick(dice, &accounts).copied().filter(|_| dice.permille(950)) else {
        return Wish::Open { cash: dice.below(3_000), margin: dice.permille(400) };
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
            let open: Vec<(OrderId, AccountId)> = log
                .orders
                .iter()
                .filter(|(_, order)| order.is_open())
                .filter_map(|(id, order)| Some((*id, order.spec()?.account_id)))
                .collect();
            let Some((order, account)) = pick(dice, &open).copied() else {
                return Wish::CancelAll { account };
            };
            let qty = dice.permille(600).then(|| dice.below(10));
            let limit = dice.permille(500).then(|| 9_000 + dice.below(2_000));
            Wish::Replace { account, order, qty, limit }
        }
        _ => {
            let (sell, oco) = (dice.permille(400), dice.permille(500));
            let above = dice.permille(800).then(|| 10_001 + dice.below(1_500));
            let below = dice.permille(800).then(|| 9_000 + dice.below(1_000));
            Wish::Place {
                account,
                symbol: if dice.permille(20) { "NONE" } else { symbol },
                sell,
                qty: dice.below(8),
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

impl Clients {
    /// A key for something new, or none, or one that was used for something else.
    pub fn key_for(&mut self, dice: &mut Dice, wish: &Wish) -> Option<Key> {
        self.keys += 1;
        let body = format!("{wish:?}");
        let name = if dice.permille(50) { dice.below(self.keys) } else { self.keys }.to_string();
        match wish {
            Wish::Place { account, .. } => {
                Some(Key::order(OPERATOR_TENANT, *account, &name, body.as_bytes()))
            }
            Wish::Engine(..) => None,
            _ if dice.permille(300) => None,
            _ => Some(Key::request(OPERATOR_TENANT, None, "all", &name, body.as_bytes())),
        }
    }

    /// Makes an attempt at a wish, with ids of its own, as a face does for each request.
    pub fn attempt(
        &mut self,
        dice: &mut Dice,
        wish: Wish,
        key: Option<Key>,
    ) -> (usize, Submission) {
        let (tenant, actor): (TenantId, ActorId) = match wish {
            Wish::Engine(ref command, _) if matches!(**command, Command::Instrument { .. }) => {
                (MARKET_TENANT, ENGINE)
            }
            Wish::Engine(..) => (OPERATOR_TENANT, ENGINE),
            Wish::List { .. } => (MARKET_TENANT, OPERATOR),
            _ => (OPERATOR_TENANT, OPERATOR),
        };
        let submission = Submission {
            origin: Origin {
                tenant,
                actor,
                token: "token".to_owned(),
                client: String::new(),
                interface: Interface::Rest,
                request: RequestId::new(fresh(dice)),
                causation: match wish {
                    Wish::Engine(_, after) => causation(0, after),
                    _ => "request".to_owned(),
                },
            },
            command_id: CommandId::new(fresh(dice)),
            command: command(dice, &wish),
            key,
        };
        let attempt =
            Attempt { wish, key, submission: submission.clone(), answer: None, lost: false };
        self.attempts.push(attempt);
        (self.attempts.len() - 1, submission)
    }

    /// What a client was told, held against the log at that moment. `known` is where the log ended when the writer
    /// decided, if it was one.
    pub fn answered(
        &mut self,
        ticket: usize,
        answer: Result<Committed, LedgerError>,
        store: &MemoryStore,
        known: Option<u64>,
        defects: bool,
    ) -> Result<(), String> {
        let attempt = &mut self.attempts[ticket];
        if attempt.answer.is_some() || attempt.lost {
            return Err(format!("I12: attempt {ticket} is answered twice"));
        }
        match &answer {
            Ok(committed) => {
                if committed.position == 0 || committed.position > store.head().position {
                    return Err(format!("I12: acknowledged at position {}", committed.position));
                }
                for event in &committed.events {
                    if store.events().get(event.row.position as usize - 1) != Some(event) {
                        return Err(format!(
                            "I12: position {} is not in the log",
                            event.row.position
                        ));
                    }
                }
                // What the engine asks may come to nothing: a split that an account has no part in. So may the end of
                // all orders where there are none, and its key is kept.
                let nothing = committed.events.is_empty();
                let may_be_nothing = matches!(
                    attempt.wish,
                    Wish::CancelAll { .. } | Wish::Replace { .. } | Wish::Limit { .. }
                );
                if committed.replayed && !nothing
                    || nothing && !committed.replayed && attempt.key.is_some() && !may_be_nothing
                {
                    return Err("I14: a replay has no events, all else under a key has".to_owned());
                }
                if let Some(key) = attempt.key {
                    let row =
                        store.keys().get(&key.hash).ok_or("I14: the key is not in the log")?;
                    if (row.fingerprint, row.outcome) != (key.fingerprint, committed.outcome) {
                        return Err("I14: the answer is not that of the key".to_owned());
                    }
                    let told = *self.told.entry(key.hash).or_insert(committed.outcome);
                    let first = committed.replayed || self.carried_out.insert(key.hash);
                    if told != committed.outcome || !first {
                        return Err("I14: one key was carried out twice".to_owned());
                    }
                }
            }
            Err(LedgerError::OutcomeUnknown) => {}
            Err(error) => {
                if *error == LedgerError::Defect && !defects {
                    return Err(format!("a defect: {:?}", attempt.submission));
                }
                let key = attempt.key;
                if let (LedgerError::Refused(refusal), Some(key)) = (error, key) {
                    // What the writer knew when it decided: a refusal leaves no trace, so the same key may have
                    // succeeded since, behind it in the same batch.
                    // A command that did nothing has the position of the head, and may have come behind it too.
                    let acted = |row: &KeyRow| {
                        let event = store.events().get(row.position as usize - 1);
                        let of = row.outcome.to_string();
                        row.lasting || event.is_some_and(|event| event.row.metadata.contains(&of))
                    };
                    let before = |row: &&KeyRow| {
                        known.is_some_and(|head| row.position <= head) && acted(row)
                    };
                    let row = store.keys().get(&key.hash);
                    let (reused, known) =
                        (refusal.code == RefusalCode::KeyReused, row.filter(before));
                    if reused && row.is_none_or(|row| row.fingerprint == key.fingerprint) {
                        return Err(format!("I14: told that a key was reused that has {row:?}"));
                    }
                    if !reused && known.is_some() {
                        return Err(format!("I14: {:?} for a key that has {row:?}", refusal.code));
                    }
                }
                self.denied.insert(attempt.submission.command_id.to_string());
            }
        }
        attempt.answer = Some(answer);
        Ok(())
    }

    /// I13: what was refused is not in the log, and everything in it was asked for.
    pub fn agree_with(&self, log: &Checker) -> Result<(), String> {
        if let Some(command) = self.denied.intersection(&log.commands).next() {
            return Err(format!("I13: command {command} was refused and is in the log"));
        }
        Ok(())
    }

    /// I12 to I14 over everything that was ever asked.
    pub fn agree_in_the_end(&self, log: &Checker) -> Result<(), String> {
        let mut used: BTreeMap<Uuid, u32> = BTreeMap::new();
        let mut asked = BTreeSet::new();
        for (ticket, attempt) in self.attempts.iter().enumerate() {
            let command = attempt.submission.command_id.to_string();
            let present = log.commands.contains(&command);
            if present && let Some(key) = attempt.key {
                *used.entry(key.hash).or_default() += 1;
            }
            match &attempt.answer {
                None if !attempt.lost => return Err(format!("I28: {ticket} has no answer")),
                Some(Ok(committed)) if !committed.events.is_empty() && !present => {
                    return Err(format!("I12: {command} was acknowledged and is not in the log"));
                }
                _ => {}
            }
            asked.insert(command);
        }
        if used.values().any(|times| *times > 1) {
            return Err("I14: one key has several commands in the log".to_owned());
        }
        let causeless = log.commands.difference(&asked).count();
        // A take-over of each epoch is the writer's own.
        let epochs = log.sequences.iter().filter(|(stream, _)| stream.aggregate_type() == "writer");
        if causeless as u64 == epochs.map(|(_, sequence)| sequence).sum::<u64>() {
            return Ok(());
        }
        Err(format!("I13: {causeless} commands of the log were never asked for"))
    }
}

fn command(dice: &mut Dice, wish: &Wish) -> Command {
    let id = CommandId::new(fresh(dice));
    match wish {
        Wish::Engine(command, _) => (**command).clone(),
        Wish::Open { cash, margin } => {
            let account_id = AccountId::new(fresh(dice));
            let command = AccountCommand::Open {
                account_id,
                kind: if *margin { AccountKind::Margin } else { AccountKind::Cash },
                option_level: 0,
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
            marks: noon_marks(),
            at: None,
        },
        Wish::Cancel { account, order } => Command::Cancel {
            account_id: *account,
            order_id: *order,
            reason: CancelReason::Requested,
            at: noon(),
        },
        Wish::CancelAll { account } => {
            Command::CancelAll { account_id: *account, kind: None, at: Some(noon()) }
        }
        Wish::Replace { account, order, qty, limit } => {
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
                market: noon_market(),
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
                kind: InstrumentKind::Stock,
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
            let take_profit = profit.map(|limit| TakeProfit { limit_price: price(limit) });
            let stop_loss = loss.map(|stop| StopLoss {
                stop_price: price(stop),
                limit_price: (stop % 3 == 0)
                    .then(|| price(if sell == oco { stop - 10 } else { stop + 10 })),
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
                limit_price: limit.map(price),
                stop_price: stop.map(price),
                // Hundredths of a percent, or cents.
                trail: trail.map(|trail| {
                    let distance = price(trail);
                    if trail % 3 == 0 { Trail::Percent(distance) } else { Trail::Price(distance) }
                }),
                limit_offset: offset.map(price),
                activation_price: trail
                    .filter(|trail| trail % 7 < 3)
                    .map(|trail| price(9_000 + 4 * trail)),
                trigger_by: stop
                    .or(*trail)
                    .map(|cents| if cents % 2 == 0 { TriggerBy::Quote } else { TriggerBy::Last }),
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
            Command::Place { order_id, spec, market: noon_market() }
        }
    }
}

fn noon_market() -> MarketView {
    let reference = Reference { price: price(10_000), source: "feed".to_owned(), at: noon() };
    MarketView {
        at: noon(),
        tape_place: 0,
        reference: Some(reference),
        session_close: noon() + TimeDelta::hours(4),
        extended_close: noon() + TimeDelta::hours(4),
        open: true,
        marks: noon_marks(),
        auction: Some(AuctionEntry::Taken { ends: noon() + TimeDelta::hours(4) }),
        contracts: std::collections::BTreeMap::new(),
        contracts_end: None,
    }
}

/// Every symbol at the reference.
pub fn noon_marks() -> Marks {
    let seen = Reference { price: price(10_000), source: "feed".to_owned(), at: noon() };
    let mark = Mark { long: seen.clone(), short: seen };
    SYMBOLS.iter().map(|symbol| (InstrumentId::of_symbol(symbol), mark.clone())).collect()
}

/// A price of the engine.
pub fn near(dice: &mut Dice) -> Price {
    price(9_000 + dice.below(2_000))
}
