//! A server with the fixtures that the protocol's conformance suite asks for, behind the router and the middleware of
//! the product: what passes here is how the product speaks.
//!
//! The suite can send no token, so this listener takes everyone for one caller; it has no ledger and no data. It
//! listens on the address in its first argument (a port of its own choice by default) and prints where.
//! `scripts/outside/conformance` runs the suite against it.

mod contents;
mod rounds;

use std::sync::Arc;

use aggregates::id::RequestId;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use blotter::identity::Principal;
use blotter::mcp;
use blotter::service::{CursorKey, Interface, Visitor};
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, ClientCapabilities, CompleteRequestParams,
    CompleteResult, CompletionInfo, GetPromptRequestParams, GetPromptResponse, Implementation,
    JsonObject, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, ReadResourceRequestParams,
    ReadResourceResponse, ServerCapabilities, ServerConfig, SubscriptionFilter, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let fixtures = Fixtures { states: Arc::new(CursorKey::of(&Uuid::now_v7().to_string())) };
    let router = mcp::mount(move || fixtures.clone(), address);
    println!("http://{address}/mcp");
    axum::serve(listener, router.layer(from_fn(admit))).await?;
    Ok(())
}

/// Puts the visitor into the request, as the product does for whoever shows a token.
async fn admit(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Visitor {
        principal: Principal::Operator,
        interface: Interface::Mcp,
        request: RequestId::new(Uuid::now_v7()),
    });
    next.run(request).await
}

/// The handler of one request.
#[derive(Clone)]
struct Fixtures {
    /// Seals the state of a dialogue, so that a client cannot change it.
    states: Arc<CursorKey>,
}

/// A fixture, written down as JSON, as the library's type of it.
fn read<T: serde::de::DeserializeOwned>(fixture: Value) -> T {
    serde_json::from_value(fixture).expect("a fixture is of its type")
}

fn unknown(what: &str) -> ErrorData {
    ErrorData::invalid_params(format!("there is no {what}"), None)
}

impl Fixtures {
    async fn progress(context: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
        let Some(token) = context.meta.get_progress_token() else { return Ok(()) };
        for done in [0.0, 50.0, 100.0] {
            let progress = ProgressNotificationParam::new(token.clone(), done).with_total(100.0);
            let told = context.peer.notify_progress(progress).await;
            told.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        }
        Ok(())
    }
}

impl ServerHandler for Fixtures {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_completions()
            .enable_prompts()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tools()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("fixtures", "1"))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let list = ListToolsResult::with_all_items(contents::tools());
        Ok(list.with_ttl_ms(1_000).with_cache_scope(CacheScope::Private))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        contents::tools().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parts = context.extensions.get::<Parts>();
        if parts.and_then(|parts| parts.extensions.get::<Visitor>()).is_none() {
            return Err(ErrorData::internal_error("the request came without a caller", None));
        }
        let name = request.name.as_ref();
        if name.starts_with("test_input_required_result_") {
            let turn = rounds::Turn {
                responses: request.input_responses.unwrap_or_default(),
                state: request.request_state,
                client: context.client_capabilities().unwrap_or_default(),
                states: &self.states,
            };
            return turn.tool(name);
        }
        match name {
            "test_missing_capability" => {
                let client = context.client_capabilities().unwrap_or_default();
                let sampling: ClientCapabilities = read(json!({ "sampling": {} }));
                if serde_json::to_value(client).is_ok_and(|client| client["sampling"].is_null()) {
                    return Err(ErrorData::missing_required_client_capability(sampling));
                }
            }
            "test_tool_with_progress" => Self::progress(&context).await?,
            _ => {}
        }
        let answer = contents::answer(name).ok_or_else(|| unknown("such tool"))?;
        Ok(CallToolResponse::Complete(read(answer)))
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let list = ListResourcesResult::with_all_items(read(contents::resources()));
        Ok(list.with_ttl_ms(0).with_cache_scope(CacheScope::Private))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let list = ListResourceTemplatesResult::with_all_items(read(contents::templates()));
        Ok(list.with_ttl_ms(1_000).with_cache_scope(CacheScope::Private))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let Some(contents) = contents::resource(&request.uri) else {
            let data = json!({ "uri": request.uri });
            return Err(ErrorData::resource_not_found("there is no such resource", Some(data)));
        };
        let result = json!({
            "contents": [contents],
            "ttlMs": 0,
            "cacheScope": "private",
            "resultType": "complete",
        });
        Ok(ReadResourceResponse::Complete(read(result)))
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let list = ListPromptsResult::with_all_items(read(contents::prompts()));
        Ok(list.with_ttl_ms(1_000).with_cache_scope(CacheScope::Private))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name == "test_input_required_result_prompt" {
            let turn = rounds::Turn {
                responses: request.input_responses.unwrap_or_default(),
                state: request.request_state,
                client: context.client_capabilities().unwrap_or_default(),
                states: &self.states,
            };
            return Ok(turn.prompt());
        }
        let given: JsonObject = request.arguments.unwrap_or_default();
        let prompt =
            contents::prompt(&request.name, &given).ok_or_else(|| unknown("such prompt"))?;
        Ok(GetPromptResponse::Complete(read(prompt)))
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let info = CompletionInfo::with_all_values(vec!["test".to_owned()]);
        let info = info.map_err(|error| ErrorData::internal_error(error, None))?;
        Ok(CompleteResult::new(info))
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        let uris = requested.resource_subscriptions.clone().unwrap_or_default();
        Some(SubscriptionFilter::builder().resource_subscriptions(uris).build())
    }
}
