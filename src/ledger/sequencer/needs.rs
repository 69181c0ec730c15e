//! What a request looks at: what has to be in memory before it can be decided, and what it may leave idle there.

use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::order::OrderSpec;
use aggregates::stream::StreamId;
use aggregates::trading::{Command, World};

use super::super::log::LoadUnit;
use super::super::world::Memory;
use super::request::Request;

/// What has to be loaded before `request` can be decided, as far as that can be told: an order that is not in
/// memory hides its account and the orders that it belongs with. Complete after as many loads as there are such steps.
pub(super) fn missing(memory: &Memory, request: &Request) -> Vec<LoadUnit> {
    let mut streams = named(request);
    if let Some(account) = ends_all_of(request) {
        streams.extend(open_orders(memory, account).into_iter().map(StreamId::Order));
    }
    for position in 0..streams.len() {
        if let StreamId::Order(id) = streams[position]
            && let Some(spec) = memory.order(id).and_then(|order| order.spec())
        {
            streams.push(StreamId::Account(spec.account_id));
            streams.extend(instruments(spec));
            streams.extend(spec.relatives(id).into_iter().map(StreamId::Order));
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

/// The account all of whose open orders a request ends: they are loaded at once, not one after the other.
pub(super) fn ends_all_of(request: &Request) -> Option<AccountId> {
    let Request::Command(submission) = request else { return None };
    match submission.command {
        Command::CancelAll { account_id, .. }
        | Command::Reset { account_id, .. }
        | Command::StopLosses { account_id, .. } => Some(account_id),
        _ => None,
    }
}

/// The orders of an account that reserve something, as far as the account is in memory.
fn open_orders(memory: &Memory, account_id: AccountId) -> Vec<OrderId> {
    let Some(account) = memory.account(account_id) else { return Vec::new() };
    let held = memory.holdings(account_id).unwrap_or_default().into_iter();
    let positions = held.filter_map(|held| memory.position(account_id, held));
    let selling = positions.flat_map(|position| position.reserving_orders());
    account.reservations().keys().copied().chain(selling).collect()
}

/// What an order trades: of one with several legs what they are on, and each leg.
fn instruments(spec: &OrderSpec) -> impl Iterator<Item = StreamId> {
    let on = spec.contract.as_ref().map(|terms| terms.underlying_id);
    let all = spec.instruments().into_iter().chain([spec.instrument_id]).chain(on);
    all.map(StreamId::Instrument)
}

/// The streams that a request names.
pub(super) fn named(request: &Request) -> Vec<StreamId> {
    let submission = match request {
        Request::Command(submission) => submission,
        Request::Append { stream, .. } => return vec![*stream],
        Request::Tape(_) => return Vec::new(),
        Request::Preview(trial) => {
            let account = StreamId::Account(trial.spec.account_id);
            return std::iter::once(account).chain(instruments(&trial.spec)).collect();
        }
    };
    match &submission.command {
        Command::Account { account_id, .. }
        | Command::Withdraw { account_id, .. }
        | Command::CancelAll { account_id, .. }
        | Command::BeginDay { account_id, .. }
        | Command::StopLosses { account_id, .. }
        | Command::Reset { account_id, .. } => vec![StreamId::Account(*account_id)],
        Command::Instrument { instrument_id, .. } => vec![StreamId::Instrument(*instrument_id)],
        Command::User { user_id, .. } => vec![StreamId::User(*user_id)],
        Command::Writer { shard, .. } => vec![StreamId::Writer(*shard)],
        Command::Place { order_id, spec, .. } | Command::Close { order_id, spec, .. } => {
            [StreamId::Order(*order_id), StreamId::Account(spec.account_id)]
                .into_iter()
                .chain(instruments(spec))
                .collect()
        }
        Command::Replace { order_id, .. }
        | Command::Cancel { order_id, .. }
        | Command::GiveUp { order_id, .. }
        | Command::Expire { order_id, .. }
        | Command::Trigger { order_id, .. }
        | Command::Fill { order_id, .. } => vec![StreamId::Order(*order_id)],
        Command::FollowSplit { account_id, instrument_id, orders, contracts, .. } => {
            let contracts = contracts.iter().map(|(contract, _)| *contract);
            together(*account_id, contracts.chain([*instrument_id]), orders)
        }
        Command::SettleExpired { account_id, underlying_id, orders, contracts, .. } => {
            let contracts = contracts.iter().map(|(contract, _)| *contract);
            together(*account_id, contracts.chain([*underlying_id]), orders)
        }
        Command::Exercise { account_id, instrument_id, .. }
        | Command::Assign { account_id, instrument_id, .. }
        | Command::InstructExercise { account_id, instrument_id, .. }
        | Command::AccrueDividend { account_id, instrument_id, .. }
        | Command::PayDividend { account_id, instrument_id, .. } => {
            vec![StreamId::Account(*account_id), StreamId::Instrument(*instrument_id)]
        }
    }
}

/// An account, its open orders in something, and the instruments that they are decided with.
fn together(
    account_id: AccountId,
    instruments: impl Iterator<Item = InstrumentId>,
    orders: &[OrderId],
) -> Vec<StreamId> {
    let orders = orders.iter().map(|id| StreamId::Order(*id));
    let account = [StreamId::Account(account_id)].into_iter();
    account.chain(instruments.map(StreamId::Instrument)).chain(orders).collect()
}
