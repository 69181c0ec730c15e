//! Tables of views as text: what is stored and what the events say, compared column by column.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::{PgConnection, Row as _};

use crate::audit::error::AuditError;
use crate::audit::report::{Code, Findings};

/// How a column becomes text that has one form for one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As Postgres writes it: ids, words, counters, dates.
    Plain,
    /// A number without zeros at the end.
    Number,
    /// Microseconds since 1970.
    Time,
    /// Compared as JSON.
    Json,
}

/// A table with its key and its other columns, in the order in which rows are given.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// What is selected from: the table, or a query over it.
    pub(super) source: &'static str,
    /// How many of the columns are the key.
    pub(super) key: usize,
    pub(super) columns: &'static [(&'static str, Kind)],
}

/// The text of each column.
pub(super) type Cells = Vec<Option<String>>;

/// What a table has to hold: rows by key, with the position of the last event behind each.
#[derive(Debug, Default)]
pub(super) struct Expected(BTreeMap<Vec<Option<String>>, (u64, Cells)>);

impl Expected {
    /// Adds a row, its key first.
    pub(super) fn add(&mut self, table: &Table, position: u64, cells: Cells) {
        self.0.insert(cells[..table.key].to_vec(), (position, cells));
    }

    /// Compares with the stored rows of a generation (of these positions only, if given). The number of rows read comes
    /// back. What is stored and not expected is reported at its own position, or at `otherwise`.
    pub(super) async fn compare(
        mut self,
        connection: &mut PgConnection,
        table: &Table,
        generation: i32,
        range: Option<(i64, i64)>,
        otherwise: u64,
        findings: &mut Findings,
    ) -> Result<u64, AuditError> {
        let statement = select(table, range.is_some());
        let mut query = sqlx::query(&statement).bind(generation);
        if let Some((after, to)) = range {
            query = query.bind(after).bind(to);
        }
        let rows = query.fetch_all(connection).await?;
        for row in &rows {
            let cells: Cells =
                (0..table.columns.len()).map(|n| row.try_get(n)).collect::<Result<_, _>>()?;
            let name = name(table, &cells);
            match self.0.remove(&cells[..table.key]) {
                Some((position, expected)) => {
                    differences(table, &name, &expected, &cells, position, findings)
                }
                None => {
                    let own = table.columns.iter().position(|(column, _)| *column == "position");
                    let own = own.and_then(|n| cells[n].as_deref()?.parse().ok());
                    let message = format!("{name} is in the view and in no event");
                    findings.report(own.unwrap_or(otherwise), Code::View, message);
                }
            }
        }
        for (position, cells) in self.0.values() {
            findings.report(
                *position,
                Code::View,
                format!("{} is not in the view", name(table, cells)),
            );
        }
        Ok(rows.len() as u64)
    }
}

fn name(table: &Table, cells: &[Option<String>]) -> String {
    let key: Vec<&str> =
        cells[..table.key].iter().map(|cell| cell.as_deref().unwrap_or("none")).collect();
    format!("{} {}", table.name, key.join(" "))
}

fn select(table: &Table, ranged: bool) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|(column, kind)| match kind {
            Kind::Plain | Kind::Json => format!("{column}::text"),
            Kind::Number => format!("trim_scale({column})::text"),
            Kind::Time => format!("(extract(epoch FROM {column}) * 1000000)::bigint::text"),
        })
        .collect();
    let range = if ranged { " AND position > $2 AND position <= $3" } else { "" };
    format!("SELECT {} FROM {} WHERE generation = $1{range}", columns.join(", "), table.source)
}

fn differences(
    table: &Table,
    name: &str,
    expected: &[Option<String>],
    found: &[Option<String>],
    position: u64,
    findings: &mut Findings,
) {
    for (((column, kind), expected), found) in table.columns.iter().zip(expected).zip(found) {
        let json = |text: &Option<String>| -> Option<Value> {
            serde_json::from_str(text.as_deref()?).ok()
        };
        let same = expected == found || (*kind == Kind::Json && json(expected) == json(found));
        findings.expect(same, position, Code::View, || {
            let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".into());
            format!(
                "{name}: {column} is {} in the view, {} by the events",
                shown(found),
                shown(expected)
            )
        });
    }
}
