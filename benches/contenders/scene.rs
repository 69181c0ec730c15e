//! What every contender plays: the same accounts, the same orders, the same events.

use std::sync::Arc;

use aggregates::account::{AccountCommand, AccountKind};
use aggregates::id::{AccountId, CommandId, FillId, InstrumentId, OrderId, RequestId};
use aggregates::margin::Marks;
use aggregates::market::{Evidence, EvidenceTick, MarketTime, Reference};
use aggregates::money::{Price, Quantity};
use aggregates::order::{Execution, OrderClass, OrderSpec, OrderType, Side, TimeInForce};
use aggregates::trading::MarketView;
use chrono::TimeDelta;
use uuid::Uuid;

/// Accounts that the orders of a spread run fall on.
pub const ACCOUNTS: usize = 10_000;

/// The fixed things of a run.
pub struct Scene {
    pub accounts: Vec<AccountId>,
    pub instrument: InstrumentId,
    pub at: MarketTime,
    pub price: Price,
    pub quote: EvidenceTick,
}

impl Scene {
    pub fn new(accounts: usize) -> Arc<Self> {
        let price = |text: &str| text.parse::<Price>().expect("a price");
        let size: Quantity = "500".parse().expect("a size");
        Arc::new(Self {
            accounts: (0..accounts).map(|_| AccountId::new(Uuid::now_v7())).collect(),
            instrument: InstrumentId::of_symbol("AAPL"),
            at: "2024-01-17T17:00:00Z".parse().expect("a time"),
            price: price("187.25"),
            quote: EvidenceTick::Quote {
                bid: price("187.20"),
                bid_size: size,
                ask: price("187.25"),
                ask_size: size,
            },
        })
    }

    /// The account of the `n`-th order: a stride that visits all of them.
    pub fn account(&self, n: usize) -> AccountId {
        self.accounts[n.wrapping_mul(7_919) % self.accounts.len()]
    }

    pub fn open(&self, account_id: AccountId) -> AccountCommand {
        AccountCommand::Open {
            account_id,
            kind: AccountKind::Cash,
            option_level: 0,
            name_digest: String::new(),
            starting_balance: "1000000000".parse().expect("money"),
            deposit_id: CommandId::new(Uuid::now_v7()),
            at: None,
        }
    }

    pub fn order(&self, account_id: AccountId) -> OrderSpec {
        OrderSpec {
            account_id,
            instrument_id: self.instrument,
            symbol: "AAPL".to_owned(),
            side: Side::Buy,
            order_type: OrderType::Limit,
            qty: "1".parse().expect("a quantity"),
            notional: None,
            limit_price: Some(self.price),
            stop_price: None,
            trail: None,
            limit_offset: None,
            activation_price: None,
            trigger_by: None,
            good_till: None,
            time_in_force: TimeInForce::Day,
            extended_hours: false,
            order_class: OrderClass::Simple,
            client_order_id: Uuid::now_v7().to_string(),
            note_digest: None,
            contract: None,
            position_intent: None,
            legs: None,
            parent_order_id: None,
            exits: None,
        }
    }

    pub fn market(&self) -> MarketView {
        MarketView {
            at: self.at,
            tape_place: 0,
            reference: Some(Reference {
                price: self.price,
                source: "bench".to_owned(),
                at: self.at,
            }),
            session_close: self.at + TimeDelta::hours(4),
            extended_close: self.at + TimeDelta::hours(4),
            open: true,
            marks: Marks::new(),
            auction: None,
            contracts: std::collections::BTreeMap::new(),
            contracts_end: None,
        }
    }

    pub fn execution(&self) -> Execution {
        Execution {
            revision: 0,
            after_fills: 0,
            qty: "1".parse().expect("a quantity"),
            price: self.price,
            evidence: Evidence {
                source: "bench".to_owned(),
                tape_place: 1,
                at: self.at,
                tick: self.quote.clone(),
            },
            legs: Vec::new(),
        }
    }

    pub fn fill_id(order_id: OrderId) -> FillId {
        FillId::of(order_id, 0, 1, 1)
    }
}

pub fn fresh_order() -> OrderId {
    OrderId::new(Uuid::now_v7())
}

pub fn fresh_command() -> CommandId {
    CommandId::new(Uuid::now_v7())
}

pub fn fresh_request() -> RequestId {
    RequestId::new(Uuid::now_v7())
}
