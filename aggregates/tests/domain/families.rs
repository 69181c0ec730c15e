//! Brackets, ocos and otos, by hand: `docs/rules.md`, Orders that belong together; and whatever happens to them, exits
//! are open for what is theirs to sell and never alone.

use aggregates::account::{AccountCommand, PolicyChange, TradingState};
use aggregates::id::OrderId;
use aggregates::margin::Marks;
use aggregates::market::MarketTime;
use aggregates::order::{
    CancelReason, Execution, Exit, Exits, ExpiryReason, OrderChange, OrderClass, OrderError,
    OrderEvent, OrderSpec, OrderStatus, OrderType, Side, StopLoss, TakeProfit, TimeInForce,
    Trigger,
};
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::stream::{Event, StreamId};
use aggregates::trading::{Command, Decision};
use proptest::prelude::*;

use crate::book::*;
use crate::examples::{book, me};
use crate::invariants::{check_order, check_position, refold};

fn exits(profit: Option<&str>, stop: Option<(&str, Option<&str>)>) -> Option<Box<Exits>> {
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
fn oco(qty: &str) -> OrderSpec {
    OrderSpec {
        order_class: OrderClass::Oco,
        exits: exits(None, Some(("90", None))),
        ..spec(me(), "AAPL", Side::Sell, qty, Some("110"))
    }
}

fn profit(n: u128) -> OrderId {
    order_id(n).exit(Exit::TakeProfit)
}

fn loss(n: u128) -> OrderId {
    order_id(n).exit(Exit::StopLoss)
}

/// Status, total and open shares of an order.
fn stands(book: &Book, id: OrderId) -> (OrderStatus, String, String) {
    let order = &book.orders[&id];
    let (total, open) = (order.spec().unwrap().qty, order.leaves_qty().unwrap());
    (order.status().unwrap(), total.to_string(), open.to_string())
}

fn is(status: OrderStatus, total: &str, open: &str) -> (OrderStatus, String, String) {
    (status, total.to_owned(), open.to_owned())
}

fn shares_reserved(book: &Book) -> String {
    book.positions[&(me(), stock("AAPL"))].reserved_qty().to_string()
}

/// A fill as the engine would propose it of the order as it is.
fn fill(book: &Book, id: OrderId, qty: &str, at_price: &str) -> Command {
    let order = &book.orders[&id];
    let execution = Execution {
        revision: order.revision(),
        after_fills: order.fills(),
        qty: quantity(qty),
        price: price(at_price),
        evidence: evidence(book.log.len() as u64, price(at_price)),
    };
    Command::Fill { order_id: id, execution, marks: Marks::default(), at: at(2) }
}

fn filled(book: &mut Book, id: OrderId, qty: &str, at_price: &str) -> Decision {
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

fn canceled(id: OrderId) -> Command {
    let reason = CancelReason::Requested;
    Command::Cancel { account_id: me(), order_id: id, reason, at: at(3) }
}

fn changed(id: OrderId, change: OrderChange) -> Command {
    let market = market(Some("100"));
    Command::Replace { account_id: me(), order_id: id, change, seen: None, market }
}

fn reason(book: &Book, id: OrderId) -> Option<CancelReason> {
    book.log.iter().find_map(|(stream, event)| match event {
        Event::Order(OrderEvent::OrderCanceled { reason, .. })
            if *stream == StreamId::Order(id) =>
        {
            Some(*reason)
        }
        _ => None,
    })
}

fn faults(spec: &OrderSpec) -> Vec<&'static str> {
    let faults = spec.faults().into_iter();
    faults
        .map(|fault| match fault {
            OrderError::Malformed { field, .. } | OrderError::Unsupported { field, .. } => field,
            other => panic!("{other}"),
        })
        .collect()
}

#[test]
fn each_class_needs_its_exits_and_takes_no_other() {
    let with = |order: &OrderSpec, class, exits: &Option<Box<Exits>>| {
        faults(&OrderSpec { order_class: class, exits: exits.clone(), ..order.clone() })
    };
    let (buy, sell) = (bracket("10"), oco("10"));
    let (both, none) = (&buy.exits, &None);
    let (one, other) = (&exits(Some("110"), None), &exits(None, Some(("90", None))));
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
        (&buy, OrderClass::Mleg, none, vec!["order_class"]),
        (&sell, OrderClass::Oco, other, vec![]),
        (&sell, OrderClass::Oco, none, vec!["stop_loss"]),
        (&sell, OrderClass::Bracket, both, vec!["side"]),
        (&sell, OrderClass::Oto, one, vec!["side"]),
        (&buy, OrderClass::Oco, other, vec!["side"]),
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
        let follow = Command::FollowSplit { account_id: me(), instrument_id, orders, at: at(4) };
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
fn a_margin_account_takes_none_by_name() {
    let mut book = Book::default();
    book.list("AAPL");
    book.open_margin(me(), "10000");
    let command = place(1, &bracket("10"), &market(Some("100")));
    assert_eq!(book.refused(&command), RefusalCode::Unsupported);
}

/// One thing that happens to some orders of some family.
#[derive(Clone, Debug)]
enum Step {
    Place { class: usize, qty: u32 },
    Fill { which: usize, part: u32 },
    Trigger { which: usize },
    Cancel { which: usize },
    CancelAll,
    Expire { which: usize },
    Replace { which: usize, qty: Option<u32>, cents: Option<i64>, gtc: bool },
    Split { new: u32, old: u32 },
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0usize..64;
    prop_oneof![
        4 => (0usize..5, 1u32..30).prop_map(|(class, qty)| Step::Place { class, qty }),
        8 => (which.clone(), 1u32..30).prop_map(|(which, part)| Step::Fill { which, part }),
        2 => which.clone().prop_map(|which| Step::Trigger { which }),
        1 => which.clone().prop_map(|which| Step::Cancel { which }),
        1 => which.clone().prop_map(|which| Step::Expire { which }),
        2 => (
            which,
            prop::option::of(1u32..40),
            prop::option::of(8_500i64..11_500),
            any::<bool>()
        ).prop_map(|(which, qty, cents, gtc)| Step::Replace { which, qty, cents, gtc }),
        1 => prop::sample::select(vec![(2, 1), (3, 2), (1, 2)])
            .prop_map(|(new, old)| Step::Split { new, old }),
        1 => prop_oneof![Just(Step::CancelAll), Just(Step::Reset)],
    ]
}

/// What has to hold between commands, from the orders alone: exits are open together and for the same shares, an entry
/// is open with its exits only, and what is reserved is what they are open for, once.
fn check_families(book: &Book) {
    let is_open = |id: OrderId| book.orders.get(&id).is_some_and(aggregates::order::Order::is_open);
    let mut needed = rust_decimal::Decimal::ZERO;
    for (id, order) in &book.orders {
        let Some(spec) = order.spec() else { continue };
        let children: Vec<OrderId> =
            [id.exit(Exit::TakeProfit), id.exit(Exit::StopLoss)].into_iter().collect();
        let mut exits: Vec<OrderId> =
            children.into_iter().filter(|id| book.orders.contains_key(id)).collect();
        let (entry, wanted) = match spec.order_class {
            OrderClass::Oco if spec.parent_order_id.is_none() => (None, 2),
            OrderClass::Bracket if spec.parent_order_id.is_none() => (Some(order), 2),
            OrderClass::Oto if spec.parent_order_id.is_none() => (Some(order), 1),
            OrderClass::Simple => {
                if spec.side == Side::Sell && order.is_open() {
                    needed += order.leaves_qty().unwrap().decimal();
                }
                continue;
            }
            _ => continue,
        };
        if order.status() == Some(OrderStatus::Rejected) {
            assert!(exits.is_empty());
            continue;
        }
        if entry.is_none() {
            exits.push(*id);
        }
        assert_eq!(exits.len(), wanted);
        let open: Vec<OrderId> = exits.iter().copied().filter(|id| is_open(*id)).collect();
        assert!(open.is_empty() || open.len() == wanted, "exits end together");
        if entry.is_some_and(aggregates::order::Order::is_open) {
            assert_eq!(open.len(), wanted, "no entry is open without exits");
        }
        let leaves: Vec<String> =
            open.iter().map(|id| book.orders[id].leaves_qty().unwrap().to_string()).collect();
        assert!(leaves.iter().all(|it| *it == leaves[0]), "{leaves:?}");
        let held = open.iter().any(|id| book.orders[id].status() == Some(OrderStatus::Held));
        if held {
            assert!(entry.unwrap().is_open() && entry.unwrap().fills() == 0);
        } else if let Some(first) = open.first() {
            needed += book.orders[first].leaves_qty().unwrap().decimal();
        }
    }
    let position = book.positions.get(&(me(), stock("AAPL")));
    let reserved = position.map(|position| position.reserved_qty().decimal()).unwrap_or_default();
    assert_eq!(reserved, needed, "what is reserved is what exits are open for");
}

fn after_splits(book: &mut Book, splits: u32, (new, old): (u32, u32), orders: Vec<OrderId>) {
    let action = format!("split-{splits}");
    let ratio = (new.to_string(), old.to_string());
    book.submit(&begin_split(&action, "AAPL", (&ratio.0, &ratio.1), Some("50"))).unwrap();
    let (account_id, instrument_id) = (me(), stock("AAPL"));
    book.submit(&Command::FollowSplit { account_id, instrument_id, orders, at: at(4) }).unwrap();
    let command =
        aggregates::instrument::InstrumentCommand::CompleteSplit { action_id: action, at: at(5) };
    book.submit(&Command::Instrument { instrument_id, command }).unwrap();
}

/// The command of a step for the order that it picks, where there is one.
fn command(book: &Book, step: &Step, now: MarketTime) -> Option<Command> {
    let pick = |which: usize| {
        let placed: Vec<OrderId> = book
            .orders
            .iter()
            .filter(|(_, order)| order.spec().is_some())
            .map(|it| *it.0)
            .collect();
        (!placed.is_empty()).then(|| placed[which % placed.len()])
    };
    let account_id = me();
    Some(match step {
        Step::Fill { which, part } => {
            let id = pick(*which)?;
            let order = &book.orders[&id];
            let spec = order.spec()?;
            let open = order.leaves_qty().unwrap().to_string();
            let part = if *part > 20 { open } else { part.to_string() };
            let limit = spec.limit_price.map(|limit| limit.to_string());
            fill(book, id, &part, limit.as_deref().unwrap_or("89"))
        }
        Step::Trigger { which } => {
            let id = pick(*which)?;
            let order = &book.orders[&id];
            let stop_price = order.spec()?.stop_price?;
            let evidence = evidence(7, stop_price);
            let revision = order.revision();
            let trigger = Trigger { revision, mark: None, stop_price, evidence };
            Command::Trigger { order_id: id, trigger, at: now }
        }
        Step::Cancel { which } => canceled(pick(*which)?),
        Step::CancelAll => Command::CancelAll { account_id, kind: None, at: Some(now) },
        Step::Expire { which } => {
            let (order_id, reason) = (pick(*which)?, ExpiryReason::SessionClosed);
            let at = book.orders[&order_id].expires_at()?;
            Command::Expire { order_id, reason, at }
        }
        Step::Replace { which, qty, cents, gtc } => {
            let id = pick(*which)?;
            let spec = book.orders[&id].spec()?;
            let moved = cents.map(|cents| price(&format!("{}.{:02}", cents / 100, cents % 100)));
            let change = OrderChange {
                qty: qty.map(|qty| quantity(&qty.to_string())),
                limit_price: moved.filter(|_| spec.limit_price.is_some()),
                stop_price: moved
                    .filter(|_| spec.limit_price.is_none() && spec.stop_price.is_some()),
                time_in_force: gtc.then_some(TimeInForce::Gtc),
                ..OrderChange::default()
            };
            changed(id, change)
        }
        Step::Reset => Command::Reset {
            account_id,
            reset_id: command_id(9),
            balance: money("100000"),
            at: Some(now),
        },
        Step::Place { .. } | Step::Split { .. } => return None,
    })
}

/// An order of one of the classes, or one by itself.
fn placed(class: usize, qty: u32) -> OrderSpec {
    let qty = qty.to_string();
    match class {
        0 | 1 => bracket(&qty),
        2 => oco(&qty),
        3 => OrderSpec {
            order_class: OrderClass::Oto,
            exits: exits(Some("110"), None),
            ..bracket(&qty)
        },
        _ => spec(me(), "AAPL", Side::Buy, &qty, Some("100")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_exit_is_alone_and_none_sells_what_is_not_its_own(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut book = book("100000");
        let (mut n, mut splits) = (0, 0);
        let mut filled_before = Default::default();
        for step in steps {
            let command = match &step {
                Step::Place { class, qty } => {
                    n += 1;
                    Some(place(n, &placed(*class, *qty), &market(Some("100"))))
                }
                Step::Split { new, old } if splits < 3 => {
                    splits += 1;
                    let open = book.orders.iter().filter(|(_, order)| order.is_open());
                    let open = open.map(|(id, _)| *id).collect();
                    after_splits(&mut book, splits, (*new, *old), open);
                    None
                }
                other => command(&book, other, at(3)),
            };
            if let Some(command) = command {
                let done: Result<Decision, Refusal> = book.submit_checked(&command, |book| {
                    if let Some((StreamId::Position(account, instrument), _)) = book.log.last() {
                        check_position(&book.positions[&(*account, *instrument)]);
                    }
                });
                // What comes too late is refused; nothing else is.
                if let Err(refusal) = done {
                    let expected = [
                        RefusalCode::OrderNotOpen,
                        RefusalCode::OrderChanged,
                        RefusalCode::InvalidOrder,
                        RefusalCode::InsufficientBuyingPower,
                        RefusalCode::InsufficientShares,
                    ];
                    prop_assert!(expected.contains(&refusal.code), "{refusal} of {command:?}");
                    let sells = matches!(command, Command::Fill { .. })
                        && refusal.code == RefusalCode::InsufficientShares;
                    prop_assert!(!sells, "a fill was short of shares: {refusal}");
                }
            }
            for id in book.orders.iter().filter(|(_, order)| order.spec().is_some()).map(|it| *it.0) {
                check_order(&book, id, &mut filled_before);
            }
            check_families(&book);
        }
        prop_assert_eq!(refold(&book), book);
    }
}
