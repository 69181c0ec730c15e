//! The log and its proof.

use aggregates::stream::StreamId;

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind};
use super::super::shelf::Toolset;
use super::fields::{CURSOR, EVENTS_ANSWER, LIMIT, page};
use super::{Answered, Call, Effect, Entry};
use crate::service::EventFilter;

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "audit_trail",
        title: "Audit trail",
        toolset: Toolset::Audit,
        effect: Effect::Reads,
        about: "Events of the log as they were hashed, oldest first: who did what, when, by which tool, with salt and \
                leaf for a proof. Example: {\"after\": 100, \"limit\": 20}. Default: the whole log from its beginning. \
                For the next page send the position of the last item as after, or next_cursor as cursor.",
        takes: &[
            Field::new(
                "order_id",
                Kind::Text,
                "Only events of this order. Default: of everything.",
            ),
            Field::new("account_id", Kind::Text, "Only events of this account. Default: of all."),
            Field::new("after", Kind::Whole, "Only events behind this position. Default: 0."),
            LIMIT,
            CURSOR,
        ],
        answers: EVENTS_ANSWER,
        run: |call, arguments| Box::pin(audit_trail(call, arguments)),
    },
    Entry {
        name: "verify_audit",
        title: "Verify the audit log",
        toolset: Toolset::Audit,
        effect: Effect::Reads,
        about: "Recomputes every hash of the log, its Merkle root against the signed checkpoints, the invariants of \
                money and shares, and every view. Takes no arguments. Example: {}. Takes seconds on a long log; if \
                valid is false, problems names the first bad position.",
        takes: &[],
        answers: &[
            Field::always("valid", Kind::Flag),
            Field::always("position", Kind::Whole),
            Field::always("root", Kind::Text),
            Field::always("problems", Kind::List(&[])),
        ],
        run: |call, arguments| Box::pin(verify_audit(call, arguments)),
    },
];

async fn audit_trail(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let filter = EventFilter {
        account_id: arguments.account_id(),
        stream: arguments.id("order_id").map(StreamId::Order),
        after: arguments.whole("after", 0, i64::MAX.cast_unsigned()),
    };
    let page = page(&mut arguments);
    arguments.end()?;
    answer(&call.service.audit_events(call.caller, &filter, &page).await?)
}

async fn verify_audit(call: Call<'_>, arguments: Arguments) -> Answered {
    arguments.end()?;
    answer(&call.service.verify(call.caller).await?)
}
