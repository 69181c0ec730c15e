//! The aggregates that the Sequencer holds in memory, each with the sequence of its last event.
//!
//! Account and positions of one account are resident together: a position that is not in memory while its account
//! is has no events. Orders leave when they end, users when their facts are recorded. Nothing here iterates over a map.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use aggregates::account::Account;
use aggregates::id::{AccountId, InstrumentId, OrderId, UserId};
use aggregates::instrument::Instrument;
use aggregates::order::Order;
use aggregates::position::Position;
use aggregates::stream::{Decide, Event, Impossible, StreamId};
use aggregates::trading::World;
use aggregates::user::User;
use aggregates::writer::Writer;

use super::log::{LoadUnit, LoadedStream, LogFault};

/// Accounts in memory at the most: beyond it all are dropped and loaded again when they are needed.
const RESIDENT_ACCOUNTS: usize = 500_000;

/// An aggregate and the sequence of its last event.
#[derive(Clone, Debug, Default)]
struct Slot<A> {
    aggregate: A,
    sequence: u64,
}

#[derive(Debug)]
struct Shelf<K, A> {
    slots: HashMap<K, Slot<A>>,
}

impl<K, A> Default for Shelf<K, A> {
    fn default() -> Self {
        Self { slots: HashMap::new() }
    }
}

impl<K: Eq + Hash, A: Decide> Shelf<K, A> {
    fn get(&self, key: &K) -> Option<&A> {
        self.slots.get(key).map(|slot| &slot.aggregate)
    }

    /// Applies an event and gives its sequence.
    fn evolve(&mut self, key: K, event: &A::Event) -> Result<u64, Impossible> {
        let slot = self.slots.entry(key).or_default();
        slot.aggregate.evolve(event)?;
        slot.sequence += 1;
        Ok(slot.sequence)
    }

    fn restore(&mut self, key: K, snapshot: Option<(u64, String)>) -> Result<(), LogFault> {
        let slot = match snapshot {
            None => Slot::default(),
            Some((sequence, state)) => {
                let aggregate = serde_json::from_str(&state).map_err(|error| {
                    LogFault::Corrupt(format!("a snapshot cannot be read: {error}"))
                })?;
                Slot { aggregate, sequence }
            }
        };
        self.slots.insert(key, slot);
        Ok(())
    }
}

/// The aggregates in memory.
#[derive(Debug, Default)]
pub struct Memory {
    accounts: Shelf<AccountId, Account>,
    positions: Shelf<(AccountId, InstrumentId), Position>,
    /// The positions of each resident account, so that they leave together.
    residents: HashMap<AccountId, BTreeSet<InstrumentId>>,
    orders: Shelf<OrderId, Order>,
    instruments: Shelf<InstrumentId, Instrument>,
    users: Shelf<UserId, User>,
    writers: Shelf<u16, Writer>,
    no_position: Position,
}

impl World for Memory {
    fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    fn order(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id)
    }

    fn position(&self, account: AccountId, instrument: InstrumentId) -> Option<&Position> {
        self.positions
            .get(&(account, instrument))
            .or_else(|| self.residents.contains_key(&account).then_some(&self.no_position))
    }

    fn holdings(&self, account: AccountId) -> Option<Vec<InstrumentId>> {
        self.residents.get(&account).map(|held| held.iter().copied().collect())
    }

    fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        self.instruments.get(&id)
    }

    fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    fn writer(&self, shard: u16) -> Option<&Writer> {
        self.writers.get(&shard)
    }
}

impl Memory {
    /// Takes in one event and gives its sequence.
    pub fn evolve(&mut self, stream: StreamId, event: &Event) -> Result<u64, Impossible> {
        match (stream, event) {
            (StreamId::Account(id), Event::Account(event)) => {
                self.residents.entry(id).or_default();
                self.accounts.evolve(id, event)
            }
            (StreamId::Order(id), Event::Order(event)) => self.orders.evolve(id, event),
            (StreamId::Position(account, instrument), Event::Position(event)) => {
                self.residents.entry(account).or_default().insert(instrument);
                self.positions.evolve((account, instrument), event)
            }
            (StreamId::Instrument(id), Event::Instrument(event)) => {
                self.instruments.evolve(id, event)
            }
            (StreamId::User(id), Event::User(event)) => self.users.evolve(id, event),
            (StreamId::Writer(shard), Event::Writer(event)) => self.writers.evolve(shard, event),
            _ => Err(Impossible(format!("an event of another aggregate in {stream}"))),
        }
    }

    /// The sequence of the last event of a stream in memory; `None` for one that is not there.
    pub fn sequence(&self, stream: StreamId) -> Option<u64> {
        match stream {
            StreamId::Account(id) => self.accounts.slots.get(&id).map(|slot| slot.sequence),
            StreamId::Order(id) => self.orders.slots.get(&id).map(|slot| slot.sequence),
            StreamId::Position(account, instrument) => {
                let slot = self.positions.slots.get(&(account, instrument));
                let none = self.residents.contains_key(&account).then_some(0);
                slot.map(|slot| slot.sequence).or(none)
            }
            StreamId::Instrument(id) => self.instruments.slots.get(&id).map(|slot| slot.sequence),
            StreamId::User(id) => self.users.slots.get(&id).map(|slot| slot.sequence),
            StreamId::Writer(shard) => self.writers.slots.get(&shard).map(|slot| slot.sequence),
        }
    }

    /// Puts a stream that is known to have no events into memory. One that is there already stays.
    pub fn begin(&mut self, stream: StreamId) {
        match stream {
            StreamId::Account(id) | StreamId::Position(id, _) => {
                self.accounts.slots.entry(id).or_default();
                self.residents.entry(id).or_default();
            }
            StreamId::Order(id) => {
                self.orders.slots.entry(id).or_default();
            }
            StreamId::Instrument(id) => {
                self.instruments.slots.entry(id).or_default();
            }
            StreamId::User(id) => {
                self.users.slots.entry(id).or_default();
            }
            StreamId::Writer(shard) => {
                self.writers.slots.entry(shard).or_default();
            }
        }
    }

    /// Takes in what was loaded for `unit`. What is in memory already stays: it is never older.
    pub fn install(&mut self, unit: LoadUnit, streams: Vec<LoadedStream>) -> Result<(), LogFault> {
        let stream = match unit {
            LoadUnit::Account(account) => StreamId::Account(account),
            LoadUnit::Stream(stream) => stream,
            LoadUnit::Key(_) => return Ok(()),
        };
        if self.sequence(stream).is_some() {
            return Ok(());
        }
        self.begin(stream);
        for LoadedStream { stream, snapshot, events } in streams {
            match stream {
                StreamId::Account(id) => self.accounts.restore(id, snapshot)?,
                StreamId::Order(id) => self.orders.restore(id, snapshot)?,
                StreamId::Position(account, instrument) => {
                    self.residents.entry(account).or_default().insert(instrument);
                    self.positions.restore((account, instrument), snapshot)?;
                }
                StreamId::Instrument(id) => self.instruments.restore(id, snapshot)?,
                StreamId::User(id) => self.users.restore(id, snapshot)?,
                StreamId::Writer(shard) => self.writers.restore(shard, snapshot)?,
            }
            for (sequence, event) in &events {
                let reached = self.evolve(stream, event).map_err(|error| {
                    LogFault::Corrupt(format!("{stream}, event {sequence}: {error}"))
                })?;
                if reached != *sequence {
                    let fault = format!("{stream} has event {sequence} where {reached} belongs");
                    return Err(LogFault::Corrupt(fault));
                }
            }
        }
        Ok(())
    }

    /// Forgets all accounts but those of `kept` when there are too many: they are loaded again when they are needed.
    pub fn shed(&mut self, kept: &[StreamId]) {
        if self.residents.len() < RESIDENT_ACCOUNTS {
            return;
        }
        let kept: HashSet<AccountId> = kept
            .iter()
            .filter_map(|stream| match stream {
                StreamId::Account(id) | StreamId::Position(id, _) => Some(*id),
                StreamId::Order(_)
                | StreamId::Instrument(_)
                | StreamId::User(_)
                | StreamId::Writer(_) => None,
            })
            .collect();
        self.accounts.slots.retain(|id, _| kept.contains(id));
        self.positions.slots.retain(|(id, _), _| kept.contains(id));
        self.residents.retain(|id, _| kept.contains(id));
    }

    /// Forgets a stream: the next command that needs it has it loaded. An account takes its positions along.
    pub fn evict(&mut self, stream: StreamId) {
        match stream {
            StreamId::Account(id) | StreamId::Position(id, _) => {
                self.accounts.slots.remove(&id);
                for instrument in self.residents.remove(&id).unwrap_or_default() {
                    self.positions.slots.remove(&(id, instrument));
                }
            }
            StreamId::Order(id) => {
                self.orders.slots.remove(&id);
            }
            StreamId::Instrument(id) => {
                self.instruments.slots.remove(&id);
            }
            StreamId::User(id) => {
                self.users.slots.remove(&id);
            }
            StreamId::Writer(shard) => {
                self.writers.slots.remove(&shard);
            }
        }
    }

    /// Forgets what no decision will need soon: an order that has ended, a user, and what a command named that does
    /// not exist.
    pub fn evict_if_idle(&mut self, stream: StreamId) {
        let idle = match stream {
            StreamId::Order(id) => self.orders.get(&id).is_some_and(|order| !order.is_open()),
            StreamId::Account(id) => self.accounts.get(&id).is_some_and(|it| !it.is_open()),
            StreamId::Instrument(id) => {
                self.instruments.get(&id).is_some_and(|it| it.instrument_id().is_none())
            }
            StreamId::User(_) => true,
            StreamId::Position(..) | StreamId::Writer(_) => false,
        };
        if idle {
            self.evict(stream);
        }
    }
}
