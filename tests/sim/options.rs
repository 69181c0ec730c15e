//! What clients want of options: orders of one and of several legs, the exercise of what they hold, and the operator's
//! assignments. Some of it makes no sense, and is refused.

use aggregates::id::{AccountId, CommandId, InstrumentId, OrderId};
use aggregates::money::Quantity;
use aggregates::order::{Leg, OrderClass, OrderSpec, OrderType, PositionIntent, Side, TimeInForce};
use aggregates::trading::Command;
use blotter::ledger::memory::Dice;

use crate::checker::Checker;
use crate::clients::fresh;
use crate::market::{Board, OPTIONS, UNDERLYING, is_option, pick, price, size};

/// One leg of what a client wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    symbol: &'static str,
    sell: bool,
    ratio: u32,
    intent: Option<PositionIntent>,
}

/// Something of options.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionWish {
    /// An order: of one leg by itself, of several at a net price in cents.
    Place { legs: Vec<Wanted>, qty: u64, limit: Option<i64>, gtc: bool },
    /// Before the option expires.
    Exercise { symbol: &'static str, qty: u64 },
    /// Before the option expires.
    Assign { symbol: &'static str, qty: u64 },
    /// What happens when it expires in the money.
    Instruct { symbol: &'static str, exercise: bool },
}

/// Hundreds of the shares that options are on make one leg.
const SHARES: u32 = 100;

fn leg(symbol: &'static str, sell: bool) -> Wanted {
    let ratio = if is_option(symbol) { 1 } else { SHARES };
    Wanted { symbol, sell, ratio, intent: None }
}

/// What an account holds that options are about, each with how many.
fn held(log: &Checker, account: AccountId) -> Vec<(&'static str, Quantity)> {
    let all = OPTIONS.into_iter().chain([UNDERLYING]);
    let held = all.filter_map(|symbol| {
        let position = log.positions.get(&(account, InstrumentId::of_symbol(symbol)))?;
        Some((symbol, position.qty())).filter(|(_, qty)| !qty.is_zero())
    });
    held.collect()
}

/// Something that an account might want.
pub fn wish(dice: &mut Dice, log: &Checker, board: &Board, account: AccountId) -> OptionWish {
    let held = held(log, account);
    let mut options: Vec<&'static str> = OPTIONS.to_vec();
    // Mostly something that there is.
    if dice.permille(900) && held.iter().any(|(symbol, _)| is_option(symbol)) {
        options = held.iter().map(|(symbol, _)| *symbol).filter(|it| is_option(it)).collect();
    }
    let (symbol, qty) = (*pick(dice, &options).unwrap(), 1 + dice.below(2));
    match dice.below(20) {
        0..2 => OptionWish::Exercise { symbol, qty },
        2..4 => OptionWish::Assign { symbol, qty },
        4..6 => OptionWish::Instruct { symbol, exercise: dice.permille(300) },
        6..9 if !held.is_empty() => {
            let mut legs: Vec<Wanted> = held
                .iter()
                .filter(|_| dice.permille(600))
                .map(|(symbol, qty)| leg(symbol, qty.is_positive()))
                .collect();
            legs.truncate(4);
            legs.extend(
                held.first().filter(|_| legs.is_empty()).map(|it| leg(it.0, !it.1.is_negative())),
            );
            order(dice, board, legs)
        }
        _ => {
            let legs = package(dice);
            order(dice, board, legs)
        }
    }
}

/// The legs of some strategy, or of none.
fn package(dice: &mut Dice) -> Vec<Wanted> {
    let sell = dice.permille(500);
    let mut any = |what: &dyn Fn(&str) -> bool| {
        let some: Vec<_> = OPTIONS.into_iter().filter(|symbol| what(symbol)).collect();
        *pick(dice, &some).unwrap()
    };
    let is_call = |symbol: &str| symbol.contains('C');
    let (first, second) = (any(&|_| true), any(&|_| true));
    let (call, put) = (any(&is_call), any(&|it| !is_call(it)));
    let mut legs = match dice.below(6) {
        0 | 1 => vec![leg(first, sell)],
        2 => vec![leg(first, sell), leg(second, !sell)],
        3 => vec![leg(call, sell), leg(put, sell)],
        4 => vec![leg(UNDERLYING, sell), leg(call, !sell)],
        _ => {
            let more = OPTIONS.into_iter().chain([UNDERLYING]).filter(|_| dice.permille(350));
            more.collect::<Vec<_>>().into_iter().map(|it| leg(it, dice.permille(500))).collect()
        }
    };
    legs.truncate(4);
    if dice.permille(150) {
        for leg in &mut legs {
            leg.ratio *= 1 + dice.below(2) as u32;
        }
    }
    for leg in &mut legs {
        let intents = PositionIntent::ALL;
        leg.intent = pick(dice, &intents).copied().filter(|_| dice.permille(80));
    }
    legs
}

/// An order of these legs, at about what they are worth.
fn order(dice: &mut Dice, board: &Board, legs: Vec<Wanted>) -> OptionWish {
    let worth = |leg: &Wanted| {
        let shares = if is_option(leg.symbol) { SHARES * leg.ratio } else { leg.ratio };
        let cents = board.cents(leg.symbol) * i64::from(shares) / i64::from(SHARES);
        if leg.sell && legs.len() > 1 { -cents } else { cents }
    };
    let net: i64 = legs.iter().map(worth).sum();
    let limit = net + dice.below(600) as i64 - 300;
    let limit = dice.permille(850).then_some(if legs.len() > 1 { limit } else { limit.max(5) });
    OptionWish::Place { legs, qty: 1 + dice.below(3), limit, gtc: dice.permille(400) }
}

impl OptionWish {
    /// The command of an account, with ids of its own.
    pub fn command(&self, dice: &mut Dice, board: &Board, account_id: AccountId) -> Command {
        let id = CommandId::new(fresh(dice));
        let at = board.at;
        let of = InstrumentId::of_symbol;
        match self {
            Self::Place { .. } => {
                let order_id = OrderId::new(fresh(dice));
                let spec = self.spec(account_id, order_id);
                let market = board.view(&spec);
                Command::Place { order_id, spec, market }
            }
            Self::Exercise { symbol, qty } => Command::Exercise {
                contract_end: Some(board.end_of(symbol)),
                account_id,
                instrument_id: of(symbol),
                exercise_id: id,
                qty: size(*qty),
                underlying: board.marks.get(&of(UNDERLYING)).map(|mark| mark.long.clone()),
                marks: board.marks.clone(),
                at,
            },
            Self::Assign { symbol, qty } => Command::Assign {
                contract_end: Some(board.end_of(symbol)),
                account_id,
                instrument_id: of(symbol),
                assignment_id: id,
                qty: size(*qty),
                marks: board.marks.clone(),
                at,
            },
            Self::Instruct { symbol, exercise } => Command::InstructExercise {
                contract_end: Some(board.end_of(symbol)),
                account_id,
                instrument_id: of(symbol),
                exercise: *exercise,
                at,
            },
        }
    }

    fn spec(&self, account_id: AccountId, order_id: OrderId) -> OrderSpec {
        let Self::Place { legs, qty, limit, gtc } = self else { panic!("it is an order") };
        let of_leg = |wanted: &Wanted| Leg {
            instrument_id: InstrumentId::of_symbol(wanted.symbol),
            symbol: wanted.symbol.to_owned(),
            side: if wanted.sell { Side::Sell } else { Side::Buy },
            ratio_qty: wanted.ratio,
            position_intent: wanted.intent,
            contract: None,
        };
        let legs: Vec<Leg> = legs.iter().map(of_leg).collect();
        let one = (legs.len() == 1).then(|| legs.first().cloned()).flatten();
        let own = |symbol: &Leg| (symbol.instrument_id, symbol.symbol.clone(), symbol.side);
        let first = (InstrumentId::of_symbol(UNDERLYING), String::new(), Side::Buy);
        let (instrument_id, symbol, side) = one.as_ref().map_or(first, own);
        OrderSpec {
            account_id,
            instrument_id,
            symbol,
            side,
            order_type: if limit.is_some() { OrderType::Limit } else { OrderType::Market },
            qty: size(*qty),
            notional: None,
            limit_price: limit.map(price),
            stop_price: None,
            trail: None,
            limit_offset: None,
            activation_price: None,
            trigger_by: None,
            good_till: None,
            time_in_force: if *gtc { TimeInForce::Gtc } else { TimeInForce::Day },
            extended_hours: false,
            order_class: if one.is_some() { OrderClass::Simple } else { OrderClass::Mleg },
            client_order_id: order_id.to_string(),
            note_digest: None,
            contract: None,
            position_intent: one.as_ref().and_then(|leg| leg.position_intent),
            legs: Some(legs).filter(|_| one.is_none()),
            parent_order_id: None,
            exits: None,
        }
    }
}
