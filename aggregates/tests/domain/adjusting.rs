//! Options whose underlying is split: what they become, or what they are paid out at, with sums worked out by hand.

use aggregates::instrument::{Contract, InstrumentCommand, OptionEnd};
use aggregates::market::Reference;
use aggregates::money::Money;
use aggregates::order::{CancelReason, OrderChange, OrderEvent, Side};
use aggregates::position::PositionEvent;
use aggregates::refusal::RefusalCode;
use aggregates::stream::{Event, StreamId};
use aggregates::trading::{BeforeSplit, Command, Decision};

use crate::book::*;
use crate::examples::me;
use crate::invariants::refold;
use crate::option_life::*;
use crate::option_orders::*;

const CALL_200: &str = "AAPL231215C00200000";
const CALL_50: &str = "AAPL231215C00050000";
const CALL_25: &str = "AAPL231215C00025000";
const CALL_12_50: &str = "AAPL231215C00012500";
const PUT_25: &str = "AAPL231215P00025000";

/// The step of the account in a split, with what it holds, each with what that was worth.
pub fn follow(contracts: &[(&str, Option<&str>)], orders: &[u128]) -> Command {
    let worth = |text: &str| Reference { price: price(text), source: "feed".into(), at: at(3) };
    let command = follow_split(me(), "AAPL", orders);
    let Command::FollowSplit { account_id, instrument_id, orders, at, .. } = command else {
        panic!()
    };
    let before = |it: Option<&str>| BeforeSplit { worth: it.map(worth), listed: None };
    let contracts = contracts.iter().map(|(symbol, it)| (stock(symbol), before(*it))).collect();
    Command::FollowSplit { account_id, instrument_id, orders, contracts, at }
}

/// Begins a split, and lists what these contracts become.
pub fn begin(book: &mut Book, ratio: (&str, &str), close: &str, symbols: &[&str]) {
    book.submit(&begin_split("s1", "AAPL", ratio, Some(close))).unwrap();
    let times = quantity(ratio.0);
    for symbol in symbols.iter().filter(|_| ratio.1 == "1") {
        let contract: Contract = symbol.parse().unwrap();
        let becomes = contract.divided_by(times).unwrap().to_string();
        if !book.instruments.contains_key(&stock(&becomes)) {
            list_option(book, &becomes);
        }
    }
}

/// The split of what these options are on.
fn split(
    book: &mut Book,
    ratio: (&str, &str),
    contracts: &[(&str, Option<&str>)],
    orders: &[u128],
) -> Decision {
    let symbols: Vec<&str> = contracts.iter().map(|(symbol, _)| *symbol).collect();
    begin(book, ratio, "100", &symbols);
    let done = book.submit(&follow(contracts, orders)).unwrap();
    let command = InstrumentCommand::CompleteSplit { action_id: "s1".into(), at: at(5) };
    book.submit(&Command::Instrument { instrument_id: stock("AAPL"), command }).unwrap();
    assert!(refold(book) == *book, "the log tells it all");
    done
}

fn types(done: &Decision) -> Vec<String> {
    done.events.iter().map(|(_, event)| event.event_type()).collect()
}

#[test]
fn a_contract_becomes_as_many_as_a_share_does_at_the_strike_divided_by_that() {
    let mut book = cash(2, "1000");
    hold(&mut book, CALL_200, "1", "250");
    hold(&mut book, CALL_200, "2", "520.01");
    let before: Vec<_> = book.positions[&(me(), stock(CALL_200))].lots().cloned().collect();
    let done = split(&mut book, ("4", "1"), &[(CALL_200, Some("3"))], &[]);
    assert_eq!(types(&done), ["ContractAdjusted", "AdjustedContractOpened"]);
    assert_eq!(book.cash(me()), "1000.00");
    assert_eq!(line(&book, CALL_200), "0 cost 0.00 realized 0.00");
    assert_eq!(line(&book, CALL_50), "12 cost 770.01 realized 0.00");
    let position = &book.positions[&(me(), stock(CALL_50))];
    assert_eq!(position.contract(), Some(&terms(CALL_50)));
    let after: Vec<_> = position.lots().cloned().collect();
    assert_eq!(after.len(), 2);
    for (old, new) in before.iter().zip(&after) {
        assert_eq!((old.lot_id, old.cost, old.opened_at), (new.lot_id, new.cost, new.opened_at));
        assert_eq!(old.qty.times(quantity("4")), Ok(new.qty));
    }
}

#[test]
fn a_short_contract_keeps_what_it_brought_and_an_instruction_goes_with_a_long_one() {
    let mut book = margin(4);
    hold(&mut book, CALL_200, "-2", "700");
    hold(&mut book, CALL_100, "1", "250");
    let instrument_id = stock(CALL_100);
    let instruct = Command::InstructExercise {
        account_id: me(),
        instrument_id,
        exercise: false,
        contract_end: None,
        at: at(2),
    };
    book.submit(&instruct).unwrap();
    split(&mut book, ("4", "1"), &[(CALL_100, None), (CALL_200, None)], &[]);
    assert_eq!(line(&book, CALL_50), "-8 cost 700.00 realized 0.00");
    assert_eq!(line(&book, CALL_25), "4 cost 250.00 realized 0.00");
    assert!(book.positions[&(me(), stock(CALL_25))].do_not_exercise());
    assert!(!book.positions[&(me(), stock(CALL_100))].do_not_exercise());
    let done = {
        expire(&mut book, "30", &[CALL_25, CALL_50]);
        book.submit(&settlement(&[(CALL_25, None), (CALL_50, None)], &[], &[])).unwrap()
    };
    let ways = ways(&done);
    assert!(ways.contains(&(OptionEnd::Abandoned, "4".into())), "{ways:?}");
    assert_eq!(line(&book, CALL_50), "0 cost 0.00 realized 700.00");
}

#[test]
fn a_covered_call_stays_covered_and_delivers_all_of_its_shares() {
    let mut book = cash(1, "0");
    hold(&mut book, "AAPL", "100", "9000");
    hold(&mut book, CALL_100, "-1", "250");
    split(&mut book, ("4", "1"), &[(CALL_100, Some("2.60"))], &[]);
    assert_eq!(line(&book, "AAPL"), "400 cost 9000.00 realized 0.00");
    assert_eq!(line(&book, CALL_25), "-4 cost 250.00 realized 0.00");
    expire(&mut book, "30", &[CALL_25]);
    let done = book.submit(&settlement(&[(CALL_25, None)], &[], &[])).unwrap();
    assert_eq!(ways(&done), [(OptionEnd::Assigned, "4".into())]);
    // 400 * 25, and 10,000 + 250 - 9,000 of profit.
    assert_eq!(book.cash(me()), "10000.00");
    assert_eq!(line(&book, "AAPL"), "0 cost 0.00 realized 1250.00");
}

/// Takes money out of the account.
fn withdrawal(n: u128, amount: &str) -> Command {
    Command::Withdraw {
        account_id: me(),
        withdrawal_id: command_id(n),
        amount: money(amount),
        marks: marks(&[]),
        at: Some(at(6)),
    }
}

#[test]
fn the_cash_that_secures_a_put_is_the_same_after_a_split() {
    let mut book = cash(1, "12000");
    hold(&mut book, PUT_100, "-1", "300");
    assert_eq!(book.refused(&withdrawal(1, "2000.01")), RefusalCode::InsufficientCash);
    split(&mut book, ("4", "1"), &[(PUT_100, Some("3.10"))], &[]);
    assert_eq!(line(&book, PUT_25), "-4 cost 300.00 realized 0.00");
    assert_eq!(book.refused(&withdrawal(2, "2000.01")), RefusalCode::InsufficientCash);
    book.submit(&withdrawal(3, "2000")).unwrap();
    assert_eq!(book.cash(me()), "10000.00");
}

#[test]
fn contracts_come_to_a_symbol_that_its_own_have_left_by_the_same_split() {
    let mut book = margin(4);
    hold(&mut book, CALL_200, "1", "150");
    hold(&mut book, CALL_50, "-3", "1800");
    let done = split(&mut book, ("4", "1"), &[(CALL_200, None), (CALL_50, None)], &[]);
    let streams: Vec<StreamId> = done.events.iter().map(|(stream, _)| *stream).collect();
    let of = |symbol| StreamId::Position(me(), stock(symbol));
    assert_eq!(streams, [of(CALL_50), of(CALL_12_50), of(CALL_200), of(CALL_50)]);
    assert_eq!(line(&book, CALL_12_50), "-12 cost 1800.00 realized 0.00");
    assert_eq!(line(&book, CALL_50), "4 cost 150.00 realized 0.00");
    assert_eq!(line(&book, CALL_200), "0 cost 0.00 realized 0.00");
}

#[test]
fn contracts_whose_symbol_is_taken_once_it_is_rounded_are_paid_out() {
    // 2.499 / 3 is 0.833, and so is 2.500 / 3 to the thousandth.
    let (low, high) = ("AAPL231215C00002499", "AAPL231215C00002500");
    let mut book = margin(4);
    hold(&mut book, low, "1", "50");
    hold(&mut book, high, "-2", "90");
    let done = split(&mut book, ("3", "1"), &[(high, Some("0.405")), (low, Some("0.41"))], &[]);
    assert_eq!(ways(&done), [(OptionEnd::PaidOut, "2".into())]);
    assert_eq!(line(&book, "AAPL231215C00000833"), "3 cost 50.00 realized 0.00");
    // 90 - 2 * 40.50
    assert_eq!(line(&book, high), "0 cost 0.00 realized 9.00");
    assert_eq!(book.cash(me()), "9919.00");
}

#[test]
fn contracts_are_paid_out_by_a_split_that_makes_no_whole_ones_of_them() {
    for ratio in [("3", "2"), ("1", "10")] {
        let mut book = margin(4);
        hold(&mut book, CALL_100, "2", "500");
        hold(&mut book, CALL_110, "-1", "120");
        hold(&mut book, PUT_90, "1", "80");
        let contracts = [(CALL_100, Some("3.125")), (CALL_110, Some("0.505")), (PUT_90, None)];
        let done = split(&mut book, ratio, &contracts, &[]);
        assert!(ways(&done).iter().all(|(how, _)| *how == OptionEnd::PaidOut));
        // 10,000 + 625 - 50.50, and nothing for the put that is out of the money.
        assert_eq!(book.cash(me()), "10574.50", "{ratio:?}");
        assert_eq!(line(&book, CALL_100), "0 cost 0.00 realized 125.00");
        assert_eq!(line(&book, CALL_110), "0 cost 0.00 realized 69.50");
        assert_eq!(line(&book, PUT_90), "0 cost 0.00 realized -80.00");
        let named = done.events.iter().filter(|(_, event)| {
            matches!(event, Event::Position(PositionEvent::OptionEnded { action_id: Some(id), .. }) if id == "s1")
        });
        assert_eq!(named.count(), 3);
    }
}

#[test]
fn a_contract_without_a_price_is_paid_what_it_is_in_the_money_by_at_the_last_close() {
    let mut book = margin(4);
    hold(&mut book, CALL_50, "1", "4000");
    hold(&mut book, PUT_95, "-1", "200");
    let done = split(&mut book, ("3", "2"), &[(CALL_50, None), (PUT_95, None)], &[]);
    assert_eq!(ways(&done).len(), 2);
    // 10,000 + 100 * (100 - 50)
    assert_eq!(book.cash(me()), "15000.00");
    assert_eq!(line(&book, CALL_50), "0 cost 0.00 realized 1000.00");
    assert_eq!(line(&book, PUT_95), "0 cost 0.00 realized 200.00");
}

#[test]
fn contracts_that_nothing_is_listed_for_are_paid_out() {
    let mut book = margin(4);
    hold(&mut book, CALL_200, "1", "250");
    book.submit(&begin_split("s1", "AAPL", ("4", "1"), Some("100"))).unwrap();
    let done = book.submit(&follow(&[(CALL_200, Some("2"))], &[])).unwrap();
    assert_eq!(ways(&done), [(OptionEnd::PaidOut, "1".into())]);
    assert_eq!(line(&book, CALL_200), "0 cost 0.00 realized -50.00");
}

#[test]
fn open_orders_of_options_end_with_the_split_and_free_what_they_had_reserved() {
    let mut book = margin(4);
    hold(&mut book, CALL_100, "3", "750");
    let prices = [(CALL_100, "2.50"), (CALL_110, "0.50"), (PUT_90, "0.80")];
    let close = one(CALL_100, Side::Sell, "2", Some("4"));
    let open = one(PUT_90, Side::Sell, "1", Some("0.80"));
    let spread = package(&[(CALL_100, Side::Buy, 1), (CALL_110, Side::Sell, 1)], "1", "2.00");
    for (n, order) in [(1, &close), (2, &open), (3, &spread)] {
        assert_eq!(book.place(n, order, &shown(&prices)).rejected, None, "{n}");
    }
    assert_ne!(book.reserved(me()), "0.00");
    let done = split(&mut book, ("4", "1"), &[(CALL_100, Some("2.50"))], &[1, 2, 3]);
    let canceled = done.events.iter().filter(|(_, event)| {
        matches!(event, Event::Order(OrderEvent::OrderCanceled { reason, .. })
            if *reason == CancelReason::ContractAdjusted)
    });
    assert_eq!(canceled.count(), 3);
    assert_eq!(book.reserved(me()), "0.00");
    assert_eq!(line(&book, CALL_25), "12 cost 750.00 realized 0.00");
    for position in book.positions.values() {
        assert!(position.reserved_qty().is_zero());
    }
}

#[test]
fn nothing_happens_to_options_while_what_they_are_on_is_being_split() {
    let mut book = margin(4);
    hold(&mut book, CALL_100, "2", "500");
    let sell = one(CALL_100, Side::Sell, "1", Some("3"));
    let prices = [(CALL_100, "2.50"), (CALL_110, "0.50")];
    book.place(1, &sell, &shown(&prices));
    begin(&mut book, ("4", "1"), "100", &[CALL_100]);
    let refused = |book: &mut Book, command: &Command| {
        assert_eq!(book.refused(command), RefusalCode::CorporateAction, "{command:?}");
    };
    refused(&mut book, &place(2, &sell, &shown(&prices)));
    let spread = package(&[(CALL_100, Side::Buy, 1), (CALL_110, Side::Sell, 1)], "1", "2.00");
    refused(&mut book, &place(3, &spread, &shown(&prices)));
    let change = OrderChange { limit_price: Some(price("2.90")), ..OrderChange::default() };
    let (account_id, market) = (me(), shown(&prices));
    let replace =
        Command::Replace { account_id, order_id: order_id(1), change, seen: None, market };
    refused(&mut book, &replace);
    let exercise = Command::Exercise {
        account_id,
        instrument_id: stock(CALL_100),
        exercise_id: command_id(7),
        qty: quantity("1"),
        contract_end: None,
        underlying: None,
        marks: marks(&[]),
        at: at(4),
    };
    refused(&mut book, &exercise);
    let reset = Command::Reset {
        account_id,
        reset_id: command_id(8),
        balance: Money::ZERO,
        at: Some(at(4)),
    };
    refused(&mut book, &reset);
    // Without its order the account has not followed with all that it has.
    assert_eq!(book.refused(&follow(&[(CALL_100, None)], &[])), RefusalCode::OrderChanged);
    book.submit(&follow(&[(CALL_100, None)], &[1])).unwrap();
    assert_eq!(line(&book, CALL_25), "8 cost 500.00 realized 0.00");
    // What came by the split does not follow it again.
    assert_eq!(book.refused(&follow(&[(CALL_25, None)], &[])), RefusalCode::AlreadyApplied);
}

#[test]
fn contracts_that_would_become_more_than_there_can_be_stay_and_hold_nobody_up() {
    let mut book = margin(4);
    hold(&mut book, CALL_100, "900000000", "10");
    begin(&mut book, ("4", "1"), "100", &[CALL_100]);
    let done = book.submit(&follow(&[(CALL_100, Some("0.01"))], &[])).unwrap();
    assert_eq!(types(&done), ["SplitNotFollowed"]);
    assert_eq!(line(&book, CALL_100), "900000000 cost 10.00 realized 0.00");
    assert_eq!(book.refused(&follow(&[(CALL_100, None)], &[])), RefusalCode::AlreadyApplied);
}

#[test]
fn a_split_into_as_many_shares_leaves_contracts_alone() {
    let mut book = margin(4);
    hold(&mut book, CALL_100, "1", "250");
    let done = split(&mut book, ("2", "2"), &[(CALL_100, Some("3"))], &[]);
    assert_eq!(types(&done), [""; 0]);
    assert_eq!(line(&book, CALL_100), "1 cost 250.00 realized 0.00");
}

#[test]
fn the_strike_of_a_contract_is_divided_to_the_thousandth_half_to_even() {
    for (symbol, times, expected) in [
        ("AAPL231215C00200000", "4", Some("AAPL231215C00050000")),
        ("AAPL231215P00002500", "3", Some("AAPL231215P00000833")),
        ("AAPL1231215C00000125", "2", Some("AAPL1231215C00000062")),
        ("BRKB231215C00000375", "2", Some("BRKB231215C00000188")),
        ("AAPL231215C00000001", "2", None),
    ] {
        let contract: Contract = symbol.parse().unwrap();
        let divided = contract.divided_by(quantity(times)).ok().map(|it| it.to_string());
        assert_eq!(divided.as_deref(), expected, "{symbol} by {times}");
    }
}
