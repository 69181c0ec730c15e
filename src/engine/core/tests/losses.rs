//! Limits on losses, by hand: when an account is stopped, by what prices, and what its orders do then.

use aggregates::account::{LossLimit, PolicyChange, TradingState};
use aggregates::id::AccountId;
use aggregates::order::{CancelReason, OrderStatus};
use aggregates::stream::{Event, StreamId};

use super::desk::{Desk, loss, profit, trade};

/// 10,000, of which 5,000 are 50 AAPL at 100 that are worth as much, and a limit.
fn held(change: PolicyChange) -> (Desk, AccountId) {
    let mut desk = Desk::unlimited();
    desk.quote("100.00", 500, "100.00", 500, "2026-11-23T15:00:00Z");
    let account = desk.account("10000");
    desk.place(account, "buy 50 gtc");
    desk.limit(account, change);
    (desk, account)
}

fn daily(dollars: &str) -> PolicyChange {
    PolicyChange { max_daily_loss: Some(Some(dollars.parse().unwrap())), ..PolicyChange::default() }
}

fn drawdown(percent: &str) -> PolicyChange {
    PolicyChange {
        max_drawdown_pct: Some(Some(percent.parse().unwrap())),
        ..PolicyChange::default()
    }
}

fn quote(desk: &mut Desk, price: &str, at: &str) {
    desk.quote(price, 500, price, 500, at);
}

fn stopped(desk: &Desk, account: AccountId) -> Option<LossLimit> {
    desk.account_of(account).losses()?.stop.as_ref().map(|stop| stop.limit)
}

fn words(desk: &Desk, account: AccountId) -> Vec<String> {
    let of = |(stream, event): &(StreamId, Event)| {
        let told = matches!(stream, StreamId::Account(id) if *id == account);
        let word = event.event_type();
        let counts = word.starts_with("Loss") || word == "TradingDayBegan";
        (told && counts).then_some(word)
    };
    desk.log.iter().filter_map(of).collect()
}

#[test]
fn the_day_is_counted_from_the_prices_before_its_first_line_and_a_loss_stops_before_anything_fills()
{
    let (mut desk, account) = held(daily("500"));
    desk.place(account, "buy 10 @ 95.00 gtc");
    desk.place(account, "sell 5 @ 120.00 gtc");
    desk.place(account, "sell 5 stop 91.00 quote gtc");
    quote(&mut desk, "90.01", "2026-11-23T15:01:00Z");
    let bought = [trade(2, "95.00", "10"), trade(4, "90.01", "5")];
    assert_eq!(desk.trades()[1..], bought, "499.50 are lost, and the limit is not reached");
    desk.place(account, "buy 10 @ 80.00 gtc");
    quote(&mut desk, "70.00", "2026-11-23T15:02:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::DailyLoss));
    assert_eq!(desk.reason(5), Some(CancelReason::LossLimit), "it did not fill at 70");
    assert_eq!(desk.status(3), OrderStatus::Accepted);
    assert_eq!(desk.trades().len(), 3);
    let n = desk.place(account, "sell 5 gtc");
    assert_eq!(desk.status(n), OrderStatus::Filled);
    assert_eq!(words(&desk, account), ["TradingDayBegan", "LossLimitReached"]);
    let events = desk.log.len();
    quote(&mut desk, "60.00", "2026-11-23T15:03:00Z");
    assert_eq!(desk.log.len(), events, "it is stopped once");
}

#[test]
fn the_next_session_lifts_a_daily_loss_over_nights_and_holidays() {
    let (mut desk, account) = held(daily("500"));
    // 2026-11-26 is Thanksgiving.
    quote(&mut desk, "100.00", "2026-11-25T20:00:00Z");
    quote(&mut desk, "89.00", "2026-11-25T20:01:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::DailyLoss));
    desk.clock("2026-11-26T20:00:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::DailyLoss), "there is no session");
    desk.clock("2026-11-27T05:00:00Z");
    assert_eq!(stopped(&desk, account), None);
    assert_eq!(desk.account_of(account).policy().trading_state, TradingState::Active);
    assert_eq!(desk.account_of(account).losses().unwrap().opening.to_string(), "9450.00");
    quote(&mut desk, "79.00", "2026-11-27T15:00:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::DailyLoss), "what is lost since counts");
}

#[test]
fn the_highest_equity_is_that_of_any_line_and_is_the_same_after_a_restart() {
    let (mut desk, account) = held(drawdown("10"));
    for (price, minute) in [("130.00", 1), ("140.00", 2), ("125.00", 3), ("116.10", 4)] {
        quote(&mut desk, price, &format!("2026-11-23T15:0{minute}:00Z"));
        desk.rebuild();
    }
    // 12,000 at 140: 1,200 may be lost.
    assert_eq!(stopped(&desk, account), None);
    desk.reload();
    quote(&mut desk, "116.00", "2026-11-23T15:05:00Z");
    let stop = desk.account_of(account).losses().unwrap().stop.clone().unwrap();
    assert_eq!((stop.limit, stop.base.to_string()), (LossLimit::Drawdown, "12000.00".to_owned()));
    assert_eq!((&*stop.equity.to_string(), &*stop.max_loss.to_string()), ("10800.00", "1200.00"));
    desk.clock("2026-11-24T15:00:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::Drawdown), "it stays");
    let active =
        PolicyChange { trading_state: Some(TradingState::Active), ..PolicyChange::default() };
    desk.limit(account, active);
    quote(&mut desk, "110.00", "2026-11-24T15:01:00Z");
    assert_eq!(stopped(&desk, account), None, "it is counted from 10,800 again");
    quote(&mut desk, "94.40", "2026-11-24T15:02:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::Drawdown));
}

#[test]
fn a_drawdown_that_is_reached_while_a_daily_loss_stops_the_account_stops_it_beyond_the_day() {
    let (mut desk, account) =
        held(PolicyChange { max_daily_loss: daily("300").max_daily_loss, ..drawdown("8") });
    quote(&mut desk, "94.00", "2026-11-23T15:01:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::DailyLoss));
    quote(&mut desk, "84.01", "2026-11-23T15:02:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::DailyLoss), "799.50 of 10,000");
    quote(&mut desk, "84.00", "2026-11-23T15:03:00Z");
    let stop = desk.account_of(account).losses().unwrap().stop.clone().unwrap();
    assert_eq!((stop.limit, stop.before), (LossLimit::Drawdown, TradingState::Active));
    assert_eq!((&*stop.equity.to_string(), &*stop.max_loss.to_string()), ("9200.00", "800.00"));
    quote(&mut desk, "99.00", "2026-11-23T15:04:00Z");
    desk.rebuild();
    desk.clock("2026-11-24T15:00:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::Drawdown), "what was reached was reached");
    let told = ["TradingDayBegan", "LossLimitReached", "LossLimitReached", "TradingDayBegan"];
    assert_eq!(words(&desk, account), told);
}

#[test]
fn the_first_price_after_a_split_overnight_is_not_held_against_what_the_day_before_began_with() {
    let (mut desk, account) = held(daily("500"));
    quote(&mut desk, "96.00", "2026-11-23T15:01:00Z");
    desk.place(account, "buy 10 @ 20.00 gtc");
    let split = r#"{"t":"split","symbol":"AAPL","numerator":"2","denominator":"1","id":"s","at":"2026-11-23T22:00:00Z"}"#;
    desk.line(split);
    desk.clock("2026-11-24T05:00:00Z");
    quote(&mut desk, "44.50", "2026-11-24T14:30:00Z");
    assert_eq!(stopped(&desk, account), None, "550 are lost since the day before began");
    desk.clock("2026-11-24T14:31:00Z");
    let losses = desk.account_of(account).losses().unwrap();
    assert_eq!(
        (losses.day.to_string(), losses.opening.to_string()),
        ("2026-11-24".into(), "9450.00".into())
    );
    quote(&mut desk, "39.51", "2026-11-24T14:32:00Z");
    assert_eq!((stopped(&desk, account), desk.status(2)), (None, OrderStatus::Accepted));
    quote(&mut desk, "39.50", "2026-11-24T14:33:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::DailyLoss));
    // A drawdown is of no day.
    let (mut desk, account) = held(drawdown("5"));
    quote(&mut desk, "96.00", "2026-11-23T15:01:00Z");
    desk.line(split);
    quote(&mut desk, "45.00", "2026-11-24T14:30:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::Drawdown));
}

#[test]
fn a_stop_that_was_not_committed_comes_after_the_restart() {
    let (mut desk, account) = held(daily("500"));
    quote(&mut desk, "100.00", "2026-11-23T15:01:00Z");
    desk.place(account, "buy 10 @ 95.00 gtc");
    let line = r#"{"t":"quote","symbol":"AAPL","bid":"80.00","bid_size":"9","ask":"80.00","ask_size":"9","at":"2026-11-23T15:02:00Z"}"#;
    desk.line_until(line, 0);
    assert_eq!(stopped(&desk, account), None);
    desk.rebuild();
    assert_eq!(stopped(&desk, account), Some(LossLimit::DailyLoss));
    assert_eq!(desk.reason(2), Some(CancelReason::LossLimit));
}

#[test]
fn a_split_and_a_dividend_are_neither_a_profit_nor_a_loss() {
    let (mut desk, account) = held(daily("100"));
    let dividend = r#"{"t":"dividend","symbol":"AAPL","amount":"10.00","ex":"2026-11-24","pay":"2026-11-27","id":"d","at":"2026-11-23T16:00:00Z"}"#;
    desk.line(dividend);
    quote(&mut desk, "100.00", "2026-11-23T16:01:00Z");
    desk.clock("2026-11-24T05:00:00Z");
    // 500 are due, and the price falls by as much.
    quote(&mut desk, "90.00", "2026-11-24T15:00:00Z");
    assert_eq!(stopped(&desk, account), None);
    let split = r#"{"t":"split","symbol":"AAPL","numerator":"2","denominator":"1","id":"s","at":"2026-11-24T16:00:00Z"}"#;
    desk.line(split);
    quote(&mut desk, "45.00", "2026-11-24T16:01:00Z");
    assert_eq!(stopped(&desk, account), None);
    desk.clock("2026-11-27T15:00:00Z");
    assert_eq!(desk.cash(account), "5500.00");
    assert_eq!(stopped(&desk, account), None);
    assert_eq!(desk.account_of(account).losses().unwrap().opening.to_string(), "10000.00");
    quote(&mut desk, "44.00", "2026-11-27T15:01:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::DailyLoss));
}

#[test]
fn the_exits_of_a_bracket_work_on_and_what_is_open_of_its_entry_ends() {
    let mut desk = Desk::nyse();
    desk.quote("100.00", 500, "100.00", 20, "2026-11-23T15:00:00Z");
    let account = desk.account("10000");
    desk.limit(account, daily("100"));
    let n = desk.place(account, "buy 50 @ 100.00 profit 120.00 loss 80.00 gtc");
    assert_eq!(desk.trades(), [trade(n, "100.00", "20")]);
    desk.quote("100.00", 500, "101.00", 20, "2026-11-23T15:01:00Z");
    desk.quote("94.00", 500, "95.00", 500, "2026-11-23T15:02:00Z");
    assert_eq!(stopped(&desk, account), Some(LossLimit::DailyLoss));
    assert_eq!(desk.reason(n), Some(CancelReason::LossLimit));
    assert_eq!(desk.status(profit(n)), OrderStatus::Accepted);
    desk.quote("79.00", 500, "80.00", 500, "2026-11-23T15:03:00Z");
    assert_eq!(desk.status(loss(n)), OrderStatus::Filled);
    assert_eq!(desk.held(account), "0");
}

#[test]
fn only_the_lines_of_what_is_held_look_at_an_account() {
    let (mut desk, account) = held(daily("500"));
    quote(&mut desk, "100.00", "2026-11-23T15:01:00Z");
    let other = r#"{"t":"quote","symbol":"IBM","bid":"1.00","bid_size":"9","ask":"1.00","ask_size":"9","at":"2026-11-23T15:02:00Z"}"#;
    desk.line(other);
    desk.line(&other.replace("15:02", "15:03"));
    let quiet = desk.core.state().watch.clone();
    desk.line(&other.replace("15:02", "15:04").replace("1.00", "2.00"));
    assert_eq!(desk.core.state().watch, quiet);
    desk.limit(account, PolicyChange { max_daily_loss: Some(None), ..PolicyChange::default() });
    quote(&mut desk, "1.00", "2026-11-23T15:05:00Z");
    assert_eq!(words(&desk, account), ["TradingDayBegan"], "nothing is limited any more");
}
