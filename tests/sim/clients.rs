//! Clients: what they ask, under which keys, what they were told, and what that obliges the log to.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::id::{
    ActorId, CommandId, ENGINE, MARKET_TENANT, OPERATOR, OPERATOR_TENANT, RequestId, TenantId,
};
use aggregates::refusal::RefusalCode;
use aggregates::trading::Command;
use blotter::engine::replay::causation;
use blotter::ledger::log::KeyRow;
use blotter::ledger::memory::{Dice, MemoryStore};
use blotter::ledger::{Committed, Interface, Key, LedgerError, Origin, Submission};
use uuid::Uuid;

use crate::checker::Checker;
use crate::market::Board;
use crate::options::OptionWish;
use crate::wishes::{Wish, command};

/// One submission that was sent, and what is known of it.
#[derive(Debug)]
pub struct Attempt {
    pub wish: Wish,
    pub key: Option<Key>,
    pub submission: Submission,
    pub answer: Option<Result<Committed, LedgerError>>,
    /// Its process crashed: nobody will answer.
    pub lost: bool,
}

impl Attempt {
    /// Whether a client may not rely on its not having happened.
    pub fn is_in_doubt(&self) -> bool {
        self.lost || matches!(self.answer, Some(Err(LedgerError::OutcomeUnknown)))
    }
}

#[derive(Default)]
pub struct Clients {
    pub attempts: Vec<Attempt>,
    /// Commands that were refused: the log must never name them.
    denied: BTreeSet<String>,
    /// By key: the outcome that was told.
    told: BTreeMap<Uuid, Uuid>,
    carried_out: BTreeSet<Uuid>,
    keys: u64,
}

pub fn fresh(dice: &mut Dice) -> Uuid {
    Uuid::from_u64_pair(dice.any(), dice.any())
}

impl Clients {
    /// A key for something new, or none, or one that was used for something else.
    pub fn key_for(&mut self, dice: &mut Dice, wish: &Wish) -> Option<Key> {
        self.keys += 1;
        let body = format!("{wish:?}");
        let name = if dice.permille(50) { dice.below(self.keys) } else { self.keys }.to_string();
        match wish {
            Wish::Place { account, .. }
            | Wish::Options { account, wish: OptionWish::Place { .. } } => {
                Some(Key::order(OPERATOR_TENANT, *account, &name, body.as_bytes()))
            }
            Wish::Engine(..) => None,
            _ if dice.permille(300) => None,
            _ => Some(Key::request(OPERATOR_TENANT, None, "all", &name, body.as_bytes())),
        }
    }

    /// Makes an attempt at a wish, with ids of its own, as a face does for each request.
    pub fn attempt(
        &mut self,
        dice: &mut Dice,
        wish: Wish,
        key: Option<Key>,
        board: &Board,
    ) -> (usize, Submission) {
        let (tenant, actor): (TenantId, ActorId) = match wish {
            Wish::Engine(ref command, _) if matches!(**command, Command::Instrument { .. }) => {
                (MARKET_TENANT, ENGINE)
            }
            Wish::Engine(..) => (OPERATOR_TENANT, ENGINE),
            Wish::List { .. } => (MARKET_TENANT, OPERATOR),
            _ => (OPERATOR_TENANT, OPERATOR),
        };
        let submission = Submission {
            origin: Origin {
                tenant,
                actor,
                token: "token".to_owned(),
                client: String::new(),
                interface: Interface::Rest,
                request: RequestId::new(fresh(dice)),
                causation: match wish {
                    Wish::Engine(_, after) => causation(0, after),
                    _ => "request".to_owned(),
                },
            },
            command_id: CommandId::new(fresh(dice)),
            command: command(dice, &wish, board),
            key,
        };
        let attempt =
            Attempt { wish, key, submission: submission.clone(), answer: None, lost: false };
        self.attempts.push(attempt);
        (self.attempts.len() - 1, submission)
    }

    /// What a client was told, held against the log at that moment. `known` is where the log ended when the writer
    /// decided, if it was one.
    pub fn answered(
        &mut self,
        ticket: usize,
        answer: Result<Committed, LedgerError>,
        store: &MemoryStore,
        known: Option<u64>,
        defects: bool,
    ) -> Result<(), String> {
        let attempt = &mut self.attempts[ticket];
        if attempt.answer.is_some() || attempt.lost {
            return Err(format!("I12: attempt {ticket} is answered twice"));
        }
        match &answer {
            Ok(committed) => {
                if committed.position == 0 || committed.position > store.head().position {
                    return Err(format!("I12: acknowledged at position {}", committed.position));
                }
                for event in &committed.events {
                    if store.events().get(event.row.position as usize - 1) != Some(event) {
                        return Err(format!(
                            "I12: position {} is not in the log",
                            event.row.position
                        ));
                    }
                }
                // What the engine asks may come to nothing: a split that an account has no part in. So may the end of
                // all orders where there are none, and its key is kept.
                let nothing = committed.events.is_empty();
                let may_be_nothing = matches!(
                    attempt.wish,
                    Wish::CancelAll { .. }
                        | Wish::Replace { .. }
                        | Wish::Limit { .. }
                        | Wish::Options { wish: OptionWish::Instruct { .. }, .. }
                );
                if committed.replayed && !nothing
                    || nothing && !committed.replayed && attempt.key.is_some() && !may_be_nothing
                {
                    return Err("I14: a replay has no events, all else under a key has".to_owned());
                }
                if let Some(key) = attempt.key {
                    let row =
                        store.keys().get(&key.hash).ok_or("I14: the key is not in the log")?;
                    if (row.fingerprint, row.outcome) != (key.fingerprint, committed.outcome) {
                        return Err("I14: the answer is not that of the key".to_owned());
                    }
                    let told = *self.told.entry(key.hash).or_insert(committed.outcome);
                    let first = committed.replayed || self.carried_out.insert(key.hash);
                    if told != committed.outcome || !first {
                        return Err("I14: one key was carried out twice".to_owned());
                    }
                }
            }
            Err(LedgerError::OutcomeUnknown) => {}
            Err(error) => {
                if *error == LedgerError::Defect && !defects {
                    return Err(format!("a defect: {:?}", attempt.submission));
                }
                let key = attempt.key;
                if let (LedgerError::Refused(refusal), Some(key)) = (error, key) {
                    // What the writer knew when it decided: a refusal leaves no trace, so the same key may have
                    // succeeded since, behind it in the same batch.
                    // A command that did nothing has the position of the head, and may have come behind it too.
                    let acted = |row: &KeyRow| {
                        let event = store.events().get(row.position as usize - 1);
                        let of = row.outcome.to_string();
                        row.lasting || event.is_some_and(|event| event.row.metadata.contains(&of))
                    };
                    let before = |row: &&KeyRow| {
                        known.is_some_and(|head| row.position <= head) && acted(row)
                    };
                    let row = store.keys().get(&key.hash);
                    let (reused, known) =
                        (refusal.code == RefusalCode::KeyReused, row.filter(before));
                    if reused && row.is_none_or(|row| row.fingerprint == key.fingerprint) {
                        return Err(format!("I14: told that a key was reused that has {row:?}"));
                    }
                    if !reused && known.is_some() {
                        return Err(format!("I14: {:?} for a key that has {row:?}", refusal.code));
                    }
                }
                self.denied.insert(attempt.submission.command_id.to_string());
            }
        }
        attempt.answer = Some(answer);
        Ok(())
    }

    /// I13: what was refused is not in the log, and everything in it was asked for.
    pub fn agree_with(&self, log: &Checker) -> Result<(), String> {
        if let Some(command) = self.denied.intersection(&log.commands).next() {
            return Err(format!("I13: command {command} was refused and is in the log"));
        }
        Ok(())
    }

    /// I12 to I14 over everything that was ever asked.
    pub fn agree_in_the_end(&self, log: &Checker) -> Result<(), String> {
        let mut used: BTreeMap<Uuid, u32> = BTreeMap::new();
        let mut asked = BTreeSet::new();
        for (ticket, attempt) in self.attempts.iter().enumerate() {
            let command = attempt.submission.command_id.to_string();
            let present = log.commands.contains(&command);
            if present && let Some(key) = attempt.key {
                *used.entry(key.hash).or_default() += 1;
            }
            match &attempt.answer {
                None if !attempt.lost => return Err(format!("I28: {ticket} has no answer")),
                Some(Ok(committed)) if !committed.events.is_empty() && !present => {
                    return Err(format!("I12: {command} was acknowledged and is not in the log"));
                }
                _ => {}
            }
            asked.insert(command);
        }
        if used.values().any(|times| *times > 1) {
            return Err("I14: one key has several commands in the log".to_owned());
        }
        let causeless = log.commands.difference(&asked).count();
        // A take-over of each epoch is the writer's own.
        let epochs = log.sequences.iter().filter(|(stream, _)| stream.aggregate_type() == "writer");
        if causeless as u64 == epochs.map(|(_, sequence)| sequence).sum::<u64>() {
            return Ok(());
        }
        Err(format!("I13: {causeless} commands of the log were never asked for"))
    }
}
