//! The worked examples of `docs/rules.md`, and what its rules refuse.

use aggregates::account::{AccountCommand, AccountKind, PolicyChange, TradingState};
use aggregates::instrument::{InstrumentCommand, InstrumentKind};
use aggregates::money::{Money, Price};
use aggregates::order::{OrderClass, OrderStatus, OrderType, Side, TimeInForce, Trail};
use aggregates::refusal::RefusalCode;
use aggregates::rules::{FeeSchedule, Rules};
use aggregates::trading::Command;

use crate::book::*;

/// The account of the examples.
pub fn me() -> aggregates::id::AccountId {
    account_id(1)
}

/// A market with one instrument, and an account with so much.
pub fn book(balance: &str) -> Book {
    let mut book = Book::default();
    book.list("AAPL");
    book.open(me(), balance);
    book
}

fn code(book: &mut Book, n: u128, order: &aggregates::order::OrderSpec) -> RefusalCode {
    book.place(n, order, &market(Some("100"))).rejected.expect("a rejection").code
}

fn instrument(command: InstrumentCommand) -> Command {
    Command::Instrument { instrument_id: stock("AAPL"), command }
}

#[test]
fn a_limit_buy_reserves_its_limit_and_a_market_buy_the_ask_with_the_collar() {
    let mut book = book("10000");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "10", Some("100")), &market(Some("187.25")));
    assert_eq!(book.reserved(me()), "1000.00");
    book.place(2, &spec(me(), "AAPL", Side::Buy, "10", None), &market(Some("187.25")));
    assert_eq!(book.reserved(me()), "2966.13", "10 * 196.6125, up to the cent");
    book.submit(&cancel(1, me())).unwrap();
    book.submit(&cancel(2, me())).unwrap();
    assert_eq!(book.reserved(me()), "0.00");
    assert_eq!(book.refused(&cancel(2, me())), RefusalCode::OrderNotOpen);
    assert_eq!(book.refused(&cancel(1, account_id(2))), RefusalCode::OrderNotFound);
    assert_eq!(
        code(&mut book, 3, &spec(me(), "AAPL", Side::Buy, "101", Some("100"))),
        RefusalCode::InsufficientBuyingPower
    );
    assert_eq!(book.orders[&order_id(3)].status(), Some(OrderStatus::Rejected));
}

#[test]
fn without_a_price_a_market_buy_is_rejected() {
    let mut book = book("10000");
    let order = spec(me(), "AAPL", Side::Buy, "1", None);
    assert_eq!(
        book.place(1, &order, &market(None)).rejected.unwrap().code,
        RefusalCode::NoReferencePrice
    );
}

#[test]
fn partial_fills_free_the_reservation_step_by_step() {
    let mut book = book("1000");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "10", Some("100")), &market(None));
    book.fill(1, "4", "99.50");
    assert_eq!((book.cash(me()), book.reserved(me())), ("602.00".into(), "600.00".into()));
    book.fill(1, "6", "100");
    assert_eq!((book.cash(me()), book.reserved(me())), ("2.00".into(), "0.00".into()));
    assert_eq!(book.orders[&order_id(1)].status(), Some(OrderStatus::Filled));
}

#[test]
fn a_fill_beyond_the_reservation_extends_it_or_ends_the_order() {
    let mut book = book("1100");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "10", None), &market(Some("100")));
    assert_eq!(book.reserved(me()), "1050.00");
    book.fill(1, "5", "110");
    assert_eq!((book.cash(me()), book.reserved(me())), ("550.00".into(), "525.00".into()));
    let decision = book.fill(1, "5", "110.01");
    assert_eq!(decision.rejected.unwrap().code, RefusalCode::InsufficientBuyingPower);
    assert_eq!((book.cash(me()), book.reserved(me())), ("550.00".into(), "0.00".into()));
    assert_eq!(book.orders[&order_id(1)].status(), Some(OrderStatus::Canceled));
    assert_eq!(book.orders[&order_id(1)].filled_qty(), quantity("5"));
}

#[test]
fn fees_round_up_are_reserved_with_a_buy_and_may_leave_a_deficit_after_a_sell() {
    let mut book = book("101");
    let (per_fill, per_share) = (money("0.35"), price("0.0035"));
    book.rules = Rules {
        fees: FeeSchedule { per_fill, per_share, ..FeeSchedule::default() },
        ..Rules::default()
    };
    let buy = spec(me(), "AAPL", Side::Buy, "1", Some("100"));
    book.place(1, &buy, &market(None));
    assert_eq!(book.reserved(me()), "100.36");
    book.fill(1, "1", "100");
    assert_eq!(book.cash(me()), "0.64");
    book.rules.fees.per_fill = money("5");
    book.place(2, &spec(me(), "AAPL", Side::Sell, "1", Some("0.01")), &market(None));
    book.fill(2, "1", "0.01");
    assert_eq!(book.cash(me()), "-4.36");
    assert!(book.accounts[&me()].in_deficit());
    assert_eq!(code(&mut book, 3, &buy), RefusalCode::ReduceOnly);
}

#[test]
fn the_same_fill_twice_acts_once_and_a_stale_one_never() {
    let mut book = book("1000");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "10", Some("100")), &market(None));
    let fill = book.proposal(1, quantity("4"), price("100"));
    book.submit(&fill).unwrap();
    assert_eq!(book.refused(&fill), RefusalCode::OrderChanged);
    let above = book.proposal(1, quantity("1"), price("100.01"));
    assert_eq!(book.refused(&above), RefusalCode::OrderChanged, "beyond the limit");
    let over = book.proposal(1, quantity("7"), price("100"));
    assert_eq!(book.refused(&over), RefusalCode::OrderChanged, "more than is open");
    let stale = book.proposal(1, quantity("1"), price("100"));
    book.split("split-1", "AAPL", ("2", "1"), Some("100"), me(), &[1]);
    assert_eq!(book.refused(&stale), RefusalCode::OrderChanged, "an older revision");
}

#[test]
fn lots_leave_first_in_first_out() {
    let mut book = book("10000");
    book.buy(1, me(), "AAPL", "10", "100");
    book.buy(2, me(), "AAPL", "10", "120");
    book.place(3, &spec(me(), "AAPL", Side::Sell, "15", Some("130")), &market(None));
    book.fill(3, "15", "130");
    let held = &book.positions[&(me(), stock("AAPL"))];
    assert_eq!(held.realized_pl(), money("350"), "10 * 30 + 5 * 10");
    assert_eq!(Price::average(held.cost().unwrap(), held.qty()), Some(price("120")));
}

#[test]
fn a_sell_reserves_its_shares_and_never_makes_a_cash_account_short() {
    let mut book = book("1000");
    book.buy(1, me(), "AAPL", "10", "100");
    book.place(2, &spec(me(), "AAPL", Side::Sell, "7", Some("110")), &market(None));
    assert_eq!(
        code(&mut book, 3, &spec(me(), "AAPL", Side::Sell, "4", Some("110"))),
        RefusalCode::InsufficientShares
    );
    book.submit(&cancel(2, me())).unwrap();
    book.place(4, &spec(me(), "AAPL", Side::Sell, "10", None), &market(None));
}

#[test]
fn a_split_keeps_the_cost_and_pays_the_fraction() {
    let mut book = book("10000");
    book.buy(1, me(), "AAPL", "5", "100");
    book.place(2, &spec(me(), "AAPL", Side::Buy, "3", Some("99.99")), &market(None));
    book.place(3, &spec(me(), "AAPL", Side::Sell, "3", Some("110")), &market(None));
    book.split("split-1", "AAPL", ("3", "2"), Some("100.01"), me(), &[2, 3]);
    let held = &book.positions[&(me(), stock("AAPL"))];
    assert_eq!(held.qty(), quantity("7"));
    assert_eq!(held.cost().unwrap(), money("466.67"), "500 less 500 * 0.5 / 7.5");
    assert_eq!(held.realized_pl(), money("0.01"), "33.34 for what cost 33.33");
    assert_eq!(held.reserved_qty(), quantity("4"), "4.5 rounded down");
    assert_eq!(book.cash(me()), "9533.34");
    let buy = &book.orders[&order_id(2)];
    assert_eq!(buy.spec().unwrap().limit_price, Some(price("66.66")));
    assert_eq!(book.reserved(me()), "266.64", "4 at 66.66");
    assert_eq!(book.orders[&order_id(3)].spec().unwrap().limit_price, Some(price("73.34")));
    assert_eq!(book.refused(&follow_split(me(), "AAPL", &[2, 3])), RefusalCode::AlreadyApplied);
}

#[test]
fn fractional_sells_of_a_whole_position_stay_covered_through_a_split() {
    let mut book = book("1000");
    book.buy(1, me(), "AAPL", "5", "100");
    for n in [2, 3] {
        book.place(n, &spec(me(), "AAPL", Side::Sell, "2.5", Some("110")), &market(None));
    }
    book.split("split-1", "AAPL", ("3", "2"), Some("100"), me(), &[2, 3]);
    let held = &book.positions[&(me(), stock("AAPL"))];
    assert_eq!((held.qty(), held.reserved_qty()), (quantity("7"), quantity("6")));
    book.fill(2, "3", "110");
    book.fill(3, "3", "110");
    assert_eq!(book.positions[&(me(), stock("AAPL"))].qty(), quantity("1"));
}

#[test]
fn a_reverse_split_cancels_orders_and_pays_out_what_is_less_than_a_share() {
    let mut book = book("10000");
    book.buy(1, me(), "AAPL", "5", "100");
    book.place(2, &spec(me(), "AAPL", Side::Sell, "5", Some("110")), &market(None));
    book.place(3, &spec(me(), "AAPL", Side::Buy, "5", Some("90")), &market(None));
    book.split("split-1", "AAPL", ("1", "10"), Some("101"), me(), &[2, 3]);
    let held = &book.positions[&(me(), stock("AAPL"))];
    assert!(
        held.qty().is_zero() && held.cost().unwrap().is_zero() && held.reserved_qty().is_zero()
    );
    assert_eq!(held.realized_pl(), money("5"), "half a new share at 1010.00");
    assert_eq!((book.cash(me()), book.reserved(me())), ("10005.00".into(), "0.00".into()));
    for n in [2, 3] {
        assert_eq!(book.orders[&order_id(n)].status(), Some(OrderStatus::Canceled));
    }
}

#[test]
fn a_split_that_rounds_a_price_to_nothing_cancels_the_order() {
    let mut book = book("10000");
    book.place(1, &spec(me(), "AAPL", Side::Buy, "5", Some("0.0001")), &market(None));
    book.split("split-1", "AAPL", ("2", "1"), None, me(), &[1]);
    assert_eq!(book.orders[&order_id(1)].status(), Some(OrderStatus::Canceled));
    assert_eq!(book.reserved(me()), "0.00");
}

#[test]
fn a_split_gates_its_symbol_and_names_every_sell() {
    let mut book = book("10000");
    book.buy(1, me(), "AAPL", "5", "100");
    book.place(2, &spec(me(), "AAPL", Side::Sell, "5", Some("110")), &market(None));
    book.submit(&begin_split("split-1", "AAPL", ("2", "1"), Some("100"))).unwrap();
    let fill = book.proposal(2, quantity("5"), price("110"));
    assert_eq!(book.refused(&fill), RefusalCode::CorporateAction);
    let order = spec(me(), "AAPL", Side::Buy, "1", Some("1"));
    assert_eq!(book.refused(&place(3, &order, &market(None))), RefusalCode::CorporateAction);
    assert_eq!(
        book.refused(&follow_split(me(), "AAPL", &[])),
        RefusalCode::OrderChanged,
        "a sell is left out"
    );
    book.submit(&follow_split(me(), "AAPL", &[2, 2])).unwrap();
    assert_eq!(book.positions[&(me(), stock("AAPL"))].qty(), quantity("10"));
    assert_eq!(
        book.refused(&begin_split("split-2", "AAPL", ("2", "1"), None)),
        RefusalCode::AlreadyApplied
    );
}

#[test]
fn a_split_has_two_sides_above_zero_and_a_fraction_needs_a_close() {
    let mut book = book("10000");
    for ratio in [("0", "1"), ("1", "0"), ("-2", "1")] {
        assert_eq!(
            book.refused(&begin_split("split-1", "AAPL", ratio, None)),
            RefusalCode::InvalidAmount
        );
    }
    book.buy(1, me(), "AAPL", "5", "100");
    book.submit(&begin_split("split-1", "AAPL", ("3", "2"), None)).unwrap();
    assert_eq!(book.refused(&follow_split(me(), "AAPL", &[])), RefusalCode::NoReferencePrice);
}

#[test]
fn a_dividend_goes_to_who_held_it_before_the_ex_date_once() {
    let mut book = book("10000");
    book.buy(1, me(), "AAPL", "10", "100");
    let (action_id, amount) = ("dividend-1".to_owned(), price("0.245"));
    let (ex, pay) = (chrono::NaiveDate::MIN, chrono::NaiveDate::MAX);
    let accrue = Command::AccrueDividend {
        account_id: me(),
        instrument_id: stock("AAPL"),
        action_id: action_id.clone(),
        qty: quantity("10"),
        at: at(1),
    };
    let settle = Command::PayDividend {
        account_id: me(),
        instrument_id: stock("AAPL"),
        action_id: action_id.clone(),
        at: at(2),
    };
    assert_eq!(book.refused(&accrue), RefusalCode::AlreadyApplied, "nothing is declared");
    book.submit(&instrument(InstrumentCommand::DeclareDividend {
        action_id: action_id.clone(),
        amount,
        ex,
        pay,
        at: at(0),
    }))
    .unwrap();
    book.submit(&accrue).unwrap();
    assert_eq!(book.refused(&accrue), RefusalCode::AlreadyApplied);
    assert_eq!(book.refused(&settle), RefusalCode::AlreadyApplied, "not everyone has accrued it");
    book.submit(&instrument(InstrumentCommand::CompleteAccrual {
        action_id: action_id.clone(),
        at: at(1),
    }))
    .unwrap();
    // Sold after the ex date: the dividend stays earned.
    book.place(2, &spec(me(), "AAPL", Side::Sell, "10", None), &market(None));
    book.fill(2, "10", "100");
    book.submit(&settle).unwrap();
    assert_eq!(book.cash(me()), "10002.45");
    assert_eq!(book.refused(&settle), RefusalCode::AlreadyApplied);
    book.submit(&instrument(InstrumentCommand::CompleteDividend { action_id, at: at(3) })).unwrap();
}

#[test]
fn a_halted_symbol_takes_and_cancels_orders_and_fills_none() {
    let mut book = book("1000");
    book.submit(&instrument(InstrumentCommand::Halt { reason: "T1".into(), at: at(0) })).unwrap();
    book.place(1, &spec(me(), "AAPL", Side::Buy, "1", Some("100")), &market(None));
    let fill = book.proposal(1, quantity("1"), price("100"));
    assert_eq!(book.refused(&fill), RefusalCode::TradingHalted);
    book.submit(&instrument(InstrumentCommand::Resume { reason: "T3".into(), at: at(1) })).unwrap();
    book.submit(&fill).unwrap();
}

#[test]
fn a_policy_limits_orders_and_cancels_always_pass() {
    let mut book = book("1000");
    book.buy(1, me(), "AAPL", "5", "100");
    let policy = |trading_state, qty: Option<&str>, notional: Option<&str>| Command::Account {
        account_id: me(),
        command: AccountCommand::ChangePolicy {
            change: PolicyChange {
                trading_state: Some(trading_state),
                max_order_qty: Some(qty.map(quantity)),
                max_order_notional: Some(notional.map(money)),
                ..PolicyChange::default()
            },
        },
    };
    let buy = spec(me(), "AAPL", Side::Buy, "2", Some("100"));
    let sell = spec(me(), "AAPL", Side::Sell, "2", Some("100"));
    book.submit(&policy(TradingState::Active, Some("1"), None)).unwrap();
    assert_eq!(code(&mut book, 2, &buy), RefusalCode::OrderLimit);
    book.submit(&policy(TradingState::Active, None, Some("199.99"))).unwrap();
    assert_eq!(code(&mut book, 3, &buy), RefusalCode::OrderLimit);
    book.submit(&policy(TradingState::Reducing, None, None)).unwrap();
    assert_eq!(code(&mut book, 4, &buy), RefusalCode::ReduceOnly);
    book.place(5, &sell, &market(None));
    book.submit(&policy(TradingState::Halted, None, None)).unwrap();
    assert_eq!(code(&mut book, 6, &sell), RefusalCode::TradingHalted);
    book.submit(&cancel(5, me())).unwrap();
}

#[test]
fn what_an_order_does_not_take_is_refused_by_name() {
    let mut book = book("1000");
    let base = spec(me(), "AAPL", Side::Buy, "1", Some("100"));
    let mut refused =
        |change: &dyn Fn(&mut aggregates::order::OrderSpec), expected: RefusalCode, word: &str| {
            let mut order = base.clone();
            change(&mut order);
            let command = place(1, &order, &market(Some("100")));
            assert_eq!(book.refused(&command), expected, "{word}");
            let message = book.submit(&command).unwrap_err().message;
            assert!(message.contains(word), "{message}");
        };
    let invalid = RefusalCode::InvalidOrder;
    refused(&|order| order.order_class = OrderClass::Mleg, invalid, "mleg");
    refused(&|order| order.limit_price = Some(price("100.001")), invalid, "decimals");
    refused(&|order| order.limit_price = Some(price("0.99999")), invalid, "decimals");
    refused(&|order| order.limit_price = Some(price("0")), invalid, "above 0");
    refused(&|order| order.limit_price = None, invalid, "limit_price");
    refused(&|order| order.order_type = OrderType::Market, invalid, "limit_price");
    refused(&|order| order.stop_price = Some(price("1")), invalid, "stop_price");
    refused(&|order| order.trail = Some(Trail::Percent(price("5"))), invalid, "trail");
    refused(&|order| order.qty = quantity("0"), invalid, "above 0");
    refused(&|order| order.qty = quantity("-1"), invalid, "above 0");
    refused(&|order| order.client_order_id = "x".repeat(129), invalid, "128");
    refused(&|order| order.client_order_id.clear(), invalid, "128");
    refused(
        &|order| (order.qty, order.time_in_force) = (quantity("0.5"), TimeInForce::Gtc),
        invalid,
        "fractional",
    );
    let mut option =
        place(1, &spec(me(), "AAPL240119C00190000", Side::Buy, "1", Some("1")), &market(None));
    assert_eq!(book.refused(&option), RefusalCode::UnknownSymbol);
    let symbol = "AAPL240119C00190000".to_owned();
    let list = InstrumentCommand::List {
        instrument_id: stock(&symbol),
        name: symbol.clone(),
        symbol,
        kind: InstrumentKind::Option,
        at: None,
    };
    book.submit(&Command::Instrument {
        instrument_id: stock("AAPL240119C00190000"),
        command: list,
    })
    .unwrap();
    // Its market has not told what it is on.
    assert_eq!(book.refused(&option), RefusalCode::Unsupported);
    let nobody = spec(account_id(9), "AAPL", Side::Buy, "1", Some("1"));
    option = place(1, &nobody, &market(None));
    assert_eq!(book.refused(&option), RefusalCode::AccountNotFound);
}

#[test]
fn a_cash_account_has_no_level_of_spreads() {
    let command = AccountCommand::Open {
        account_id: me(),
        kind: AccountKind::Cash,
        option_level: 3,
        name_digest: String::new(),
        starting_balance: Money::ZERO,
        deposit_id: command_id(1),
        at: None,
    };
    let refusal =
        Book::default().submit(&Command::Account { account_id: me(), command }).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::InvalidOrder);
    assert_eq!(refusal.figures.get("most").map(String::as_str), Some("2"), "{refusal:?}");
}

#[test]
fn money_of_orders_moves_only_with_them() {
    let mut book = book("1000");
    let release = AccountCommand::Reserve {
        order_id: order_id(1),
        amount: money("1"),
        margin: None,
        collateral: aggregates::money::Money::ZERO,
        of_options: false,
    };
    assert_eq!(
        book.refused(&Command::Account { account_id: me(), command: release }),
        RefusalCode::OrderChanged
    );
    let stolen = open(account_id(2), "1");
    let Command::Account { command, .. } = stolen else { unreachable!() };
    assert_eq!(
        book.refused(&Command::Account { account_id: account_id(3), command }),
        RefusalCode::AccountNotFound
    );
}

#[test]
fn a_buy_whose_cash_rounds_to_nothing_still_pays_its_fee_or_ends() {
    let mut book = book("0.36");
    book.rules.fees.per_fill = money("0.35");
    let dust = spec(me(), "AAPL", Side::Buy, "0.00001", Some("100"));
    book.place(1, &dust, &market(None));
    assert_eq!(book.reserved(me()), "0.36");
    book.rules.fees.per_fill = money("0.37");
    let decision = book.fill(1, "0.00001", "100");
    assert_eq!(decision.rejected.unwrap().code, RefusalCode::InsufficientBuyingPower);
    assert_eq!((book.cash(me()), book.reserved(me())), ("0.36".into(), "0.00".into()));
}
