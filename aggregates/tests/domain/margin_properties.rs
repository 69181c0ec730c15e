//! Random commands on margin accounts. Cash, lots and margin are reckoned again from the stored events in whole cents and
//! billionths, by code that shares nothing with the domain.

use std::collections::BTreeMap;

use aggregates::id::{AccountId, InstrumentId};
use aggregates::instrument::InstrumentCommand;
use aggregates::margin::{Marks, Requirement};
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{OrderChange, Side};
use aggregates::rules::{FeeSchedule, Rules};
use aggregates::stream::{Event, StreamId};
use aggregates::trading::{Command, MarketView};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::Value;

use crate::book::*;
use crate::invariants::refold;
use crate::oracle::{Oracle, units};
use crate::previews;

const SYMBOLS: [&str; 2] = ["AAPL", "F"];

#[derive(Clone, Debug)]
enum Step {
    Place { symbol: usize, sells: bool, shares: u8, limit: Option<u16> },
    Fill { order: u8, percent: u8, cents: u16 },
    Replace { order: u8, shares: u8, limit: Option<u16> },
    Cancel { order: u8 },
    CancelAll,
    Withdraw { cents: u32 },
    Deposit { cents: u32 },
    Move { symbol: usize, cents: u16 },
    Split { symbol: usize, new: u8, old: u8 },
    Dividend { symbol: usize, mills: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let price = 50u16..6_000;
    prop_oneof![
        40 => (0usize..2, any::<bool>(), 1u8..80, prop::option::of(price.clone()))
            .prop_map(|(symbol, sells, shares, limit)| Step::Place { symbol, sells, shares, limit }),
        50 => (any::<u8>(), prop_oneof![Just(100u8), 1u8..100], price.clone())
            .prop_map(|(order, percent, cents)| Step::Fill { order, percent, cents }),
        10 => (any::<u8>(), 1u8..80, prop::option::of(price.clone()))
            .prop_map(|(order, shares, limit)| Step::Replace { order, shares, limit }),
        8 => any::<u8>().prop_map(|order| Step::Cancel { order }),
        1 => Just(Step::CancelAll),
        4 => (1u32..200_000).prop_map(|cents| Step::Withdraw { cents }),
        3 => (1u32..200_000).prop_map(|cents| Step::Deposit { cents }),
        8 => (0usize..2, price).prop_map(|(symbol, cents)| Step::Move { symbol, cents }),
        3 => (0usize..2, 1u8..4, 1u8..4)
            .prop_map(|(symbol, new, old)| Step::Split { symbol, new, old }),
        3 => (0usize..2, 1u16..900).prop_map(|(symbol, mills)| Step::Dividend { symbol, mills }),
    ]
}

fn dollars(cents: impl Into<i64>) -> Price {
    Price::new(Decimal::new(cents.into(), 2)).unwrap()
}

fn me() -> AccountId {
    account_id(1)
}

/// `n / d`, rounded up, of what is not below zero.
fn up(n: i128, d: i128) -> i128 {
    (n + d - 1) / d
}

/// Equity, initial and maintenance margin in cents, of cash and a plain list of (billionths of a share, billionths of
/// a dollar).
fn naive(cash: i128, holdings: &[(i128, i128)]) -> [i128; 3] {
    let [mut equity, mut initial, mut maintenance] = [cash, 0, 0];
    for (qty, price) in holdings {
        // To the cent, half to even.
        let (exact, cent) = (qty.abs() * price, 10i128.pow(16));
        let (whole, rest) = (exact / cent, exact % cent);
        let value = whole + i128::from(rest * 2 > cent || rest * 2 == cent && whole % 2 == 1);
        equity += qty.signum() * value;
        initial += up(value * 50, 100);
        maintenance += match (*qty < 0, *price >= 5_000_000_000) {
            (false, _) => up(value * 25, 100),
            (true, true) => up(qty.abs() * 500, 10i128.pow(9)).max(up(value * 30, 100)),
            (true, false) => up(qty.abs() * 250, 10i128.pow(9)).max(value),
        };
    }
    [equity, initial, maintenance]
}

struct Run {
    book: Book,
    oracle: Oracle,
    prices: [u16; 2],
    orders: Vec<(u128, usize)>,
    actions: u32,
    opened: u32,
}

impl Run {
    fn new(fees: FeeSchedule) -> Self {
        let mut book = Book { rules: Rules { fees, ..Rules::default() }, ..Book::default() };
        for symbol in SYMBOLS {
            book.list(symbol);
        }
        book.open_margin(me(), "2000");
        let mut oracle = Oracle::default();
        for (stream, event) in &book.log {
            oracle.read(&stream.aggregate_id(), &event.payload().unwrap());
        }
        Self { book, oracle, prices: [2_000, 400], orders: Vec::new(), actions: 0, opened: 0 }
    }

    fn marks(&self) -> Marks {
        let [one, two] = self.prices.map(|cents| dollars(cents).to_string());
        marks(&[(SYMBOLS[0], &one), (SYMBOLS[1], &two)])
    }

    fn view(&self, symbol: usize) -> MarketView {
        let ask = dollars(self.prices[symbol]).to_string();
        MarketView { marks: self.marks(), ..market(Some(&ask)) }
    }

    /// Submits a command and checks each event that it makes, on what was before and after it.
    fn submit(&mut self, command: &Command) -> bool {
        let Ok(decision) = self.book.decide(command) else { return false };
        for (stream, event) in &decision.events {
            if let (StreamId::Account(_), Event::Account(account)) = (stream, event) {
                self.check_margin(&serde_json::to_value(account).unwrap());
            }
            self.book.evolve(*stream, event);
            self.oracle.read(&stream.aggregate_id(), &event.payload().unwrap());
            for position in self.book.positions.values() {
                let lots: Decimal = position.lots().map(|lot| lot.qty.decimal()).sum();
                assert_eq!(lots, position.qty().decimal());
                assert!(!position.reserved_qty().is_negative());
                assert!(position.reserved_qty() <= position.qty().abs(), "{event:?}");
            }
        }
        self.check_books();
        !decision.events.is_empty()
    }

    /// The standing that an event relied on is the naive one, and permits what the event does.
    fn check_margin(&mut self, event: &Value) {
        let (name, body) = event.as_object().unwrap().iter().next().unwrap();
        let account = &self.book.accounts[&me()];
        let (cash, reserved) = (cents(account.cash()), cents(account.reserved()));
        let Some(told) = body.get("margin") else {
            let silent = matches!(name.as_str(), "CashWithdrawn" | "CashReserved");
            assert!(!silent, "{event} does not say how the account stood");
            return;
        };
        let mut named: BTreeMap<String, (i128, i128)> = BTreeMap::new();
        for holding in told["holdings"].as_array().unwrap() {
            let of = holding["instrument_id"].as_str().unwrap().to_owned();
            named.insert(of, (units(&holding["qty"], 9), units(&holding["price"], 9)));
        }
        let held: Vec<(String, i128)> = self
            .book
            .positions
            .iter()
            .filter(|(_, position)| !position.qty().is_zero())
            .map(|((_, id), position)| (id.to_string(), billionths(position.qty())))
            .collect();
        let named_qty: Vec<(String, i128)> =
            named.iter().map(|(id, (qty, _))| (id.clone(), *qty)).collect();
        assert_eq!(named_qty, held);
        let list: Vec<(i128, i128)> = named.into_values().collect();
        let [equity, initial, maintenance] = naive(cash, &list);
        let stated = ["equity", "initial", "maintenance"].map(|field| units(&told[field], 2));
        assert_eq!(stated, [equity, initial, maintenance]);
        let free = equity - initial - reserved;
        match name.as_str() {
            "CashWithdrawn" => assert!(units(&body["amount"], 2) <= free),
            "CashReserved" => {
                assert!(units(&body["amount"], 2) <= free && equity >= maintenance, "{event}");
                self.opened += 1;
            }
            _ => {}
        }
    }

    /// What holds between commands.
    fn check_books(&self) {
        let account = &self.book.accounts[&me()];
        let expected = self.oracle.cash[&me().to_string()];
        assert_eq!(cents(account.cash()), expected, "cash");
        let sum: Decimal = account.reservations().values().map(|amount| amount.decimal()).sum();
        assert_eq!(sum, account.reserved().decimal());
        for ((account, instrument), position) in &self.book.positions {
            let Some(held) = self.oracle.holdings.get(&format!("{account}/{instrument}")) else {
                continue;
            };
            assert_eq!(billionths(position.qty()), held.qty, "holding");
            assert_eq!(cents(position.cost().unwrap()), held.cost(), "cost");
            assert_eq!(cents(position.realized_pl()), held.realized, "realized");
        }
        for (id, order) in &self.book.orders {
            let Some(spec) = order.spec() else { continue };
            let held = self.book.positions.get(&(me(), spec.instrument_id));
            let shares = held.map_or(Quantity::ZERO, |held| held.reservation(*id));
            let cash = account.reservation(*id);
            if !order.is_open() {
                assert!(shares.is_zero() && cash.is_zero(), "{id} ended and reserves");
                continue;
            }
            let opens = order.leaves_qty().unwrap().minus(shares).unwrap();
            assert!(!opens.is_negative(), "{id} sets more aside than is open of it");
            assert_eq!(opens.is_positive(), cash.is_positive(), "{id} opens {opens}, {cash}");
        }
    }

    fn pick(&self, order: u8) -> Option<(u128, usize)> {
        let recent = self.orders.len().min(6);
        self.orders.iter().rev().nth(usize::from(order) % recent.max(1)).copied()
    }

    fn take(&mut self, step: &Step, n: u128) -> bool {
        match *step {
            Step::Move { symbol, cents } => {
                self.prices[symbol] = cents;
                true
            }
            Step::Place { symbol, sells, shares, limit } => {
                let side = if sells { Side::Sell } else { Side::Buy };
                let limit = limit.map(|cents| dollars(cents).to_string());
                let order =
                    spec(me(), SYMBOLS[symbol], side, &shares.to_string(), limit.as_deref());
                self.orders.push((n, symbol));
                let view = self.view(symbol);
                let foretold = previews::foretell(&mut self.book, n, &order, &view);
                let acted = self.submit(&place(n, &order, &view));
                previews::check(&self.book, n, &order, foretold);
                acted
            }
            Step::Fill { order, percent, cents } => {
                let Some((n, _)) = self.pick(order) else { return false };
                let Some(order) = self.book.orders.get(&order_id(n)) else { return false };
                let (Some(spec), true) = (order.spec(), order.is_open()) else { return false };
                let leaves = order.leaves_qty().unwrap().decimal();
                let part = (leaves * Decimal::from(percent) / Decimal::ONE_HUNDRED).ceil();
                let at_price = match (spec.side, spec.limit_price) {
                    (_, None) => dollars(cents),
                    (Side::Buy, Some(limit)) => limit.min(dollars(cents)),
                    (Side::Sell, Some(limit)) => limit.max(dollars(cents)),
                };
                let mut command = self.book.proposal(n, Quantity::new(part).unwrap(), at_price);
                let shown = self.marks();
                if let Command::Fill { marks, .. } = &mut command {
                    *marks = shown;
                }
                self.submit(&command)
            }
            Step::Replace { order, shares, limit } => {
                let Some((n, symbol)) = self.pick(order) else { return false };
                let limited = self
                    .book
                    .orders
                    .get(&order_id(n))
                    .and_then(|order| order.spec()?.limit_price)
                    .is_some();
                let change = OrderChange {
                    qty: Some(shares.to_string().parse().unwrap()),
                    limit_price: limit.filter(|_| limited).map(dollars),
                    ..OrderChange::default()
                };
                let (account_id, market) = (me(), self.view(symbol));
                let order_id = order_id(n);
                self.submit(&Command::Replace { account_id, order_id, change, seen: None, market })
            }
            Step::Cancel { order } => {
                let Some((n, _)) = self.pick(order) else { return false };
                self.submit(&cancel(n, me()))
            }
            Step::CancelAll => {
                let command = Command::CancelAll { account_id: me(), kind: None, at: Some(at(8)) };
                let acted = self.submit(&command);
                assert!(self.book.orders.values().all(|order| !order.is_open()));
                acted
            }
            Step::Withdraw { cents } => {
                let (account_id, withdrawal_id) = (me(), command_id(n));
                let amount = Money::new(Decimal::new(i64::from(cents), 2)).unwrap();
                let marks = self.marks();
                let at = None;
                self.submit(&Command::Withdraw { account_id, withdrawal_id, amount, marks, at })
            }
            Step::Deposit { cents } => {
                let amount = Money::new(Decimal::new(i64::from(cents), 2)).unwrap();
                let command = aggregates::account::AccountCommand::Deposit {
                    deposit_id: command_id(n),
                    amount,
                    at: None,
                };
                self.submit(&Command::Account { account_id: me(), command })
            }
            Step::Split { symbol, new, old } => self.split(symbol, new, old),
            Step::Dividend { symbol, mills } => self.dividend(symbol, mills),
        }
    }

    fn split(&mut self, symbol: usize, new: u8, old: u8) -> bool {
        let (name, action) = (SYMBOLS[symbol], format!("split-{}", self.actions));
        self.actions += 1;
        let ratio = (new.to_string(), old.to_string());
        let close = dollars(self.prices[symbol]).to_string();
        self.submit(&begin_split(&action, name, (&ratio.0, &ratio.1), Some(&close)));
        let of = |n: &u128| self.book.orders.get(&order_id(*n)).is_some_and(|o| o.spec().is_some());
        let mine: Vec<u128> = self
            .orders
            .iter()
            .filter(|(_, of)| *of == symbol)
            .map(|(n, _)| *n)
            .filter(of)
            .collect();
        let followed = self.submit(&follow_split(me(), name, &mine));
        let held = self.book.positions.get(&(me(), stock(name)));
        assert!(followed || held.is_none_or(|held| held.qty().is_zero()), "a split left off");
        let command = InstrumentCommand::CompleteSplit { action_id: action, at: at(5) };
        self.submit(&Command::Instrument { instrument_id: stock(name), command })
    }

    fn dividend(&mut self, symbol: usize, mills: u16) -> bool {
        let (instrument_id, action_id): (InstrumentId, _) =
            (stock(SYMBOLS[symbol]), format!("dividend-{}", self.actions));
        self.actions += 1;
        let day = chrono::NaiveDate::from_ymd_opt(2024, 1, 2).unwrap();
        let amount = Price::new(Decimal::new(i64::from(mills), 3)).unwrap();
        let instrument = |command| Command::Instrument { instrument_id, command };
        let name = || action_id.clone();
        let (ex, pay) = (day, day);
        let declare =
            InstrumentCommand::DeclareDividend { action_id: name(), amount, ex, pay, at: at(6) };
        self.submit(&instrument(declare));
        let held = self.book.positions.get(&(me(), instrument_id));
        let qty = held.map_or(Quantity::ZERO, |held| held.qty());
        let (account_id, action_id) = (me(), name());
        self.submit(&Command::AccrueDividend {
            account_id,
            instrument_id,
            action_id,
            qty,
            at: at(6),
        });
        let complete = InstrumentCommand::CompleteAccrual { action_id: name(), at: at(7) };
        self.submit(&instrument(complete));
        let action_id = name();
        self.submit(&Command::PayDividend { account_id, instrument_id, action_id, at: at(8) });
        let complete = InstrumentCommand::CompleteDividend { action_id: name(), at: at(8) };
        self.submit(&instrument(complete))
    }
}

fn cents(money: Money) -> i128 {
    scaled(money.decimal(), 2)
}

fn billionths(qty: Quantity) -> i128 {
    scaled(qty.decimal(), 9)
}

fn scaled(value: Decimal, decimals: u32) -> i128 {
    value.mantissa() * 10i128.pow(decimals - value.scale())
}

fn fees() -> impl Strategy<Value = FeeSchedule> {
    prop_oneof![
        2 => Just(FeeSchedule::default()),
        1 => Just(FeeSchedule { per_fill: money("0.35"), per_share: price("0.0035"), ..FeeSchedule::default() }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn margin_is_what_a_plain_list_of_positions_says(fees in fees(), steps in prop::collection::vec(step(), 1..90)) {
        let mut run = Run::new(fees);
        for (n, step) in steps.iter().enumerate() {
            run.take(step, n as u128);
        }
        prop_assert!(refold(&run.book) == run.book, "folding the stored log makes another book");
    }

    #[test]
    fn less_of_a_position_never_needs_more(qty in 1i64..1_000_000, less in 0i64..1_000_000, short: bool, cents in 1u32..1_000_000) {
        let qty_of = |thousandths: i64| {
            let qty = Quantity::new(Decimal::new(thousandths, 3)).unwrap();
            if short { qty.negated() } else { qty }
        };
        let all = Requirement::of(qty_of(qty), dollars(i64::from(cents))).unwrap();
        let part = Requirement::of(qty_of(less.min(qty)), dollars(i64::from(cents))).unwrap();
        prop_assert!(part.initial <= all.initial && part.maintenance <= all.maintenance);
        prop_assert!(!part.initial.is_negative() && !part.maintenance.is_negative());
    }
}

#[test]
fn random_commands_reach_what_margin_is_about() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<&'static str, u32> = BTreeMap::new();
    for _ in 0..24 {
        let steps = prop::collection::vec(step(), 60..90).new_tree(&mut runner).unwrap().current();
        let mut run = Run::new(FeeSchedule::default());
        for (n, step) in steps.iter().enumerate() {
            run.take(step, n as u128);
            let short = run.book.positions.values().any(|held| held.qty().is_negative());
            let borrows = run.book.accounts[&me()].cash().is_negative();
            let covers = run
                .book
                .positions
                .values()
                .any(|held| held.qty().is_negative() && held.reserved_qty().is_positive());
            for (what, is_so) in [("short", short), ("borrows", borrows), ("covers", covers)] {
                *seen.entry(what).or_default() += u32::from(is_so);
            }
        }
        *seen.entry("opened").or_default() += run.opened;
        for (_, event) in &run.book.log {
            let Value::Object(event) = serde_json::from_str(&event.payload().unwrap()).unwrap()
            else {
                continue;
            };
            let (name, body) = event.iter().next().unwrap();
            let relied = body.get("margin").is_some();
            let what = match name.as_str() {
                "FillSettled" if relied => "extended",
                "CashWithdrawn" if relied => "withdrawn",
                "ReservationsAdjusted" if relied => "changed",
                "SharesReservationAdjusted" if body["to"] == "0" => "taken",
                "DividendPaid" if body["amount"].as_str().unwrap().starts_with('-') => "owed",
                "CashPaidInLieu" if body["amount"].as_str().unwrap().starts_with('-') => "in lieu",
                "OrderRejected" => match body["reject"]["code"].as_str().unwrap() {
                    "margin_call" => "called",
                    _ => continue,
                },
                _ => continue,
            };
            *seen.entry(what).or_default() += 1;
        }
    }
    for what in [
        "short",
        "borrows",
        "covers",
        "opened",
        "extended",
        "withdrawn",
        "changed",
        "taken",
        "owed",
        "in lieu",
        "called",
    ] {
        assert!(seen.get(what).is_some_and(|times| *times >= 3), "{what} is too rare: {seen:?}");
    }
}
