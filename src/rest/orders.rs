//! `/v1/accounts/{account_id}/orders`.

use std::sync::Arc;

use aggregates::instrument::InstrumentKind;
use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{
    CLIENT_ORDER_ID_MAX, Exits, OrderChange, OrderClass, OrderType, Side, StopLoss, TakeProfit,
    TimeInForce, Trail, TriggerBy,
};
use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use serde_json::json;

use super::accounts::created;
use super::input::Fields;
use super::openapi::{Field, Operation};
use super::problem::Problem;
use super::request::{Caller, IdempotencyKey, JsonBody, Path, Query, id};
use super::routes::Routes;
use crate::identity::Act;
use crate::service::{
    EventAnswer, Fault, OrderAnswer, OrderFilter, OrderRequest, OrderState, Page, SYMBOL_MAX,
    Service, ServiceError, Written, text,
};

const SIDES: [(&str, Side); 2] = [("buy", Side::Buy), ("sell", Side::Sell)];
const TYPES: [(&str, OrderType); 6] = [
    ("market", OrderType::Market),
    ("limit", OrderType::Limit),
    ("stop", OrderType::Stop),
    ("stop_limit", OrderType::StopLimit),
    ("trailing_stop", OrderType::TrailingStop),
    ("trailing_stop_limit", OrderType::TrailingStopLimit),
];
const TRIGGERS: [(&str, TriggerBy); 2] = [("last", TriggerBy::Last), ("quote", TriggerBy::Quote)];
const TIMES: [(&str, TimeInForce); 7] = [
    ("day", TimeInForce::Day),
    ("gtc", TimeInForce::Gtc),
    ("gtd", TimeInForce::Gtd),
    ("ioc", TimeInForce::Ioc),
    ("fok", TimeInForce::Fok),
    ("opg", TimeInForce::Opg),
    ("cls", TimeInForce::Cls),
];
const CLASSES: [(&str, OrderClass); 5] = [
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
                    &placed(),
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
                    Field::text("symbol", SYMBOL_MAX, "Of one ticker.").example("AAPL"),
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

/// What the body of an order may have.
pub(super) fn placed() -> Vec<Field> {
    vec![
        Field::text("symbol", SYMBOL_MAX, "The ticker.").required().example("AAPL"),
        Field::word("side", &SIDES, "Buy or sell.").required(),
        Field::word("type", &TYPES, "How the price is found.").required(),
        Field::amount("qty", "Shares, above 0; a fractional order is a day order.").example("10"),
        Field::amount(
            "notional",
            "Dollars to buy or to sell for, in place of `qty`: of a market order for the day. It has no qty until it is \
             filled. A sell is of shares that are held, and done when there are none left.",
        ),
        Field::amount(
            "limit_price",
            "The worst price of a limit or stop_limit order: 2 decimals from 1.00 on, else 4.",
        ),
        Field::amount(
            "stop_price",
            "The price that triggers a stop or stop_limit order: 2 decimals from 1.00 on, else 4.",
        ),
        Field::word(
            "trigger_by",
            &TRIGGERS,
            "Which prices trigger a stop: the `last` trade if absent, or the `quote`. A symbol that has none of them \
             is watched by the other, and by bars where it has neither.",
        ),
        Field::amount(
            "trail_price",
            "The distance of a trailing type from its mark in dollars: 2 decimals from 1.00 on, else 4.",
        ),
        Field::amount(
            "trail_percent",
            "The same in percent of the mark, below 100, in place of `trail_price`: 5 is 5 %.",
        )
        .example("5"),
        Field::amount(
            "limit_offset",
            "How far the limit of a trailing_stop_limit is beyond the stop that triggers it, in dollars: above it for a \
             buy, below it for a sell. 0 or more.",
        ),
        Field::amount(
            "activation_price",
            "The price from which on a trailing type follows the market, at once if absent: a buy from it downwards, a \
             sell from it upwards.",
        ),
        Field::word(
            "time_in_force",
            &TIMES,
            "`day` if absent. opg fills in the opening auction alone and cls in the closing one; neither is taken from \
             shortly before its auction to 19:00 in New York (`auction_closed`).",
        ),
        Field::time("expires_at", "When a gtd order ends, by the market's clock."),
        Field::flag(
            "extended_hours",
            "Whether it fills outside regular hours too, from 04:00 to 20:00 in New York: of limit orders that are day or gtc.",
        ),
        Field::word(
            "order_class",
            &CLASSES,
            "`simple` if absent. `bracket`: an order that opens a position, with both exits; `oto`: with one of them; `oco`: an \
             exit of what is held at the limit of its take_profit, beside its stop_loss. `mleg` is refused as `unsupported`.",
        ),
        Field::object(
            "take_profit",
            &[Field::amount(
                "limit_price",
                "Its limit: above the stop-loss's stop, below it for exits that buy.",
            )
            .required()],
            "The exit with a profit, a limit order.",
        ),
        Field::object(
            "stop_loss",
            &[
                Field::amount("stop_price", "Its stop.").required(),
                Field::amount("limit_price", "Its limit; a market order once triggered if absent."),
            ],
            "The exit that bounds a loss, a stop or stop_limit order.",
        ),
        Field::text(
            "client_order_id",
            CLIENT_ORDER_ID_MAX,
            "Your name for it, unique in the account for ever: the order \
            happens once under it. Made if absent. Not for personal data.",
        ),
        Field::text("note", text::NOTE_MAX, "Words of yours, kept beside the order and erasable."),
    ]
}

/// Reads the body of an order. A field that cannot be read stands as one that breaks no rule, so that the rules of
/// the others are checked too.
///
/// # Errors
/// Every field that is wrong by itself.
pub fn read(mut body: Fields) -> Result<OrderRequest, Problem> {
    let symbol = body.text("symbol", SYMBOL_MAX);
    let side = body.word("side", &SIDES);
    let order_type = body.word("type", &TYPES);
    body.not_yet("legs");
    let qty: Option<Quantity> = body.amount("qty");
    let notional: Option<Money> = body.amount("notional");
    let limit_price: Option<Price> = body.amount("limit_price");
    let stop_price: Option<Price> = body.amount("stop_price");
    let trail_price: Option<Price> = body.amount("trail_price");
    let trail_percent: Option<Price> = body.amount("trail_percent");
    let mut request = OrderRequest {
        symbol: body.need("symbol", symbol).unwrap_or_else(|| "-".to_owned()),
        side: body.need("side", side).unwrap_or(Side::Buy),
        order_type: body.need("type", order_type).unwrap_or(OrderType::Market),
        qty: Quantity::ZERO,
        notional,
        limit_price,
        stop_price,
        trail: trail_price.map(Trail::Price).or(trail_percent.map(Trail::Percent)),
        limit_offset: body.amount("limit_offset"),
        activation_price: body.amount("activation_price"),
        trigger_by: body.word("trigger_by", &TRIGGERS),
        time_in_force: body.word("time_in_force", &TIMES).unwrap_or_default(),
        expires_at: body.time("expires_at"),
        extended_hours: body.flag("extended_hours").unwrap_or_default(),
        order_class: body.word("order_class", &CLASSES).unwrap_or_default(),
        exits: exits(&mut body),
        client_order_id: body.text("client_order_id", CLIENT_ORDER_ID_MAX),
        note: body.text("note", text::NOTE_MAX),
    };
    request.qty = match notional {
        None if !body.is_faulty("notional") => body.need("qty", qty).unwrap_or_default(),
        _ => qty.unwrap_or_default(),
    };
    let untyped = body.is_faulty("type");
    let mut faults = request.faults();
    if trail_price.is_some() && trail_percent.is_some() {
        let message = "an order has a trail_price or a trail_percent, not both: leave one out";
        faults.push(Fault::new("trail_percent", "invalid_order", message));
    }
    faults.retain(|fault| !(untyped && TYPED.contains(&fault.field.as_str())));
    faults.retain(|fault| !(fault.field == "qty" && body.is_faulty("notional")));
    body.end(faults)?;
    Ok(request)
}

/// The exits that are placed with an order. One that cannot be read is faulty, and then stands for anything.
fn exits(body: &mut Fields) -> Option<Exits> {
    let take_profit = body.object("take_profit", |inside| {
        let limit_price = inside.amount("limit_price");
        TakeProfit { limit_price: inside.need("limit_price", limit_price).unwrap_or(Price::ZERO) }
    });
    let stop_loss = body.object("stop_loss", |inside| {
        let (stop_price, limit_price) = (inside.amount("stop_price"), inside.amount("limit_price"));
        let stop_price = inside.need("stop_price", stop_price).unwrap_or(Price::ZERO);
        StopLoss { stop_price, limit_price }
    });
    let given = take_profit.is_some() || stop_loss.is_some();
    given.then_some(Exits { take_profit, stop_loss })
}

/// Fields whose rules depend on the type: without one, nothing is wrong with them.
const TYPED: [&str; 8] = [
    "limit_price",
    "stop_price",
    "trail_price",
    "trail_percent",
    "limit_offset",
    "activation_price",
    "trigger_by",
    "time_in_force",
];

/// `POST /v1/accounts/{account_id}/orders`
pub async fn place(
    State(service): State<Arc<Service>>,
    Caller(caller): Caller,
    Path(account): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Written<OrderAnswer>>), Problem> {
    let account = id(&account, ServiceError::no_account)?;
    let mut request = read(body)?;
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
