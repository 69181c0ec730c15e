//! `/v1/tokens`: what users give their agents to call with.

use std::sync::Arc;

use aggregates::id::AccountId;
use aggregates::user::{Scope, TokenLimits};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::input::Fields;
use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, JsonBody, Path, Query, Visitor, id};
use super::routes::Routes;
use crate::identity::Act;
use crate::identity::tokens::NewToken;
use crate::service::{
    NAMED_MAX, NewTokenAnswer, Page, RATE_MAX, RevokedToken, SYMBOL_MAX, Service, ServiceError,
    TokenAnswer, text,
};

/// The longest scope and the longest id, in characters.
const WORD_MAX: usize = 36;

/// The routes.
pub fn routes() -> Routes {
    let scopes: Vec<_> = Scope::ALL.iter().map(|scope| (scope.word(), ())).collect();
    let limits = [
        Field::amount("max_order_notional", "What one order may come to at the most, in dollars."),
        Field::amount(
            "max_daily_notional",
            "What all orders of one day may come to at the most, in dollars: from midnight to midnight in New York by the wall clock.",
        ),
        Field::whole("max_orders_per_minute", 1, RATE_MAX.into(), "Orders in any minute."),
        Field::list(
            "symbols",
            NAMED_MAX,
            &Field::text("symbol", SYMBOL_MAX, ""),
            "The only symbols that it may trade.",
        )
        .example(json!(["AAPL"])),
    ];
    let made = [
        Field::text("name", text::NAME_MAX, "What you call it.").required(),
        Field::list(
            "scopes",
            Scope::ALL.len(),
            &Field::word("scope", &scopes, ""),
            "What it may be used for.",
        )
        .required()
        .example(json!(["ledger:read", "market:read"])),
        Field::list(
            "accounts",
            NAMED_MAX,
            &Field::id("account", ""),
            "The only accounts that it may be used on; all that you reach if absent.",
        ),
        Field::object("limits", &limits, "What it may do at the most."),
        Field::time("expires_at", "When it stops; never if absent."),
    ];
    let halted = [Field::flag("halted", "Whether it is halted.").required()];
    Routes::new("tokens")
        .post(
            "/tokens",
            make,
            Operation::write(Act::ManageTokens, "make_token", "Make a token for an agent")
                .about("The secret is in this answer and never shown again.")
                .body(&made, json!({"name": "Reader", "scopes": ["ledger:read", "market:read"]}))
                .answers::<NewTokenAnswer>(201, "The token, with its secret."),
        )
        .get(
            "/tokens",
            list,
            Operation::read(
                Act::ManageTokens,
                "list_tokens",
                "List your live tokens, oldest first",
            )
            .answers::<Page<TokenAnswer>>(200, "All of them, on one page."),
        )
        .get(
            "/tokens/{token_id}",
            get,
            Operation::read(Act::ManageTokens, "get_token", "Read a token")
                .answers::<TokenAnswer>(200, "The token, without its secret."),
        )
        .on(
            axum::http::Method::PATCH,
            "/tokens/{token_id}",
            halt,
            Operation::write(Act::StopToken, "halt_token", "Halt a token, or let it go on")
                .about(
                    "A halted token may read, and change nothing. It acts with the next request. The operator halts anybody's.",
                )
                .body(&halted, json!({"halted": true}))
                .stops()
                .answers::<TokenAnswer>(200, "The token after it."),
        )
        .delete(
            "/tokens/{token_id}",
            revoke,
            Operation::write(Act::StopToken, "revoke_token", "Revoke a token, for good")
                .about("The operator revokes anybody's.")
                .stops()
                .answers::<RevokedToken>(200, "It is revoked."),
        )
}

fn read(mut body: Fields) -> Result<NewToken, Problem> {
    let name = body.text("name", text::NAME_MAX);
    let known: Vec<_> = Scope::ALL.iter().map(|scope| scope.word()).collect();
    let what = format!("one of {}", known.join(", "));
    let scopes = body.parsed("scopes", Scope::ALL.len(), WORD_MAX, &what);
    let accounts: Option<Vec<AccountId>> =
        body.parsed("accounts", NAMED_MAX, WORD_MAX, "an id as the server gives it");
    let limits = body.object("limits", |limits| TokenLimits {
        max_order_notional: limits.amount("max_order_notional"),
        max_daily_notional: limits.amount("max_daily_notional"),
        max_orders_per_minute: limits
            .whole("max_orders_per_minute", 1, RATE_MAX.into())
            .and_then(|orders| u32::try_from(orders).ok()),
        symbols: limits
            .texts("symbols", NAMED_MAX, SYMBOL_MAX)
            .map(|symbols| symbols.into_iter().collect()),
    });
    let new = NewToken {
        name: body.need("name", name).unwrap_or_default(),
        scopes: body.need("scopes", scopes).unwrap_or_default().into_iter().collect(),
        accounts: accounts.map(|accounts| accounts.into_iter().collect()),
        limits: limits.unwrap_or_default(),
        expires_at: body.time("expires_at"),
    };
    body.end([])?;
    Ok(new)
}

fn no_token() -> ServiceError {
    ServiceError::NotFound("token")
}

/// `POST /v1/tokens`
async fn make(
    State(service): State<Arc<Service>>,
    Visitor(visitor): Visitor,
    Caller(caller): Caller,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<NewTokenAnswer>), Problem> {
    let new = read(body)?;
    Ok((StatusCode::CREATED, Json(service.make_token(&visitor, &caller, new).await?)))
}

/// `GET /v1/tokens`
async fn list(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<Json<Page<TokenAnswer>>, Problem> {
    query.0.end([])?;
    Ok(Json(service.list_tokens(&caller).await?))
}

/// `GET /v1/tokens/{token_id}`
async fn get(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(token): Path<String>,
    query: Query,
) -> Result<Json<TokenAnswer>, Problem> {
    query.0.end([])?;
    Ok(Json(service.token(&caller, id(&token, no_token)?).await?))
}

/// `PATCH /v1/tokens/{token_id}`
async fn halt(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(token): Path<String>,
    JsonBody(mut body): JsonBody,
) -> Result<Json<TokenAnswer>, Problem> {
    let halted = body.flag("halted");
    let halted = body.need("halted", halted).unwrap_or_default();
    body.end([])?;
    Ok(Json(service.halt_token(&caller, id(&token, no_token)?, halted).await?))
}

/// `DELETE /v1/tokens/{token_id}`
async fn revoke(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(token): Path<String>,
    query: Query,
) -> Result<Json<RevokedToken>, Problem> {
    query.0.end([])?;
    Ok(Json(service.revoke_token(&caller, id(&token, no_token)?).await?))
}
