//! Every view against the second fold, each at its own checkpoint and in the snapshot that the log is read in.
//!
//! Views that hold the present are compared whole when the log has come to their checkpoint; those that grow with the
//! log are compared chunk by chunk, so that memory stays bounded.

mod aggregate;
mod history;
mod market;
mod movements;
mod shape;
mod snapshots;
mod state;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::error::AuditError;
use super::fold::{Stream, Streams};
use super::report::{Code, Findings};
use super::row::Row;
use history::{ACTIVITIES, Books, ENTRIES, FILLS, Filled, POSTINGS};
use movements::{MOVEMENTS, Movements};
use snapshots::Snapshots;
use table::{Expected, Table};

const GROUPS: &str = "SELECT name, generation, position, status FROM projections WHERE active";
const KEYS: &str = "SELECT outcome FROM order_keys";

/// The first place at which the state of a stream is another than its events say.
pub(super) fn difference(stream: Stream, streams: &Streams, state: &Value) -> Option<String> {
    match aggregate::state(stream, streams) {
        Some(want) => want.difference(state),
        None => Some(format!(" is {state}, and nothing has happened")),
    }
}

/// A group of views and how far it has come.
#[derive(Clone, Copy, Debug)]
struct Group {
    generation: i32,
    position: u64,
}

/// The comparison under way.
pub(super) struct Views {
    groups: BTreeMap<String, Group>,
    books: Books,
    movements: Movements,
    filled: Filled,
    fills: Expected,
    activities: Expected,
    entries: Expected,
    postings: Expected,
    snapshots: Snapshots,
    /// The chunk that is collected: after this position, up to that one.
    chunk: (u64, u64),
    compared: u64,
}

impl Views {
    /// Reads how far each group has come.
    pub(super) async fn open(
        connection: &mut PgConnection,
        findings: &mut Findings,
    ) -> Result<Self, AuditError> {
        let mut groups = BTreeMap::new();
        for row in sqlx::query(GROUPS).fetch_all(&mut *connection).await? {
            let (name, status): (String, String) = (row.try_get("name")?, row.try_get("status")?);
            let position = row.try_get::<i64, _>("position")?.cast_unsigned();
            findings.expect(status == "live", position + 1, Code::Projection, || {
                format!("the views {name} are {status} at position {position}")
            });
            groups.insert(name, Group { generation: row.try_get("generation")?, position });
        }
        Ok(Self {
            snapshots: match groups.get("snapshots") {
                Some(group) => Snapshots::open(connection, group.generation).await?,
                None => Snapshots::default(),
            },
            groups,
            books: Books::default(),
            movements: Movements::default(),
            filled: Filled::default(),
            fills: Expected::default(),
            activities: Expected::default(),
            entries: Expected::default(),
            postings: Expected::default(),
            chunk: (0, 0),
            compared: 0,
        })
    }

    /// How many rows of views were compared.
    pub(super) fn compared(&self) -> u64 {
        self.compared
    }

    fn reaches(&self, group: &str, position: u64) -> bool {
        self.groups.get(group).is_some_and(|group| position <= group.position)
    }

    /// Notes what a row adds to the views that grow.
    pub(super) fn after(&mut self, row: &Row, streams: &Streams, findings: &mut Findings) {
        let position = row.position;
        self.chunk.1 = position;
        let Some(content) = &row.content else { return };
        if self.reaches("snapshots", position) {
            self.snapshots.after(position, content, streams);
        }
        let moved = self.books.moved(content, streams);
        if self.reaches("books", position) {
            let into = (&mut self.entries, &mut self.postings);
            if let Err(fault) = history::entry(into, position, content, &moved) {
                findings.report(position, Code::Payload, fault);
            }
        }
        if !self.reaches("trading", position) {
            return;
        }
        if let Err(fault) = self.movements.add(position, content, &moved, &self.filled) {
            findings.report(position, Code::Payload, fault);
        }
        let noted = match (content.event_type.as_str(), content.account_id) {
            ("OrderFilled", _) => {
                let into = (&mut self.fills, &mut self.activities, &mut self.filled);
                history::fill(into, position, content, streams)
            }
            (_, Some(account)) if content.aggregate_type == "account" => {
                let into = (&mut self.activities, &self.filled);
                history::account_activity(into, position, content, account)
            }
            (
                "OptionEnded" | "SharesDelivered" | "ContractAdjusted" | "AdjustedContractOpened",
                Some(account),
            ) => history::end_activity(&mut self.activities, position, content, (account, streams)),
            _ => Ok(()),
        };
        if let Err(fault) = noted {
            findings.report(position, Code::Payload, fault);
        }
    }

    /// Compares the views that grow, over the rows since the last time.
    pub(super) async fn compare_chunk(
        &mut self,
        connection: &mut PgConnection,
        findings: &mut Findings,
    ) -> Result<(), AuditError> {
        let (after, to) = self.chunk;
        // The first chunk looks below the first position as well: nothing may stand there.
        let lowest = if after == 0 { i64::MIN } else { after.cast_signed() };
        let range = (lowest, to.cast_signed());
        for (group, table) in [
            ("trading", &FILLS),
            ("trading", &ACTIVITIES),
            ("books", &ENTRIES),
            ("books", &POSTINGS),
        ] {
            let Some(generation) = self.groups.get(group).map(|group| group.generation) else {
                continue;
            };
            let expected = match table.name {
                "fills" => std::mem::take(&mut self.fills),
                "activities" => std::mem::take(&mut self.activities),
                "journal_entries" => std::mem::take(&mut self.entries),
                _ => std::mem::take(&mut self.postings),
            };
            self.compared += expected
                .compare(connection, table, generation, Some(range), after + 1, findings)
                .await?;
        }
        self.compared += self.snapshots.compare(connection, range, findings).await?;
        self.chunk.0 = self.chunk.1;
        Ok(())
    }

    /// Compares the views of the present whose checkpoint is this position.
    pub(super) async fn compare_due(
        &mut self,
        connection: &mut PgConnection,
        position: u64,
        streams: &Streams,
        findings: &mut Findings,
    ) -> Result<(), AuditError> {
        let due =
            |name: &str| self.groups.get(name).filter(|group| group.position == position).copied();
        let mut tables: Vec<(&Table, Expected, Group)> = Vec::new();
        if let Some(group) = due("trading") {
            let (positions, lots) = state::positions(streams);
            tables.push((&state::ACCOUNTS, state::accounts(streams), group));
            tables.push((&state::ORDERS, state::orders(streams), group));
            tables.push((&state::POSITIONS, positions, group));
            tables.push((&state::LOTS, lots, group));
            tables.push((&MOVEMENTS, self.movements.expected(), group));
        }
        if let Some(group) = due("market") {
            tables.push((&market::INSTRUMENTS, market::instruments(streams), group));
            tables.push((&market::CLOSES, market::closes(streams), group));
            tables.push((&market::ACTIONS, market::actions(streams), group));
        }
        if let Some(group) = due("books") {
            let reservations = state::share_reservations(streams);
            tables.push((&state::SHARE_RESERVATIONS, reservations, group));
        }
        if due("snapshots").is_some() {
            self.snapshots.complete(streams, position, findings);
        }
        for (table, expected, group) in tables {
            self.compared += expected
                .compare(connection, table, group.generation, None, position, findings)
                .await?;
        }
        Ok(())
    }

    /// After the last row: views that are ahead of the log or grew beyond it, views that lag, and lost keys.
    pub(super) async fn finish(
        &mut self,
        connection: &mut PgConnection,
        position: u64,
        streams: &Streams,
        findings: &mut Findings,
        notes: &mut Vec<String>,
    ) -> Result<(), AuditError> {
        for (name, group) in &self.groups {
            if group.position > position {
                let message = format!(
                    "the views {name} are at position {}, the log ends at {position}",
                    group.position
                );
                findings.report(position + 1, Code::Projection, message);
            } else if group.position < position {
                notes
                    .push(format!("the views {name} lag: they are at position {}", group.position));
            }
        }
        self.chunk = (position, i64::MAX.cast_unsigned());
        self.compare_chunk(connection, findings).await?;
        keys(connection, streams, findings).await
    }
}

/// Every order has its key, and every key its order (I14).
async fn keys(
    connection: &mut PgConnection,
    streams: &Streams,
    findings: &mut Findings,
) -> Result<(), AuditError> {
    let outcomes: Vec<Uuid> = sqlx::query_scalar(KEYS).fetch_all(connection).await?;
    let mut kept: BTreeSet<Uuid> = BTreeSet::new();
    for outcome in outcomes {
        let known = streams.orders.get(&outcome);
        let position = known.map_or(1, |order| order.created_position);
        findings.expect(known.is_some() && kept.insert(outcome), position, Code::Idempotency, || {
            format!("an idempotency key stands for order {outcome}, which was never placed or has another key")
        });
    }
    for (id, order) in streams.orders.iter().filter(|(id, _)| !kept.contains(id)) {
        let message =
            format!("the idempotency key of order {id} is lost: it could be placed again");
        findings.report(order.created_position, Code::Idempotency, message);
    }
    Ok(())
}
