//! Has what the core proposes carried out, with the lines that caused it, and observes what the log then says.
//!
//! No proposal is skipped. What met a fault that passes is handed in again; so is what met a defect, once. Meets it one again,
//! its order ends by [`CancelReason::Defect`]: one order that cannot be decided keeps no other from the market. What is about
//! no order, a split or a day's beginning, has nothing that could end in its place, and would leave books that are wrong:
//! the engine stops, and starts anew from log and tape, from which the same follows until it can be done.
//!
//! [`CancelReason::Defect`]: aggregates::order::CancelReason::Defect

use std::pin::pin;
use std::time::Duration;

use aggregates::id::{CommandId, ENGINE, RequestId};
use aggregates::trading::Command;
use uuid::Uuid;

use super::{Desk, Ended, Shift};
use crate::engine::alarms::{note_defect, note_refusal};
use crate::engine::board::Condition;
use crate::engine::replay::causation;
use crate::ledger::{Committed, Interface, LedgerError, Origin, Submission, Work};

/// How often work that met a passing fault is handed in again, and the first pause before it; each is doubled.
pub(super) const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(25);

/// A proposal on its way to the ledger.
struct Proposed {
    submission: Submission,
    /// The ledger has met a defect over it.
    defective: bool,
}

impl<D: Desk> Shift<'_, D> {
    /// Commits the lines that wait together with `commands`, and observes what came of it.
    pub(super) async fn commit(&mut self, commands: &[Command]) -> Result<(), Ended> {
        let mut block = self.block.take();
        let taped = block.as_ref().map(|block| block.last_place);
        if block.is_none() && commands.is_empty() {
            return Ok(());
        }
        let mut proposals: Vec<_> = commands.iter().map(|command| self.propose(command)).collect();
        let mut pause = FIRST_PAUSE;
        let mut last = 0;
        for attempt in 1..=ATTEMPTS {
            let submissions = proposals.iter().map(|it| it.submission.clone()).collect();
            let results = match self.hand_in(Work { block: block.clone(), submissions }).await {
                Ok(results) => results,
                Err(LedgerError::NotWriter { .. }) => return Err(Ended::Term),
                Err(fault) if is_passing(&fault) && attempt < ATTEMPTS => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    continue;
                }
                Err(fault) => return Err(Ended::Lost(fault)),
            };
            block = None;
            self.written = taped.unwrap_or(self.written);
            let (mut again, mut met) = (Vec::new(), None);
            for (proposed, result) in proposals.into_iter().zip(results) {
                match result {
                    Ok(committed) => last = last.max(committed.position),
                    Err(LedgerError::Refused(refusal)) => {
                        note_refusal(&proposed.submission, &refusal);
                    }
                    Err(LedgerError::NotWriter { .. }) => return Err(Ended::Term),
                    Err(fault) if is_passing(&fault) => {
                        again.push(proposed);
                        met = Some(fault);
                    }
                    Err(fault @ LedgerError::Defect) => {
                        again.push(self.after_defect(proposed)?);
                        met = Some(fault);
                    }
                    Err(fault) => return Err(Ended::Lost(fault)),
                }
            }
            match met {
                None => return self.observe_up_to(last).await,
                Some(fault) if attempt == ATTEMPTS => return Err(Ended::Lost(fault)),
                Some(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
            proposals = again;
        }
        self.observe_up_to(last).await
    }

    /// What is handed in after the ledger has met a defect over a proposal: the same once more, then the end of its order.
    fn after_defect(&self, proposed: Proposed) -> Result<Proposed, Ended> {
        let Proposed { submission, defective } = proposed;
        if !defective {
            return Ok(Proposed { submission, defective: true });
        }
        let end = self.core.instead_of(&submission.command);
        note_defect(&submission, end.is_some());
        end.map(|end| self.propose(&end)).ok_or(Ended::Stuck)
    }

    /// Hands work to the ledger, and shows when it waits long for the answer. It cannot give up: what the log then says
    /// would leave out what the ledger is still at.
    async fn hand_in(
        &self,
        work: Work,
    ) -> Result<Vec<Result<Committed, LedgerError>>, LedgerError> {
        let mut answer = pin!(self.desk.work(work));
        if let Ok(answer) = tokio::time::timeout(self.patience, &mut answer).await {
            return answer;
        }
        let before = self.board.condition();
        self.board.set_condition(Condition::Waiting);
        tracing::error!(
            "the engine waits for the ledger, which does not say what became of its work"
        );
        let answer = answer.await;
        self.board.set_condition(before);
        tracing::info!("the ledger has answered the engine");
        answer
    }

    /// The engine acts for the tenant of the account, or of the market.
    fn propose(&self, command: &Command) -> Proposed {
        let state = self.core.state();
        let submission = Submission {
            origin: Origin {
                tenant: self.core.tenant_of(command),
                actor: ENGINE,
                token: String::new(),
                client: String::new(),
                interface: Interface::Engine,
                request: RequestId::new(Uuid::now_v7()),
                causation: causation(state.place, state.position),
            },
            command_id: CommandId::new(Uuid::now_v7()),
            command: command.clone(),
            key: None,
        };
        Proposed { submission, defective: false }
    }
}

/// Nothing happened, and the same may be asked again.
fn is_passing(fault: &LedgerError) -> bool {
    matches!(fault, LedgerError::Busy | LedgerError::Unavailable)
}
