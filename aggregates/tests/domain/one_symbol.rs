//! A symbol is one contract: what takes it as another one is refused, and a split does not touch what is on something else.

use aggregates::instrument::{ExerciseStyle, OptionEnd, OptionTerms, Settlement};
use aggregates::order::Side;
use aggregates::refusal::RefusalCode;
use aggregates::trading::{BeforeSplit, Command};

use crate::adjusting::{begin, follow};
use crate::book::*;
use crate::examples::me;
use crate::invariants::refold;
use crate::option_life::*;
use crate::option_orders::*;

const CALL_25: &str = "AAPL231215C00025000";

/// The terms of a symbol, told in other ways than it is held by default.
fn others(symbol: &str) -> [OptionTerms; 3] {
    let on_other =
        OptionTerms { underlying_id: stock("AAP"), underlying: "AAP".into(), ..terms(symbol) };
    [
        on_other,
        OptionTerms { style: ExerciseStyle::European, ..terms(symbol) },
        OptionTerms { settlement: Settlement::Cash, ..terms(symbol) },
    ]
}

#[test]
fn an_order_that_takes_a_symbol_as_another_contract_than_is_held_under_it_is_refused() {
    for other in others(CALL_100) {
        let mut book = margin(4);
        hold_as(&mut book, (CALL_100, Some(other.clone())), "2", "500");
        let prices = [(CALL_100, "2.50"), (CALL_110, "0.50")];
        let spread = package(&[(CALL_110, Side::Buy, 1), (CALL_100, Side::Sell, 1)], "1", "2");
        for order in [one(CALL_100, Side::Sell, "1", Some("2.50")), spread] {
            let command = place(1, &order, &shown(&prices));
            assert_eq!(book.refused(&command), RefusalCode::InvalidOrder, "{other:?}");
        }
        let mut market = shown(&prices);
        market.contracts.insert(stock(CALL_100), other.clone());
        let close = one(CALL_100, Side::Sell, "1", Some("2.50"));
        assert_eq!(book.place(1, &close, &market).rejected, None, "{other:?}");
    }
}

#[test]
fn an_order_that_was_taken_as_another_contract_than_is_held_by_now_does_not_fill() {
    for other in others(CALL_100) {
        let mut book = margin(4);
        let prices = [(CALL_100, "2.50")];
        let order = one(CALL_100, Side::Buy, "1", Some("2.50"));
        assert_eq!(book.place(1, &order, &shown(&prices)).rejected, None);
        hold_as(&mut book, (CALL_100, Some(other.clone())), "2", "500");
        let command = proposal(&mut book, 1, "1", &prices);
        assert_eq!(book.refused(&command), RefusalCode::InvalidOrder, "{other:?}");
        assert_eq!(line(&book, CALL_100), "2 cost 500.00 realized 0.00");
    }
}

#[test]
fn what_is_held_under_the_same_symbol_on_something_else_is_not_of_a_split() {
    let mut book = margin(4);
    let [on_other, ..] = others(CALL_100);
    hold_as(&mut book, (CALL_100, Some(on_other.clone())), "2", "500");
    hold(&mut book, CALL_110, "-1", "120");
    for ratio in [("4", "1"), ("3", "2")] {
        let mut book = book.clone();
        begin(&mut book, ratio, "100", &[CALL_100, CALL_110]);
        book.submit(&follow(&[(CALL_100, Some("3")), (CALL_110, Some("1"))], &[])).unwrap();
        assert_eq!(line(&book, CALL_100), "2 cost 500.00 realized 0.00", "{ratio:?}");
        assert_eq!(book.positions[&(me(), stock(CALL_100))].contract(), Some(&on_other));
        assert_eq!(held(&book, CALL_110), "0", "{ratio:?}");
        assert!(refold(&book) == book);
    }
}

/// The step of the account in a split whose new symbol is listed so.
fn follow_where(listed: OptionTerms) -> Command {
    let mut command = follow(&[(CALL_100, Some("2.60"))], &[]);
    if let Command::FollowSplit { contracts, .. } = &mut command {
        let (_, BeforeSplit { listed: told, .. }) = &mut contracts[0];
        *told = Some(listed);
    }
    command
}

#[test]
fn contracts_become_only_what_is_listed_as_what_they_are_and_are_paid_out_else() {
    let mut held_one = margin(4);
    hold(&mut held_one, CALL_100, "1", "250");
    begin(&mut held_one, ("4", "1"), "100", &[CALL_100]);
    for listed in others(CALL_25) {
        let mut book = held_one.clone();
        let done = book.submit(&follow_where(listed.clone())).unwrap();
        assert_eq!(ways(&done), [(OptionEnd::PaidOut, "1".into())], "{listed:?}");
        assert_eq!(line(&book, CALL_100), "0 cost 0.00 realized 10.00");
        assert_eq!(held(&book, CALL_25), "0");
    }
    held_one.submit(&follow_where(terms(CALL_25))).unwrap();
    assert_eq!(line(&held_one, CALL_25), "4 cost 250.00 realized 0.00");
}

#[test]
fn an_assignment_of_adjusted_contracts_leaves_a_fraction_short_only_where_one_was_held() {
    for (shares, after, left) in [("25", "100", "-700"), ("25.125", "100.5", "-699.5")] {
        let mut book = margin(4);
        hold(&mut book, "AAPL", shares, "2500");
        hold(&mut book, CALL_100, "-2", "500");
        begin(&mut book, ("4", "1"), "100", &[CALL_100]);
        book.submit(&follow(&[(CALL_100, Some("2.60"))], &[])).unwrap();
        let command = aggregates::instrument::InstrumentCommand::CompleteSplit {
            action_id: "s1".into(),
            at: at(5),
        };
        book.submit(&Command::Instrument { instrument_id: stock("AAPL"), command }).unwrap();
        assert_eq!((held(&book, "AAPL"), held(&book, CALL_25)), (after.into(), "-8".into()));
        expire(&mut book, "30", &[CALL_25]);
        let done = book.submit(&settlement(&[(CALL_25, None)], &[], &[])).unwrap();
        assert_eq!(ways(&done), [(OptionEnd::Assigned, "8".into())]);
        assert_eq!(held(&book, "AAPL"), left);
        assert!(refold(&book) == book);
        // It is bought back whole, the fraction with it.
        let back = spec(me(), "AAPL", Side::Buy, left.trim_start_matches('-'), None);
        let placed = book.place(1, &back, &marked("25", &[("AAPL", "25")]));
        assert_eq!(placed.rejected, None, "{left}");
        book.fill(1, left.trim_start_matches('-'), "25");
        assert_eq!(held(&book, "AAPL"), "0");
    }
}
