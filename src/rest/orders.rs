//! `/v1/accounts/{account_id}/orders`.

use std::sync::Arc;

use aggregates::instrument::InstrumentKind;
use aggregates::order::{CLIENT_ORDER_ID_MAX, OrderChange, OrderClass, Side, TimeInForce};
use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use serde_json::json;

use super::accounts::created;
use super::openapi::{Field, Operation};
use super::order_body;
use super::problem::Problem;
use super::request::{Caller, IdempotencyKey, JsonBody, Path, Query, id};
use super::routes::Routes;
use crate::identity::Act;
use crate::service::{
    EventAnswer, Fault, OrderAnswer, OrderFilter, OrderState, Page, SYMBOL_MAX, Service,
    ServiceError, Written,
};

pub(super) const SIDES: [(&str, Side); 2] = [("buy", Side::Buy), ("sell", Side::Sell)];
pub(super) const TIMES: [(&str, TimeInForce); 7] = [
    ("day", TimeInForce::Day),
    ("gtc", TimeInForce::Gtc),
    ("gtd", TimeInForce::Gtd),
    ("ioc", TimeInForce::Ioc),
    ("fok", TimeInForce::Fok),
    ("opg", TimeInForce::Opg),
    ("cls", TimeInForce::Cls),
];
pub(super) const CLASSES: [(&str, OrderClass); 5] = [
    ("simple", OrderClass::Simple),
    ("bracket", OrderClass::Bracket),
    ("oco", OrderClass::Oco),
    ("oto", OrderClass::Oto),
    ("mleg", OrderClass::Mleg),
];
const STATES: [(&str, OrderState); 3] =
    [("open", OrderState::Open), ("closed", OrderState::Closed), ("all", OrderState::All)];
pub(super) const KINDS: [(&str, InstrumentKind); 2] =
    [("stock", InstrumentKind::Stock), ("option", InstrumentKind::Option)];

/// The routes.
pub fn routes() -> Routes {
    let path = "/accounts/{account_id}/orders";
    let one = "/accounts/{account_id}/orders/{order_id}";
    Routes::new("orders")
        .post(
            path,
            place,
            Operation::write(Act::PlaceOrder, "place_order", "Place an order")
                .about(
                    "The answer is the order as it stands after arrival: filled, if the market filled it at once. Sent again \
                     with the same `client_order_id` it is the same order, answered with 200 and `replayed`. What the \
                     business refuses is recorded: 422 with the `order_id` of the rejected order. Exits that are placed with \
                     it are orders of their own, its `children`.",
                )
                .body(
                    &order_body::placed(),
                    json!({"symbol": "AAPL", "side": "buy", "type": "limit", "qty": "10", "limit_price": "187.25",
                        "client_order_id": "first"}),
                )
                .header(Field::text(
                    "Idempotency-Key",
                    CLIENT_ORDER_ID_MAX,
                    "Stands in for `client_order_id` where that is absent, for ever; another one beside it is refused.",
                ))
                .answers::<Written<OrderAnswer>>(201, "The order.")
                .answers::<Written<OrderAnswer>>(200, "The order that was placed under this `client_order_id` before."),
        )
        .get(
            path,
            list,
            Operation::read(Act::ReadAccount, "list_orders", "List orders, newest first")
                .query([
                    Field::word("status", &STATES, "Open, closed, or all of them; all if absent."),
                    Field::text("symbol", SYMBOL_MAX, "Of one symbol; mleg orders by a leg's and by the ticker that they are on.").example("AAPL"),
                    Field::word("side", &SIDES, "Of one side."),
                    Field::word("class", &CLASSES, "Of one class."),
                    Field::word("kind", &KINDS, "Of one kind of instrument."),
                    Field::time("after", "Placed later than this, by the market clock."),
                    Field::time("until", "Placed no later than this."),
                ])
                .paged()
                .fresh()
                .answers::<Page<OrderAnswer>>(200, "A page of orders."),
        )
        .delete(
            path,
            cancel_all,
            Operation::write(Act::CancelOrder, "cancel_orders", "Cancel every open order")
                .about("All of them in one commit, or none.")
                .once()
                .query([Field::word("kind", &KINDS, "Of one kind of instrument.")])
                .answers::<Written<Page<OrderAnswer>>>(200, "The orders that it ended, newest first, on one page."),
        )
        .get(
            one,
            get,
            Operation::read(Act::ReadAccount, "get_order", "Read an order")
                .fresh()
                .answers::<OrderAnswer>(200, "The order."),
        )
        .on(
            Method::PATCH,
            one,
            replace,
            Operation::write(Act::PlaceOrder, "replace_order", "Replace an order")
                .about(
                    "The same order, its next revision, as it stands after the change: filled, if the market filled it \
                     at once. What is not named stays. A change of price or more shares lose time priority. A refusal \
                     leaves the order as it was. One that is so already is answered as it is.",
                )
                .once()
                .body(&changed(), json!({"qty": "12", "limit_price": "187.00"}))
                .answers::<Written<OrderAnswer>>(200, "The order."),
        )
        .delete(
            one,
            cancel,
            Operation::write(Act::CancelOrder, "cancel_order", "Cancel an order")
                .about("One that was canceled before is answered the same again; one that ended otherwise is 409. With an exit \
                       the other one ends and what is open of their entry; with an entry the exits that it holds.")
                .answers::<Written<OrderAnswer>>(200, "The order."),
        )
        .get(
            "/accounts/{account_id}/orders/{order_id}/events",
            events,
            Operation::read(Act::ReadAccount, "list_order_events", "Everything that happened to an order, in order")
                .paged()
                .fresh()
                .answers::<Page<EventAnswer>>(200, "A page of its events."),
        )
        .get(
            "/accounts/{account_id}/orders/by-client-id/{client_order_id}",
            get_by_client_id,
            Operation::read(Act::ReadAccount, "get_order_by_client_id", "Read an order by the name that its placer gave it")
                .fresh()
                .answers::<OrderAnswer>(200, "The order."),
        )
}

/// What the body of a replacement may have.
fn changed() -> Vec<Field> {
    vec![
        Field::amount("qty", "The new total, what has filled included: more than that.")
            .example("12"),
        Field::amount("limit_price", "The new limit of limit types."),
        Field::amount("stop_price", "The new trigger of stop types."),
        Field::amount("trail", "The new distance of trailing types, in the measure that it has."),
        Field::amount("limit_offset", "The new offset of a trailing_stop_limit, in dollars."),
        Field::amount(
            "activation_price",
            "The new price from which on a trailing type follows the market. One whose mark has come there keeps it; \
             another waits for it.",
        ),
        Field::word("time_in_force", &TIMES, "`day`, `gtc` or `gtd`."),
        Field::time("expires_at", "When a gtd order ends, by the market's clock."),
    ]
}

/// `POST /v1/accounts/{account_id}/orders`
pub async fn place(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Written<OrderAnswer>>), Problem> {
    let account = id(&account, ServiceError::no_account)?;
    let mut request = order_body::read(body)?;
    // The key of an order is its client's own id; the header stands in for one.
    if let Some(key) = key
        && request.client_order_id.get_or_insert_with(|| key.clone()) != &key
    {
        let message = "the key of an order is its client_order_id, and Idempotency-Key stands in for it where it is \
                       absent: send one of the two, or the same in both";
        let fault = Fault::new("client_order_id", "invalid_value", message);
        return Err(ServiceError::Invalid(vec![fault]).into());
    }
    Ok(created(service.place_order(&caller, account, request).await?))
}

/// `GET /v1/accounts/{account_id}/orders`
pub async fn list(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    mut query: Query,
) -> Result<Json<Page<OrderAnswer>>, Problem> {
    let (page, fresh) = (query.page(), query.fresh());
    let fields = &mut query.0;
    let filter = OrderFilter {
        state: fields.word("status", &STATES).unwrap_or_default(),
        symbol: fields.text("symbol", SYMBOL_MAX),
        side: fields.word("side", &SIDES),
        class: fields.word("class", &CLASSES),
        kind: fields.word("kind", &KINDS),
        after: fields.time("after"),
        until: fields.time("until"),
    };
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.orders(&caller, account, &filter, &page, fresh).await?))
}

/// `GET /v1/accounts/{account_id}/orders/{order_id}`
pub async fn get(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path((account, order)): Path<(String, String)>,
    mut query: Query,
) -> Result<Json<OrderAnswer>, Problem> {
    let fresh = query.fresh();
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    let order = id(&order, ServiceError::no_order)?;
    Ok(Json(service.order(&caller, account, order, fresh).await?))
}

/// `GET /v1/accounts/{account_id}/orders/by-client-id/{client_order_id}`
pub async fn get_by_client_id(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path((account, client_order_id)): Path<(String, String)>,
    mut query: Query,
) -> Result<Json<OrderAnswer>, Problem> {
    let fresh = query.fresh();
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.order_by_client_id(&caller, account, &client_order_id, fresh).await?))
}

/// `GET /v1/accounts/{account_id}/orders/{order_id}/events`
pub async fn events(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path((account, order)): Path<(String, String)>,
    mut query: Query,
) -> Result<Json<Page<EventAnswer>>, Problem> {
    let (page, fresh) = (query.page(), query.fresh());
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    let order = id(&order, ServiceError::no_order)?;
    Ok(Json(service.order_events(&caller, account, order, &page, fresh).await?))
}

/// `PATCH /v1/accounts/{account_id}/orders/{order_id}`
pub async fn replace(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path((account, order)): Path<(String, String)>,
    IdempotencyKey(key): IdempotencyKey,
    JsonBody(mut body): JsonBody,
) -> Result<Json<Written<OrderAnswer>>, Problem> {
    let change = OrderChange {
        qty: body.amount("qty"),
        limit_price: body.amount("limit_price"),
        stop_price: body.amount("stop_price"),
        trail: body.amount("trail"),
        limit_offset: body.amount("limit_offset"),
        activation_price: body.amount("activation_price"),
        time_in_force: body.word("time_in_force", &TIMES),
        good_till: body.time("expires_at"),
    };
    body.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    let order = id(&order, ServiceError::no_order)?;
    Ok(Json(service.replace_order(&caller, account, order, change, key.as_deref()).await?))
}

/// `DELETE /v1/accounts/{account_id}/orders/{order_id}`
pub async fn cancel(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path((account, order)): Path<(String, String)>,
    query: Query,
) -> Result<Json<Written<OrderAnswer>>, Problem> {
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    let order = id(&order, ServiceError::no_order)?;
    Ok(Json(service.cancel_order(&caller, account, order).await?))
}

/// `DELETE /v1/accounts/{account_id}/orders`
pub async fn cancel_all(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    mut query: Query,
) -> Result<Json<Written<Page<OrderAnswer>>>, Problem> {
    let kind = query.0.word("kind", &KINDS);
    query.0.end([])?;
    let account = id(&account, ServiceError::no_account)?;
    Ok(Json(service.cancel_orders(&caller, account, kind, key.as_deref()).await?))
}
