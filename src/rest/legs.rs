//! The legs of an mleg order in the body of an order.

use aggregates::order::{LEGS, PositionIntent, SHARES_MAX, Side};

use super::input::Fields;
use super::openapi::Field;
use super::orders::SIDES;
use crate::service::{Fault, LegRequest, SYMBOL_MAX};

/// Whether a leg opens or closes, by its words.
pub(super) const INTENTS: [(&str, PositionIntent); 4] = [
    ("buy_to_open", PositionIntent::BuyToOpen),
    ("buy_to_close", PositionIntent::BuyToClose),
    ("sell_to_open", PositionIntent::SellToOpen),
    ("sell_to_close", PositionIntent::SellToClose),
];

/// What a body may have of legs.
pub(super) fn field() -> Field {
    let leg = [
        Field::text(
            "symbol",
            SYMBOL_MAX,
            "The OCC symbol of an option, or the ticker of the stock that they are on.",
        )
        .required()
        .example("AAPL261218C00190000"),
        Field::word("side", &SIDES, "Buy or sell; `position_intent` says it too."),
        Field::whole_text(
            "ratio_qty",
            1,
            SHARES_MAX.into(),
            "How many of it one package has: contracts of an option, 100 at the most, or shares of the stock in whole hundreds, \
             10,000 at the most. 1 if absent; of the stock it has to be there.",
        ),
        Field::word(
            "position_intent",
            &INTENTS,
            "Whether it opens a position or closes one; found from what is held if absent.",
        ),
    ];
    Field::objects(
        "legs",
        LEGS,
        &leg,
        "What an mleg order trades: 2 to 4 symbols on one underlying, at most one of them the stock, with ratios in lowest terms.",
    )
}

/// The legs of a body. What cannot be read is faulty, and then stands for anything.
pub(super) fn read(body: &mut Fields) -> Option<Vec<LegRequest>> {
    body.objects("legs", |leg| {
        let symbol = leg.text("symbol", SYMBOL_MAX);
        let intent = leg.word("position_intent", &INTENTS);
        let side = leg.word("side", &SIDES).or(intent.map(PositionIntent::side));
        let ratio = leg.whole_text("ratio_qty", 1, SHARES_MAX.into());
        LegRequest {
            symbol: leg.need("symbol", symbol).unwrap_or_else(|| "-".to_owned()),
            side: leg.need("side", side).unwrap_or(Side::Buy),
            ratio_qty: ratio.and_then(|ratio| u32::try_from(ratio).ok()).unwrap_or(1),
            position_intent: intent,
        }
    })
}

/// That an mleg order has no side of its own.
pub(super) fn no_side() -> Fault {
    let message =
        "an mleg order has no side of its own: each of its legs has one, so leave side out";
    Fault::new("side", "invalid_order", message)
}
