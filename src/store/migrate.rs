//! The schema's history, built into the program and checked when a database is opened.

use sqlx::migrate::{Migrate as _, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, SqlSafeStr as _};

use super::StoreError;
use super::error::classify;

/// The version that this program writes.
const CURRENT: i64 = 15;

/// Where `sqlx` keeps on record which steps a database has seen.
const RECORD: &str = "_sqlx_migrations";

/// A step's version, its name and its SQL.
type Step = (i64, &'static str, &'static str);

const SQLITE: [Step; 15] = [
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
    (12, "budgets", include_str!("migrations/sqlite/0012_budgets.sql")),
    (13, "skips", include_str!("migrations/sqlite/0013_skips.sql")),
    (14, "group_holds", include_str!("migrations/sqlite/0014_group_holds.sql")),
    (15, "unanswered", include_str!("migrations/sqlite/0015_unanswered.sql")),
];

const POSTGRES: [Step; 15] = [
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
    (12, "budgets", include_str!("migrations/postgres/0012_budgets.sql")),
    (13, "skips", include_str!("migrations/postgres/0013_skips.sql")),
    (14, "group_holds", include_str!("migrations/postgres/0014_group_holds.sql")),
    (15, "unanswered", include_str!("migrations/postgres/0015_unanswered.sql")),
];

/// Brings a SQLite database up to date.
pub(super) async fn sqlite(connection: &mut AnyConnection) -> Result<(), StoreError> {
    run(connection, SQLITE).await
}

/// Brings a PostgreSQL database up to date; processes that start at once take turns (an advisory lock).
pub(super) async fn postgres(connection: &mut AnyConnection) -> Result<(), StoreError> {
    run(connection, POSTGRES).await
}

/// Refuses a SQLite database that is not exactly as this program writes it: for a command that runs beside a server,
/// which must not have the schema changed under it.
pub(super) async fn check_is_current(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let applied = connection.list_applied_migrations(RECORD).await.map_err(explain)?;
    let newest = applied.last().map_or(0, |step| step.version);
    if newest > CURRENT {
        return Err(too_new(newest));
    }
    for step in migrations(SQLITE) {
        match applied.iter().find(|applied| applied.version == step.version) {
            Some(applied) if applied.checksum == step.checksum => {}
            Some(_) => return Err(explain(MigrateError::VersionMismatch(step.version))),
            None if step.version < newest => {
                return Err(StoreError::Unusable(format!(
                    "step {} of the database's schema is missing; restore a backup",
                    step.version
                )));
            }
            None => {
                return Err(StoreError::Unusable(
                    "an older scim-bridge is serving this database; stop it, or use the program it was started from"
                        .to_owned(),
                ));
            }
        }
    }
    Ok(())
}

async fn run<const N: usize>(connection: &mut AnyConnection, steps: [Step; N]) -> Result<(), StoreError> {
    Migrator::with_migrations(migrations(steps).into()).run(connection).await.map_err(explain)
}

fn migrations<const N: usize>(steps: [Step; N]) -> [Migration; N] {
    steps.map(|(version, name, text)| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    })
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
