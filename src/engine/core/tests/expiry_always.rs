//! How options end in a market that goes on trading when the exchange closes, each by a case worked by hand.

use aggregates::account::AccountKind;
use aggregates::id::AccountId;
use aggregates::instrument::InstrumentEvent;
use aggregates::order::{OrderEvent, OrderStatus, TimeInForce};
use aggregates::stream::Event;

use super::super::{Record, Settings};
use super::desk::{AAPL, Desk};
use super::expiry::{end_of, held, of_contracts};
use crate::market::calendar::Calendar;

// 2026-11-20 is a Friday whose session closes at 21:00 UTC; on the one after it that is 18:00.
const CALL: &str = "AAPL261120C00190000";
const HIGHER: &str = "AAPL261120C00195000";
const EARLY: &str = "AAPL261127C00190000";
// The exchange is closed on Good Friday, 2026-04-03: the session before closes at 20:00 UTC.
const HOLIDAY: &str = "AAPL260403C00190000";

fn always() -> Desk {
    Desk::new(Settings { max_quote_age: None, ..Settings::new(Calendar::always()) })
}

fn price(desk: &mut Desk, symbol: &str, bid: &str, ask: &str, at: &str) {
    desk.line(&format!(
        r#"{{"t":"quote","symbol":"{symbol}","bid":"{bid}","bid_size":"50","ask":"{ask}","ask_size":"50","at":"2026-{at}Z"}}"#
    ));
}

fn print(desk: &mut Desk, price: &str, at: &str) {
    desk.line(&format!(
        r#"{{"t":"trade","symbol":"AAPL","price":"{price}","size":"5","at":"2026-{at}Z"}}"#
    ));
}

fn clock(desk: &mut Desk, at: &str) {
    desk.clock(&format!("2026-{at}Z"));
}

/// All is quoted on this day at 15:00 UTC, and an account has one of the contract, bought for 200 of its 50,000.
fn held_on(mut desk: Desk, symbol: &str, day: &str) -> (Desk, AccountId) {
    price(&mut desk, AAPL, "190.99", "191.00", &format!("{day}T15:00:00"));
    price(&mut desk, symbol, "1.90", "2.00", &format!("{day}T15:00:00"));
    let account = desk.options_account(AccountKind::Cash, "50000");
    desk.place_legs(account, 1, None, &[("buy", 1, symbol)], TimeInForce::Day);
    assert_eq!(held(&desk, account, symbol), "1");
    (desk, account)
}

/// The price that a contract has expired at, when that was, and when the contract ended.
fn ended(desk: &Desk) -> Option<[String; 3]> {
    desk.log.iter().find_map(|(_, event)| match event {
        Event::Instrument(InstrumentEvent::ContractExpired {
            price, last_price_at, at, ..
        }) => {
            let seen = last_price_at.map_or_else(|| "daily bar".to_owned(), |at| at.to_rfc3339());
            Some([price.to_string(), seen, at.to_rfc3339()])
        }
        _ => None,
    })
}

/// 50,000 less 200 for the call and 19,000 for the shares.
fn is_exercised(desk: &Desk, account: AccountId, symbol: &str) {
    assert_eq!(held(desk, account, symbol), "0");
    assert_eq!((desk.cash(account).as_str(), desk.held(account).as_str()), ("30800.00", "100"));
    assert_eq!(of_contracts(desk), ["ContractExpired", "ContractSettled"]);
    assert!(desk.core.state().last_before_end.is_empty(), "nothing is kept of it");
}

#[test]
fn options_are_traded_until_the_exchange_closes_and_settled_at_the_last_trade_up_to_it() {
    for restarts in [false, true] {
        let step = |desk: &mut Desk| {
            if restarts {
                desk.rebuild();
            }
        };
        let (mut desk, account) = held_on(always(), CALL, "11-20");
        let buy = [("buy", 1, CALL)];
        let day = desk.place_legs(account, 1, Some("1.00"), &buy, TimeInForce::Day);
        let gtc = desk.place_legs(account, 1, Some("1.00"), &buy, TimeInForce::Gtc);
        for order in [day, gtc] {
            let until = desk.order(order).expires_at().unwrap().to_rfc3339();
            assert_eq!(until, "2026-11-20T21:00:00+00:00");
        }
        price(&mut desk, CALL, "2.10", "2.20", "11-20T20:59:59");
        let last = desk.place_legs(account, 1, None, &buy, TimeInForce::Day);
        assert_eq!(desk.status(last), OrderStatus::Filled, "at 15:59:59 in New York");
        desk.place_legs(account, 1, None, &[("sell", 1, CALL)], TimeInForce::Day);
        // 50,000 less 200 and 220, and 210 more.
        assert_eq!(desk.cash(account), "49790.00");
        print(&mut desk, "192.00", "11-20T20:59:59");
        step(&mut desk);
        // At the close itself nothing of it is traded any more, and what it is on still is.
        price(&mut desk, CALL, "0.40", "0.50", "11-20T21:00:00");
        assert_eq!([day, gtc].map(|order| desk.status(order)), [OrderStatus::Expired; 2]);
        let late = desk.place_legs(account, 1, None, &buy, TimeInForce::Day);
        assert_eq!(desk.rejection(late).code.word(), "contract_expired");
        print(&mut desk, "192.50", "11-20T21:00:00");
        step(&mut desk);
        assert_eq!(ended(&desk), None, "another trade at the close may still come");
        assert_eq!(desk.core.contracts_without_close().count(), 0, "so nothing is missing");
        print(&mut desk, "170.00", "11-20T21:00:01");
        step(&mut desk);
        let close = "2026-11-20T21:00:00+00:00";
        assert_eq!(ended(&desk), Some(["192.50", close, close].map(str::to_owned)));
        // Shares for 19,000 of the 49,790.
        assert_eq!((desk.cash(account).as_str(), desk.held(account).as_str()), ("30790.00", "100"));
        assert_eq!(desk.core.contracts_without_close().count(), 0);
        assert!(desk.core.state().expiring.is_empty() && desk.core.state().contracts.is_empty());
        let events = desk.log.len();
        clock(&mut desk, "11-20T22:00:00");
        assert_eq!(desk.log.len(), events, "it is done once");
    }
}

#[test]
fn the_close_is_that_of_the_session_early_ones_included_and_before_a_holiday_the_last() {
    for (symbol, day, before, after, close) in [
        (EARLY, "11-27", "11-27T17:59:59", "11-27T18:00:01", "2026-11-27T18:00:00+00:00"),
        (HOLIDAY, "04-02", "04-02T19:59:59", "04-02T20:00:01", "2026-04-02T20:00:00+00:00"),
    ] {
        for desk in [always(), Desk::nyse()] {
            let (mut desk, account) = held_on(desk, symbol, day);
            let sell = [("sell", 1, symbol)];
            let order = desk.place_legs(account, 1, Some("9.00"), &sell, TimeInForce::Gtc);
            assert_eq!(desk.order(order).expires_at().unwrap().to_rfc3339(), close);
            print(&mut desk, "192.00", before);
            assert_eq!(ended(&desk), None);
            price(&mut desk, AAPL, "170.00", "170.01", after);
            desk.rebuild();
            let [price, _, at] = ended(&desk).unwrap();
            assert_eq!((price.as_str(), at.as_str()), ("192.00", close));
            is_exercised(&desk, account, symbol);
        }
    }
}

#[test]
fn a_restart_between_any_two_steps_of_that_goes_on_with_the_next() {
    let ends = |steps: Option<usize>| {
        let mut desk = always();
        price(&mut desk, AAPL, "190.99", "191.00", "11-20T15:00:00");
        price(&mut desk, CALL, "1.90", "2.00", "11-20T15:00:00");
        price(&mut desk, HIGHER, "0.40", "0.50", "11-20T15:00:00");
        let accounts = [(); 3].map(|()| desk.options_account(AccountKind::Margin, "90000"));
        for account in accounts {
            let legs = [("buy", 1, CALL), ("sell", 1, HIGHER)];
            desk.place_legs(account, 1, None, &legs, TimeInForce::Day);
        }
        print(&mut desk, "200.00", "11-20T20:59:59");
        let trade = r#"{"t":"trade","symbol":"AAPL","price":"150.00","size":"5","at":"2026-11-20T21:00:01Z"}"#;
        desk.line_or_restart(trade, steps);
        clock(&mut desk, "11-20T21:00:02");
        let cash: Vec<String> = accounts.iter().map(|account| desk.cash(*account)).collect();
        (cash, desk.log.clone())
    };
    let whole = ends(None);
    // 160 for the spread, which is worth its width of 500.
    assert_eq!(whole.0, ["90340.00"; 3]);
    for steps in 0..9 {
        assert!(ends(Some(steps)) == whole, "after {steps} steps");
    }
}

#[test]
fn without_a_price_of_the_day_the_last_before_it_settles_as_soon_as_the_exchange_has_closed() {
    let mut desk = always();
    print(&mut desk, "194.00", "11-19T22:00:00");
    let (mut desk, account) = held_on(desk, CALL, "11-20");
    desk.rebuild();
    clock(&mut desk, "11-20T21:00:00");
    assert_eq!(ended(&desk), None);
    clock(&mut desk, "11-20T21:00:01");
    let seen = Some("2026-11-19T22:00:00Z".parse().unwrap());
    assert_eq!(end_of(&desk), ("194.00".to_owned(), seen));
    is_exercised(&desk, account, CALL);
}

#[test]
fn a_trade_that_is_told_late_settles_contracts_that_have_waited_for_a_price() {
    let (mut desk, account) = held_on(always(), CALL, "11-20");
    clock(&mut desk, "11-20T21:05:00");
    assert_eq!(desk.core.contracts_without_close().count(), 1);
    // What is quoted of it meanwhile fills nothing.
    price(&mut desk, CALL, "0.40", "0.50", "11-20T21:05:01");
    let sell = desk.place_legs(account, 1, None, &[("sell", 1, CALL)], TimeInForce::Day);
    assert_eq!(desk.rejection(sell).code.word(), "contract_expired");
    desk.rebuild();
    print(&mut desk, "192.00", "11-20T20:59:58");
    assert_eq!(desk.core.contracts_without_close().count(), 0);
    desk.rebuild();
    print(&mut desk, "150.00", "11-20T21:05:02");
    let seen = Some("2026-11-20T20:59:58Z".parse().unwrap());
    assert_eq!(end_of(&desk), ("192.00".to_owned(), seen));
    is_exercised(&desk, account, CALL);
}

fn bar(desk: &mut Desk, span: &str, close: &str, at: &str) {
    let worked = desk.line(&format!(
        r#"{{"t":"bar","symbol":"AAPL","open":"{close}","high":"{close}","low":"{close}","close":"{close}","volume":"5","at":"2026-{at}Z","span":"{span}"}}"#
    ));
    assert_eq!(worked.ignored, None);
}

#[test]
fn a_bar_that_goes_on_beyond_the_close_is_no_price_of_before() {
    for restarts in [false, true] {
        let (mut desk, account) = held_on(always(), CALL, "11-20");
        bar(&mut desk, "1m", "192.00", "11-20T20:29:00");
        bar(&mut desk, "1h", "150.00", "11-20T20:30:00");
        if restarts {
            desk.rebuild();
        }
        clock(&mut desk, "11-20T21:31:00");
        let seen = Some("2026-11-20T20:30:00Z".parse().unwrap());
        assert_eq!(end_of(&desk), ("192.00".to_owned(), seen));
        is_exercised(&desk, account, CALL);
    }
}

#[test]
fn the_daily_bar_of_the_day_comes_before_a_price_of_the_day_before() {
    let mut desk = always();
    bar(&mut desk, "1d", "180.00", "11-19T05:00:00");
    let account = {
        price(&mut desk, CALL, "1.90", "2.00", "11-20T05:00:00");
        let account = desk.options_account(AccountKind::Cash, "50000");
        desk.place_legs(account, 1, None, &[("buy", 1, CALL)], TimeInForce::Day);
        account
    };
    bar(&mut desk, "1d", "192.00", "11-20T05:00:00");
    let end = "2026-11-20T21:00:00+00:00";
    assert_eq!(ended(&desk), Some(["192.00", "daily bar", end].map(str::to_owned)));
    is_exercised(&desk, account, CALL);
}

#[test]
fn a_line_of_another_symbol_that_passes_unrecorded_ends_them_too() {
    let working = Settings { record: Record::Working, ..Settings::new(Calendar::always()) };
    let desk = Desk::new(Settings { max_quote_age: None, ..working });
    let (mut desk, account) = held_on(desk, CALL, "11-20");
    price(&mut desk, "MSFT", "9.00", "9.10", "11-20T15:00:01");
    print(&mut desk, "192.00", "11-20T20:59:59");
    price(&mut desk, "MSFT", "9.00", "9.10", "11-20T21:00:00.5");
    is_exercised(&desk, account, CALL);
    desk.rebuild();
    is_exercised(&desk, account, CALL);
}

/// A log of before this was so has orders that live until midnight.
#[test]
fn an_order_that_was_taken_for_longer_than_its_contract_fills_nothing_after_the_close() {
    let (mut desk, account) = held_on(always(), CALL, "11-20");
    let buy = [("buy", 1, CALL)];
    let order = desk.place_legs(account, 1, Some("1.00"), &buy, TimeInForce::Day);
    for (_, event) in &mut desk.log {
        if let Event::Order(OrderEvent::OrderPlaced { expires_at, .. }) = event {
            *expires_at = Some("2026-11-21T05:00:00Z".parse().unwrap());
        }
    }
    desk.rebuild();
    price(&mut desk, CALL, "0.40", "0.50", "11-20T21:00:00");
    assert_eq!(desk.status(order), OrderStatus::Expired);
    assert_eq!(held(&desk, account, CALL), "1");
}
