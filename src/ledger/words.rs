//! The words of people beside the log: account names and order notes. Events hold their digests, so that the words
//! can be erased without touching the log.
//!
//! Whoever writes them sees to it that their user is not forgotten meanwhile. Words are written before the command that they belong to and taken back when it did not happen; words whose
//! command was never heard of again belong to nothing and are shown to nobody. One round trip each.

use aggregates::id::{AccountId, OrderId, TenantId};
use sha2::{Digest, Sha256};

use crate::database::WriterPool;

/// Writes words, and can do nothing else with the writer's rights.
#[derive(Clone, Debug)]
pub struct Words(WriterPool);

impl Words {
    /// Writes with the writer's rights.
    pub fn new(pool: WriterPool) -> Self {
        Self(pool)
    }

    /// The digest of words as events hold it: SHA-256 in hexadecimal.
    pub fn digest(words: &str) -> String {
        Sha256::digest(words).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Names an account.
    ///
    /// # Errors
    /// The database failed.
    pub async fn name_account(
        &self,
        tenant: TenantId,
        account: AccountId,
        name: &str,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO account_names (account_id, tenant_id, name) VALUES ($1, $2, $3)")
            .bind(account.uuid())
            .bind(tenant.uuid())
            .bind(name)
            .execute(self.0.pool())
            .await
            .map(drop)
    }

    /// Takes the name of an account back.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_account(&self, account: AccountId) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM account_names WHERE account_id = $1")
            .bind(account.uuid())
            .execute(self.0.pool())
            .await
            .map(drop)
    }

    /// Puts a note to an order.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_order(
        &self,
        tenant: TenantId,
        account: AccountId,
        order: OrderId,
        note: &str,
    ) -> Result<(), sqlx::Error> {
        const NOTE: &str = "INSERT INTO order_notes (order_id, tenant_id, account_id, note)
            VALUES ($1, $2, $3, $4)";
        sqlx::query(NOTE)
            .bind(order.uuid())
            .bind(tenant.uuid())
            .bind(account.uuid())
            .bind(note)
            .execute(self.0.pool())
            .await
            .map(drop)
    }

    /// Takes the note of an order back.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_order(&self, order: OrderId) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM order_notes WHERE order_id = $1")
            .bind(order.uuid())
            .execute(self.0.pool())
            .await
            .map(drop)
    }
}
