//! Brackets, ocos and otos: when exits come to work, which of two a price reaches, what one leaves to the other, time,
//! splits, and a restart in between.

use aggregates::order::{CancelReason, OrderStatus};

use super::desk::{Desk, loss, profit, trade};

fn minute(n: u32) -> String {
    format!("2026-11-23T14:{n:02}:00Z")
}

/// A desk quoted 99.00 to 101.00.
fn desk() -> (Desk, aggregates::id::AccountId) {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "101.00", 500, &minute(30));
    let account = desk.account("1000000");
    (desk, account)
}

fn open_of(desk: &Desk, n: u128) -> String {
    desk.order(n).leaves_qty().unwrap().to_string()
}

#[test]
fn exits_work_from_the_line_after_the_one_that_fills_their_entry() {
    let (mut desk, account) = desk();
    // The bid is beyond the take-profit already.
    let n = desk.place(account, "buy 10 @ 100.00 profit 95.00 loss 90.00 gtc");
    assert_eq!(desk.status(profit(n)), OrderStatus::Held);
    desk.quote("99.00", 500, "100.00", 500, &minute(31));
    assert_eq!(desk.trades(), [trade(n, "100.00", "10")]);
    assert_eq!(desk.status(profit(n)), OrderStatus::Accepted);
    desk.quote("98.00", 500, "100.00", 500, &minute(32));
    assert_eq!(desk.trades()[1..], [trade(profit(n), "95.00", "10")]);
    assert_eq!(desk.reason(loss(n)), Some(CancelReason::SiblingFilled));
}

#[test]
fn a_stop_loss_is_triggered_and_sells_what_the_take_profit_has_not() {
    let (mut desk, account) = desk();
    let n = desk.place(account, "buy 100 profit 110.00 loss 90.00 gtc");
    desk.quote("110.50", 40, "111.00", 500, &minute(31));
    assert_eq!(desk.trades()[1..], [trade(profit(n), "110.00", "40")]);
    assert_eq!((open_of(&desk, profit(n)), open_of(&desk, loss(n))), ("60".into(), "60".into()));
    desk.rebuild();
    desk.quote("89.00", 25, "91.00", 500, &minute(32));
    desk.reload();
    assert_eq!(desk.trades()[2..], [trade(loss(n), "89.00", "25")]);
    assert_eq!((open_of(&desk, profit(n)), open_of(&desk, loss(n))), ("35".into(), "35".into()));
    // A triggered stop sells at any price, before the take-profit that is reached too.
    desk.quote("112.00", 500, "113.00", 500, &minute(33));
    assert_eq!(desk.trades()[3..], [trade(loss(n), "112.00", "35")]);
    assert_eq!(desk.reason(profit(n)), Some(CancelReason::SiblingFilled));
    assert_eq!(desk.held(account), "0");
}

#[test]
fn an_entry_that_fills_in_parts_has_exits_for_each() {
    let (mut desk, account) = desk();
    let n = desk.place(account, "buy 10 @ 100.00 profit 110.00 loss 90.00 gtc");
    desk.quote("99.00", 500, "100.00", 4, &minute(31));
    assert_eq!((open_of(&desk, n), open_of(&desk, loss(n))), ("6".into(), "4".into()));
    desk.quote("99.00", 500, "100.00", 3, &minute(32));
    assert_eq!((open_of(&desk, n), open_of(&desk, loss(n))), ("3".into(), "7".into()));
    desk.quote("89.00", 500, "100.50", 500, &minute(33));
    assert_eq!(desk.trades()[2..], [trade(loss(n), "89.00", "7")]);
    assert_eq!(desk.reason(n), Some(CancelReason::ExitsEnded));
}

#[test]
fn in_a_bar_that_reaches_both_exits_the_stop_loss_is_the_one_unless_the_open_is_beyond_the_other() {
    for (bar, expected) in [
        // The high is nearer, and the low comes later.
        (["104.00", "111.00", "89.00", "100.00"], ("90.00", false)),
        (["96.00", "111.00", "89.00", "100.00"], ("90.00", false)),
        (["104.00", "111.00", "90.01", "100.00"], ("110.00", true)),
        (["112.00", "113.00", "89.00", "100.00"], ("112.00", true)),
        (["88.00", "111.00", "87.00", "100.00"], ("88.00", false)),
    ] {
        let mut desk = Desk::nyse();
        desk.daily_bar("2008-10-10", ["100.00", "101.00", "99.00", "100.00"], 1_000_000);
        let account = desk.account("100000");
        let n = desk.place(account, "buy 10 profit 110.00 loss 90.00 gtc");
        // The bar that fills the entry at its open does not meet the exits.
        desk.daily_bar("2008-10-13", ["100.00", "120.00", "80.00", "100.00"], 1_000_000);
        desk.daily_bar("2008-10-14", bar, 1_000_000);
        let (price, wins) = expected;
        let which = if wins { profit(n) } else { loss(n) };
        assert_eq!(desk.trades(), [trade(n, "100.00", "10"), trade(which, price, "10")], "{bar:?}");
    }
}

#[test]
fn two_exits_of_a_position_arrive_and_one_of_them_sells_it() {
    let (mut desk, account) = desk();
    desk.place(account, "buy 100");
    let n = desk.place(account, "sell 60 profit 110.00 loss 90.00 @ 110.00 gtc");
    assert_eq!(desk.status(loss(n)), OrderStatus::Accepted);
    desk.quote("110.00", 500, "111.00", 500, &minute(31));
    assert_eq!(desk.trades()[1..], [trade(n, "110.00", "60")]);
    // One whose stop is reached already is triggered as it arrives.
    let beyond = desk.place(account, "sell 40 @ 140.00 loss 120.00 gtc");
    assert_eq!(desk.trades()[2..], [trade(loss(beyond), "110.00", "40")]);
    assert_eq!(desk.reason(beyond), Some(CancelReason::SiblingFilled));
}

#[test]
fn a_day_ends_entries_with_held_exits_and_both_exits_of_what_was_bought() {
    let (mut desk, account) = desk();
    let waits = desk.place(account, "buy 10 @ 50.00 profit 110.00 loss 40.00 day");
    let holds = desk.place(account, "buy 10 profit 110.00 loss 90.00 day");
    let parts = desk.place(account, "buy 1000 profit 110.00 loss 90.00 day");
    desk.clock("2026-11-23T21:00:00Z");
    assert_eq!(desk.status(waits), OrderStatus::Expired);
    assert_eq!(desk.reason(loss(waits)), Some(CancelReason::ParentEnded));
    for n in [profit(holds), loss(holds), parts, profit(parts), loss(parts)] {
        assert_eq!(desk.status(n), OrderStatus::Expired, "{n}");
    }
    assert_eq!(desk.held(account), "500");
}

#[test]
fn exits_that_a_split_has_changed_go_on() {
    let (mut desk, account) = desk();
    let n = desk.place(account, "buy 10 profit 110.00 loss 90.00 gtc");
    let held = desk.place(account, "buy 10 @ 98.00 profit 110.00 loss 90.00 gtc");
    desk.line(
        r#"{"t":"split","symbol":"AAPL","numerator":"2","denominator":"1","id":"s","at":"2026-11-23T14:31:00Z"}"#,
    );
    assert_eq!((open_of(&desk, profit(n)), open_of(&desk, loss(n))), ("20".into(), "20".into()));
    assert_eq!(desk.status(loss(held)), OrderStatus::Held);
    desk.rebuild();
    desk.quote("44.00", 500, "46.00", 500, &minute(32));
    assert!(desk.trades().contains(&trade(loss(n), "44.00", "20")), "{:?}", desk.trades());
}

#[test]
fn whatever_step_the_engine_is_lost_at_it_goes_on_there() {
    let mut all = Vec::new();
    for commands in 0..5 {
        let (mut desk, account) = desk();
        let n = desk.place(account, "buy 10 @ 100.00 profit 110.00 loss 95.00 gtc");
        let line = |bid: &str, ask: &str, at: &str| {
            format!(
                r#"{{"t":"quote","symbol":"AAPL","bid":"{bid}","bid_size":"6","ask":"{ask}","ask_size":"6","at":"{at}"}}"#
            )
        };
        desk.line_until(&line("99.00", "100.00", &minute(31)), commands);
        desk.rebuild();
        desk.line_until(&line("94.00", "99.00", &minute(32)), commands);
        desk.rebuild();
        desk.quote("93.00", 500, "98.00", 500, &minute(33));
        assert_eq!(desk.status(loss(n)), OrderStatus::Filled, "{commands}");
        assert_eq!(desk.held(account), "0");
        all.push(desk.trades());
    }
    assert!(all.iter().all(|trades| *trades == all[0]), "{all:?}");
}

#[test]
fn of_exits_that_arrive_and_could_both_act_the_take_profit_is_looked_at_first() {
    let (mut desk, account) = desk();
    desk.place(account, "buy 10");
    // The last trade is below the stop, and the bid beyond the take-profit.
    desk.line(
        r#"{"t":"trade","symbol":"AAPL","price":"89.00","size":"1","at":"2026-11-23T14:31:00Z"}"#,
    );
    desk.quote("111.00", 7, "112.00", 500, &minute(31));
    let first = desk.place(account, "sell 5 @ 110.00 loss 90.00 gtc");
    assert_eq!(desk.trades()[1..], [trade(first, "111.00", "5")]);
    assert_eq!(desk.reason(loss(first)), Some(CancelReason::SiblingFilled));
    // Of another two shares are left for the take-profit, and its stop-loss, triggered, waits for the rest.
    let second = desk.place(account, "sell 5 @ 110.00 loss 90.00 gtc");
    assert_eq!(desk.trades()[2..], [trade(second, "111.00", "2")]);
    assert_eq!(desk.status(loss(second)), OrderStatus::Triggered);
    desk.quote("113.00", 500, "114.00", 500, &minute(32));
    assert_eq!(desk.trades()[3..], [trade(loss(second), "113.00", "3")], "as a market order");
}

/// A desk quoted 99.00 to 101.00 and a margin account.
fn margin_desk() -> (Desk, aggregates::id::AccountId) {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 500, "101.00", 500, &minute(30));
    let account = desk.margin_account("1000000");
    (desk, account)
}

#[test]
fn exits_of_a_short_entry_buy_it_back() {
    let (mut desk, account) = margin_desk();
    let n = desk.place(account, "sell 100 opens profit 90.00 loss 110.00 gtc");
    assert_eq!(
        (desk.held(account), desk.status(profit(n))),
        ("-100".into(), OrderStatus::Accepted)
    );
    desk.quote("89.00", 500, "90.00", 40, &minute(31));
    assert_eq!(desk.trades()[1..], [trade(profit(n), "90.00", "40")]);
    desk.rebuild();
    desk.quote("109.00", 500, "110.00", 25, &minute(32));
    desk.reload();
    assert_eq!(desk.trades()[2..], [trade(loss(n), "110.00", "25")]);
    desk.quote("119.00", 500, "120.00", 500, &minute(33));
    assert_eq!(desk.trades()[3..], [trade(loss(n), "120.00", "35")]);
    assert_eq!(desk.reason(profit(n)), Some(CancelReason::SiblingFilled));
    assert_eq!(desk.held(account), "0");
}

#[test]
fn in_a_bar_that_reaches_both_exits_of_a_short_the_stop_loss_is_the_one_unless_the_open_is_beyond_the_other()
 {
    for (bar, expected) in [
        (["104.00", "111.00", "89.00", "100.00"], ("110.00", false)),
        (["96.00", "111.00", "89.00", "100.00"], ("110.00", false)),
        (["96.00", "109.99", "89.00", "100.00"], ("90.00", true)),
        (["88.00", "111.00", "87.00", "100.00"], ("88.00", true)),
        (["112.00", "113.00", "89.00", "100.00"], ("112.00", false)),
    ] {
        let mut desk = Desk::nyse();
        desk.daily_bar("2008-10-10", ["100.00", "101.00", "99.00", "100.00"], 1_000_000);
        let account = desk.margin_account("100000");
        let n = desk.place(account, "sell 10 opens profit 90.00 loss 110.00 gtc");
        desk.daily_bar("2008-10-13", ["100.00", "120.00", "80.00", "100.00"], 1_000_000);
        desk.daily_bar("2008-10-14", bar, 1_000_000);
        let (price, wins) = expected;
        let which = if wins { profit(n) } else { loss(n) };
        assert_eq!(desk.trades(), [trade(n, "100.00", "10"), trade(which, price, "10")], "{bar:?}");
    }
}

#[test]
fn what_another_order_closes_in_the_same_quote_exits_do_not() {
    let (mut desk, account) = margin_desk();
    let n = desk.place(account, "buy 10 profit 110.00 loss 90.00 gtc");
    let other = desk.place(account, "sell 6 @ 105.00 gtc");
    desk.quote("111.00", 500, "112.00", 500, &minute(31));
    // The lower limit comes first, and takes six of the shares that the exits are for.
    let expected = [trade(other, "105.00", "6"), trade(profit(n), "110.00", "4")];
    assert_eq!(desk.trades()[1..], expected);
    assert_eq!(desk.held(account), "0");
    let n = desk.place(account, "buy 10 profit 120.00 loss 90.00 gtc");
    desk.place(account, "sell 15 @ 110.00 gtc");
    assert_eq!(desk.reason(loss(n)), Some(CancelReason::PositionClosed));
    assert_eq!(desk.held(account), "-5");
    let opposed = desk.place(account, "buy 5 profit 120.00 loss 90.00 gtc");
    assert_eq!(desk.status(opposed), OrderStatus::Rejected);
}

#[test]
fn a_short_sale_fills_in_whole_shares_of_a_size_that_is_not() {
    let (mut desk, account) = margin_desk();
    let cash = desk.account("100000");
    desk.line(
        r#"{"t":"quote","symbol":"AAPL","bid":"99.00","bid_size":"2.5","ask":"101.00","ask_size":"2.5","at":"2026-11-23T14:31:00Z"}"#,
    );
    let short = desk.place(account, "sell 10 gtc");
    let long = desk.place(cash, "buy 10 gtc");
    assert_eq!(desk.trades(), [trade(short, "99.00", "2"), trade(long, "101.00", "2.5")]);
    desk.quote("98.00", 500, "100.00", 500, &minute(32));
    assert_eq!((desk.held(account), desk.held(cash)), ("-10".into(), "10".into()));
}

#[test]
fn a_fill_beyond_its_reservation_has_the_price_of_what_another_fill_of_the_same_quote_has_opened() {
    let mut desk = Desk::nyse();
    desk.quote("99.00", 1, "101.00", 1, &minute(30));
    let account = desk.margin_account("1000000");
    let bought = desk.place(account, "buy 11 gtc");
    let sold = desk.place(account, "sell 21 gtc");
    assert_eq!(desk.held(account), "0");
    desk.quote("300.00", 500, "310.00", 500, &minute(31));
    let expected = [trade(bought, "310.00", "10"), trade(sold, "300.00", "20")];
    assert_eq!(desk.trades()[2..], expected);
    assert_eq!(desk.held(account), "-10");
}
