//! The body of an order: what it may have, and how it is read.

use aggregates::money::{Money, Price, Quantity};
use aggregates::order::{
    CLIENT_ORDER_ID_MAX, Exits, OrderClass, OrderType, Side, StopLoss, TakeProfit, Trail, TriggerBy,
};

use super::input::Fields;
use super::legs;
use super::openapi::Field;
use super::orders::{CLASSES, SIDES, TIMES};
use super::problem::Problem;
use crate::service::{Fault, OrderRequest, SYMBOL_MAX, text};

const TYPES: [(&str, OrderType); 6] = [
    ("market", OrderType::Market),
    ("limit", OrderType::Limit),
    ("stop", OrderType::Stop),
    ("stop_limit", OrderType::StopLimit),
    ("trailing_stop", OrderType::TrailingStop),
    ("trailing_stop_limit", OrderType::TrailingStopLimit),
];
const TRIGGERS: [(&str, TriggerBy); 2] = [("last", TriggerBy::Last), ("quote", TriggerBy::Quote)];
/// What the body of an order may have.
pub(super) fn placed() -> Vec<Field> {
    vec![
        Field::text(
            "symbol",
            SYMBOL_MAX,
            "The ticker of a stock or the OCC symbol of an option. An mleg order has none, every other one has to have it.",
        )
        .example("AAPL"),
        Field::word("side", &SIDES, "Buy or sell. An mleg order has none, every other one has to have it."),
        Field::word("type", &TYPES, "How the price is found.").required(),
        Field::amount("qty", "Shares, above 0; a fractional order is a day order. Whole contracts of an option, packages of an mleg order.").example("10"),
        Field::amount(
            "notional",
            "Dollars to buy or to sell for, in place of `qty`: of a market order for the day. It has no qty until it is \
             filled. A sell is of shares that are held, and done when there are none left.",
        ),
        Field::amount(
            "limit_price",
            "The worst price of a limit or stop_limit order: 2 decimals from 1.00 on, else 4. Options have 2 decimals, and a \
             price is of one share: a contract costs 100 times as much. Of an mleg order it is the net price of one package, \
             what its legs bought cost less what those sold bring: below zero for one that has to bring money.",
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
             exit of what is held at the limit of its take_profit, beside its stop_loss; `mleg`: options bought and sold together, \
             all legs or none, at one net price.",
        ),
        Field::word(
            "position_intent",
            &legs::INTENTS,
            "Of an order of one option, whether it opens a position or closes one; found from what is held if absent.",
        ),
        legs::field(),
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
    let order_class = body.word("order_class", &CLASSES).unwrap_or_default();
    let mleg = order_class == OrderClass::Mleg;
    let legs = legs::read(&mut body);
    let qty: Option<Quantity> = body.amount("qty");
    let notional: Option<Money> = body.amount("notional");
    let limit_price: Option<Price> = body.amount("limit_price");
    let stop_price: Option<Price> = body.amount("stop_price");
    let trail_price: Option<Price> = body.amount("trail_price");
    let trail_percent: Option<Price> = body.amount("trail_percent");
    let sided = side.is_some();
    let (symbol, side) = match mleg {
        true => (symbol.unwrap_or_default(), Side::Buy),
        false => (
            body.need("symbol", symbol).unwrap_or_else(|| "-".to_owned()),
            body.need("side", side).unwrap_or(Side::Buy),
        ),
    };
    let mut request = OrderRequest {
        symbol,
        side,
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
        order_class,
        exits: exits(&mut body),
        position_intent: body.word("position_intent", &legs::INTENTS),
        legs,
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
    if mleg && sided {
        faults.push(legs::no_side());
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
