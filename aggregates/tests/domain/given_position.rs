//! Given, when, then for positions: lots, reservations of shares, both sides of zero, splits and dividends.

use aggregates::account::ReleaseReason;
use aggregates::id::{FillId, LotId};
use aggregates::money::Quantity;
use aggregates::order::Side;
use aggregates::position::{
    ClosedLot, Position, PositionCommand, PositionError, PositionEvent, Trade,
};

use crate::book::*;
use crate::given::when;

fn position(
    given: &[PositionEvent],
    command: PositionCommand,
) -> Result<Vec<PositionEvent>, PositionError> {
    when::<Position>(given, command)
}

fn trade(place: u64, side: Side, qty: &str, at_price: &str, amount: &str) -> PositionCommand {
    PositionCommand::Trade(Trade {
        account_id: account_id(1),
        instrument_id: stock("AAPL"),
        symbol: "AAPL".into(),
        fill_id: FillId::of(order_id(1), 0, place, 1),
        order_id: order_id(1),
        side,
        qty: quantity(qty),
        price: price(at_price),
        amount: money(amount),
        cuts: Vec::new(),
        at: at(1),
        contract: None,
    })
}

fn held(trades: &[PositionCommand]) -> Vec<PositionEvent> {
    trades.iter().fold(Vec::new(), |given, trade| {
        let events = position(&given, trade.clone()).unwrap();
        [given, events].concat()
    })
}

#[test]
fn crossing_zero_closes_all_lots_and_opens_the_other_side_at_the_fill() {
    let long = held(&[trade(1, Side::Buy, "10", "100", "1000")]);
    let events = position(&long, trade(2, Side::Sell, "15", "110", "1650")).unwrap();
    let lot_id = LotId::of(FillId::of(order_id(1), 0, 1, 1));
    let PositionEvent::PositionClosed { qty, proceeds, lots, realized_pl, .. } = &events[0] else {
        panic!()
    };
    assert_eq!((*qty, *proceeds, *realized_pl), (quantity("10"), money("1100"), money("100")));
    assert_eq!(lots, &[ClosedLot { lot_id, qty: quantity("10"), cost: money("1000") }]);
    let PositionEvent::PositionOpened { position_qty, cost, .. } = &events[1] else { panic!() };
    assert_eq!((*position_qty, *cost), (quantity("-5"), money("550")));
    // And back: covering 5 at 90 earns 100, the 5 beyond open a long lot.
    let short = [long, events].concat();
    let back = position(&short, trade(3, Side::Buy, "10", "90", "900")).unwrap();
    assert!(
        matches!(&back[0], PositionEvent::PositionClosed { realized_pl, .. } if *realized_pl == money("100"))
    );
    assert!(
        matches!(&back[1], PositionEvent::PositionOpened { position_qty, .. } if *position_qty == quantity("5"))
    );
}

#[test]
fn a_short_position_follows_splits_and_owes_dividends() {
    let short =
        held(&[trade(1, Side::Sell, "3", "100", "300"), trade(2, Side::Sell, "2", "110", "220")]);
    let split = PositionCommand::Split {
        action_id: "split-1".into(),
        numerator: quantity("3"),
        denominator: quantity("2"),
        last_close: Some(price("120")),
        keep: Vec::new(),
        at: at(3),
    };
    let events = position(&short, split.clone()).unwrap();
    let PositionEvent::PositionSplit {
        position_qty,
        fraction,
        cash_in_lieu,
        fraction_cost,
        realized_pl,
        lots,
        ..
    } = &events[0]
    else {
        panic!()
    };
    assert_eq!(
        (*position_qty, *fraction, *cash_in_lieu),
        (quantity("-7"), quantity("-0.5"), money("-40"))
    );
    assert_eq!((*fraction_cost, *realized_pl), (money("36.67"), money("-3.33")), "220 * 0.5 / 3");
    let quantities: Vec<Quantity> = lots.iter().map(|lot| lot.qty).collect();
    assert_eq!(quantities, [quantity("-4.5"), quantity("-2.5")]);
    let after = [short.clone(), events].concat();
    assert_eq!(position(&after, split), Err(PositionError::AlreadyApplied("split-1".into())));
    let accrue = |qty: &str| PositionCommand::AccrueDividend {
        action_id: "dividend-1".into(),
        qty: quantity(qty),
        per_share: price("0.245"),
        at: at(6),
    };
    let owed = position(&short, accrue("-5")).unwrap();
    assert!(
        matches!(owed[0], PositionEvent::DividendAccrued { amount, .. } if amount == money("-1.22")),
        "-1.225, half to even"
    );
    assert_eq!(position(&short, accrue("0")).unwrap(), [], "nothing held, nothing earned");
    let settle = PositionCommand::SettleDividend { action_id: "dividend-1".into(), at: at(7) };
    assert_eq!(
        position(&short, settle.clone()),
        Err(PositionError::AlreadyApplied("dividend-1".into()))
    );
    assert!(position(&[short, owed].concat(), settle).is_ok());
}

#[test]
fn shares_are_reserved_once_as_far_as_they_are_free() {
    let long = held(&[trade(1, Side::Buy, "10", "100", "1000")]);
    let reserve =
        |n, qty: &str| PositionCommand::Reserve { order_id: order_id(n), qty: quantity(qty) };
    let release =
        PositionCommand::Release { orders: vec![order_id(2)], reason: ReleaseReason::Expired };
    let events = position(&long, reserve(2, "7")).unwrap();
    assert!(
        matches!(events[0], PositionEvent::SharesReserved { reserved_qty, .. } if reserved_qty == quantity("7"))
    );
    let given = [long.clone(), events].concat();
    assert!(matches!(
        position(&given, reserve(3, "3.000000001")),
        Err(PositionError::InsufficientShares { .. })
    ));
    assert!(matches!(
        position(&given, reserve(3, "0")),
        Err(PositionError::InsufficientShares { .. })
    ));
    assert_eq!(position(&given, reserve(2, "1")), Err(PositionError::NoReservation));
    assert!(
        matches!(&position(&given, release.clone()).unwrap()[0], PositionEvent::SharesReleased { reserved_qty, .. } if reserved_qty.is_zero())
    );
    assert_eq!(position(&long, release), Err(PositionError::NoReservation));
}

#[test]
fn a_holding_too_small_for_the_split_is_gone_with_its_cost() {
    let dust = held(&[trade(1, Side::Buy, "0.0000005", "1000000", "0.5")]);
    let split = PositionCommand::Split {
        action_id: "split-1".into(),
        numerator: quantity("1"),
        denominator: quantity("1000"),
        last_close: None,
        keep: Vec::new(),
        at: at(3),
    };
    let events = position(&dust, split).unwrap();
    assert!(
        matches!(&events[0], PositionEvent::PositionSplit { position_qty, realized_pl, lots, .. }
        if position_qty.is_zero() && lots.is_empty() && *realized_pl == money("-0.5"))
    );
}

#[test]
fn lots_that_round_to_nothing_leave_their_cost_to_their_neighbour() {
    let lots = held(&[
        trade(1, Side::Buy, "0.000000001", "9000000", "0.01"),
        trade(2, Side::Buy, "1.5", "10", "15"),
        trade(3, Side::Buy, "0.000000001", "9000000", "0.01"),
    ]);
    let split = PositionCommand::Split {
        action_id: "split-1".into(),
        numerator: quantity("1"),
        denominator: quantity("3"),
        last_close: None,
        keep: Vec::new(),
        at: at(3),
    };
    let events = position(&lots, split).unwrap();
    let PositionEvent::PositionSplit { lots, .. } = &events[0] else { panic!() };
    assert_eq!(lots.len(), 1);
    assert_eq!((lots[0].qty, lots[0].cost), (quantity("0.5"), money("15.02")));
}
