//! Brackets, ocos and otos of margin accounts, by hand: short entries, exits that close and never open, and orders beside
//! them that take of their shares. `docs/rules.md`, Orders that belong together.

use aggregates::account::{AccountCommand, PolicyChange, TradingState};
use aggregates::id::OrderId;
use aggregates::order::{
    CancelReason, Exit, OrderChange, OrderClass, OrderEvent, OrderSpec, OrderStatus, ResizeCause,
    Side, Trigger,
};
use aggregates::refusal::RefusalCode;
use aggregates::stream::Event;
use aggregates::trading::{Command, Decision, MarketView};

use crate::book::*;
use crate::examples::me;
use crate::families::{
    bracket, canceled, changed, exits, filled, is, loss, oco, profit, reason, shares_reserved,
    stands,
};

fn book(balance: &str) -> Book {
    let mut book = Book::default();
    book.list("AAPL");
    book.open_margin(me(), balance);
    book
}

/// 100, and what is held of it at that.
fn shown() -> MarketView {
    marked("100", &[("AAPL", "100")])
}

/// A short sale at 100 with a take-profit at 90 and a stop-loss at 110.
pub fn short(qty: &str) -> OrderSpec {
    OrderSpec { side: Side::Sell, exits: exits(Some("90"), Some(("110", None))), ..bracket(qty) }
}

/// A buy at 90 beside a stop-loss at 110.
pub fn cover(qty: &str) -> OrderSpec {
    OrderSpec {
        side: Side::Buy,
        limit_price: Some(price("90")),
        exits: exits(None, Some(("110", None))),
        ..oco(qty)
    }
}

fn plain(side: Side, qty: &str, limit: &str) -> OrderSpec {
    spec(me(), "AAPL", side, qty, Some(limit))
}

fn held(book: &Book) -> String {
    book.positions[&(me(), stock("AAPL"))].qty().to_string()
}

fn code(decision: Decision) -> Option<RefusalCode> {
    decision.rejected.map(|refusal| refusal.code)
}

/// Shorts 10 by an order by itself.
fn shorted(balance: &str) -> Book {
    let mut book = book(balance);
    book.place(9, &plain(Side::Sell, "10", "100"), &shown());
    filled(&mut book, order_id(9), "10", "100");
    book
}

#[test]
fn a_short_entry_has_exits_that_buy_back_what_it_has_sold() {
    let mut book = book("10000");
    book.place(1, &short("10"), &shown());
    assert_eq!(book.reserved(me()), "525.00", "50 % of 10 * 105, the reference with the collar");
    filled(&mut book, order_id(1), "4", "100");
    for id in [profit(1), loss(1)] {
        assert_eq!(stands(&book, id), is(OrderStatus::Accepted, "4", "4"));
        assert_eq!(book.orders[&id].spec().unwrap().side, Side::Buy);
    }
    assert_eq!((held(&book), shares_reserved(&book)), ("-4".into(), "4".into()));
    filled(&mut book, order_id(1), "6", "101");
    assert_eq!((shares_reserved(&book), book.reserved(me())), ("10".into(), "0.00".into()));
    filled(&mut book, profit(1), "3", "90");
    assert_eq!(stands(&book, loss(1)), is(OrderStatus::Accepted, "7", "7"));
    assert_eq!((held(&book), shares_reserved(&book)), ("-7".into(), "7".into()));
    let order = &book.orders[&loss(1)];
    let trigger = Trigger {
        revision: order.revision(),
        mark: None,
        stop_price: price("110"),
        evidence: evidence(7, price("111")),
    };
    book.submit(&Command::Trigger { order_id: loss(1), trigger, at: at(2) }).unwrap();
    filled(&mut book, loss(1), "7", "111");
    assert_eq!(reason(&book, profit(1)), Some(CancelReason::SiblingFilled));
    assert_eq!((held(&book), shares_reserved(&book)), ("0".into(), "0".into()));
    // 10,000 + 400 + 606 - 270 - 777
    assert_eq!((book.cash(me()), book.reserved(me())), ("9959.00".into(), "0.00".into()));
}

#[test]
fn a_long_entry_of_a_margin_account_reserves_margin_and_its_exits_shares() {
    let mut book = book("1000");
    book.place(1, &bracket("20"), &shown());
    assert_eq!(book.reserved(me()), "1000.00", "50 % of 2,000");
    filled(&mut book, order_id(1), "20", "100");
    assert_eq!((book.reserved(me()), shares_reserved(&book)), ("0.00".into(), "20".into()));
    filled(&mut book, profit(1), "20", "110");
    assert_eq!((book.cash(me()), held(&book)), ("1200.00".into(), "0".into()));
}

#[test]
fn an_oco_closes_a_short_position_and_no_more_than_is_free_of_it() {
    let mut book = shorted("10000");
    assert_eq!(code(book.place(1, &cover("11"), &shown())), Some(RefusalCode::InsufficientShares));
    assert_eq!(code(book.place(2, &oco("1"), &shown())), Some(RefusalCode::InsufficientShares));
    book.place(3, &cover("6"), &shown());
    assert_eq!((shares_reserved(&book), book.reserved(me())), ("6".into(), "0.00".into()));
    let refused = book.place(4, &cover("5"), &shown()).rejected.unwrap();
    assert_eq!(refused.code, RefusalCode::InsufficientShares);
    assert_eq!(refused.figures["available"], "4");
    filled(&mut book, order_id(3), "6", "90");
    assert_eq!(reason(&book, loss(3)), Some(CancelReason::SiblingFilled));
    assert_eq!((held(&book), shares_reserved(&book)), ("-4".into(), "0".into()));
}

#[test]
fn an_entry_opens_and_closes_nothing() {
    let mut book = shorted("10000");
    let refused = book.place(1, &bracket("10"), &shown()).rejected.unwrap();
    assert_eq!(refused.code, RefusalCode::OpposingPosition);
    assert_eq!(refused.figures["held"], "-10");
    assert_eq!(code(book.place(2, &short("10"), &shown())), None, "it adds to what is short");
    // The position turns while an entry rests.
    let mut book = self::book("10000");
    book.place(1, &bracket("10"), &shown());
    book.place(2, &plain(Side::Sell, "5", "100"), &shown());
    filled(&mut book, order_id(2), "5", "100");
    let more = OrderChange { qty: Some(quantity("11")), ..OrderChange::default() };
    assert_eq!(book.refused(&changed(order_id(1), more)), RefusalCode::OpposingPosition);
    let decision = filled(&mut book, order_id(1), "10", "100");
    assert_eq!(code(decision), Some(RefusalCode::OpposingPosition));
    assert_eq!(reason(&book, order_id(1)), Some(CancelReason::OpposingPosition));
    for id in [profit(1), loss(1)] {
        assert_eq!(reason(&book, id), Some(CancelReason::ParentEnded));
    }
    assert_eq!((held(&book), book.reserved(me())), ("-5".into(), "0.00".into()));
}

#[test]
fn exits_lose_what_another_order_closes_of_their_shares_and_end_with_the_last_of_them() {
    let mut book = book("10000");
    book.place(1, &bracket("10"), &shown());
    filled(&mut book, order_id(1), "8", "100");
    // Nothing is free: it opens, by what it reserves.
    book.place(2, &plain(Side::Sell, "12", "100"), &shown());
    let decision = filled(&mut book, order_id(2), "3", "100");
    let causes: Vec<ResizeCause> = decision
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Order(OrderEvent::OrderResized { cause, .. }) => Some(*cause),
            _ => None,
        })
        .collect();
    assert_eq!(causes, [ResizeCause::PositionReduced; 2]);
    for id in [profit(1), loss(1)] {
        assert_eq!(stands(&book, id), is(OrderStatus::Accepted, "5", "5"));
    }
    assert_eq!((held(&book), shares_reserved(&book)), ("5".into(), "5".into()));
    // What the entry fills from then on has its exits again.
    filled(&mut book, order_id(1), "1", "100");
    assert_eq!(stands(&book, loss(1)), is(OrderStatus::Accepted, "6", "6"));
    filled(&mut book, order_id(2), "9", "100");
    for id in [profit(1), loss(1)] {
        assert_eq!(reason(&book, id), Some(CancelReason::PositionClosed));
    }
    assert_eq!(reason(&book, order_id(1)), Some(CancelReason::ExitsEnded));
    assert_eq!((held(&book), shares_reserved(&book)), ("-3".into(), "0".into()));
    assert_eq!(book.reserved(me()), "0.00");
}

#[test]
fn orders_by_themselves_give_shares_up_before_exits_do() {
    let mut book = book("100000");
    book.place(1, &bracket("10"), &shown());
    filled(&mut book, order_id(1), "10", "100");
    book.place(2, &plain(Side::Buy, "10", "100"), &shown());
    filled(&mut book, order_id(2), "10", "100");
    book.place(3, &plain(Side::Sell, "10", "120"), &shown());
    book.place(4, &plain(Side::Sell, "15", "100"), &shown());
    filled(&mut book, order_id(4), "10", "100");
    assert_eq!(stands(&book, profit(1)), is(OrderStatus::Accepted, "10", "10"));
    assert_eq!(shares_reserved(&book), "10", "those of the exits");
    filled(&mut book, order_id(4), "5", "100");
    assert_eq!(stands(&book, profit(1)), is(OrderStatus::Accepted, "5", "5"));
}

#[test]
fn under_a_margin_call_exits_pass_and_entries_do_not() {
    let mut book = book("1000");
    book.place(1, &short("10"), &shown());
    filled(&mut book, order_id(1), "10", "100");
    let high = marked("160", &[("AAPL", "160")]);
    assert_eq!(code(book.place(2, &short("1"), &high)), Some(RefusalCode::MarginCall));
    filled(&mut book, profit(1), "4", "90");
    book.submit(&canceled(profit(1))).unwrap();
    assert_eq!(code(book.place(3, &cover("6"), &high)), None);
    let change =
        PolicyChange { trading_state: Some(TradingState::Reducing), ..PolicyChange::default() };
    let command = AccountCommand::ChangePolicy { change };
    book.submit(&Command::Account { account_id: me(), command }).unwrap();
    filled(&mut book, order_id(3), "6", "90");
    assert_eq!(held(&book), "0");
}

#[test]
fn the_prices_of_exits_that_buy_change_and_stay_apart() {
    let mut book = book("10000");
    book.place(1, &short("10"), &shown());
    filled(&mut book, order_id(1), "10", "100");
    let limit =
        |limit: &str| OrderChange { limit_price: Some(price(limit)), ..OrderChange::default() };
    let stop = |stop: &str| OrderChange { stop_price: Some(price(stop)), ..OrderChange::default() };
    assert_eq!(book.refused(&changed(profit(1), limit("110"))), RefusalCode::InvalidOrder);
    assert_eq!(book.refused(&changed(loss(1), stop("90"))), RefusalCode::InvalidOrder);
    book.submit(&changed(profit(1), limit("95"))).unwrap();
    book.submit(&changed(loss(1), stop("105"))).unwrap();
    assert_eq!((shares_reserved(&book), book.reserved(me())), ("10".into(), "0.00".into()));
}

#[test]
fn a_split_multiplies_exits_that_buy_with_the_short_position() {
    let mut book = book("10000");
    book.place(1, &short("5"), &shown());
    filled(&mut book, order_id(1), "5", "100");
    let orders = vec![order_id(1), profit(1), loss(1)];
    book.submit(&begin_split("split", "AAPL", ("3", "2"), Some("100"))).unwrap();
    let instrument_id = stock("AAPL");
    book.submit(&Command::FollowSplit {
        account_id: me(),
        instrument_id,
        orders,
        contracts: Vec::new(),
        at: at(4),
    })
    .unwrap();
    for id in [profit(1), loss(1)] {
        assert_eq!(stands(&book, id), is(OrderStatus::Accepted, "7", "7"));
        assert_eq!(book.orders[&id].reserve_price(), None);
    }
    assert_eq!((held(&book), shares_reserved(&book)), ("-7".into(), "7".into()));
    let spec = |id: OrderId| book.orders[&id].spec().unwrap();
    assert_eq!(spec(profit(1)).limit_price, Some(price("60")));
    assert_eq!(spec(loss(1)).stop_price, Some(price("73.34")), "up, away from the market");
}

#[test]
fn an_oto_sells_short_with_one_exit_and_cancels_end_it() {
    let mut book = book("10000");
    let oto = OrderSpec {
        order_class: OrderClass::Oto,
        exits: exits(None, Some(("110", Some("111")))),
        ..short("10")
    };
    book.place(1, &oto, &shown());
    filled(&mut book, order_id(1), "4", "100");
    assert_eq!(stands(&book, loss(1)), is(OrderStatus::Accepted, "4", "4"));
    assert!(!book.orders.contains_key(&order_id(1).exit(Exit::TakeProfit)));
    book.submit(&canceled(order_id(1))).unwrap();
    assert_eq!(stands(&book, loss(1)), is(OrderStatus::Accepted, "4", "4"), "it protects");
    let all = Command::CancelAll { account_id: me(), kind: None, at: Some(at(5)) };
    book.submit(&all).unwrap();
    assert_eq!((shares_reserved(&book), book.reserved(me())), ("0".into(), "0.00".into()));
}

#[test]
fn no_fill_leaves_a_part_of_a_share_short() {
    let mut book = book("10000");
    book.place(1, &plain(Side::Sell, "10", "100"), &shown());
    let decision = filled(&mut book, order_id(1), "2.5", "100");
    assert_eq!(code(decision), Some(RefusalCode::FractionalShort));
    assert_eq!(reason(&book, order_id(1)), Some(CancelReason::FractionalShort));
    // A sell of whole shares of what was whole, and is whole no more.
    book.place(2, &plain(Side::Buy, "3", "100"), &shown());
    filled(&mut book, order_id(2), "3", "100");
    book.place(3, &plain(Side::Sell, "4", "100"), &shown());
    book.place(4, &plain(Side::Buy, "0.5", "100"), &shown());
    filled(&mut book, order_id(4), "0.5", "100");
    let decision = filled(&mut book, order_id(3), "4", "100");
    assert_eq!(code(decision), Some(RefusalCode::FractionalShort));
    assert_eq!((held(&book), book.reserved(me())), ("3.5".into(), "0.00".into()));
}
