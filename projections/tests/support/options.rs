//! Options in the views, with sums worked out by hand. No database.

use crate::history::{History, Move, OPTIONS, account_id, terms};
use aggregates::id::InstrumentId;
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::PositionIntent::{BuyToOpen, SellToOpen};
use aggregates::order::Side;
use projections::activities::ActivityType;
use projections::journal::{Book, ShareReservationRow, entry_of};
use projections::orders::OrderRow;
use projections::positions::PositionRow;
use projections::row::Rows;
use projections::trading::Trading;
use rust_decimal::Decimal;

/// The margin account of the history.
const ACCOUNT: u8 = 1;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}
fn price(text: &str) -> Price {
    text.parse().unwrap()
}
fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

fn folded(history: &History) -> Trading {
    let mut rows = Trading::default();
    for recorded in &history.log {
        rows.fold(recorded, recorded.event().unwrap()).unwrap();
    }
    rows
}

fn last_order(rows: &Trading) -> &OrderRow {
    rows.orders.iter().max_by_key(|row| row.created_position).unwrap()
}

fn position<'a>(rows: &'a Trading, symbol: &str) -> &'a PositionRow {
    rows.positions.get(&(account_id(ACCOUNT), InstrumentId::of_symbol(symbol))).unwrap()
}

/// What the books of the account hold of a unit.
fn held(history: &History, symbol: Option<&str>) -> Decimal {
    let unit = symbol.map(InstrumentId::of_symbol);
    let mut reserved: Rows<ShareReservationRow> = Rows::default();
    let mut sum = Decimal::ZERO;
    for recorded in &history.log {
        let event = recorded.event().unwrap();
        let Some(entry) = entry_of(recorded, &event, &mut reserved).unwrap() else { continue };
        for posting in entry.postings {
            let own = matches!(
                posting.book,
                Book::Available | Book::Reserved | Book::Shares | Book::SharesReserved
            );
            if own && posting.account_id == account_id(ACCOUNT) && posting.instrument_id == unit {
                sum += posting.amount;
            }
        }
    }
    sum
}

fn played(moves: &[Move]) -> History {
    let mut history = History::begin();
    for one in moves {
        assert!(history.try_move(one), "{one:?}");
    }
    history
}

#[test]
fn an_option_is_told_in_dollars_a_share_and_paid_by_the_hundred() {
    let buy = Move::PlaceOption { account: ACCOUNT, option: 1, buy: true, qty: 3, cents: 500 };
    let history = played(&[
        buy,
        Move::Fill { order: 0, qty: 1, cents: 401 },
        Move::Fill { order: 0, qty: 2, cents: 404 },
    ]);
    let rows = folded(&history);
    let order = last_order(&rows);
    // 1 at 4.01 and 2 at 4.04: 401.00 + 808.00 = 1,209.00, and 1,209 / 300 = 4.03 a share.
    assert_eq!(order.filled_amount, money("1209.00"));
    assert_eq!(order.filled_avg_price(), Some(price("4.03")));
    assert_eq!(
        (order.position_intent, &order.contract),
        (Some(BuyToOpen), &Some(terms(OPTIONS[1])))
    );
    let held_of = position(&rows, OPTIONS[1]);
    assert_eq!((held_of.qty, held_of.cost_basis), (quantity("3"), money("1209.00")));
    assert_eq!(held_of.avg_entry_price(), Some(price("4.03")));
    assert_eq!(held_of.shares(), Ok(quantity("300")));
    // Fees: 0.05 a fill and 0.65 a contract, twice: 0.70 + 1.35.
    assert_eq!(held(&history, None), "48788.95".parse().unwrap());
    assert_eq!(held(&history, Some(OPTIONS[1])), Decimal::from(3));
}

#[test]
fn a_spread_that_brings_money_has_a_price_below_zero_and_legs_with_their_own() {
    // Sold: the call at 95; bought: that at 100.
    let legs = vec![(0, false), (1, true)];
    let history = played(&[
        Move::PlaceLegs { account: ACCOUNT, legs, qty: 2, net_cents: 50 },
        // The first leg at 0.11, the second at 0.21.
        Move::Fill { order: 0, qty: 1, cents: 10 },
        // Both at 0.01.
        Move::Fill { order: 0, qty: 2, cents: 900 },
    ]);
    let rows = folded(&history);
    let order = last_order(&rows);
    // 1 at 0.21 - 0.11 = 0.10 and 1 at 0.00: 10.00 for 2, 0.05 a share.
    assert_eq!(order.filled_amount, money("10.00"));
    assert_eq!(order.filled_avg_price(), Some(price("0.05")));
    let legs = order.legs.as_deref().unwrap();
    let told: Vec<_> = legs
        .iter()
        .map(|leg| (leg.symbol.as_str(), leg.position_intent, leg.filled_qty, leg.filled_amount))
        .collect();
    assert_eq!(
        told,
        [
            (OPTIONS[0], Some(SellToOpen), quantity("2"), money("12.00")),
            (OPTIONS[1], Some(BuyToOpen), quantity("2"), money("22.00")),
        ]
    );
    let averages: Vec<_> = legs.iter().filter_map(|leg| leg.filled_avg_price()).collect();
    assert_eq!(averages, [price("0.06"), price("0.11")]);
    assert_eq!(position(&rows, OPTIONS[0]).avg_entry_price(), Some(price("0.06")));
    assert_eq!(held(&history, Some(OPTIONS[0])), Decimal::from(-2));
    assert_eq!(held(&history, Some(OPTIONS[1])), Decimal::from(2));
    // Two fills of two contracts each: 2 * (0.05 + 1.30).
    assert_eq!(held(&history, None), "49987.30".parse().unwrap());
    let mut activities = rows.activities.iter().filter(|row| {
        row.account_id == account_id(ACCOUNT) && row.activity_type == ActivityType::Fill
    });
    let told: Vec<_> = activities
        .by_ref()
        .take(2)
        .map(|row| {
            (row.leg, row.symbol.as_deref().unwrap(), row.side.unwrap(), row.price, row.net_amount)
        })
        .collect();
    // A leg each: 11.00 in and 21.00 out for one at 0.10 net.
    assert_eq!(
        told,
        [
            (1, OPTIONS[0], Side::Sell, Some(price("0.11")), money("11.00")),
            (2, OPTIONS[1], Side::Buy, Some(price("0.21")), money("-21.00")),
        ]
    );
    assert_eq!(activities.count(), 2, "the second fill has two as well");
}

#[test]
fn a_credit_is_an_amount_below_zero_that_comes_in() {
    // Bought: the call at 95, the first leg and so the cheaper one; sold: that at 100.
    let legs = vec![(0, true), (1, false)];
    let history = played(&[
        Move::PlaceLegs { account: ACCOUNT, legs, qty: 3, net_cents: 0 },
        Move::Fill { order: 0, qty: 2, cents: 37 },
    ]);
    let rows = folded(&history);
    let order = last_order(&rows);
    // 0.38 is paid and 0.75 received: -0.37 a share, 111.00 for three.
    assert_eq!(order.filled_avg_price(), Some(price("-0.37")));
    assert_eq!(order.filled_amount, money("-111.00"));
    let fill = rows.fills.iter().next().unwrap();
    assert_eq!((fill.amount, fill.legs.as_ref().unwrap().len()), (money("-111.00"), 2));
    // Fees: 0.05 + 6 * 0.65 = 3.95.
    assert_eq!(held(&history, None), "50107.05".parse().unwrap());
}

/// Activities of the account that ended options or delivered shares.
fn ends(rows: &Trading) -> Vec<(ActivityType, &str, Quantity, Money)> {
    let own = rows.activities.iter().filter(|row| row.account_id == account_id(ACCOUNT));
    let ends = own.filter(|row| row.activity_type.word().starts_with("OP"));
    ends.map(|row| {
        let symbol = row.symbol.as_deref().unwrap();
        (row.activity_type, symbol, row.qty.unwrap(), row.net_amount)
    })
    .collect()
}

#[test]
fn an_exercised_call_passes_its_cost_on_to_the_shares() {
    let history = played(&[
        Move::PlaceOption { account: ACCOUNT, option: 0, buy: true, qty: 1, cents: 400 },
        Move::Fill { order: 0, qty: 2, cents: 400 },
        Move::Exercise { account: ACCOUNT, option: 0, qty: 1 },
    ]);
    let rows = folded(&history);
    // 100 at 95.00 and the 400.00 that the call had cost: 9,900.00, 99.00 a share.
    let shares = position(&rows, "AAPL");
    assert_eq!((shares.qty, shares.cost_basis), (quantity("100"), money("9900.00")));
    assert_eq!((shares.avg_entry_price(), shares.realized_pl), (Some(price("99")), Money::ZERO));
    let option = position(&rows, OPTIONS[0]);
    assert_eq!((option.qty, option.realized_pl), (Quantity::ZERO, Money::ZERO));
    // 400.00 and 0.70 of fees for the call, 9,500.00 for the shares.
    assert_eq!(held(&history, None), "40099.30".parse().unwrap());
    assert_eq!(held(&history, Some("AAPL")), Decimal::from(100));
    assert_eq!(held(&history, Some(OPTIONS[0])), Decimal::ZERO);
    assert_eq!(
        ends(&rows),
        [
            (ActivityType::OptionExercised, OPTIONS[0], quantity("1"), Money::ZERO),
            (ActivityType::OptionTrade, "AAPL", quantity("100"), money("-9500.00")),
        ]
    );
}

#[test]
fn an_assigned_put_takes_what_it_brought_off_the_cost_of_the_shares() {
    let history = played(&[
        Move::PlaceOption { account: ACCOUNT, option: 3, buy: false, qty: 2, cents: 400 },
        Move::Fill { order: 0, qty: 2, cents: 400 },
        Move::ExpireContract { option: 3, cents: 9_500 },
    ]);
    let rows = folded(&history);
    // 200 at 100.00 less 800.00: 19,200.00, 96.00 a share.
    let shares = position(&rows, "AAPL");
    assert_eq!((shares.qty, shares.cost_basis), (quantity("200"), money("19200.00")));
    assert_eq!(shares.avg_entry_price(), Some(price("96")));
    let lot = rows.lots.iter().find(|lot| lot.account_id == account_id(ACCOUNT)).unwrap();
    assert_eq!((lot.qty, lot.cost), (quantity("200"), money("19200.00")));
    // 800.00 came in, less 1.35 of fees; 20,000.00 went out.
    assert_eq!(held(&history, None), "30798.65".parse().unwrap());
    assert_eq!(held(&history, Some(OPTIONS[3])), Decimal::ZERO);
    assert_eq!(
        ends(&rows),
        [
            (ActivityType::OptionAssigned, OPTIONS[3], quantity("2"), Money::ZERO),
            (ActivityType::OptionTrade, "AAPL", quantity("200"), money("-20000.00")),
        ]
    );
}

#[test]
fn what_expires_worthless_was_lost_or_won_and_moves_no_cash() {
    let history = played(&[
        Move::PlaceOption { account: ACCOUNT, option: 1, buy: true, qty: 1, cents: 400 },
        Move::Fill { order: 0, qty: 2, cents: 400 },
        Move::PlaceOption { account: ACCOUNT, option: 2, buy: false, qty: 3, cents: 150 },
        Move::Fill { order: 0, qty: 2, cents: 150 },
        Move::ExpireContract { option: 1, cents: 10_000 },
        Move::ExpireContract { option: 2, cents: 10_000 },
    ]);
    let rows = folded(&history);
    assert_eq!(position(&rows, OPTIONS[1]).realized_pl, money("-400.00"));
    assert_eq!(position(&rows, OPTIONS[2]).realized_pl, money("450.00"));
    // 400.00 and 0.70 out, 450.00 less 2.00 in.
    assert_eq!(held(&history, None), "50047.30".parse().unwrap());
    let expired = ActivityType::OptionExpired;
    assert_eq!(
        ends(&rows),
        [
            (expired, OPTIONS[1], quantity("1"), Money::ZERO),
            (expired, OPTIONS[2], quantity("3"), Money::ZERO),
        ]
    );
    assert!(rows.lots.iter().next().is_none());
}
