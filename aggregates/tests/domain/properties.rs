//! Random commands over two accounts and two stocks. What is checked after every event, after every command and at
//! the end is what the ledger promises at any version.

use std::collections::BTreeMap;

use aggregates::account::AccountCommand;
use aggregates::id::{AccountId, OrderId};
use aggregates::instrument::InstrumentCommand;
use aggregates::margin::Marks;
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{ExpiryReason, OrderChange, Side, TimeInForce};
use aggregates::position::Position;
use aggregates::rules::{FeeSchedule, Rules};
use aggregates::stream::StreamId;
use aggregates::trading::Command;
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::book::*;
use crate::invariants::{check_account, check_order, check_position, refold};
use crate::oracle::Oracle;
use crate::previews;

const SYMBOLS: [&str; 2] = ["AAPL", "F"];

/// Quantities that stand for all and for half of what is free: of the shares for a sell, of the cash for a buy, so that
/// positions get closed and cash runs out.
const ALL_FREE: u64 = 0;
const HALF_FREE: u64 = 1;

#[derive(Clone, Debug)]
enum Step {
    Deposit {
        account: u8,
        cents: u32,
    },
    Withdraw {
        account: u8,
        cents: u32,
    },
    Place {
        account: u8,
        symbol: usize,
        sells: bool,
        billionths: u64,
        cents: Option<u32>,
        gtc: bool,
    },
    Fill {
        order: u8,
        percent: u8,
        offset: i16,
    },
    Replace {
        order: u8,
        percent: u8,
        cents: Option<u32>,
        gtc: bool,
    },
    Cancel {
        order: u8,
    },
    CancelAll {
        account: u8,
    },
    Expire {
        order: u8,
    },
    Split {
        symbol: usize,
        new: u8,
        old: u8,
        close: u32,
    },
    Dividend {
        symbol: usize,
        mills: u16,
    },
    Reset {
        account: u8,
        cents: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let fractional = prop_oneof![
        4 => (1u64..60).prop_map(|whole| whole * 1_000_000_000),
        1 => 2u64..20_000_000_000,
        2 => Just(ALL_FREE),
        2 => Just(HALF_FREE),
    ];
    let order = (
        0u8..2,
        0usize..2,
        any::<bool>(),
        fractional,
        prop::option::of(1u32..30_000),
        any::<bool>(),
    );
    prop_oneof![
        6 => (0u8..2, 1u32..500_000).prop_map(|(account, cents)| Step::Deposit { account, cents }),
        6 => (0u8..2, 1u32..500_000).prop_map(|(account, cents)| Step::Withdraw { account, cents }),
        48 => order.prop_map(|(account, symbol, sells, billionths, cents, gtc)| {
            Step::Place { account, symbol, sells, billionths, cents, gtc }
        }),
        72 => (any::<u8>(), prop_oneof![Just(100), 1u8..100], -20i16..20)
            .prop_map(|(order, percent, offset)| Step::Fill { order, percent, offset }),
        16 => (any::<u8>(), prop_oneof![Just(100), 1u8..150], prop::option::of(1u32..30_000), any::<bool>())
            .prop_map(|(order, percent, cents, gtc)| Step::Replace { order, percent, cents, gtc }),
        12 => any::<u8>().prop_map(|order| Step::Cancel { order }),
        2 => (0u8..2).prop_map(|account| Step::CancelAll { account }),
        6 => any::<u8>().prop_map(|order| Step::Expire { order }),
        6 => (0usize..2, 1u8..8, 1u8..8, 1u32..50_000)
            .prop_map(|(symbol, new, old, close)| Step::Split { symbol, new, old, close }),
        6 => (0usize..2, 1u16..2000).prop_map(|(symbol, mills)| Step::Dividend { symbol, mills }),
        1 => (0u8..2, 0u32..2_000_000).prop_map(|(account, cents)| Step::Reset { account, cents }),
    ]
}

fn fees() -> impl Strategy<Value = FeeSchedule> {
    prop_oneof![
        2 => Just(FeeSchedule::default()),
        1 => Just(FeeSchedule { per_fill: money("0.35"), per_share: price("0.0035"), ..FeeSchedule::default() }),
    ]
}

/// A book under test, and what the checks have to remember.
struct Run {
    book: Book,
    oracle: Oracle,
    read: usize,
    orders: Vec<(u128, AccountId, usize)>,
    filled: BTreeMap<OrderId, Quantity>,
    available: BTreeMap<AccountId, Decimal>,
    actions: u32,
}

impl Run {
    fn new(fees: FeeSchedule) -> Self {
        let mut book = Book { rules: Rules { fees, ..Rules::default() }, ..Book::default() };
        for symbol in SYMBOLS {
            book.list(symbol);
        }
        book.open(account_id(0), "20000");
        book.open(account_id(1), "500.05");
        let available = BTreeMap::new();
        let (oracle, orders, filled) = (Oracle::default(), Vec::new(), BTreeMap::new());
        Self { book, oracle, read: 0, orders, filled, available, actions: 0 }
    }

    /// Submits, and checks after every event; a command that acts is delivered again and may not act twice.
    fn submit(&mut self, command: &Command) -> bool {
        let (filled, available) = (&mut self.filled, &mut self.available);
        let done = self.book.submit_checked(command, |book| {
            let (stream, event) = book.log.last().unwrap();
            match stream {
                StreamId::Account(id) => check_account(book, *id, event, available),
                StreamId::Position(account, instrument) => {
                    let position = &book.positions[&(*account, *instrument)];
                    check_position(position);
                }
                StreamId::Order(id) => check_order(book, *id, filled),
                _ => {}
            }
        });
        let acted = done.is_ok_and(|decision| !decision.events.is_empty());
        if acted {
            self.check_books();
            let repeats = matches!(
                command,
                Command::Reset { .. }
                    | Command::Withdraw { .. }
                    | Command::Account { command: AccountCommand::Deposit { .. }, .. }
            );
            if !repeats {
                let again = self.book.decide(command).map(|decision| decision.events);
                assert!(
                    again.as_ref().is_ok_and(Vec::is_empty) || again.is_err(),
                    "{command:?} acts twice: {again:?}"
                );
            }
        }
        acted
    }

    /// What holds between commands.
    fn check_books(&mut self) {
        for (stream, event) in &self.book.log[self.read..] {
            self.oracle.read(&stream.aggregate_id(), &event.payload().unwrap());
        }
        self.read = self.book.log.len();
        for (id, account) in &self.book.accounts {
            let expected = self.oracle.cash.get(&id.to_string()).copied().unwrap_or_default();
            assert_eq!(scaled(account.cash().decimal(), 2), expected, "cash of {id}");
            for order in account.reservations().keys() {
                assert!(self.book.orders[order].is_open(), "{order} ended and reserves cash");
            }
        }
        for ((account, instrument), position) in &self.book.positions {
            let Some(held) = self.oracle.holdings.get(&format!("{account}/{instrument}")) else {
                assert!(position.qty().is_zero());
                continue;
            };
            assert_eq!(scaled(position.qty().decimal(), 9), held.qty, "holding");
            assert_eq!(scaled(position.cost().unwrap().decimal(), 2), held.cost(), "cost");
            assert_eq!(scaled(position.realized_pl().decimal(), 2), held.realized, "realized");
            let lots: Vec<_> = position
                .lots()
                .map(|lot| (scaled(lot.qty.decimal(), 9), scaled(lot.cost.decimal(), 2)))
                .collect();
            assert!(lots.iter().eq(held.lots.iter()), "lots {lots:?}, not {:?}", held.lots);
        }
        for (id, order) in &self.book.orders {
            let Some(spec) = order.spec() else { continue };
            let reserved = self
                .book
                .positions
                .get(&(spec.account_id, spec.instrument_id))
                .map_or(Quantity::ZERO, |position| position.reservation(*id));
            let cash = self.book.accounts[&spec.account_id].reservation(*id);
            let expected = match (order.is_open(), spec.side) {
                (true, Side::Sell) => order.leaves_qty().unwrap(),
                _ => Quantity::ZERO,
            };
            assert_eq!(reserved, expected, "shares reserved by {id}");
            if !(order.is_open() && spec.side == Side::Buy) {
                assert!(cash.is_zero(), "{id} reserves {cash}");
            } else {
                let worst =
                    order.worst_cost(order.leaves_qty().unwrap(), &self.book.rules).unwrap();
                assert!(cash <= worst, "{id} reserves {cash}, its worst cost is {worst}");
                assert!(cash == worst || !self.book.rules.fees.per_share.is_zero());
            }
            let filled = self.oracle.filled.get(&id.to_string()).copied().unwrap_or_default();
            assert_eq!(scaled(order.filled_qty().decimal(), 9), filled, "filled of {id}");
        }
    }

    fn take(&mut self, step: &Step, n: u128) -> bool {
        let account = |n: u8| account_id(u128::from(n));
        match step {
            Step::Deposit { account: owner, cents } => {
                let amount = Money::new(Decimal::new(i64::from(*cents), 2)).unwrap();
                let command =
                    AccountCommand::Deposit { deposit_id: command_id(n), amount, at: None };
                self.submit(&Command::Account { account_id: account(*owner), command })
            }
            Step::Withdraw { account: owner, cents } => {
                let amount = Money::new(Decimal::new(i64::from(*cents), 2)).unwrap();
                let (account_id, withdrawal_id) = (account(*owner), command_id(n));
                let marks = Marks::new();
                self.submit(&Command::Withdraw {
                    account_id,
                    withdrawal_id,
                    amount,
                    marks,
                    at: None,
                })
            }
            Step::Place { account: owner, symbol, sells, billionths, cents, gtc } => {
                let side = if *sells { Side::Sell } else { Side::Buy };
                let free = self.free(account(*owner), *symbol, side, *cents);
                let qty = match *billionths {
                    ALL_FREE => free,
                    HALF_FREE => free / Decimal::TWO,
                    billionths => Decimal::from_i128_with_scale(i128::from(billionths), 9),
                };
                let qty = if side == Side::Buy && *billionths <= HALF_FREE {
                    qty.floor()
                } else {
                    qty.trunc_with_scale(9)
                };
                let qty = qty.normalize().to_string();
                let limit = cents.map(|cents| Decimal::new(i64::from(cents), 2).to_string());
                let mut order =
                    spec(account(*owner), SYMBOLS[*symbol], side, &qty, limit.as_deref());
                if *gtc && order.qty.is_whole() {
                    order.time_in_force = TimeInForce::Gtc;
                }
                self.orders.push((n, order.account_id, *symbol));
                let market = market(Some("100.01"));
                let foretold = previews::foretell(&mut self.book, n, &order, &market);
                let acted = self.submit(&place(n, &order, &market));
                previews::check(&self.book, n, &order, foretold);
                acted
            }
            Step::Fill { order, percent, offset } => {
                let Some((n, ..)) = self.pick(*order) else { return false };
                let Some(order) = self.book.orders.get(&order_id(n)) else { return false };
                let (Some(spec), true) = (order.spec(), order.is_open()) else { return false };
                let leaves = order.leaves_qty().unwrap().decimal();
                let part = leaves * Decimal::from(*percent) / Decimal::ONE_HUNDRED;
                let part = part.round_dp(if leaves.fract().is_zero() { 0 } else { 9 });
                let near = spec.limit_price.unwrap_or(price("100.01")).decimal();
                let better = Decimal::new(i64::from(offset.abs()), 2);
                let near = match (spec.limit_price, spec.side) {
                    (None, _) => near + Decimal::from(*offset),
                    (Some(_), Side::Buy) => (near - better).max(Decimal::new(1, 4)),
                    (Some(_), Side::Sell) => near + better,
                };
                let (qty, at_price) = (Quantity::new(part).unwrap(), Price::new(near).unwrap());
                let command = self.book.proposal(n, qty, at_price);
                self.submit(&command)
            }
            Step::Replace { order, percent, cents, gtc } => {
                let is_open =
                    |n| self.book.orders.get(&order_id(n)).filter(|order| order.is_open());
                let mut open = self.orders.iter().rev().filter_map(|(n, owner, _)| {
                    Some((*n, *owner, is_open(*n)?, is_open(*n)?.spec()?))
                });
                let Some((n, owner, order, spec)) = open.nth(usize::from(*order % 2)) else {
                    return false;
                };
                let qty = spec.qty.decimal() * Decimal::from(*percent) / Decimal::ONE_HUNDRED;
                let qty = qty.round_dp(if spec.qty.is_whole() { 0 } else { 9 });
                let change = OrderChange {
                    qty: Quantity::new(qty).ok(),
                    limit_price: spec
                        .limit_price
                        .and(*cents)
                        .map(|cents| Price::new(Decimal::new(i64::from(cents), 2)).unwrap()),
                    time_in_force: gtc.then_some(TimeInForce::Gtc),
                    ..OrderChange::default()
                };
                let filled = order.filled_qty();
                let acted = self.submit(&replace(n, owner, change));
                assert_eq!(self.book.orders[&order_id(n)].filled_qty(), filled);
                acted
            }
            Step::Cancel { order } => {
                let Some((n, owner, _)) = self.pick(*order) else { return false };
                self.submit(&cancel(n, owner))
            }
            Step::CancelAll { account: owner } => {
                let account_id = account(*owner);
                let acted =
                    self.submit(&Command::CancelAll { account_id, kind: None, at: Some(at(8)) });
                assert!(self.book.accounts[&account_id].reservations().is_empty());
                acted
            }
            Step::Expire { order } => {
                let Some((n, ..)) = self.pick(*order) else { return false };
                let reason = ExpiryReason::SessionClosed;
                self.submit(&Command::Expire { order_id: order_id(n), reason, at: at(9) })
            }
            Step::Split { symbol, new, old, close } => self.split(*symbol, *new, *old, *close),
            Step::Dividend { symbol, mills } => self.dividend(*symbol, *mills),
            Step::Reset { account: owner, cents } => {
                let balance = Money::new(Decimal::new(i64::from(*cents), 2)).unwrap();
                let (account_id, reset_id) = (account(*owner), command_id(n));
                let command = Command::Reset { account_id, reset_id, balance, at: Some(at(10)) };
                let acted = self.submit(&command);
                let blank = |position: &Position| position.is_blank();
                let mut held = self.book.positions.iter().filter(|(key, _)| key.0 == account_id);
                assert!(acted && held.all(|(_, position)| blank(position)), "{command:?}");
                assert!(self.book.accounts[&account_id].reservations().is_empty());
                acted
            }
        }
    }

    /// The shares that a sell can deliver, or that a buy can pay.
    fn free(&self, owner: AccountId, symbol: usize, side: Side, cents: Option<u32>) -> Decimal {
        let held = self.book.positions.get(&(owner, stock(SYMBOLS[symbol])));
        let cash = self.book.accounts[&owner].available().unwrap().decimal();
        let price =
            cents.map_or(Decimal::new(1050105, 4), |cents| Decimal::new(i64::from(cents), 2));
        match side {
            Side::Sell => held.map_or(Decimal::ZERO, |held| held.available().unwrap().decimal()),
            Side::Buy => (cash / price).min(Decimal::new(1_000_000, 0)),
        }
    }

    fn pick(&self, order: u8) -> Option<(u128, AccountId, usize)> {
        // the newest more often: old ones have ended
        let recent = self.orders.len().min(6);
        self.orders.iter().rev().nth(usize::from(order) % recent.max(1)).copied()
    }

    fn split(&mut self, symbol: usize, new: u8, old: u8, close: u32) -> bool {
        let (name, action) = (SYMBOLS[symbol], format!("split-{}", self.actions));
        self.actions += 1;
        let ratio = (new.to_string(), old.to_string());
        let close = Decimal::new(i64::from(close), 2).to_string();
        let begun = self.submit(&begin_split(&action, name, (&ratio.0, &ratio.1), Some(&close)));
        for owner in [account_id(0), account_id(1)] {
            let mine: Vec<u128> = self
                .orders
                .iter()
                .filter(|order| order.1 == owner && order.2 == symbol)
                .filter(|order| {
                    self.book
                        .orders
                        .get(&order_id(order.0))
                        .is_some_and(|order| order.spec().is_some())
                })
                .map(|order| order.0)
                .collect();
            let command = follow_split(owner, name, &mine);
            let again = self.submit(&command);
            let position = self.book.positions.get(&(owner, stock(name)));
            let held = position.is_some_and(|position| !position.qty().is_zero());
            assert!(again || !held, "a holding that does not follow a split");
        }
        let command = InstrumentCommand::CompleteSplit { action_id: action, at: at(5) };
        self.submit(&Command::Instrument { instrument_id: stock(name), command }) && begun
    }

    fn dividend(&mut self, symbol: usize, mills: u16) -> bool {
        let (instrument_id, action_id) =
            (stock(SYMBOLS[symbol]), format!("dividend-{}", self.actions));
        self.actions += 1;
        let day = chrono::NaiveDate::from_ymd_opt(2024, 1, 2).unwrap();
        let amount = Price::new(Decimal::new(i64::from(mills), 3)).unwrap();
        let (ex, pay) = (day, day);
        let declare = InstrumentCommand::DeclareDividend {
            action_id: action_id.clone(),
            amount,
            ex,
            pay,
            at: at(6),
        };
        self.submit(&Command::Instrument { instrument_id, command: declare });
        for n in 0..2 {
            let (account_id, action_id) = (account_id(n), action_id.clone());
            let held = self.book.positions.get(&(account_id, instrument_id));
            let qty = held.map_or(Quantity::ZERO, |held| held.qty());
            self.submit(&Command::AccrueDividend {
                account_id,
                instrument_id,
                action_id,
                qty,
                at: at(6),
            });
        }
        let accrued =
            InstrumentCommand::CompleteAccrual { action_id: action_id.clone(), at: at(7) };
        self.submit(&Command::Instrument { instrument_id, command: accrued });
        for n in 0..2 {
            let (account_id, action_id) = (account_id(n), action_id.clone());
            self.submit(&Command::PayDividend { account_id, instrument_id, action_id, at: at(8) });
        }
        let paid = InstrumentCommand::CompleteDividend { action_id, at: at(8) };
        self.submit(&Command::Instrument { instrument_id, command: paid })
    }
}

fn scaled(value: Decimal, decimals: u32) -> i128 {
    value.mantissa() * 10i128.pow(decimals - value.scale())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_books_balance_after_every_event(fees in fees(), steps in prop::collection::vec(step(), 1..90)) {
        let mut run = Run::new(fees);
        for (n, step) in steps.iter().enumerate() {
            let (before, length) = (run.book.clone(), run.book.log.len());
            if !run.take(step, n as u128) {
                let several = matches!(step, Step::Split { .. } | Step::Dividend { .. });
                prop_assert!(several || run.book.log.len() == length);
                let mut loaded = before;
                for stream in run.book.streams() {
                    loaded.load(stream);
                }
                if run.book.log.len() == length {
                    prop_assert!(loaded == run.book, "a refused {:?} left a trace", step);
                }
            }
        }
        prop_assert!(refold(&run.book) == run.book, "folding the stored log makes another book");
        prop_assert!(refold(&run.book) == refold(&run.book));
    }
}

#[test]
fn random_commands_reach_what_they_are_meant_to_test() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..24 {
        let steps = prop::collection::vec(step(), 60..90).new_tree(&mut runner).unwrap().current();
        let mut run = Run::new(FeeSchedule {
            per_fill: money("0.35"),
            per_share: price("0.0035"),
            ..FeeSchedule::default()
        });
        for (n, step) in steps.iter().enumerate() {
            run.take(step, n as u128);
        }
        for (_, event) in &run.book.log {
            *seen.entry(event.event_type()).or_default() += 1;
        }
    }
    for name in [
        "OrderRejected",
        "OrderFilled",
        "OrderCanceled",
        "OrderExpired",
        "OrderAdjusted",
        "OrderReplaced",
        "SharesReservationAdjusted",
        "FeeCharged",
        "CashPaidInLieu",
        "ReservationsAdjusted",
        "ReservationReleased",
        "SharesReleased",
        "PositionReduced",
        "PositionClosed",
        "PositionIncreased",
        "PositionSplit",
        "DividendPaid",
        "AccountReset",
        "PositionReset",
    ] {
        assert!(seen.get(name).is_some_and(|times| *times >= 3), "{name} is too rare: {seen:?}");
    }
}
