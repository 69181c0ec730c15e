//! The MCP face: the tools of agents over streamable HTTP at `/mcp`, for every revision that rmcp speaks.
//!
//! [`tools`] is the table of what there is, [`reading`] refuses what is no proper request, [`arguments`] reads what a
//! model sent, [`calls`] runs a use case and
//! renders its answer. No rule of the business lives here. No sessions: each request brings its own caller, put into
//! it by the same middleware as on REST.
//!
//! A fault of the business is a result with `isError` and text alone: a sentence with the numbers and the next step,
//! then a JSON block with the code. Structured errors beside an output schema make the official TypeScript client
//! throw.

mod arguments;
mod calls;
mod reading;
mod tools;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use axum::middleware::from_fn;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio_util::sync::CancellationToken;

use crate::service::{Caller, Service};

/// How long a client may keep the list of tools: it changes only with the program.
const TOOLS_TTL_MS: u64 = 300_000;
/// The largest request.
const BODY_MAX: usize = 256 * 1024;

/// What a model is told before it begins.
const INSTRUCTIONS: &str = "Blotter is a paper-trading ledger: no order reaches a real market. \
    Amounts are decimal strings in US dollars, quantities are shares, times are RFC 3339 by the market's clock. \
    Begin with account_info. Every tool that places an order takes a client_order_id: sent again with the same \
    arguments it returns the same order, so repeat a call whose answer was lost. An order that is accepted may rest: \
    look at its status. Errors say what was wrong, with the numbers, and what to do next.";

/// The route `/mcp`; who calls is found out before it.
pub fn router(service: Arc<Service>, address: SocketAddr, stop: CancellationToken) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_allowed_hosts(hosts(address))
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"])
        .with_max_request_body_bytes(BODY_MAX)
        .with_cancellation_token(stop);
    let make = move || Ok(Tools { service: Arc::clone(&service) });
    let mcp: StreamableHttpService<Tools, NeverSessionManager> =
        StreamableHttpService::new(make, Arc::default(), config);
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

/// The handler of one request.
#[derive(Clone)]
struct Tools {
    service: Arc<Service>,
}

/// The caller that the middleware put into the HTTP request.
fn caller(context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
    let parts = context.extensions.get::<Parts>();
    let caller = parts.and_then(|parts| parts.extensions.get::<Caller>()).cloned();
    caller.ok_or_else(|| ErrorData::internal_error("the request came without a caller", None))
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("blotter", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let list = ListToolsResult::with_all_items(tools::all());
        Ok(list.with_ttl_ms(TOOLS_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::all().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caller = caller(&context)?;
        let Some(name) = tools::NAMES.iter().find(|name| **name == request.name) else {
            let message = format!("there is no tool {}: ask for tools/list", request.name);
            return Err(ErrorData::invalid_params(message, None));
        };
        let arguments = request.arguments.unwrap_or_default();
        Ok(calls::call(&self.service, &caller, name, arguments).await.into())
    }
}
