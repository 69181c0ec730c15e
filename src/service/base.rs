//! What the worth of an account is compared with: its worth at the last official close, or what it began with.
//!
//! Found by a pass over what has moved since, and remembered: market time never goes back along the log, so once
//! something has moved after a close nothing can move before it any more. A portfolio so costs the same however much
//! its account has traded since. What is remembered is of this process alone, and bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aggregates::id::{AccountId, InstrumentId};
use chrono::NaiveDate;
use projections::accounts::AccountRow;
use projections::positions::PositionRow;
use projections::query::{self, ClosedSession, Reach};

use super::history::{Now, beginning, timeline};
use super::reading::Snapshot;
use super::{Service, ServiceError, Value};

/// Accounts that are remembered; one more, and remembering begins anew.
const REMEMBERED: usize = 10_000;

/// The value from which profit is counted, and what was paid in since.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Base {
    /// The session of the close; absent when the account began after the last one.
    pub(super) session: Option<NaiveDate>,
    /// Absent when a holding had no official close.
    pub(super) value: Option<Value>,
    /// The holdings that had none.
    pub(super) unmarked: Vec<InstrumentId>,
    /// The options whose close is the middle of a quote.
    pub(super) at_midpoint: Vec<InstrumentId>,
    /// Cash paid in since then, net.
    pub(super) paid_in_since: Value,
}

/// What stays as it is.
#[derive(Clone, Debug)]
struct Remembered {
    /// Where the account began, and the last close after that: of others nothing is known here.
    begun: u64,
    close: Option<ClosedSession>,
    value: Option<Value>,
    unmarked: Vec<InstrumentId>,
    at_midpoint: Vec<InstrumentId>,
    /// The place of the last entry before the close, or where the account began.
    behind: u64,
}

/// The bases that this process knows.
#[derive(Debug, Default)]
pub(super) struct Bases(Mutex<HashMap<AccountId, Remembered>>);

impl Bases {
    fn of(
        &self,
        account_id: AccountId,
        begun: u64,
        close: Option<ClosedSession>,
    ) -> Option<Remembered> {
        let bases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bases.get(&account_id).filter(|it| it.begun == begun && it.close == close).cloned()
    }

    fn keep(&self, account_id: AccountId, base: Remembered) {
        let mut bases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bases.len() >= REMEMBERED && !bases.contains_key(&account_id) {
            bases.clear();
        }
        bases.insert(account_id, base);
    }
}

impl Service {
    /// What the present worth of an account is compared with. Of an account that began after the last close that is
    /// all that was ever paid in.
    pub(super) async fn base(
        &self,
        snapshot: &mut Snapshot,
        account: &AccountRow,
        held: &[PositionRow],
    ) -> Result<Base, ServiceError> {
        let (id, up_to) = (account.account_id, snapshot.position);
        let begun = beginning(snapshot, account).await?;
        let connection = snapshot.connection();
        let close = query::closed_sessions(connection, (begun, up_to), Reach::Last).await?.pop();
        let known = match self.bases.of(id, begun, close) {
            Some(known) => known,
            None => {
                let mut timeline =
                    timeline(snapshot, Now { account, begun, held }, Reach::Last).await?;
                let (value, unmarked, at_midpoint) = match timeline.closes.pop() {
                    Some(last) => (last.equity, last.unmarked, last.at_midpoint),
                    None => (timeline.begun_with, Vec::new(), Vec::new()),
                };
                let behind = timeline.behind;
                let found = Remembered { begun, close, value, unmarked, at_midpoint, behind };
                if close.is_none() || timeline.moved_since {
                    self.bases.keep(id, found.clone());
                }
                found
            }
        };
        let paid_in = query::paid_in(snapshot.connection(), id, (known.behind, up_to)).await?;
        let paid_in = Value::sum([paid_in]);
        let Remembered { value, unmarked, at_midpoint, .. } = known;
        let (value, paid_in_since) = match close {
            Some(_) => (value, paid_in),
            None => (value.map(|cash| cash.plus(paid_in)).transpose()?, Value::default()),
        };
        let session = close.map(|close| close.session);
        Ok(Base { session, value, unmarked, at_midpoint, paid_in_since })
    }
}
