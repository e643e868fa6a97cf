//! The schema, brought up to date.

use std::borrow::Cow;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, SqlSafeStr};

use crate::LedgerError;
use crate::dialect::Dialect;

/// Every migration there ever was: version, description, statements. Once released, none of them changes.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "facts", include_str!("../migrations/0001_facts.sql")),
    (2, "standings", include_str!("../migrations/0002_standings.sql")),
];

/// The newest schema that this version knows.
pub(crate) fn newest() -> i64 {
    MIGRATIONS[MIGRATIONS.len() - 1].0
}

/// Brings the schema up to `version`, all in one transaction: a ledger is never found half migrated.
pub(crate) async fn migrate(
    connection: &mut AnyConnection,
    dialect: Dialect,
    place: &str,
    version: i64,
) -> Result<(), LedgerError> {
    let open = |error: sqlx::Error| crate::fault::opening(place, error);
    let mut transaction = connection.begin_with(dialect.begin_write()).await.map_err(open)?;
    if let Some(statement) = dialect.lock_schema() {
        sqlx::query(statement).execute(&mut *transaction).await.map_err(open)?;
    }
    match migrator(dialect).run_direct(Some(version), &mut *transaction, false).await {
        Ok(()) => transaction.commit().await.map_err(open),
        Err(MigrateError::VersionMissing(found)) => Err(LedgerError::Newer {
            place: place.to_owned(),
            reason: format!("its schema is at version {found}, this one knows up to {}", newest()),
        }),
        Err(MigrateError::Execute(error)) => Err(open(error)),
        Err(error) => Err(LedgerError::Open { place: place.to_owned(), reason: error.to_string() }),
    }
}

fn migrator(dialect: Dialect) -> Migrator {
    let migrations = MIGRATIONS
        .iter()
        .map(|(version, description, statements)| {
            let sql = AssertSqlSafe(dialect.render(statements)).into_sql_str();
            Migration::new(*version, Cow::Borrowed(*description), MigrationType::Simple, sql, false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    // The migrator's own lock ends before our transaction does.
    migrator.set_locking(false);
    migrator
}
