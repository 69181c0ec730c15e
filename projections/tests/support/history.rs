//! A ledger in memory, for tests: commands are decided on real aggregates and their events recorded as rows of the
//! log, with any salt and leaf. No database.

use std::collections::BTreeMap;

use aggregates::account::{Account, AccountCommand, AccountKind, Policy, TradingState};
use aggregates::id::{
    AccountId, CommandId, InstrumentId, MARKET_TENANT, OPERATOR_TENANT, OrderId, TenantId, UserId,
};
use aggregates::instrument::{
    Contract, Instrument, InstrumentCommand, InstrumentKind, OptionTerms, Split,
};
use aggregates::margin::{Mark, Marks};
use aggregates::market::{Evidence, EvidenceTick, MarketTime, Reference};
use aggregates::money::{Price, Quantity};
use aggregates::order::{
    CancelReason, Execution, Exits, ExpiryReason, Leg, LegExecution, Order, OrderClass, OrderSpec,
    OrderType, Side, StopLoss, TakeProfit, TimeInForce, net_price,
};
use aggregates::position::Position;
use aggregates::rules::{FeeSchedule, Rules};
use aggregates::stream::{Decide, Event, StreamId};
use aggregates::trading::{BeforeSplit, Command, MarketView, Undecided, World, decide};
use aggregates::user::User;
use aggregates::writer::{Writer, WriterCommand};
use chrono::{DateTime, TimeDelta, Utc};
use projections::log::Recorded;
use proptest::prelude::*;
use uuid::Uuid;

/// The aggregates, and the log that made them.
#[derive(Default)]
pub struct History {
    pub accounts: BTreeMap<AccountId, Account>,
    pub orders: BTreeMap<OrderId, Order>,
    pub positions: BTreeMap<(AccountId, InstrumentId), Position>,
    pub instruments: BTreeMap<InstrumentId, Instrument>,
    pub users: BTreeMap<UserId, User>,
    pub writers: BTreeMap<u16, Writer>,
    pub log: Vec<Recorded>,
    sequences: BTreeMap<StreamId, u64>,
    steps: u64,
    /// How long one move takes; a second if it is not said.
    pub pace: Option<TimeDelta>,
}

/// What is not there is there as its default: a world knows everything.
struct Known<'a>(&'a History, Account, Order, Position, Instrument, User, Writer);

impl World for Known<'_> {
    fn account(&self, id: AccountId) -> Option<&Account> {
        Some(self.0.accounts.get(&id).unwrap_or(&self.1))
    }
    fn order(&self, id: OrderId) -> Option<&Order> {
        Some(self.0.orders.get(&id).unwrap_or(&self.2))
    }
    fn position(&self, account: AccountId, instrument: InstrumentId) -> Option<&Position> {
        Some(self.0.positions.get(&(account, instrument)).unwrap_or(&self.3))
    }
    fn holdings(&self, account: AccountId) -> Option<Vec<InstrumentId>> {
        Some(self.0.positions.keys().filter(|key| key.0 == account).map(|key| key.1).collect())
    }
    fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        Some(self.0.instruments.get(&id).unwrap_or(&self.4))
    }
    fn user(&self, id: UserId) -> Option<&User> {
        Some(self.0.users.get(&id).unwrap_or(&self.5))
    }
    fn writer(&self, shard: u16) -> Option<&Writer> {
        Some(self.0.writers.get(&shard).unwrap_or(&self.6))
    }
}

/// The instruments of every history.
pub const SYMBOLS: [&str; 3] = ["AAPL", "IBM", "MSFT"];

/// The options of every history, all on the first of the instruments.
pub const OPTIONS: [&str; 4] =
    ["AAPL261218C00095000", "AAPL261218C00100000", "AAPL261218P00095000", "AAPL261218P00100000"];

/// What an option is.
pub fn terms(symbol: &str) -> OptionTerms {
    let contract: Contract = symbol.parse().unwrap();
    OptionTerms::of(&contract, SYMBOLS[0], None, None).unwrap()
}

fn option_id(n: u8) -> InstrumentId {
    InstrumentId::of_symbol(OPTIONS[usize::from(n)])
}

pub fn account_id(n: u8) -> AccountId {
    AccountId::new(Uuid::from_u128(0xA000 + u128::from(n)))
}

pub fn order_id(n: u64) -> OrderId {
    OrderId::new(Uuid::from_u128(0xB000_0000 + u128::from(n)))
}

pub fn instrument_id(n: u8) -> InstrumentId {
    InstrumentId::of_symbol(SYMBOLS[usize::from(n) % SYMBOLS.len()])
}

/// The tenant of an account: two of three accounts are the operator's.
pub fn tenant_of(account: AccountId) -> TenantId {
    if account == account_id(2) { TenantId::new(Uuid::from_u128(77)) } else { OPERATOR_TENANT }
}

/// One thing that somebody tries; what is refused leaves no trace.
#[derive(Clone, Debug)]
pub enum Move {
    Deposit { account: u8, cents: u32 },
    Withdraw { account: u8, cents: u32 },
    Place { account: u8, instrument: u8, buy: bool, qty: u16, cents: Option<u16>, tif: u8 },
    PlaceOption { account: u8, option: u8, buy: bool, qty: u8, cents: u16 },
    PlaceLegs { account: u8, legs: Vec<(u8, bool)>, qty: u8, net_cents: i16 },
    Fill { order: u16, qty: u16, cents: u16 },
    ExpireContract { option: u8, cents: u16 },
    Exercise { account: u8, option: u8, qty: u8 },
    Assign { account: u8, option: u8, qty: u8 },
    Instruct { account: u8, option: u8, exercise: bool },
    Cancel { order: u16 },
    Expire { order: u16 },
    Halt { instrument: u8 },
    Close { instrument: u8, cents: u16 },
    Split { instrument: u8, numerator: u8, denominator: u8 },
    Dividend { instrument: u8, cents: u16 },
    Policy { account: u8, reducing: bool },
    Reset { account: u8, cents: u32 },
}

/// Any history of `moves` moves, trades more often than the rest.
pub fn moves(
    moves: impl Into<proptest::collection::SizeRange>,
) -> impl Strategy<Value = Vec<Move>> {
    let place = (0..3u8, 0..3u8, any::<bool>(), 1..200u16, any::<Option<u16>>(), 0..4u8).prop_map(
        |(account, instrument, buy, qty, cents, tif)| Move::Place {
            account,
            instrument,
            buy,
            qty,
            cents,
            tif,
        },
    );
    let option = (0..3u8, 0..4u8, any::<bool>(), 1..9u8, 1..1_000u16).prop_map(
        |(account, option, buy, qty, cents)| Move::PlaceOption { account, option, buy, qty, cents },
    );
    let legs = proptest::collection::vec((0..5u8, any::<bool>()), 2..4);
    let legs =
        (0..3u8, legs, 1..5u8, -500..2_000i16).prop_map(|(account, legs, qty, net_cents)| {
            Move::PlaceLegs { account, legs, qty, net_cents }
        });
    let ended = (0..3u8, 0..4u8, 1..5u8);
    let exercise =
        ended.clone().prop_map(|(account, option, qty)| Move::Exercise { account, option, qty });
    let assign = ended.prop_map(|(account, option, qty)| Move::Assign { account, option, qty });
    let instruct = (0..3u8, 0..4u8, any::<bool>())
        .prop_map(|(account, option, exercise)| Move::Instruct { account, option, exercise });
    // Most of these are of no option: what has expired is not traded any more.
    let expire = (0..40u8, 9_000..10_500u16)
        .prop_map(|(option, cents)| Move::ExpireContract { option, cents });
    let one = prop_oneof![
        4 => exercise,
        4 => assign,
        8 => instruct,
        1 => expire,
        16 => option,
        16 => legs,
        8 => (0..3u8, 1..5_000_000u32).prop_map(|(account, cents)| Move::Deposit { account, cents }),
        4 => (0..3u8, 1..500_000u32).prop_map(|(account, cents)| Move::Withdraw { account, cents }),
        48 => place,
        48 => (any::<u16>(), 1..200u16, 1..20_000u16)
            .prop_map(|(order, qty, cents)| Move::Fill { order, qty, cents }),
        12 => any::<u16>().prop_map(|order| Move::Cancel { order }),
        8 => any::<u16>().prop_map(|order| Move::Expire { order }),
        4 => (0..3u8).prop_map(|instrument| Move::Halt { instrument }),
        4 => (0..3u8, 1..20_000u16).prop_map(|(instrument, cents)| Move::Close { instrument, cents }),
        4 => (0..3u8, 1..5u8, 1..4u8).prop_map(|(instrument, numerator, denominator)| Move::Split {
            instrument,
            numerator,
            denominator,
        }),
        4 => (0..3u8, 1..300u16).prop_map(|(instrument, cents)| Move::Dividend { instrument, cents }),
        4 => (0..3u8, any::<bool>()).prop_map(|(account, reducing)| Move::Policy { account, reducing }),
        1 => (0..3u8, 0..5_000_000u32).prop_map(|(account, cents)| Move::Reset { account, cents }),
    ];
    proptest::collection::vec(one, moves)
}

fn cents(value: impl Into<u64>) -> String {
    let value: u64 = value.into();
    format!("{}.{:02}", value / 100, value % 100)
}

fn price(value: u16) -> Price {
    cents(value.max(1)).parse().unwrap()
}

fn shares(value: u16) -> Quantity {
    value.to_string().parse().unwrap()
}

fn wall_clock() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 123_456_000).unwrap()
}

impl History {
    /// A history with its writer, instruments and accounts.
    pub fn begin() -> Self {
        let mut history = Self::default();
        let command =
            WriterCommand::TakeOver { epoch: 1, key_name: "test".into(), public_key: "key".into() };
        history.submit(&Command::Writer { shard: 0, command });
        for symbol in SYMBOLS {
            let instrument_id = InstrumentId::of_symbol(symbol);
            let command = InstrumentCommand::List {
                instrument_id,
                symbol: symbol.into(),
                name: format!("{symbol} Inc."),
                kind: InstrumentKind::Stock,
                at: None,
            };
            history.submit(&Command::Instrument { instrument_id, command });
        }
        for symbol in OPTIONS {
            let instrument_id = InstrumentId::of_symbol(symbol);
            let command = InstrumentCommand::List {
                instrument_id,
                symbol: symbol.into(),
                name: symbol.into(),
                kind: InstrumentKind::Option,
                at: None,
            };
            history.submit(&Command::Instrument { instrument_id, command });
        }
        for n in 0..3 {
            let account_id = account_id(n);
            let command = AccountCommand::Open {
                account_id,
                // The second one sells short.
                kind: if n == 1 { AccountKind::Margin } else { AccountKind::Cash },
                option_level: if n == 1 { 4 } else { 2 },
                name_digest: "00".into(),
                starting_balance: "50000".parse().unwrap(),
                deposit_id: CommandId::default(),
                at: None,
            };
            history.submit(&Command::Account { account_id, command });
        }
        history
    }

    /// A history in which all of `moves` were tried.
    pub fn of(moves: &[Move]) -> Self {
        let mut history = Self::begin();
        for one in moves {
            history.try_move(one);
        }
        history
    }

    /// Every stock at 100, every option at 4.
    fn marks(&self) -> Marks {
        let mark = |cents| {
            let seen = Reference { price: price(cents), source: "test".into(), at: self.at() };
            Mark { long: seen.clone(), short: seen }
        };
        let stocks = SYMBOLS.map(|symbol| (InstrumentId::of_symbol(symbol), mark(10_000)));
        let options = self.instruments.iter().filter(|(_, it)| it.kind() == InstrumentKind::Option);
        stocks.into_iter().chain(options.map(|(id, _)| (*id, mark(400)))).collect()
    }

    fn at(&self) -> MarketTime {
        let start: MarketTime = "2026-11-23T14:30:00Z".parse().unwrap();
        let pace = self.pace.unwrap_or(TimeDelta::seconds(1));
        start + pace * i32::try_from(self.steps).unwrap()
    }

    /// Decides and records. False: refused.
    pub fn submit(&mut self, command: &Command) -> bool {
        let rules = Rules {
            fees: FeeSchedule {
                per_fill: "0.05".parse().unwrap(),
                per_share: "0.001".parse().unwrap(),
                per_contract: "0.65".parse().unwrap(),
            },
            ..Rules::default()
        };
        let known = Known(
            self,
            Account::default(),
            Order::default(),
            Position::default(),
            Instrument::default(),
            User::default(),
            Writer::default(),
        );
        match decide(&known, command, &rules) {
            Ok(decision) => {
                for (stream, event) in decision.events {
                    self.record(stream, &event);
                }
                true
            }
            Err(Undecided::Refused(_)) => false,
            Err(Undecided::Absent(stream)) => panic!("{stream} is known"),
        }
    }

    fn record(&mut self, stream: StreamId, event: &Event) {
        match (stream, event) {
            (StreamId::Account(id), Event::Account(event)) => {
                self.accounts.entry(id).or_default().evolve(event).unwrap();
            }
            (StreamId::Order(id), Event::Order(event)) => {
                self.orders.entry(id).or_default().evolve(event).unwrap();
            }
            (StreamId::Position(account, instrument), Event::Position(event)) => {
                self.positions.entry((account, instrument)).or_default().evolve(event).unwrap();
            }
            (StreamId::Instrument(id), Event::Instrument(event)) => {
                self.instruments.entry(id).or_default().evolve(event).unwrap();
            }
            (StreamId::User(id), Event::User(event)) => {
                self.users.entry(id).or_default().evolve(event).unwrap();
            }
            (StreamId::Writer(shard), Event::Writer(event)) => {
                self.writers.entry(shard).or_default().evolve(event).unwrap();
            }
            _ => panic!("an event of {stream} is of another kind"),
        }
        let account_id = match stream {
            StreamId::Account(id) | StreamId::Position(id, _) => Some(id),
            StreamId::Order(id) => self.orders[&id].spec().map(|spec| spec.account_id),
            StreamId::Instrument(_) | StreamId::User(_) | StreamId::Writer(_) => None,
        };
        let sequence = self.sequences.entry(stream).or_default();
        *sequence += 1;
        let position = self.log.len() as u64 + 1;
        self.log.push(Recorded {
            shard: 0,
            position,
            tenant_id: match (stream, account_id) {
                (_, Some(account)) => tenant_of(account),
                (StreamId::Instrument(_), None) => MARKET_TENANT,
                _ => OPERATOR_TENANT,
            },
            account_id,
            stream,
            sequence: *sequence,
            event_type: event.event_type(),
            event_version: event.event_version(),
            payload: event.payload().unwrap(),
            metadata: "{}".into(),
            recorded_at: wall_clock() + TimeDelta::microseconds(position.cast_signed()),
            salt: [7; 16],
            leaf: [9; 32],
        });
    }

    fn nth_order(&self, n: u16) -> Option<(OrderId, &Order)> {
        let open: Vec<_> = self.orders.iter().filter(|(_, order)| order.is_open()).collect();
        if open.is_empty() {
            return None;
        }
        let (id, order) = open[usize::from(n) % open.len()];
        Some((*id, order))
    }

    /// Tries one move. False: refused, or nothing to move.
    pub fn try_move(&mut self, one: &Move) -> bool {
        self.steps += 1;
        let at = self.at();
        match one.clone() {
            Move::Deposit { account, cents: value } => {
                let command = AccountCommand::Deposit {
                    deposit_id: CommandId::default(),
                    amount: cents(value).parse().unwrap(),
                    at: Some(at),
                };
                self.submit(&Command::Account { account_id: account_id(account), command })
            }
            Move::Withdraw { account, cents: value } => self.submit(&Command::Withdraw {
                account_id: account_id(account),
                withdrawal_id: CommandId::default(),
                amount: cents(value).parse().unwrap(),
                marks: self.marks(),
                at: Some(at),
            }),
            Move::Place { account, instrument, buy, qty, cents, tif } => {
                self.place(account, instrument, buy, qty, cents, tif)
            }
            Move::PlaceOption { account, option, buy, qty, cents } => {
                self.place_option(account, option, buy, qty, cents)
            }
            Move::PlaceLegs { account, legs, qty, net_cents } => {
                self.place_legs(account, &legs, qty, net_cents)
            }
            Move::ExpireContract { option, cents } => self.expire_contract(option, price(cents)),
            Move::Exercise { account, option, qty } => self.submit(&Command::Exercise {
                account_id: account_id(account),
                instrument_id: option_id(option),
                exercise_id: self.command_id(),
                qty: shares(qty.into()),
                contract_end: None,
                underlying: Some(Reference { price: price(10_000), source: "test".into(), at }),
                marks: self.marks(),
                at,
            }),
            Move::Assign { account, option, qty } => self.submit(&Command::Assign {
                account_id: account_id(account),
                instrument_id: option_id(option),
                assignment_id: self.command_id(),
                qty: shares(qty.into()),
                contract_end: None,
                marks: self.marks(),
                at,
            }),
            Move::Instruct { account, option, exercise } => {
                let (account_id, instrument_id) = (account_id(account), option_id(option));
                let contract_end = None;
                let instruct = Command::InstructExercise {
                    account_id,
                    instrument_id,
                    exercise,
                    contract_end,
                    at,
                };
                self.submit(&instruct)
            }
            Move::Fill { order, qty, cents } => self.fill(order, qty, cents),
            Move::Cancel { order } => {
                let Some((order_id, found)) = self.nth_order(order) else { return false };
                let account_id = found.spec().unwrap().account_id;
                let reason = CancelReason::Requested;
                self.submit(&Command::Cancel { account_id, order_id, reason, at })
            }
            Move::Expire { order } => {
                let Some((order_id, _)) = self.nth_order(order) else { return false };
                let reason = ExpiryReason::SessionClosed;
                self.submit(&Command::Expire { order_id, reason, at })
            }
            Move::Halt { instrument } => {
                let instrument_id = instrument_id(instrument);
                let reason = "LUDP".to_owned();
                let command = if self.instruments[&instrument_id].is_halted() {
                    InstrumentCommand::Resume { reason, at }
                } else {
                    InstrumentCommand::Halt { reason, at }
                };
                self.submit(&Command::Instrument { instrument_id, command })
            }
            Move::Close { instrument, cents } => {
                let command = InstrumentCommand::Close {
                    session: "2000-01-03".parse::<chrono::NaiveDate>().unwrap()
                        + TimeDelta::days(self.steps.cast_signed()),
                    price: price(cents),
                    source: "test".into(),
                    quote: None,
                    at,
                };
                let instrument_id = instrument_id(instrument);
                self.submit(&Command::Instrument { instrument_id, command })
            }
            Move::Split { instrument, numerator, denominator } => {
                self.split(instrument_id(instrument), numerator, denominator)
            }
            Move::Dividend { instrument, cents } => self.dividend(instrument_id(instrument), cents),
            Move::Reset { account, cents: value } => self.submit(&Command::Reset {
                account_id: account_id(account),
                reset_id: CommandId::default(),
                balance: cents(value).parse().unwrap(),
                at: Some(at),
            }),
            Move::Policy { account, reducing } => {
                let trading_state =
                    if reducing { TradingState::Reducing } else { TradingState::Active };
                let policy = Policy { trading_state, ..Policy::default() };
                let command = AccountCommand::ChangePolicy { change: policy.into() };
                self.submit(&Command::Account { account_id: account_id(account), command })
            }
        }
    }

    fn place(
        &mut self,
        account: u8,
        instrument: u8,
        buy: bool,
        qty: u16,
        limit: Option<u16>,
        tif: u8,
    ) -> bool {
        let (account_id, instrument_id) = (account_id(account), instrument_id(instrument));
        let free = self.positions.get(&(account_id, instrument_id));
        let free = free.map_or(Quantity::ZERO, |held| held.available().unwrap());
        // Every other sell is of all there is, so that positions close too.
        let all = !buy && qty.is_multiple_of(2) && free.is_positive();
        // Two of three that may rest have exits.
        let (rests, with_exits) = (tif % 4 < 2, !qty.is_multiple_of(3));
        let take_profit = Some(TakeProfit { limit_price: price(40_000) });
        let stop_loss = Some(StopLoss { stop_price: price(50), limit_price: None });
        let (order_class, exits) = match (buy, limit) {
            (true, _) if rests && with_exits => {
                (OrderClass::Bracket, Exits { take_profit, stop_loss })
            }
            (false, Some(_)) if rests && with_exits => {
                (OrderClass::Oco, Exits { take_profit: None, stop_loss })
            }
            _ => (OrderClass::Simple, Exits::default()),
        };
        let spec = OrderSpec {
            account_id,
            instrument_id,
            symbol: SYMBOLS[usize::from(instrument)].into(),
            side: if buy { Side::Buy } else { Side::Sell },
            order_type: if limit.is_some() { OrderType::Limit } else { OrderType::Market },
            qty: if all { free } else { shares(qty) },
            notional: None,
            limit_price: limit.map(|limit| price(limit.max(100))),
            stop_price: None,
            trail: None,
            limit_offset: None,
            activation_price: None,
            trigger_by: None,
            good_till: None,
            time_in_force: [TimeInForce::Day, TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok]
                [usize::from(tif) % 4],
            extended_hours: false,
            order_class,
            client_order_id: format!("c-{}", self.steps),
            note_digest: None,
            contract: None,
            position_intent: None,
            legs: None,
            parent_order_id: None,
            exits: Some(Box::new(exits)).filter(|_| order_class != OrderClass::Simple),
        };
        self.submit(&Command::Place { order_id: order_id(self.steps), spec, market: self.market() })
    }

    /// The market as an order meets it.
    fn market(&self) -> MarketView {
        let at = self.at();
        MarketView {
            at,
            tape_place: self.steps,
            reference: Some(Reference { price: price(10_000), source: "test".into(), at }),
            session_close: at + TimeDelta::hours(6),
            extended_close: at + TimeDelta::hours(6),
            open: true,
            marks: self.marks(),
            auction: None,
            contracts: OPTIONS
                .map(|symbol| (InstrumentId::of_symbol(symbol), terms(symbol)))
                .into(),
            contracts_end: Some("2026-12-18T21:00:00Z".parse().unwrap()),
        }
    }

    /// An order of options by its legs or by its one contract: the limit in dollars a share.
    fn option_order(&self, account: u8, symbol: &str, qty: u8, limit: &str) -> OrderSpec {
        OrderSpec {
            account_id: account_id(account),
            instrument_id: InstrumentId::of_symbol(symbol),
            symbol: symbol.into(),
            side: Side::Buy,
            order_type: OrderType::Limit,
            qty: shares(qty.into()),
            notional: None,
            limit_price: Some(limit.parse().unwrap()),
            stop_price: None,
            trail: None,
            limit_offset: None,
            activation_price: None,
            trigger_by: None,
            good_till: None,
            time_in_force: TimeInForce::Gtc,
            extended_hours: false,
            order_class: OrderClass::Simple,
            client_order_id: format!("c-{}", self.steps),
            note_digest: None,
            contract: None,
            position_intent: None,
            legs: None,
            parent_order_id: None,
            exits: None,
        }
    }

    fn place_option(&mut self, account: u8, option: u8, buy: bool, qty: u8, limit: u16) -> bool {
        let symbol = OPTIONS[usize::from(option)];
        let side = if buy { Side::Buy } else { Side::Sell };
        let spec = OrderSpec { side, ..self.option_order(account, symbol, qty, &cents(limit)) };
        self.submit(&Command::Place { order_id: order_id(self.steps), spec, market: self.market() })
    }

    /// Legs of one contract each; the last of them is a hundred shares.
    fn place_legs(&mut self, account: u8, legs: &[(u8, bool)], qty: u8, net: i16) -> bool {
        let leg = |(n, buy): &(u8, bool)| {
            let (symbol, ratio_qty) = match OPTIONS.get(usize::from(*n)) {
                Some(symbol) => (*symbol, 1),
                None => (SYMBOLS[0], 100),
            };
            Leg {
                instrument_id: InstrumentId::of_symbol(symbol),
                symbol: symbol.into(),
                side: if *buy { Side::Buy } else { Side::Sell },
                ratio_qty,
                position_intent: None,
                contract: None,
            }
        };
        let net = match net < 0 {
            true => format!("-{}", cents(net.unsigned_abs())),
            false => cents(net.unsigned_abs()),
        };
        let spec = OrderSpec {
            order_class: OrderClass::Mleg,
            legs: Some(legs.iter().map(leg).collect()),
            ..self.option_order(account, SYMBOLS[0], qty, &net)
        };
        self.submit(&Command::Place { order_id: order_id(self.steps), spec, market: self.market() })
    }

    /// Each leg at its price, as the quotes of that moment were.
    fn leg_executions(&self, spec: &OrderSpec, cents: u16) -> Vec<LegExecution> {
        let legs = spec.legs.iter().flatten().zip(1..);
        let executed = legs.map(|(leg, n): (_, u16)| {
            let each = if leg.contract.is_some() { 1 + cents % 900 * n } else { 10_000 };
            let (price, size) = (price(each), shares(500));
            let tick =
                EvidenceTick::Quote { bid: price, bid_size: size, ask: price, ask_size: size };
            let (source, at) = ("test".to_owned(), self.at());
            let evidence = Evidence { source, tape_place: self.steps, at, tick };
            LegExecution { instrument_id: leg.instrument_id, price, evidence }
        });
        executed.collect()
    }

    fn fill(&mut self, order: u16, qty: u16, cents: u16) -> bool {
        let at = self.at();
        let tape_place = self.steps;
        let Some((order_id, found)) = self.nth_order(order) else { return false };
        let spec = found.spec().unwrap();
        let executed = self.leg_executions(spec, cents);
        let price = match (spec.side, spec.limit_price) {
            _ if spec.order_class == OrderClass::Mleg => {
                let legs = spec.legs.as_deref().unwrap();
                net_price(legs, executed.iter().map(|leg| leg.price)).unwrap()
            }
            (Side::Buy, Some(limit)) => limit.min(price(cents)),
            (Side::Sell, Some(limit)) => limit.max(price(cents)),
            (_, None) => price(cents),
        };
        let leaves = found.leaves_qty().unwrap();
        let execution = Execution {
            revision: found.revision(),
            after_fills: found.fills(),
            qty: if qty.is_multiple_of(2) { leaves } else { shares(qty).min(leaves) },
            price,
            evidence: Evidence {
                source: "test".into(),
                tape_place,
                at,
                tick: EvidenceTick::Quote {
                    bid: price,
                    bid_size: shares(100),
                    ask: price,
                    ask_size: shares(100),
                },
            },
            legs: executed,
        };
        self.submit(&Command::Fill { order_id, execution, marks: self.marks(), at })
    }

    /// Ends command by command differ.
    fn command_id(&self) -> CommandId {
        CommandId::new(Uuid::from_u128(0xC000_0000 + u128::from(self.steps)))
    }

    /// An option expires with what it is on at this price, and every account is settled.
    fn expire_contract(&mut self, option: u8, price: Price) -> bool {
        let Some(symbol) = OPTIONS.get(usize::from(option)) else { return false };
        let (at, instrument_id, terms) = (self.at(), option_id(option), terms(symbol));
        let (session, underlying_id) = (terms.expiration, terms.underlying_id);
        let command = InstrumentCommand::Expire {
            session,
            price,
            source: "test".into(),
            last_price_at: None,
            at,
        };
        let expired = self.submit(&Command::Instrument { instrument_id, command });
        for n in 0..3 {
            let account_id = account_id(n);
            let open = self.orders.iter().filter(|(_, order)| order.is_open());
            let of_it = open.filter(|(_, order)| {
                let spec = order.spec().unwrap();
                spec.account_id == account_id && spec.instruments().contains(&instrument_id)
            });
            let orders = of_it.map(|(id, _)| *id).collect();
            let bid = Reference { price: "0.02".parse().unwrap(), source: "test".into(), at };
            let contracts = vec![(instrument_id, Some(bid))];
            let marks = self.marks();
            self.submit(&Command::SettleExpired {
                account_id,
                underlying_id,
                session,
                contracts,
                orders,
                marks,
                at,
            });
        }
        let command = InstrumentCommand::CompleteExpiry { at };
        self.submit(&Command::Instrument { instrument_id, command });
        expired
    }

    fn open_orders_of(&self, account: AccountId, instrument: InstrumentId) -> Vec<OrderId> {
        self.orders
            .iter()
            .filter(|(_, order)| order.is_open())
            .filter(|(_, order)| {
                let spec = order.spec().unwrap();
                (spec.account_id, spec.splits_with()) == (account, instrument)
            })
            .map(|(id, _)| *id)
            .collect()
    }

    /// The options on an instrument that an account holds.
    fn contracts_on(&self, account: AccountId, instrument: InstrumentId) -> Vec<InstrumentId> {
        let held = self.positions.iter().filter(|((of, _), held)| {
            let on = held.contract().is_some_and(|terms| terms.underlying_id == instrument);
            *of == account && on && !held.qty().is_zero()
        });
        held.map(|((_, option), _)| *option).collect()
    }

    /// Lists what a contract becomes when it is split so many for one; what is listed already is so.
    fn list_adjusted(&mut self, option: InstrumentId, times: Quantity) {
        let contract: Contract = self.instruments[&option].symbol().parse().unwrap();
        let Ok(adjusted) = contract.divided_by(times.max(shares(1))) else { return };
        let symbol = adjusted.to_string();
        let (instrument_id, name) = (InstrumentId::of_symbol(&symbol), symbol.clone());
        let (kind, at) = (InstrumentKind::Option, None);
        let command = InstrumentCommand::List { instrument_id, symbol, name, kind, at };
        self.submit(&Command::Instrument { instrument_id, command });
    }

    /// A split, followed by every account that holds or orders the instrument.
    fn split(&mut self, instrument_id: InstrumentId, numerator: u8, denominator: u8) -> bool {
        let at = self.at();
        if numerator == denominator {
            return false;
        }
        let action_id = format!("split-{}", self.steps);
        let split = Split {
            numerator: shares(numerator.into()),
            denominator: shares(denominator.into()),
            last_close: Some(price(10_000)),
            at,
        };
        let command = InstrumentCommand::BeginSplit { action_id: action_id.clone(), split };
        let begun = self.submit(&Command::Instrument { instrument_id, command });
        for n in 0..3 {
            let account_id = account_id(n);
            let orders = self.open_orders_of(account_id, instrument_id);
            let contracts = self.contracts_on(account_id, instrument_id);
            for contract in &contracts {
                self.list_adjusted(*contract, shares((numerator / denominator).into()));
            }
            let held = self.positions.get(&(account_id, instrument_id));
            let holds = !contracts.is_empty() || held.is_some_and(|held| !held.qty().is_zero());
            if !orders.is_empty() || holds {
                // Every other one has a price.
                let mark =
                    || Reference { price: "4.125".parse().unwrap(), source: "test".into(), at };
                let before = |n| BeforeSplit { worth: (n % 2 == 0).then(mark), listed: None };
                let priced = |(n, id): (usize, _)| (id, before(n));
                let contracts = contracts.into_iter().enumerate().map(priced).collect();
                self.submit(&Command::FollowSplit {
                    account_id,
                    instrument_id,
                    orders,
                    contracts,
                    at,
                });
            }
        }
        let command = InstrumentCommand::CompleteSplit { action_id, at };
        self.submit(&Command::Instrument { instrument_id, command });
        begun
    }

    /// A dividend, accrued and paid in every position.
    fn dividend(&mut self, instrument_id: InstrumentId, cents: u16) -> bool {
        let at = self.at();
        let action_id = format!("dividend-{}", self.steps);
        let day = at.date_naive();
        let command = InstrumentCommand::DeclareDividend {
            action_id: action_id.clone(),
            amount: price(cents),
            ex: day,
            pay: day,
            at,
        };
        let declared = self.submit(&Command::Instrument { instrument_id, command });
        let holders: Vec<(AccountId, Quantity)> = self
            .positions
            .iter()
            .filter(|((_, instrument), held)| *instrument == instrument_id && !held.qty().is_zero())
            .map(|((account, _), held)| (*account, held.qty()))
            .collect();
        for (account_id, qty) in &holders {
            let (account_id, qty, action_id) = (*account_id, *qty, action_id.clone());
            self.submit(&Command::AccrueDividend { account_id, instrument_id, action_id, qty, at });
        }
        let command = InstrumentCommand::CompleteAccrual { action_id: action_id.clone(), at };
        self.submit(&Command::Instrument { instrument_id, command });
        for (account_id, _) in holders {
            let action_id = action_id.clone();
            self.submit(&Command::PayDividend { account_id, instrument_id, action_id, at });
        }
        let command = InstrumentCommand::CompleteDividend { action_id, at };
        self.submit(&Command::Instrument { instrument_id, command });
        declared
    }
}
