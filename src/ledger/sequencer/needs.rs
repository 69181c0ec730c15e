//! What a request looks at: what has to be in memory before it can be decided, and what it may leave idle there.

use aggregates::stream::StreamId;
use aggregates::trading::{Command, World};

use super::super::log::LoadUnit;
use super::super::world::Memory;
use super::request::Request;

/// What has to be loaded before `request` can be decided, as far as that can be told: an order that is not in
/// memory hides its account. Complete after as many loads as there are such steps.
pub(super) fn missing(memory: &Memory, request: &Request) -> Vec<LoadUnit> {
    let mut streams = named(request);
    for position in 0..streams.len() {
        if let StreamId::Order(id) = streams[position]
            && let Some(spec) = memory.order(id).and_then(|order| order.spec())
        {
            streams.push(StreamId::Account(spec.account_id));
            streams.push(StreamId::Instrument(spec.instrument_id));
        }
    }
    let mut units: Vec<LoadUnit> = streams
        .into_iter()
        .filter(|stream| memory.sequence(*stream).is_none())
        .map(LoadUnit::of)
        .collect();
    units.sort_unstable();
    units.dedup();
    units
}

/// The streams that a request names.
pub(super) fn named(request: &Request) -> Vec<StreamId> {
    let submission = match request {
        Request::Command(submission) => submission,
        Request::Append { stream, .. } => return vec![*stream],
        Request::Tape(_) => return Vec::new(),
        Request::Preview(trial) => {
            let (account, instrument) = (trial.spec.account_id, trial.spec.instrument_id);
            return vec![StreamId::Account(account), StreamId::Instrument(instrument)];
        }
    };
    match &submission.command {
        Command::Account { account_id, .. } | Command::Reset { account_id, .. } => {
            vec![StreamId::Account(*account_id)]
        }
        Command::Instrument { instrument_id, .. } => vec![StreamId::Instrument(*instrument_id)],
        Command::Writer { shard, .. } => vec![StreamId::Writer(*shard)],
        Command::Place { order_id, spec, .. } => vec![
            StreamId::Order(*order_id),
            StreamId::Account(spec.account_id),
            StreamId::Instrument(spec.instrument_id),
        ],
        Command::Cancel { order_id, .. }
        | Command::Expire { order_id, .. }
        | Command::Fill { order_id, .. } => vec![StreamId::Order(*order_id)],
        Command::FollowSplit { account_id, instrument_id, orders, .. } => {
            let orders = orders.iter().map(|id| StreamId::Order(*id));
            [StreamId::Account(*account_id), StreamId::Instrument(*instrument_id)]
                .into_iter()
                .chain(orders)
                .collect()
        }
        Command::AccrueDividend { account_id, instrument_id, .. }
        | Command::PayDividend { account_id, instrument_id, .. } => {
            vec![StreamId::Account(*account_id), StreamId::Instrument(*instrument_id)]
        }
    }
}
