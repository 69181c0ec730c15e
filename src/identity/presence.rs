//! Keeps a user from being forgotten for as long as something of theirs is written that forgetting has to find.
//!
//! Guarantees: what is written while a user is [held](Held) is there before they are forgotten, so that forgetting takes
//! it along; who is forgotten is held no more. Costs a row lock that holders share, and two round trips.

use aggregates::id::TenantId;
use sqlx::{Postgres, Transaction};

use super::desk::Identity;

/// Waits for whoever is forgetting the user.
const HOLD: &str = "SELECT user_id FROM users WHERE tenant_id = $1 FOR SHARE";

/// A user whom nobody forgets until this is released or dropped.
#[derive(Debug)]
#[must_use = "the user is held until this is released"]
pub struct Held(Transaction<'static, Postgres>);

impl Identity {
    /// Holds the user of a tenant; `None` if there is none, or none any more.
    ///
    /// # Errors
    /// The database failed.
    pub async fn hold(&self, tenant: TenantId) -> Result<Option<Held>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let user = sqlx::query(HOLD).bind(tenant.uuid()).fetch_optional(&mut *transaction).await?;
        Ok(user.map(|_| Held(transaction)))
    }
}

impl Held {
    /// Lets the user go.
    ///
    /// # Errors
    /// The database failed; the user is let go all the same.
    pub async fn release(self) -> Result<(), sqlx::Error> {
        self.0.rollback().await
    }
}
