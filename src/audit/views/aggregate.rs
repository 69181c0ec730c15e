//! The aggregates as snapshots have to hold them, by the second fold: field by field, from that fold's own state.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::shape::{Want, amounts, exactly, maybe, names, object};
use crate::audit::fold::{
    Account, Action, Expired, Grant, Holding, Instrument, Losses, Order, Stream, Streams, User,
    Writer,
};

/// The state of a stream as it is now; `None` before its first event.
pub(super) fn state(stream: Stream, streams: &Streams) -> Option<Want> {
    Some(match stream {
        Stream::Account(id) => account(&id.to_string(), streams.accounts.get(&id)?),
        Stream::Order(id) => order(streams.orders.get(&id)?),
        Stream::Position(account, instrument) => {
            holding(streams.positions.get(&(account, instrument))?)
        }
        Stream::Instrument(id) => instrument(&id.to_string(), streams.instruments.get(&id)?),
        Stream::User(id) => user(&id.to_string(), streams.users.get(&id)?),
        Stream::Writer => writer(&streams.writer),
    })
}

fn account(id: &str, account: &Account) -> Want {
    object([
        ("account_id", exactly(id)),
        ("kind", exactly(account.kind.as_str())),
        ("option_level", exactly(account.option_level)),
        ("cash", Want::Amount(account.cash)),
        ("reserved", Want::Amount(account.reserved)),
        ("reservations", amounts(&account.reservations)),
        ("policy", exactly(account.policy.clone())),
        ("changes", exactly(account.changes)),
        ("losses", maybe(account.losses.as_ref().map(Losses::shown), exactly)),
        ("grants", Want::Object(account.grants.iter().map(grant).collect())),
    ])
}

fn grant((id, grant): (&Uuid, &Grant)) -> (String, Want) {
    let fields = [
        ("user_id", exactly(grant.user.to_string())),
        ("role", exactly(grant.role.as_str())),
        ("revoked", exactly(grant.revoked)),
    ];
    // A state says so of offers alone.
    let offered = grant.offered.then(|| ("offered", exactly(true)));
    let fields = fields.into_iter().chain(offered).map(|(name, want)| (name.to_owned(), want));
    (id.to_string(), Want::Object(fields.collect()))
}

fn user(id: &str, user: &User) -> Want {
    let facts = user.recent_facts.iter().map(|fact| exactly(fact.to_string()));
    object([
        ("user_id", exactly(id)),
        ("state", exactly(user.state)),
        ("recent_facts", Want::List(facts.collect())),
    ])
}

fn order(order: &Order) -> Want {
    let mut spec: BTreeMap<String, Want> = BTreeMap::new();
    for (name, value) in order.spec.as_object().into_iter().flatten() {
        spec.insert(name.clone(), exactly(value.clone()));
    }
    spec.insert("qty".into(), Want::Amount(order.qty));
    spec.insert("limit_price".into(), maybe(order.limit_price, Want::Amount));
    // A trailing stop was asked for without one: it has that of the event that triggered it.
    let asked = order.stop_price.filter(|_| !spec.contains_key("trail"));
    spec.insert("stop_price".into(), maybe(asked, Want::Amount));
    object([
        ("status", exactly(order.status)),
        ("spec", Want::Object(spec)),
        ("revision", exactly(order.revision)),
        ("fills", exactly(order.fills)),
        ("filled_qty", Want::Amount(order.filled_qty)),
        ("filled_amount", Want::Amount(order.filled_amount)),
        ("reserve_price", maybe(order.reserve_price, Want::Amount)),
        ("expires_at", maybe(order.expires_at, Want::Time)),
        ("placed_at", Want::Time(order.created_at)),
        ("changed_at", Want::Time(order.updated_at)),
        ("splits", names(&order.splits)),
    ])
}

fn holding(holding: &Holding) -> Want {
    let lots = holding.lots.iter().map(|lot| {
        object([
            ("lot_id", exactly(lot.id.to_string())),
            ("qty", Want::Amount(lot.qty)),
            ("cost", Want::Amount(lot.cost)),
            ("opened_at", Want::Time(lot.opened_at)),
        ])
    });
    object([
        ("qty", Want::Amount(holding.qty)),
        ("lots", Want::List(lots.collect())),
        ("realized_pl", Want::Amount(holding.realized)),
        ("reserved_qty", Want::Amount(holding.reserved)),
        ("reservations", amounts(&holding.reservations)),
        ("splits", names(&holding.splits)),
        ("accrued", amounts(&holding.accrued)),
        ("dividends", names(&holding.dividends)),
        ("do_not_exercise", maybe(holding.do_not_exercise.then_some(true), exactly)),
        ("contract", maybe(holding.contract.as_ref(), |terms| exactly(terms.told.clone()))),
    ])
}

fn instrument(id: &str, instrument: &Instrument) -> Want {
    let under_way = instrument.splitting.as_ref();
    let splitting = under_way.and_then(|id| Some((id, instrument.actions.get(id)?)));
    let done = |(id, action): (&String, &Action)| {
        let split = action.ratio.is_some() && action.stage == "completed";
        split.then(|| (id.clone(), split_of(action)))
    };
    let dividend = |(id, action): (&String, &Action)| {
        let (ex, pay) = action.dates.as_ref()?;
        let stage = if action.stage == "completed" { "paid" } else { action.stage };
        let terms = object([
            ("amount", maybe(action.amount, Want::Amount)),
            ("ex", exactly(ex.as_str())),
            ("pay", exactly(pay.as_str())),
            ("stage", exactly(stage)),
        ]);
        Some((id.clone(), terms))
    };
    object([
        ("instrument_id", exactly(id)),
        ("symbol", exactly(instrument.symbol.as_str())),
        ("name", exactly(instrument.name.as_str())),
        ("kind", exactly(instrument.kind.as_str())),
        ("halted", exactly(instrument.halted)),
        (
            "splitting",
            maybe(splitting, |(id, action)| {
                Want::List(vec![exactly(id.as_str()), split_of(action)])
            }),
        ),
        ("splits", Want::Object(instrument.actions.iter().filter_map(done).collect())),
        ("dividends", Want::Object(instrument.actions.iter().filter_map(dividend).collect())),
        ("expired", maybe(instrument.expired.as_ref(), expired)),
        (
            "last_close",
            maybe(instrument.last_close.as_ref(), |(session, price)| {
                Want::List(vec![exactly(session.as_str()), Want::Amount(*price)])
            }),
        ),
    ])
}

fn expired(expired: &Expired) -> Want {
    object([
        ("session", exactly(expired.session.as_str())),
        ("price", Want::Amount(expired.price)),
        ("source", exactly(expired.source.as_str())),
        ("last_price_at", maybe(expired.last_price_at, Want::Time)),
        ("at", Want::Time(expired.at)),
        ("settled", exactly(expired.settled)),
    ])
}

fn split_of(action: &Action) -> Want {
    object([
        ("numerator", maybe(action.ratio.map(|ratio| ratio.0), Want::Amount)),
        ("denominator", maybe(action.ratio.map(|ratio| ratio.1), Want::Amount)),
        ("last_close", maybe(action.close_before, Want::Amount)),
        ("at", Want::Time(action.began_at)),
    ])
}

fn writer(writer: &Writer) -> Want {
    object([("epoch", exactly(writer.epoch)), ("public_key", exactly(writer.public_key.as_str()))])
}
