//! `/v1/accounts/{account_id}/policy` and `…/reset`.

use std::sync::Arc;

use aggregates::account::{PolicyChange, TradingState};
use aggregates::money::Money;
use axum::Json;
use axum::extract::State;
use axum::http::Method;
use serde_json::json;

use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, IdempotencyKey, JsonBody, Path, id};
use super::routes::Routes;
use crate::identity::Act;
use crate::service::{AccountAnswer, Service, ServiceError, Written};

const STATES: [(&str, TradingState); 3] = [
    ("active", TradingState::Active),
    ("reducing", TradingState::Reducing),
    ("halted", TradingState::Halted),
];

/// The routes.
pub fn routes() -> Routes {
    let limits = [
        Field::word(
            "trading_state",
            &STATES,
            "What it may trade: `reducing` takes no buys, `halted` no orders.",
        ),
        Field::amount(
            "max_order_qty",
            "The most shares of one order, above 0; `null` lifts the limit.",
        )
        .example("100"),
        Field::amount(
            "max_order_notional",
            "The highest worst cost of one buy, above 0; `null` lifts the limit.",
        )
        .example("5000.00"),
    ];
    let begun = [Field::amount(
        "starting_balance",
        "The new balance, 0 or more; that which it was opened with if absent.",
    )
    .example("10000")];
    Routes::new("accounts")
        .on(
            Method::PATCH,
            "/accounts/{account_id}/policy",
            change,
            Operation::write(Act::ChangePolicy, "change_policy", "Change the limits that an account trades under")
                .about("What is not named stays as it is. Cancels pass in every state.")
                .once()
                .body(&limits, json!({"trading_state": "reducing", "max_order_qty": "100"}))
                .answers::<Written<AccountAnswer>>(200, "The account after it."),
        )
        .post(
            "/accounts/{account_id}/reset",
            reset,
            Operation::write(Act::ResetAccount, "reset_account", "Let an account begin again")
                .about(
                    "Open orders are canceled, positions given up, and the cash becomes the new balance, in one step. \
                     What has happened stays in every list and in the log.",
                )
                .once()
                .body(&begun, json!({"starting_balance": "10000"}))
                .answers::<Written<AccountAnswer>>(200, "The account after it."),
        )
}

type Changed = Result<Json<Written<AccountAnswer>>, Problem>;

/// `PATCH /v1/accounts/{account_id}/policy`
pub async fn change(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    JsonBody(mut body): JsonBody,
) -> Changed {
    let change = PolicyChange {
        trading_state: body.word("trading_state", &STATES),
        max_order_qty: body.amount_or_null("max_order_qty"),
        max_order_notional: body.amount_or_null("max_order_notional"),
    };
    body.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.change_policy(&caller, account, change, key.as_deref()).await?))
}

/// `POST /v1/accounts/{account_id}/reset`
pub async fn reset(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    JsonBody(mut body): JsonBody,
) -> Changed {
    let balance: Option<Money> = body.amount("starting_balance");
    body.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.reset_account(&caller, account, balance, key.as_deref()).await?))
}
