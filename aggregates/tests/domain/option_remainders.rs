//! What is left of an order of options that has filled in part.

use aggregates::account::AccountKind;
use aggregates::order::{OrderStatus, Side};
use aggregates::trading::Command;

use crate::book::*;
use crate::examples::me;
use crate::option_orders::{CALL_110, desk, fill, one, shown, trade};

/// Three calls on shares that are held need nothing, and reserve a cent. A third of it is less than one.
#[test]
fn what_is_left_of_an_order_that_needs_nothing_reserves_a_cent_and_is_canceled_with_the_others() {
    for kind in [AccountKind::Cash, AccountKind::Margin] {
        let mut book = desk(kind, 2, "50000");
        trade(&mut book, 1, &one("AAPL", Side::Buy, "300", Some("100")), &[]);
        let prices = [(CALL_110, "1")];
        let calls = one(CALL_110, Side::Sell, "3", Some("1"));
        assert_eq!(book.place(2, &calls, &shown(&prices)).rejected, None);
        let reserved = |book: &Book| book.accounts[&me()].reserved().to_string();
        assert_eq!(reserved(&book), "0.01", "{kind:?}");
        fill(&mut book, 2, "2", &prices);
        assert_eq!(reserved(&book), "0.01", "{kind:?}");
        let all = Command::CancelAll { account_id: me(), kind: None, at: Some(at(1)) };
        book.submit(&all).unwrap();
        assert_eq!(book.orders[&order_id(2)].status(), Some(OrderStatus::Canceled), "{kind:?}");
        assert_eq!(reserved(&book), "0.00", "{kind:?}");
    }
}
