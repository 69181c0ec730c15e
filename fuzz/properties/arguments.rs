//! Arguments of tools: one JSON value, sent as a field over REST and as an argument over MCP, is read as the same
//! amount, text and word, or refused by both with the same code.

use aggregates::money::{Price, Quantity};
use blotter::mcp::arguments::Arguments;
use blotter::mcp::reading::read;
use blotter::rest::input::Fields;
use serde_json::{Map, Value};

const WORDS: [(&str, u8); 2] = [("day", 1), ("gtc", 2)];
/// The longest text.
const TEXT: usize = 40;

/// What became of a value, read in each way.
#[derive(Debug, Default, PartialEq)]
struct Meant {
    qty: Option<Quantity>,
    price: Option<Price>,
    text: Option<String>,
    word: Option<u8>,
}

fn over_rest(object: &[u8]) -> Meant {
    let read = |field: fn(&mut Fields, &mut Meant)| {
        let mut meant = Meant::default();
        if let Ok(mut fields) = Fields::of_body(object) {
            field(&mut fields, &mut meant);
        }
        meant
    };
    Meant {
        qty: read(|fields, meant| meant.qty = fields.amount("f")).qty,
        price: read(|fields, meant| meant.price = fields.amount("f")).price,
        text: read(|fields, meant| meant.text = fields.text("f", TEXT)).text,
        word: read(|fields, meant| meant.word = fields.word("f", &WORDS)).word,
    }
}

fn over_mcp(object: &[u8]) -> Meant {
    let head =
        br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":"#;
    let request = [head.as_slice(), object, b"}}"].concat();
    let Ok(inexact) = read(&request) else { return Meant::default() };
    let request: Value = serde_json::from_slice(&request).expect("what is read is JSON");
    let sent: Map<String, Value> = match &request["params"]["arguments"] {
        Value::Object(sent) => sent.clone(),
        other => panic!("arguments are an object, not {other}"),
    };
    let arguments = || Arguments::new(sent.clone(), inexact.clone(), Vec::new());
    Meant {
        qty: arguments().amount("f"),
        price: arguments().amount("f"),
        text: arguments().text("f", TEXT),
        word: arguments().word("f", &WORDS),
    }
}

pub fn mean_the_same_on_both_faces(input: &[u8]) {
    // Whatever it is, it is read or refused.
    drop(read(input));
    // What closes the object, or goes on behind the value, is no value.
    if serde_json::from_slice::<&serde_json::value::RawValue>(input).is_err() {
        return;
    }
    let object = [br#"{"f":"#, input, b"}"].concat();
    assert_eq!(over_rest(&object), over_mcp(&object), "{}", String::from_utf8_lossy(input));
}
