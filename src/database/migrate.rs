//! Brings a database to the schema of this binary.
//!
//! Running it is harmless at any time: applied migrations are skipped, an applied file that was changed later is
//! an error, and concurrent starts wait for one another on an advisory lock of the database. Costs one connection
//! and about 100 ms on an empty database, a few milliseconds on a current one.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use sqlx::error::BoxDynError;
use sqlx::migrate::{MigrateError, Migration, MigrationSource, MigrationType, Migrator};
use sqlx::{Connection, PgConnection};

use super::DatabaseError;
use super::roles::Role;

/// The numbered files of `migrations/`. Those of [`MAKE_ROLES`] run as whoever migrates; the others as
/// `blotter_migrator`, so that no run-time role owns a table.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "roles", include_str!("../../migrations/0001_roles.sql")),
    (2, "log", include_str!("../../migrations/0002_log.sql")),
    (3, "views", include_str!("../../migrations/0003_views.sql")),
    (4, "engine", include_str!("../../migrations/0004_engine.sql")),
    (5, "snapshots", include_str!("../../migrations/0005_snapshots.sql")),
    (6, "tape_for_readers", include_str!("../../migrations/0006_tape_for_readers.sql")),
    (7, "closes_of_accounts", include_str!("../../migrations/0007_closes_of_accounts.sql")),
    (8, "exact_averages", include_str!("../../migrations/0008_exact_averages.sql")),
    (9, "identity_role", include_str!("../../migrations/0009_identity_role.sql")),
    (10, "identity", include_str!("../../migrations/0010_identity.sql")),
    (11, "offers", include_str!("../../migrations/0011_offers.sql")),
    (12, "triggers", include_str!("../../migrations/0012_triggers.sql")),
    (13, "invited_users", include_str!("../../migrations/0013_invited_users.sql")),
    (14, "marks", include_str!("../../migrations/0014_marks.sql")),
    (15, "homes", include_str!("../../migrations/0015_homes.sql")),
    (16, "cheaper_reads", include_str!("../../migrations/0016_cheaper_reads.sql")),
    (17, "trailing_limits", include_str!("../../migrations/0017_trailing_limits.sql")),
    (18, "notional", include_str!("../../migrations/0018_notional.sql")),
    (19, "keys_first", include_str!("../../migrations/0019_keys_first.sql")),
    (20, "losses", include_str!("../../migrations/0020_losses.sql")),
    (21, "options", include_str!("../../migrations/0021_options.sql")),
    (22, "activities_of_legs", include_str!("../../migrations/0022_activities_of_legs.sql")),
    (23, "closes_of_quotes", include_str!("../../migrations/0023_closes_of_quotes.sql")),
    (24, "counted_tries", include_str!("../../migrations/0024_counted_tries.sql")),
    (25, "movements", include_str!("../../migrations/0025_movements.sql")),
];

/// The migrations that make roles.
const MAKE_ROLES: [i64; 2] = [1, 9];

/// The oldest server whose views can be checked as their caller (`security_invoker`).
const OLDEST_SERVER: i32 = 150_000;

#[derive(Debug)]
struct Embedded;

impl<'s> MigrationSource<'s> for Embedded {
    fn resolve(
        self,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Migration>, BoxDynError>> + Send + 's>> {
        Box::pin(async {
            Ok(MIGRATIONS
                .iter()
                .map(|&(version, description, sql)| {
                    let sql = if MAKE_ROLES.contains(&version) {
                        Cow::Borrowed(sql)
                    } else {
                        Cow::Owned(format!("SET LOCAL ROLE blotter_migrator;\n{sql}\nRESET ROLE;"))
                    };
                    Migration::new(version, description.into(), MigrationType::Simple, sql, false)
                })
                .collect())
        })
    }
}

/// Applies every migration that the database lacks.
///
/// `connection` needs the rights of the database's owner and CREATEROLE; a superuser has both.
///
/// # Errors
/// The server is too old, a migration fails, or an applied one differs from this binary's.
pub async fn migrate(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut *connection)
        .await?;
    if version < OLDEST_SERVER {
        return Err(DatabaseError::ServerTooOld { major: version / 10_000 });
    }
    let own = Migrator::new(Embedded).await?;
    is_no_newer(&applied(connection).await?, &own)?;
    own.run(connection).await?;
    Ok(())
}

/// The migrations that the database has, by version, with their checksums.
async fn applied(connection: &mut PgConnection) -> Result<Vec<(i64, Vec<u8>)>, DatabaseError> {
    const APPLIED: &str =
        "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version";
    let begun: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    Ok(if begun { sqlx::query_as(APPLIED).fetch_all(connection).await? } else { Vec::new() })
}

/// The newest migration of this binary.
fn newest(own: &Migrator) -> i64 {
    own.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Whether no newer binary has migrated the database.
fn is_no_newer(applied: &[(i64, Vec<u8>)], own: &Migrator) -> Result<(), DatabaseError> {
    let expected = newest(own);
    match applied.last() {
        Some((found, _)) if *found > expected => {
            Err(DatabaseError::OtherSchema { found: *found, expected })
        }
        _ => Ok(()),
    }
}

/// Whether the database has exactly the schema of this binary; changes nothing.
///
/// # Errors
/// It has another one, or none.
pub(super) async fn check(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    let (applied, own) = (applied(connection).await?, Migrator::new(Embedded).await?);
    is_no_newer(&applied, &own)?;
    let has = |version: i64| applied.iter().any(|(has, _)| *has == version);
    let (mut found, expected) = (0, newest(&own));
    for migration in own.iter() {
        if !has(migration.version) {
            return Err(DatabaseError::OtherSchema { found, expected });
        }
        found = migration.version;
    }
    if let Some((version, _)) = applied.iter().find(|(version, _)| !own.version_exists(*version)) {
        return Err(MigrateError::VersionMissing(*version).into());
    }
    for (migration, (version, checksum)) in own.iter().zip(applied) {
        if migration.version != version || *migration.checksum != *checksum {
            return Err(MigrateError::VersionMismatch(version).into());
        }
    }
    Ok(())
}

/// Lets `login` become each run-time role by SET ROLE, unless it is a superuser, who may anyway.
pub(super) async fn grant_roles(
    connection: &mut PgConnection,
    login: &str,
) -> Result<(), DatabaseError> {
    let superuser: bool = sqlx::query_scalar(
        "SELECT coalesce((SELECT rolsuper FROM pg_roles WHERE rolname = $1), false)",
    )
    .bind(login)
    .fetch_one(&mut *connection)
    .await?;
    if superuser {
        return Ok(());
    }
    for role in Role::ALL {
        grant(connection, role.name(), login).await?;
    }
    Ok(())
}

async fn grant(
    connection: &mut PgConnection,
    role: &str,
    login: &str,
) -> Result<(), DatabaseError> {
    const IS_MEMBER: &str = "SELECT EXISTS (SELECT FROM pg_auth_members m
        JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles l ON l.oid = m.member
        WHERE r.rolname = $1 AND l.rolname = $2)";
    let member: bool =
        sqlx::query_scalar(IS_MEMBER).bind(role).bind(login).fetch_one(&mut *connection).await?;
    if !member {
        let quoted = login.replace('"', "\"\"");
        sqlx::raw_sql(&format!("GRANT {role} TO \"{quoted}\"")).execute(connection).await?;
    }
    Ok(())
}

/// Lets each run-time role log in: on the private cluster a session *is* its role, and cannot leave it.
pub(super) async fn allow_login(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    let mut transaction = connection.begin().await?;
    for role in Role::ALL {
        sqlx::raw_sql(&format!("ALTER ROLE {} LOGIN", role.name()))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::MIGRATIONS;

    #[test]
    fn every_file_of_the_directory_is_applied() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files: BTreeSet<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        let applied = MIGRATIONS.iter().map(|(number, name, _)| format!("{number:04}_{name}.sql"));
        assert_eq!(files, applied.collect());
    }
}
