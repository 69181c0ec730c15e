//! What an engine would propose, from the log as it was last read: triggers, fills, expiries, splits; some of it stale, some of
//! it twice, and always with lines of the tape that are written with it or not at all.

use std::collections::BTreeSet;

use aggregates::id::{AccountId, InstrumentId};
use aggregates::instrument::{InstrumentCommand, Split};
use aggregates::market::{Evidence, EvidenceTick};
use aggregates::order::{Execution, ExpiryReason, Order, Side, Trigger};
use aggregates::stream::StreamId;
use aggregates::trading::Command;
use blotter::ledger::TapeBlock;
use blotter::ledger::memory::Dice;
use chrono::TimeDelta;

use crate::checker::Checker;
use crate::market::{Board, SYMBOLS, near, noon, size};
use crate::packages;

/// Lines and the commands that they cause.
pub struct Proposal {
    pub block: Option<TapeBlock>,
    pub commands: Vec<Command>,
    /// The last event that the engine knew of.
    pub after: u64,
}

#[derive(Default)]
pub struct Engine {
    splits: u64,
}

fn fill(dice: &mut Dice, order: &Order, place: u64) -> Option<Execution> {
    let spec = order.spec()?;
    if spec.is_of_options() {
        return packages::fill(dice, order, place);
    }
    let hundreds = if spec.qty >= size(100) { 30 } else { 1 };
    let part = size(hundreds * (1 + dice.below(8)));
    let mut price = near(dice);
    if let Some(limit) = spec.limit_price {
        price = if spec.side == Side::Sell { price.max(limit) } else { price.min(limit) };
    }
    let part = part.min(order.leaves_at(price).ok()?);
    let stale = u32::from(dice.permille(100));
    let (bid_size, ask_size) = (size(100), size(100));
    let tick = EvidenceTick::Quote { bid: price, bid_size, ask: price, ask_size };
    Some(Execution {
        revision: order.revision() + u32::from(dice.permille(50)),
        after_fills: order.fills().saturating_sub(stale),
        qty: part,
        price,
        evidence: Evidence { source: "simulated".to_owned(), tape_place: place, at: noon(), tick },
        legs: Vec::new(),
    })
}

/// A trigger of an order with a stop: by a tick that has reached it, or by one that has not.
fn trigger(dice: &mut Dice, order: &Order, place: u64) -> Option<Trigger> {
    let stop_price = order.spec()?.stop_price?;
    let price = if dice.permille(800) { stop_price } else { near(dice) };
    let (bid_size, ask_size) = (size(100), size(100));
    let tick = EvidenceTick::Quote { bid: price, bid_size, ask: price, ask_size };
    Some(Trigger {
        revision: order.revision() + u32::from(dice.permille(50)),
        mark: None,
        stop_price,
        evidence: Evidence { source: "simulated".to_owned(), tape_place: place, at: noon(), tick },
    })
}

impl Engine {
    /// What a tick causes.
    pub fn tick(&mut self, dice: &mut Dice, log: &Checker, tape_end: u64) -> Proposal {
        let first_place = tape_end + 1 + u64::from(dice.permille(50));
        let last_place = first_place + dice.below(3);
        let block = TapeBlock { first_place, last_place, bytes: vec![1, 2, 3], digest: [7; 32] };
        let marks = Board::default().marks;
        let mut commands = Vec::new();
        for (order_id, order) in log.orders.iter().filter(|(_, order)| order.is_open()) {
            let order_id = *order_id;
            match dice.below(10) {
                0 => {
                    let reason = ExpiryReason::SessionClosed;
                    commands.push(Command::Expire { order_id, reason, at: noon() });
                }
                1..5 => {
                    if let Some(execution) = fill(dice, order, last_place) {
                        commands.push(Command::Fill {
                            order_id,
                            execution,
                            marks: marks.clone(),
                            at: noon(),
                        });
                    }
                }
                5..8 => {
                    if let Some(trigger) = trigger(dice, order, last_place) {
                        commands.push(Command::Trigger { order_id, trigger, at: noon() });
                    }
                }
                _ => {}
            }
        }
        for (account_id, account) in &log.accounts {
            if !account.policy().limits_losses() || !dice.permille(300) {
                continue;
            }
            let (account_id, marks, tape_place) = (*account_id, marks.clone(), last_place);
            let rise = dice.below(50).to_string().parse().unwrap();
            let (at, seen) = (noon(), account.changes() - u64::from(dice.permille(100)));
            commands.push(if dice.permille(400) {
                let day = (noon() + TimeDelta::days(dice.below(5) as i64)).date_naive();
                Command::BeginDay { account_id, day, seen, rise, marks, tape_place, at }
            } else {
                Command::StopLosses { account_id, seen, rise, marks, tape_place, at }
            });
        }
        if dice.permille(100)
            && let Some(twice) = commands.first().cloned()
        {
            commands.push(twice);
        }
        Proposal { block: Some(block), commands, after: log.events() }
    }

    /// A corporate action, a step further: begin, let every account follow, complete.
    pub fn corporate_action(&mut self, dice: &mut Dice, log: &Checker) -> Proposal {
        let symbol = SYMBOLS[dice.below(2) as usize];
        let instrument_id = InstrumentId::of_symbol(symbol);
        let splitting = log.instruments.get(&instrument_id).and_then(|it| it.splitting());
        let command = |command| Command::Instrument { instrument_id, command };
        let Some((action_id, split)) = splitting else {
            self.splits += 1;
            let (numerator, denominator) = match dice.below(3) {
                0 => (2, 1),
                1 => (3, 2),
                _ => (1, 2),
            };
            let split = Split {
                numerator: size(numerator),
                denominator: size(denominator),
                last_close: Some(near(dice)),
                at: noon(),
            };
            let action_id = format!("split {}", self.splits);
            let commands = vec![command(InstrumentCommand::BeginSplit { action_id, split })];
            return Proposal { block: None, commands, after: log.events() };
        };
        let accounts: BTreeSet<AccountId> = log.accounts.keys().copied().collect();
        let mut commands: Vec<Command> = accounts
            .into_iter()
            .filter_map(|account_id| follow(log, account_id, instrument_id, action_id))
            .collect();
        if commands.is_empty() {
            assert!(split.numerator.is_positive());
            let action_id = action_id.to_owned();
            commands.push(command(InstrumentCommand::CompleteSplit { action_id, at: noon() }));
        }
        Proposal { block: None, commands, after: log.events() }
    }
}

/// The step of one account, if the log does not show that it has followed.
fn follow(
    log: &Checker,
    account_id: AccountId,
    instrument_id: InstrumentId,
    action_id: &str,
) -> Option<Command> {
    let orders: Vec<_> = log
        .orders
        .iter()
        .filter(|(_, order)| order.is_open())
        .filter(|(_, order)| {
            order
                .spec()
                .is_some_and(|it| (it.account_id, it.instrument_id) == (account_id, instrument_id))
        })
        .map(|(id, _)| *id)
        .filter(|id| !log.followed.contains(&(StreamId::Order(*id), action_id.to_owned())))
        .collect();
    let position = log.positions.get(&(account_id, instrument_id));
    let held = position.is_some_and(|it| !it.qty().is_zero())
        && !log
            .followed
            .contains(&(StreamId::Position(account_id, instrument_id), action_id.to_owned()));
    (held || !orders.is_empty()).then_some(Command::FollowSplit {
        account_id,
        instrument_id,
        orders,
        contracts: Vec::new(),
        at: noon(),
    })
}
