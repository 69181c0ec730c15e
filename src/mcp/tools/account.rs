//! Accounts and what they hold.

use projections::activities::ActivityType;
use serde_json::json;

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind};
use super::super::shelf::Toolset;
use super::fields::{ACCOUNT, ACCOUNT_ANSWER, CURSOR, LIMIT, PERIOD, page, page_like, page_of};
use super::{Answered, Call, Effect, Entry};
use crate::identity::Act;
use crate::service::{ActivityFilter, Fresh};

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "account_info",
        title: "Account",
        toolset: Toolset::Account,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "Cash, reserved cash, buying power and equity of an account, in US dollars. Example: {}. With \
                several accounts and no account_id the error lists their ids.",
        takes: &[ACCOUNT],
        answers: ACCOUNT_ANSWER,
        run: |call, arguments| Box::pin(account_info(call, arguments)),
    },
    Entry {
        name: "account_details",
        title: "Account in full",
        toolset: Toolset::Account,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "account_info with the limits of the account (policy), what it has lost and may lose where they limit that \
                (losses), and the time of the prices it is valued at. Example: {}. On account_not_found see get_all_accounts.",
        takes: &[ACCOUNT],
        answers: &[
            Field::always("account_id", Kind::Text),
            Field::always("policy", Kind::Object),
            Field::sometimes("losses", Kind::Object),
            Field::sometimes("marked_at", Kind::Text),
        ],
        run: |call, arguments| Box::pin(account_info(call, arguments)),
    },
    Entry {
        name: "get_account_balance",
        title: "Balance",
        toolset: Toolset::Account,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "The money of an account alone, in US dollars: cash, what open orders have reserved of it, what secures its short \
                puts (collateral), what new orders may cost, equity (absent when a position has no price). Example: {}. On account_not_found \
                see get_all_accounts.",
        takes: &[ACCOUNT],
        answers: &[
            Field::always("account_id", Kind::Text),
            Field::always("cash", Kind::Text),
            Field::always("reserved", Kind::Text),
            Field::always("collateral", Kind::Text),
            Field::sometimes("buying_power", Kind::Text),
            Field::sometimes("equity", Kind::Text),
        ],
        run: |call, arguments| Box::pin(balance(call, arguments)),
    },
    Entry {
        name: "get_all_accounts",
        title: "All accounts",
        toolset: Toolset::Account,
        effect: Effect::Reads,
        act: Act::ListAccounts,
        about: "Your accounts, oldest first, then those that others granted you (granted true, access your role). Example: {\"limit\": 10}. On bad_cursor leave the cursor out.",
        takes: &[LIMIT, CURSOR],
        answers: &page_like("Accounts as account_info shows them."),
        run: |call, arguments| Box::pin(all_accounts(call, arguments)),
    },
    Entry {
        name: "positions",
        title: "Positions",
        toolset: Toolset::Account,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "What an account holds: shares, shares free to sell, cost, value and profit in US dollars, source \
                and time of the price, and the first 10 of lots_total lots. Example: {\"limit\": 50}. A value without a price is absent, never guessed.",
        takes: &[ACCOUNT, LIMIT, CURSOR],
        answers: &page_of(&[
            Field::always("symbol", Kind::Text),
            Field::always("side", Kind::Text),
            Field::always("qty", Kind::Text),
            Field::always("qty_available", Kind::Text),
            Field::always("qty_covering", Kind::Text),
            Field::sometimes("avg_entry_price", Kind::Text),
            Field::always("cost_basis", Kind::Text),
            Field::always("lots_total", Kind::Whole),
            Field::sometimes("current_price", Kind::Text),
            Field::sometimes("market_value", Kind::Text),
            Field::sometimes("unrealized_pl", Kind::Text),
            Field::always("realized_pl", Kind::Text),
            Field::sometimes("mark_source", Kind::Text),
            Field::sometimes("marked_at", Kind::Text),
        ]),
        run: |call, arguments| Box::pin(positions(call, arguments)),
    },
    Entry {
        name: "account_activities",
        title: "Activities",
        toolset: Toolset::Account,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "What changed an account, newest first: fills (FILL; one a leg), deposits (CSD), withdrawals (CSW), fees (FEE), \
                dividends (DIV), cash for fractions of shares (CIL), options exercised (OPEXC), assigned (OPASN), expired \
                (OPEXP), settled in cash (OPCSH), sold out (OPSLD) or adjusted by a split (OPCA), shares at the strike \
                (OPTRD), resets (RESET). Example: {\"types\": [\"FILL\", \"FEE\"]}.",
        takes: &[
            Field::new(
                "types",
                Kind::Words(|| ActivityType::ALL.map(ActivityType::word).to_vec()),
                "Which types. Default: all.",
            ),
            PERIOD.about("How far back, such as 1D, 2W, 3M or 1A. Default: all."),
            LIMIT,
            CURSOR,
            ACCOUNT,
        ],
        answers: &page_of(&[
            Field::always("activity", Kind::Whole),
            Field::sometimes("leg", Kind::Whole),
            Field::always("activity_type", Kind::Text),
            Field::sometimes("symbol", Kind::Text),
            Field::sometimes("side", Kind::Text),
            Field::sometimes("qty", Kind::Text),
            Field::sometimes("price", Kind::Text),
            Field::always("net_amount", Kind::Text),
            Field::sometimes("order_id", Kind::Text),
            Field::sometimes("end", Kind::Text),
            Field::always("at", Kind::Text),
        ]),
        run: |call, arguments| Box::pin(activities(call, arguments)),
    },
];

async fn account_info(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    answer(&call.service.account(&caller, account, Fresh::default()).await?)
}

async fn balance(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    let account = call.service.account(&caller, account, Fresh::default()).await?;
    answer(&json!({
        "account_id": account.account_id,
        "cash": account.cash,
        "reserved": account.reserved,
        "collateral": account.collateral,
        "buying_power": account.buying_power,
        "equity": account.equity,
        "position": account.position,
    }))
}

async fn all_accounts(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let page = page(&mut arguments);
    arguments.end()?;
    let caller = call.caller(None).await?;
    answer(&call.service.accounts(&caller, &page, Fresh::default()).await?)
}

async fn positions(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let (named, page) = (arguments.account_id(), page(&mut arguments));
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    answer(&call.service.positions(&caller, account, &page, Fresh::default()).await?)
}

async fn activities(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let (named, page) = (arguments.account_id(), page(&mut arguments));
    let kinds = arguments.words("types", &ActivityType::ALL.map(|kind| (kind.word(), kind)));
    let period = arguments.period("period");
    arguments.end()?;
    let after = period.and_then(|period| call.service.before(period));
    let filter = ActivityFilter { kinds: kinds.unwrap_or_default(), after, until: None };
    let (caller, account) = call.account(named).await?;
    answer(&call.service.activities(&caller, account, &filter, &page, Fresh::default()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_activity_is_named() {
        let tool = TOOLS.iter().find(|tool| tool.name == "account_activities").unwrap();
        for kind in ActivityType::ALL {
            assert!(tool.about.contains(kind.word()), "{}", kind.word());
        }
    }
}
