//! The checker can fail: each mutation of a sound run is found.

use std::sync::Arc;

use blotter::ledger::proof::leaf_of;
use blotter::ledger::{CommittedEvent, LedgerError};

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
