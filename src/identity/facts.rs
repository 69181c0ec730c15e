//! Facts about users on their way to the log: a transactional outbox.
//!
//! A change of identity and its fact are written in one transaction, so that neither is ever there without the other.
//! The process that writes the log carries the facts to it, in the order of each stream, and deletes them when they
//! are recorded: at least once, with the lasting effect of once, since an aggregate knows its last facts again. What a
//! stopped process left is carried by the next one. Costs one row a fact, and a look five times a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aggregates::account::AccountCommand;
use aggregates::id::{AccountId, ActorId, CommandId, FactId, GrantId, RequestId, TenantId, UserId};
use aggregates::stream::StreamId;
use aggregates::trading::Command;
use aggregates::user::{FACTS_REMEMBERED, GrantRole, OfferEnd, UserCommand, UserEvent};
use chrono::{DateTime, Utc};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

use crate::database::IdentityPool;
use crate::ledger::{Interface, Ledger, LedgerError, Origin, SHARD, Submission};

/// Facts that are carried together at the most; an aggregate knows so many again.
const TOGETHER: i64 = FACTS_REMEMBERED as i64;
/// How often the carrier looks for what other processes wrote.
const LOOK: Duration = Duration::from_millis(200);
/// How often refused log-ins are carried that wait alone: a flood of them is to be few batches of the log, since orders
/// wait for each.
const REFUSALS: Duration = Duration::from_secs(1);
/// How long a change waits for its fact to be recorded before it answers all the same.
const SETTLE: Duration = Duration::from_secs(1);
/// How often it looks meanwhile.
const SETTLE_LOOK: Duration = Duration::from_millis(10);

const WRITE: &str =
    "INSERT INTO identity_facts (tenant_id, user_id, account_id, origin, body, fact_id)
    VALUES ($1, $2, $3, $4, $5, $6)";
const WRITE_NONE: &str =
    "INSERT INTO identity_facts (tenant_id, user_id, account_id, origin, body, fact_id)
    SELECT $1, $1, NULL, '{}', '{}', $1 WHERE false";
const WAITING: &str = "SELECT id, tenant_id, user_id, account_id, origin, body FROM identity_facts
    ORDER BY id LIMIT $1";
/// Without waiting for the disk: what a crash takes back is carried again, and known again.
const RECORDED: &str =
    "WITH soon AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
    DELETE FROM identity_facts USING soon WHERE id = ANY ($1)";
const HEAD: &str =
    "SELECT position, EXISTS (SELECT FROM identity_facts WHERE fact_id = $2) AS waiting
    FROM ledger_head WHERE shard = $1";

/// Who made something happen, and how: the metadata of its event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Cause {
    /// Who acts.
    pub actor: ActorId,
    /// The id of the token that was shown, never the token.
    pub token: String,
    /// The id of the browser or program.
    pub client: String,
    /// The way in.
    pub interface: Interface,
    /// The request.
    pub request: RequestId,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// To a user.
    Of(UserId, UserEvent),
    /// A role on an account was offered.
    Offered {
        /// The account.
        account_id: AccountId,
        /// The grant that it would be.
        grant_id: GrantId,
        /// To whom.
        user_id: UserId,
        /// What it would permit.
        role: GrantRole,
    },
    /// An offer ended that was not accepted.
    OfferEnded {
        /// The account.
        account_id: AccountId,
        /// The grant that it would have been.
        grant_id: GrantId,
        /// How.
        reason: OfferEnd,
    },
    /// A role on an account is in force.
    Granted {
        /// The account.
        account_id: AccountId,
        /// The grant.
        grant_id: GrantId,
        /// To whom.
        user_id: UserId,
        /// What it permits.
        role: GrantRole,
    },
    /// A role on an account was taken.
    Revoked {
        /// The account.
        account_id: AccountId,
        /// The grant.
        grant_id: GrantId,
    },
}

/// What is stored of a fact beside whom it concerns.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    User(UserEvent),
    Offered { grant_id: GrantId, user_id: UserId, role: GrantRole },
    OfferEnded { grant_id: GrantId, reason: OfferEnd },
    Granted { grant_id: GrantId, user_id: UserId, role: GrantRole },
    Revoked { grant_id: GrantId },
}

/// A fact that was written and may not be recorded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an answer to a change tells where its fact stands"]
pub struct Written(FactId);

/// A row of the outbox, as the command that records it.
struct Waiting {
    id: i64,
    tenant_id: TenantId,
    stream: StreamId,
    cause: Cause,
    command: Command,
}

/// Why facts are not carried on.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The ledger does not take a fact now.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What is new about the identity of this moment: an id and the time, for the next event.
pub fn new_fact() -> (FactId, DateTime<Utc>) {
    (FactId::new(Uuid::now_v7()), Utc::now())
}

/// Writes a fact in the transaction that makes it true. It counts once that is committed.
///
/// # Errors
/// The database failed.
pub async fn write(
    transaction: &mut PgConnection,
    tenant: TenantId,
    cause: &Cause,
    fact: Fact,
) -> Result<Written, sqlx::Error> {
    let of_account = |account_id, body| (None, Some(account_id), new_fact().0, body);
    let (user, account, fact_id, body) = match fact {
        Fact::Of(user, event) => (Some(user), None, event.fact_id(), Body::User(event)),
        Fact::Offered { account_id, grant_id, user_id, role } => {
            of_account(account_id, Body::Offered { grant_id, user_id, role })
        }
        Fact::OfferEnded { account_id, grant_id, reason } => {
            of_account(account_id, Body::OfferEnded { grant_id, reason })
        }
        Fact::Granted { account_id, grant_id, user_id, role } => {
            of_account(account_id, Body::Granted { grant_id, user_id, role })
        }
        Fact::Revoked { account_id, grant_id } => {
            of_account(account_id, Body::Revoked { grant_id })
        }
    };
    sqlx::query(WRITE)
        .bind(tenant.uuid())
        .bind(user.map(UserId::uuid))
        .bind(account.map(AccountId::uuid))
        .bind(Json(cause))
        .bind(Json(body))
        .bind(fact_id.uuid())
        .execute(transaction)
        .await?;
    Ok(Written(fact_id))
}

/// Does what [`write`] does, and writes nothing: what befalls nobody takes as long as what befalls somebody.
///
/// # Errors
/// The database failed.
pub async fn rehearse(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(WRITE_NONE).bind(Uuid::now_v7()).execute(transaction).await.map(drop)
}

/// The outbox of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Facts {
    pool: IdentityPool,
    written: Arc<Notify>,
}

impl Facts {
    /// The outbox in this database.
    pub fn new(pool: IdentityPool) -> Self {
        Self { pool, written: Arc::default() }
    }

    /// Says that a transaction with facts is committed: they are carried at once if this process writes the log.
    pub fn wake(&self) {
        self.written.notify_one();
    }

    /// Waits until a fact is recorded, a second at the most, and tells where the log ends then.
    ///
    /// # Errors
    /// The database failed.
    pub async fn settled(&self, Written(fact_id): Written) -> Result<u64, sqlx::Error> {
        self.wake();
        let began = Instant::now();
        loop {
            let row = sqlx::query(HEAD)
                .bind(SHARD.cast_signed())
                .bind(fact_id.uuid())
                .fetch_one(self.pool.pool())
                .await?;
            if !row.try_get::<bool, _>("waiting")? || began.elapsed() >= SETTLE {
                return Ok(row.try_get::<i64, _>("position")?.cast_unsigned());
            }
            tokio::time::sleep(SETTLE_LOOK).await;
        }
    }

    /// Carries facts to the log whenever this process writes it, until `stop` or until nobody writes any more.
    pub async fn carry(self, ledger: Ledger, stop: CancellationToken) {
        let mut head = ledger.head();
        let mut carried_at = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                writing = head.wait_for(|head| head.writing) => if writing.is_err() { return },
            }
            match self.carry_some(&ledger, &mut carried_at).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => warn!(%error, "facts of users wait to be recorded"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.written.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Carries what waits, [`TOGETHER`] at the most, and notes when; whether all of it went and there is more.
    async fn carry_some(
        &self,
        ledger: &Ledger,
        carried_at: &mut Option<Instant>,
    ) -> Result<bool, FactsError> {
        let rows = sqlx::query(WAITING).bind(TOGETHER).fetch_all(self.pool.pool()).await?;
        let waiting = rows.iter().map(Waiting::read).collect::<Result<Vec<_>, _>>()?;
        let there_is_more = waiting.len() as i64 == TOGETHER;
        let lately = carried_at.is_some_and(|at| at.elapsed() < REFUSALS);
        if waiting.is_empty() || lately && !there_is_more && waiting.iter().all(Waiting::is_refusal)
        {
            return Ok(false);
        }
        *carried_at = Some(Instant::now());
        let mut streams: BTreeMap<StreamId, Vec<Waiting>> = BTreeMap::new();
        for waiting in waiting {
            streams.entry(waiting.stream).or_default().push(waiting);
        }
        let carried = join_all(streams.into_values().map(|facts| in_order(ledger, facts))).await;
        let (mut recorded, mut failed) = (Vec::new(), Ok(()));
        for (ids, outcome) in carried {
            recorded.extend(ids);
            failed = failed.and(outcome);
        }
        if !recorded.is_empty() {
            sqlx::query(RECORDED).bind(&recorded).execute(self.pool.pool()).await?;
        }
        failed?;
        Ok(there_is_more)
    }
}

/// Carries facts of one stream, each after the one before it. The ids of those that are done with, and what stopped
/// the next one.
async fn in_order(ledger: &Ledger, facts: Vec<Waiting>) -> (Vec<i64>, Result<(), LedgerError>) {
    let mut done = Vec::with_capacity(facts.len());
    for fact in facts {
        let id = fact.id;
        let submission = fact.submission();
        let mut told = ledger.submit(submission.clone()).await;
        if matches!(told, Err(LedgerError::Defect)) {
            // Nothing of it happened, and it may be of that moment.
            told = ledger.submit(submission).await;
        }
        match told {
            Ok(_) => done.push(id),
            // It can never be recorded, and what comes after it can.
            Err(error @ (LedgerError::Refused(_) | LedgerError::Defect)) => {
                error!(fact = id, %error, "a fact of a user cannot be recorded; it is dropped");
                metrics::counter!("blotter_facts_dropped_total").increment(1);
                done.push(id);
            }
            Err(error) => return (done, Err(error)),
        }
    }
    (done, Ok(()))
}

impl Waiting {
    /// Whether it is a log-in that was refused: nobody waits for it to be recorded.
    fn is_refusal(&self) -> bool {
        matches!(
            self.command,
            Command::User { command: UserCommand::Record(UserEvent::LogInRefused { .. }), .. }
        )
    }

    fn read(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        let user: Option<Uuid> = row.try_get("user_id")?;
        let account: Option<Uuid> = row.try_get("account_id")?;
        let Json(body): Json<Body> = row.try_get("body")?;
        let user_id = UserId::new(user.unwrap_or_default());
        let account_id = AccountId::new(account.unwrap_or_default());
        let of_account =
            |command| (StreamId::Account(account_id), Command::Account { account_id, command });
        let (stream, command) = match body {
            Body::User(event) => {
                let command = UserCommand::Record(event);
                (StreamId::User(user_id), Command::User { user_id, command })
            }
            Body::Offered { grant_id, user_id, role } => {
                of_account(AccountCommand::Offer { grant_id, user_id, role })
            }
            Body::OfferEnded { grant_id, reason } => {
                of_account(AccountCommand::EndOffer { grant_id, reason })
            }
            Body::Granted { grant_id, user_id, role } => {
                of_account(AccountCommand::Grant { grant_id, user_id, role })
            }
            Body::Revoked { grant_id } => of_account(AccountCommand::Revoke { grant_id }),
        };
        let Json(cause): Json<Cause> = row.try_get("origin")?;
        let tenant_id = TenantId::new(row.try_get("tenant_id")?);
        Ok(Self { id: row.try_get("id")?, tenant_id, stream, cause, command })
    }

    fn submission(self) -> Submission {
        let Cause { actor, token, client, interface, request } = self.cause;
        Submission {
            origin: Origin {
                tenant: self.tenant_id,
                actor,
                token,
                client,
                interface,
                request,
                causation: "request".to_owned(),
            },
            command_id: CommandId::new(Uuid::now_v7()),
            command: self.command,
            key: None,
        }
    }
}
