//! `/v1/accounts/{account_id}/orders/preview`, the risk of an order beside it, and the closing of positions.

use std::sync::Arc;

use aggregates::money::{Price, Quantity};
use aggregates::order::CLIENT_ORDER_ID_MAX;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::accounts::created;
use super::openapi::{Field, Operation};
use super::order_body;
use super::problem::Problem;
use super::request::{Caller, IdempotencyKey, JsonBody, Path, Query, id};
use super::routes::Routes;
use crate::identity::Act;
use crate::service::{
    ClosePosition, ClosingAnswer, Fault, Part, PreviewAnswer, RiskAnswer, Service, ServiceError,
    Written,
};

/// The routes.
pub fn routes() -> Routes {
    Routes::new("orders")
        .post(
            "/accounts/{account_id}/orders/preview",
            preview,
            Operation::write(Act::PreviewOrder, "preview_order", "Tell what an order would come to, and store nothing")
                .about(
                    "It takes the body of an order and answers what placing it would do if nothing moved in between; \
                     what placing would refuse is refused with the same code and figures. Nothing is recorded, and \
                     `client_order_id` is not used up.",
                )
                .body(
                    &order_body::placed(),
                    json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "10", "limit_price": "187.25"}),
                )
                .answers::<PreviewAnswer>(200, "The account and the position before and after the order."),
        )
        .post(
            "/accounts/{account_id}/orders/preview/risk",
            risk,
            Operation::write(Act::PreviewOrder, "analyze_order_risk", "Tell what an order would do to the risk of the account, and store nothing")
                .about(
                    "It takes the body of an order and answers margin, the distance to a margin call, position, \
                     concentration and leverage before it, after its arrival and if all of it fills; rates are of the \
                     equity, 0.25 is 25 %. What depends on a price that is not known is absent. What placing would refuse \
                     is refused with the same code and figures.",
                )
                .body(
                    &order_body::placed(),
                    json!({"symbol": "AAPL", "side": "sell", "type": "market", "qty": "10"}),
                )
                .answers::<RiskAnswer>(200, "The account and the position before and after the order."),
        )
        .delete(
            "/accounts/{account_id}/positions/{symbol}",
            close,
            Operation::write(Act::ClosePosition, "close_position", "Sell a position, or a part of it, at the market")
                .about(
                    "Without `qty` and `percentage`, all shares that no open sell has reserved. The answer is the order, and \
                     `left` beside it: what stays, which open orders are to close that, and the next step. \
                     Sent again under the same `client_order_id` or `Idempotency-Key` it is the same order. 409 when \
                     nothing is held or all of it is reserved.",
                )
                .query([
                    Field::amount("qty", "So many shares, above 0.").example("10"),
                    Field::amount(
                        "percentage",
                        "So many percent of the shares held, above 0 and at most 100, rounded down: to whole shares \
                         where all that is held is whole.",
                    )
                    .example("50"),
                    Field::text("client_order_id", CLIENT_ORDER_ID_MAX, "Your name for the order, as of any order."),
                ])
                .header(Field::text(
                    "Idempotency-Key",
                    CLIENT_ORDER_ID_MAX,
                    "Stands in for `client_order_id` where that is absent.",
                ))
                .answers::<Written<ClosingAnswer>>(201, "The order.")
                .answers::<Written<ClosingAnswer>>(200, "The order that was placed under this name before."),
        )
}

/// `POST /v1/accounts/{account_id}/orders/preview`
pub async fn preview(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<PreviewAnswer>, Problem> {
    let account = id(&account, ServiceError::no_account)?;
    let request = order_body::read(body)?;
    Ok(Json(service.preview_order(&caller, account, &request).await?))
}

/// `POST /v1/accounts/{account_id}/orders/preview/risk`
pub async fn risk(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<RiskAnswer>, Problem> {
    let account = id(&account, ServiceError::no_account)?;
    let request = order_body::read(body)?;
    Ok(Json(service.analyze_order(&caller, account, &request).await?))
}

/// `DELETE /v1/accounts/{account_id}/positions/{symbol}`
pub async fn close(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path((account, symbol)): Path<(String, String)>,
    IdempotencyKey(key): IdempotencyKey,
    mut query: Query,
) -> Result<(StatusCode, Json<Written<ClosingAnswer>>), Problem> {
    let fields = &mut query.0;
    let qty: Option<Quantity> = fields.amount("qty");
    let percentage: Option<Price> = fields.amount("percentage");
    let client_order_id = fields.text("client_order_id", CLIENT_ORDER_ID_MAX).or(key);
    let both = (qty.is_some() && percentage.is_some()).then(|| {
        let message = "qty and percentage exclude each other: leave one out";
        Fault::new("percentage", "invalid_value", message)
    });
    let part = match (qty, percentage) {
        (Some(qty), _) => Part::Qty(qty),
        (None, Some(percentage)) => Part::Percentage(percentage),
        (None, None) => Part::All,
    };
    let request = ClosePosition { symbol, part, client_order_id };
    query.0.end(both.into_iter().chain(request.faults()))?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(created(service.close_position(&caller, account, request).await?))
}
