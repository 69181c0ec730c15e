//! What is left of options that have expired: nothing.

use aggregates::account::AccountKind;
use aggregates::id::{AccountId, InstrumentId};
use aggregates::order::{OrderStatus, TimeInForce};

use super::super::{EngineState, Reason, Record, Settings};
use super::desk::{AAPL, Desk};
use super::expiry::{C190, held, print};
use crate::market::calendar::Calendar;

/// Puts on AAPL of Friday, 2026-11-27, far out of the money: of 1.000, 1.001 and so on.
fn put(n: u32) -> String {
    format!("AAPL261127P{:08}", 1_000 + n)
}

fn chain(symbols: &[String]) -> String {
    let contracts = serde_json::to_string(symbols).unwrap();
    format!(
        r#"{{"t":"chain","underlying":"AAPL","style":"american","settlement":"physical","contracts":{contracts}}}"#
    )
}

fn price(desk: &mut Desk, symbol: &str, at: &str) -> Option<Reason> {
    let line = format!(
        r#"{{"t":"quote","symbol":"{symbol}","bid":"0.01","bid_size":"50","ask":"0.02","ask_size":"50","at":"2026-11-{at}Z"}}"#
    );
    desk.line(&line).ignored
}

/// AAPL trades on Friday, and there are two accounts with so much.
fn begun(settings: &Settings, cash: &str) -> (Desk, [AccountId; 2]) {
    let mut desk = Desk::new(Settings { max_quote_age: None, ..settings.clone() });
    print(&mut desk, "190.00", "27T15:00:00");
    let accounts = [AccountKind::Cash, AccountKind::Margin];
    let accounts = accounts.map(|kind| desk.options_account(kind, cash));
    (desk, accounts)
}

/// It closes at 190, and the weekend begins.
fn over(desk: &mut Desk) {
    print(desk, "190.00", "27T17:59:59");
    desk.clock("2026-11-27T18:00:01Z");
    desk.clock("2026-11-28T05:00:01Z");
}

/// What is known but for how far log and tape have come.
fn known(state: &EngineState) -> EngineState {
    let mut state = state.clone();
    (state.position, state.place) = (0, 0);
    for issue in state.issues.values_mut() {
        issue.print.as_mut().unwrap().place = 0;
    }
    state
}

#[test]
fn of_a_thousand_contracts_that_have_ended_nothing_is_kept() {
    for calendar in [Calendar::nyse(), Calendar::always()] {
        for record in [Record::All, Record::Working] {
            let settings = Settings { record, ..Settings::new(calendar) };
            let (mut without, _) = begun(&settings, "49965");
            over(&mut without);
            let (mut desk, accounts) = begun(&settings, "50000");
            let symbols: Vec<String> = (0..1_000).map(put).collect();
            for some in symbols.chunks(250) {
                assert_eq!(desk.line(&chain(some)).ignored, None);
            }
            for symbol in &symbols {
                assert_eq!(price(&mut desk, symbol, "27T15:01:00"), None);
            }
            for symbol in symbols.iter().step_by(10) {
                let [interest, rate] = [
                    format!(
                        r#"{{"t":"open_interest","symbol":"{symbol}","value":"9","at":"2026-11-27T15:01:00Z"}}"#
                    ),
                    format!(
                        r#"{{"t":"rate","kind":"risk_free","symbol":"{symbol}","value":"0.04","at":"2026-11-27T15:01:00Z"}}"#
                    ),
                ];
                assert_eq!(desk.line(&interest).ignored, None);
                assert_eq!(desk.line(&rate).ignored, None);
            }
            for (n, symbol) in symbols.iter().step_by(50).enumerate() {
                for account in accounts {
                    let order =
                        desk.place_legs(account, 1, None, &[("buy", 1, symbol)], TimeInForce::Day);
                    assert_eq!(desk.status(order), OrderStatus::Filled);
                    // Some hold none in the end.
                    if n % 4 == 0 {
                        let sell = [("sell", 1, symbol.as_str())];
                        desk.place_legs(account, 1, None, &sell, TimeInForce::Day);
                    }
                }
            }
            assert_eq!(desk.core.state().listed_until.len(), 1_000);
            desk.reload();
            over(&mut desk);
            // 20 for 2.00 each, of which 5 were sold for 1.00.
            for account in accounts {
                assert_eq!(desk.cash(account), "49965.00");
            }
            let (state, other) = (known(desk.core.state()), known(without.core.state()));
            assert_eq!(state, other);
            let size = |state| serde_json::to_string(state).unwrap().len();
            assert_eq!(size(&state), size(&other));
            desk.rebuild();
            assert_eq!(known(desk.core.state()), other);
        }
    }
}

#[test]
fn lines_about_an_option_that_has_expired_and_is_forgotten_change_nothing() {
    let (mut desk, _) = begun(&Settings::new(Calendar::nyse()), "50000");
    desk.line(&chain(&[put(0), put(1)]));
    assert_eq!(price(&mut desk, &put(0), "27T15:01:00"), None);
    desk.clock("2026-11-28T04:59:59Z");
    assert!(desk.core.glance(&put(0)).is_some(), "until its day is over");
    desk.clock("2026-11-28T05:00:00Z");
    assert!(desk.core.glance(&put(0)).is_none());
    let (events, lines, issues) =
        (desk.log.len(), desk.tape.len(), desk.core.state().issues.clone());
    assert_eq!(price(&mut desk, &put(0), "30T15:00:00"), Some(Reason::Expired));
    assert_eq!(desk.line(&chain(&[put(0), put(1)])).ignored, Some(Reason::Expired));
    let listing = format!(
        r#"{{"t":"instrument","symbol":"{}","kind":"option","underlying":"AAPL","style":"american","settlement":"physical"}}"#,
        put(2)
    );
    assert_eq!(desk.line(&listing).ignored, Some(Reason::Expired), "also one that was never told");
    assert_eq!((desk.log.len(), desk.tape.len()), (events, lines));
    assert_eq!(desk.core.state().issues, issues);
    // Of a chain the others are listed.
    let later = "AAPL261204P00001000";
    assert_eq!(desk.line(&chain(&[put(0), later.to_owned()])).ignored, None);
    assert!(desk.core.glance(later).is_some() && desk.core.glance(&put(0)).is_none());
    desk.rebuild();
    assert!(desk.core.glance(later).is_some() && desk.core.glance(&put(0)).is_none());
}

#[test]
fn what_somebody_is_left_in_is_kept_until_it_is_settled() {
    for splits in [false, true] {
        let mut desk = super::expiry::quoted();
        let account = desk.options_account(AccountKind::Cash, "50000");
        desk.place_legs(account, 1, None, &[("buy", 1, C190)], TimeInForce::Day);
        desk.clock("2026-11-28T05:00:01Z");
        let symbols = |desk: &Desk| -> Vec<String> {
            let known = desk.core.state().symbols.keys();
            known.filter(|symbol| symbol.starts_with("AAPL261127")).cloned().collect()
        };
        assert_eq!(symbols(&desk), [C190], "the others are forgotten");
        let mut symbol = C190;
        if splits {
            symbol = "AAPL261127C00047500";
            desk.line(r#"{"t":"split","symbol":"AAPL","numerator":"4","denominator":"1","id":"s1","at":"2026-11-28T06:00:00Z"}"#);
            assert_eq!(held(&desk, account, symbol), "4");
            desk.clock("2026-11-28T07:00:00Z");
            assert_eq!(symbols(&desk), [symbol], "what it was is forgotten");
        }
        desk.rebuild();
        assert_eq!(symbols(&desk), [symbol]);
        desk.daily_bar("2026-11-27", ["191.00", "193.00", "190.00", "192.50"], 1000);
        desk.clock("2026-11-28T08:00:00Z");
        assert_eq!(desk.cash(account), "30800.00");
        assert_eq!(symbols(&desk), [] as [&str; 0]);
        assert!(!desk.core.state().holders.contains_key(&InstrumentId::of_symbol(symbol)));
        assert!(desk.core.glance(AAPL).is_some());
    }
}

#[test]
fn an_option_that_expires_beyond_the_calendar_is_not_listed() {
    const LAST: &str = "AAPL501216C00190000";
    const BEYOND: &str = "AAPL510120C00190000";
    for calendar in [Calendar::nyse(), Calendar::always()] {
        let settings = Settings::new(calendar);
        let (mut desk, _) = begun(&settings, "10000");
        let known = desk.core.state().symbols.clone();
        let listing = |symbol: &str| {
            format!(
                r#"{{"t":"instrument","symbol":"{symbol}","kind":"option","underlying":"AAPL","style":"american","settlement":"physical"}}"#
            )
        };
        assert_eq!(price(&mut desk, BEYOND, "27T15:00:00"), Some(Reason::OutsideCalendar));
        assert_eq!(desk.line(&listing(BEYOND)).ignored, Some(Reason::OutsideCalendar));
        let both = chain(&[LAST.to_owned(), BEYOND.to_owned()]);
        assert_eq!(desk.line(&both).ignored, Some(Reason::OutsideCalendar));
        assert_eq!(desk.core.state().symbols, known);
        // A stock may be named so.
        let stock = format!(r#"{{"t":"instrument","symbol":"{BEYOND}","kind":"stock"}}"#);
        assert_eq!(desk.line(&stock).ignored, None);
        assert_eq!(price(&mut desk, BEYOND, "27T15:00:00"), None);
        assert_eq!(desk.line(&chain(&[LAST.to_owned()])).ignored, None);
        assert_eq!(price(&mut desk, LAST, "27T15:00:00"), None);
        desk.rebuild();
    }
}
