//! Halts of the whole market.

use aggregates::id::InstrumentId;
use aggregates::order::CancelReason;

use super::super::{Reason, Record, Settings};
use super::desk::{Desk, trade};
use crate::market::calendar::Calendar;

fn quote(symbol: &str, bid: &str, ask: &str, at: &str) -> String {
    format!(
        r#"{{"t":"quote","symbol":"{symbol}","bid":"{bid}","bid_size":"500","ask":"{ask}","ask_size":"500","at":"2026-11-23T{at}Z"}}"#
    )
}

fn status(symbol: &str, state: &str, at: &str) -> String {
    format!(
        r#"{{"t":"status","symbol":"{symbol}","state":"{state}","reason":"MWC1","at":"2026-11-23T{at}Z"}}"#
    )
}

fn place(desk: &mut Desk, symbol: &str, account: aggregates::id::AccountId, order: &str) -> u128 {
    let n = desk.place_in(symbol, desk.now(), account, order);
    desk.run(Vec::new());
    n
}

fn two_symbols(record: Record) -> Desk {
    let settings = Settings::new(Calendar::nyse());
    let mut desk = Desk::new(Settings { max_quote_age: None, record, ..settings });
    for symbol in ["AAPL", "IBM"] {
        desk.line(&quote(symbol, "99.00", "101.00", "14:31:00"));
    }
    desk
}

#[test]
fn one_line_halts_every_symbol_and_one_resumes_them_by_the_rules_of_halts() {
    let mut desk = two_symbols(Record::All);
    let account = desk.account("100000");
    for symbol in ["AAPL", "IBM"] {
        place(&mut desk, symbol, account, "buy 10 @ 100.00 gtc");
    }
    let events = desk.log.len();
    desk.line(&status("*", "halted", "14:40:00"));
    assert_eq!(desk.log.len(), events, "it is on the tape alone");
    let again = desk.line(&status("*", "halted", "14:40:01"));
    assert_eq!((again.ignored, again.place), (Some(Reason::Duplicate), None));
    for symbol in ["AAPL", "IBM"] {
        desk.line(&quote(symbol, "80.00", "81.00", "14:41:00"));
        assert!(desk.core.glance(symbol).unwrap().halted);
    }
    let immediate = place(&mut desk, "IBM", account, "buy 1 ioc");
    assert_eq!(desk.reason(immediate), Some(CancelReason::ImmediateOrCancel));
    assert!(desk.cancel(account, 1));
    desk.rebuild();
    desk.line(&quote("T", "10.00", "10.01", "14:42:00"));
    place(&mut desk, "T", account, "buy 1 gtc");
    desk.reload();
    assert_eq!(desk.trades(), [], "a symbol that is listed in the halt is halted too");
    desk.line(&status("*", "trading", "14:55:00"));
    assert_eq!(desk.trades(), [], "no tick of the halt ever fills");
    desk.line(&quote("IBM", "90.00", "91.00", "14:56:00"));
    desk.line(&quote("T", "10.00", "10.02", "14:56:00"));
    assert_eq!(desk.trades(), [trade(2, "91.00", "10"), trade(4, "10.02", "1")]);
}

#[test]
fn a_symbol_that_is_halted_by_itself_stays_halted_when_the_market_resumes() {
    let mut desk = two_symbols(Record::All);
    let account = desk.account("100000");
    desk.line(&status("IBM", "halted", "14:39:00"));
    desk.line(&status("*", "halted", "14:40:00"));
    desk.line(&status("*", "trading", "14:55:00"));
    for symbol in ["AAPL", "IBM"] {
        place(&mut desk, symbol, account, "buy 10 gtc");
        desk.line(&quote(symbol, "90.00", "91.00", "14:56:00"));
    }
    assert_eq!(desk.trades(), [trade(1, "91.00", "10")]);
    desk.line(&status("*", "halted", "14:57:00"));
    desk.line(&status("IBM", "trading", "14:58:00"));
    desk.line(&quote("IBM", "90.00", "92.00", "14:59:00"));
    assert_eq!(desk.trades().len(), 1, "the market is still halted");
    desk.line(&status("*", "trading", "15:00:00"));
    desk.line(&quote("IBM", "90.00", "93.00", "15:01:00"));
    assert_eq!(desk.trades()[1..], [trade(2, "93.00", "10")]);
}

#[test]
fn what_stood_unrecorded_before_a_halt_of_the_market_fills_nothing_after_it() {
    let mut desk = two_symbols(Record::Working);
    desk.line(&quote("IBM", "50.00", "51.00", "14:39:00"));
    desk.line(&status("*", "halted", "14:40:00"));
    desk.line(&quote("IBM", "60.00", "61.00", "14:41:00"));
    desk.line(&status("*", "trading", "14:55:00"));
    let account = desk.account("100000");
    let n = place(&mut desk, "IBM", account, "buy 1 gtc");
    assert_eq!(desk.trades(), []);
    desk.rebuild();
    let ibm = InstrumentId::of_symbol("IBM");
    assert_eq!(desk.core.state().issues[&ibm].quote.as_ref().unwrap().ask.to_string(), "61.00");
    desk.line(&quote("IBM", "70.00", "71.00", "14:56:00"));
    assert_eq!(desk.trades(), [trade(n, "71.00", "1")]);
}
