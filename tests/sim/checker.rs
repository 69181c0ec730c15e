//! Reads what is new in the log, and holds it against the rules: order, streams, leaves, epochs, tape, the naive fold,
//! and the fold by the aggregates that memory is compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aggregates::account::Account;
use aggregates::id::{AccountId, InstrumentId, OrderId, UserId};
use aggregates::instrument::Instrument;
use aggregates::order::Order;
use aggregates::position::Position;
use aggregates::stream::{Decide, Event, StreamId};
use aggregates::user::User;
use aggregates::writer::Writer;
use blotter::audit::{Content, Refold};
use blotter::ledger::log::Head;
use blotter::ledger::proof::{Frontier, leaf_of, node};
use blotter::ledger::{CommittedEvent, TapeBlock};
use chrono::{DateTime, Utc};
use projections::log::Recorded;
use projections::trading::Trading;
use serde::Serialize;
use serde_json::Value;

use crate::naive::Naive;

/// What the log was found to hold, as far as it was read.
#[derive(Default)]
pub struct Checker {
    read: usize,
    taped: usize,
    tape_end: u64,
    epoch: u64,
    time: Option<DateTime<Utc>>,
    leaves: Vec<[u8; 32]>,
    frontier: Frontier,
    pub sequences: BTreeMap<StreamId, u64>,
    /// The commands that events name.
    pub commands: BTreeSet<String>,
    /// The one that is being read.
    command: String,
    /// The streams that followed a corporate action.
    pub followed: BTreeSet<(StreamId, String)>,
    naive: Naive,
    /// The rows of the query views, folded by their own code.
    views: Trading,
    pub accounts: BTreeMap<AccountId, Account>,
    pub orders: BTreeMap<OrderId, Order>,
    pub positions: BTreeMap<(AccountId, InstrumentId), Position>,
    pub instruments: BTreeMap<InstrumentId, Instrument>,
    pub users: BTreeMap<UserId, User>,
    pub writers: BTreeMap<u16, Writer>,
}

fn evolve<K: Ord, A: Decide>(
    shelf: &mut BTreeMap<K, A>,
    key: K,
    event: &A::Event,
) -> Result<(), String> {
    shelf.entry(key).or_default().evolve(event).map_err(|error| error.to_string())
}

/// What the audit reads of a row.
fn content(row: &Recorded) -> Content {
    Content {
        shard: row.shard,
        tenant_id: row.tenant_id.uuid(),
        account_id: row.account_id.map(AccountId::uuid),
        aggregate_type: row.stream.aggregate_type().to_owned(),
        aggregate_id: row.stream.aggregate_id(),
        sequence: row.sequence,
        event_type: row.event_type.clone(),
        event_version: row.event_version.clone(),
        recorded_at: row.recorded_at.timestamp_micros(),
        salt: row.salt,
        payload: row.payload.clone(),
        metadata: row.metadata.clone(),
    }
}

/// Holds the state of an aggregate against the audit's fold.
fn same(refold: &Refold, stream: StreamId, aggregate: &impl Serialize) -> Result<(), String> {
    let state = serde_json::to_value(aggregate).map_err(|error| error.to_string())?;
    match refold.difference(stream.aggregate_type(), &stream.aggregate_id(), &state) {
        Some(difference) => Err(format!("I18: {stream}: by the audit, state{difference}")),
        None => Ok(()),
    }
}

impl Checker {
    /// Reads on in a log.
    pub fn read(
        &mut self,
        events: &[Arc<CommittedEvent>],
        tape: &[TapeBlock],
        head: &Head,
    ) -> Result<(), String> {
        if events.len() < self.read {
            return Err("the log became shorter".to_owned());
        }
        let news = events.len() > self.read;
        for event in &events[self.read..] {
            self.event(event)
                .map_err(|error| format!("position {}: {error}", event.row.position))?;
        }
        self.read = events.len();
        for block in &tape[self.taped..] {
            if block.first_place != self.tape_end + 1 || block.last_place < block.first_place {
                return Err(format!("the tape goes from {} to {block:?}", self.tape_end));
            }
            self.tape_end = block.last_place;
        }
        self.taped = tape.len();
        let ends = (head.position, head.tape_place);
        if ends != (self.read as u64, self.tape_end) {
            return Err(format!("the head is at {ends:?}, the log at {}", self.read));
        }
        if head.frontier != self.frontier {
            return Err("the frontier is not that of the leaves".to_owned());
        }
        if !news {
            return Ok(());
        }
        self.naive.command_ends()?;
        self.naive.at_rest()
    }

    /// Every contract that has expired is settled.
    pub fn all_is_settled(&self) -> Result<(), String> {
        self.naive.all_is_settled()
    }

    /// I17: the views say what the aggregates say.
    pub fn views_agree(&self) -> Result<(), String> {
        for (id, account) in &self.accounts {
            let row = self.views.accounts.get(&(*id,));
            if row.map(|row| (row.cash, row.reserved)) != Some((account.cash(), account.reserved()))
            {
                return Err(format!("I17: the view of account {id} is {row:?}"));
            }
        }
        for (id, order) in &self.orders {
            let row = self.views.orders.get(&(*id,));
            let said = row.map(|row| (Some(row.status), row.filled_qty));
            if said != Some((order.status(), order.filled_qty())) {
                return Err(format!("I17: the view of order {id} is {row:?}"));
            }
        }
        for ((account, instrument), position) in &self.positions {
            let row = self.views.positions.get(&(*account, *instrument));
            if row.map(|row| row.qty) != Some(position.qty()) {
                return Err(format!("I17: the view of position {account}/{instrument} is {row:?}"));
            }
        }
        Ok(())
    }

    /// I18: the audit's own fold of the log says what the aggregates do, as snapshots would keep them; and it finds nothing
    /// wrong with the log where the engine that wrote it keeps the rules.
    pub fn audit_agrees(
        &self,
        events: &[Arc<CommittedEvent>],
        keeps_rules: bool,
    ) -> Result<(), String> {
        let mut refold = Refold::default();
        for event in events {
            refold.row(event.row.position, &content(&event.row));
        }
        for (id, it) in &self.accounts {
            same(&refold, StreamId::Account(*id), it)?;
        }
        for (id, it) in &self.orders {
            same(&refold, StreamId::Order(*id), it)?;
        }
        for ((account, instrument), it) in &self.positions {
            same(&refold, StreamId::Position(*account, *instrument), it)?;
        }
        for (id, it) in &self.instruments {
            same(&refold, StreamId::Instrument(*id), it)?;
        }
        for (id, it) in &self.users {
            same(&refold, StreamId::User(*id), it)?;
        }
        for (shard, it) in &self.writers {
            same(&refold, StreamId::Writer(*shard), it)?;
        }
        match refold.problems().first().filter(|_| keeps_rules) {
            Some(problem) => Err(format!("the audit finds {problem:?}")),
            None => Ok(()),
        }
    }

    fn event(&mut self, event: &CommittedEvent) -> Result<(), String> {
        let row = &event.row;
        let position = self.leaves.len() as u64 + 1;
        if row.position != position {
            return Err(format!("I16: position {} where {position} belongs", row.position));
        }
        let sequence = self.sequences.entry(row.stream).or_default();
        *sequence += 1;
        if row.sequence != *sequence {
            return Err(format!(
                "I15: {} has {} after {}",
                row.stream,
                row.sequence,
                *sequence - 1
            ));
        }
        if self.time.is_some_and(|time| row.recorded_at < time) {
            return Err("I15: time went back".to_owned());
        }
        self.time = Some(row.recorded_at);
        if leaf_of(row) != row.leaf {
            return Err("the leaf is not that of the row".to_owned());
        }
        self.leaves.push(row.leaf);
        self.frontier.push(row.leaf);
        let metadata: Value = serde_json::from_str(&row.metadata).map_err(|it| it.to_string())?;
        let said = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        let epoch: u64 = said("epoch").parse().map_err(|_| "no epoch")?;
        let begins = row.event_type == "WriterTookOver";
        if epoch < self.epoch || (epoch > self.epoch) != begins {
            return Err(format!(
                "I23: {} of epoch {epoch} in epoch {}",
                row.event_type, self.epoch
            ));
        }
        self.epoch = epoch;
        let command = said("command");
        if command != self.command {
            self.naive.command_ends()?;
        }
        self.commands.insert(command.clone());
        self.command = command;
        let stream = row.stream;
        self.naive.fold(stream.aggregate_type(), &stream.aggregate_id(), &row.payload)?;
        if let "PositionSplit" | "OrderAdjusted" = row.event_type.as_str() {
            let payload: Value = serde_json::from_str(&row.payload).map_err(|it| it.to_string())?;
            let action_id = payload[&row.event_type]["action_id"].as_str().unwrap_or_default();
            self.followed.insert((stream, action_id.to_owned()));
        }
        // What is stored, not what is in memory beside it.
        let stored = row.event().map_err(|error| error.to_string())?;
        if stored != event.event {
            return Err("I19: the event reads back as another".to_owned());
        }
        self.views.fold(row, stored.clone()).map_err(|error| error.to_string())?;
        match (stream, &stored) {
            (StreamId::Account(id), Event::Account(event)) => evolve(&mut self.accounts, id, event),
            (StreamId::Order(id), Event::Order(event)) => evolve(&mut self.orders, id, event),
            (StreamId::Position(account, instrument), Event::Position(event)) => {
                evolve(&mut self.positions, (account, instrument), event)
            }
            (StreamId::Instrument(id), Event::Instrument(event)) => {
                evolve(&mut self.instruments, id, event)
            }
            (StreamId::User(id), Event::User(event)) => evolve(&mut self.users, id, event),
            (StreamId::Writer(shard), Event::Writer(event)) => {
                evolve(&mut self.writers, shard, event)
            }
            _ => Err("an event of another aggregate".to_owned()),
        }
    }

    /// The root by the definition of RFC 6962, over all leaves at once.
    pub fn root_is(&self, frontier: &Frontier) -> Result<(), String> {
        fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
            match leaves {
                [] => Frontier::default().root(),
                [leaf] => *leaf,
                _ => {
                    let half = leaves.len().next_power_of_two() / 2;
                    node(&root(&leaves[..half]), &root(&leaves[half..]))
                }
            }
        }
        if root(&self.leaves) == frontier.root() {
            return Ok(());
        }
        Err("the root of the tree is another".to_owned())
    }

    /// The number of events read.
    pub fn events(&self) -> u64 {
        self.read as u64
    }
}
