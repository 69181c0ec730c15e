//! Placing stock orders.

use aggregates::id::AccountId;
use aggregates::order::{Exits, OrderClass, OrderType, Side, StopLoss, TakeProfit, Trail};

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind, words};
use super::super::shelf::Toolset;
use super::fields::{
    ACCOUNT, ACTIVATION_PRICE, CLIENT_ORDER_ID, EXPIRES_AT, EXTENDED_HOURS, LEFT_ANSWER, LIFETIMES,
    LIMIT_OFFSET, LIMIT_PRICE, NOTE, QUANTITY, STOP_PRICE, SYMBOL, TIME_IN_FORCE, TIMES_IN_FORCE,
    TRAIL_AMOUNT, TRAIL_TYPE, TRAIL_TYPES, TRIGGER_BY, TRIGGERS,
};
use super::kinds::{STOCK, expect};
use super::{Answered, Call, Effect, Entry, families, option_orders};
use crate::identity::Act;
use crate::service::{OrderRequest, SYMBOL_MAX, ServiceError};

pub(super) const SIDES: &[(&str, Side)] = &[("buy", Side::Buy), ("sell", Side::Sell)];
const TYPES: &[(&str, OrderType)] = &[
    ("market", OrderType::Market),
    ("limit", OrderType::Limit),
    ("stop", OrderType::Stop),
    ("stop_limit", OrderType::StopLimit),
    ("trailing_stop", OrderType::TrailingStop),
    ("trailing_stop_limit", OrderType::TrailingStopLimit),
];

const CLASSES: &[(&str, OrderClass)] = &[
    ("simple", OrderClass::Simple),
    ("bracket", OrderClass::Bracket),
    ("oco", OrderClass::Oco),
    ("oto", OrderClass::Oto),
    ("mleg", OrderClass::Mleg),
];

/// What every market order takes.
const MARKET: &[Field] = &[
    SYMBOL.required(),
    QUANTITY.required(),
    TIME_IN_FORCE,
    EXPIRES_AT,
    CLIENT_ORDER_ID,
    NOTE,
    ACCOUNT,
];
/// The body of an order, as REST takes it.
pub(super) const ORDER: &[Field] = &[
    SYMBOL.about("Ticker or OCC symbol; not of mleg."),
    Field::new("side", Kind::Word(|| words(SIDES)), "Buy or sell; not of mleg."),
    Field::new("type", Kind::Word(|| words(TYPES)), "How the price is found.").required(),
    Field::new("qty", Kind::Text, "Shares or contracts, such as \"10\"."),
    Field::new("notional", Kind::Text, "Dollars, in place of qty."),
    LIMIT_PRICE,
    STOP_PRICE,
    Field::new("trail_price", Kind::Text, "Distance in dollars."),
    Field::new("trail_percent", Kind::Text, "Distance in percent."),
    LIMIT_OFFSET.about("Of the limit from the stop, in dollars."),
    ACTIVATION_PRICE,
    TRIGGER_BY,
    TIME_IN_FORCE.about("Default: day."),
    EXPIRES_AT,
    EXTENDED_HOURS,
    CLIENT_ORDER_ID.about("Not used."),
    NOTE.about("Not used."),
    Field::new("order_class", Kind::Text, "Default: simple; mleg with legs."),
    Field::new("position_intent", Kind::Text, "Of one option."),
    Field::new("legs", Kind::Objects, "As of place_multi_leg_order."),
    Field::new("take_profit", Kind::Object, "limit_price"),
    Field::new("stop_loss", Kind::Object, "stop_price, limit_price?"),
    ACCOUNT,
];
/// What every limit order takes.
const LIMIT: &[Field] = &[
    SYMBOL.required(),
    QUANTITY.required(),
    LIMIT_PRICE.required(),
    TIME_IN_FORCE,
    EXPIRES_AT,
    EXTENDED_HOURS,
    CLIENT_ORDER_ID,
    NOTE,
    ACCOUNT,
];

/// What every stop order takes.
const STOP: &[Field] = &[
    SYMBOL.required(),
    QUANTITY.required(),
    STOP_PRICE.required(),
    TRIGGER_BY,
    TIME_OF_STOP,
    EXPIRES_AT,
    CLIENT_ORDER_ID,
    NOTE,
    ACCOUNT,
];
/// What every stop-limit order takes.
const STOP_LIMIT: &[Field] = &[
    SYMBOL.required(),
    QUANTITY.required(),
    STOP_PRICE.required(),
    LIMIT_PRICE.required(),
    TRIGGER_BY,
    TIME_OF_STOP,
    EXPIRES_AT,
    CLIENT_ORDER_ID,
    NOTE,
    ACCOUNT,
];
/// What every trailing stop takes.
const TRAILING_STOP: &[Field] = &[
    SYMBOL.required(),
    QUANTITY.required(),
    TRAIL_AMOUNT.required(),
    TRAIL_TYPE.required(),
    LIMIT_OFFSET,
    ACTIVATION_PRICE,
    TRIGGER_BY,
    TIME_OF_STOP,
    EXPIRES_AT,
    CLIENT_ORDER_ID,
    NOTE,
    ACCOUNT,
];
const TIME_OF_STOP: Field =
    Field::new("time_in_force", Kind::Word(|| words(LIFETIMES)), "Default: day.");

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "buy_stock_market",
        title: "Buy at the market",
        toolset: Toolset::StockOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Buys shares at the ask. Reserves the ask plus the server's collar (default 5 %) until it is done; \
                order_history has it as reserve_price. Example: {\"symbol\": \"AAPL\", \"quantity\": \"10\"}. On \
                insufficient_buying_power lower the quantity by the figures given.",
        takes: MARKET,
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(place(call, arguments, Side::Buy, OrderType::Market)),
    },
    Entry {
        name: "sell_stock_market",
        title: "Sell at the market",
        toolset: Toolset::StockOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Sells shares that the account holds, at the bid. Example: {\"symbol\": \"AAPL\", \"quantity\": \
                \"10\"}. On insufficient_shares see positions for what is free.",
        takes: MARKET,
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(place(call, arguments, Side::Sell, OrderType::Market)),
    },
    Entry {
        name: "buy_stock_limit",
        title: "Buy at a limit",
        toolset: Toolset::StockOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Buys shares at limit_price dollars or less; rests until then. Reserves quantity times limit_price. \
                Example: {\"symbol\": \"AAPL\", \"quantity\": \"10\", \"limit_price\": \"187.25\"}. On \
                insufficient_buying_power lower the quantity by the figures given.",
        takes: LIMIT,
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(place(call, arguments, Side::Buy, OrderType::Limit)),
    },
    Entry {
        name: "sell_stock_limit",
        title: "Sell at a limit",
        toolset: Toolset::StockOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Sells shares that the account holds at limit_price dollars or more; rests until then. Example: \
                {\"symbol\": \"AAPL\", \"quantity\": \"10\", \"limit_price\": \"190.00\"}. On insufficient_shares \
                see positions for what is free.",
        takes: LIMIT,
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(place(call, arguments, Side::Sell, OrderType::Limit)),
    },
    Entry {
        name: "buy_stock_stop_loss",
        title: "Buy once a price is reached",
        toolset: Toolset::StockOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Becomes a market buy at stop_price dollars or more, and may fill above it. Reserves stop_price plus the \
                server's collar (default 5 %). Example: {\"symbol\": \"AAPL\", \"quantity\": \"10\", \
                \"stop_price\": \"195.00\"}. On insufficient_buying_power lower the quantity.",
        takes: STOP,
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(place(call, arguments, Side::Buy, OrderType::Stop)),
    },
    Entry {
        name: "sell_stock_stop_loss",
        title: "Sell once a price is reached",
        toolset: Toolset::StockOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Becomes a market sell at stop_price dollars or less, and may fill below it. order_history says what triggered \
                it. Example: {\"symbol\": \"AAPL\", \"quantity\": \"10\", \"stop_price\": \"180.00\"}. On \
                insufficient_shares see positions.",
        takes: STOP,
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(place(call, arguments, Side::Sell, OrderType::Stop)),
    },
    Entry {
        name: "buy_stock_stop_limit",
        title: "Buy at a limit once a price is reached",
        toolset: Toolset::StockOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Becomes a buy at limit_price or less once the price is stop_price dollars or more. Reserves quantity times \
                limit_price. Example: {\"symbol\": \"AAPL\", \"quantity\": \"10\", \"stop_price\": \
                \"195.00\", \"limit_price\": \"196.00\"}. On insufficient_buying_power lower the quantity.",
        takes: STOP_LIMIT,
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(place(call, arguments, Side::Buy, OrderType::StopLimit)),
    },
    Entry {
        name: "sell_stock_stop_limit",
        title: "Sell at a limit once a price is reached",
        toolset: Toolset::StockOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Becomes a sell at limit_price or more once the price is stop_price dollars or less; in a fall it may not fill. \
                Example: {\"symbol\": \"AAPL\", \"quantity\": \"10\", \"stop_price\": \"180.00\", \
                \"limit_price\": \"179.00\"}. On insufficient_shares see positions.",
        takes: STOP_LIMIT,
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(place(call, arguments, Side::Sell, OrderType::StopLimit)),
    },
    Entry {
        name: "buy_stock_trailing_stop",
        title: "Buy when the price turns up",
        toolset: Toolset::StockOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "A market buy once the price is trail_amount above its lowest since now. Reserves the first stop plus \
                the server's collar (default 5 %). Example: {\"symbol\": \"AAPL\", \"quantity\": \"10\", \
                \"trail_amount\": \"5\", \"trail_type\": \"price\"}. order_by_id shows hwm and stop_price. On \
                insufficient_buying_power lower the quantity.",
        takes: TRAILING_STOP,
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(place(call, arguments, Side::Buy, OrderType::TrailingStop)),
    },
    Entry {
        name: "sell_stock_trailing_stop",
        title: "Sell when the price turns down",
        toolset: Toolset::StockOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "A market sell once the price is trail_amount below its highest since now. Example: {\"symbol\": \
                \"AAPL\", \"quantity\": \"10\", \"trail_amount\": \"5\", \"trail_type\": \"percent\"}. \
                order_by_id shows hwm and stop_price. On insufficient_shares see positions.",
        takes: TRAILING_STOP,
        answers: LEFT_ANSWER,
        run: |call, arguments| {
            Box::pin(place(call, arguments, Side::Sell, OrderType::TrailingStop))
        },
    },
    Entry {
        name: "place_bracket_order",
        title: "Place an order with exits",
        toolset: Toolset::StockOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "A buy or (on margin) short sale with exits (children) held until it fills; oco: exits of a position. \
                Example: {\"symbol\": \"AAPL\", \"side\": \"buy\", \"quantity\": \"10\", \
                \"take_profit_limit_price\": \"210\", \"stop_loss_stop_price\": \"180\"}.",
        takes: families::FAMILY,
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(families::place(call, arguments)),
    },
    Entry {
        name: "preview_order",
        title: "Preview an order",
        toolset: Toolset::StockOrders,
        effect: Effect::Reads,
        act: Act::PreviewOrder,
        about: "What an order would come to now: fills, cost, fees, and cash, buying power, margin and position before \
                and after, in US dollars and shares. Nothing is stored. Example: {\"symbol\": \"AAPL\", \
                \"side\": \"buy\", \"type\": \"limit\", \"qty\": \"10\", \"limit_price\": \"187.25\"}. Refuses \
                what placing would refuse, with the same code and figures.",
        takes: ORDER,
        answers: &[
            Field::sometimes("symbol", Kind::Text),
            Field::sometimes("payoff", Kind::Object),
            Field::sometimes("greeks", Kind::Object),
            Field::always("status", Kind::Text),
            Field::always("filled_qty", Kind::Text),
            Field::sometimes("filled_avg_price", Kind::Text),
            Field::always("fees", Kind::Text),
            Field::sometimes("estimated_price", Kind::Text),
            Field::sometimes("estimated_cost", Kind::Text),
            Field::always("worst_cost", Kind::Text),
            Field::always("before", Kind::Object),
            Field::always("after", Kind::Object),
            Field::always("market_time", Kind::Text),
        ],
        run: |call, arguments| Box::pin(preview(call, arguments)),
    },
];

/// The account and the order that a body names.
pub(super) fn order_of(arguments: &mut Arguments) -> (Option<AccountId>, OrderRequest) {
    let named = arguments.account_id();
    let order_class = arguments.word("order_class", CLASSES).unwrap_or_default();
    let legs = option_orders::legs(arguments, false);
    let (symbol, side) = match order_class {
        OrderClass::Mleg => {
            if arguments.is_given("side") {
                let message = "an mleg order has no side of its own: each of its legs has one, so leave side out";
                arguments.refuse("side", message);
                arguments.word("side", SIDES);
            }
            (arguments.text("symbol", SYMBOL_MAX).unwrap_or_default(), None)
        }
        _ => {
            let side = arguments.required_word("side", SIDES);
            (arguments.required_text("symbol", SYMBOL_MAX), side)
        }
    };
    let order_type = arguments.required_word("type", TYPES);
    let notional = arguments.amount("notional");
    let request = OrderRequest {
        symbol,
        // What is missing is a fault, and faults are answered before these stand for anything.
        side: side.unwrap_or(Side::Buy),
        order_type: order_type.unwrap_or(OrderType::Market),
        qty: match notional {
            Some(_) => arguments.amount("qty").unwrap_or_default(),
            None => arguments.required_amount("qty"),
        },
        notional,
        limit_price: arguments.amount("limit_price"),
        stop_price: arguments.amount("stop_price"),
        trail: arguments.trail(),
        limit_offset: arguments.amount("limit_offset"),
        activation_price: arguments.amount("activation_price"),
        trigger_by: arguments.word("trigger_by", TRIGGERS),
        time_in_force: arguments.word("time_in_force", TIMES_IN_FORCE).unwrap_or_default(),
        expires_at: arguments.time("expires_at"),
        extended_hours: arguments.flag("extended_hours").unwrap_or_default(),
        order_class,
        exits: exits(arguments),
        position_intent: arguments.word("position_intent", option_orders::INTENTS),
        legs,
        client_order_id: arguments.client_order_id(),
        note: arguments.note(),
    };
    (named, request)
}

async fn preview(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let (named, request) = order_of(&mut arguments);
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    answer(&call.service.preview_order(&caller, account, &request).await?)
}

async fn place(
    call: Call<'_>,
    mut arguments: Arguments,
    side: Side,
    order_type: OrderType,
) -> Answered {
    let named = arguments.account_id();
    let times = if order_type.is_stop() { LIFETIMES } else { TIMES_IN_FORCE };
    let symbol = arguments.required_text("symbol", SYMBOL_MAX);
    let qty = arguments.required_amount("quantity");
    let mut request = OrderRequest {
        time_in_force: arguments.word("time_in_force", times).unwrap_or_default(),
        expires_at: arguments.time("expires_at"),
        client_order_id: arguments.client_order_id(),
        note: arguments.note(),
        ..OrderRequest::plain(symbol, side, order_type, qty)
    };
    if order_type.has_limit_price() {
        request.limit_price = Some(arguments.required_amount("limit_price"));
    }
    if order_type == OrderType::TrailingStop {
        let distance = arguments.required_amount("trail_amount");
        let kind = arguments.required_word("trail_type", TRAIL_TYPES);
        // Without a kind there is a fault, and faults are answered before this stands for anything.
        request.trail = Some(kind.unwrap_or(Trail::Price)(distance));
        request.limit_offset = arguments.amount("limit_offset");
        request.activation_price = arguments.amount("activation_price");
        if request.limit_offset.is_some() {
            request.order_type = OrderType::TrailingStopLimit;
        }
    }
    if order_type.has_stop_price() {
        request.stop_price = Some(arguments.required_amount("stop_price"));
    }
    if order_type.is_stop() {
        request.trigger_by = arguments.word("trigger_by", TRIGGERS);
    }
    if order_type == OrderType::Limit {
        request.extended_hours = arguments.flag("extended_hours").unwrap_or_default();
    }
    arguments.end()?;
    expect(call, "symbol", &request.symbol, STOCK)?;
    let (caller, account) = call.account(named).await?;
    let placed = call.service.place_order(&caller, account, request).await;
    answer(&placed.map_err(by_argument)?)
}

/// The exits of an order on trial. What is missing in one is a fault, and faults are answered before it stands for anything.
fn exits(arguments: &mut Arguments) -> Option<Exits> {
    let take_profit = arguments.object("take_profit", &["limit_price"], |inside| TakeProfit {
        limit_price: inside.required_amount("limit_price"),
    });
    let stop_loss = arguments.object("stop_loss", &["stop_price", "limit_price"], |inside| {
        let stop_price = inside.required_amount("stop_price");
        StopLoss { stop_price, limit_price: inside.amount("limit_price") }
    });
    let given = take_profit.is_some() || stop_loss.is_some();
    given.then_some(Exits { take_profit, stop_loss })
}

/// What fields of an order are called among the arguments of a tool.
const ARGUMENTS: [(&str, &str); 6] = [
    ("qty", "quantity"),
    ("trail_price", "trail_amount"),
    ("trail_percent", "trail_amount"),
    ("take_profit.limit_price", "take_profit_limit_price"),
    ("stop_loss.stop_price", "stop_loss_stop_price"),
    ("stop_loss.limit_price", "stop_loss_limit_price"),
];

/// The fields of an order by the names that they have among the arguments of a tool.
pub fn by_argument(error: ServiceError) -> ServiceError {
    renamed(error, &ARGUMENTS)
}

/// The fields of an order by these names.
pub(super) fn renamed(mut error: ServiceError, names: &[(&str, &str)]) -> ServiceError {
    let rename = |field: &mut String, message: &mut String| {
        for (known, argument) in names {
            if field == known {
                (*argument).clone_into(field);
                *message = message.replacen(known, argument, 1);
            }
        }
    };
    match &mut error {
        ServiceError::Invalid(faults) => {
            for fault in faults {
                rename(&mut fault.field, &mut fault.message);
            }
        }
        ServiceError::Refused(refusal) | ServiceError::Rejected { refusal, .. } => {
            if let Some(field) = &mut refusal.field {
                rename(field, &mut refusal.message);
            }
        }
        _ => {}
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Fault;

    #[test]
    fn a_fault_names_the_argument_that_the_tool_takes() {
        let message = "qty is 0: an order needs a quantity above 0";
        let faults = vec![
            Fault::new("qty", "invalid_order", message),
            Fault::new("symbol", "missing_field", "symbol is missing"),
        ];
        let ServiceError::Invalid(named) = by_argument(ServiceError::Invalid(faults)) else {
            panic!("it became another error")
        };
        assert_eq!(named[0].field, "quantity");
        assert_eq!(named[0].message, "quantity is 0: an order needs a quantity above 0");
        assert_eq!(named[1].field, "symbol");
    }
}
