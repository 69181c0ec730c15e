//! The audit: events as they are stored, the verdict on the whole log, the last signed checkpoint.
//!
//! The operator reads everything. Others read what is theirs, through the reader role, and get the verdict without what
//! it says of others.

use std::collections::BTreeMap;
use std::sync::Arc;

use aggregates::id::{AccountId, TenantId};
use aggregates::stream::StreamId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use projections::log::{self, Recorded};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;

use super::{Caller, Page, PageRequest, Service, ServiceError};

use crate::audit::{AuditError, Evidence, Exporting, Report, Scope, verify_database};
use crate::ledger::SHARD;

/// One event as it is stored: payload and metadata are the very bytes that were hashed.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Event")]
pub struct EventAnswer {
    /// The place in the log.
    pub position: u64,
    /// Whose.
    pub tenant_id: TenantId,
    /// The account that it belongs to, if any.
    pub account_id: Option<AccountId>,
    /// The stream: its type and its id.
    pub stream: String,
    /// The place in its stream.
    pub sequence: u64,
    /// What happened.
    pub event_type: String,
    /// The version of the payload's shape.
    pub event_version: String,
    /// When it was recorded, by the wall clock.
    pub recorded_at: DateTime<Utc>,
    /// The event.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub payload: Box<RawValue>,
    /// Who, how and why.
    #[schemars(with = "BTreeMap<String, String>")]
    pub metadata: Box<RawValue>,
    /// What keeps the leaf from being guessed, base64.
    pub salt: String,
    /// The leaf of the Merkle tree, base64.
    pub leaf: String,
}

/// Which events, of the account that the caller was permitted for, if it was for one.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of one stream.
    pub stream: Option<StreamId>,
    /// Later than this position.
    pub after: Option<u64>,
}

/// An export under way.
pub struct Export {
    rows: Exporting,
    _turn: OwnedSemaphorePermit,
}

impl Export {
    /// The next lines; `None` after the last.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ServiceError> {
        Ok(self.rows.next().await?)
    }
}

impl EventAnswer {
    /// The event of a row.
    pub(super) fn of(row: Recorded) -> Result<Self, ServiceError> {
        let raw =
            |text| RawValue::from_string(text).map_err(|e| ServiceError::Defect(e.to_string()));
        Ok(Self {
            position: row.position,
            tenant_id: row.tenant_id,
            account_id: row.account_id,
            stream: format!("{}/{}", row.stream.aggregate_type(), row.stream.aggregate_id()),
            sequence: row.sequence,
            event_type: row.event_type,
            event_version: row.event_version,
            recorded_at: row.recorded_at,
            payload: raw(row.payload)?,
            metadata: raw(row.metadata)?,
            salt: STANDARD.encode(row.salt),
            leaf: STANDARD.encode(row.leaf),
        })
    }
}

impl Service {
    /// Events of the log, in order: all of them for the operator, for others those of their tenant.
    ///
    /// # Errors
    /// A cursor of another list.
    pub async fn audit_events(
        &self,
        caller: &Caller,
        filter: &EventFilter,
        page: &PageRequest,
    ) -> Result<Page<EventAnswer>, ServiceError> {
        let tenant = (!caller.is_operator()).then_some(caller.tenant);
        let account = caller.account();
        let list = format!("audit/events/{tenant:?}/{account:?}/{filter:?}");
        let after: Option<u64> = self.after(&list, page)?;
        let after = after.or(filter.after).unwrap_or(0);
        let mut snapshot = match tenant {
            None => self.parts.auditor.begin().await?,
            Some(tenant) => self.parts.reader.begin(tenant, account).await?,
        };
        let position = log::head(&mut snapshot, SHARD).await?;
        let size = page.size();
        let limit = u32::try_from(size + 1).unwrap_or(u32::MAX);
        let wanted = log::Wanted { tenant, account, stream: filter.stream };
        let rows = log::read_matching(&mut snapshot, SHARD, &wanted, after, limit).await?;
        let seal = |row: &Recorded| self.parts.cursors.seal(&list, &row.position.to_string());
        let rows = Page::cut(rows, size, position, seal, |row| row);
        let items = rows.items.into_iter().map(EventAnswer::of).collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor: rows.next_cursor, position: rows.position })
    }

    /// The verdict on the whole log and every view, against the checkpoints that this process keeps. Reads all of
    /// it: linear in the length of the log, and one at a time; few wait for their turn, and the operator behind few. What a problem is in detail is said to the operator alone,
    /// since it may be another's.
    ///
    /// # Errors
    /// As many wait as may; the database or the checkpoints cannot be read.
    pub async fn verify(&self, caller: &Caller) -> Result<Report, ServiceError> {
        let place = match caller.is_operator() {
            true => None,
            false => Some(self.verifications.try_acquire().map_err(|_| ServiceError::Busy)?),
        };
        let kept = self
            .parts
            .checkpoint_files
            .iter()
            .filter(|path| path.exists())
            .cloned()
            .collect::<Vec<_>>();
        let _turn = self.verifying.lock().await;
        let evidence = Evidence::read(&kept)?;
        let mut report = verify_database(&self.parts.auditor, SHARD, evidence).await?;
        drop(place);
        if !caller.is_operator() {
            report.notes.clear();
            for problem in &mut report.problems {
                "the operator reads what it is".clone_into(&mut problem.message);
            }
        }
        Ok(report)
    }

    /// An export of the log: every row for the operator, for others those of their tenant, or of the account that they
    /// were permitted for. The others are leaves alone, so that it can be verified as a whole.
    ///
    /// # Errors
    /// As many are under way as there may be, or the database does not answer.
    pub async fn export(&self, caller: &Caller) -> Result<Export, ServiceError> {
        let turn = Arc::clone(&self.exporting).try_acquire_owned();
        let turn = turn.map_err(|_| ServiceError::Busy)?;
        let scope = Scope {
            tenant: (!caller.is_operator()).then(|| caller.tenant.uuid()),
            account: caller.account().map(AccountId::uuid),
        };
        let checkpoint = self.parts.checkpoint.borrow().clone();
        let rows =
            Exporting::begin(&self.parts.auditor, SHARD, scope, checkpoint.as_deref()).await?;
        Ok(Export { rows, _turn: turn })
    }

    /// The last checkpoint that this process signed, as a note.
    ///
    /// # Errors
    /// Nothing was signed yet.
    pub fn checkpoint(&self) -> Result<String, ServiceError> {
        self.parts.checkpoint.borrow().clone().ok_or(ServiceError::NotFound("checkpoint yet"))
    }
}

impl From<AuditError> for ServiceError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Database(error) => error.into(),
            AuditError::Unreachable(error) => error.into(),
            other => Self::Defect(other.to_string()),
        }
    }
}
