//! What an account is worth, now and at each close, and as it was.

use aggregates::id::AccountId;
use serde_json::Value;

use super::super::arguments::Arguments;
use super::super::results::{answer, shown};
use super::super::schema::{Field, Kind};
use super::super::shelf::Toolset;
use super::fields::{ACCOUNT, CURSOR, NEXT_CURSOR, PERIOD, page_up_to};
use super::{Answered, Call, Effect, Entry};
use crate::identity::Act;
use crate::service::{Fresh, HISTORY_PAGE, HistoryPeriod, ServiceError};

/// Points of a page.
const POINTS: Field = Field::new("limit", Kind::Whole, "1 to 500. Default: 500.");

/// The sums of a portfolio.
const SUMMARY: [Field; 8] = [
    Field::always("account_id", Kind::Text),
    Field::sometimes("equity", Kind::Text),
    Field::always("cash", Kind::Text),
    Field::sometimes("long_market_value", Kind::Text),
    Field::sometimes("unrealized_pl", Kind::Text),
    Field::always("realized_pl", Kind::Text),
    Field::sometimes("day_change", Kind::Text),
    Field::sometimes("day_change_pct", Kind::Text),
];

/// The sums, and the holdings.
const PORTFOLIO: &[Field] = &{
    let [account, equity, cash, long, unrealized, realized, change, change_pct] = SUMMARY;
    let greeks = Field::sometimes("greeks", Kind::Object).about("With options: of all holdings.");
    let holdings = Field::always("positions", Kind::Objects)
        .about("As positions shows them, with weight and change_today.");
    [account, equity, cash, long, unrealized, realized, change, change_pct, greeks, holdings]
};

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "portfolio",
        title: "Portfolio",
        toolset: Toolset::Account,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "What an account is worth, holding by holding, in US dollars: equity, cash, value, profit taken and \
                not taken, weights (0.25 is 25 %), the change since the last official close. Example: {}. Holdings \
                without a price are named in unmarked; sums that need one are absent.",
        takes: &[ACCOUNT],
        answers: PORTFOLIO,
        run: |call, arguments| Box::pin(portfolio(call, arguments)),
    },
    Entry {
        name: "get_portfolio",
        title: "Portfolio",
        toolset: Toolset::Account,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "Another name of portfolio. Example: {}. On account_not_found see get_all_accounts.",
        takes: &[ACCOUNT],
        answers: &[
            Field::always("account_id", Kind::Text),
            Field::always("positions", Kind::Objects),
        ],
        run: |call, arguments| Box::pin(portfolio(call, arguments)),
    },
    Entry {
        name: "get_portfolio_summary",
        title: "Portfolio in short",
        toolset: Toolset::Account,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "The sums of portfolio without the holdings, in US dollars. Example: {}. On account_not_found see \
                get_all_accounts.",
        takes: &[ACCOUNT],
        answers: &SUMMARY,
        run: |call, arguments| Box::pin(summary(call, arguments)),
    },
    Entry {
        name: "portfolio_history",
        title: "Portfolio history",
        toolset: Toolset::Account,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "What an account was worth at the official close of each session, oldest first, in US dollars, and \
                the profit since the base value (profit_loss_pct 0.05 is 5 %). Example: {\"period\": \"3M\"}. A \
                session in which a holding had no close has no equity.",
        takes: &[PERIOD, POINTS, CURSOR, ACCOUNT],
        answers: &[
            Field::always("account_id", Kind::Text),
            Field::always("timeframe", Kind::Text),
            Field::sometimes("base_value", Kind::Text),
            Field::sometimes("base_value_asof", Kind::Text),
            Field::always(
                "items",
                Kind::List(&[
                    Field::always("session", Kind::Text),
                    Field::always("at", Kind::Text),
                    Field::sometimes("equity", Kind::Text),
                    Field::always("cash", Kind::Text),
                    Field::sometimes("profit_loss", Kind::Text),
                    Field::sometimes("profit_loss_pct", Kind::Text),
                ]),
            ),
            NEXT_CURSOR,
        ],
        run: |call, arguments| Box::pin(history(call, arguments)),
    },
];

async fn read(call: Call<'_>, named: Option<AccountId>) -> Result<Value, ServiceError> {
    let (caller, account) = call.account(named).await?;
    shown(&call.service.portfolio(&caller, account, Fresh::default()).await?)
}

async fn portfolio(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    arguments.end()?;
    answer(&read(call, named).await?)
}

async fn summary(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    arguments.end()?;
    let mut portfolio = read(call, named).await?;
    if let Value::Object(sums) = &mut portfolio {
        sums.remove("positions");
        if let Some(Value::Object(greeks)) = sums.get_mut("greeks") {
            greeks.remove("underlyings");
        }
    }
    answer(&portfolio)
}

async fn history(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    let period = arguments.period("period").unwrap_or(HistoryPeriod::DEFAULT);
    let page = page_up_to(&mut arguments, HISTORY_PAGE);
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    let (service, fresh) = (call.service, Fresh::default());
    answer(&service.portfolio_history(&caller, account, period, &page, fresh).await?)
}
