//! What the worth of an account is compared with: its worth at the last official close, or what it began with.

use aggregates::id::InstrumentId;
use chrono::NaiveDate;
use projections::accounts::AccountRow;
use projections::positions::PositionRow;
use projections::query::Reach;

use super::history::{Now, beginning, timeline};
use super::reading::Snapshot;
use super::{ServiceError, Value};

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

/// What the present worth of an account is compared with. Of an account that began after the last close that is all that
/// was ever paid in.
pub(super) async fn base(
    snapshot: &mut Snapshot,
    account: &AccountRow,
    held: &[PositionRow],
) -> Result<Base, ServiceError> {
    let begun = beginning(snapshot, account).await?;
    let mut timeline = timeline(snapshot, Now { account, begun, held }, Reach::Last).await?;
    let paid_in_since = timeline.paid_in_since;
    Ok(match timeline.closes.pop() {
        Some(last) => Base {
            session: Some(last.close.session),
            value: last.equity,
            unmarked: last.unmarked,
            at_midpoint: last.at_midpoint,
            paid_in_since,
        },
        None => Base {
            session: None,
            value: timeline.begun_with.map(|cash| cash.plus(paid_in_since)).transpose()?,
            unmarked: Vec::new(),
            at_midpoint: Vec::new(),
            paid_in_since: Value::default(),
        },
    })
}
