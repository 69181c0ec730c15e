//! Options that lines tell of in two ways: a symbol is one contract, to all that hold it or ask for it.

use aggregates::account::AccountKind;
use aggregates::id::{AccountId, InstrumentId};
use aggregates::instrument::ExerciseStyle;
use aggregates::order::{CancelReason, OrderStatus, TimeInForce};

use super::super::Reason;
use super::desk::Desk;

const C200: &str = "AAPL261218C00200000";
const C50: &str = "AAPL261218C00050000";
/// By its root on `AAPL1`, and by its letters also one that may be on `AAPL`.
const OTHER: &str = "AAPL1261218C00200000";

fn price(desk: &mut Desk, symbol: &str, bid: &str, ask: &str, at: &str) {
    desk.line(&format!(
        r#"{{"t":"quote","symbol":"{symbol}","bid":"{bid}","bid_size":"50","ask":"{ask}","ask_size":"50","at":"2026-{at}Z"}}"#
    ));
}

fn listing(symbol: &str, underlying: &str, style: &str, settlement: &str) -> String {
    format!(
        r#"{{"t":"instrument","symbol":"{symbol}","kind":"option","underlying":"{underlying}","style":"{style}","settlement":"{settlement}"}}"#
    )
}

fn held(desk: &Desk, account: AccountId, symbol: &str) -> String {
    desk.held_of(account, InstrumentId::of_symbol(symbol))
}

/// An account that holds one of these, which its quote has listed.
fn holder(desk: &mut Desk, symbol: &str) -> AccountId {
    desk.quote("199.99", 500, "200.00", 500, "2026-11-23T15:00:00Z");
    price(desk, symbol, "5.00", "5.10", "11-23T15:00:00");
    let account = desk.options_account(AccountKind::Cash, "50000");
    desk.place_legs(account, 1, None, &[("buy", 1, symbol)], TimeInForce::Day);
    assert_eq!(held(desk, account, symbol), "1");
    account
}

#[test]
fn a_line_that_lists_what_is_held_as_another_contract_changes_nothing() {
    let others = [
        (OTHER, listing(OTHER, "AAPL", "american", "physical")),
        (C200, listing(C200, "AAPL", "european", "physical")),
        (C200, listing(C200, "AAPL", "american", "cash")),
    ];
    for (symbol, line) in others {
        let mut desk = Desk::nyse();
        let account = holder(&mut desk, symbol);
        let known = desk.core.state().issues.clone();
        assert_eq!(desk.line(&line).ignored, Some(Reason::ContradictsHeld), "{line}");
        assert_eq!(desk.core.state().issues, known, "{line}");
        // Two of a chain, of which one is held otherwise, are neither listed nor told of.
        let chain = line
            .replace("instrument", "chain")
            .replace(r#""kind":"option","#, "")
            .replace(&format!(r#""symbol":"{symbol}","#), "")
            .replace(
                '}',
                &format!(r#","contracts":["{}","{symbol}"]}}"#, symbol.replace('C', "P")),
            );
        assert_eq!(desk.line(&chain).ignored, Some(Reason::ContradictsHeld), "{chain}");
        assert_eq!(desk.core.state().issues, known, "{chain}");
        desk.rebuild();

        // What says how it is held is taken, and so is the other once nobody is in it any more.
        let close = desk.place_legs(account, 1, None, &[("sell", 1, symbol)], TimeInForce::Day);
        assert_eq!(desk.status(close), OrderStatus::Filled);
        assert_eq!(desk.line(&line).ignored, None, "{line}");
        desk.place_legs(account, 1, None, &[("buy", 1, symbol)], TimeInForce::Day);
        assert_eq!(held(&desk, account, symbol), "1");
        let instrument_id = InstrumentId::of_symbol(symbol);
        let state = desk.core.state();
        let taken = state.issues[&instrument_id].contract();
        assert_eq!(state.contracts.get(&instrument_id), taken.as_ref());
        assert!(state.held_on[&taken.unwrap().underlying_id].contains(&instrument_id));
        let now = state.clone();
        desk.rebuild();
        assert_eq!(desk.core.state().contracts, now.contracts);
        assert_eq!(desk.core.state().expiring, now.expiring);
    }
}

#[test]
fn a_line_that_lists_what_is_asked_for_as_another_contract_changes_nothing() {
    let mut desk = Desk::nyse();
    desk.quote("199.99", 500, "200.00", 500, "2026-11-23T15:00:00Z");
    price(&mut desk, C200, "5.00", "5.10", "11-23T15:00:00");
    let account = desk.options_account(AccountKind::Cash, "50000");
    let order = desk.place_legs(account, 1, Some("1.00"), &[("buy", 1, C200)], TimeInForce::Gtc);
    let line = listing(C200, "AAPL", "european", "cash");
    assert_eq!(desk.line(&line).ignored, Some(Reason::ContradictsHeld));
    assert_eq!(desk.line(&listing(C200, "AAPL", "american", "physical")).ignored, None);
    assert!(desk.cancel(account, order));
    assert_eq!(desk.line(&line).ignored, Some(Reason::Contradictory), "a line has told of it");
}

#[test]
fn orders_that_a_line_overtakes_are_of_the_contract_of_the_first_that_comes() {
    const C210: &str = "AAPL261218C00210000";
    let day = TimeInForce::Day;
    for (legs, limit) in [
        (&[("buy", 1, C200)][..], None),
        (&[("buy", 1, C200), ("sell", 1, C210)][..], Some("4.00")),
    ] {
        for earlier_first in [true, false] {
            let mut desk = Desk::nyse();
            desk.quote("199.99", 500, "200.00", 500, "2026-11-23T15:00:00Z");
            price(&mut desk, C200, "5.00", "5.10", "11-23T15:00:00");
            price(&mut desk, C210, "2.00", "2.10", "11-23T15:00:00");
            let accounts = [1, 2].map(|_| desk.options_account(AccountKind::Margin, "50000"));
            // One is sent before a line says that the contract is another one than its quotes let think, one after.
            let earlier = desk.sent_legs(accounts[0], 1, limit, legs, day);
            assert_eq!(desk.line(&listing(C200, "AAPL", "european", "cash")).ignored, None);
            let later = desk.sent_legs(accounts[1], 1, limit, legs, day);
            let mut order = [(accounts[0], earlier), (accounts[1], later)];
            if !earlier_first {
                order.reverse();
            }
            let [(first, (taken, placing)), (second, (ended, overtaken))] = order;
            desk.arrive(&placing);
            desk.arrive(&overtaken);
            assert_eq!(desk.status(taken), OrderStatus::Filled);
            assert_eq!(desk.reason(ended), Some(CancelReason::ContradictsHeld));
            assert_eq!(held(&desk, first, C200), "1");
            assert_eq!(
                (held(&desk, second, C200), desk.cash(second)),
                ("0".into(), "50000.00".into())
            );
            let contract = desk.core.state().contracts[&InstrumentId::of_symbol(C200)].clone();
            assert_eq!(contract.style == ExerciseStyle::American, earlier_first);
            desk.rebuild();
        }
    }
}

#[test]
fn contracts_do_not_become_what_is_listed_as_another_one() {
    let others = [
        (listing(C50, "AAPL", "european", "physical"), false),
        (listing(C50, "AAPL", "american", "cash"), false),
        (listing(C50, "AAPL", "american", "physical"), true),
    ];
    for (line, becomes) in others {
        let mut desk = Desk::nyse();
        let account = holder(&mut desk, C200);
        assert_eq!(desk.line(&line).ignored, None);
        desk.line(r#"{"t":"split","symbol":"AAPL","numerator":"4","denominator":"1","id":"s1","at":"2026-11-24T05:00:00Z"}"#);
        assert_eq!(held(&desk, account, C200), "0", "{line}");
        // 50,000 - 510, and 505 for one that cannot be the other.
        let (qty, cash) = if becomes { ("4", "49490.00") } else { ("0", "49995.00") };
        assert_eq!(held(&desk, account, C50), qty, "{line}");
        assert_eq!(desk.cash(account), cash, "{line}");
        let contract = desk.core.state().issues[&InstrumentId::of_symbol(C50)].contract();
        let told: crate::market::tick::Tick =
            crate::market::reading::parse_line(line.as_bytes(), 1).unwrap().unwrap();
        let crate::market::tick::Tick::Instrument(told) = told else { panic!() };
        let contract = contract.unwrap();
        assert_eq!(
            (told.style, told.settlement),
            (Some(contract.style), Some(contract.settlement))
        );
        desk.rebuild();
    }
}
