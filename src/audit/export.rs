//! Exports: the log as JSON lines that can be verified without a database.
//!
//! The first line is a header, each other one a row with every column as stored; payload and metadata are strings, so
//! that their bytes are kept. A row that the reader may not see is `{"position":…,"leaf":…}` alone: the tree still
//! closes over it, and its salt keeps what is in it from being guessed.

use std::io::{BufRead, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chain::Head;
use super::error::AuditError;
use super::row::{Content, Row};
use super::source;
use crate::database::{AuditorPool, Read};

/// What the header says of the format.
pub const FORMAT: &str = "blotter/export/1";

/// Which rows an export shows; the others are left out as leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only this tenant's rows, the market's and the writer's.
    pub tenant: Option<Uuid>,
    /// Only this account's rows, the market's and the writer's.
    pub account: Option<Uuid>,
}

impl Scope {
    fn shows(self, content: &Content) -> bool {
        let public = matches!(content.aggregate_type.as_str(), "instrument" | "writer");
        let tenant = self.tenant.is_none_or(|tenant| content.tenant_id == tenant);
        let account = self.account.is_none_or(|account| content.account_id == Some(account));
        public || tenant && account
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    shard: u16,
    size: u64,
    root: String,
    checkpoint: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    position: u64,
    leaf: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    content: Option<Columns>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Columns {
    shard: u16,
    tenant_id: Uuid,
    account_id: Option<Uuid>,
    aggregate_type: String,
    aggregate_id: String,
    sequence: u64,
    event_type: String,
    event_version: String,
    recorded_at: String,
    salt: String,
    payload: String,
    metadata: String,
}

/// An export under way: the log of a shard as it stands in one snapshot, a stretch of lines at a time.
pub struct Exporting {
    snapshot: Read,
    shard: u16,
    scope: Scope,
    header: Option<Header>,
    after: u64,
    rows: u64,
}

impl Exporting {
    /// Begins one. `checkpoint` is the note that the header shows.
    ///
    /// # Errors
    /// The database failed.
    pub async fn begin(
        auditor: &AuditorPool,
        shard: u16,
        scope: Scope,
        checkpoint: Option<&str>,
    ) -> Result<Self, AuditError> {
        let mut snapshot = auditor.begin().await?;
        let (head, _) = source::head(&mut snapshot, shard).await?;
        let header = Header {
            format: FORMAT.into(),
            shard,
            size: head.position,
            root: BASE64.encode(head.root),
            checkpoint: checkpoint.map(str::to_owned),
        };
        Ok(Self { snapshot, shard, scope, header: Some(header), after: 0, rows: 0 })
    }

    /// The next lines; `None` after the last.
    ///
    /// # Errors
    /// The database failed.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, AuditError> {
        let mut lines = Vec::new();
        if let Some(header) = self.header.take() {
            write_line(&mut lines, &header)?;
            return Ok(Some(lines));
        }
        let rows = source::rows(&mut self.snapshot, self.shard, self.after).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.after = last.position;
        self.rows += rows.len() as u64;
        for row in rows {
            write_line(&mut lines, &line(row, self.scope))?;
        }
        Ok(Some(lines))
    }
}

/// Writes an export. The number of rows comes back.
///
/// # Errors
/// The database or the writer failed.
pub async fn export(
    auditor: &AuditorPool,
    shard: u16,
    scope: Scope,
    checkpoint: Option<&str>,
    out: &mut (impl Write + Send),
) -> Result<u64, AuditError> {
    let mut exporting = Exporting::begin(auditor, shard, scope, checkpoint).await?;
    while let Some(lines) = exporting.next().await? {
        out.write_all(&lines)?;
    }
    out.flush()?;
    Ok(exporting.rows)
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> Result<(), AuditError> {
    serde_json::to_writer(&mut *out, line).map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

fn line(row: Row, scope: Scope) -> Line {
    let content = row.content.filter(|content| scope.shows(content)).map(|content| Columns {
        shard: content.shard,
        tenant_id: content.tenant_id,
        account_id: content.account_id,
        aggregate_type: content.aggregate_type,
        aggregate_id: content.aggregate_id,
        sequence: content.sequence,
        event_type: content.event_type,
        event_version: content.event_version,
        recorded_at: time(content.recorded_at),
        salt: hex(&content.salt),
        payload: content.payload,
        metadata: content.metadata,
    });
    Line { position: row.position, leaf: hex(&row.leaf), content }
}

/// An exported log, read row by row.
pub(super) struct Export<R> {
    lines: R,
    line: u64,
    pub(super) head: Head,
    pub(super) checkpoint: Option<String>,
}

impl<R: BufRead> Export<R> {
    /// Reads the header.
    pub(super) fn open(mut lines: R) -> Result<Self, AuditError> {
        let refuse = |reason: String| AuditError::Line { line: 1, reason };
        let mut text = String::new();
        lines.read_line(&mut text)?;
        let header: Header =
            serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        if header.format != FORMAT {
            return Err(refuse(format!("the format is {}, not {FORMAT}", header.format)));
        }
        let root = BASE64.decode(&header.root).ok().and_then(|bytes| bytes.try_into().ok());
        let root = root.ok_or_else(|| refuse("the root is not 32 bytes in base64".into()))?;
        let head = Head { position: header.size, epoch: None, root };
        Ok(Self { lines, line: 1, head, checkpoint: header.checkpoint })
    }

    /// The next row; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Row>, AuditError> {
        let mut text = String::new();
        // A line without a word says nothing: shells leave one at the end.
        while text.trim().is_empty() {
            text.clear();
            if self.lines.read_line(&mut text)? == 0 {
                return Ok(None);
            }
            self.line += 1;
        }
        let refuse = |reason: String| AuditError::Line { line: self.line, reason };
        let line: Line = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        let leaf = unhex(&line.leaf).ok_or_else(|| refuse("the leaf is not 32 bytes".into()))?;
        let content = line.content.map(|columns| {
            let salt =
                unhex(&columns.salt).ok_or_else(|| refuse("the salt is not 16 bytes".into()))?;
            let recorded_at = DateTime::parse_from_rfc3339(&columns.recorded_at)
                .map_err(|error| refuse(format!("recorded_at: {error}")))?
                .timestamp_micros();
            Ok::<_, AuditError>(Content {
                shard: columns.shard,
                tenant_id: columns.tenant_id,
                account_id: columns.account_id,
                aggregate_type: columns.aggregate_type,
                aggregate_id: columns.aggregate_id,
                sequence: columns.sequence,
                event_type: columns.event_type,
                event_version: columns.event_version,
                recorded_at,
                salt,
                payload: columns.payload,
                metadata: columns.metadata,
            })
        });
        Ok(Some(Row { position: line.position, leaf, content: content.transpose()? }))
    }
}

fn time(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).map_or_else(
        || micros.to_string(),
        |time| time.to_rfc3339_opts(SecondsFormat::Micros, true),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
