//! Placing orders of options: of one contract, or of several legs at one net price.

use aggregates::instrument::{Contract, Right};
use aggregates::money::Price;
use aggregates::order::{OrderClass, OrderType, PositionIntent, SHARES_MAX, Side, TimeInForce};

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind, words};
use super::super::shelf::Toolset;
use super::fields::{ACCOUNT, CLIENT_ORDER_ID, LEFT_ANSWER, NOTE};
use super::kinds::{OPTION, expect};
use super::orders::{SIDES, renamed};
use super::{Answered, Call, Effect, Entry};
use crate::identity::Act;
use crate::service::{Fault, LegRequest, OrderRequest, SYMBOL_MAX, ServiceError};

/// Whether an order opens or closes, by its words.
pub(super) const INTENTS: &[(&str, PositionIntent)] = &[
    ("buy_to_open", PositionIntent::BuyToOpen),
    ("buy_to_close", PositionIntent::BuyToClose),
    ("sell_to_open", PositionIntent::SellToOpen),
    ("sell_to_close", PositionIntent::SellToClose),
];
const TO_BUY: &[(&str, PositionIntent)] =
    &[("buy_to_open", PositionIntent::BuyToOpen), ("buy_to_close", PositionIntent::BuyToClose)];
const TO_SELL: &[(&str, PositionIntent)] =
    &[("sell_to_open", PositionIntent::SellToOpen), ("sell_to_close", PositionIntent::SellToClose)];
const TIMES: &[(&str, TimeInForce)] = &[("day", TimeInForce::Day), ("gtc", TimeInForce::Gtc)];
/// The fields of a leg.
const LEG: [&str; 4] = ["symbol", "side", "ratio_qty", "position_intent"];

pub(super) const CONTRACT: Field =
    Field::new("instrument_id", Kind::Text, "OCC symbol, such as AAPL261218C00190000.").required();
const CONTRACTS: Field = Field::new("quantity", Kind::Text, "Contracts, such as \"1\".").required();
const PREMIUM: Field =
    Field::new("limit_price", Kind::Text, "Dollars a share: a contract costs 100 times.")
        .required();
const TIME: Field = Field::new("time_in_force", Kind::Word(|| words(TIMES)), "Default: day.");
const INTENT: &str = "Default: closes what is held against it, else opens.";
const SHORT: Field =
    Field::new("short_instrument_id", Kind::Text, "OCC symbol to sell.").required();
const LONG: Field = Field::new("long_instrument_id", Kind::Text, "OCC symbol to buy.").required();
const SPREADS: Field = Field::new("quantity", Kind::Text, "Spreads, such as \"1\".").required();
/// The legs of an order as an argument.
pub(super) const LEGS: Field = Field::new(
    "legs",
    Kind::Objects,
    "2 to 4 of {symbol, side, ratio_qty (1), position_intent?}; one may be the stock, ratio_qty 100, 200 …",
);

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "buy_option_limit",
        title: "Buy an option",
        toolset: Toolset::OptionOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Buys contracts of an option at limit_price or less. Example: {\"instrument_id\": \"AAPL261218C00190000\", \
                \"quantity\": \"1\", \"limit_price\": \"2.50\"} costs at most 250 dollars. On option_level see option_level of \
                account_details.",
        takes: &[
            CONTRACT,
            CONTRACTS,
            PREMIUM,
            Field::new("position_intent", Kind::Word(|| words(TO_BUY)), INTENT),
            TIME,
            CLIENT_ORDER_ID.about("Your id: the same call again is the same order."),
            NOTE,
            ACCOUNT,
        ],
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(single(call, arguments, Side::Buy)),
    },
    Entry {
        name: "sell_option_limit",
        title: "Sell an option",
        toolset: Toolset::OptionOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Sells contracts of an option at limit_price or more: those held, or to open where shares, cash or margin cover them. \
                Example: {\"instrument_id\": \"AAPL261218C00190000\", \"quantity\": \"1\", \"limit_price\": \"2.50\"}. On \
                option_level a spread may do.",
        takes: &[
            CONTRACT,
            CONTRACTS,
            PREMIUM,
            Field::new("position_intent", Kind::Word(|| words(TO_SELL)), INTENT),
            TIME,
            CLIENT_ORDER_ID.about("Your id: the same call again is the same order."),
            NOTE,
            ACCOUNT,
        ],
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(single(call, arguments, Side::Sell)),
    },
    Entry {
        name: "option_credit_spread",
        title: "Sell a spread",
        toolset: Toolset::OptionOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Sells one option and buys another as one order, both or neither, for credit_price or more. Example: \
                {\"short_instrument_id\": \"AAPL261218C00190000\", \"long_instrument_id\": \"AAPL261218C00191000\", \
                \"quantity\": \"1\", \"credit_price\": \"0.38\"}.",
        takes: &[
            SHORT,
            LONG,
            SPREADS,
            Field::new("credit_price", Kind::Text, "Dollars a share to receive, above 0.")
                .required(),
            TIME,
            CLIENT_ORDER_ID.about("Your id: the same call again is the same order."),
            NOTE,
            ACCOUNT,
        ],
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(spread(call, arguments, "credit_price")),
    },
    Entry {
        name: "option_debit_spread",
        title: "Buy a spread",
        toolset: Toolset::OptionOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "Buys one option and sells another as one order, both or neither, for debit_price or less. Example: \
                {\"short_instrument_id\": \"AAPL261218C00191000\", \"long_instrument_id\": \"AAPL261218C00190000\", \
                \"quantity\": \"1\", \"debit_price\": \"0.42\"}.",
        takes: &[
            SHORT,
            LONG,
            SPREADS,
            Field::new("debit_price", Kind::Text, "Dollars a share to pay, above 0.").required(),
            TIME,
            CLIENT_ORDER_ID.about("Your id: the same call again is the same order."),
            NOTE,
            ACCOUNT,
        ],
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(spread(call, arguments, "debit_price")),
    },
    Entry {
        name: "place_multi_leg_order",
        title: "Place an order of several legs",
        toolset: Toolset::OptionOrders,
        effect: Effect::Places,
        act: Act::PlaceOrder,
        about: "2 to 4 options on one underlying, perhaps with its stock, as one order: all legs or none. Example: {\"legs\": \
                [{\"symbol\": \"AAPL261218P00180000\", \"side\": \"buy\"}, {\"symbol\": \"AAPL261218C00190000\", \"side\": \"buy\"}], \
                \"quantity\": \"1\", \"limit_price\": \"4.10\"}. preview_order tells what it risks.",
        takes: &[
            LEGS.required(),
            Field::new("quantity", Kind::Text, "Packages, such as \"1\".").required(),
            Field::new(
                "limit_price",
                Kind::Text,
                "Net dollars a share of a package: above 0 to pay, below 0 to receive.",
            )
            .required(),
            TIME,
            CLIENT_ORDER_ID.about("Your id: the same call again is the same order."),
            NOTE,
            ACCOUNT,
        ],
        answers: LEFT_ANSWER,
        run: |call, arguments| Box::pin(several(call, arguments)),
    },
];

/// What fields of an order of one option are called among the arguments.
const OF_ONE: [(&str, &str); 2] = [("qty", "quantity"), ("symbol", "instrument_id")];
/// What fields of an order of several legs are called.
const OF_SEVERAL: [(&str, &str); 1] = [("qty", "quantity")];

async fn single(call: Call<'_>, mut arguments: Arguments, side: Side) -> Answered {
    let named = arguments.account_id();
    let symbol = arguments.required_text("instrument_id", SYMBOL_MAX);
    let qty = arguments.required_amount("quantity");
    let limit_price = Some(arguments.required_amount("limit_price"));
    let intents = if side == Side::Buy { TO_BUY } else { TO_SELL };
    let request = OrderRequest {
        limit_price,
        position_intent: arguments.word("position_intent", intents),
        ..common(&mut arguments, OrderRequest::plain(symbol, side, OrderType::Limit, qty))
    };
    arguments.end()?;
    expect(call, "instrument_id", &request.symbol, OPTION)?;
    let (caller, account) = call.account(named).await?;
    let placed = call.service.place_order(&caller, account, request).await;
    answer(&placed.map_err(|error| renamed(error, &OF_ONE))?)
}

async fn spread(call: Call<'_>, mut arguments: Arguments, price: &'static str) -> Answered {
    let named = arguments.account_id();
    let mut leg = |name: &str, side| LegRequest {
        symbol: arguments.required_text(name, SYMBOL_MAX),
        side,
        ratio_qty: 1,
        position_intent: None,
    };
    let legs = vec![leg("short_instrument_id", Side::Sell), leg("long_instrument_id", Side::Buy)];
    let net: Price = arguments.required_amount(price);
    if !net.is_positive() && arguments.is_sound() {
        arguments.refuse(
            price,
            &format!("{price} has to be above 0: the tool says which way the money goes"),
        );
    }
    let net = if price == "credit_price" { net.negated() } else { net };
    let names = [
        ("qty", "quantity"),
        ("limit_price", price),
        ("legs[0].symbol", "short_instrument_id"),
        ("legs[1].symbol", "long_instrument_id"),
    ];
    let request = mleg(&mut arguments, legs, net);
    arguments.end()?;
    let names_of_legs = ["short_instrument_id", "long_instrument_id"];
    for (leg, name) in request.legs.iter().flatten().zip(names_of_legs) {
        expect(call, name, &leg.symbol, OPTION)?;
    }
    if let Some(fault) = swapped(&request, price) {
        return Err(ServiceError::Invalid(vec![fault]));
    }
    let (caller, account) = call.account(named).await?;
    let placed = call.service.place_order(&caller, account, request).await;
    answer(&placed.map_err(|error| renamed(error, &names))?)
}

/// A vertical spread whose legs are the wrong way round for this tool: the option that is sold has to be worth more than the one
/// bought to bring a credit, and less to cost a debit, which the strikes say of options that expire together.
fn swapped(request: &OrderRequest, price: &str) -> Option<Fault> {
    let contract = |leg: &LegRequest| leg.symbol.parse::<Contract>().ok();
    let [short, long] = request.legs.as_deref()? else { return None };
    let (short, long) = (contract(short)?, contract(long)?);
    let alike = |of: &Contract| (of.root().to_owned(), of.expiration(), of.right());
    if alike(&short) != alike(&long) || short.strike() == long.strike() {
        return None;
    }
    let worth_more = match short.right() {
        Right::Call => short.strike() < long.strike(),
        Right::Put => short.strike() > long.strike(),
    };
    let (credit, right) = (price == "credit_price", short.right().word());
    if worth_more == credit {
        return None;
    }
    let (more, money, other) = match credit {
        true => ("less", "costs money", "option_debit_spread"),
        false => ("more", "brings money", "option_credit_spread"),
    };
    let message = format!(
        "the {right} sold at {} is worth {more} than the {right} bought at {}, so the spread {money}: give {long} as \
         short_instrument_id and {short} as long_instrument_id, or use {other} for it as it is",
        short.strike(),
        long.strike(),
    );
    Some(Fault::new("short_instrument_id", "invalid_order", message))
}

async fn several(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    let legs = legs(&mut arguments, true).unwrap_or_default();
    let net = arguments.required_amount("limit_price");
    let request = mleg(&mut arguments, legs, net);
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    let placed = call.service.place_order(&caller, account, request).await;
    answer(&placed.map_err(|error| renamed(error, &OF_SEVERAL))?)
}

/// The legs that are asked for. What is missing in one is a fault, and faults are answered before it stands for anything.
pub(super) fn legs(arguments: &mut Arguments, required: bool) -> Option<Vec<LegRequest>> {
    if required {
        arguments.require("legs");
    }
    arguments.objects("legs", &LEG, |leg| {
        let intent = leg.word("position_intent", INTENTS);
        let side = match intent {
            Some(_) => leg.word("side", SIDES),
            None => leg.required_word("side", SIDES),
        };
        LegRequest {
            symbol: leg.required_text("symbol", SYMBOL_MAX),
            side: side.or(intent.map(PositionIntent::side)).unwrap_or(Side::Buy),
            ratio_qty: leg.whole("ratio_qty", 1, SHARES_MAX).unwrap_or(1),
            position_intent: intent,
        }
    })
}

/// An order of these legs at a net price.
fn mleg(arguments: &mut Arguments, legs: Vec<LegRequest>, net: Price) -> OrderRequest {
    let qty = arguments.required_amount("quantity");
    let plain = OrderRequest::plain(String::new(), Side::Buy, OrderType::Limit, qty);
    OrderRequest {
        limit_price: Some(net),
        order_class: OrderClass::Mleg,
        legs: Some(legs),
        ..common(arguments, plain)
    }
}

/// What all of them may say.
fn common(arguments: &mut Arguments, request: OrderRequest) -> OrderRequest {
    OrderRequest {
        time_in_force: arguments.word("time_in_force", TIMES).unwrap_or_default(),
        client_order_id: arguments.client_order_id(),
        note: arguments.note(),
        ..request
    }
}
