//! The schema's history, built into the program and checked when a database is opened.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Row as _, SqlSafeStr as _};

use super::StoreError;
use super::error::classify;
use super::session::sql;

/// The version that this program writes.
const CURRENT: i64 = 13;

/// Brings a SQLite database up to date.
pub(super) async fn sqlite(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let steps = [
        (1, "foundation", include_str!("migrations/sqlite/0001_foundation.sql")),
        (2, "events", include_str!("migrations/sqlite/0002_events.sql")),
        (3, "catalogue", include_str!("migrations/sqlite/0003_catalogue.sql")),
        (4, "assignments", include_str!("migrations/sqlite/0004_assignments.sql")),
        (5, "guards", include_str!("migrations/sqlite/0005_guards.sql")),
        (6, "chain", include_str!("migrations/sqlite/0006_chain.sql")),
        (7, "upkeep", include_str!("migrations/sqlite/0007_upkeep.sql")),
        (8, "access", include_str!("migrations/sqlite/0008_access.sql")),
        (9, "tenants", include_str!("migrations/sqlite/0009_tenants.sql")),
        (10, "orders", include_str!("migrations/sqlite/0010_orders.sql")),
        (11, "credentials", include_str!("migrations/sqlite/0011_credentials.sql")),
        (13, "skips", include_str!("migrations/sqlite/0013_skips.sql")),
    ];
    run(connection, steps).await
}

/// Brings a PostgreSQL database up to date; processes that start at once take turns (an advisory lock).
pub(super) async fn postgres(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let steps = [
        (1, "foundation", include_str!("migrations/postgres/0001_foundation.sql")),
        (2, "events", include_str!("migrations/postgres/0002_events.sql")),
        (3, "catalogue", include_str!("migrations/postgres/0003_catalogue.sql")),
        (4, "assignments", include_str!("migrations/postgres/0004_assignments.sql")),
        (5, "guards", include_str!("migrations/postgres/0005_guards.sql")),
        (6, "chain", include_str!("migrations/postgres/0006_chain.sql")),
        (7, "upkeep", include_str!("migrations/postgres/0007_upkeep.sql")),
        (8, "access", include_str!("migrations/postgres/0008_access.sql")),
        (9, "tenants", include_str!("migrations/postgres/0009_tenants.sql")),
        (10, "orders", include_str!("migrations/postgres/0010_orders.sql")),
        (11, "credentials", include_str!("migrations/postgres/0011_credentials.sql")),
        (13, "skips", include_str!("migrations/postgres/0013_skips.sql")),
    ];
    run(connection, steps).await
}

/// Refuses a database that is not exactly as this program writes it: for a command that runs beside a server, which
/// must not have the schema changed under it.
pub(super) async fn check_is_current(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let newest = sql("SELECT MAX(version) AS version FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get::<Option<i64>, _>("version"))
        .map_err(|error| classify(error).0)?;
    match newest {
        Some(CURRENT) => Ok(()),
        Some(newer) if newer > CURRENT => Err(too_new(newer)),
        _ => Err(StoreError::Unusable(
            "an older scim-bridge is serving this database; stop it, or use the program it was started from"
                .to_owned(),
        )),
    }
}

async fn run<const N: usize>(
    connection: &mut AnyConnection,
    steps: [(i64, &'static str, &'static str); N],
) -> Result<(), StoreError> {
    let migrations = steps.map(|(version, name, text)| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.into()).run(connection).await.map_err(explain)
}

fn explain(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) => too_new(version),
        MigrateError::VersionMismatch(version) => StoreError::Unusable(format!(
            "step {version} of the database's schema is not the one of this program; use the program that wrote \
             the database, or restore a backup"
        )),
        MigrateError::Dirty(version) => StoreError::Unusable(format!(
            "step {version} of the database's schema was left unfinished; restore a backup"
        )),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => classify(error).0,
        other => StoreError::broken(other),
    }
}

fn too_new(version: i64) -> StoreError {
    StoreError::Unusable(format!(
        "the database was written by a newer version of scim-bridge (schema {version}, this program knows \
         {CURRENT}); upgrade the program or restore a backup"
    ))
}
