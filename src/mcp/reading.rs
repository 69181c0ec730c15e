//! Reads a JSON-RPC request before the library does, as strictly as REST reads a body.
//!
//! Guarantees: a request that is no JSON, nests too deep, names a field twice, is no JSON-RPC or has arguments
//! of another shape is answered with its JSON-RPC error and reaches no tool; an argument that holds a number which a
//! binary float would round is named to the tool as [`Inexact`]. Costs three passes over at most 256 KiB.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rmcp::model::ErrorCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::BODY_MAX;
use crate::body::{PATIENCE, Untaken, is_exact, is_plain, strict, take};

/// The longest text by which the library says what is wrong with a request, in bytes.
const PLAIN_MAX: usize = 1_024;

/// Middleware: answers what no tool has to see.
pub async fn strictly(request: Request, next: Next) -> Response {
    in_protocol(strictly_within(PATIENCE, request, next).await).await
}

/// The library says in plain text what is wrong with the headers of a request: clients of the protocol read JSON-RPC. What
/// is wrong with the method is said for all faces alike.
async fn in_protocol(response: Response) -> Response {
    let status = response.status();
    let plain = status.is_client_error() && !response.headers().contains_key(header::CONTENT_TYPE);
    if !plain || status == StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let (head, body) = response.into_parts();
    let text = to_bytes(body, PLAIN_MAX).await.unwrap_or_default();
    let message = match text.is_empty() {
        true => head.status.to_string(),
        false => String::from_utf8_lossy(&text).into_owned(),
    };
    let mut answer = Fault::of(ErrorCode::INVALID_REQUEST, message).answer(head.status);
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        answer.headers_mut().append(name, value.clone());
    }
    answer
}

async fn strictly_within(patience: Duration, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    if !is_plain(request.headers(), "application/json") {
        let message = "the request has to be application/json in UTF-8, and not compressed";
        let fault = Fault::of(ErrorCode::INVALID_REQUEST, message);
        return fault.answer(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let (parts, body) = request.into_parts();
    let bytes = match take(body, BODY_MAX, patience).await {
        Ok(bytes) => bytes,
        Err(untaken) => {
            let (status, message) = match untaken {
                Untaken::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the request is too large"),
                Untaken::Late => (
                    StatusCode::REQUEST_TIMEOUT,
                    "the request took too long to arrive: send it again",
                ),
            };
            return Fault::of(ErrorCode::INVALID_REQUEST, message).answer(status);
        }
    };
    match read(&bytes) {
        Ok(inexact) => {
            let mut request = Request::from_parts(parts, Body::from(bytes));
            request.extensions_mut().insert(inexact);
            next.run(request).await
        }
        Err(fault) if fault.code == ErrorCode::INVALID_PARAMS => fault.answer(StatusCode::OK),
        Err(fault) => fault.answer(StatusCode::BAD_REQUEST),
    }
}

/// The arguments of a call that hold a number with more digits than a binary float keeps, or with an exponent: what
/// the library makes of them is not what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inexact(pub BTreeSet<String>);

/// What is wrong with a request.
#[derive(Debug)]
pub struct Fault {
    /// The code of JSON-RPC.
    pub code: ErrorCode,
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

/// Reads one request.
///
/// # Errors
/// What keeps it from being one that a tool may see.
pub fn read(body: &[u8]) -> Result<Inexact, Fault> {
    if body.trim_ascii().is_empty() {
        let message = "the request is empty: send one JSON-RPC 2.0 request";
        return Err(Fault::of(ErrorCode::PARSE_ERROR, message));
    }
    let text = strict(body).map_err(|error| {
        Fault::of(ErrorCode::PARSE_ERROR, format!("the request cannot be read: {error}"))
    })?;
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
        return Ok(Inexact::default());
    }
    let params = request.params.map_or("{}", RawValue::get);
    let call = serde_json::from_str::<Call<'_>>(params).ok();
    let call = call.filter(|call| call.name.as_ref().is_some_and(Value::is_string));
    let Some(call) = call else {
        return Err(wrong("name has to be the name of a tool: ask for tools/list".to_owned()));
    };
    let arguments = call.arguments.map_or("{}", RawValue::get);
    let arguments: BTreeMap<String, &RawValue> = serde_json::from_str(arguments)
        .map_err(|_| wrong("arguments has to be an object".to_owned()))?;
    let inexact = arguments.into_iter().filter(|(_, value)| !is_exact(value.get()));
    Ok(Inexact(inexact.map(|(name, _)| name).collect()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::Router;
    use axum::body::Bytes;
    use axum::middleware::from_fn;
    use futures::stream::pending;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    fn call(arguments: &str) -> Result<Vec<String>, i32> {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#
        );
        let read = read(body.as_bytes()).map_err(|fault| fault.code.0);
        read.map(|Inexact(names)| names.into_iter().collect())
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let route = Router::new().fallback(async || "reached").layer(from_fn(|request, next| {
            strictly_within(Duration::from_millis(50), request, next)
        }));
        let never = Body::from_stream(pending::<Result<Bytes, Infallible>>());
        let request = Request::post("/").header("content-type", "application/json");
        let route = TowerToHyperService::new(route);
        let answer = route.call(request.body(never).unwrap());
        let answer = tokio::time::timeout(PATIENCE, answer).await.expect("it is answered").unwrap();
        assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
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
            assert_eq!(read(body.as_bytes()).unwrap_err().code.0, code, "{body}");
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
            assert_eq!(call(good), Ok(vec![]), "{good}");
        }
        for (arguments, code) in [
            ("[]", -32602),
            ("5", -32602),
            (r#"{"q":"1","q":"3"}"#, -32700),
            (r#"{"legs":[{"a":1,"a":2}]}"#, -32700),
        ] {
            assert_eq!(call(arguments), Err(code), "{arguments}");
        }
    }

    #[test]
    fn arguments_with_a_number_that_a_float_rounds_are_named() {
        for number in ["1e0", "1E5", "-1e-400", "1.00000000000000000001", "1234567890123456"] {
            let arguments = format!(r#"{{"q":{number},"p":1,"\u006c":[{{"r":{number}}}]}}"#);
            assert_eq!(call(&arguments), Ok(vec!["l".to_owned(), "q".to_owned()]), "{number}");
        }
    }
}
