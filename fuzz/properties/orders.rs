//! Bodies of orders: read whole, with the very values that were sent, or refused with the fields that are wrong.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use aggregates::money::Quantity;
use axum::response::IntoResponse;
use blotter::rest::input::Fields;
use blotter::rest::{Problem, read_order};
use blotter::service::text::is_hidden;
use serde_json::{Map, Value};

/// The longest answer to a bad body, in bytes: 64 fields, each with a sentence.
const ANSWER: usize = 64 * 1024;

pub fn are_read_whole_or_refused_by_name(input: &[u8]) {
    let fields = match Fields::of_body(input) {
        Ok(fields) => fields,
        Err(problem) => return is_fit_to_be_sent(problem, 400),
    };
    let sent: Map<String, Value> = serde_json::from_slice(input).expect("what is read is JSON");
    assert_eq!(fields.names_beside(&[]).len(), sent.len(), "each field is there once");
    let order = match read_order(fields) {
        Ok(order) => order,
        Err(problem) => return is_fit_to_be_sent(problem, 422),
    };
    assert_eq!(sent["symbol"], order.symbol.as_str());
    assert_eq!(sent["side"], serde_json::to_value(order.side).expect("a word"));
    assert!(order.qty > Quantity::ZERO, "{order:?}");
    if let Value::String(qty) = &sent["qty"] {
        assert_eq!(qty.parse(), Ok(order.qty));
    }
    let note = sent.get("note").filter(|note| !note.is_null());
    assert_eq!(note.and_then(Value::as_str), order.note.as_deref());
    for text in [Some(&order.symbol), order.note.as_ref(), order.client_order_id.as_ref()] {
        assert!(text.is_none_or(|text| !text.contains(is_hidden)), "{order:?}");
    }
}

/// A problem document of this status, with nothing in it that hides or reorders text.
fn is_fit_to_be_sent(problem: Problem, status: u16) {
    let answer = problem.into_response();
    assert_eq!(answer.status().as_u16(), status);
    let body = pin!(axum::body::to_bytes(answer.into_body(), ANSWER));
    let Poll::Ready(body) = body.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a problem is in memory");
    };
    let document: Value = serde_json::from_slice(&body.expect("it is short")).expect("JSON");
    let text = document.to_string();
    assert!(!text.contains(is_hidden), "{text:?}");
    assert_eq!(status == 422, document["errors"].is_array(), "{text}");
}
