//! Margin accounts and short sales: the worked examples of `docs/rules.md`, to the cent.

use aggregates::account::{AccountCommand, AccountEvent, PolicyChange, TradingState};
use aggregates::margin::{Marked, NakedPuts, Requirement, Standing};
use aggregates::order::{CancelReason, OrderChange, OrderEvent, OrderStatus, Side};
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::stream::Event;
use aggregates::trading::{Command, Decision};

use crate::book::*;
use crate::examples::me;

/// A market with two stocks, and a margin account with so much.
fn book(balance: &str) -> Book {
    let mut book = Book::default();
    book.list("AAPL");
    book.list("F");
    book.open_margin(me(), balance);
    book
}

fn order(side: Side, qty: &str, limit: Option<&str>) -> aggregates::order::OrderSpec {
    spec(me(), "AAPL", side, qty, limit)
}

/// Equity, initial margin, maintenance margin and buying power at these prices.
fn stands(book: &Book, prices: &[(&str, &str)]) -> [String; 4] {
    let marks = marks(prices);
    let held = book.positions.iter().filter(|(_, position)| !position.qty().is_zero());
    let held = held.map(|((_, instrument_id), position)| Marked {
        instrument_id: *instrument_id,
        qty: position.qty(),
        price: marks[instrument_id].long.price,
        source: "feed".into(),
        at: at(0),
        contract: None,
    });
    let account = &book.accounts[&me()];
    let standing = Standing::of(account.cash(), NakedPuts::default(), held.collect()).unwrap();
    let power = standing.buying_power(account.reserved()).unwrap();
    [standing.equity, standing.initial, standing.maintenance, power].map(|it| it.to_string())
}

fn rejected(decision: Decision) -> Refusal {
    decision.rejected.expect("a rejection")
}

fn held(book: &Book) -> &aggregates::position::Position {
    &book.positions[&(me(), stock("AAPL"))]
}

fn withdraw(n: u128, amount: &str, prices: &[(&str, &str)]) -> Command {
    Command::Withdraw {
        account_id: me(),
        withdrawal_id: command_id(n),
        amount: money(amount),
        marks: marks(prices),
        at: None,
    }
}

#[test]
fn each_holding_is_backed_by_its_formula() {
    for (qty, at_price, value, initial, maintenance) in [
        ("10", "100", "1000", "500", "250"),
        ("3", "0.33", "0.99", "0.5", "0.25"),
        ("-10", "100", "-1000", "500", "300"),
        ("-10", "16.67", "-166.7", "83.35", "50.01"),
        ("-10", "16.66", "-166.6", "83.3", "50"),
        ("-10", "5", "-50", "25", "50"),
        ("-10", "4.99", "-49.9", "24.95", "49.9"),
        ("-10", "2", "-20", "10", "25"),
    ] {
        let found = Requirement::of(quantity(qty), price(at_price)).unwrap();
        let told = [value, initial, maintenance].map(money);
        assert_eq!([found.value, found.initial, found.maintenance], told, "{qty} at {at_price}");
    }
}

#[test]
fn a_margin_account_buys_for_twice_its_equity() {
    let mut book = book("10000");
    let at_100 = [("AAPL", "100")];
    assert_eq!(stands(&book, &at_100)[3], "20000.00");
    book.place(1, &order(Side::Buy, "100", Some("100")), &marked("100", &at_100));
    assert_eq!(book.reserved(me()), "5000.00", "50 % of 10,000");
    assert_eq!(stands(&book, &at_100), ["10000.00", "0.00", "0.00", "10000.00"]);
    book.fill_marked(1, "100", "100", &at_100);
    assert_eq!((book.cash(me()), book.reserved(me())), ("0.00".into(), "0.00".into()));
    assert_eq!(stands(&book, &at_100), ["10000.00", "5000.00", "2500.00", "10000.00"]);
    let more = order(Side::Buy, "101", Some("100"));
    let refused = rejected(book.place(2, &more, &marked("100", &at_100)));
    assert_eq!(refused.code, RefusalCode::InsufficientBuyingPower);
    assert_eq!(refused.figures["needed"], "10100.00");
    assert_eq!(refused.figures["available"], "10000.00");
    book.place(3, &order(Side::Buy, "100", Some("100")), &marked("100", &at_100));
    book.fill_marked(3, "100", "100", &at_100);
    assert_eq!(book.cash(me()), "-10000.00", "borrowed");
    assert_eq!(stands(&book, &at_100), ["10000.00", "10000.00", "5000.00", "0.00"]);
    assert!(!book.accounts[&me()].in_deficit());
}

#[test]
fn a_short_sale_reserves_margin_at_the_price_that_it_may_rise_to() {
    let mut book = book("10000");
    let at_50 = [("AAPL", "50")];
    book.place(1, &order(Side::Sell, "100", Some("50")), &marked("50", &at_50));
    assert_eq!(
        book.reserved(me()),
        "2625.00",
        "50 % of 100 * 52.50, the reference with the collar"
    );
    book.place(2, &order(Side::Sell, "10", Some("60")), &marked("50", &at_50));
    assert_eq!(book.reserved(me()), "2925.00", "the limit is higher: 50 % of 10 * 60 more");
    book.submit(&cancel(2, me())).unwrap();
    assert_eq!(stands(&book, &at_50)[3], "14750.00", "an open sell adds nothing");
    book.fill_marked(1, "100", "50", &at_50);
    assert_eq!(held(&book).qty(), quantity("-100"));
    assert_eq!(stands(&book, &at_50), ["10000.00", "2500.00", "1500.00", "15000.00"]);
    assert_eq!(stands(&book, &[("AAPL", "60")]), ["9000.00", "3000.00", "1800.00", "12000.00"]);
}

#[test]
fn without_a_price_a_short_sale_is_rejected_and_in_a_cash_account_always() {
    let mut book = book("10000");
    let short = order(Side::Sell, "1", Some("50"));
    assert_eq!(rejected(book.place(1, &short, &market(None))).code, RefusalCode::NoReferencePrice);
    book.open(account_id(2), "10000");
    let short = spec(account_id(2), "AAPL", Side::Sell, "1", Some("50"));
    let refused = rejected(book.place(2, &short, &market(Some("50"))));
    assert_eq!(refused.code, RefusalCode::InsufficientShares);
}

#[test]
fn under_a_margin_call_only_what_closes_passes() {
    let mut book = book("10000");
    book.place(1, &order(Side::Sell, "100", Some("50")), &marked("50", &[]));
    book.fill_marked(1, "100", "50", &[]);
    let at_120 = [("AAPL", "120")];
    assert_eq!(stands(&book, &at_120), ["3000.00", "6000.00", "3600.00", "0.00"]);
    let shown = marked("120", &at_120);
    let refused = rejected(book.place(2, &order(Side::Sell, "1", None), &shown));
    assert_eq!(refused.code, RefusalCode::MarginCall);
    assert_eq!(refused.figures["margin_equity"], "3000.00");
    assert_eq!(refused.figures["maintenance_margin"], "3600.00");
    let beyond = order(Side::Buy, "101", None);
    assert_eq!(rejected(book.place(3, &beyond, &shown)).code, RefusalCode::MarginCall);
    book.place(4, &order(Side::Buy, "100", None), &shown);
    assert_eq!(book.reserved(me()), "0.00", "a cover reserves shares, no margin");
    assert_eq!(held(&book).available().unwrap(), quantity("0"));
    book.fill_marked(4, "100", "120", &[]);
    assert_eq!(held(&book).realized_pl(), money("-7000"), "5,000 less 12,000");
    assert_eq!(stands(&book, &[]), ["3000.00", "0.00", "0.00", "6000.00"]);
}

#[test]
fn a_sell_beyond_what_is_held_closes_it_and_opens_a_short() {
    let mut book = book("10000");
    let at_100 = [("AAPL", "100")];
    book.place(1, &order(Side::Buy, "10", Some("100")), &marked("100", &[]));
    book.fill_marked(1, "10", "100", &[]);
    book.place(2, &order(Side::Sell, "15", Some("110")), &marked("100", &at_100));
    assert_eq!(held(&book).reserved_qty(), quantity("10"));
    assert_eq!(book.reserved(me()), "275.00", "50 % of 5 * 110");
    book.fill_marked(2, "15", "110", &[("AAPL", "110")]);
    assert_eq!(held(&book).realized_pl(), money("100"));
    assert_eq!(held(&book).qty(), quantity("-5"));
    let lots: Vec<_> = held(&book).lots().map(|lot| (lot.qty, lot.cost)).collect();
    assert_eq!(lots, [(quantity("-5"), money("550"))]);
    assert_eq!(stands(&book, &[("AAPL", "110")]), ["10100.00", "275.00", "165.00", "19650.00"]);
}

#[test]
fn a_fill_beyond_what_was_reserved_needs_free_margin_or_ends_the_order() {
    for (gap, ends) in [("65", false), ("80", true)] {
        let mut book = book("1100");
        book.place(1, &order(Side::Sell, "30", None), &marked("60", &[]));
        assert_eq!(book.reserved(me()), "945.00", "50 % of 30 * 63");
        let within = book.fill_marked(1, "10", "60", &[]);
        assert_eq!(book.reserved(me()), "630.00");
        assert!(relied_on(&within).is_none(), "what was reserved needs no price");
        let decision = book.fill_marked(1, "20", gap, &[("AAPL", gap)]);
        if ends {
            // 800 needed, 630 reserved; equity 1,700 - 800 less 400 less 630 is no more than nothing.
            let refused = rejected(decision);
            assert_eq!(refused.code, RefusalCode::InsufficientBuyingPower);
            assert_eq!(refused.figures["needed"], "1600.00");
            let last = &book.orders[&order_id(1)];
            assert_eq!(last.status(), Some(OrderStatus::Canceled));
            let reason = book.log.iter().find_map(|(_, event)| match event {
                Event::Order(OrderEvent::OrderCanceled { reason, .. }) => Some(*reason),
                _ => None,
            });
            assert_eq!(reason, Some(CancelReason::InsufficientBuyingPower));
            assert_eq!((held(&book).qty(), book.reserved(me())), (quantity("-10"), "0.00".into()));
        } else {
            // 650 needed, 630 reserved; equity 1,700 - 650 less 325 less 630 leaves 95.
            let margin = relied_on(&decision).expect("the standing that it relied on");
            assert_eq!((margin.equity, margin.initial), (money("1050"), money("325")));
            assert_eq!(held(&book).qty(), quantity("-30"));
            assert_eq!((book.cash(me()), book.reserved(me())), ("3000.00".into(), "0.00".into()));
        }
    }
}

fn relied_on(decision: &Decision) -> Option<Standing> {
    decision.events.iter().find_map(|(_, event)| match event {
        Event::Account(AccountEvent::FillSettled { margin, .. }) => margin.clone(),
        _ => None,
    })
}

#[test]
fn a_decision_keeps_the_prices_that_it_relied_on() {
    let mut book = book("10000");
    book.place(1, &order(Side::Buy, "10", Some("100")), &marked("100", &[]));
    book.fill_marked(1, "10", "100", &[]);
    let ford = spec(me(), "F", Side::Buy, "10", Some("10"));
    let decision = book.place(2, &ford, &marked("10", &[("AAPL", "101"), ("F", "10")]));
    let margin = decision.events.iter().find_map(|(_, event)| match event {
        Event::Account(AccountEvent::CashReserved { margin, .. }) => margin.clone(),
        _ => None,
    });
    let holding = Marked {
        instrument_id: stock("AAPL"),
        qty: quantity("10"),
        price: price("101"),
        source: "feed".into(),
        at: at(0),
        contract: None,
    };
    let expected = Standing {
        equity: money("10010"),
        initial: money("505"),
        maintenance: money("252.5"),
        holdings: vec![holding],
        secured_puts: false,
    };
    assert_eq!(margin, Some(expected));
}

#[test]
fn a_position_without_a_price_is_named_and_can_be_closed() {
    let mut book = book("10000");
    book.place(1, &order(Side::Buy, "10", Some("100")), &marked("100", &[]));
    book.fill_marked(1, "10", "100", &[]);
    let ford = spec(me(), "F", Side::Buy, "10", Some("10"));
    let refused = rejected(book.place(2, &ford, &marked("10", &[("F", "10")])));
    assert_eq!(refused.code, RefusalCode::NoMark);
    assert_eq!((&*refused.figures["symbol"], &*refused.figures["qty"]), ("AAPL", "10"));
    assert_eq!(book.refused(&withdraw(1, "1", &[])), RefusalCode::NoMark);
    assert_eq!(book.place(3, &order(Side::Sell, "10", None), &market(None)).rejected, None);
}

#[test]
fn a_withdrawal_takes_what_margin_leaves_free() {
    let mut book = book("10000");
    let at_100 = [("AAPL", "100")];
    book.place(1, &order(Side::Buy, "100", Some("100")), &marked("100", &[]));
    book.fill_marked(1, "100", "100", &[]);
    assert_eq!(book.refused(&withdraw(1, "5000.01", &at_100)), RefusalCode::InsufficientCash);
    book.submit(&withdraw(1, "5000", &at_100)).unwrap();
    assert_eq!(book.cash(me()), "-5000.00");
    assert_eq!(stands(&book, &at_100), ["5000.00", "5000.00", "2500.00", "0.00"]);
    let alone = AccountCommand::Withdraw {
        withdrawal_id: command_id(2),
        amount: money("1"),
        at: None,
        margin: None,
        collateral: aggregates::money::Money::ZERO,
    };
    let alone = Command::Account { account_id: me(), command: alone };
    assert_eq!(book.refused(&alone), RefusalCode::OrderChanged);
}

#[test]
fn a_fill_that_takes_shares_of_another_order_passes_its_margin_on() {
    let mut book = book("10000");
    book.place(1, &order(Side::Buy, "10", Some("100")), &marked("100", &[]));
    book.fill_marked(1, "10", "100", &[]);
    let shown = marked("100", &[("AAPL", "100")]);
    book.place(2, &order(Side::Sell, "10", Some("120")), &shown);
    book.place(3, &order(Side::Sell, "10", Some("100")), &shown);
    assert_eq!(
        (held(&book).reserved_qty(), book.reserved(me())),
        (quantity("10"), "525.00".into())
    );
    book.fill_marked(3, "4", "100", &[]);
    assert_eq!(held(&book).qty(), quantity("6"));
    assert_eq!(held(&book).reservation(order_id(2)), quantity("6"));
    assert_eq!(book.accounts[&me()].reservation(order_id(2)), money("210"), "4 of 10 parts of 525");
    assert_eq!(book.accounts[&me()].reservation(order_id(3)), money("315"));
    book.fill_marked(3, "6", "100", &[]);
    assert_eq!((held(&book).qty(), held(&book).reserved_qty()), (quantity("0"), quantity("0")));
    assert_eq!(book.accounts[&me()].reservation(order_id(2)), money("525"));
    // It opens now: 600 needed at 120, of which 525 are reserved.
    let decision = book.fill_marked(2, "10", "120", &[]);
    assert!(relied_on(&decision).is_some());
    assert_eq!((held(&book).qty(), book.reserved(me())), (quantity("-10"), "0.00".into()));
}

#[test]
fn an_order_whose_shares_were_taken_is_still_found_to_be_canceled() {
    let mut book = book("10000");
    book.place(1, &order(Side::Buy, "10", Some("100")), &marked("100", &[]));
    book.fill_marked(1, "10", "100", &[]);
    let shown = marked("100", &[("AAPL", "100")]);
    for n in 2..5 {
        book.place(n, &order(Side::Sell, if n == 4 { "10" } else { "5" }, Some("100")), &shown);
    }
    book.fill_marked(4, "10", "100", &[]);
    book.submit(&Command::CancelAll { account_id: me(), kind: None, at: Some(at(5)) }).unwrap();
    for n in 2..4 {
        assert_eq!(book.orders[&order_id(n)].status(), Some(OrderStatus::Canceled));
    }
    assert_eq!(book.reserved(me()), "0.00");
}

#[test]
fn shorts_are_in_whole_shares() {
    let mut book = book("10000");
    let code = |book: &mut Book, n, order: &aggregates::order::OrderSpec| {
        book.place(n, order, &marked("100", &[("AAPL", "100")]))
            .rejected
            .map(|refusal| refusal.code)
    };
    let fractional = Some(RefusalCode::FractionalShort);
    assert_eq!(code(&mut book, 1, &order(Side::Sell, "0.5", Some("100"))), fractional);
    assert_eq!(code(&mut book, 2, &order(Side::Buy, "1.5", Some("100"))), None);
    book.fill_marked(2, "1.5", "100", &[]);
    assert_eq!(code(&mut book, 3, &order(Side::Sell, "2", Some("100"))), fractional);
    assert_eq!(code(&mut book, 4, &order(Side::Sell, "1.5", Some("100"))), None);
    book.fill_marked(4, "1.5", "100", &[]);
    assert_eq!(code(&mut book, 5, &order(Side::Sell, "2", Some("100"))), None);
    book.fill_marked(5, "2", "100", &[]);
    assert_eq!(code(&mut book, 6, &order(Side::Buy, "0.5", Some("100"))), fractional);
    assert_eq!(code(&mut book, 7, &order(Side::Buy, "3", Some("100"))), None);
    assert_eq!(book.reserved(me()), "50.00", "two shares cover, the third opens");
}

#[test]
fn an_account_that_may_only_reduce_opens_neither_long_nor_short() {
    let mut book = book("10000");
    book.place(1, &order(Side::Sell, "10", Some("100")), &marked("100", &[]));
    book.fill_marked(1, "10", "100", &[]);
    let change =
        PolicyChange { trading_state: Some(TradingState::Reducing), ..PolicyChange::default() };
    let command = AccountCommand::ChangePolicy { change };
    book.submit(&Command::Account { account_id: me(), command }).unwrap();
    let shown = marked("100", &[("AAPL", "100")]);
    for (n, side, qty) in [(2, Side::Sell, "1"), (3, Side::Buy, "11")] {
        let refused = rejected(book.place(n, &order(side, qty, Some("100")), &shown));
        assert_eq!(refused.code, RefusalCode::ReduceOnly);
    }
    assert_eq!(book.place(4, &order(Side::Buy, "10", Some("100")), &shown).rejected, None);
}

#[test]
fn a_short_pays_for_the_fraction_of_a_split_and_for_dividends() {
    let mut book = book("10000");
    book.place(1, &order(Side::Sell, "5", Some("100")), &marked("100", &[]));
    book.fill_marked(1, "5", "100", &[]);
    book.place(2, &order(Side::Buy, "3", Some("90")), &marked("100", &[("AAPL", "100")]));
    book.place(3, &order(Side::Sell, "1", Some("110")), &marked("100", &[("AAPL", "100")]));
    assert_eq!(book.reserved(me()), "55.00");
    book.split("split-1", "AAPL", ("3", "2"), Some("100.01"), me(), &[2, 3]);
    // 7.5 short, of which 7 stay: half a share is bought back at 66.6733…
    assert_eq!((held(&book).qty(), book.cash(me())), (quantity("-7"), "10466.66".into()));
    assert_eq!(held(&book).realized_pl(), money("-0.01"), "33.33 of the proceeds less 33.34");
    assert_eq!(held(&book).reservation(order_id(2)), quantity("4"));
    assert_eq!(book.reserved(me()), "36.67", "one share at 73.34, 50 % of it");
    let id = stock("AAPL");
    let instrument = |command| Command::Instrument { instrument_id: id, command };
    let day = chrono::NaiveDate::from_ymd_opt(2024, 1, 2).unwrap();
    let (action_id, amount) = ("dividend-1".to_owned(), price("0.245"));
    let declared = aggregates::instrument::InstrumentCommand::DeclareDividend {
        action_id: action_id.clone(),
        amount,
        ex: day,
        pay: day,
        at: at(6),
    };
    book.submit(&instrument(declared)).unwrap();
    let accrue = Command::AccrueDividend {
        account_id: me(),
        instrument_id: id,
        action_id: action_id.clone(),
        qty: quantity("-7"),
        at: at(6),
    };
    book.submit(&accrue).unwrap();
    let complete = aggregates::instrument::InstrumentCommand::CompleteAccrual {
        action_id: action_id.clone(),
        at: at(7),
    };
    book.submit(&instrument(complete)).unwrap();
    let pay = Command::PayDividend { account_id: me(), instrument_id: id, action_id, at: at(8) };
    book.submit(&pay).unwrap();
    assert_eq!(book.cash(me()), "10464.94", "1.715, half to even, is 1.72");
}

#[test]
fn a_changed_order_reserves_for_what_it_opens() {
    let mut book = book("1000");
    book.place(1, &order(Side::Buy, "5", Some("100")), &marked("100.01", &[]));
    book.fill_marked(1, "5", "100", &[]);
    let shown = [("AAPL", "100.01")];
    book.place(2, &order(Side::Sell, "5", Some("110")), &marked("100.01", &shown));
    assert_eq!(book.reserved(me()), "0.00");
    let change = |qty: &str| {
        let change = OrderChange { qty: Some(quantity(qty)), ..OrderChange::default() };
        let mut command = replace(2, me(), change);
        if let Command::Replace { market, .. } = &mut command {
            market.marks = marks(&shown);
        }
        command
    };
    book.submit(&change("8")).unwrap();
    assert_eq!((held(&book).reserved_qty(), book.reserved(me())), (quantity("5"), "165.00".into()));
    // Equity 1,000.05 less 250.03: 750.02 back 13 shares at 110, which need 715, and not 14.
    assert_eq!(book.refused(&change("19")), RefusalCode::InsufficientBuyingPower);
    book.submit(&change("18")).unwrap();
    assert_eq!(book.reserved(me()), "715.00");
    book.submit(&change("4")).unwrap();
    assert_eq!((held(&book).reserved_qty(), book.reserved(me())), (quantity("4"), "0.00".into()));
}
