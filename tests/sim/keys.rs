//! Keys that a former process used stand in the way of a batch: whoever is in it is carried out all the same.

use aggregates::account::{AccountCommand, AccountKind};
use aggregates::id::{AccountId, CommandId, OPERATOR, OPERATOR_TENANT, RequestId};
use aggregates::rules::Rules;
use aggregates::trading::Command;
use blotter::ledger::log::Appended;
use blotter::ledger::memory::{Dice, Faults, MemoryStore};
use blotter::ledger::sequencer::{Formed, Pending, Request, Sequencer, SigningName};
use blotter::ledger::{Committed, Interface, Key, LedgerError, Origin, Submission};

use crate::clients::fresh;
use crate::market::noon;
use crate::process::{Seeded, Ticket};

/// A process that takes over, and what it was told.
struct Writer {
    sequencer: Sequencer<Ticket>,
    waiting: Vec<Pending<Ticket>>,
    answers: Vec<(Ticket, Result<Committed, LedgerError>)>,
}

impl Writer {
    fn take_over(store: &mut MemoryStore) -> Self {
        let (epoch, head) = store.take_over();
        let signing = SigningName { name: "simulated".to_owned(), public_key: "key".to_owned() };
        let entropy = Box::new(Seeded(Dice::new(epoch)));
        let sequencer = Sequencer::new(0, epoch, head, Rules::default(), entropy, signing);
        Self { sequencer, waiting: Vec::new(), answers: Vec::new() }
    }

    /// Forms a batch of what waits and appends it: what the log said, if there was one.
    fn append(&mut self, store: &mut MemoryStore) -> Option<Appended> {
        loop {
            let waiting = std::mem::take(&mut self.waiting);
            let Formed { replies, loads, rest } = self.sequencer.take(waiting, noon());
            self.answers.extend(replies);
            self.waiting = rest;
            if loads.is_empty() {
                break;
            }
            for unit in loads {
                let (replies, waiting) = self.sequencer.loaded(unit, store.load(unit));
                self.answers.extend(replies);
                self.waiting.extend(waiting);
            }
        }
        let sent = self.sequencer.send();
        self.answers.extend(sent.replies);
        let appended = store.append(&sent.batch?).unwrap();
        let (replies, again) = match appended {
            Appended::Committed => (self.sequencer.committed().0, Vec::new()),
            Appended::Taken => {
                let met = store.taken(&self.sequencer.keys_in_flight()).unwrap();
                self.sequencer.taken(&met)
            }
            Appended::HeadMoved => panic!("nobody else writes"),
        };
        self.answers.extend(replies);
        self.waiting.splice(0..0, again);
        Some(appended)
    }

    fn answer(&self, ticket: Ticket) -> Option<&Result<Committed, LedgerError>> {
        self.answers.iter().find(|(told, _)| *told == ticket).map(|(_, answer)| answer)
    }
}

/// Opens an account under a key, with ids of its own as each request has.
fn opening(dice: &mut Dice, name: &str, ticket: Ticket) -> Pending<Ticket> {
    let id = CommandId::new(fresh(dice));
    let account_id = AccountId::new(fresh(dice));
    let command = AccountCommand::Open {
        account_id,
        kind: AccountKind::Cash,
        option_level: 0,
        name_digest: String::new(),
        starting_balance: "100".parse().unwrap(),
        deposit_id: id,
        at: None,
    };
    let submission = Submission {
        origin: Origin {
            tenant: OPERATOR_TENANT,
            actor: OPERATOR,
            token: "token".to_owned(),
            client: String::new(),
            interface: Interface::Rest,
            request: RequestId::new(fresh(dice)),
            causation: "request".to_owned(),
        },
        command_id: id,
        command: Command::Account { account_id, command },
        key: Some(Key::request(OPERATOR_TENANT, None, "accounts", name, name.as_bytes())),
    };
    Pending::new(Request::Command(Box::new(submission)), ticket)
}

#[test]
fn a_command_beside_ever_new_keys_of_a_former_process_is_carried_out_and_those_are_replays() {
    let (mut store, mut dice) = (MemoryStore::new(1, Faults::default()), Dice::new(2));
    let mut former = Writer::take_over(&mut store);
    let known: Vec<String> = (0..8).map(|n| format!("known {n}")).collect();
    for (ticket, name) in known.iter().enumerate() {
        former.waiting.push(opening(&mut dice, name, ticket));
    }
    assert_eq!(former.append(&mut store), Some(Appended::Committed));
    assert_eq!(former.answers.len(), known.len());

    let mut writer = Writer::take_over(&mut store);
    let victim = known.len();
    writer.waiting.push(opening(&mut dice, "new", victim));
    for (ticket, name) in known.iter().enumerate() {
        writer.waiting.push(opening(&mut dice, name, ticket));
        assert_eq!(writer.append(&mut store), Some(Appended::Taken), "{name}");
        assert!(writer.answer(victim).is_none(), "after {ticket}: {:?}", writer.answer(victim));
    }
    assert_eq!(writer.append(&mut store), Some(Appended::Committed));
    assert!(matches!(writer.answer(victim), Some(Ok(committed)) if !committed.replayed));
    for ticket in 0..known.len() {
        assert!(matches!(writer.answer(ticket), Some(Ok(committed)) if committed.replayed));
    }
    assert_eq!(store.keys().len(), known.len() + 1);
}

#[test]
fn a_batch_that_is_taken_for_no_key_is_tried_again_and_then_a_defect() {
    let (mut store, mut dice) = (MemoryStore::new(1, Faults::default()), Dice::new(2));
    let mut writer = Writer::take_over(&mut store);
    assert_eq!(writer.append(&mut store), Some(Appended::Committed), "the take-over");
    store.set_faults(Faults { taken: 1_000, ..Faults::default() });
    writer.waiting.push(opening(&mut dice, "new", 0));
    for left in [2, 1, 0] {
        assert_eq!(writer.answers.len(), 0, "{left} more to come");
        assert_eq!(writer.append(&mut store), Some(Appended::Taken));
    }
    assert_eq!(writer.answer(0), Some(&Err(LedgerError::Defect)));
}
