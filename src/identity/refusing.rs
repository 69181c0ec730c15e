//! Log-ins that are refused, and what is recorded of them: the same work whether there is such a user or not, so that
//! no answer tells one from the other by its time.

use aggregates::user::{LogInRefusal, UserEvent};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use tracing::warn;

use super::desk::{Change, Guest, Identity};
use super::error::IdentityError;
use super::facts::{self, Fact, new_fact};
use super::sessions::{Tokens, Whose};

impl Identity {
    /// Records beside the answer that a try at somebody had to wait, so that it takes no longer than one at nobody.
    pub(super) fn note_throttled(
        &self,
        mut connection: PoolConnection<Postgres>,
        whose: Option<Whose>,
        guest: &Guest,
    ) {
        let (carrier, guest) = (self.facts.clone(), guest.clone());
        tokio::spawn(async move {
            let Some(Whose { tenant, user }) = whose else { return };
            let (fact_id, at) = new_fact();
            let event = UserEvent::LogInRefused { fact_id, at, reason: LogInRefusal::Throttled };
            let cause = guest.cause(user.actor(), String::new(), String::new());
            match facts::write(&mut connection, tenant, &cause, Fact::Of(user, event)).await {
                Ok(_told) => carrier.wake(),
                Err(error) => warn!(%error, "a log-in that has to wait could not be recorded"),
            }
        });
    }

    /// Records a try that failed, which is counted already, if it was at a user who exists.
    pub(super) async fn refuse(
        &self,
        whose: Option<Whose>,
        reason: LogInRefusal,
        guest: &Guest,
    ) -> Result<Tokens, IdentityError> {
        let mut change = self.begin().await?;
        change.may_wait().await?;
        match whose {
            Some(whose) => self.refused(change, whose, reason, guest).await?,
            None => {
                facts::rehearse(change.connection()).await?;
                self.commit(change).await?;
            }
        }
        Err(IdentityError::WrongCredentials)
    }

    /// Commits a change with the fact that a log-in was refused.
    pub(super) async fn refused(
        &self,
        mut change: Change,
        Whose { tenant, user }: Whose,
        reason: LogInRefusal,
        guest: &Guest,
    ) -> Result<(), IdentityError> {
        let cause = guest.cause(user.actor(), String::new(), String::new());
        let (fact_id, at) = new_fact();
        let event = UserEvent::LogInRefused { fact_id, at, reason };
        let _ = facts::write(change.connection(), tenant, &cause, Fact::Of(user, event)).await?;
        self.commit(change).await
    }
}
