//! Reads a JSON-RPC request before the library does, as strictly as REST reads a body.
//!
//! Guarantees: a request that is no JSON, nests deeper than 32, names a field twice, is no JSON-RPC or has arguments
//! of another shape is answered with its JSON-RPC error and reaches no tool; a number among the arguments that a
//! binary float would round is refused. Costs three passes over at most 256 KiB.

use std::collections::BTreeSet;
use std::fmt;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rmcp::model::ErrorCode;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::BODY_MAX;

/// The deepest nesting of a request.
const DEPTH: usize = 32;
/// The most significant digits of a number: what every JSON library keeps.
const DIGITS: usize = 15;

/// Middleware: answers what no tool has to see.
pub async fn strictly(request: Request, next: Next) -> Response {
    let typed = request.headers().get(header::CONTENT_TYPE).is_some_and(|given| {
        given.to_str().is_ok_and(|given| given.starts_with("application/json"))
    });
    if request.method() != Method::POST || !typed {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, BODY_MAX).await else {
        let fault = Fault::of(ErrorCode::INVALID_REQUEST, "the request is too large");
        return fault.answer(StatusCode::PAYLOAD_TOO_LARGE);
    };
    match read(&bytes) {
        Ok(()) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(fault) if fault.code == ErrorCode::INVALID_PARAMS => fault.answer(StatusCode::OK),
        Err(fault) => fault.answer(StatusCode::BAD_REQUEST),
    }
}

/// What is wrong with a request.
#[derive(Debug)]
struct Fault {
    code: ErrorCode,
    message: String,
    id: Value,
}

impl Fault {
    fn of(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), id: Value::Null }
    }

    fn answer(self, status: StatusCode) -> Response {
        let error = json!({ "code": self.code.0, "message": self.message });
        let body = json!({ "jsonrpc": "2.0", "id": self.id, "error": error });
        (status, axum::Json(body)).into_response()
    }
}

/// The fields of a request that matter here; the library reads the rest.
#[derive(Deserialize)]
struct Envelope<'a> {
    jsonrpc: Option<Value>,
    id: Option<Value>,
    method: Option<Value>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    result: Option<serde::de::IgnoredAny>,
    error: Option<serde::de::IgnoredAny>,
}

/// The parameters of a call of a tool.
#[derive(Deserialize)]
struct Call<'a> {
    name: Option<Value>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

fn read(body: &[u8]) -> Result<(), Fault> {
    let unreadable = |message: &str| Fault::of(ErrorCode::PARSE_ERROR, message);
    let text = std::str::from_utf8(body).map_err(|_| unreadable("the request is not UTF-8"))?;
    let tokens = Tokens::of(text);
    if tokens.depth > DEPTH {
        return Err(unreadable(&format!("the request is nested deeper than {DEPTH}")));
    }
    serde_json::from_str::<EachOnce>(text)
        .map_err(|error| unreadable(&format!("not JSON with each field once: {error}")))?;
    let no_request = || Fault::of(ErrorCode::INVALID_REQUEST, "not one JSON-RPC 2.0 request");
    if !text.trim_start().starts_with('{') {
        return Err(no_request());
    }
    let request: Envelope<'_> = serde_json::from_str(text).map_err(|_| no_request())?;
    let id = match request.id {
        None => Value::Null,
        Some(id) if id.is_string() || id.is_i64() || id.is_u64() => id,
        Some(_) => return Err(no_request()),
    };
    let answered = request.result.is_some() || request.error.is_some();
    let named = request.method.as_ref().and_then(Value::as_str);
    if request.jsonrpc != Some(Value::from("2.0")) || (named.is_none() && !answered) {
        return Err(Fault { id, ..no_request() });
    }
    let wrong = |message: String| Fault { id, ..Fault::of(ErrorCode::INVALID_PARAMS, message) };
    if request.params.is_some_and(|params| !params.get().starts_with('{')) {
        return Err(wrong("params has to be an object".to_owned()));
    }
    if named != Some("tools/call") {
        return Ok(());
    }
    let params = request.params.map_or("{}", RawValue::get);
    let call = serde_json::from_str::<Call<'_>>(params).ok();
    let call = call.filter(|call| call.name.as_ref().is_some_and(Value::is_string));
    let Some(call) = call else {
        return Err(wrong("name has to be the name of a tool: ask for tools/list".to_owned()));
    };
    let arguments = call.arguments.map_or("{}", RawValue::get);
    if !arguments.starts_with('{') {
        return Err(wrong("arguments has to be an object".to_owned()));
    }
    if Tokens::of(arguments).inexact {
        return Err(wrong(format!(
            "a number among the arguments has more than {DIGITS} significant digits or an exponent: send a string \
             such as \"187.25\""
        )));
    }
    Ok(())
}

/// What the tokens outside of strings say.
#[derive(Default)]
struct Tokens {
    depth: usize,
    inexact: bool,
}

impl Tokens {
    fn of(json: &str) -> Self {
        let mut tokens = Self::default();
        let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
        let (mut in_number, mut digits) = (false, 0usize);
        for byte in json.bytes() {
            let number = !quoted && matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+')
                || in_number && matches!(byte, b'e' | b'E');
            if !number {
                (in_number, digits) = (false, 0);
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'[' | b'{' => {
                    depth += 1;
                    tokens.depth = tokens.depth.max(depth);
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ if number => {
                    in_number = true;
                    digits += usize::from(byte.is_ascii_digit() && (byte != b'0' || digits > 0));
                    tokens.inexact |= digits > DIGITS || matches!(byte, b'e' | b'E');
                }
                _ => {}
            }
        }
        tokens
    }
}

/// JSON of any shape in which no object names a field twice.
struct EachOnce;

impl<'de> Deserialize<'de> for EachOnce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = EachOnce;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_bool<E>(self, _: bool) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_i64<E>(self, _: i64) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_u64<E>(self, _: u64) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_f64<E>(self, _: f64) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_str<E>(self, _: &str) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<EachOnce, A::Error> {
        while items.next_element::<EachOnce>()?.is_some() {}
        Ok(EachOnce)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<EachOnce, A::Error> {
        let mut known = BTreeSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            fields.next_value::<EachOnce>()?;
            if !known.insert(name) {
                return Err(A::Error::custom("a field is given twice"));
            }
        }
        Ok(EachOnce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(arguments: &str) -> Result<(), i32> {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#
        );
        read(body.as_bytes()).map_err(|fault| fault.code.0)
    }

    #[test]
    fn what_is_no_request_is_told_from_what_is_no_json() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(40), "]".repeat(40));
        for (body, code) in [
            ("", -32700),
            ("{", -32700),
            ("\u{feff}{}", -32700),
            (deep.as_str(), -32700),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}"#, -32700),
            ("null", -32600),
            ("[]", -32600),
            ("{}", -32600),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#, -32600),
            (r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":{},"method":"tools/list"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}"#, -32602),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, -32602),
        ] {
            assert_eq!(read(body.as_bytes()).map_err(|fault| fault.code.0), Err(code), "{body}");
        }
        assert!(read(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).is_ok());
        assert!(
            read(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#).is_ok(),
            "the library's to refuse"
        );
    }

    #[test]
    fn arguments_are_an_object_with_each_field_once_and_numbers_that_a_float_keeps() {
        for good in [
            "null",
            "{}",
            r#"{"q":1,"p":187.25,"n":-0.000000001,"s":"1e5 \" 12345678901234567890"}"#,
        ] {
            assert_eq!(call(good), Ok(()), "{good}");
        }
        for (arguments, code) in [
            ("[]", -32602),
            ("5", -32602),
            (r#"{"q":"1","q":"3"}"#, -32700),
            (r#"{"legs":[{"a":1,"a":2}]}"#, -32700),
            (r#"{"q":1e0}"#, -32602),
            (r#"{"q":1E5}"#, -32602),
            (r#"{"q":1.00000000000000000001}"#, -32602),
            (r#"{"q":1234567890123456}"#, -32602),
        ] {
            assert_eq!(call(arguments), Err(code), "{arguments}");
        }
    }
}
