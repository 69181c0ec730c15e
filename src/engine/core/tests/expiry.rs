//! How options end, each by a case worked by hand.

use aggregates::account::AccountKind;
use aggregates::id::{AccountId, InstrumentId};
use aggregates::instrument::InstrumentEvent;
use aggregates::market::MarketTime;
use aggregates::order::{OrderStatus, TimeInForce};
use aggregates::stream::Event;

use super::desk::{AAPL, Desk};

// 2026-11-27 is a Friday whose session ends early, at 18:00 UTC.
pub(super) const C190: &str = "AAPL261127C00190000";
const C195: &str = "AAPL261127C00195000";
const P170: &str = "AAPL261127P00170000";
const LATER: &str = "AAPL261204C00190000";

pub(super) fn price(desk: &mut Desk, symbol: &str, bid: &str, ask: &str, at: &str) {
    desk.line(&format!(
        r#"{{"t":"quote","symbol":"{symbol}","bid":"{bid}","bid_size":"50","ask":"{ask}","ask_size":"50","at":"2026-11-{at}Z"}}"#
    ));
}

pub(super) fn print(desk: &mut Desk, price: &str, at: &str) {
    desk.line(&format!(
        r#"{{"t":"trade","symbol":"AAPL","price":"{price}","size":"5","at":"2026-11-{at}Z"}}"#
    ));
}

pub(super) fn held(desk: &Desk, account: AccountId, symbol: &str) -> String {
    desk.held_of(account, InstrumentId::of_symbol(symbol))
}

/// All quoted on Friday morning.
pub(super) fn quoted() -> Desk {
    let mut desk = Desk::nyse();
    price(&mut desk, AAPL, "190.99", "191.00", "27T15:00:00");
    price(&mut desk, C190, "1.90", "2.00", "27T15:00:00");
    price(&mut desk, C195, "0.40", "0.50", "27T15:00:00");
    price(&mut desk, P170, "0.04", "0.05", "27T15:00:00");
    price(&mut desk, LATER, "4.00", "4.10", "27T15:00:00");
    desk
}

/// The names of the events of the contracts, in order.
pub(super) fn of_contracts(desk: &Desk) -> Vec<String> {
    let words = desk.market_events().into_iter();
    words.filter(|word| word.starts_with("Contract")).collect()
}

#[test]
fn options_end_after_the_close_on_the_official_close_each_account_by_itself() {
    let mut desk = quoted();
    let buyer = desk.options_account(AccountKind::Cash, "50000");
    let spreader = desk.options_account(AccountKind::Margin, "50000");
    desk.place_legs(buyer, 1, None, &[("buy", 1, C190)], TimeInForce::Day);
    desk.place_legs(buyer, 2, None, &[("buy", 1, P170)], TimeInForce::Day);
    desk.place_legs(buyer, 1, None, &[("buy", 1, LATER)], TimeInForce::Day);
    let legs = [("buy", 1, C190), ("sell", 1, C195)];
    desk.place_legs(spreader, 1, None, &legs, TimeInForce::Day);
    let open = desk.place_legs(buyer, 1, Some("0.10"), &[("buy", 1, C195)], TimeInForce::Gtc);
    print(&mut desk, "192.00", "27T17:59:59");
    desk.clock("2026-11-27T18:00:00Z");
    assert!(of_contracts(&desk).is_empty(), "a trade at the close may still come");
    assert_eq!(desk.status(open), OrderStatus::Expired, "it ends with its contract");
    desk.rebuild();
    desk.clock("2026-11-27T18:00:01Z");
    // 50,000 less 200, 10 and 410 for the options, less 19,000 for the shares.
    assert_eq!((desk.cash(buyer).as_str(), desk.held(buyer).as_str()), ("30380.00", "100"));
    // 50,000 less 160 for the spread, less 19,000 for the shares.
    assert_eq!((desk.cash(spreader).as_str(), desk.held(spreader).as_str()), ("30840.00", "100"));
    for (account, symbol) in [(buyer, C190), (buyer, P170), (spreader, C190), (spreader, C195)] {
        assert_eq!(held(&desk, account, symbol), "0", "{symbol}");
    }
    assert_eq!(held(&desk, buyer, LATER), "1");
    let words = of_contracts(&desk);
    let (expired, settled) = words.split_at(3);
    assert!(expired.iter().all(|word| word == "ContractExpired"), "{words:?}");
    assert_eq!(settled, ["ContractSettled"; 3]);
    let state = desk.core.state();
    assert_eq!((state.expiring.len(), state.contracts.len()), (1, 1), "one is left");
    let events = desk.log.len();
    desk.rebuild();
    desk.clock("2026-11-30T15:00:00Z");
    assert_eq!(desk.log.len(), events, "it is done once");
}

#[test]
fn options_wait_for_an_official_close_that_comes_late_and_cannot_be_traded_meanwhile() {
    let mut desk = quoted();
    let account = desk.options_account(AccountKind::Cash, "50000");
    desk.place_legs(account, 1, None, &[("buy", 1, C190)], TimeInForce::Day);
    assert_eq!(desk.core.contracts_without_close().count(), 0);
    desk.clock("2026-11-27T18:00:00Z");
    assert_eq!(desk.core.contracts_without_close().count(), 0, "a trade at the close may come");
    desk.clock("2026-11-27T22:00:00Z");
    assert!(of_contracts(&desk).is_empty());
    assert_eq!(desk.core.contracts_without_close().count(), 1);
    desk.rebuild();
    let late = desk.place_legs(account, 1, Some("1.00"), &[("sell", 1, C190)], TimeInForce::Gtc);
    assert_eq!(desk.rejection(late).code.word(), "contract_expired");
    desk.daily_bar("2026-11-27", ["191.00", "193.00", "190.00", "192.50"], 1000);
    // The next line finds it, as it does for orders of a closing auction.
    desk.clock("2026-11-27T22:00:01Z");
    assert_eq!(desk.core.contracts_without_close().count(), 0);
    assert_eq!((held(&desk, account, C190).as_str(), desk.held(account).as_str()), ("0", "100"));
    assert_eq!(of_contracts(&desk), ["ContractExpired", "ContractSettled"]);
}

#[test]
fn a_restart_between_any_two_steps_of_an_expiry_goes_on_with_the_next() {
    let ended = |steps: Option<usize>| {
        let mut desk = quoted();
        let accounts = [(); 3].map(|()| desk.options_account(AccountKind::Margin, "90000"));
        for account in accounts {
            desk.place_legs(
                account,
                1,
                None,
                &[("buy", 1, C190), ("sell", 1, C195)],
                TimeInForce::Day,
            );
        }
        print(&mut desk, "200.00", "27T17:59:59");
        let clock = r#"{"t":"clock","at":"2026-11-27T18:00:01Z"}"#;
        desk.line_or_restart(clock, steps);
        desk.clock("2026-11-27T18:00:02Z");
        let cash: Vec<String> = accounts.iter().map(|account| desk.cash(*account)).collect();
        (cash, desk.log.iter().map(|(stream, event)| (*stream, event.clone())).collect::<Vec<_>>())
    };
    let whole = ended(None);
    // 160 for the spread, which is worth its width of 500.
    assert_eq!(whole.0, ["90340.00"; 3]);
    for steps in 0..9 {
        assert!(ended(Some(steps)) == whole, "after {steps} steps");
    }
}

#[test]
fn a_contract_in_which_nobody_is_ends_without_a_word() {
    let mut desk = quoted();
    let account = desk.options_account(AccountKind::Margin, "50000");
    desk.place_legs(account, 1, None, &[("buy", 1, C190)], TimeInForce::Day);
    desk.place_legs(account, 1, None, &[("sell", 1, C190)], TimeInForce::Day);
    assert_eq!(desk.core.state().expiring.len(), 1);
    print(&mut desk, "192.00", "27T17:59:59");
    desk.clock("2026-11-27T18:00:01Z");
    assert!(of_contracts(&desk).is_empty());
    assert!(desk.core.state().expiring.is_empty() && desk.core.state().contracts.is_empty());
}

/// Thursday is a holiday: the last trade before Friday is Wednesday's. On Friday there are quotes alone.
pub(super) fn silent_on_friday() -> (Desk, AccountId) {
    let mut desk = Desk::nyse();
    print(&mut desk, "194.00", "25T20:59:59");
    price(&mut desk, AAPL, "190.99", "191.00", "27T15:00:00");
    price(&mut desk, C190, "1.90", "2.00", "27T15:00:00");
    let account = desk.options_account(AccountKind::Cash, "50000");
    desk.place_legs(account, 1, None, &[("buy", 1, C190)], TimeInForce::Day);
    (desk, account)
}

pub(super) fn end_of(desk: &Desk) -> (String, Option<MarketTime>) {
    let ends = desk.log.iter().find_map(|(_, event)| match event {
        Event::Instrument(InstrumentEvent::ContractExpired { price, last_price_at, .. }) => {
            Some((price.to_string(), *last_price_at))
        }
        _ => None,
    });
    ends.expect("it has expired")
}

#[test]
fn options_whose_session_never_closed_end_with_the_next_close_at_the_last_price_before() {
    let ended = |restarts: bool| {
        let (mut desk, account) = silent_on_friday();
        let step = |desk: &mut Desk| {
            if restarts {
                desk.rebuild();
            }
            assert!(of_contracts(desk).is_empty());
            assert_eq!(held(desk, account, C190), "1");
        };
        // The market is shut on Friday evening and goes on on Monday.
        print(&mut desk, "170.00", "30T15:00:00");
        step(&mut desk);
        assert_eq!(desk.core.contracts_without_close().count(), 1, "it waits while one may come");
        print(&mut desk, "165.00", "30T20:59:59");
        step(&mut desk);
        desk.clock("2026-11-30T21:00:00Z");
        step(&mut desk);
        desk.clock("2026-11-30T21:00:01Z");
        assert_eq!(desk.core.contracts_without_close().count(), 0);
        assert_eq!(of_contracts(&desk), ["ContractExpired", "ContractSettled"]);
        let wednesday = "2026-11-25T20:59:59Z".parse().unwrap();
        assert_eq!(end_of(&desk), ("194.00".to_owned(), Some(wednesday)));
        // 50,000 less 200 for the call and 19,000 for the shares.
        assert_eq!((desk.cash(account).as_str(), desk.held(account).as_str()), ("30800.00", "100"));
        assert!(desk.core.state().last_before_end.is_empty(), "nothing is kept of it");
        desk.log.clone()
    };
    assert_eq!(ended(false), ended(true));
}

#[test]
fn the_daily_bar_of_the_session_is_preferred_to_the_last_price_before_it() {
    let (mut desk, account) = silent_on_friday();
    print(&mut desk, "170.00", "30T15:00:00");
    desk.daily_bar("2026-11-27", ["191.00", "193.00", "190.00", "192.50"], 1000);
    assert!(of_contracts(&desk).is_empty(), "the next line finds it");
    print(&mut desk, "170.00", "30T15:01:00");
    assert_eq!(end_of(&desk), ("192.50".to_owned(), None));
    assert_eq!(held(&desk, account, C190), "0");
}

/// An option mostly does not trade: it closes at the middle of its last quote in the session, as long as somebody holds it.
#[test]
fn a_held_option_that_did_not_trade_closes_at_the_middle_of_its_last_quote_of_the_session() {
    let mut desk = quoted();
    let account = desk.options_account(AccountKind::Cash, "50000");
    for symbol in [C195, LATER] {
        desk.place_legs(account, 1, None, &[("buy", 1, symbol)], TimeInForce::Day);
    }
    price(&mut desk, LATER, "4.01", "4.20", "27T17:59:00");
    // What C195 traded at counts before any quote; C190 has only been quoted, and nobody holds it.
    let print = r#"{"t":"trade","symbol":"AAPL261127C00195000","price":"0.47","size":"1","at":"2026-11-27T16:00:00Z"}"#;
    desk.line(print);
    desk.clock("2026-11-27T18:00:00Z");
    let closed = |desk: &Desk, symbol: &str| {
        let issue = &desk.core.state().issues[&InstrumentId::of_symbol(symbol)];
        issue.closed.map(|(session, price)| format!("{session} {price}"))
    };
    assert_eq!(closed(&desk, LATER), None, "a trade at the close may still come");
    desk.rebuild();
    desk.clock("2026-11-27T18:00:01Z");
    assert_eq!(closed(&desk, LATER).as_deref(), Some("2026-11-27 4.105"));
    assert_eq!(closed(&desk, C195).as_deref(), Some("2026-11-27 0.47"));
    assert_eq!(closed(&desk, C190), None);
    // All Monday nothing is quoted: what was quoted on Friday is no price of Monday's close.
    desk.clock("2026-11-30T21:00:01Z");
    assert_eq!(closed(&desk, LATER).as_deref(), Some("2026-11-27 4.105"));
    let quotes = desk.log.iter().filter_map(|(_, event)| match event {
        Event::Instrument(InstrumentEvent::OfficiallyClosed { quote, .. }) => *quote,
        _ => None,
    });
    let quotes: Vec<String> = quotes.map(|it| format!("{} {} {}", it.bid, it.ask, it.at)).collect();
    assert_eq!(quotes, ["4.01 4.20 2026-11-27 17:59:00 UTC"], "it closes once");
}

/// Without any price before it the wait goes on, and a bar that is told after a later close ends it.
#[test]
fn options_without_any_price_up_to_their_close_wait_for_the_daily_bar() {
    let mut desk = quoted();
    let account = desk.options_account(AccountKind::Cash, "50000");
    desk.place_legs(account, 1, None, &[("buy", 1, C190)], TimeInForce::Day);
    print(&mut desk, "170.00", "30T15:00:00");
    desk.clock("2026-11-30T21:00:01Z");
    assert_eq!(desk.market_events().last().map(String::as_str), Some("OfficiallyClosed"));
    assert_eq!(desk.core.contracts_without_close().count(), 1);
    desk.rebuild();
    desk.daily_bar("2026-11-27", ["191.00", "193.00", "190.00", "192.50"], 1000);
    desk.clock("2026-11-30T21:00:02Z");
    assert_eq!(end_of(&desk), ("192.50".to_owned(), None));
    assert_eq!((held(&desk, account, C190).as_str(), desk.held(account).as_str()), ("0", "100"));
}
