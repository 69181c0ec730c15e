//! What an account holds of options.

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind};
use super::super::shelf::Toolset;
use super::fields::{ACCOUNT, CURSOR, LIMIT, page, page_like, page_of};
use super::{Answered, Call, Effect, Entry};
use crate::identity::Act;
use crate::service::Fresh;

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "open_option_positions",
        title: "Open option positions",
        toolset: Toolset::OptionsData,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "The options that an account holds, as positions shows them; qty in contracts, below zero when short. Example: {}. \
                aggregate_option_positions has their greeks.",
        takes: &[LIMIT, CURSOR, ACCOUNT],
        answers: &page_like("Positions as positions shows them."),
        run: |call, arguments| Box::pin(option_positions(call, arguments, true)),
    },
    Entry {
        name: "all_option_positions",
        title: "All option positions",
        toolset: Toolset::OptionsData,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "open_option_positions and those that are closed, with the profit that they took. Example: {\"limit\": 50}.",
        takes: &[LIMIT, CURSOR, ACCOUNT],
        answers: &page_like("Positions as positions shows them."),
        run: |call, arguments| Box::pin(option_positions(call, arguments, false)),
    },
    Entry {
        name: "aggregate_option_positions",
        title: "Option positions by underlying",
        toolset: Toolset::OptionsData,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "What an account holds of options by underlying: contracts; cost, value and profit of the options alone; greeks of \
                options and shares together (delta in shares); covers, the strategies that they make with what each needs, which \
                sum to requirement. Example: {}. missing in greeks names what cannot be valued and why.",
        takes: &[ACCOUNT],
        answers: &page_of(&[
            Field::always("underlying_symbol", Kind::Text),
            Field::always("shares", Kind::Text),
            Field::always("long_contracts", Kind::Text),
            Field::always("short_contracts", Kind::Text),
            Field::always("cost_basis", Kind::Text),
            Field::sometimes("market_value", Kind::Text),
            Field::sometimes("unrealized_pl", Kind::Text),
            Field::sometimes("greeks", Kind::Object),
            Field::sometimes("requirement", Kind::Text),
            Field::sometimes("covers", Kind::Objects),
        ]),
        run: |call, arguments| Box::pin(aggregate(call, arguments)),
    },
];

async fn option_positions(call: Call<'_>, mut arguments: Arguments, held: bool) -> Answered {
    let (named, page) = (arguments.account_id(), page(&mut arguments));
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    let fresh = Fresh::default();
    answer(&call.service.option_positions(&caller, account, held, &page, fresh).await?)
}

async fn aggregate(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    arguments.end()?;
    let (caller, account) = call.account(named).await?;
    answer(&call.service.option_underlyings(&caller, account, Fresh::default()).await?)
}
