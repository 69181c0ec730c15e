//! Previews beside random commands: what one tells of an order that nothing fills at once is what placing it does,
//! refusals included, whatever the account holds and whatever fees are.

use aggregates::order::{OrderSpec, OrderStatus};
use aggregates::refusal::Refusal;
use aggregates::stream::StreamId;
use aggregates::trading::{Decision, Impact, MarketView, Met, Trial, Undecided, preview};

use crate::book::*;

/// What a preview told, and what placing is decided to do.
pub type Foretold = (Result<Impact, Undecided>, Result<Decision, Refusal>);

/// Previews an order on the book as it is.
pub fn foretell(book: &mut Book, n: u128, order: &OrderSpec, market: &MarketView) -> Foretold {
    // Deciding loads what a decision needs.
    let placed = book.decide(&place(n, order, market));
    book.load(StreamId::Account(order.account_id));
    book.load(StreamId::Position(order.account_id, order.instrument_id));
    let (spec, market) = (order.clone(), market.clone());
    let trial = Trial {
        order_id: order_id(n),
        spec,
        market,
        trigger: None,
        offer: None,
        stop_loss: Met::default(),
    };
    (preview(book, &trial, &book.rules), placed)
}

/// Compares what was told with the book after placing.
pub fn check(book: &Book, n: u128, order: &OrderSpec, foretold: Foretold) {
    match foretold {
        (Ok(told), Ok(placed)) => {
            let account = &book.accounts[&order.account_id];
            let position = &book.positions[&(order.account_id, order.instrument_id)];
            assert_eq!(placed.rejected, None);
            assert_eq!(told.status, OrderStatus::Accepted);
            assert_eq!(told.after.cash, account.cash());
            assert_eq!(told.after.reserved, account.reserved());
            let available = account.available().unwrap();
            assert!(account.is_margin() || told.after.options_buying_power == Some(available));
            assert_eq!(told.after.qty_available, position.available().unwrap());
            assert_eq!(told.worst_cost, account.reservation(order_id(n)));
        }
        (Err(Undecided::Refused(told)), Ok(placed)) => assert_eq!(Some(told), placed.rejected),
        (told, placed) => assert_eq!(told.err(), placed.err().map(Undecided::Refused)),
    }
}
