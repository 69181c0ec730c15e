//! Placing stock orders that belong together: an entry with its exits, or two exits of a position. One tool for all, since
//! every word of a tool costs its readers.

use aggregates::money::Price;
use aggregates::order::{Exits, OrderClass, OrderType, Side, StopLoss, TakeProfit, TimeInForce};

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind, words};
use super::fields::{ACCOUNT, CLIENT_ORDER_ID, LIMIT_PRICE, QUANTITY, SYMBOL};
use super::kinds::{STOCK, expect};
use super::orders::{SIDES, by_argument};
use super::{Answered, Call};
use crate::service::{OrderRequest, SYMBOL_MAX};

const CLASSES: &[(&str, OrderClass)] =
    &[("bracket", OrderClass::Bracket), ("oco", OrderClass::Oco), ("oto", OrderClass::Oto)];
/// How an entry may find its price over MCP.
const ENTRIES: &[(&str, OrderType)] = &[("market", OrderType::Market), ("limit", OrderType::Limit)];
const TIMES: &[(&str, TimeInForce)] = &[("day", TimeInForce::Day), ("gtc", TimeInForce::Gtc)];

/// What they take: every word of it counts among all tools.
pub(super) const FAMILY: &[Field] = &[
    SYMBOL.required(),
    Field::new("side", Kind::Word(|| words(SIDES)), "Of the entry; oco: sell closes long.")
        .required(),
    QUANTITY.required(),
    Field::new("order_class", Kind::Word(|| words(CLASSES)), "Default: bracket. oto: one exit."),
    Field::new("type", Kind::Word(|| words(ENTRIES)), "Default: by limit_price."),
    LIMIT_PRICE.about("Of the entry."),
    Field::new("take_profit_limit_price", Kind::Text, "Above the stop, below to buy back."),
    Field::new("stop_loss_stop_price", Kind::Text, "Dollars."),
    Field::new("stop_loss_limit_price", Kind::Text, "Default: none."),
    Field::new("time_in_force", Kind::Word(|| words(TIMES)), "Default: day."),
    CLIENT_ORDER_ID.about("Your id: the same call again is the same order."),
    ACCOUNT,
];

/// Places them.
pub(super) async fn place(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    let side = arguments.required_word("side", SIDES);
    let order_class = arguments.word("order_class", CLASSES).unwrap_or(OrderClass::Bracket);
    let limit_price = arguments.amount("limit_price");
    let order_type = arguments.word("type", ENTRIES);
    let entry = match order_class {
        OrderClass::Oco => OrderType::Limit,
        _ if limit_price.is_some() => OrderType::Limit,
        _ => OrderType::Market,
    };
    let exits = exits(&mut arguments, order_class != OrderClass::Oto);
    let symbol = arguments.required_text("symbol", SYMBOL_MAX);
    let qty = arguments.required_amount("quantity");
    // What is missing is a fault, and faults are answered before this stands for anything.
    let (side, order_type) = (side.unwrap_or(Side::Buy), order_type.unwrap_or(entry));
    let request = OrderRequest {
        limit_price,
        time_in_force: arguments.word("time_in_force", TIMES).unwrap_or_default(),
        order_class,
        exits: Some(exits),
        client_order_id: arguments.client_order_id(),
        ..OrderRequest::plain(symbol, side, order_type, qty)
    };
    arguments.end()?;
    expect(call, "symbol", &request.symbol, STOCK)?;
    let (caller, account) = call.account(named).await?;
    let placed = call.service.place_order(&caller, account, request).await;
    answer(&placed.map_err(by_argument)?)
}

/// The exits that are asked for, both of which have to be there or not.
fn exits(arguments: &mut Arguments, both: bool) -> Exits {
    let (profit, stop, limit) =
        ("take_profit_limit_price", "stop_loss_stop_price", "stop_loss_limit_price");
    let takes_profit = both || arguments.is_given(profit);
    let stops = both || arguments.is_given(stop) || arguments.is_given(limit);
    let take_profit =
        takes_profit.then(|| TakeProfit { limit_price: arguments.required_amount(profit) });
    let stop_loss = stops.then(|| {
        let stop_price: Price = arguments.required_amount(stop);
        StopLoss { stop_price, limit_price: arguments.amount(limit) }
    });
    Exits { take_profit, stop_loss }
}
