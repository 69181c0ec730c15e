//! Reads that see writes: a snapshot of the views that has come at least as far as the log had when it was asked for.

use std::time::Duration;

use aggregates::id::AccountId;
use projections::Group;
use projections::checkpoint::{self, Status};
use projections::log;
use sqlx::PgConnection;

use super::{Caller, Service, ServiceError};
use crate::database::Read;
use crate::ledger::SHARD;

/// How long a read waits for the last position committed when it arrived.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a read waits for a position that the caller named.
const MIN_POSITION_PATIENCE: Duration = Duration::from_secs(5);
/// How often views that one answer combines are waited for until none is behind the first.
const ALIGNMENTS: u32 = 20;
/// Entries of a page when the caller does not say.
pub const PAGE: u64 = 50;
/// Entries of a page at the most.
pub const PAGE_MAX: u64 = 500;

/// How fresh a read has to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fresh {
    /// The answer contains this position of the log, or there is none. Without it, the answer contains what was
    /// committed when the read arrived, if that comes within a second.
    pub min_position: Option<u64>,
}

/// Which page of a list.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// Entries at the most: 1 to [`PAGE_MAX`], mostly [`PAGE`] if absent.
    pub limit: Option<u64>,
    /// Where it begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageRequest {
    /// Entries at the most.
    pub(super) fn size(&self) -> usize {
        self.size_or(PAGE)
    }

    /// Entries at the most, of a list that has so many if the caller does not say.
    pub(super) fn size_or(&self, default: u64) -> usize {
        let size = self.limit.unwrap_or(default).clamp(1, PAGE_MAX);
        usize::try_from(size).unwrap_or(usize::MAX)
    }
}

/// A read-only transaction of one tenant, with the position that its rows stand for.
pub(super) struct Snapshot {
    transaction: Read,
    /// The last event that the rows contain.
    pub(super) position: u64,
    /// The last one that they should contain: the end of the log when they were asked for.
    wanted: u64,
}

impl Snapshot {
    /// The connection to ask.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// What a look-up has found. That a thing is not there can be told only by views that have come as far as they should:
    /// else it may be in what they have not come to.
    pub(super) fn found<T>(&self, row: Option<T>, absent: ServiceError) -> Result<T, ServiceError> {
        match row {
            Some(row) => Ok(row),
            None => Err(self.is_up_to_date().err().unwrap_or(absent)),
        }
    }

    /// Whether the views have come as far as they should.
    ///
    /// # Errors
    /// [`ServiceError::Behind`].
    pub(super) fn is_up_to_date(&self) -> Result<(), ServiceError> {
        let Self { position, wanted, .. } = *self;
        if position < wanted { Err(ServiceError::Behind { position, wanted }) } else { Ok(()) }
    }
}

impl Service {
    /// Waits for the views of `group` and takes a snapshot of them, restricted to the caller's tenant and, if
    /// given, one account of it.
    pub(super) async fn snapshot(
        &self,
        caller: &Caller,
        account: Option<AccountId>,
        group: Group,
        fresh: Fresh,
    ) -> Result<Snapshot, ServiceError> {
        self.snapshot_of(caller, account, &[group], fresh).await
    }

    /// The same of several groups: the first one leads, and none of the others is behind it. What they hold beyond
    /// its position is for the asker to leave out.
    pub(super) async fn snapshot_of(
        &self,
        caller: &Caller,
        account: Option<AccountId>,
        groups: &[Group],
        fresh: Fresh,
    ) -> Result<Snapshot, ServiceError> {
        let (wanted, patience) = match fresh.min_position {
            Some(position) => (position, MIN_POSITION_PATIENCE),
            None => (self.head(caller).await?, PATIENCE),
        };
        let head = *self.parts.ledger.head().borrow();
        if head.writing && wanted > head.position {
            // Nobody was told of it: who writes knows the end of the log.
            return Err(ServiceError::Behind { position: head.position, wanted });
        }
        let mut position = 0;
        for _ in 0..ALIGNMENTS {
            for group in groups {
                self.parts.views.wait(*group, wanted.max(position), patience).await;
            }
            // Who names a position has mostly just written it, and is owed the answer.
            let begun = match fresh.min_position {
                Some(_) => self.parts.reader.begin(caller.tenant, account).await,
                None => self.parts.reader.begin_soon(caller.tenant, account).await,
            };
            let mut transaction = begun?;
            let mut lead = None;
            let mut behind = false;
            for group in groups {
                let reached = checkpoint::active(&mut transaction, group.name()).await?;
                let lead = *lead.get_or_insert(reached.position);
                let stopped = reached.status == Status::Stopped;
                if stopped && reached.position < wanted.max(lead) {
                    return Err(ServiceError::Degraded(group.name()));
                }
                behind |= reached.position < lead;
            }
            position = lead.unwrap_or_default();
            if position < wanted && fresh.min_position.is_some() {
                return Err(ServiceError::Behind { position, wanted });
            }
            if !behind {
                return Ok(Snapshot { transaction, position, wanted });
            }
        }
        Err(ServiceError::Behind { position, wanted: wanted.max(position) })
    }

    /// As fresh as the answer to a command has to be that was committed at `position`: it shows what the command did,
    /// and what had come of it by now.
    pub async fn fresh_after(&self, caller: &Caller, position: u64) -> Result<Fresh, ServiceError> {
        let head = self.head(caller).await?;
        Ok(Fresh { min_position: Some(head.max(position)) })
    }

    /// The last position committed: known in the process that writes, else read.
    pub(super) async fn head(&self, caller: &Caller) -> Result<u64, ServiceError> {
        let head = *self.parts.ledger.head().borrow();
        if head.writing {
            return Ok(head.position);
        }
        let mut reader = self.parts.reader.begin_soon(caller.tenant, None).await?;
        Ok(log::head(&mut reader, SHARD).await?)
    }
}
