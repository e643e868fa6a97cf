//! The schema, brought up to date.

use std::borrow::Cow;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, SqlSafeStr};

use crate::LedgerError;
use crate::dialect::Dialect;

/// Every migration there ever was: version, description, statements. Once released, none of them changes.
const MIGRATIONS: [(i64, &str, &str); 6] = [
    (1, "facts", include_str!("../migrations/0001_facts.sql")),
    (2, "standings", include_str!("../migrations/0002_standings.sql")),
    (3, "contracts", include_str!("../migrations/0003_contracts.sql")),
    (4, "checks", include_str!("../migrations/0004_checks.sql")),
    (5, "registry", include_str!("../migrations/0005_registry.sql")),
    (6, "new rows", include_str!("../migrations/0006_new_rows.sql")),
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
        Err(error) => {
            // At once, as dropping it would leave the lock until the connection is used again.
            transaction.rollback().await.map_err(open)?;
            Err(refused(place, error))
        }
    }
}

fn refused(place: &str, error: MigrateError) -> LedgerError {
    match error {
        MigrateError::VersionMissing(found) => LedgerError::Newer {
            place: place.to_owned(),
            reason: format!("its schema is at version {found}, this one knows up to {}", newest()),
        },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            crate::fault::opening(place, error)
        }
        error => LedgerError::Open { place: place.to_owned(), reason: error.to_string() },
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use sqlx::Connection;

    use super::*;

    const RUN: &str = "INSERT INTO runs (id, hop, kind, outcome, reason, inputs, read, written, quarantined, \
         duplicate, late, filtered, reshaped, bytes_read, bytes_written, started_at, finished_at, attempts, \
         commit_dataset, commit_version, committed_at, commit_latency_us, error_kind, error_message) VALUES \
         ($1, 'shop.orders', 'land', $2, 'new-records', '[]', 1, 1, 0, 0, 0, 0, 0, 0, 0, $3, $3, 1, $4, $5, $3, 9, \
         $6, $6)";

    async fn run(connection: &mut AnyConnection, number: i64, version: Option<i64>) {
        sqlx::query(RUN)
            .bind(format!("{number:032x}"))
            .bind(if version.is_some() { "succeeded" } else { "failed" })
            .bind(number * 1_000_000)
            .bind(version.map(|_| "shop.orders"))
            .bind(version)
            .bind(version.is_none().then_some("internal"))
            .execute(connection)
            .await
            .unwrap();
    }

    /// Standings that are worked out from an older ledger's runs are those that would have been kept.
    #[tokio::test]
    async fn standings_are_worked_out_from_the_past() {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect("sqlite::memory:").await.unwrap();
        migrate(&mut connection, Dialect::Sqlite, "here", 1).await.unwrap();
        for (number, version) in [(1, Some(0)), (2, None), (3, Some(1)), (4, None), (5, None)] {
            run(&mut connection, number, version).await;
        }
        migrate(&mut connection, Dialect::Sqlite, "here", newest()).await.unwrap();
        let row = sqlx::query("SELECT * FROM standings").fetch_one(&mut connection).await.unwrap();
        let fields = crate::row::Fields::new(&row, "standing");
        let id = |column| fields.text(column).unwrap().trim_start_matches('0').to_owned();
        let pointers = ["newest_run", "ended_run", "succeeded_run", "committed_run"].map(id);
        assert_eq!(pointers, ["5", "5", "3", "3"]);
        assert_eq!(fields.int("committed_version").unwrap(), 1);
        assert_eq!((fields.int("failures").unwrap(), fields.int("failing_since").unwrap()), (2, 4_000_000));
    }

    /// The statements that were released are what the ledgers out there were made with: a change of them would be a
    /// ledger that cannot be opened.
    #[test]
    fn released_migrations_do_not_change() {
        let checksums: Vec<(i64, String)> = migrator(Dialect::Sqlite)
            .iter()
            .map(|migration| {
                (
                    migration.version,
                    migration.checksum.iter().take(6).map(|byte| format!("{byte:02x}")).collect(),
                )
            })
            .collect();
        let known = [
            (1, "0296365db030"),
            (2, "79c966d1e69c"),
            (3, "dbbaa9013044"),
            (4, "d41eee9a0091"),
            (5, "252e88e46b98"),
            (6, "3a141322f24b"),
        ];
        assert_eq!(checksums, known.map(|(version, checksum)| (version, checksum.to_owned())));
    }
}
