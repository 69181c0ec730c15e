//! A ledger in memory for tests: a world, its log, and the commands that reach it.

use std::collections::BTreeMap;

use aggregates::account::{Account, AccountCommand, AccountKind};
use aggregates::id::{AccountId, CommandId, FactId, InstrumentId, OrderId, UserId};
use aggregates::instrument::{Instrument, InstrumentCommand, InstrumentKind, Split};
use aggregates::margin::{Mark, Marks};
use aggregates::market::{Evidence, EvidenceTick, MarketTime, Reference};
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{
    CancelReason, Execution, Order, OrderChange, OrderClass, OrderError, OrderSpec, OrderType,
    Side, TimeInForce,
};
use aggregates::position::Position;
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::rules::Rules;
use aggregates::stream::{Decide, Event, StreamId};
use aggregates::trading::{Command, Decision, MarketView, Undecided, World, decide};
use aggregates::user::User;
use aggregates::writer::Writer;
use uuid::Uuid;

pub fn money(text: &str) -> Money {
    text.parse().unwrap()
}
pub fn price(text: &str) -> Price {
    text.parse().unwrap()
}
pub fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}
pub fn at(second: i64) -> MarketTime {
    MarketTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}
pub fn account_id(n: u128) -> AccountId {
    AccountId::new(Uuid::from_u128(0xa000 + n))
}
pub fn order_id(n: u128) -> OrderId {
    OrderId::new(Uuid::from_u128(0xb000 + n))
}
pub fn command_id(n: u128) -> CommandId {
    CommandId::new(Uuid::from_u128(0xc000 + n))
}
pub fn user_id(n: u128) -> UserId {
    UserId::new(Uuid::from_u128(0xd000 + n))
}
pub fn fact_id(n: u128) -> FactId {
    FactId::new(Uuid::from_u128(0xe000 + n))
}
pub fn stock(symbol: &str) -> InstrumentId {
    InstrumentId::of_symbol(symbol)
}

/// A day order; `limit` makes it a limit order.
pub fn spec(
    account: AccountId,
    symbol: &str,
    side: Side,
    qty: &str,
    limit: Option<&str>,
) -> OrderSpec {
    OrderSpec {
        account_id: account,
        instrument_id: stock(symbol),
        symbol: symbol.into(),
        side,
        order_type: if limit.is_some() { OrderType::Limit } else { OrderType::Market },
        qty: quantity(qty),
        notional: None,
        limit_price: limit.map(price),
        stop_price: None,
        trail: None,
        limit_offset: None,
        activation_price: None,
        trigger_by: None,
        good_till: None,
        time_in_force: TimeInForce::Day,
        extended_hours: false,
        order_class: OrderClass::Simple,
        client_order_id: "mine".into(),
        note_digest: None,
        contract: None,
        position_intent: None,
        legs: None,
        parent_order_id: None,
        exits: None,
    }
}

/// Prices of what accounts hold, bid and ask alike.
pub fn marks(prices: &[(&str, &str)]) -> Marks {
    let mark = |(symbol, at_price): &(&str, &str)| {
        let seen = Reference { price: price(at_price), source: "feed".into(), at: at(0) };
        (stock(symbol), Mark { long: seen.clone(), short: seen })
    };
    prices.iter().map(mark).collect()
}

/// A market that is open, quotes this ask, and shows these prices of what the account holds.
pub fn marked(ask: &str, prices: &[(&str, &str)]) -> MarketView {
    MarketView { marks: marks(prices), ..market(Some(ask)) }
}

/// A market that is open and quotes this ask.
pub fn market(ask: Option<&str>) -> MarketView {
    MarketView {
        at: at(0),
        tape_place: 1,
        reference: ask.map(|ask| Reference { price: price(ask), source: "feed".into(), at: at(0) }),
        session_close: at(3600),
        extended_close: at(3600),
        open: true,
        marks: Marks::new(),
        auction: None,
        contracts: std::collections::BTreeMap::new(),
        contracts_end: None,
    }
}

pub fn evidence(tape_place: u64, at_price: Price) -> Evidence {
    let size = quantity("100");
    Evidence {
        source: "feed".into(),
        tape_place,
        at: at(1),
        tick: EvidenceTick::Quote { bid: at_price, bid_size: size, ask: at_price, ask_size: size },
    }
}

/// Every aggregate as it is, and every event that made it so.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub rules: Rules,
    pub accounts: BTreeMap<AccountId, Account>,
    pub orders: BTreeMap<OrderId, Order>,
    pub positions: BTreeMap<(AccountId, InstrumentId), Position>,
    pub instruments: BTreeMap<InstrumentId, Instrument>,
    pub users: BTreeMap<UserId, User>,
    pub writers: BTreeMap<u16, Writer>,
    pub log: Vec<(StreamId, Event)>,
}

impl PartialEq for Book {
    fn eq(&self, other: &Self) -> bool {
        self.accounts == other.accounts
            && self.orders == other.orders
            && self.positions == other.positions
            && self.instruments == other.instruments
            && self.users == other.users
            && self.writers == other.writers
    }
}

impl World for Book {
    fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }
    fn order(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id)
    }
    fn position(&self, account: AccountId, instrument: InstrumentId) -> Option<&Position> {
        self.positions.get(&(account, instrument))
    }
    fn holdings(&self, account: AccountId) -> Option<Vec<InstrumentId>> {
        Some(self.positions.keys().filter(|key| key.0 == account).map(|key| key.1).collect())
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

impl Book {
    /// Loads what a decision lacks, as the ledger does: a stream without events is its default.
    pub fn load(&mut self, stream: StreamId) {
        match stream {
            StreamId::Account(id) => {
                self.accounts.entry(id).or_default();
            }
            StreamId::Order(id) => {
                self.orders.entry(id).or_default();
            }
            StreamId::Position(account, instrument) => {
                self.positions.entry((account, instrument)).or_default();
            }
            StreamId::Instrument(id) => {
                self.instruments.entry(id).or_default();
            }
            StreamId::User(id) => {
                self.users.entry(id).or_default();
            }
            StreamId::Writer(shard) => {
                self.writers.entry(shard).or_default();
            }
        }
    }

    pub fn evolve(&mut self, stream: StreamId, event: &Event) {
        self.load(stream);
        match (stream, event) {
            (StreamId::Account(id), Event::Account(event)) => {
                self.accounts.get_mut(&id).unwrap().evolve(event)
            }
            (StreamId::Order(id), Event::Order(event)) => {
                self.orders.get_mut(&id).unwrap().evolve(event)
            }
            (StreamId::Position(account, instrument), Event::Position(event)) => {
                self.positions.get_mut(&(account, instrument)).unwrap().evolve(event)
            }
            (StreamId::Instrument(id), Event::Instrument(event)) => {
                self.instruments.get_mut(&id).unwrap().evolve(event)
            }
            (StreamId::User(id), Event::User(event)) => {
                self.users.get_mut(&id).unwrap().evolve(event)
            }
            (StreamId::Writer(shard), Event::Writer(event)) => {
                self.writers.get_mut(&shard).unwrap().evolve(event)
            }
            _ => panic!("{event:?} in the stream {stream}"),
        }
        .unwrap_or_else(|error| panic!("{error}: {event:?} in {stream}"));
        self.log.push((stream, event.clone()));
    }

    /// Decides without changing any aggregate, loading what is absent.
    pub fn decide(&mut self, command: &Command) -> Result<Decision, Refusal> {
        loop {
            match decide(self, command, &self.rules) {
                Ok(decision) => return Ok(decision),
                Err(Undecided::Refused(refusal)) => return Err(refusal),
                Err(Undecided::Absent(stream)) => self.load(stream),
            }
        }
    }

    /// Decides, applies; `check` sees the book after every event.
    pub fn submit_checked(
        &mut self,
        command: &Command,
        mut check: impl FnMut(&Self),
    ) -> Result<Decision, Refusal> {
        let decision = self.decide(command)?;
        for (stream, event) in &decision.events {
            self.evolve(*stream, event);
            check(self);
        }
        Ok(decision)
    }

    pub fn submit(&mut self, command: &Command) -> Result<Decision, Refusal> {
        self.submit_checked(command, |_| ())
    }

    /// The code of a refusal, which has to leave the book and its log as they were.
    pub fn refused(&mut self, command: &Command) -> RefusalCode {
        let (before, length) = (self.clone(), self.log.len());
        let refusal = self.submit(command).expect_err("a refusal");
        let mut loaded = before;
        for stream in self.streams() {
            loaded.load(stream);
        }
        assert!(*self == loaded && self.log.len() == length, "a refused command left a trace");
        refusal.code
    }

    pub fn streams(&self) -> Vec<StreamId> {
        let accounts = self.accounts.keys().copied().map(StreamId::Account);
        let orders = self.orders.keys().copied().map(StreamId::Order);
        let positions = self.positions.keys().map(|(a, i)| StreamId::Position(*a, *i));
        let instruments = self.instruments.keys().copied().map(StreamId::Instrument);
        accounts.chain(orders).chain(positions).chain(instruments).collect()
    }

    /// Fills at a price, while these prices show what the account holds.
    pub fn fill_marked(
        &mut self,
        n: u128,
        qty: &str,
        at_price: &str,
        prices: &[(&str, &str)],
    ) -> Decision {
        let mut command = self.proposal(n, quantity(qty), price(at_price));
        if let Command::Fill { marks: shown, .. } = &mut command {
            *shown = marks(prices);
        }
        self.submit(&command).unwrap()
    }

    pub fn open_margin(&mut self, account: AccountId, balance: &str) {
        self.submit(&open_as(AccountKind::Margin, account, balance)).unwrap();
    }

    pub fn open(&mut self, account: AccountId, balance: &str) {
        self.submit(&open(account, balance)).unwrap();
    }

    pub fn list(&mut self, symbol: &str) {
        self.submit(&list(symbol)).unwrap();
    }

    pub fn place(&mut self, n: u128, spec: &OrderSpec, market: &MarketView) -> Decision {
        self.submit(&place(n, spec, market)).unwrap()
    }

    pub fn fill(&mut self, n: u128, qty: &str, at_price: &str) -> Decision {
        let command = self.proposal(n, quantity(qty), price(at_price));
        self.submit(&command).unwrap()
    }

    /// What the engine would propose for this order as it is.
    pub fn proposal(&mut self, n: u128, qty: Quantity, price: Price) -> Command {
        self.load(StreamId::Order(order_id(n)));
        let order = &self.orders[&order_id(n)];
        let execution = Execution {
            revision: order.revision(),
            after_fills: order.fills(),
            qty,
            price,
            evidence: evidence(self.log.len() as u64, price),
            legs: Vec::new(),
        };
        Command::Fill { order_id: order_id(n), execution, marks: Marks::new(), at: at(2) }
    }

    /// Buys at a price, whole.
    pub fn buy(&mut self, n: u128, account: AccountId, symbol: &str, qty: &str, limit: &str) {
        self.place(n, &spec(account, symbol, Side::Buy, qty, Some(limit)), &market(None));
        self.fill(n, qty, limit);
    }

    /// Begins, follows in one account with these orders, and completes a split.
    pub fn split(
        &mut self,
        action: &str,
        symbol: &str,
        ratio: (&str, &str),
        close: Option<&str>,
        account: AccountId,
        orders: &[u128],
    ) -> Decision {
        self.submit(&begin_split(action, symbol, ratio, close)).unwrap();
        let decision = self.submit(&follow_split(account, symbol, orders)).unwrap();
        let command = InstrumentCommand::CompleteSplit { action_id: action.into(), at: at(5) };
        self.submit(&Command::Instrument { instrument_id: stock(symbol), command }).unwrap();
        decision
    }

    pub fn cash(&self, account: AccountId) -> String {
        self.accounts[&account].cash().to_string()
    }

    pub fn reserved(&self, account: AccountId) -> String {
        self.accounts[&account].reserved().to_string()
    }
}

pub fn open(account: AccountId, balance: &str) -> Command {
    open_as(AccountKind::Cash, account, balance)
}

pub fn open_as(kind: AccountKind, account: AccountId, balance: &str) -> Command {
    let command = AccountCommand::Open {
        account_id: account,
        kind,
        option_level: 0,
        name_digest: "00".repeat(32),
        starting_balance: money(balance),
        deposit_id: command_id(0),
        at: None,
    };
    Command::Account { account_id: account, command }
}

pub fn list(symbol: &str) -> Command {
    let instrument_id = stock(symbol);
    let command = InstrumentCommand::List {
        instrument_id,
        symbol: symbol.into(),
        name: symbol.into(),
        kind: InstrumentKind::Stock,
        at: None,
    };
    Command::Instrument { instrument_id, command }
}

pub fn place(n: u128, spec: &OrderSpec, market: &MarketView) -> Command {
    Command::Place { order_id: order_id(n), spec: spec.clone(), market: market.clone() }
}

/// Changes an order, while `AAPL` stands at 100.01.
pub fn replace(n: u128, account_id: AccountId, change: OrderChange) -> Command {
    let market = market(Some("100.01"));
    Command::Replace { account_id, order_id: order_id(n), change, seen: None, market }
}

pub fn cancel(n: u128, account_id: AccountId) -> Command {
    let reason = CancelReason::Requested;
    Command::Cancel { account_id, order_id: order_id(n), reason, at: at(3) }
}

pub fn begin_split(
    action: &str,
    symbol: &str,
    (new, old): (&str, &str),
    close: Option<&str>,
) -> Command {
    let split = Split {
        numerator: quantity(new),
        denominator: quantity(old),
        last_close: close.map(price),
        at: at(4),
    };
    let command = InstrumentCommand::BeginSplit { action_id: action.into(), split };
    Command::Instrument { instrument_id: stock(symbol), command }
}

pub fn follow_split(account_id: AccountId, symbol: &str, orders: &[u128]) -> Command {
    let orders = orders.iter().map(|n| order_id(*n)).collect();
    Command::FollowSplit {
        account_id,
        instrument_id: stock(symbol),
        orders,
        contracts: Vec::new(),
        at: at(4),
    }
}

/// The fields of an order that are wrong by themselves.
pub fn faults(spec: &OrderSpec) -> Vec<&'static str> {
    let faults = spec.faults().into_iter();
    faults
        .map(|fault| match fault {
            OrderError::Malformed { field, .. } => field,
            other => panic!("{other}"),
        })
        .collect()
}
