//! The checker can fail: each mutation of a sound run is found.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aggregates::order::OrderEvent;
use aggregates::position::PositionEvent;
use aggregates::stream::Event;
use blotter::engine::history::{Past, RecoveryError};
use blotter::ledger::proof::leaf_of;
use blotter::ledger::{CommittedEvent, LedgerError, TapeBlock};
use projections::log::Recorded;

use crate::checker::Checker;
use crate::simulation::Simulation;

type Events = Vec<Arc<CommittedEvent>>;

/// A run with fills, without faults to speak of.
fn sound() -> Simulation {
    let mut simulation = (0..)
        .map(|seed| {
            let mut simulation = Simulation::new(seed);
            (0..250).for_each(|_| simulation.step().unwrap());
            simulation
        })
        .find(|simulation| simulation.tally().fills > 3)
        .unwrap();
    simulation.come_to_rest().unwrap();
    simulation
}

/// The events again with places, leaves and head that fit, so that only their meaning is wrong.
fn resealed(events: Events) -> Events {
    let mut sequences = std::collections::BTreeMap::new();
    let sealed = events.into_iter().zip(1..).map(|(event, position)| {
        let mut event = CommittedEvent::clone(&event);
        let sequence: &mut u64 = sequences.entry(event.row.stream).or_default();
        *sequence += 1;
        (event.row.position, event.row.sequence) = (position, *sequence);
        event.row.leaf = leaf_of(&event.row);
        if let Ok(read) = event.row.event() {
            event.event = read;
        }
        Arc::new(event)
    });
    sealed.collect()
}

fn verdict(simulation: &Simulation, events: &Events) -> Result<(), String> {
    let store = simulation.log().store();
    let mut head = store.head().clone();
    head.position = events.len() as u64;
    head.frontier = Default::default();
    events.iter().for_each(|event| head.frontier.push(event.row.leaf));
    Checker::default().read(events, store.tape(), &head)
}

#[test]
fn a_sound_log_passes_and_each_mutation_of_it_is_found() {
    let simulation = sound();
    let events: Events = simulation.log().store().events().to_vec();
    verdict(&simulation, &events).unwrap();
    verdict(&simulation, &resealed(events.clone())).unwrap();
    let place = |word: &str| events.iter().position(|it| it.row.event_type == word).unwrap();
    let fill = place("OrderFilled");

    let mut dropped = events.clone();
    dropped.remove(fill);
    verdict(&simulation, &dropped).unwrap_err();
    verdict(&simulation, &resealed(dropped)).unwrap_err();

    for word in ["OrderFilled", "FillSettled", "CashDeposited", "CashReserved", "WriterTookOver"] {
        let mut twice = events.clone();
        twice.insert(place(word), Arc::clone(&events[place(word)]));
        verdict(&simulation, &resealed(twice)).expect_err(word);
    }

    let mut swapped = events.clone();
    swapped.swap(fill, fill + 1);
    verdict(&simulation, &swapped).unwrap_err();

    let mut changed = events.clone();
    let mut richer = CommittedEvent::clone(&changed[place("CashDeposited")]);
    richer.row.payload = richer.row.payload.replace("\"amount\":\"", "\"amount\":\"1");
    changed[place("CashDeposited")] = Arc::new(richer);
    verdict(&simulation, &changed).unwrap_err();
    verdict(&simulation, &resealed(changed)).unwrap_err();
}

/// A past that is not what the log says.
struct Forged {
    events: Vec<Recorded>,
    tape: Vec<TapeBlock>,
    /// How often the log was asked for events.
    asked: AtomicUsize,
}

impl Past for Forged {
    async fn events(&self, after: u64) -> Result<Vec<Recorded>, RecoveryError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.events.iter().filter(|row| row.position > after).cloned().collect())
    }

    async fn blocks(&self, after: u64) -> Result<Vec<TapeBlock>, RecoveryError> {
        Ok(self.tape.iter().filter(|block| block.last_place > after).cloned().collect())
    }
}

#[test]
fn a_replay_finds_each_event_of_the_engine_that_is_missing_or_not_as_it_would_write_it() {
    let simulation = (0..)
        .map(|seed| {
            let mut simulation = Simulation::new(seed);
            (0..250).for_each(|_| simulation.step().unwrap());
            simulation.come_to_rest().unwrap();
            simulation
        })
        .find(|simulation| simulation.tally().found_again > 8 && simulation.tally().fills > 3)
        .unwrap();
    let works = simulation.works.as_ref().unwrap();
    let store = simulation.log().store();
    let events: Vec<Recorded> = store.events().iter().map(|event| event.row.clone()).collect();
    let replayed = |events: Vec<Recorded>| {
        let past = Forged { events, tape: store.tape().to_vec(), asked: AtomicUsize::new(0) };
        let replayed = works.run_again(&past, &simulation.rules);
        assert!(past.asked.into_inner() <= 2, "a page of the log is read once, and its end once");
        replayed
    };
    assert_eq!(replayed(events.clone()).unwrap().differing, 0);
    let fill = events.iter().position(|row| row.event_type == "OrderFilled").unwrap();
    let command =
        |row: &Recorded| row.metadata.split("\"command\":").nth(1).unwrap()[..40].to_owned();

    let mut without = events.clone();
    without.retain(|row| command(row) != command(&events[fill]));
    let without = replayed(without);
    assert!(!without.as_ref().is_ok_and(|it| it.differing == 0), "a fill is missing: {without:?}");

    let mut dearer = events.clone();
    dearer[fill].payload = dearer[fill].payload.replacen("\"price\":\"", "\"price\":\"1", 1);
    assert_ne!(dearer[fill].payload, events[fill].payload);
    assert!(!replayed(dearer).is_ok_and(|it| it.differing == 0), "another price");

    let mut spaced = events.clone();
    spaced[fill].payload = spaced[fill].payload.replacen(':', ": ", 1);
    let spaced = replayed(spaced).unwrap();
    assert_eq!(spaced.differing, 1, "the same in other bytes");
    assert_eq!(spaced.differences[0].position, events[fill].position);
}

#[test]
fn a_lost_acknowledgement_a_refused_command_in_the_log_and_an_unasked_one_are_found() {
    let mut simulation = sound();
    simulation.clients.agree_in_the_end(&simulation.checker).unwrap();
    let log = simulation.log().clone();
    let mut attempts = simulation.clients.attempts.iter();
    let carried_out = attempts
        .position(|it| matches!(&it.answer, Some(Ok(committed)) if !committed.replayed))
        .unwrap();
    let command = simulation.clients.attempts[carried_out].submission.command_id.to_string();

    simulation.checker.commands.remove(&command);
    simulation.clients.agree_in_the_end(&simulation.checker).unwrap_err();
    simulation.checker.commands.insert(command);

    simulation.checker.commands.insert("another".to_owned());
    simulation.clients.agree_in_the_end(&simulation.checker).unwrap_err();
    simulation.checker.commands.remove("another");

    simulation.clients.attempts[carried_out].answer = None;
    let refused = Err(LedgerError::Unavailable);
    simulation.clients.answered(carried_out, refused, &log.store(), None, false).unwrap();
    simulation.clients.agree_with(&simulation.checker).unwrap_err();
}

#[test]
fn what_is_wrong_with_options_in_a_log_is_found() {
    let simulation = (0..)
        .map(|seed| {
            let mut simulation = Simulation::new(seed);
            (0..simulation.steps(300)).for_each(|_| simulation.step().unwrap());
            simulation.come_to_rest().unwrap();
            simulation
        })
        .find(|it| {
            let tally = it.tally();
            [tally.packages, tally.deliveries, tally.settled].iter().all(|count| *count > 0)
        })
        .unwrap();
    let events: Events = simulation.log().store().events().to_vec();
    verdict(&simulation, &resealed(events.clone())).unwrap();
    let place = |word: &str| events.iter().position(|it| it.row.event_type == word).unwrap();
    for word in ["OptionEnded", "SharesDelivered", "OptionSettled", "ContractSettled"] {
        let mut without = events.clone();
        without.remove(place(word));
        let mut twice = events.clone();
        twice.insert(place(word), Arc::clone(&events[place(word)]));
        verdict(&simulation, &resealed(twice)).expect_err(word);
        // Nobody misses that all are settled but who looks at the end.
        if word != "ContractSettled" {
            verdict(&simulation, &resealed(without)).expect_err(word);
        }
    }
    let package = events.iter().position(|event| {
        matches!(&event.event, Event::Order(OrderEvent::OrderFilled { legs, .. }) if !legs.is_empty())
    });
    let package = package.unwrap();
    let leg = (package..).find(|place| {
        matches!(events[*place].event, Event::Position(PositionEvent::PositionOpened { .. }))
    });
    let mut alone = events.clone();
    alone.remove(leg.unwrap());
    verdict(&simulation, &resealed(alone)).expect_err("a leg alone");
    // Behind `after`, the first of it is made another.
    let changed = |at: usize, after: &str, from: &str| {
        let mut changed = events.clone();
        let mut other = CommittedEvent::clone(&changed[at]);
        let (before, behind) = other.row.payload.split_once(after).unwrap();
        assert!(behind.contains(from), "{from}");
        let behind = behind.replacen(from, &format!("{from}1"), 1);
        other.row.payload = format!("{before}{after}{behind}");
        changed[at] = Arc::new(other);
        verdict(&simulation, &resealed(changed))
    };
    changed(place("OptionEnded"), "OptionEnded", "\"proceeds\":\"").expect_err("proceeds");
    changed(place("SharesDelivered"), "SharesDelivered", "\"qty\":\"").expect_err("shares");
    changed(package, "\"legs\":[", "\"amount\":\"").expect_err("the amount of a leg");
    changed(package, "\"legs\":[", "\"qty\":\"").expect_err("how many of a leg");
}
