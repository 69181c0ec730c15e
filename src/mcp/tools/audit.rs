//! The log and its proof.

use aggregates::stream::StreamId;

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind};
use super::super::shelf::Toolset;
use super::fields::{ACCOUNT, CURSOR, LIMIT, page, page_like};
use super::{Answered, Call, Effect, Entry};
use crate::identity::Act;
use crate::service::{AsOf, EventFilter};

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "audit_trail",
        title: "Audit trail",
        toolset: Toolset::Audit,
        effect: Effect::Reads,
        act: Act::ReadEvents,
        about: "Events of the log as they were hashed, oldest first: who did what, when, by which tool, with salt \
                and leaf for a proof. Example: {\"after\": 100, \"limit\": 20}.",
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
        answers: &page_like("Events as order_history shows them, with salt and leaf."),
        run: |call, arguments| Box::pin(audit_trail(call, arguments)),
    },
    Entry {
        name: "verify_audit",
        title: "Verify the audit log",
        toolset: Toolset::Audit,
        effect: Effect::Reads,
        act: Act::VerifyLog,
        about: "Recomputes every hash of the log, its Merkle root against the signed checkpoints, the invariants \
                of money and shares, every view. Example: {}. Takes seconds on a long log; if not valid, problems \
                names the first bad position.",
        takes: &[],
        answers: &[
            Field::always("valid", Kind::Flag),
            Field::always("position", Kind::Whole),
            Field::always("root", Kind::Text),
            Field::always("problems", Kind::List(&[])),
        ],
        run: |call, arguments| Box::pin(verify_audit(call, arguments)),
    },
    Entry {
        name: "replay_account_at",
        title: "An account as it was",
        toolset: Toolset::Audit,
        effect: Effect::Reads,
        act: Act::ReadAccount,
        about: "An account as it was at a position of the log or at a time, folded from its events: cash, \
                reserved, buying power, holdings, in US dollars. Example: {\"position\": 100}. Name one of the \
                two; values that need a price of then are absent.",
        takes: &[
            Field::new("position", Kind::Whole, "After the event at this position of the log."),
            Field::new(
                "time",
                Kind::Text,
                "After what was recorded by this time of the wall clock, RFC 3339, such as 2026-11-23T14:30:00Z.",
            ),
            ACCOUNT,
        ],
        answers: &[
            Field::always("account_id", Kind::Text),
            Field::always("cash", Kind::Text),
            Field::always("reserved", Kind::Text),
            Field::always("positions", Kind::List(&[])),
            Field::always("open_orders", Kind::Whole),
            Field::always("position", Kind::Whole),
        ],
        run: |call, arguments| Box::pin(replay(call, arguments)),
    },
];

async fn replay(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    let position = arguments.whole("position", 0, i64::MAX.cast_unsigned());
    let time = arguments.time("time");
    let as_of = match (position, time) {
        (Some(position), None) => Some(AsOf::Position(position)),
        (None, Some(time)) => Some(AsOf::Time(time)),
        _ => {
            arguments.refuse("position", "name one of position and time");
            None
        }
    };
    arguments.end()?;
    let as_of = as_of.expect("a point that is missing is a fault, and faults were answered");
    let (caller, account) = call.account(named).await?;
    answer(&call.service.account_then(&caller, account, as_of).await?)
}

async fn audit_trail(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.id("account_id");
    let filter = EventFilter {
        stream: arguments.id("order_id").map(StreamId::Order),
        after: arguments.whole("after", 0, i64::MAX.cast_unsigned()),
    };
    let page = page(&mut arguments);
    arguments.end()?;
    let caller = call.caller(named).await?;
    answer(&call.service.audit_events(&caller, &filter, &page).await?)
}

async fn verify_audit(call: Call<'_>, arguments: Arguments) -> Answered {
    arguments.end()?;
    let caller = call.caller(None).await?;
    answer(&call.service.verify(&caller).await?)
}
