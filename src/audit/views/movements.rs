//! What moved by the hour of market time, added up from the books before and after each row.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::history::{Book, Filled, Moved};
use super::state::some;
use super::table::Kind::{Number, Plain};
use super::table::{Expected, Table};
use crate::audit::fold::amount::Amount;
use crate::audit::fold::fields::{Fault, Fields};
use crate::audit::row::Content;

/// Rows of nothing tell which hours there were, and change no answer.
pub(super) const MOVEMENTS: Table = Table {
    name: "movements",
    source: "(SELECT * FROM movements WHERE held <> 0 OR paid_in <> 0) AS movements",
    key: 3,
    columns: &[
        ("account_id", Plain),
        ("hour", Plain),
        ("unit", Plain),
        ("tenant_id", Plain),
        ("held", Number),
        ("paid_in", Number),
    ],
};

/// Into the account, and paid in.
type Sums = (Amount, Amount);

/// What moved in the accounts since each began.
#[derive(Debug, Default)]
pub(super) struct Movements(BTreeMap<Uuid, OfAccount>);

#[derive(Debug, Default)]
struct OfAccount {
    tenant: Uuid,
    position: u64,
    /// The latest time that was named, in microseconds.
    latest: Option<i64>,
    /// By the hour and the unit: the zero id is cash.
    hours: BTreeMap<(i64, Uuid), Sums>,
}

/// Whether cash or shares of the account stand in a book.
fn is_held((book, _): &Book) -> bool {
    matches!(*book, "available" | "reserved" | "shares" | "shares_reserved")
}

impl Movements {
    /// Takes what a row moved.
    pub(super) fn add(
        &mut self,
        position: u64,
        content: &Content,
        moved: &Moved,
        filled: &Filled,
    ) -> Result<(), Fault> {
        let (Some(account), false) = (content.account_id, moved.is_empty()) else { return Ok(()) };
        let payload: Value =
            serde_json::from_str(&content.payload).map_err(|error| error.to_string())?;
        let body = Fields::of_event(&payload, &content.event_type)?;
        let own = self.0.entry(account).or_default();
        (own.tenant, own.position) = (content.tenant_id, position);
        let begins = matches!(content.event_type.as_str(), "AccountReset" | "PositionReset");
        if begins {
            (own.latest, own.hours) = (None, BTreeMap::new());
        }
        let at = match (body.time_or_none("at")?, filled.get(&account)) {
            (None, Some((fill, at))) if body.uuid("fill_id").as_ref() == Ok(fill) => Some(*at),
            (at, _) => at,
        };
        own.latest = own.latest.max(at);
        if begins {
            return Ok(());
        }
        const HOUR: i64 = 3_600_000_000;
        let hour = |at: i64| at.div_euclid(HOUR) + i64::from(at.rem_euclid(HOUR) > 0);
        let hour = at.or(own.latest).map_or(i64::MIN, hour);
        for (book, amount) in moved {
            let sums = own.hours.entry((hour, book.1.unwrap_or_default())).or_default();
            if is_held(book) {
                sums.0 += *amount;
            } else if book.0 == "external" {
                sums.1 -= *amount;
            }
        }
        Ok(())
    }

    /// The rows that the view has to hold.
    pub(super) fn expected(&self) -> Expected {
        let mut expected = Expected::default();
        for (account, own) in &self.0 {
            let moved = own.hours.iter().filter(|(_, sums)| !sums.0.is_zero() || !sums.1.is_zero());
            for ((hour, unit), (held, paid_in)) in moved {
                let cells = vec![
                    some(account),
                    some(hour),
                    some(unit),
                    some(own.tenant),
                    some(held),
                    some(paid_in),
                ];
                expected.add(&MOVEMENTS, own.position, cells);
            }
        }
        expected
    }
}
