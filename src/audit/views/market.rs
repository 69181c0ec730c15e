//! The views of the market: what each row has to be by the second fold.

use super::state::{maybe, some, stamp};
use super::table::Kind::{Number, Plain, Time};
use super::table::{Expected, Table};
use crate::audit::fold::{Stream, Streams};

pub(super) const INSTRUMENTS: Table = Table {
    name: "instruments",
    source: "instruments",
    key: 1,
    columns: &[
        ("instrument_id", Plain),
        ("symbol", Plain),
        ("name", Plain),
        ("kind", Plain),
        ("halted", Plain),
        ("halt_reason", Plain),
        ("splitting", Plain),
        ("last_session", Plain),
        ("last_close", Number),
        ("listed_at", Time),
        ("sequence", Plain),
        ("position", Plain),
    ],
};

pub(super) const CLOSES: Table = Table {
    name: "official_closes",
    source: "official_closes",
    key: 2,
    columns: &[
        ("instrument_id", Plain),
        ("session", Plain),
        ("price", Number),
        ("source", Plain),
        ("quoted_at", Time),
        ("at", Time),
        ("position", Plain),
    ],
};

pub(super) const ACTIONS: Table = Table {
    name: "corporate_actions",
    source: "corporate_actions",
    key: 2,
    columns: &[
        ("instrument_id", Plain),
        ("action_id", Plain),
        ("kind", Plain),
        ("numerator", Number),
        ("denominator", Number),
        ("amount", Number),
        ("ex", Plain),
        ("pay", Plain),
        ("stage", Plain),
        ("at", Time),
        ("position", Plain),
    ],
};

pub(super) fn instruments(streams: &Streams) -> Expected {
    let mut expected = Expected::default();
    for (id, instrument) in &streams.instruments {
        let at = stamp(streams, Stream::Instrument(*id));
        let last = instrument.last_close.as_ref();
        let cells = vec![
            some(id),
            some(&instrument.symbol),
            some(&instrument.name),
            some(&instrument.kind),
            some(instrument.halted),
            instrument.halt_reason.clone(),
            instrument.splitting.clone(),
            maybe(last.map(|(session, _)| session)),
            maybe(last.map(|(_, price)| price)),
            maybe(instrument.listed_at),
            some(at.sequence),
            some(at.position),
        ];
        expected.add(&INSTRUMENTS, at.position, cells);
    }
    expected
}

pub(super) fn closes(streams: &Streams) -> Expected {
    let mut expected = Expected::default();
    for (id, instrument) in &streams.instruments {
        for (session, close) in &instrument.closes {
            let cells = vec![
                some(id),
                some(session),
                some(close.price),
                some(&close.source),
                maybe(close.quoted_at),
                some(close.at),
                some(close.position),
            ];
            expected.add(&CLOSES, close.position, cells);
        }
    }
    expected
}

pub(super) fn actions(streams: &Streams) -> Expected {
    let mut expected = Expected::default();
    for (id, instrument) in &streams.instruments {
        for (name, action) in &instrument.actions {
            let (at, position) = action.at;
            let cells = vec![
                some(id),
                some(name),
                some(if action.ratio.is_some() { "split" } else { "dividend" }),
                maybe(action.ratio.map(|(numerator, _)| numerator)),
                maybe(action.ratio.map(|(_, denominator)| denominator)),
                maybe(action.amount),
                maybe(action.dates.as_ref().map(|(ex, _)| ex)),
                maybe(action.dates.as_ref().map(|(_, pay)| pay)),
                some(action.stage),
                some(at),
                some(position),
            ];
            expected.add(&ACTIONS, position, cells);
        }
    }
    expected
}
