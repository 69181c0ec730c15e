//! The first account of a server that nobody else can open one on.

use aggregates::account::AccountKind;
use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::remote::{Http, RemoteError, http};

/// What it is called, and what it begins with.
const NAME: &str = "Paper";
const BALANCE: &str = "100000.00";
/// All of options that a cash account may have: buying them, and selling what shares cover or cash secures.
const OPTION_LEVEL: u8 = AccountKind::Cash.most_option_level();

/// Opens a cash account that may trade options if the caller has none: tools trade, and open none. Gives what it begins with.
///
/// # Errors
/// The server does not answer so.
pub async fn first_account(
    address: &str,
    token: &str,
) -> Result<Option<&'static str>, RemoteError> {
    let wrong = |_| RemoteError::Address(address.to_owned());
    let accounts: Uri = format!("{address}/v1/accounts").parse().map_err(wrong)?;
    let http = http(&accounts)?;
    let known = ask(&http, &accounts, token, None).await?;
    if known["items"].as_array().is_none_or(|items| !items.is_empty()) {
        return Ok(None);
    }
    let account = json!({
        "name": NAME, "kind": "cash", "starting_balance": BALANCE, "option_level": OPTION_LEVEL,
    });
    ask(&http, &accounts, token, Some(account)).await?;
    Ok(Some(BALANCE))
}

async fn ask(
    http: &Http,
    uri: &Uri,
    token: &str,
    body: Option<Value>,
) -> Result<Value, RemoteError> {
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder().method(method).uri(uri.clone());
    request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let text = body.map(|body| body.to_string()).unwrap_or_default();
    let request = request.body(Full::from(Bytes::from(text))).map_err(|_| RemoteError::Token)?;
    let answer = http.request(request).await.map_err(|error| RemoteError::Unreachable {
        address: uri.to_string(),
        why: error.to_string(),
    })?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|_| RemoteError::Silent)?.to_bytes();
    match serde_json::from_slice(&body) {
        Ok(body) if status.is_success() => Ok(body),
        _ => {
            let detail = String::from_utf8_lossy(&body).chars().take(200).collect();
            Err(RemoteError::Refused { status, detail })
        }
    }
}
