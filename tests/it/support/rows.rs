//! Rows put straight into tables, for tests of the database's own rules.

use aggregates::id::{AccountId, TenantId};
use sqlx::{Executor, Postgres};

/// One event with the columns that rights depend on; the rest is filled in.
pub struct EventRow {
    pub tenant: TenantId,
    pub account: Option<AccountId>,
    pub position: i64,
}

impl EventRow {
    /// Inserts it as whoever `connection` is.
    pub async fn insert<'c>(
        &self,
        connection: impl Executor<'c, Database = Postgres>,
    ) -> Result<(), sqlx::Error> {
        const INSERT: &str = "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version,
                payload, metadata, shard, position, tenant_id, account_id, recorded_at, salt, leaf)
            VALUES ('account', $1::bigint::text, 1, 'AccountOpened', '1', '{}', '{}', 0, $1, $2, $3, now(),
                decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'))";
        sqlx::query(INSERT)
            .bind(self.position)
            .bind(self.tenant.uuid())
            .bind(self.account.map(AccountId::uuid))
            .execute(connection)
            .await
            .map(drop)
    }
}

/// The SQLSTATE that Postgres refused with.
pub fn sqlstate<T: std::fmt::Debug>(result: Result<T, sqlx::Error>) -> String {
    match result.unwrap_err() {
        sqlx::Error::Database(error) => error.code().unwrap().into_owned(),
        other => panic!("not refused by Postgres: {other}"),
    }
}
