//! What is held is worth as much after a split as before, as long as no line comes; and splits in a row come to what one does
//! that is both of them.

use aggregates::account::AccountKind;
use aggregates::id::AccountId;
use aggregates::margin::Standing;
use aggregates::order::TimeInForce;
use aggregates::trading::standing;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::desk::{AAPL, Desk};

fn price(desk: &mut Desk, symbol: &str, bid: &str, ask: &str, at: &str) {
    let line = format!(
        r#"{{"t":"quote","symbol":"{symbol}","bid":"{bid}","bid_size":"5000","ask":"{ask}","ask_size":"5000","at":"2026-{at}Z"}}"#
    );
    assert_eq!(desk.line(&line).ignored, None);
}

fn split(desk: &mut Desk, id: &str, (numerator, denominator): (u32, u32), at: &str) {
    let line = format!(
        r#"{{"t":"split","symbol":"AAPL","numerator":"{numerator}","denominator":"{denominator}","id":"{id}","at":"2026-{at}Z"}}"#
    );
    assert_eq!(desk.line(&line).ignored, None);
}

fn stands(desk: &Desk, account: AccountId) -> Standing {
    standing(&desk.world, account, &desk.core.all_marks(account)).unwrap()
}

#[test]
fn equity_and_what_backs_it_are_the_same_after_a_split_until_a_line_comes() {
    for ratio in [(4, 1), (3, 2), (1, 10)] {
        let mut desk = Desk::nyse();
        // A trade of before the quotes, at another price.
        desk.line(
            r#"{"t":"trade","symbol":"AAPL","price":"300.00","size":"5","at":"2026-11-23T14:59:00Z"}"#,
        );
        price(&mut desk, AAPL, "199.99", "200.01", "11-23T15:00:00");
        let [long, short] = [(); 2].map(|()| desk.margin_account("100000"));
        desk.place(long, "buy 600");
        desk.place(short, "sell 600");
        let before = [long, short].map(|account| stands(&desk, account));
        split(&mut desk, "s1", ratio, "11-24T05:00:00");
        for restarted in [false, true] {
            for (account, before) in [long, short].into_iter().zip(&before) {
                let after = stands(&desk, account);
                assert_eq!(after.equity, before.equity, "{ratio:?}");
                assert_eq!(after.initial, before.initial, "{ratio:?}");
            }
            if !restarted {
                desk.rebuild();
            }
        }
        // It values, and fills nothing.
        let glance = desk.core.glance(AAPL).unwrap();
        assert!(glance.quote.is_some_and(|quote| !quote.eligible && !quote.extended));
        assert!(glance.print.is_none() && glance.awaits_price);
        desk.clock("2026-11-24T15:00:00Z");
        let order = desk.place(long, "sell 5");
        assert_eq!(desk.order(order).filled_qty().to_string(), "0", "{ratio:?}");
    }
}

#[test]
fn the_bands_of_before_a_split_do_not_hold_after_it() {
    let mut desk = Desk::nyse();
    price(&mut desk, AAPL, "199.99", "200.01", "11-23T15:00:00");
    desk.line(
        r#"{"t":"luld","symbol":"AAPL","down":"190.00","up":"210.00","at":"2026-11-23T15:00:00Z"}"#,
    );
    let account = desk.account("100000");
    split(&mut desk, "s1", (4, 1), "11-23T16:00:00");
    price(&mut desk, AAPL, "49.99", "50.01", "11-23T16:00:01");
    let order = desk.place(account, "buy 5");
    assert_eq!(desk.order(order).filled_qty().to_string(), "5");
}

#[test]
fn what_a_contract_was_quoted_at_is_known_of_what_it_becomes_and_pays_it_out_in_the_next_split() {
    let (c200, c50) = ("AAPL261218C00200000", "AAPL261218C00050000");
    let mut desk = Desk::nyse();
    price(&mut desk, AAPL, "199.99", "200.01", "11-23T15:00:00");
    price(&mut desk, c200, "5.00", "5.10", "11-23T15:00:00");
    let account = desk.options_account(AccountKind::Cash, "50000");
    desk.place_legs(account, 2, None, &[("buy", 1, c200)], TimeInForce::Day);
    split(&mut desk, "s1", (4, 1), "11-24T05:00:00");
    let quote = desk.core.glance(c50).unwrap().quote.unwrap();
    assert_eq!((quote.bid.to_string(), quote.ask.to_string()), ("1.25".into(), "1.275".into()));
    assert_eq!(quote.at.to_rfc3339(), "2026-11-23T15:00:00+00:00");
    assert!(!quote.eligible && !quote.extended);
    assert!(desk.core.glance(c200).unwrap().quote.is_none());
    desk.rebuild();
    split(&mut desk, "s2", (3, 2), "11-25T05:00:00");
    // 50,000 - 1,020 + 8 * 126.25
    assert_eq!(desk.cash(account), "49990.00");
}

/// Two ratios and the one that is both of them.
const RATIOS: [[(u32, u32); 3]; 8] = [
    [(2, 1), (2, 1), (4, 1)],
    [(2, 1), (3, 1), (6, 1)],
    [(4, 1), (3, 2), (6, 1)],
    [(3, 2), (2, 1), (3, 1)],
    [(3, 2), (4, 3), (2, 1)],
    [(2, 1), (1, 4), (1, 2)],
    [(1, 2), (4, 1), (2, 1)],
    [(2, 3), (3, 1), (2, 1)],
];

#[derive(Clone, Debug)]
struct Case {
    ratios: usize,
    /// Shares.
    shares: i64,
    /// The price of the stock, in cents.
    spot: u32,
    /// The contracts of each option and its price in cents.
    options: Vec<(i64, u32)>,
}

const STRIKES: [u32; 2] = [120, 144];

fn case() -> impl Strategy<Value = Case> {
    let option = (-5i64..6, 1u32..3_000);
    let options = prop::collection::vec(option, STRIKES.len() * 2);
    let shares = prop_oneof![(-6i64..7).prop_map(|hundreds| hundreds * 120), -50i64..500];
    (0..RATIOS.len(), shares, 5_000u32..20_000, options)
        .prop_map(|(ratios, shares, spot, options)| Case { ratios, shares, spot, options })
}

fn dollars(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// The account of a case, everything at a price that is both bid and ask.
fn holder(case: &Case) -> (Desk, AccountId) {
    let mut desk = Desk::nyse();
    let spot = dollars(case.spot);
    price(&mut desk, AAPL, &spot, &spot, "11-23T15:00:00");
    let account = desk.options_account(AccountKind::Margin, "5000000");
    if case.shares != 0 {
        let side = if case.shares > 0 { "buy" } else { "sell" };
        desk.place(account, &format!("{side} {}", case.shares.abs()));
        price(&mut desk, AAPL, &spot, &spot, "11-23T15:00:01");
        desk.clock("2026-11-23T15:00:02Z");
    }
    for (index, (qty, at)) in case.options.iter().enumerate() {
        let right = ["C", "P"][index % 2];
        let symbol = format!("AAPL261218{right}{:05}000", STRIKES[index / 2]);
        let at = dollars(*at);
        price(&mut desk, &symbol, &at, &at, "11-23T15:00:02");
        if *qty != 0 {
            let side = if *qty > 0 { "buy" } else { "sell" };
            let qty = u32::try_from(qty.abs()).unwrap();
            desk.place_legs(account, qty, None, &[(side, 1, &symbol)], TimeInForce::Day);
        }
    }
    (desk, account)
}

fn worth(desk: &Desk, account: AccountId) -> Decimal {
    stands(desk, account).worth().unwrap().decimal()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn two_splits_in_a_row_come_to_what_one_does_that_is_both(case in case()) {
        let [first, second, both] = RATIOS[case.ratios];
        let (mut twice, account) = holder(&case);
        let before = worth(&twice, account);
        let (mut once, _) = holder(&case);
        split(&mut once, "s", both, "11-24T05:00:00");
        split(&mut twice, "s1", first, "11-24T05:00:00");
        if case.shares % 2 == 0 {
            twice.rebuild();
        }
        split(&mut twice, "s2", second, "11-24T05:00:00");
        let [once, twice] = [&once, &twice].map(|desk| worth(desk, account));
        if case.shares % 120 == 0 {
            prop_assert_eq!(twice, before);
            prop_assert_eq!(once, before);
        } else {
            // A fraction of a share is paid to the cent, by each of them.
            let cents = Decimal::new(2, 2);
            prop_assert!((twice - before).abs() <= cents, "{} became {}", before, twice);
            prop_assert!((once - before).abs() <= cents, "{} became {}", before, once);
        }
    }
}
