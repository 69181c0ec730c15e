//! The market as clients see it: simulated, recorded and fed, through the real server.

mod options;
mod reads;
mod recorded;
mod recording;
mod simulated;
mod terms;

use reqwest::Method;
use serde_json::Value;

use crate::support::Server;
use crate::support::rest::{Answer, send};

/// Asks a server under the operator's token.
async fn get(server: &Server, path: &str) -> Answer {
    ask(server, Method::GET, path, None).await
}

async fn post(server: &Server, path: &str, body: Value) -> Answer {
    ask(server, Method::POST, path, Some(body)).await
}

async fn ask(server: &Server, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = reqwest::Client::new()
        .request(method, format!("{}{path}", server.base()))
        .bearer_auth(server.token());
    send(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}
