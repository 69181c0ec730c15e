//! What was not permitted, as facts of the user who tried it.
//!
//! Guarantees: nothing waits for them but one short write, and nobody fills the log by trying: of one user, act and reason
//! at most one a minute is recorded by a process.

use std::time::Duration;

use aggregates::id::{AccountId, TokenId, UserId};
use aggregates::user::{Denial, UserEvent};

use super::facts::{Cause, Fact, Facts, new_fact, write};
use super::holds::{Holds, Noted};
use super::{Act, Principal};
use crate::database::IdentityPool;

/// How often the same is recorded again.
const AGAIN: Duration = Duration::from_secs(60);

/// What was tried.
type Tried = (UserId, Act, Denial);

/// Records what was not permitted.
#[derive(Debug)]
pub struct Denials {
    pool: IdentityPool,
    facts: Facts,
    recent: Holds<Tried>,
}

impl Denials {
    /// Records in this database, and the facts go this way.
    pub fn new(pool: IdentityPool, facts: Facts) -> Self {
        Self { pool, facts, recent: Holds::default() }
    }

    /// Records that a principal was not permitted something. What the operator tries is no fact of a user.
    pub async fn note(
        &self,
        principal: &Principal,
        cause: &Cause,
        (act, account_id): (Act, Option<AccountId>),
        reason: Denial,
    ) {
        let (user, token_id): (UserId, Option<TokenId>) = match principal {
            Principal::Operator => return,
            Principal::User(session) => (session.user_id, None),
            Principal::Token(token) => (token.user_id, Some(token.token_id)),
        };
        if self.recent.note((user, act, reason), AGAIN) != Noted::Now {
            return;
        }
        let (fact_id, at) = new_fact();
        let act = act.word().to_owned();
        let event = UserEvent::AccessDenied { fact_id, at, act, account_id, reason, token_id };
        let recorded = async {
            let mut connection = self.pool.pool().acquire().await?;
            write(&mut connection, principal.tenant(), cause, Fact::Of(user, event)).await
        };
        match recorded.await {
            Ok(_told) => self.facts.wake(),
            Err(error) => tracing::warn!(%error, "what was not permitted could not be recorded"),
        }
    }
}
