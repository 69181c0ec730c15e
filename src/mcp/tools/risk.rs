//! What orders do to the risk of an account.

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind};
use super::super::shelf::Toolset;
use super::orders::{ORDER, order_of};
use super::{Answered, Call, Effect, Entry};
use crate::identity::Act;

pub const TOOLS: &[Entry] = &[Entry {
    name: "analyze_order_risk",
    title: "Analyze the risk of an order",
    toolset: Toolset::Risk,
    effect: Effect::Reads,
    act: Act::PreviewOrder,
    about: "What an order would do to the risk of an account: margin, distance to a margin call, position, \
            concentration, leverage (0.25 is 25 % of the equity) before, after its arrival, and if all of it fills. \
            Nothing is stored. Example: {\"symbol\": \"AAPL\", \"side\": \"sell\", \"type\": \"market\", \"qty\": \
            \"10\"}. Refuses what placing would.",
    takes: ORDER,
    answers: &[
        Field::sometimes("symbol", Kind::Text),
        Field::sometimes("payoff", Kind::Object),
        Field::sometimes("greeks_before", Kind::Object),
        Field::sometimes("greeks_after", Kind::Object),
        Field::always("status", Kind::Text),
        Field::always("worst_cost", Kind::Text),
        Field::always("before", Kind::Object),
        Field::always("after", Kind::Object),
        Field::sometimes("if_filled", Kind::Object),
        Field::sometimes("if_filled_price", Kind::Text),
        Field::always("market_time", Kind::Text),
    ],
    run: |call, arguments| Box::pin(analyze(call, arguments)),
}];

async fn analyze(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let (named, request) = order_of(&mut arguments);
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    answer(&call.service.analyze_order(&caller, account, &request).await?)
}
