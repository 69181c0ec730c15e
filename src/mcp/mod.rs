//! The MCP face: what agents do over streamable HTTP at `/mcp`, in every revision that rmcp speaks.
//!
//! [`tools`] is the table of tools, [`resources`], [`prompts`] and [`subscriptions`] are what else there is;
//! [`reading`] refuses what is no proper request, [`arguments`] reads what a model sent, [`results`] renders what it
//! gets. [`shelf`] says what is on offer. No rule of the business lives here. No sessions: each request brings its
//! own caller, put into it by the same middleware as on REST. Over standard input and output `blotter mcp` relays to
//! this face.

pub mod arguments;
mod completion;
mod face;
mod prompts;
pub mod reading;
mod resources;
pub mod results;
mod schema;
mod shelf;
mod subscriptions;
mod tools;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;

pub use shelf::{READ_ONLY_HEADER, Shelf, TOOLSETS_HEADER, Toolset, Toolsets, UnknownToolset};

use crate::identity::Act;
use crate::service::Service;
use face::Face;

/// Every tool with what its caller does by it.
pub fn acts() -> impl Iterator<Item = (&'static str, Act)> {
    tools::entries().map(|entry| (entry.name, entry.act))
}

/// The largest request.
pub const BODY_MAX: usize = 256 * 1024;

/// The route `/mcp` over `service`, offering what is on `shelf` until `stop`; who calls is found out before it.
pub fn router(
    service: Arc<Service>,
    shelf: Shelf,
    address: SocketAddr,
    stop: CancellationToken,
) -> Router {
    let face = Face::new(service, shelf, stop);
    mount(move || face.clone(), address)
}

/// The route `/mcp` to a handler made for each request: how the protocol is spoken here, whoever speaks.
///
/// The transport is not told of a stop, which it would answer on behalf of what is under way: with 500, though a write may
/// be committing. What can wait long ends by itself.
pub fn mount<H: ServerHandler>(
    make: impl Fn() -> H + Send + Sync + 'static,
    address: SocketAddr,
) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_allowed_hosts(hosts(address))
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"])
        .with_max_request_body_bytes(BODY_MAX);
    let mcp: StreamableHttpService<H, NeverSessionManager> =
        StreamableHttpService::new(move || Ok(make()), Arc::default(), config);
    Router::new().nest_service("/mcp", mcp).layer(from_fn(reading::strictly))
}

/// The names that a request may call this server by; none stands for any.
///
/// On the loopback interface a foreign name is a web page's that had it resolved to this machine. Elsewhere the
/// server cannot know the names that it is reached by, and the token alone decides.
fn hosts(address: SocketAddr) -> Vec<String> {
    if !address.ip().is_loopback() {
        return Vec::new();
    }
    let ip = address.ip().to_string();
    ["localhost", "127.0.0.1", "::1", &ip].map(ToOwned::to_owned).to_vec()
}
