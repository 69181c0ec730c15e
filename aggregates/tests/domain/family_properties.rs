//! Whatever happens to brackets, ocos and otos, exits are open for what is theirs to close and never alone; and in a
//! margin account an exit opens nothing and an entry closes nothing, whatever other orders do beside them.

use aggregates::id::OrderId;
use aggregates::market::MarketTime;
use aggregates::order::{
    Exit, ExpiryReason, OrderChange, OrderClass, OrderSpec, OrderStatus, Part, Side, TimeInForce,
    Trigger,
};
use aggregates::position::PositionEvent;
use aggregates::refusal::{Refusal, RefusalCode};
use aggregates::stream::{Event, StreamId};
use aggregates::trading::{Command, Decision, MarketView};
use proptest::prelude::*;

use crate::book::*;
use crate::examples::{book, me};
use crate::families::{bracket, canceled, changed, exits, fill, oco};
use crate::families_margin::{cover, short};
use crate::invariants::{check_order, check_position, refold};

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
        4 => (0usize..8, 1u32..30).prop_map(|(class, qty)| Step::Place { class, qty }),
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
/// is open with its exits only, and what is reserved is what they are open for, once. In a margin account what orders by
/// themselves reserve depends on what was free, so there the exits alone are counted.
fn check_families(book: &Book, margin: bool) {
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
                if spec.side == Side::Sell && order.is_open() && !margin {
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
    let Some(position) = book.positions.get(&(me(), stock("AAPL"))) else { return };
    let counts = |id: &OrderId| {
        let class = book.orders[id].spec().unwrap().order_class;
        !margin || class != OrderClass::Simple
    };
    let named = position.reserving_orders().filter(counts);
    let reserved: rust_decimal::Decimal = named.map(|id| position.reservation(id).decimal()).sum();
    assert_eq!(reserved, needed, "what is reserved is what exits are open for");
    assert!(position.reserved_qty() <= position.qty().abs(), "no more than is held");
}

/// An exit has opened nothing, and an entry has closed nothing.
fn check_parts(book: &Book, events: &[(StreamId, Event)]) {
    for (_, event) in events {
        let (order_id, opened) = match event {
            Event::Position(
                PositionEvent::PositionOpened { order_id, .. }
                | PositionEvent::PositionIncreased { order_id, .. },
            ) => (order_id, true),
            Event::Position(
                PositionEvent::PositionReduced { order_id, .. }
                | PositionEvent::PositionClosed { order_id, .. },
            ) => (order_id, false),
            _ => continue,
        };
        let part = book.orders[order_id].spec().unwrap().part();
        let kept = part.is_none_or(|part| (part == Part::Entry) == opened);
        assert!(kept, "{part:?} {event:?}");
    }
}

fn after_splits(book: &mut Book, splits: u32, (new, old): (u32, u32), orders: Vec<OrderId>) {
    let action = format!("split-{splits}");
    let ratio = (new.to_string(), old.to_string());
    book.submit(&begin_split(&action, "AAPL", (&ratio.0, &ratio.1), Some("50"))).unwrap();
    let (account_id, instrument_id) = (me(), stock("AAPL"));
    book.submit(&Command::FollowSplit {
        account_id,
        instrument_id,
        orders,
        contracts: Vec::new(),
        at: at(4),
    })
    .unwrap();
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
            let mut command = fill(book, id, &part, limit.as_deref().unwrap_or("89"));
            if let Command::Fill { marks, .. } = &mut command {
                *marks = shown().marks;
            }
            command
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
            let mut command = changed(id, change);
            if let Command::Replace { market, .. } = &mut command {
                *market = shown();
            }
            command
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

/// Where the market stands, and what is held at that.
fn shown() -> MarketView {
    marked("100", &[("AAPL", "100")])
}

/// An order of one of the classes, or one by itself; those that sell first, and buy back, for a margin account.
fn placed(margin: bool, class: usize, qty: u32) -> OrderSpec {
    let qty = qty.to_string();
    match class {
        0 | 1 => bracket(&qty),
        2 => oco(&qty),
        4 if margin => short(&qty),
        5 if margin => cover(&qty),
        6 if margin => spec(me(), "AAPL", Side::Sell, &qty, Some("100")),
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
        run(false, steps);
    }

    #[test]
    fn in_a_margin_account_exits_open_nothing_and_entries_close_nothing_whatever_happens(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        run(true, steps);
    }
}

fn run(margin: bool, steps: Vec<Step>) {
    let mut book = if margin { Book::default() } else { book("100000") };
    if margin {
        book.list("AAPL");
        book.open_margin(me(), "100000");
    }
    let (mut n, mut splits) = (0, 0);
    let mut filled_before = Default::default();
    for step in steps {
        let command = match &step {
            Step::Place { class, qty } => {
                n += 1;
                Some(place(n, &placed(margin, *class, *qty), &shown()))
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
                if let Some((StreamId::Position(account, instrument), _)) = book.log.last()
                    && !margin
                {
                    check_position(&book.positions[&(*account, *instrument)]);
                }
            });
            // What comes too late is refused; nothing else is.
            match done {
                Ok(decision) => check_parts(&book, &decision.events),
                Err(refusal) => {
                    let expected = [
                        RefusalCode::OrderNotOpen,
                        RefusalCode::OrderChanged,
                        RefusalCode::InvalidOrder,
                        RefusalCode::InsufficientBuyingPower,
                        RefusalCode::InsufficientShares,
                    ];
                    let of_margin = [
                        RefusalCode::MarginCall,
                        RefusalCode::FractionalShort,
                        RefusalCode::OpposingPosition,
                    ];
                    let known = expected.contains(&refusal.code)
                        || margin && of_margin.contains(&refusal.code);
                    assert!(known, "{refusal} of {command:?}");
                    let closes = matches!(command, Command::Fill { .. })
                        && refusal.code == RefusalCode::InsufficientShares;
                    assert!(!closes, "a fill was short of shares: {refusal}");
                }
            }
        }
        for id in book.orders.iter().filter(|(_, order)| order.spec().is_some()).map(|it| *it.0) {
            check_order(&book, id, &mut filled_before);
        }
        check_families(&book, margin);
    }
    assert_eq!(refold(&book), book);
}
