//! The risk of an account, and what an order would do to it.

use aggregates::money::Price;

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind, words};
use super::super::shelf::Toolset;
use super::fields::ACCOUNT;
use super::orders::{ORDER, order_of};
use super::{Answered, Call, Effect, Entry};
use crate::identity::Act;
use crate::service::{Fresh, HORIZON_MAX, RiskMethod, RiskRequest};

const METHOD: Field =
    Field::new("method", Kind::Word(|| words(&RiskMethod::WORDS)), "Default: historical.");
const CONFIDENCE: Field =
    Field::new("confidence", Kind::Text, "Above 0.5, at most 0.999. Default: 0.95.");
const HORIZON: Field =
    Field::new("horizon_days", Kind::Whole, "Trading days, 1 to 30. Default: 1.");

pub const TOOLS: &[Entry] = &[ANALYZE_ORDER, PORTFOLIO];

const ANALYZE_ORDER: Entry = Entry {
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
};

const PORTFOLIO: Entry = Entry {
    name: "portfolio_risk",
    title: "Risk of a portfolio",
    toolset: Toolset::Risk,
    effect: Effect::Reads,
    act: Act::ReadAccount,
    about: "The risk of what an account holds, in US dollars: exposure, concentration, greeks, a stress grid (-0.1 is 10 % down), \
            value at risk and expected shortfall (a loss is above 0), beta, and how the account did. Example: \
            {\"method\": \"historical\", \"confidence\": \"0.99\"}. missing says what is absent and why.",
    takes: &[METHOD, CONFIDENCE, HORIZON, ACCOUNT],
    answers: &[
        Field::sometimes("equity", Kind::Text),
        Field::sometimes("exposure", Kind::Object),
        Field::sometimes("concentration", Kind::Object),
        Field::always("greeks", Kind::Object),
        Field::sometimes("stress", Kind::Objects),
        Field::sometimes("value_at_risk", Kind::Object),
        Field::sometimes("history", Kind::Object),
        Field::always("performance", Kind::Object),
        Field::always("missing", Kind::Objects),
        Field::always("source", Kind::Text),
        Field::always("market_time", Kind::Text),
    ],
    run: |call, arguments| Box::pin(portfolio(call, arguments)),
};

async fn analyze(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let (named, request) = order_of(&mut arguments);
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    answer(&call.service.analyze_order(&caller, account, &request).await?)
}

async fn portfolio(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    let method = arguments.word("method", &RiskMethod::WORDS);
    let confidence = arguments.amount("confidence").map(Price::decimal);
    let horizon_days = arguments.whole("horizon_days", 1, HORIZON_MAX);
    let request = RiskRequest::new(method, confidence, horizon_days);
    if let Some(fault) = request.fault() {
        arguments.refuse(&fault.field, &fault.message);
    }
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    answer(&call.service.portfolio_risk(&caller, account, request, Fresh::default()).await?)
}
