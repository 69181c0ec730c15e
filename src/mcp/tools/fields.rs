//! The fields that several tools share.

use aggregates::money::Price;
use aggregates::order::{TimeInForce, Trail, TriggerBy};

use super::super::arguments::Arguments;
use super::super::schema::{Field, Kind, words};
use crate::service::PageRequest;

/// The most items of one page of a list.
const PAGE_MAX: u64 = 100;
/// The longest cursor, in characters.
const CURSOR_MAX: usize = 1_024;

/// How long an order may live.
pub const TIMES_IN_FORCE: &[(&str, TimeInForce)] = &[
    ("day", TimeInForce::Day),
    ("gtc", TimeInForce::Gtc),
    ("gtd", TimeInForce::Gtd),
    ("ioc", TimeInForce::Ioc),
    ("fok", TimeInForce::Fok),
    ("opg", TimeInForce::Opg),
    ("cls", TimeInForce::Cls),
];

/// What a number is as the distance of a trailing stop.
type Measure = fn(Price) -> Trail;

/// How the distance of a trailing stop is counted.
pub const TRAIL_TYPES: &[(&str, Measure)] = &[("price", Trail::Price), ("percent", Trail::Percent)];

/// Which prices trigger a stop.
pub const TRIGGERS: &[(&str, TriggerBy)] =
    &[("last", TriggerBy::Last), ("quote", TriggerBy::Quote)];

/// How long an order may live that rests.
pub const LIFETIMES: &[(&str, TimeInForce)] =
    &[("day", TimeInForce::Day), ("gtc", TimeInForce::Gtc), ("gtd", TimeInForce::Gtd)];

pub const ACCOUNT: Field = Field::new("account_id", Kind::Text, "Default: your own.");
pub const SYMBOL: Field = Field::new("symbol", Kind::Text, "Ticker, such as AAPL.");
pub const QUANTITY: Field = Field::new("quantity", Kind::Text, "Shares, such as \"10\".");
pub const LIMIT_PRICE: Field = Field::new(
    "limit_price",
    Kind::Text,
    "Dollars a share, such as \"187.25\"; 2 decimals from 1.00 on, else 4.",
);
pub const STOP_PRICE: Field =
    Field::new("stop_price", Kind::Text, "Dollars that trigger it, such as \"180.00\".");
pub const TRIGGER_BY: Field = Field::new(
    "trigger_by",
    Kind::Word(|| words(TRIGGERS)),
    "Default: last (trade). quote: ask to buy, bid to sell.",
);
pub const TRAIL_AMOUNT: Field =
    Field::new("trail_amount", Kind::Text, "Distance from the best price, such as \"5\".");
pub const TRAIL_TYPE: Field = Field::new(
    "trail_type",
    Kind::Word(|| words(TRAIL_TYPES)),
    "price: dollars; percent: 5 is 5 % of the best price.",
);
pub const LIMIT_OFFSET: Field = Field::new(
    "limit_offset",
    Kind::Text,
    "Makes it a limit order once triggered, this many dollars beyond the stop.",
);
pub const ACTIVATION_PRICE: Field = Field::new(
    "activation_price",
    Kind::Text,
    "Follows the market from this price on. Default: at once.",
);
pub const TIME_IN_FORCE: Field = Field::new(
    "time_in_force",
    Kind::Word(|| words(TIMES_IN_FORCE)),
    "Default: day. gtc: until canceled; gtd: until expires_at; ioc: what fills at once; fok: all at once or nothing; opg, cls: in the auction at the open or close.",
);
pub const EXPIRES_AT: Field =
    Field::new("expires_at", Kind::Text, "End of a gtd order: \"2026-11-27T21:00:00Z\".");
pub const EXTENDED_HOURS: Field = Field::new(
    "extended_hours",
    Kind::Flag,
    "Default: false. true: day or gtc, fills 04:00-20:00 too.",
);
pub const CLIENT_ORDER_ID: Field = Field::new(
    "client_order_id",
    Kind::Text,
    "Your id for it, up to 128 characters: the same again is the same order. Made if absent; no \
     personal data.",
);
pub const IDEMPOTENCY_KEY: Field = Field::new(
    "idempotency_key",
    Kind::Text,
    "Your key for this call, up to 128 characters: within 24 hours it happens once.",
);
pub const NOTE: Field = Field::new("note", Kind::Text, "For yourself, up to 500 characters.");
pub const ORDER_ID: Field = Field::new("order_id", Kind::Text, "The order's id.").required();
pub const LIMIT: Field = Field::new("limit", Kind::Whole, "1 to 100. Default: 50.");
pub const CURSOR: Field = Field::new("cursor", Kind::Text, "next_cursor of the page before.");

pub const PERIOD: Field = Field::new(
    "period",
    Kind::Text,
    "How far back by the market's clock: a number and D, W, M or A (years), such as 3M, or all. Default: 1M.",
);

/// Which page of a list.
pub fn page(arguments: &mut Arguments) -> PageRequest {
    page_up_to(arguments, PAGE_MAX)
}

/// Which page of a list whose pages have up to `most` items.
pub fn page_up_to(arguments: &mut Arguments, most: u64) -> PageRequest {
    PageRequest {
        limit: arguments.whole("limit", 1, most),
        cursor: arguments.text("cursor", CURSOR_MAX),
    }
}

/// Where an answer stands in the log. Every answer says so; what describes answers says it where something was changed.
pub const POSITION: Field = Field::always("position", Kind::Whole);
/// Where the next page begins.
pub const NEXT_CURSOR: Field = Field::sometimes("next_cursor", Kind::Text);

/// The fields of a page of `items`.
pub const fn page_of(items: &'static [Field]) -> [Field; 2] {
    [Field::always("items", Kind::List(items)), NEXT_CURSOR]
}

/// A page of items that another tool answers one by one: `like` says which.
pub const fn page_like(like: &'static str) -> [Field; 2] {
    [Field::always("items", Kind::Objects).about(like), NEXT_CURSOR]
}

/// An account.
pub const ACCOUNT_ANSWER: &[Field] = &[
    Field::always("account_id", Kind::Text),
    Field::sometimes("name", Kind::Text),
    Field::always("access", Kind::Text),
    Field::always("granted", Kind::Flag),
    Field::always("kind", Kind::Text),
    Field::always("status", Kind::Text),
    Field::always("cash", Kind::Text),
    Field::always("reserved", Kind::Text),
    Field::always("collateral", Kind::Text),
    Field::sometimes("buying_power", Kind::Text),
    Field::sometimes("equity", Kind::Text),
    Field::sometimes("margin_equity", Kind::Text),
    Field::sometimes("initial_margin", Kind::Text),
    Field::sometimes("maintenance_margin", Kind::Text),
    Field::always("option_level", Kind::Whole),
    Field::always("flags", Kind::Words(|| vec!["deficit", "margin_call"])),
];

/// An order.
pub const ORDER_ANSWER: &[Field] = &[
    Field::always("order_id", Kind::Text),
    Field::always("client_order_id", Kind::Text),
    Field::sometimes("symbol", Kind::Text),
    Field::sometimes("side", Kind::Text),
    Field::sometimes("underlying_symbol", Kind::Text),
    Field::always("type", Kind::Text),
    Field::always("time_in_force", Kind::Text),
    Field::sometimes("qty", Kind::Text),
    Field::sometimes("notional", Kind::Text),
    Field::sometimes("limit_price", Kind::Text),
    Field::sometimes("stop_price", Kind::Text),
    Field::sometimes("hwm", Kind::Text),
    Field::always("status", Kind::Text),
    Field::always("filled_qty", Kind::Text),
    Field::sometimes("filled_avg_price", Kind::Text),
    Field::always("children", Kind::Objects),
    Field::always("legs", Kind::Objects),
    Field::always("created_at", Kind::Text),
];

/// What a call left of an order: the answer has all that [`ORDER_ANSWER`] has.
pub const LEFT_ANSWER: &[Field] = &[
    Field::always("order_id", Kind::Text),
    Field::always("status", Kind::Text),
    Field::always("filled_qty", Kind::Text),
    Field::sometimes("filled_avg_price", Kind::Text),
    Field::always("replayed", Kind::Flag),
    POSITION,
];

/// An order that closes a position.
pub const CLOSED_ANSWER: &[Field] = &[
    Field::always("order_id", Kind::Text),
    Field::always("status", Kind::Text),
    Field::always("filled_qty", Kind::Text),
    Field::sometimes("filled_avg_price", Kind::Text),
    Field::sometimes("left", Kind::Object),
    Field::always("replayed", Kind::Flag),
    POSITION,
];

/// A page of orders.
pub const ORDERS_ANSWER: &[Field] = &page_like("Orders as order_by_id shows them.");

/// An event of the log.
pub const EVENT_ANSWER: &[Field] = &[
    POSITION,
    Field::always("stream", Kind::Text),
    Field::always("event_type", Kind::Text),
    Field::always("recorded_at", Kind::Text),
    Field::always("payload", Kind::Object),
    Field::always("metadata", Kind::Object),
];

/// A page of events.
pub const EVENTS_ANSWER: &[Field] = &page_of(EVENT_ANSWER);
