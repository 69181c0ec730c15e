//! Brackets, ocos and otos, by hand: `docs/rules.md`, Orders that belong together.

use aggregates::account::{AccountCommand, PolicyChange, TradingState};
use aggregates::id::OrderId;
use aggregates::margin::Marks;
use aggregates::order::{
    CancelReason, Execution, Exit, Exits, ExpiryReason, OrderChange, OrderClass, OrderEvent,
    OrderSpec, OrderStatus, OrderType, Side, StopLoss, TakeProfit, TimeInForce, Trigger,
};
use aggregates::refusal::RefusalCode;
use aggregates::stream::{Event, StreamId};
use aggregates::trading::{Command, Decision};

use crate::book::*;
use crate::examples::{book, me};

pub fn exits(profit: Option<&str>, stop: Option<(&str, Option<&str>)>) -> Option<Box<Exits>> {
    let exits = Exits {
        take_profit: profit.map(|limit| TakeProfit { limit_price: price(limit) }),
        stop_loss: stop.map(|(stop, limit)| StopLoss {
            stop_price: price(stop),
            limit_price: limit.map(price),
        }),
    };
    Some(Box::new(exits))
}

/// A buy at 100 with a take-profit at 110 and a stop-loss at 90.
pub fn bracket(qty: &str) -> OrderSpec {
    OrderSpec {
        order_class: OrderClass::Bracket,
        exits: exits(Some("110"), Some(("90", None))),
        ..spec(me(), "AAPL", Side::Buy, qty, Some("100"))
    }
}

/// A sell at 110 beside a stop-loss at 90.
pub fn oco(qty: &str) -> OrderSpec {
    OrderSpec {
        order_class: OrderClass::Oco,
        exits: exits(None, Some(("90", None))),
        ..spec(me(), "AAPL", Side::Sell, qty, Some("110"))
    }
}

pub fn profit(n: u128) -> OrderId {
    order_id(n).exit(Exit::TakeProfit)
}

pub fn loss(n: u128) -> OrderId {
    order_id(n).exit(Exit::StopLoss)
}

/// Status, total and open shares of an order.
pub fn stands(book: &Book, id: OrderId) -> (OrderStatus, String, String) {
    let order = &book.orders[&id];
    let (total, open) = (order.spec().unwrap().qty, order.leaves_qty().unwrap());
    (order.status().unwrap(), total.to_string(), open.to_string())
}

pub fn is(status: OrderStatus, total: &str, open: &str) -> (OrderStatus, String, String) {
    (status, total.to_owned(), open.to_owned())
}

pub fn shares_reserved(book: &Book) -> String {
    book.positions[&(me(), stock("AAPL"))].reserved_qty().to_string()
}

/// A fill as the engine would propose it of the order as it is.
pub fn fill(book: &Book, id: OrderId, qty: &str, at_price: &str) -> Command {
    let order = &book.orders[&id];
    let execution = Execution {
        revision: order.revision(),
        after_fills: order.fills(),
        qty: quantity(qty),
        price: price(at_price),
        evidence: evidence(book.log.len() as u64, price(at_price)),
        legs: Vec::new(),
    };
    Command::Fill { order_id: id, execution, marks: Marks::default(), at: at(2) }
}

pub fn filled(book: &mut Book, id: OrderId, qty: &str, at_price: &str) -> Decision {
    let command = fill(book, id, qty, at_price);
    book.submit(&command).unwrap()
}

/// Triggers a stop at 90 by a bid of 89.
fn sprung(book: &mut Book, id: OrderId) {
    let revision = book.orders[&id].revision();
    let stop_price = book.orders[&id].spec().unwrap().stop_price.unwrap();
    let evidence = evidence(7, price("89"));
    let trigger = Trigger { revision, mark: None, stop_price, evidence };
    book.submit(&Command::Trigger { order_id: id, trigger, at: at(2) }).unwrap();
}

pub fn canceled(id: OrderId) -> Command {
    let reason = CancelReason::Requested;
    Command::Cancel { account_id: me(), order_id: id, reason, at: at(3) }
}

pub fn changed(id: OrderId, change: OrderChange) -> Command {
    let market = market(Some("100"));
    Command::Replace { account_id: me(), order_id: id, change, seen: None, market }
}

pub fn reason(book: &Book, id: OrderId) -> Option<CancelReason> {
    book.log.iter().find_map(|(stream, event)| match event {
        Event::Order(OrderEvent::OrderCanceled { reason, .. })
            if *stream == StreamId::Order(id) =>
        {
            Some(*reason)
        }
        _ => None,
    })
}

#[test]
fn each_class_needs_its_exits_and_takes_no_other() {
    let with = |order: &OrderSpec, class, exits: &Option<Box<Exits>>| {
        faults(&OrderSpec { order_class: class, exits: exits.clone(), ..order.clone() })
    };
    let (buy, sell) = (bracket("10"), oco("10"));
    let (both, none) = (&buy.exits, &None);
    let (one, other) = (&exits(Some("110"), None), &exits(None, Some(("90", None))));
    let (turned, above) =
        (&exits(Some("90"), Some(("110", None))), &exits(None, Some(("101", None))));
    for (order, class, exits, wrong) in [
        (&buy, OrderClass::Bracket, both, vec![]),
        (&buy, OrderClass::Bracket, one, vec!["stop_loss"]),
        (&buy, OrderClass::Bracket, other, vec!["take_profit"]),
        (&buy, OrderClass::Bracket, none, vec!["take_profit", "stop_loss"]),
        (&buy, OrderClass::Oto, one, vec![]),
        (&buy, OrderClass::Oto, other, vec![]),
        (&buy, OrderClass::Oto, both, vec!["stop_loss"]),
        (&buy, OrderClass::Oto, none, vec!["take_profit"]),
        (&buy, OrderClass::Simple, both, vec!["take_profit", "stop_loss"]),
        (&buy, OrderClass::Mleg, none, vec!["legs"]),
        (&sell, OrderClass::Oco, other, vec![]),
        (&sell, OrderClass::Oco, none, vec!["stop_loss"]),
        (&sell, OrderClass::Bracket, both, vec!["take_profit.limit_price"]),
        (&sell, OrderClass::Bracket, turned, vec![]),
        (&sell, OrderClass::Oto, one, vec![]),
        (&buy, OrderClass::Bracket, turned, vec!["take_profit.limit_price"]),
        (&buy, OrderClass::Oco, other, vec!["take_profit.limit_price"]),
        (&buy, OrderClass::Oco, above, vec![]),
    ] {
        assert_eq!(
            with(order, class, exits),
            wrong,
            "{} {} {exits:?}",
            class.word(),
            order.side.word()
        );
    }
    let market = spec(me(), "AAPL", Side::Sell, "10", None);
    assert_eq!(with(&market, OrderClass::Oco, other), ["type"]);
    let unpriced = OrderSpec { limit_price: None, ..sell.clone() };
    assert_eq!(faults(&unpriced), ["take_profit"]);
    let tight = exits(Some("90"), Some(("90", None)));
    assert_eq!(with(&buy, OrderClass::Bracket, &tight), ["take_profit.limit_price"]);
    let fine = exits(Some("110.001"), Some(("90.001", Some("89.999"))));
    let fields = ["take_profit.limit_price", "stop_loss.stop_price", "stop_loss.limit_price"];
    assert_eq!(with(&buy, OrderClass::Bracket, &fine), fields);
    let immediate = OrderSpec { time_in_force: TimeInForce::Ioc, ..bracket("10") };
    assert_eq!(faults(&immediate), ["time_in_force"]);
    assert_eq!(faults(&bracket("0.5")), ["qty"]);
}

#[test]
fn a_bracket_is_placed_whole_in_one_commit_and_its_exits_reserve_nothing() {
    let mut book = book("1000");
    let decision = book.place(1, &bracket("10"), &market(Some("101")));
    let kinds: Vec<String> = decision.events.iter().map(|(_, event)| event.event_type()).collect();
    assert_eq!(kinds, ["OrderPlaced", "CashReserved", "OrderPlaced", "OrderPlaced"]);
    assert_eq!(book.reserved(me()), "1000.00");
    for (id, order_type) in [(profit(1), OrderType::Limit), (loss(1), OrderType::Stop)] {
        assert_eq!(stands(&book, id), is(OrderStatus::Held, "10", "10"));
        let spec = book.orders[&id].spec().unwrap();
        assert_eq!((spec.order_type, spec.side), (order_type, Side::Sell));
        assert_eq!(spec.parent_order_id, Some(order_id(1)));
        assert_eq!(
            (spec.client_order_id.clone(), spec.note_digest.clone()),
            (id.to_string(), None)
        );
    }
    let rejected = book.place(2, &bracket("1"), &market(None));
    assert_eq!(rejected.rejected.unwrap().code, RefusalCode::InsufficientBuyingPower);
    assert_eq!(rejected.events.len(), 1, "no exits of what was never taken");
}

#[test]
fn exits_grow_with_what_the_entry_fills_and_reserve_it_once() {
    let mut book = book("1000");
    book.place(1, &bracket("10"), &market(None));
    let decision = filled(&mut book, order_id(1), "4", "100");
    let kinds: Vec<String> = decision.events.iter().map(|(_, event)| event.event_type()).collect();
    let at_once =
        ["OrderFilled", "FillSettled", "PositionOpened", "OrderActivated", "OrderActivated"];
    assert_eq!(kinds[..5], at_once);
    assert_eq!(kinds[5..], ["SharesReserved"]);
    for id in [profit(1), loss(1)] {
        assert_eq!(stands(&book, id), is(OrderStatus::Accepted, "4", "4"));
    }
    assert_eq!(shares_reserved(&book), "4");
    filled(&mut book, order_id(1), "6", "99.50");
    for id in [profit(1), loss(1)] {
        assert_eq!(stands(&book, id), is(OrderStatus::Accepted, "10", "10"));
    }
    assert_eq!(shares_reserved(&book), "10");
    assert_eq!((book.cash(me()), book.reserved(me())), ("3.00".into(), "0.00".into()));
    let another = book.place(2, &spec(me(), "AAPL", Side::Sell, "1", Some("120")), &market(None));
    assert_eq!(another.rejected.unwrap().code, RefusalCode::InsufficientShares);
}

#[test]
fn what_one_exit_sells_the_other_does_not_and_the_last_one_standing_is_canceled() {
    let mut book = book("10000");
    book.place(1, &bracket("100"), &market(None));
    filled(&mut book, order_id(1), "100", "100");
    filled(&mut book, profit(1), "40", "110");
    assert_eq!(stands(&book, profit(1)), is(OrderStatus::PartiallyFilled, "100", "60"));
    assert_eq!(stands(&book, loss(1)), is(OrderStatus::Accepted, "60", "60"));
    assert_eq!(shares_reserved(&book), "60");
    sprung(&mut book, loss(1));
    filled(&mut book, loss(1), "25", "89");
    assert_eq!(stands(&book, profit(1)), is(OrderStatus::PartiallyFilled, "75", "35"));
    assert_eq!(stands(&book, loss(1)), is(OrderStatus::PartiallyFilled, "60", "35"));
    assert_eq!(shares_reserved(&book), "35");
    let stale = fill(&book, profit(1), "36", "110");
    assert_eq!(book.refused(&stale), RefusalCode::OrderChanged, "one share more than is left");
    filled(&mut book, loss(1), "35", "88");
    assert_eq!(stands(&book, loss(1)).0, OrderStatus::Filled);
    assert_eq!(reason(&book, profit(1)), Some(CancelReason::SiblingFilled));
    assert_eq!(shares_reserved(&book), "0");
    // 40 * 110 + 25 * 89 + 35 * 88
    assert_eq!(book.cash(me()), "9705.00");
}

#[test]
fn once_the_exits_have_sold_all_that_was_filled_the_rest_of_the_entry_ends() {
    let mut book = book("1000");
    book.place(1, &bracket("10"), &market(None));
    filled(&mut book, order_id(1), "4", "100");
    assert_eq!(book.reserved(me()), "600.00");
    filled(&mut book, profit(1), "4", "110");
    assert_eq!(reason(&book, loss(1)), Some(CancelReason::SiblingFilled));
    assert_eq!(reason(&book, order_id(1)), Some(CancelReason::ExitsEnded));
    assert_eq!((book.cash(me()), book.reserved(me())), ("1040.00".into(), "0.00".into()));
}

#[test]
fn a_canceled_entry_takes_its_held_exits_along_and_leaves_those_of_what_has_filled() {
    let mut book = book("2000");
    book.place(1, &bracket("10"), &market(None));
    book.submit(&canceled(order_id(1))).unwrap();
    for id in [profit(1), loss(1)] {
        assert_eq!(reason(&book, id), Some(CancelReason::ParentEnded));
    }
    book.place(2, &bracket("10"), &market(None));
    filled(&mut book, order_id(2), "3", "100");
    book.submit(&canceled(order_id(2))).unwrap();
    for id in [profit(2), loss(2)] {
        assert_eq!(stands(&book, id), is(OrderStatus::Accepted, "3", "3"));
    }
    filled(&mut book, profit(2), "3", "110");
    assert_eq!(stands(&book, loss(2)).0, OrderStatus::Canceled);
}

#[test]
fn a_canceled_exit_takes_the_other_and_the_rest_of_the_entry_along() {
    for (n, which) in [(1, profit(1)), (2, loss(2))] {
        let mut book = book("10000");
        book.place(n, &bracket("10"), &market(None));
        filled(&mut book, order_id(n), "3", "100");
        book.submit(&canceled(which)).unwrap();
        let other = if which == profit(n) { loss(n) } else { profit(n) };
        assert_eq!(reason(&book, which), Some(CancelReason::Requested));
        assert_eq!(reason(&book, other), Some(CancelReason::SiblingEnded));
        assert_eq!(reason(&book, order_id(n)), Some(CancelReason::ExitsEnded));
        assert_eq!((shares_reserved(&book), book.reserved(me())), ("0".into(), "0.00".into()));
    }
    let mut book = book("10000");
    book.place(1, &bracket("10"), &market(None));
    book.submit(&canceled(loss(1))).unwrap();
    assert_eq!(reason(&book, order_id(1)), Some(CancelReason::ExitsEnded), "held ones too");
}

#[test]
fn time_ends_an_entry_with_its_held_exits_and_both_exits_at_once() {
    let expire = |id, book: &mut Book| {
        let reason = ExpiryReason::SessionClosed;
        book.submit(&Command::Expire { order_id: id, reason, at: at(3600) }).unwrap();
    };
    let mut book = book("10000");
    book.place(1, &bracket("10"), &market(None));
    expire(order_id(1), &mut book);
    assert_eq!(reason(&book, loss(1)), Some(CancelReason::ParentEnded));
    book.place(2, &bracket("10"), &market(None));
    filled(&mut book, order_id(2), "4", "100");
    expire(order_id(2), &mut book);
    assert_eq!(stands(&book, profit(2)), is(OrderStatus::Accepted, "4", "4"));
    expire(loss(2), &mut book);
    assert_eq!(stands(&book, profit(2)).0, OrderStatus::Expired);
    assert_eq!(shares_reserved(&book), "0");
}

#[test]
fn an_entry_that_cannot_be_paid_ends_with_its_exits() {
    let mut book = book("1000");
    let market_entry =
        OrderSpec { order_type: OrderType::Market, limit_price: None, ..bracket("9") };
    book.place(1, &market_entry, &market(Some("100")));
    let dear = filled(&mut book, order_id(1), "9", "112");
    assert_eq!(dear.rejected.unwrap().code, RefusalCode::InsufficientBuyingPower);
    assert_eq!(reason(&book, profit(1)), Some(CancelReason::ParentEnded));
}

#[test]
fn two_exits_of_an_oco_share_the_shares_that_are_held() {
    let mut book = book("1000");
    book.buy(1, me(), "AAPL", "10", "100");
    book.place(2, &oco("10"), &market(None));
    assert_eq!(stands(&book, order_id(2)), is(OrderStatus::Accepted, "10", "10"));
    assert_eq!(stands(&book, loss(2)), is(OrderStatus::Accepted, "10", "10"));
    assert_eq!(shares_reserved(&book), "10");
    let more = book.place(3, &oco("1"), &market(None));
    assert_eq!(more.rejected.unwrap().code, RefusalCode::InsufficientShares);
    sprung(&mut book, loss(2));
    filled(&mut book, loss(2), "4", "89");
    assert_eq!(stands(&book, order_id(2)), is(OrderStatus::Accepted, "6", "6"));
    filled(&mut book, order_id(2), "6", "110");
    assert_eq!(reason(&book, loss(2)), Some(CancelReason::SiblingFilled));
    assert_eq!(book.cash(me()), "1016.00");
}

#[test]
fn an_oto_has_one_exit() {
    let mut book = book("1000");
    let stop = Some(("90", Some("89.50")));
    let order =
        OrderSpec { order_class: OrderClass::Oto, exits: exits(None, stop), ..bracket("10") };
    book.place(1, &order, &market(None));
    filled(&mut book, order_id(1), "10", "100");
    assert_eq!(stands(&book, loss(1)), is(OrderStatus::Accepted, "10", "10"));
    assert!(!book.orders.contains_key(&profit(1)));
    sprung(&mut book, loss(1));
    let below = fill(&book, loss(1), "10", "89");
    assert_eq!(book.refused(&below), RefusalCode::OrderChanged, "its limit is 89.50");
    filled(&mut book, loss(1), "10", "89.50");
    assert_eq!((book.cash(me()), shares_reserved(&book)), ("895.00".into(), "0".into()));
}

#[test]
fn prices_of_exits_may_change_their_quantity_follows_and_they_live_as_long_as_each_other() {
    let mut book = book("2000");
    book.place(1, &bracket("10"), &market(None));
    let to =
        |limit: &str| OrderChange { limit_price: Some(price(limit)), ..OrderChange::default() };
    let stop_at =
        |stop: &str| OrderChange { stop_price: Some(price(stop)), ..OrderChange::default() };
    book.submit(&changed(profit(1), to("105"))).unwrap();
    assert_eq!(book.refused(&changed(profit(1), to("90"))), RefusalCode::InvalidOrder);
    assert_eq!(book.refused(&changed(loss(1), stop_at("105"))), RefusalCode::InvalidOrder);
    let more = OrderChange { qty: Some(quantity("11")), ..OrderChange::default() };
    assert_eq!(book.refused(&changed(loss(1), more.clone())), RefusalCode::InvalidOrder);
    book.submit(&changed(order_id(1), more.clone())).unwrap();
    assert_eq!(
        stands(&book, loss(1)),
        is(OrderStatus::Held, "11", "11"),
        "of the entry's quantity"
    );
    filled(&mut book, order_id(1), "11", "100");
    book.submit(&changed(loss(1), stop_at("95"))).unwrap();
    assert_eq!(shares_reserved(&book), "11");
    let till = OrderChange { time_in_force: Some(TimeInForce::Gtc), ..OrderChange::default() };
    book.submit(&changed(profit(1), till)).unwrap();
    for id in [profit(1), loss(1)] {
        let order = &book.orders[&id];
        assert_eq!(order.spec().unwrap().time_in_force, TimeInForce::Gtc);
        assert_eq!(order.expires_at(), None, "they outlive the day of their entry");
    }
    filled(&mut book, profit(1), "11", "105");
}

#[test]
fn an_account_that_may_trade_no_more_keeps_its_exits() {
    let mut book = book("1000");
    book.place(1, &bracket("10"), &market(None));
    let change =
        PolicyChange { trading_state: Some(TradingState::Reducing), ..PolicyChange::default() };
    let command = AccountCommand::ChangePolicy { change };
    book.submit(&Command::Account { account_id: me(), command }).unwrap();
    filled(&mut book, order_id(1), "10", "100");
    assert_eq!(stands(&book, profit(1)).0, OrderStatus::Accepted);
}

#[test]
fn a_split_multiplies_held_and_open_exits_and_their_one_reservation() {
    let ids = |n: u128| vec![order_id(n), profit(n), loss(n)];
    let split = |book: &mut Book, orders: Vec<OrderId>| {
        book.submit(&begin_split("split", "AAPL", ("3", "2"), Some("100"))).unwrap();
        let instrument_id = stock("AAPL");
        let follow = Command::FollowSplit {
            account_id: me(),
            instrument_id,
            orders,
            contracts: Vec::new(),
            at: at(4),
        };
        book.submit(&follow).unwrap();
    };
    let mut held = book("1000");
    held.place(1, &bracket("3"), &market(None));
    split(&mut held, ids(1));
    assert_eq!(stands(&held, profit(1)), is(OrderStatus::Held, "4", "4"));
    let prices = |book: &Book, id| {
        let spec = book.orders[&id].spec().unwrap();
        spec.limit_price.or(spec.stop_price).unwrap().to_string()
    };
    assert_eq!(
        (prices(&held, profit(1)), prices(&held, loss(1))),
        ("73.34".into(), "60.00".into())
    );
    let mut open = book("1000");
    open.place(1, &bracket("5"), &market(None));
    filled(&mut open, order_id(1), "3", "100");
    split(&mut open, ids(1));
    for id in [profit(1), loss(1)] {
        assert_eq!(stands(&open, id), is(OrderStatus::Accepted, "4", "4"));
    }
    assert_eq!(shares_reserved(&open), "4");
    // What was asked for of the exits says nothing any more about the order itself.
    let mut pair = book("1000");
    pair.buy(1, me(), "AAPL", "10", "100");
    pair.place(2, &oco("10"), &market(None));
    split(&mut pair, vec![order_id(2), loss(2)]);
    let done = aggregates::instrument::InstrumentCommand::CompleteSplit {
        action_id: "split".into(),
        at: at(5),
    };
    pair.submit(&Command::Instrument { instrument_id: stock("AAPL"), command: done }).unwrap();
    let lower = |limit| OrderChange { limit_price: Some(price(limit)), ..OrderChange::default() };
    pair.submit(&changed(order_id(2), lower("61"))).unwrap();
    assert_eq!(pair.refused(&changed(order_id(2), lower("60"))), RefusalCode::InvalidOrder);
    // Nothing is left of a stop at a hundredth of a cent: then nothing is left of the others.
    let mut tiny = book("1000");
    let penny = OrderSpec {
        exits: exits(Some("0.02"), Some(("0.0001", None))),
        limit_price: Some(price("0.01")),
        ..bracket("10")
    };
    tiny.place(1, &penny, &market(None));
    split(&mut tiny, ids(1));
    for id in ids(1) {
        assert_eq!(reason(&tiny, id), Some(CancelReason::SplitRoundedToNothing));
    }
    assert_eq!(tiny.reserved(me()), "0.00");
}

#[test]
fn a_cash_account_opens_no_short_and_has_none_to_close() {
    let short = OrderSpec {
        side: Side::Sell,
        exits: exits(Some("90"), Some(("110", None))),
        ..bracket("10")
    };
    let cover = OrderSpec {
        side: Side::Buy,
        limit_price: Some(price("90")),
        exits: exits(None, Some(("110", None))),
        ..oco("10")
    };
    let mut book = book("10000");
    let code = |book: &mut Book, n, order: &OrderSpec| {
        book.place(n, order, &market(Some("100"))).rejected.map(|refusal| refusal.code)
    };
    assert_eq!(code(&mut book, 1, &short), Some(RefusalCode::InsufficientShares));
    assert_eq!(code(&mut book, 2, &cover), Some(RefusalCode::InsufficientShares));
    book.buy(3, me(), "AAPL", "10", "100");
    assert_eq!(code(&mut book, 4, &short), Some(RefusalCode::OpposingPosition));
    assert_eq!(code(&mut book, 5, &cover), Some(RefusalCode::InsufficientShares));
}
