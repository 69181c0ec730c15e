//! The server itself.

use serde_json::json;

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind};
use super::super::shelf::Toolset;
use super::{Answered, Call, Effect, Entry, entries};
use crate::identity::Act;

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "list_tools",
        title: "Tools",
        toolset: Toolset::System,
        effect: Effect::Reads,
        act: Act::ReadServer,
        about: "The tools on offer to you, by toolset, and whether each changes anything. Example: {}. Their \
                arguments are in tools/list.",
        takes: &[],
        answers: &[Field::always(
            "tools",
            Kind::List(&[
                Field::always("name", Kind::Text),
                Field::always("title", Kind::Text),
                Field::always("toolset", Kind::Text),
                Field::always("read_only", Kind::Flag),
            ]),
        )],
        run: |call, arguments| Box::pin(list_tools(call, arguments)),
    },
    Entry {
        name: "health_check",
        title: "Health",
        toolset: Toolset::System,
        effect: Effect::Reads,
        act: Act::ReadServer,
        about: "Whether the ledger takes commands, the time on the market's clock, and how far the views are. \
                Example: {}. Not ready: ask again in a few seconds.",
        takes: &[],
        answers: &[
            Field::always("ready", Kind::Flag),
            Field::always("writer", Kind::Flag),
            Field::always("engine", Kind::Text),
            Field::sometimes("market_time", Kind::Text),
        ],
        run: |call, arguments| Box::pin(health_check(call, arguments)),
    },
];

async fn list_tools(call: Call<'_>, arguments: Arguments) -> Answered {
    arguments.end()?;
    let offered = entries().filter(|entry| entry.is_offered(call.shelf, call.visitor));
    let tools: Vec<_> = offered
        .map(|entry| {
            json!({
                "name": entry.name,
                "title": entry.title,
                "toolset": entry.toolset.word(),
                "read_only": entry.effect == Effect::Reads,
            })
        })
        .collect();
    answer(&json!({ "tools": tools }))
}

async fn health_check(call: Call<'_>, arguments: Arguments) -> Answered {
    arguments.end()?;
    answer(&call.service.health().await)
}
