//! The stored shapes of events, written down in `docs/events/` and held there.
//!
//! Run with `UPDATE_GENERATED=1` to write the schemas and the table again. A golden file is only ever added: what is
//! stored once stays readable for ever, so a shape that changes needs another `event_version` and another file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use aggregates::account::AccountEvent;
use aggregates::instrument::InstrumentEvent;
use aggregates::order::OrderEvent;
use aggregates::position::PositionEvent;
use aggregates::stream::{Event, StreamId};
use aggregates::user::UserEvent;
use aggregates::writer::WriterEvent;
use serde_json::Value;

use crate::book::{account_id, order_id, stock, user_id};
use crate::samples;

fn versions() -> Vec<(&'static str, &'static [(&'static str, &'static str)])> {
    vec![
        ("account", AccountEvent::VERSIONS),
        ("order", OrderEvent::VERSIONS),
        ("position", PositionEvent::VERSIONS),
        ("instrument", InstrumentEvent::VERSIONS),
        ("user", UserEvent::VERSIONS),
        ("writer", WriterEvent::VERSIONS),
    ]
}

pub fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Compares a generated file with what is committed, or writes it if that is asked for.
pub fn hold(path: &str, generated: &str) {
    let file = docs().join(path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, generated).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/{path} is not what the code generates. Has a stored shape changed? Then give the event a new version; \
         then run with UPDATE_GENERATED=1 and commit the difference"
    );
}

fn schemas() -> BTreeMap<&'static str, Value> {
    Event::schemas().into_iter().map(|(kind, schema)| (kind, schema.to_value())).collect()
}

/// The first sentence on each event, from its schema.
fn meanings(schema: &Value) -> BTreeMap<String, String> {
    let variants = schema["oneOf"].as_array().unwrap().iter();
    variants
        .map(|variant| {
            let name = variant["properties"].as_object().unwrap().keys().next().unwrap().clone();
            let meaning = variant["description"].as_str().expect("every event says what it means");
            (name, meaning.replace('\n', " "))
        })
        .collect()
}

#[test]
fn the_schemas_of_stored_events_are_those_in_the_documents() {
    for (kind, schema) in schemas() {
        hold(
            &format!("events/{kind}.json"),
            &(serde_json::to_string_pretty(&schema).unwrap() + "\n"),
        );
    }
}

#[test]
fn the_table_of_events_is_complete() {
    let schemas = schemas();
    let mut table = String::from(
        "# Events\n\nEvery event that the log holds, by aggregate. A payload is `{\"<Event>\": {…}}`; amounts are strings. \
         The schema of each\naggregate's events stands beside this file, an example of each event in `golden/`.\n\n\
         This file, the schemas and new golden files are written by the tests of `aggregates`, with `UPDATE_GENERATED=1`. A \
         golden\nfile is never written again: a shape that changes gets a new version.\n",
    );
    for (kind, events) in versions() {
        let meanings = meanings(&schemas[kind]);
        let known: BTreeSet<&str> = meanings.keys().map(String::as_str).collect();
        assert_eq!(known, events.iter().map(|event| event.0).collect(), "{kind}");
        write!(
            table,
            "\n## [{kind}]({kind}.json)\n\n| event | version | meaning |\n|---|---|---|\n"
        )
        .unwrap();
        for (event, version) in events {
            writeln!(
                table,
                "| [{event}](golden/{event}-{version}.json) | {version} | {} |",
                meanings[*event]
            )
            .unwrap();
        }
    }
    hold("events/README.md", &table);
}

#[test]
fn every_event_has_a_golden_example_of_its_present_version() {
    let golden = docs().join("events/golden");
    let mut sampled = BTreeSet::new();
    for (_, event) in samples::all() {
        let name = format!("{}-{}.json", event.event_type(), event.event_version());
        let file = golden.join(&name);
        let payload = event.payload().unwrap() + "\n";
        if std::env::var_os("UPDATE_GENERATED").is_some() && !file.exists() {
            fs::create_dir_all(&golden).unwrap();
            fs::write(&file, &payload).unwrap();
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            committed, payload,
            "{name}: the shape of this event changed without a new version"
        );
        sampled.insert((event.event_type(), event.event_version()));
    }
    let known: BTreeSet<(String, String)> = versions()
        .iter()
        .flat_map(|(_, events)| events.iter())
        .map(|(event, version)| ((*event).to_owned(), (*version).to_owned()))
        .collect();
    assert_eq!(sampled, known);
}

#[test]
fn every_golden_file_is_readable_and_is_written_back_to_the_same_bytes() {
    let mut read = 0;
    for entry in fs::read_dir(docs().join("events/golden")).unwrap() {
        let path = entry.unwrap().path();
        let (event_type, version) =
            path.file_stem().unwrap().to_str().unwrap().rsplit_once('-').unwrap();
        let (kind, _) = versions()
            .into_iter()
            .find(|(_, events)| events.iter().any(|event| event.0 == event_type))
            .unwrap_or_else(|| panic!("{event_type} was stored once and is not known any more"));
        let stream = match kind {
            "account" => StreamId::Account(account_id(1)),
            "order" => StreamId::Order(order_id(1)),
            "position" => StreamId::Position(account_id(1), stock("AAPL")),
            "instrument" => StreamId::Instrument(stock("AAPL")),
            "user" => StreamId::User(user_id(1)),
            _ => StreamId::Writer(0),
        };
        let text = fs::read_to_string(&path).unwrap();
        let event = Event::read(stream, event_type, version, text.trim_end()).unwrap();
        assert_eq!(event.payload().unwrap() + "\n", text, "{}", path.display());
        read += 1;
    }
    assert!(read >= 59, "{read} golden files");
}

#[test]
fn an_event_of_a_newer_program_is_refused_by_name() {
    let stream = StreamId::Writer(0);
    let payload = samples::all().pop().unwrap().1.payload().unwrap();
    for (event_type, version) in [
        ("WriterTookOver", "2.0"),
        ("WriterTookOver", "1.1"),
        ("WriterTookOver", "1"),
        ("WriterLeft", "1.0"),
        ("CashDeposited", "1.0"),
    ] {
        let error = Event::read(stream, event_type, version, &payload).unwrap_err().to_string();
        assert!(error.contains(event_type) && error.contains("is not known"), "{error}");
    }
    assert!(Event::read(stream, "WriterTookOver", "1.0", "{}").is_err());
}

/// Compares the part of a hand-written file that stands between two marks, or writes it if that is asked for.
pub fn hold_section(path: &str, name: &str, generated: &str) {
    let file = docs().join(path);
    let text = fs::read_to_string(&file).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let start = text.find(&begin).expect("the mark before the section") + begin.len();
    let stop = text.find(&end).expect("the mark after the section");
    hold(path, &format!("{}{generated}{}", &text[..start], &text[stop..]));
}
