//! Options that end early by a command, what their end does to open orders, and what gates an option that has expired.

use aggregates::account::{AccountCommand, AccountKind, PolicyChange, TradingState};
use aggregates::instrument::{
    ExerciseStyle, Instrument, InstrumentCommand, InstrumentError, InstrumentEvent, InstrumentKind,
    OptionEnd, OptionTerms, Settlement,
};
use aggregates::market::Reference;
use aggregates::order::{CancelReason, OrderEvent, OrderStatus, Side};
use aggregates::position::PositionEvent;
use aggregates::refusal::RefusalCode;
use aggregates::stream::{Decide, Event, StreamId};
use aggregates::trading::Command;

use crate::book::*;
use crate::examples::me;
use crate::given::when;
use crate::option_life::*;
use crate::option_orders::*;
use crate::samples;

const SPOT_AND_CALLS: [(&str, &str); 3] =
    [("AAPL", "110"), (CALL_100, "10.50"), (CALL_101, "9.50")];

pub fn exercise(symbol: &str, qty: &str, prices: &[(&str, &str)]) -> Command {
    let underlying = prices.iter().find(|(symbol, _)| *symbol == "AAPL");
    Command::Exercise {
        account_id: me(),
        instrument_id: stock(symbol),
        exercise_id: command_id(70),
        qty: quantity(qty),
        contract_end: Some(at(31)),
        underlying: underlying.map(|(_, at_price)| Reference {
            price: price(at_price),
            source: "feed".into(),
            at: at(30),
        }),
        marks: marks(prices),
        at: at(30),
    }
}

pub fn assign(symbol: &str, qty: &str, prices: &[(&str, &str)]) -> Command {
    Command::Assign {
        account_id: me(),
        instrument_id: stock(symbol),
        assignment_id: command_id(71),
        qty: quantity(qty),
        contract_end: Some(at(31)),
        marks: marks(prices),
        at: at(30),
    }
}

#[test]
fn an_owner_exercises_some_of_a_long_call_early() {
    let mut book = cash(2, "10000");
    hold(&mut book, CALL_100, "3", "751");
    let done = book.submit(&exercise(CALL_100, "1", &SPOT_AND_CALLS)).unwrap();
    assert_eq!(ways(&done), [(OptionEnd::Exercised, "1".to_owned())]);
    assert_eq!(book.cash(me()), "0.00");
    // A third of 751 to the cent moves into the shares.
    assert_eq!(line(&book, "AAPL"), "100 cost 10250.33 realized 0.00");
    assert_eq!(line(&book, CALL_100), "2 cost 500.67 realized 0.00");
    let known = done.events.iter().any(|(_, event)| {
        matches!(event, Event::Position(PositionEvent::OptionEnded { settlement_price, .. })
            if *settlement_price == Some(price("110")))
    });
    assert!(known, "the price of the moment is told");
    // Another cent is not there.
    assert_eq!(
        book.refused(&exercise(CALL_100, "1", &SPOT_AND_CALLS)),
        RefusalCode::InsufficientBuyingPower
    );
}

#[test]
fn an_exercise_is_refused_by_name() {
    let mut book = cash(2, "100000");
    let asked = |qty: &str| exercise(CALL_100, qty, &SPOT_AND_CALLS);
    assert_eq!(book.refused(&asked("1")), RefusalCode::InsufficientShares, "nothing is held");
    hold(&mut book, CALL_100, "2", "500");
    assert_eq!(book.refused(&asked("3")), RefusalCode::InsufficientShares);
    assert_eq!(book.refused(&asked("0")), RefusalCode::InvalidOrder);
    assert_eq!(book.refused(&asked("0.5")), RefusalCode::InvalidOrder);
    book.place(1, &one(CALL_100, Side::Sell, "2", Some("12")), &shown(&[(CALL_100, "10")]));
    assert_eq!(book.refused(&asked("1")), RefusalCode::InsufficientShares, "a sell has them");
    book.submit(&cancel(1, me())).unwrap();
    let policy = |trading_state| Command::Account {
        account_id: me(),
        command: AccountCommand::ChangePolicy {
            change: PolicyChange { trading_state: Some(trading_state), ..PolicyChange::default() },
        },
    };
    book.submit(&policy(TradingState::Halted)).unwrap();
    assert_eq!(book.refused(&asked("1")), RefusalCode::TradingHalted);
    book.submit(&policy(TradingState::Reducing)).unwrap();
    assert_eq!(book.refused(&asked("1")), RefusalCode::ReduceOnly, "it opens shares");
    book.submit(&policy(TradingState::Active)).unwrap();
    book.submit(&begin_split("split-1", "AAPL", ("2", "1"), None)).unwrap();
    assert_eq!(book.refused(&asked("1")), RefusalCode::CorporateAction);
    expire(&mut book, "110", &[CALL_100]);
    assert_eq!(book.refused(&asked("1")), RefusalCode::ContractExpired, "it has expired");

    let mut book = cash(2, "100000");
    let european = OptionTerms { style: ExerciseStyle::European, ..terms(CALL_100) };
    hold_as(&mut book, (CALL_100, Some(european.clone())), "1", "500");
    assert_eq!(book.refused(&asked("1")), RefusalCode::InvalidOrder);
    let mut book = margin(4);
    hold_as(&mut book, (CALL_100, Some(european)), "-1", "500");
    assert_eq!(book.refused(&assign(CALL_100, "1", &[])), RefusalCode::InvalidOrder);
    assert_eq!(book.refused(&asked("1")), RefusalCode::InsufficientShares, "it is short");
}

/// Between the close of its last session and the official close, on which it expires, it is nobody's to end.
#[test]
fn once_its_last_session_is_over_nothing_is_asked_of_an_option_any_more() {
    let (account_id, instrument_id) = (me(), stock(CALL_100));
    for (close, ended) in [(at(31), false), (at(30), true)] {
        let contract_end = Some(close);
        let mut exercised = exercise(CALL_100, "1", &SPOT_AND_CALLS);
        let mut assigned = assign(CALL_100, "1", &SPOT_AND_CALLS);
        for command in [&mut exercised, &mut assigned] {
            if let Command::Exercise { contract_end: end, .. }
            | Command::Assign { contract_end: end, .. } = command
            {
                *end = contract_end;
            }
        }
        let instructed = Command::InstructExercise {
            account_id,
            instrument_id,
            exercise: false,
            contract_end,
            at: at(30),
        };
        for (held, command) in [("1", exercised), ("-1", assigned), ("1", instructed)] {
            let mut book = desk(AccountKind::Margin, 4, "100000");
            hold(&mut book, CALL_100, held, "500");
            match ended {
                true => {
                    let refusal = book.submit(&command).unwrap_err();
                    assert_eq!(refusal.code, RefusalCode::ContractExpired, "{command:?}");
                    assert!(refusal.message.contains(CALL_100), "{refusal}");
                }
                false => assert!(!book.submit(&command).unwrap().events.is_empty()),
            }
        }
    }
}

#[test]
fn a_margin_account_exercises_with_what_initial_margin_leaves() {
    // Shares worth 11,000 for 10,000 need 5,500 and bring 1,000.
    for (balance, passes) in [("4500", true), ("4499.99", false)] {
        let mut book = desk(AccountKind::Margin, 2, balance);
        hold(&mut book, CALL_100, "1", "250");
        let command = exercise(CALL_100, "1", &SPOT_AND_CALLS);
        if passes {
            book.submit(&command).unwrap();
            assert_eq!(book.cash(me()), "-5500.00");
        } else {
            let refusal = book.submit(&command).unwrap_err();
            assert_eq!(refusal.code, RefusalCode::InsufficientBuyingPower);
            assert_eq!(refusal.figures["needed"], "4500.00");
            assert_eq!(refusal.figures["available"], "4499.99");
        }
    }
}

#[test]
fn an_exercise_leaves_no_short_option_uncovered_that_the_level_does_not_permit() {
    // The shares that the put sells cover a call.
    let mut book = margin(3);
    hold(&mut book, "AAPL", "100", "9000");
    hold(&mut book, CALL_110, "-1", "200");
    hold(&mut book, PUT_100, "1", "300");
    let prices = [("AAPL", "90"), (CALL_110, "0.10"), (PUT_100, "10.10")];
    assert_eq!(book.refused(&exercise(PUT_100, "1", &prices)), RefusalCode::OptionLevel);
    // Of a naked level it may.
    let mut book = desk(AccountKind::Margin, 4, "20000");
    hold(&mut book, "AAPL", "100", "9000");
    hold(&mut book, CALL_110, "-1", "200");
    hold(&mut book, PUT_100, "1", "300");
    book.submit(&exercise(PUT_100, "1", &prices)).unwrap();
    assert_eq!(book.cash(me()), "30000.00");
    assert_eq!(line(&book, "AAPL"), "0 cost 0.00 realized 700.00");
}

#[test]
fn a_put_is_exercised_with_shares_that_no_order_has_set_aside() {
    let mut book = cash(2, "0");
    hold(&mut book, "AAPL", "100", "9000");
    hold(&mut book, PUT_100, "1", "300");
    book.place(1, &spec(me(), "AAPL", Side::Sell, "1", Some("150")), &shown(&[]));
    let command = exercise(PUT_100, "1", &[("AAPL", "90")]);
    assert_eq!(book.refused(&command), RefusalCode::InsufficientShares);
    book.submit(&cancel(1, me())).unwrap();
    book.submit(&command).unwrap();
    assert_eq!(book.cash(me()), "10000.00");
    assert_eq!(line(&book, "AAPL"), "0 cost 0.00 realized 700.00");
    // A second put has no shares.
    hold(&mut book, PUT_100, "1", "300");
    assert_eq!(book.refused(&command), RefusalCode::InsufficientShares);
}

#[test]
fn a_contract_in_cash_is_exercised_and_assigned_early_at_the_price_of_the_moment() {
    let in_cash = OptionTerms { settlement: Settlement::Cash, ..terms(CALL_100) };
    let mut book = cash(2, "0");
    hold_as(&mut book, (CALL_100, Some(in_cash.clone())), "1", "250");
    assert_eq!(book.refused(&exercise(CALL_100, "1", &[])), RefusalCode::NoMark);
    let under = exercise(CALL_100, "1", &[("AAPL", "100")]);
    assert_eq!(book.refused(&under), RefusalCode::InvalidOrder, "it would pay nothing");
    book.submit(&exercise(CALL_100, "1", &SPOT_AND_CALLS)).unwrap();
    assert_eq!(book.cash(me()), "1000.00");
    assert_eq!(line(&book, CALL_100), "0 cost 0.00 realized 750.00");

    let mut book = margin(4);
    hold_as(&mut book, (CALL_100, Some(in_cash)), "-1", "250");
    assert_eq!(book.refused(&assign(CALL_100, "1", &[])), RefusalCode::NoMark);
    book.submit(&assign(CALL_100, "1", &SPOT_AND_CALLS)).unwrap();
    assert_eq!(book.cash(me()), "9000.00");
    assert_eq!(line(&book, CALL_100), "0 cost 0.00 realized -750.00");
}

#[test]
fn an_assignment_comes_whether_the_account_can_pay_or_not() {
    let mut book = cash(1, "0");
    hold(&mut book, PUT_100, "-2", "600");
    let done = book.submit(&assign(PUT_100, "1", &[])).unwrap();
    assert_eq!(ways(&done), [(OptionEnd::Assigned, "1".to_owned())]);
    assert_eq!(book.cash(me()), "-10000.00");
    assert!(book.accounts[&me()].in_deficit());
    assert_eq!(line(&book, "AAPL"), "100 cost 9700.00 realized 0.00");
    assert_eq!(line(&book, PUT_100), "-1 cost 300.00 realized 0.00");
    assert_eq!(book.refused(&assign(PUT_100, "2", &[])), RefusalCode::InsufficientShares);
    // Who is in debt opens no shares, and an exercise would.
    hold(&mut book, CALL_100, "1", "100");
    assert_eq!(book.refused(&exercise(CALL_100, "1", &[])), RefusalCode::ReduceOnly);
}

#[test]
fn sells_of_shares_that_a_delivery_takes_end_the_newest_first() {
    let mut book = margin(4);
    hold(&mut book, "AAPL", "300", "27000");
    for n in 1..=3 {
        book.place(n, &spec(me(), "AAPL", Side::Sell, "80", Some("150")), &shown(&[]));
    }
    hold(&mut book, CALL_100, "-2", "500");
    expire(&mut book, "110", &[CALL_100]);
    let mut reserved = Vec::new();
    let command = settlement(&[(CALL_100, None)], &[], &[]);
    book.submit_checked(&command, |book| {
        let position = &book.positions[&(me(), stock("AAPL"))];
        assert!(position.reserved_qty() <= position.qty());
        reserved.push(position.reserved_qty().to_string());
    })
    .unwrap();
    // 100 are left: the sells of 80 that came last end, the first stays.
    let status = |n| book.orders[&order_id(n)].status();
    assert_eq!(status(1), Some(OrderStatus::Accepted));
    assert_eq!((status(2), status(3)), (Some(OrderStatus::Canceled), Some(OrderStatus::Canceled)));
    assert_eq!(reserved.last().unwrap(), "80");
    assert_eq!(line(&book, "AAPL"), "100 cost 9000.00 realized 2500.00");
}

#[test]
fn shares_that_come_and_go_end_no_order() {
    let mut book = margin(3);
    hold(&mut book, "AAPL", "100", "9000");
    book.place(1, &spec(me(), "AAPL", Side::Sell, "100", Some("150")), &shown(&[]));
    hold(&mut book, CALL_100, "1", "900");
    hold(&mut book, CALL_101, "-1", "800");
    expire(&mut book, "110", &[CALL_100, CALL_101]);
    book.submit(&settlement(&[(CALL_101, None), (CALL_100, None)], &[], &[])).unwrap();
    assert_eq!(book.orders[&order_id(1)].status(), Some(OrderStatus::Accepted));
    // The oldest go: 10,100 + 800 - 9,000.
    assert_eq!(line(&book, "AAPL"), "100 cost 10900.00 realized 1900.00");
}

#[test]
fn open_orders_of_an_expired_contract_end_with_it() {
    let mut book = margin(3);
    hold(&mut book, CALL_100, "2", "2000");
    let prices = [("AAPL", "110"), (CALL_100, "10.50"), (CALL_110, "2.00")];
    book.place(1, &one(CALL_100, Side::Sell, "1", Some("12")), &shown(&prices));
    let spread = package(&[(CALL_100, Side::Buy, 1), (CALL_110, Side::Sell, 1)], "1", "8.00");
    assert_eq!(book.place(2, &spread, &shown(&prices)).rejected, None);
    expire(&mut book, "99", &[CALL_100]);
    let other = settlement(&[(CALL_110, None)], &[1], &[]);
    assert_eq!(book.refused(&other), RefusalCode::AlreadyApplied, "that one has not expired");
    let done = book.submit(&settlement(&[(CALL_100, None)], &[1, 2], &[])).unwrap();
    let ended = |event: &Event| {
        matches!(event, Event::Order(OrderEvent::OrderCanceled { reason, .. })
            if *reason == CancelReason::ContractEnded)
    };
    assert!(done.events.iter().any(|(_, event)| ended(event)));
    assert!(!book.orders[&order_id(1)].is_open() && !book.orders[&order_id(2)].is_open());
    assert_eq!(book.reserved(me()), "0.00");
    assert_eq!(line(&book, CALL_100), "0 cost 0.00 realized -2000.00");
    // Settled once: nothing is left to settle.
    let again = book.submit(&settlement(&[(CALL_100, None)], &[1, 2], &[])).unwrap();
    assert_eq!(again.events, []);
    let complete = Command::Instrument {
        instrument_id: stock(CALL_100),
        command: InstrumentCommand::CompleteExpiry { at: at(52) },
    };
    book.submit(&complete).unwrap();
    assert_eq!(book.refused(&complete), RefusalCode::AlreadyApplied);
    assert_eq!(
        book.refused(&settlement(&[(CALL_100, None)], &[], &[])),
        RefusalCode::AlreadyApplied
    );
    let late = place(9, &one(CALL_100, Side::Buy, "1", Some("1")), &shown(&prices));
    assert_eq!(book.refused(&late), RefusalCode::ContractExpired);
}

#[test]
fn an_order_that_would_fill_after_the_expiry_ends_instead() {
    let mut book = cash(2, "10000");
    let prices = [(CALL_100, "2.00")];
    book.place(1, &one(CALL_100, Side::Buy, "1", Some("2")), &shown(&prices));
    expire(&mut book, "99", &[CALL_100]);
    let done = fill(&mut book, 1, "1", &prices);
    assert_eq!(done.rejected.unwrap().code, RefusalCode::ContractExpired);
    assert_eq!(book.orders[&order_id(1)].status(), Some(OrderStatus::Canceled));
    assert_eq!(book.reserved(me()), "0.00");
}

#[test]
fn what_would_move_more_than_there_can_be_expires_for_nothing() {
    let mut book = cash(2, "9999999999999");
    hold(&mut book, "AAPL", "100", "9000");
    hold(&mut book, PUT_95, "1", "300");
    book.place(1, &one(PUT_95, Side::Sell, "1", Some("12")), &shown(&[(PUT_95, "9.50")]));
    expire(&mut book, "85", &[PUT_95]);
    let done = book.submit(&settlement(&[(PUT_95, Some("9"))], &[1], &[])).unwrap();
    assert_eq!(ways(&done), [(OptionEnd::Expired, "1".to_owned())]);
    assert_eq!(book.cash(me()), "9999999999999.00");
    assert_eq!(line(&book, PUT_95), "0 cost 0.00 realized -300.00");
    assert_eq!(line(&book, "AAPL"), "100 cost 9000.00 realized 0.00");
    assert!(!book.orders[&order_id(1)].is_open());
}

#[test]
fn an_option_expires_once_and_a_stock_never() {
    let listed = InstrumentEvent::InstrumentListed {
        instrument_id: stock(CALL_100),
        symbol: CALL_100.into(),
        name: CALL_100.into(),
        kind: InstrumentKind::Option,
        at: None,
    };
    let closed = samples::close_between();
    let facts: Vec<InstrumentEvent> = std::iter::once(listed).chain(samples::expiry()).collect();
    let InstrumentEvent::ContractExpired {
        session,
        price: close,
        source,
        last_price_at,
        at: when_closed,
    } = facts[1].clone()
    else {
        panic!()
    };
    let expire =
        InstrumentCommand::Expire { session, price: close, source, last_price_at, at: when_closed };
    let complete = InstrumentCommand::CompleteExpiry { at: at(64) };
    assert_eq!(when::<Instrument>(&facts[..1], expire.clone()).unwrap(), facts[1..2]);
    assert_eq!(when::<Instrument>(&facts[..2], complete.clone()).unwrap(), facts[2..]);
    for (given, command) in [(1, &complete), (2, &expire), (3, &complete), (3, &expire)] {
        let refused = when::<Instrument>(&facts[..given], command.clone());
        assert!(matches!(refused, Err(InstrumentError::AlreadyApplied(_))), "{command:?}");
    }
    let of_stock = when::<Instrument>(&samples::instrument()[..1], expire);
    assert_eq!(of_stock, Err(InstrumentError::NotAnOption("AAPL".into())));

    // Without a trade an option closes at the middle of a quote, 1.50 by 1.61, and a stock does not.
    let InstrumentEvent::OfficiallyClosed { session, source, quote, at, .. } = closed.clone()
    else {
        panic!()
    };
    let close = |close: &str| {
        let (price, source) = (price(close), source.clone());
        InstrumentCommand::Close { session, price, source, quote, at }
    };
    assert_eq!(when::<Instrument>(&facts[..1], close("1.555")), Ok(vec![closed]));
    let (bid, ask) = (price("1.5"), price("1.61"));
    let not = InstrumentError::NotTheMiddle { price: price("1.56"), bid, ask };
    assert_eq!(when::<Instrument>(&facts[..1], close("1.56")), Err(not));
    let of_stock = when::<Instrument>(&samples::instrument()[..1], close("1.555"));
    assert_eq!(of_stock, Err(InstrumentError::NotAnOption("AAPL".into())));
}

#[test]
fn an_account_that_begins_again_gives_its_options_up() {
    let mut book = margin(3);
    hold(&mut book, CALL_100, "1", "500");
    hold(&mut book, CALL_110, "-1", "200");
    let no = Command::InstructExercise {
        account_id: me(),
        instrument_id: stock(CALL_100),
        exercise: false,
        contract_end: Some(at(41)),
        at: at(40),
    };
    book.submit(&no).unwrap();
    expire(&mut book, "120", &[CALL_100, CALL_110]);
    let balance = money("777");
    let reset =
        Command::Reset { account_id: me(), reset_id: command_id(9), balance, at: Some(at(51)) };
    book.submit(&reset).unwrap();
    let contracts = [(CALL_100, None), (CALL_110, None)];
    assert_eq!(book.submit(&settlement(&contracts, &[], &[])).unwrap().events, []);
    assert_eq!(book.cash(me()), "777.00");
    for symbol in [CALL_100, CALL_110] {
        assert_eq!(line(&book, symbol), "0 cost 0.00 realized 0.00");
    }
    assert!(!book.positions[&(me(), stock(CALL_100))].do_not_exercise());
}

#[test]
fn an_end_whose_figures_do_not_add_up_is_impossible() {
    let mut book = margin(4);
    hold(&mut book, "AAPL", "50", "4000");
    hold(&mut book, CALL_100, "-1", "600");
    expire(&mut book, "110", &[CALL_100]);
    let before = book.clone();
    let done = book.submit(&settlement(&[(CALL_100, None)], &[], &[])).unwrap();
    let folds = |stream: &StreamId, event: &Event| -> bool {
        let mut before = before.clone();
        before.load(*stream);
        match (stream, event) {
            (StreamId::Position(account, instrument), Event::Position(event)) => {
                let mut position = before.positions[&(*account, *instrument)].clone();
                position.evolve(event).is_ok()
            }
            (StreamId::Account(id), Event::Account(event)) => {
                before.accounts[id].clone().evolve(event).is_ok()
            }
            _ => panic!(),
        }
    };
    // A figure that is changed in what is stored makes the event one that cannot have happened.
    let mut changed = 0;
    for (stream, event) in &done.events {
        assert!(folds(stream, event));
        let fields =
            ["cost", "moved", "realized_pl", "proceeds", "position_qty", "amount", "cash", "qty"];
        for field in fields {
            let mut stored: serde_json::Value =
                serde_json::from_str(&event.payload().unwrap()).unwrap();
            for value in amounts(&mut stored, field) {
                *value = serde_json::Value::String("-7".into());
                changed += 1;
            }
            let payload = stored.to_string();
            let read = Event::read(*stream, &event.event_type(), &event.event_version(), &payload)
                .unwrap();
            assert!(read == *event || !folds(stream, &read), "{field} of {event:?}");
        }
    }
    assert!(changed >= 15, "{changed}");
}

/// Every amount of this name in a payload.
fn amounts<'v>(value: &'v mut serde_json::Value, name: &str) -> Vec<&'v mut serde_json::Value> {
    let mut found = Vec::new();
    match value {
        serde_json::Value::Object(fields) => {
            for (field, value) in fields {
                if field == name && value.is_string() {
                    found.push(value);
                } else {
                    found.extend(amounts(value, name));
                }
            }
        }
        serde_json::Value::Array(items) => {
            for item in items {
                found.extend(amounts(item, name));
            }
        }
        _ => {}
    }
    found
}

/// The put that is exercised takes the shares that cover the call of January.
#[test]
fn a_call_that_an_expiry_leaves_uncovered_is_kept_and_no_option_is_opened_beside_it() {
    let mut book = margin(3);
    hold(&mut book, "AAPL", "100", "9000");
    hold(&mut book, LATER_CALL_100, "-1", "300");
    hold(&mut book, PUT_100, "1", "500");
    expire(&mut book, "90", &[PUT_100]);
    let prices = [("AAPL", "90"), (LATER_CALL_100, "1"), (PUT_100, "10")];
    let done = book.submit(&settlement(&[(PUT_100, None)], &[], &prices)).unwrap();
    assert_eq!(ways(&done), [(OptionEnd::Exercised, "1".to_owned())]);
    assert_eq!((held(&book, "AAPL"), held(&book, LATER_CALL_100)), ("0".into(), "-1".into()));

    let market = shown(&[(PUT_90, "1"), (PUT_95, "2"), (LATER_CALL_100, "1"), ("AAPL", "90")]);
    let put = one(PUT_90, Side::Buy, "1", Some("1"));
    let spread = package(&[(PUT_95, Side::Sell, 1), (PUT_90, Side::Buy, 1)], "1", "-1");
    for (n, order) in [(1, &put), (2, &spread)] {
        let refusal = book.place(n, order, &market).rejected.expect("a rejection");
        assert_eq!((refusal.code, &*refusal.figures["uncovered"]), (RefusalCode::OptionLevel, "1"));
    }
    let mut closed = book.clone();
    let close = one(LATER_CALL_100, Side::Buy, "1", Some("1"));
    trade(&mut closed, 3, &close, &[(LATER_CALL_100, "1"), ("AAPL", "90")]);
    assert_eq!(closed.place(4, &put, &market).rejected, None, "nothing is left uncovered");

    hold(&mut book, "AAPL", "100", "9000");
    assert_eq!(book.place(5, &put, &market).rejected, None, "shares cover it again");
}
