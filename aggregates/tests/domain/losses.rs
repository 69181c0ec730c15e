//! Limits on losses, by hand: what they are counted from, what moves that, the stop and its end.

use aggregates::account::{AccountCommand, AccountEvent, LossLimit, PolicyChange, TradingState};
use aggregates::money::Money;
use aggregates::order::{CancelReason, OrderStatus, Side};
use aggregates::refusal::RefusalCode;
use aggregates::stream::Event;
use aggregates::trading::Command;
use chrono::NaiveDate;

use crate::book::*;
use crate::examples::{book, me};

fn day(n: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2024, 1, n).unwrap()
}

fn policy(change: PolicyChange) -> Command {
    Command::Account { account_id: me(), command: AccountCommand::ChangePolicy { change } }
}

fn state(trading_state: TradingState) -> Command {
    policy(PolicyChange { trading_state: Some(trading_state), ..PolicyChange::default() })
}

fn begin(book: &Book, n: u32, rise: &str, prices: &[(&str, &str)]) -> Command {
    Command::BeginDay {
        account_id: me(),
        day: day(n),
        seen: book.accounts[&me()].changes(),
        rise: money(rise),
        marks: marks(prices),
        tape_place: 1,
        at: at(0),
    }
}

fn stop(book: &Book, rise: &str, prices: &[(&str, &str)]) -> Command {
    Command::StopLosses {
        account_id: me(),
        seen: book.accounts[&me()].changes(),
        rise: money(rise),
        marks: marks(prices),
        tape_place: 2,
        at: at(5),
    }
}

/// 10,000, of which 5,000 are 50 AAPL at 100, under this policy, and a day that has begun.
fn counted(change: PolicyChange) -> Book {
    let mut book = book("10000");
    book.buy(1, me(), "AAPL", "50", "100");
    book.submit(&policy(change)).unwrap();
    book.submit(&begin(&book, 2, "0", &[("AAPL", "100")])).unwrap();
    book
}

fn dollars(limit: &str) -> PolicyChange {
    PolicyChange { max_daily_loss: Some(Some(money(limit))), ..PolicyChange::default() }
}

fn drawdown(percent: &str) -> PolicyChange {
    PolicyChange { max_drawdown_pct: Some(Some(price(percent))), ..PolicyChange::default() }
}

fn traded(book: &Book) -> TradingState {
    book.accounts[&me()].policy().trading_state
}

fn stopped_by(book: &Book) -> Option<LossLimit> {
    book.accounts[&me()].losses()?.stop.as_ref().map(|stop| stop.limit)
}

fn counts(book: &Book) -> (Money, Money) {
    let losses = book.accounts[&me()].losses().unwrap();
    (losses.opening, losses.peak)
}

fn deposit(amount: &str) -> Command {
    let command = AccountCommand::Deposit {
        deposit_id: command_id(70),
        amount: money(amount),
        at: Some(at(2)),
    };
    Command::Account { account_id: me(), command }
}

#[test]
fn a_daily_loss_that_comes_to_its_limit_stops_the_account_and_the_next_day_lifts_it() {
    let mut book = counted(dollars("500"));
    assert_eq!(book.refused(&stop(&book, "0", &[("AAPL", "90.01")])), RefusalCode::AlreadyApplied);
    let decision = book.submit(&stop(&book, "0", &[("AAPL", "90")])).unwrap();
    let Event::Account(AccountEvent::LossLimitReached {
        limit,
        base,
        max_loss,
        equity,
        holdings,
        ..
    }) = &decision.events[0].1
    else {
        panic!("{decision:?}")
    };
    assert_eq!(*limit, LossLimit::DailyLoss);
    assert_eq!((*base, *max_loss, *equity), (money("10000"), money("500"), money("9500")));
    assert_eq!((holdings[0].qty, holdings[0].price), (quantity("50"), price("90")));
    assert_eq!(
        (traded(&book), stopped_by(&book)),
        (TradingState::Reducing, Some(LossLimit::DailyLoss))
    );
    let refused =
        book.place(2, &spec(me(), "AAPL", Side::Buy, "1", Some("90")), &market(Some("90")));
    let refused = refused.rejected.unwrap();
    assert_eq!(refused.code, RefusalCode::DailyLossLimit);
    let figures = ["base", "equity", "loss", "max_loss"].map(|name| &*refused.figures[name]);
    assert_eq!(figures, ["10000.00", "9500.00", "500.00", "500.00"]);
    book.place(3, &spec(me(), "AAPL", Side::Sell, "10", Some("90")), &market(Some("90")));
    book.fill(3, "10", "90");
    assert_eq!(
        book.refused(&stop(&book, "0", &[("AAPL", "80")])),
        RefusalCode::AlreadyApplied,
        "it is stopped"
    );
    assert_eq!(book.refused(&begin(&book, 2, "0", &[("AAPL", "80")])), RefusalCode::AlreadyApplied);
    let lifted = book.submit(&begin(&book, 3, "0", &[("AAPL", "80")])).unwrap();
    let types: Vec<String> = lifted.events.iter().map(|(_, event)| event.event_type()).collect();
    assert_eq!(types, ["LossLimitLifted", "TradingDayBegan"]);
    assert_eq!((traded(&book), stopped_by(&book)), (TradingState::Active, None));
    assert_eq!(counts(&book), (money("9100"), money("10000")));
}

#[test]
fn the_lower_of_dollars_and_percent_holds() {
    let percent = PolicyChange { max_daily_loss_pct: Some(Some(price("4"))), ..dollars("500") };
    let mut book = counted(percent);
    let decision = book.submit(&stop(&book, "0", &[("AAPL", "92")])).unwrap();
    let Event::Account(AccountEvent::LossLimitReached { max_loss, .. }) = &decision.events[0].1
    else {
        panic!("{decision:?}")
    };
    assert_eq!(*max_loss, money("400"));
}

#[test]
fn a_drawdown_is_counted_from_the_highest_equity_and_stays_until_a_person_sets_the_account_active()
{
    let mut book = counted(drawdown("10"));
    // 12,000 were reached in between.
    assert_eq!(
        book.refused(&stop(&book, "2000", &[("AAPL", "116.01")])),
        RefusalCode::AlreadyApplied
    );
    let rest = spec(me(), "AAPL", Side::Buy, "1", Some("90"));
    let decision = book.submit(&stop(&book, "2000", &[("AAPL", "116")])).unwrap();
    let Event::Account(AccountEvent::LossLimitReached { limit, base, max_loss, .. }) =
        &decision.events[0].1
    else {
        panic!("{decision:?}")
    };
    assert_eq!((*limit, *base, *max_loss), (LossLimit::Drawdown, money("12000"), money("1200")));
    book.submit(&begin(&book, 3, "0", &[("AAPL", "116")])).unwrap();
    assert_eq!(stopped_by(&book), Some(LossLimit::Drawdown));
    let refused = book.place(2, &rest, &market(Some("90"))).rejected.unwrap();
    assert_eq!(refused.code, RefusalCode::DrawdownLimit);
    // Another limit changes nothing, another trading state ends the stop and the count.
    let more = PolicyChange { max_open_orders: Some(Some(9)), ..PolicyChange::default() };
    book.submit(&policy(more)).unwrap();
    assert_eq!(stopped_by(&book), Some(LossLimit::Drawdown));
    book.submit(&state(TradingState::Active)).unwrap();
    assert_eq!((traded(&book), book.accounts[&me()].losses()), (TradingState::Active, None));
    assert_eq!(book.place(3, &rest, &market(Some("90"))).rejected, None);
    assert_eq!(
        book.refused(&stop(&book, "0", &[("AAPL", "1")])),
        RefusalCode::AlreadyApplied,
        "nothing is counted"
    );
    book.submit(&begin(&book, 3, "0", &[("AAPL", "116")])).unwrap();
    assert_eq!(counts(&book), (money("10800"), money("10800")));
}

#[test]
fn a_drawdown_stops_what_a_daily_loss_has_stopped_and_gives_back_what_was_before_both() {
    let mut book =
        counted(PolicyChange { max_daily_loss: dollars("300").max_daily_loss, ..drawdown("8") });
    book.submit(&stop(&book, "0", &[("AAPL", "94")])).unwrap();
    assert_eq!(stopped_by(&book), Some(LossLimit::DailyLoss));
    let again = stop(&book, "0", &[("AAPL", "84.01")]);
    assert_eq!(book.refused(&again), RefusalCode::AlreadyApplied);
    book.submit(&stop(&book, "0", &[("AAPL", "84")])).unwrap();
    assert_eq!(stopped_by(&book), Some(LossLimit::Drawdown));
    assert_eq!(book.refused(&stop(&book, "0", &[("AAPL", "70")])), RefusalCode::AlreadyApplied);
    let begun = book.submit(&begin(&book, 3, "0", &[("AAPL", "99")])).unwrap();
    assert_eq!(begun.events.len(), 1, "nothing is lifted");
    assert_eq!(traded(&book), TradingState::Reducing);
    let reset = Command::Reset {
        account_id: me(),
        reset_id: command_id(80),
        balance: money("2000"),
        at: Some(at(9)),
    };
    book.submit(&reset).unwrap();
    assert_eq!(traded(&book), TradingState::Active);
}

#[test]
fn what_comes_in_and_goes_out_is_neither_a_profit_nor_a_loss() {
    let mut book = counted(PolicyChange { ..dollars("500") });
    book.submit(&deposit("1000")).unwrap();
    assert_eq!(counts(&book), (money("11000"), money("11000")));
    let withdraw = Command::Withdraw {
        account_id: me(),
        withdrawal_id: command_id(71),
        amount: money("3000"),
        marks: marks(&[]),
        at: Some(at(3)),
    };
    book.submit(&withdraw).unwrap();
    assert_eq!(counts(&book), (money("8000"), money("8000")));
    assert_eq!(book.refused(&stop(&book, "0", &[("AAPL", "90.01")])), RefusalCode::AlreadyApplied);
    book.submit(&stop(&book, "0", &[("AAPL", "90")])).unwrap();
}

#[test]
fn a_stop_ends_what_would_open_and_leaves_what_reduces() {
    let mut book = counted(dollars("500"));
    let shown = market(Some("100"));
    book.place(2, &spec(me(), "AAPL", Side::Buy, "5", Some("80")), &shown);
    book.place(3, &spec(me(), "AAPL", Side::Sell, "5", Some("120")), &shown);
    book.submit(&stop(&book, "0", &[("AAPL", "90")])).unwrap();
    assert_eq!(book.orders[&order_id(2)].status(), Some(OrderStatus::Canceled));
    let reasons: Vec<&Event> = book.log.iter().map(|(_, event)| event).collect();
    let ended = reasons.iter().any(|event| {
        matches!(event, Event::Order(aggregates::order::OrderEvent::OrderCanceled { reason, .. })
            if *reason == CancelReason::LossLimit)
    });
    assert!(ended);
    assert_eq!(book.orders[&order_id(3)].status(), Some(OrderStatus::Accepted));
    assert_eq!(book.reserved(me()), "0.00");
}

#[test]
fn what_a_person_has_restricted_stays_so_beyond_the_stop() {
    for restricted in [TradingState::Halted, TradingState::Reducing] {
        let mut book = counted(dollars("500"));
        book.submit(&state(restricted)).unwrap();
        book.submit(&stop(&book, "0", &[("AAPL", "90")])).unwrap();
        assert_eq!(traded(&book), restricted);
        book.submit(&begin(&book, 3, "0", &[("AAPL", "90")])).unwrap();
        assert_eq!((traded(&book), stopped_by(&book)), (restricted, None));
    }
    let mut book = counted(dollars("500"));
    book.submit(&stop(&book, "0", &[("AAPL", "90")])).unwrap();
    book.submit(&state(TradingState::Halted)).unwrap();
    book.submit(&begin(&book, 3, "0", &[("AAPL", "90")])).unwrap();
    assert_eq!(traded(&book), TradingState::Halted, "a person set it meanwhile");
}

#[test]
fn a_person_who_names_the_state_that_a_stop_has_left_makes_it_their_own() {
    let mut book = counted(dollars("500"));
    book.submit(&stop(&book, "0", &[("AAPL", "90")])).unwrap();
    let named = book.submit(&state(TradingState::Reducing)).unwrap();
    let [(_, Event::Account(AccountEvent::PolicyChanged { ends_stop, .. }))] = &named.events[..]
    else {
        panic!("{named:?}")
    };
    assert!(*ends_stop);
    assert_eq!(book.accounts[&me()].losses(), None, "the count begins again");
    book.submit(&begin(&book, 2, "0", &[("AAPL", "90")])).unwrap();
    book.submit(&stop(&book, "0", &[("AAPL", "80")])).unwrap();
    book.submit(&begin(&book, 3, "0", &[("AAPL", "80")])).unwrap();
    assert_eq!((traded(&book), stopped_by(&book)), (TradingState::Reducing, None));
    assert_eq!(book.submit(&state(TradingState::Reducing)).unwrap().events.len(), 0);
}

#[test]
fn what_was_proposed_before_a_change_is_never_carried_out_after_it() {
    let mut book = counted(dollars("500"));
    let (stale, stale_day) =
        (stop(&book, "0", &[("AAPL", "90")]), begin(&book, 3, "0", &[("AAPL", "90")]));
    book.submit(&policy(dollars("900"))).unwrap();
    book.submit(&policy(dollars("500"))).unwrap();
    for command in [stale, stale_day] {
        assert_eq!(book.refused(&command), RefusalCode::AlreadyApplied);
    }
    book.submit(&stop(&book, "0", &[("AAPL", "90")])).unwrap();
}

#[test]
fn a_reset_ends_the_stop_and_the_count() {
    let mut book = counted(dollars("500"));
    book.submit(&stop(&book, "0", &[("AAPL", "90")])).unwrap();
    let reset = Command::Reset {
        account_id: me(),
        reset_id: command_id(80),
        balance: money("2000"),
        at: Some(at(9)),
    };
    book.submit(&reset).unwrap();
    assert_eq!((traded(&book), book.accounts[&me()].losses()), (TradingState::Active, None));
    book.submit(&begin(&book, 2, "0", &[])).unwrap();
    assert_eq!(counts(&book), (money("2000"), money("2000")));
}

#[test]
fn without_a_limit_or_a_price_nothing_is_counted() {
    let mut book = book("10000");
    assert_eq!(book.refused(&begin(&book, 2, "0", &[])), RefusalCode::AlreadyApplied);
    book.buy(1, me(), "AAPL", "50", "100");
    book.submit(&policy(dollars("500"))).unwrap();
    assert_eq!(book.refused(&begin(&book, 2, "0", &[])), RefusalCode::NoMark);
    book.submit(&begin(&book, 2, "0", &[("AAPL", "100")])).unwrap();
    let none = PolicyChange { max_daily_loss: Some(None), ..PolicyChange::default() };
    book.submit(&policy(none)).unwrap();
    assert_eq!(book.accounts[&me()].losses(), None);
    for change in [dollars("0"), drawdown("-1")] {
        assert_eq!(book.refused(&policy(change)), RefusalCode::InvalidAmount);
    }
}
