//! What an engine that does as it likes proposes for options: fills of packages, and the end of contracts.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::instrument::InstrumentCommand;
use aggregates::market::{Evidence, EvidenceTick, Reference};
use aggregates::money::Price;
use aggregates::order::{Execution, LegExecution, Order, OrderClass, Side, net_price};
use aggregates::trading::Command;
use blotter::ledger::memory::Dice;
use chrono::NaiveDate;

use crate::checker::Checker;
use crate::engine::Proposal;
use crate::market::{Board, OPTIONS, UNDERLYING, near, noon, price, size};

/// What a leg is traded at, and the quote that says so.
fn quoted(dice: &mut Dice, of_option: bool, place: u64) -> (Price, Evidence) {
    let price = if of_option { price(5 + dice.below(900) as i64) } else { near(dice) };
    let (bid_size, ask_size) = (size(100), size(100));
    let tick = EvidenceTick::Quote { bid: price, bid_size, ask: price, ask_size };
    (price, Evidence { source: "simulated".to_owned(), tape_place: place, at: noon(), tick })
}

/// A fill of an order of options, sometimes beyond its limit or without one of its legs.
pub fn fill(dice: &mut Dice, order: &Order, place: u64) -> Option<Execution> {
    let spec = order.spec()?;
    let package = spec.package();
    let mut legs: Vec<LegExecution> = Vec::new();
    for leg in &package {
        let (price, evidence) = quoted(dice, leg.contract.is_some(), place);
        legs.push(LegExecution { instrument_id: leg.instrument_id, price, evidence });
    }
    let evidence = legs.first()?.evidence.clone();
    let mut price = net_price(&package, legs.iter().map(|leg| leg.price)).ok()?;
    if spec.order_class != OrderClass::Mleg {
        price = legs.drain(..).next()?.price;
    }
    let beyond = spec.limit_price.is_some_and(|limit| match spec.side {
        Side::Buy => price > limit,
        Side::Sell => price < limit,
    });
    if beyond && dice.permille(900) {
        return None;
    }
    if dice.permille(30) {
        legs.pop();
    }
    let stale = u32::from(dice.permille(100));
    Some(Execution {
        revision: order.revision() + u32::from(dice.permille(50)),
        after_fills: order.fills().saturating_sub(stale),
        qty: size(1 + dice.below(3)).min(order.leaves_at(price).ok()?),
        price,
        evidence,
        legs,
    })
}

/// The next step of contracts that end: whichever, at any price, each account by itself, some twice.
pub fn expiry(dice: &mut Dice, log: &Checker) -> Proposal {
    let session = NaiveDate::from_ymd_opt(2024, 1, 17).unwrap();
    let named = OPTIONS.map(InstrumentId::of_symbol);
    let stage = |id: &InstrumentId| log.instruments.get(id).map(|it| it.expired());
    let step = |instrument_id, command| Command::Instrument { instrument_id, command };
    let (source, at) = ("feed".to_owned(), noon());
    let under_way: BTreeSet<InstrumentId> = named
        .into_iter()
        .filter(|id| stage(id).flatten().is_some_and(|expired| !expired.settled))
        .collect();
    let mut commands: Vec<Command> = Vec::new();
    if under_way.is_empty() && dice.permille(300) {
        let price = near(dice);
        for id in named.into_iter().filter(|id| stage(id) == Some(None)) {
            if dice.permille(400) {
                let source = source.clone();
                commands.push(step(
                    id,
                    InstrumentCommand::Expire { session, price, source, last_price_at: None, at },
                ));
            }
        }
    }
    let marks = Board::default().marks;
    for (account_id, (contracts, orders)) in parts(log, &under_way) {
        let bid = Reference { price: near(dice), source: source.clone(), at };
        let bid = Some(bid).filter(|_| dice.permille(500));
        commands.push(Command::SettleExpired {
            account_id,
            underlying_id: InstrumentId::of_symbol(UNDERLYING),
            session,
            contracts: contracts.into_iter().map(|id| (id, bid.clone())).collect(),
            orders: orders.into_iter().collect(),
            marks: marks.clone(),
            at,
        });
    }
    if commands.is_empty() {
        let complete = |id| step(id, InstrumentCommand::CompleteExpiry { at });
        commands.extend(under_way.into_iter().map(complete));
    } else if dice.permille(200) {
        commands.push(commands[0].clone());
    }
    Proposal { block: None, commands, after: log.events() }
}

/// What each account has of these contracts: which it holds or has open orders of, and these orders.
fn parts(
    log: &Checker,
    contracts: &BTreeSet<InstrumentId>,
) -> BTreeMap<AccountId, (BTreeSet<InstrumentId>, BTreeSet<OrderId>)> {
    let mut parts: BTreeMap<AccountId, (BTreeSet<_>, BTreeSet<_>)> = BTreeMap::new();
    for ((account_id, instrument_id), position) in &log.positions {
        if contracts.contains(instrument_id) && !position.qty().is_zero() {
            parts.entry(*account_id).or_default().0.insert(*instrument_id);
        }
    }
    for (order_id, order) in log.orders.iter().filter(|(_, order)| order.is_open()) {
        let Some(spec) = order.spec() else { continue };
        for id in spec.instruments().iter().filter(|id| contracts.contains(id)) {
            let part = parts.entry(spec.account_id).or_default();
            part.0.insert(*id);
            part.1.insert(*order_id);
        }
    }
    parts
}
