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

/// The highest limit of open orders that can be set.
const OPEN_ORDERS_MAX: u64 = 1_000_000;

/// The routes.
pub fn routes() -> Routes {
    let limits = [
        Field::word(
            "trading_state",
            &STATES,
            "What it may trade: `reducing` takes no orders that open or add to a position, `halted` no orders.",
        ),
        Field::amount(
            "max_order_qty",
            "The most shares of one order, above 0; `null` lifts the limit.",
        )
        .example("100"),
        Field::amount(
            "max_order_notional",
            "The highest worst cost of one order that opens or adds to a position, above 0; `null` lifts the limit.",
        )
        .example("5000.00"),
        Field::amount(
            "price_collar_pct",
            "How far beyond the market a limit may be, in percent of the reference, above 0; `null` lifts the limit.",
        )
        .example("5"),
        Field::amount(
            "max_position_qty",
            "The most shares that a position may come to with its open orders, above 0; `null` lifts the limit.",
        )
        .example("500"),
        Field::amount(
            "max_concentration_pct",
            "The most that such a position may be worth, in percent of the equity, above 0; `null` lifts the limit.",
        )
        .example("25"),
        Field::whole(
            "max_open_orders",
            1,
            OPEN_ORDERS_MAX,
            "The most open orders; `null` lifts the limit.",
        ),
        Field::amount(
            "max_daily_loss",
            "What may be lost of the equity that a trading day begins with, in dollars, above 0: then the account may only \
             reduce positions until the next day. `null` lifts the limit.",
        )
        .example("500.00"),
        Field::amount(
            "max_daily_loss_pct",
            "The same in percent of that equity, above 0; of both the lower one holds. `null` lifts the limit.",
        )
        .example("5"),
        Field::amount(
            "max_drawdown_pct",
            "What may be lost of the highest equity, in percent of it, above 0: then the account may only reduce positions \
             until its trading_state is set. `null` lifts the limit.",
        )
        .example("10"),
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
        price_collar_pct: body.amount_or_null("price_collar_pct"),
        max_position_qty: body.amount_or_null("max_position_qty"),
        max_concentration_pct: body.amount_or_null("max_concentration_pct"),
        max_open_orders: body
            .whole_or_null("max_open_orders", 1, OPEN_ORDERS_MAX)
            .map(|max| max.and_then(|max| u32::try_from(max).ok())),
        max_daily_loss: body.amount_or_null("max_daily_loss"),
        max_daily_loss_pct: body.amount_or_null("max_daily_loss_pct"),
        max_drawdown_pct: body.amount_or_null("max_drawdown_pct"),
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
