//! What views say is what the aggregates say, on any history. No database; a few seconds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/history.rs"]
mod history;
#[path = "support/options.rs"]
mod options;

use std::collections::BTreeMap;

use aggregates::id::{AccountId, InstrumentId};
use aggregates::money::Money;
use aggregates::order::Side;
use history::{History, moves};
use projections::journal::{Book, PostingRow, ShareReservationRow, entry_of};
use projections::row::Rows;
use projections::trading::Trading;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use rust_decimal::Decimal;

fn folded(history: &History) -> Trading {
    let mut rows = Trading::default();
    for recorded in &history.log {
        rows.fold(recorded, recorded.event().unwrap()).unwrap();
    }
    rows
}

fn postings(history: &History) -> Vec<PostingRow> {
    let mut reserved: Rows<ShareReservationRow> = Rows::default();
    let mut postings = Vec::new();
    for recorded in &history.log {
        let event = recorded.event().unwrap();
        if let Some(entry) = entry_of(recorded, &event, &mut reserved).unwrap() {
            postings.extend(entry.postings);
        }
    }
    postings
}

type Balances = BTreeMap<(AccountId, Book, Option<InstrumentId>), Decimal>;

fn balances(postings: &[PostingRow]) -> Balances {
    let mut balances = Balances::new();
    for posting in postings {
        let key = (posting.account_id, posting.book, posting.instrument_id);
        *balances.entry(key).or_default() += posting.amount;
    }
    balances
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rows_of_accounts_and_orders_say_what_their_aggregates_say(moves in moves(0..150)) {
        let history = History::of(&moves);
        let rows = folded(&history);
        prop_assert_eq!(rows.accounts.iter().count(), history.accounts.len());
        for (id, account) in &history.accounts {
            let row = rows.accounts.get(&(*id,)).unwrap();
            prop_assert_eq!((row.cash, row.reserved), (account.cash(), account.reserved()));
            prop_assert_eq!(&row.policy, account.policy());
        }
        prop_assert_eq!(rows.orders.iter().count(), history.orders.len());
        for (id, order) in &history.orders {
            let row = rows.orders.get(&(*id,)).unwrap();
            let spec = order.spec().unwrap();
            prop_assert_eq!(row.order_id, *id);
            prop_assert_eq!(Some(row.status), order.status());
            prop_assert_eq!(row.open, order.is_open());
            prop_assert_eq!((row.qty, row.limit_price), (spec.qty, spec.limit_price));
            prop_assert_eq!((row.revision, row.fills), (order.revision(), order.fills()));
            prop_assert_eq!(row.filled_qty, order.filled_qty());
            prop_assert_eq!(row.expires_at, order.expires_at());
            prop_assert_eq!(Some(row.created_at), order.placed_at());
            let fills: Vec<_> = rows.fills.iter().filter(|fill| fill.order_id == *id).collect();
            prop_assert_eq!(fills.len(), usize::try_from(order.fills()).unwrap());
            let amount = fills.iter().try_fold(Money::ZERO, |sum, fill| sum.plus(fill.amount));
            prop_assert_eq!(Ok(row.filled_amount), amount);
            let value = fills.iter().fold(Decimal::ZERO, |sum, fill| {
                sum + spec.priced(fill.qty).unwrap().decimal() * fill.price.decimal()
            });
            let exact = row.filled_amount.decimal() + row.filled_residue.decimal();
            prop_assert_eq!(exact, value, "no part of a cent is lost");
            prop_assert_eq!(row.is_of_options(), spec.is_of_options());
            prop_assert_eq!(row.contract.as_ref(), spec.contract.as_deref());
            let legs = row.legs.as_deref().unwrap_or_default();
            prop_assert_eq!(legs.len(), spec.legs.as_ref().map_or(0, Vec::len));
            let mut net = Decimal::ZERO;
            for leg in legs {
                let ratio = Decimal::from(leg.ratio_qty);
                prop_assert_eq!(leg.filled_qty.decimal(), row.filled_qty.decimal() * ratio);
                let amount = leg.filled_amount.decimal();
                net += if leg.side == Side::Buy { amount } else { -amount };
            }
            prop_assert!(legs.is_empty() || net == row.filled_amount.decimal());
        }
    }

    #[test]
    fn rows_of_positions_and_lots_say_what_their_aggregates_say(moves in moves(0..150)) {
        let history = History::of(&moves);
        let rows = folded(&history);
        prop_assert_eq!(rows.positions.iter().count(), history.positions.len());
        for ((account, instrument), position) in &history.positions {
            let row = rows.positions.get(&(*account, *instrument)).unwrap();
            prop_assert_eq!((row.qty, row.reserved_qty), (position.qty(), position.reserved_qty()));
            prop_assert_eq!(Ok(row.cost_basis), position.cost());
            prop_assert_eq!(row.realized_pl, position.realized_pl());
            prop_assert_eq!(row.contract.as_ref(), position.contract());
            prop_assert_eq!(row.do_not_exercise, position.do_not_exercise());
            let mut lots: Vec<_> = rows
                .lots
                .iter()
                .filter(|lot| (lot.account_id, lot.instrument_id) == (*account, *instrument))
                .collect();
            lots.sort_by_key(|lot| lot.opened_position);
            let lots: Vec<_> = lots.iter().map(|lot| (lot.lot_id, lot.qty, lot.cost)).collect();
            let held: Vec<_> =
                position.lots().map(|lot| (lot.lot_id, lot.qty, lot.cost)).collect();
            prop_assert_eq!(lots, held);
        }
    }

    #[test]
    fn activities_sum_to_the_cash_of_their_account(moves in moves(0..150)) {
        let history = History::of(&moves);
        let rows = folded(&history);
        for (id, account) in &history.accounts {
            let sum = rows
                .activities
                .iter()
                .filter(|activity| activity.account_id == *id)
                .try_fold(Money::ZERO, |sum, activity| sum.plus(activity.net_amount));
            prop_assert_eq!(sum, Ok(account.cash()));
        }
    }

    #[test]
    fn every_journal_entry_sums_to_zero_in_each_unit(moves in moves(0..150)) {
        let mut sums: BTreeMap<(u64, Option<InstrumentId>), Decimal> = BTreeMap::new();
        for posting in postings(&History::of(&moves)) {
            prop_assert!(!posting.amount.is_zero());
            *sums.entry((posting.position, posting.instrument_id)).or_default() += posting.amount;
        }
        for (entry, sum) in sums {
            prop_assert!(sum.is_zero(), "{:?} sums to {}", entry, sum);
        }
    }

    #[test]
    fn the_books_of_an_account_are_its_cash_reservations_and_shares(moves in moves(0..150)) {
        let history = History::of(&moves);
        let balances = balances(&postings(&history));
        let of = |account, book, unit| {
            balances.get(&(account, book, unit)).copied().unwrap_or_default().normalize()
        };
        for (id, account) in &history.accounts {
            let available = account.available().unwrap().decimal();
            prop_assert_eq!(of(*id, Book::Available, None), available);
            prop_assert_eq!(of(*id, Book::Reserved, None), account.reserved().decimal());
            prop_assert!(of(*id, Book::DividendsDue, None).is_zero());
        }
        for ((account, instrument), position) in &history.positions {
            let free = of(*account, Book::Shares, Some(*instrument));
            let reserved = of(*account, Book::SharesReserved, Some(*instrument));
            // Of a short holding too, what is set aside is counted above zero.
            prop_assert_eq!(free + reserved, position.qty().decimal());
            prop_assert_eq!(reserved, position.reserved_qty().decimal());
        }
    }
}

#[test]
fn the_money_of_a_fill_that_no_order_has_cannot_be_folded() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let history = History::of(&moves(100).new_tree(&mut runner).unwrap().current());
    let mut rows = Trading::default();
    let lost = history.log.iter().position(|row| row.event_type == "OrderFilled").unwrap();
    let mut rest = history.log[..lost].iter().chain(&history.log[lost + 1..]);
    let failed = rest.find_map(|row| Some((row, rows.fold(row, row.event().unwrap()).err()?)));
    let (row, failure) = failed.unwrap();
    assert_eq!((row.event_type.as_str(), row.position), ("FillSettled", lost as u64 + 2));
    assert!(failure.to_string().contains("and no order has it"), "{failure}");
}

#[test]
fn a_history_holds_what_the_properties_are_about() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let moves = moves(2_000).new_tree(&mut runner).unwrap().current();
    let history = History::of(&moves);
    let seen = |word: &str| history.log.iter().filter(|row| row.event_type == word).count();
    for word in [
        "CashReserved",
        "SharesReserved",
        "OrderFilled",
        "OrderCanceled",
        "OrderExpired",
        "OrderRejected",
        "OrderAdjusted",
        "OrderActivated",
        "OrderResized",
        "PositionReduced",
        "PositionClosed",
        "PositionSplit",
        "SharesReleased",
        "ReservationsAdjusted",
        "DividendPaid",
        "CashPaidInLieu",
        "FeeCharged",
        "PolicyChanged",
        "AccountReset",
        "PositionReset",
        "TradingResumed",
        "OptionEnded",
        "ContractAdjusted",
        "AdjustedContractOpened",
        "SharesDelivered",
        "OptionSettled",
        "ExerciseInstructed",
        "ContractSettled",
    ] {
        assert!(seen(word) > 0, "no {word}");
    }
    let filled = |mleg: bool| {
        let orders = history.orders.values().filter(|order| order.fills() > 0);
        let specs = orders.filter_map(|order| order.spec()).filter(|spec| spec.is_of_options());
        specs.filter(|spec| spec.legs.is_some() == mleg).count()
    };
    assert!(filled(false) > 0 && filled(true) > 0, "{} and {}", filled(false), filled(true));
}
