//! Following and ending orders.

use std::time::Duration;

use aggregates::instrument::InstrumentKind;
use aggregates::order::{OrderChange, OrderStatus};

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind, words};
use super::super::shelf::Toolset;
use super::fields::{
    ACCOUNT, CLIENT_ORDER_ID, CLOSED_ANSWER, CURSOR, EVENTS_ANSWER, EXPIRES_AT, IDEMPOTENCY_KEY,
    LEFT_ANSWER, LIFETIMES, LIMIT, LIMIT_PRICE, ORDER_ANSWER, ORDER_ID, ORDERS_ANSWER, QUANTITY,
    STOP_PRICE, SYMBOL, page,
};
use super::kinds::{For, OPTION_ORDER, STOCK_ORDER, expect_order};
use super::orders::by_argument;
use super::{Answered, Call, Effect, Entry};
use crate::identity::Act;
use crate::service::{Awaited, ClosePosition, Fresh, OrderFilter, OrderState, Part, SYMBOL_MAX};

/// The longest wait, in seconds.
const WAIT_MAX: u32 = 60;
/// The wait of a call that does not say, in seconds.
const WAIT: u32 = 30;

const STATES: &[(&str, OrderState)] =
    &[("open", OrderState::Open), ("closed", OrderState::Closed), ("all", OrderState::All)];
const OPEN: &[(&str, OrderState)] = &[("open", OrderState::Open)];
const AWAITED: &[(&str, Awaited)] = &[
    ("closed", Awaited::End),
    ("filled", Awaited::Status(OrderStatus::Filled)),
    ("partially_filled", Awaited::Status(OrderStatus::PartiallyFilled)),
    ("triggered", Awaited::Status(OrderStatus::Triggered)),
    ("accepted", Awaited::Status(OrderStatus::Accepted)),
    ("canceled", Awaited::Status(OrderStatus::Canceled)),
    ("expired", Awaited::Status(OrderStatus::Expired)),
];

const OF_OPTIONS: Field = SYMBOL.about("OCC symbol, or ticker of what they are on.");

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "stock_orders",
        title: "Stock orders",
        toolset: Toolset::OrderManagement,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "The stock orders of an account, newest first. Example: {\"status\": \"open\", \"symbol\": \
                \"AAPL\"}.",
        takes: &[
            Field::new("status", Kind::Word(|| words(STATES)), "Which orders. Default: all."),
            SYMBOL,
            LIMIT,
            CURSOR,
            ACCOUNT,
        ],
        answers: ORDERS_ANSWER,
        run: |call, arguments| Box::pin(orders(call, arguments, InstrumentKind::Stock, STATES)),
    },
    Entry {
        name: "open_stock_orders",
        title: "Open stock orders",
        toolset: Toolset::OrderManagement,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "The stock orders of an account that can still fill, newest first. Example: {\"symbol\": \"AAPL\"}.",
        takes: &[
            Field::new("status", Kind::Word(|| words(OPEN)), "Open orders are what it lists."),
            SYMBOL,
            LIMIT,
            CURSOR,
            ACCOUNT,
        ],
        answers: ORDERS_ANSWER,
        run: |call, arguments| Box::pin(orders(call, arguments, InstrumentKind::Stock, OPEN)),
    },
    Entry {
        name: "options_orders",
        title: "Option orders",
        toolset: Toolset::OrderManagement,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "The orders of options of an account, those of several legs too, newest first. Example: {\"status\": \"open\", \
                \"symbol\": \"AAPL\"}.",
        takes: &[
            Field::new("status", Kind::Word(|| words(STATES)), "Which orders. Default: all."),
            OF_OPTIONS,
            LIMIT,
            CURSOR,
            ACCOUNT,
        ],
        answers: ORDERS_ANSWER,
        run: |call, arguments| Box::pin(orders(call, arguments, InstrumentKind::Option, STATES)),
    },
    Entry {
        name: "open_option_orders",
        title: "Open option orders",
        toolset: Toolset::OrderManagement,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "The orders of options of an account that can still fill, newest first. Example: {\"symbol\": \"AAPL\"}.",
        takes: &[
            Field::new("status", Kind::Word(|| words(OPEN)), "Open orders are what it lists."),
            OF_OPTIONS,
            LIMIT,
            CURSOR,
            ACCOUNT,
        ],
        answers: ORDERS_ANSWER,
        run: |call, arguments| Box::pin(orders(call, arguments, InstrumentKind::Option, OPEN)),
    },
    Entry {
        name: "order_by_id",
        title: "Order",
        toolset: Toolset::OrderManagement,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "One order as it stands: status, filled quantity and average price in US dollars, why it was \
                refused or canceled. Example: {\"order_id\": \"01890a5d-…\"}. On \
                order_not_found see stock_orders.",
        takes: &[ORDER_ID, ACCOUNT],
        answers: ORDER_ANSWER,
        run: |call, arguments| Box::pin(order_by_id(call, arguments)),
    },
    Entry {
        name: "order_history",
        title: "History of an order",
        toolset: Toolset::OrderManagement,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "Every event of an order, oldest first: what happened, when, against which quote. Example: \
                {\"order_id\": \"01890a5d-…\"}. On order_not_found see stock_orders.",
        takes: &[ORDER_ID, LIMIT, CURSOR, ACCOUNT],
        answers: EVENTS_ANSWER,
        run: |call, arguments| Box::pin(order_history(call, arguments)),
    },
    Entry {
        name: "wait_for_order",
        title: "Wait for an order",
        toolset: Toolset::OrderManagement,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "Waits until an order has a status, has ended, or the time is over; answers it as it stands then, \
                reached says whether it has what was waited for. Use it instead of asking again and again. \
                Example: {\"order_id\": \"01890a5d-…\", \"status\": \"filled\"}. Not \
                reached: wait again or cancel; with stopping true the server is about to stop: wait again in some seconds.",
        takes: &[
            ORDER_ID,
            Field::new(
                "status",
                Kind::Word(|| words(AWAITED)),
                "What to wait for; closed is any end. Default: closed.",
            ),
            Field::new(
                "timeout_seconds",
                Kind::Whole,
                "The longest wait in seconds, 0 to 60. Default: 30.",
            ),
            ACCOUNT,
        ],
        answers: &[
            Field::always("reached", Kind::Flag),
            Field::always("stopping", Kind::Flag),
            Field::always("order_id", Kind::Text),
            Field::always("status", Kind::Text),
            Field::always("filled_qty", Kind::Text),
            Field::sometimes("filled_avg_price", Kind::Text),
        ],
        run: |call, arguments| Box::pin(wait_for_order(call, arguments)),
    },
    Entry {
        name: "replace_order",
        title: "Replace an order",
        toolset: Toolset::OrderManagement,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Changes an open order, which keeps its id and gets its next revision; what is not named stays. \
                quantity is the new total, what has filled included. A new price or more shares lose time priority. \
                Example: {\"order_id\": \"01890a5d-…\", \"limit_price\": \"187.00\"}. A refusal leaves the order as \
                it was; order_not_open: it has ended.",
        takes: &[
            ORDER_ID,
            QUANTITY,
            LIMIT_PRICE,
            STOP_PRICE,
            Field::new(
                "trail_amount",
                Kind::Text,
                "New distance of a trailing stop, in the measure that it has.",
            ),
            Field::new("limit_offset", Kind::Text, "New, in dollars."),
            Field::new("activation_price", Kind::Text, "New."),
            Field::new(
                "time_in_force",
                Kind::Word(|| words(LIFETIMES)),
                "day, gtc or gtd. Default: as it is.",
            ),
            EXPIRES_AT,
            IDEMPOTENCY_KEY,
            ACCOUNT,
        ],
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(replace(call, arguments)),
    },
    Entry {
        name: "cancel_stock_order_by_id",
        title: "Cancel a stock order",
        toolset: Toolset::OrderManagement,
        effect: Effect::Ends,
        act: Act::CancelOrder,
        about: "Cancels an open stock order; what has filled stays. Example: {\"order_id\": \
                \"01890a5d-…\"}. One that is canceled already is answered the same; \
                order_not_open: it has filled.",
        takes: &[ORDER_ID, ACCOUNT],
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(cancel(call, arguments, STOCK_ORDER)),
    },
    Entry {
        name: "cancel_all_stock_orders_tool",
        title: "Cancel all stock orders",
        toolset: Toolset::OrderManagement,
        effect: Effect::Ends,
        act: Act::CancelOrder,
        about: "Cancels every open stock order of an account, all or none, and answers those that it ended; what \
                has filled stays. Example: {\"idempotency_key\": \"end-of-day\"}. Repeated under its key it \
                cancels nothing placed since.",
        takes: &[IDEMPOTENCY_KEY, ACCOUNT],
        answers: ORDERS_ANSWER,
        run: |call, arguments| Box::pin(cancel_all(call, arguments, InstrumentKind::Stock)),
    },
    Entry {
        name: "cancel_option_order_by_id",
        title: "Cancel an option order",
        toolset: Toolset::OrderManagement,
        effect: Effect::Ends,
        act: Act::CancelOrder,
        about: "Cancels an open order of options; what has filled stays. Example: {\"order_id\": \"01890a5d-…\"}. One that is \
                canceled already is answered the same; order_not_open: it has filled.",
        takes: &[ORDER_ID, ACCOUNT],
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(cancel(call, arguments, OPTION_ORDER)),
    },
    Entry {
        name: "cancel_all_option_orders_tool",
        title: "Cancel all option orders",
        toolset: Toolset::OrderManagement,
        effect: Effect::Ends,
        act: Act::CancelOrder,
        about: "Cancels every open order of options of an account, all or none, and answers those that it ended. Example: \
                {\"idempotency_key\": \"end-of-day\"}. Repeated under its key it cancels nothing placed since.",
        takes: &[IDEMPOTENCY_KEY, ACCOUNT],
        answers: ORDERS_ANSWER,
        run: |call, arguments| Box::pin(cancel_all(call, arguments, InstrumentKind::Option)),
    },
    Entry {
        name: "close_position",
        title: "Close a position",
        toolset: Toolset::OrderManagement,
        effect: Effect::Places,
        act: Act::ClosePosition,
        about: "Sells a position at the market: all shares that no open sell has reserved, or quantity, or \
                percentage of what is held, rounded down; left tells what stays. Example: {\"symbol\": \"AAPL\", \"percentage\": \"50\"}. \
                On nothing_to_close see positions and open_stock_orders.",
        takes: &[
            SYMBOL.required(),
            QUANTITY,
            Field::new(
                "percentage",
                Kind::Text,
                "Of the shares held, above 0 and at most 100, such as \"50\".",
            ),
            CLIENT_ORDER_ID,
            ACCOUNT,
        ],
        answers: CLOSED_ANSWER,
        run: |call, arguments| Box::pin(close_position(call, arguments)),
    },
];

async fn close_position(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    let symbol = arguments.required_text("symbol", SYMBOL_MAX);
    let (quantity, percentage) = (arguments.amount("quantity"), arguments.amount("percentage"));
    let part = match (quantity, percentage) {
        (None, None) => Part::All,
        (Some(quantity), None) => Part::Qty(quantity),
        (None, Some(percentage)) => Part::Percentage(percentage),
        (Some(_), Some(_)) => {
            arguments.refuse("percentage", "send quantity or percentage, not both");
            Part::All
        }
    };
    let client_order_id = arguments.client_order_id();
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    let request = ClosePosition { symbol, part, client_order_id };
    let closed = call.service.close_position(&caller, account, request).await;
    answer(&closed.map_err(by_argument)?)
}

/// Lists orders of a kind: by default all that the states allow, of which the last stands for all.
async fn orders(
    call: Call<'_>,
    mut arguments: Arguments,
    kind: InstrumentKind,
    states: &[(&str, OrderState)],
) -> Answered {
    let (named, page) = (arguments.account_id(), page(&mut arguments));
    let default = states.last().map(|(_, state)| *state).unwrap_or_default();
    let filter = OrderFilter {
        state: arguments.word("status", states).unwrap_or(default),
        symbol: arguments.text("symbol", SYMBOL_MAX),
        kind: Some(kind),
        ..OrderFilter::default()
    };
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    answer(&call.service.orders(&caller, account, &filter, &page, Fresh::default()).await?)
}

async fn order_by_id(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let (named, order) = (arguments.account_id(), arguments.order_id());
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    answer(&call.service.order(&caller, account, order, Fresh::default()).await?)
}

async fn order_history(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let (named, order) = (arguments.account_id(), arguments.order_id());
    let page = page(&mut arguments);
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    let fresh = Fresh::default();
    answer(&call.service.order_events(&caller, account, order, &page, fresh).await?)
}

async fn wait_for_order(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let (named, order) = (arguments.account_id(), arguments.order_id());
    let awaited = arguments.word("status", AWAITED).unwrap_or_default();
    let seconds = arguments.whole("timeout_seconds", 0, WAIT_MAX).unwrap_or(WAIT);
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    let patience = Duration::from_secs(seconds.into());
    let who = (call.visitor, &caller);
    let waited = call.service.wait_for_order(who, account, order, awaited, patience, call.stop);
    answer(&waited.await?)
}

async fn replace(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let (named, order) = (arguments.account_id(), arguments.order_id());
    let change = OrderChange {
        qty: arguments.amount("quantity"),
        limit_price: arguments.amount("limit_price"),
        stop_price: arguments.amount("stop_price"),
        trail: arguments.amount("trail_amount"),
        limit_offset: arguments.amount("limit_offset"),
        activation_price: arguments.amount("activation_price"),
        time_in_force: arguments.word("time_in_force", LIFETIMES),
        good_till: arguments.time("expires_at"),
    };
    let key = arguments.idempotency_key();
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    let replaced =
        call.service.replace_order(&caller, account, order, change, key.as_deref()).await;
    answer(&replaced.map_err(by_argument)?)
}

async fn cancel(call: Call<'_>, mut arguments: Arguments, what: For) -> Answered {
    let (named, order) = (arguments.account_id(), arguments.order_id());
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    expect_order(call, &caller, account, order, what).await?;
    answer(&call.service.cancel_order(&caller, account, order).await?)
}

async fn cancel_all(call: Call<'_>, mut arguments: Arguments, kind: InstrumentKind) -> Answered {
    let (named, key) = (arguments.account_id(), arguments.idempotency_key());
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    answer(&call.service.cancel_orders(&caller, account, Some(kind), key.as_deref()).await?)
}
