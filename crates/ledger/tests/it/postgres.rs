//! The contract on PostgreSQL, where `FLOWLINE_TEST_POSTGRES` holds the URL of a server to test with
//! (`scripts/postgres-for-tests start` prints one). Every test has a schema of its own there.

use std::sync::Arc;

use flowline_base::RunId;
use flowline_ledger::contract::samples::{finding, landing};
use flowline_ledger::{FindingFilter, Ledger, LedgerError, connect};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

/// A schema for one test.
struct Schema {
    server: String,
    name: String,
}

impl Schema {
    async fn create() -> Option<Self> {
        let server = std::env::var("FLOWLINE_TEST_POSTGRES").ok().filter(|url| !url.is_empty())?;
        let mut connection = PgConnection::connect(&server).await.unwrap();
        drop_old_schemas(&mut connection).await;
        let name = format!("{PREFIX}{}", RunId::generate());
        connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.unwrap();
        connection.close().await.unwrap();
        Some(Self { server, name })
    }

    fn url(&self) -> String {
        let separator = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{separator}options[search_path]={}", self.server, self.name)
    }
}

const PREFIX: &str = "ledger_test_";

/// Drops what earlier test runs left, once a process. Names sort by time; what is a minute old may still be in use.
async fn drop_old_schemas(connection: &mut PgConnection) {
    static ONCE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    ONCE.get_or_init(async || {
        let query = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'ledger_test_%' \
             AND nspname < 'ledger_test_' || lpad(to_hex((extract(epoch FROM now() - interval '10 minutes') * 1000)::bigint), 12, '0')";
        let names: Vec<String> = sqlx::query_scalar(query).fetch_all(&mut *connection).await.unwrap();
        for name in names {
            // Another test process may do the same.
            let statement = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {name} CASCADE"));
            drop(connection.execute(statement).await);
        }
    })
    .await;
}

async fn fresh() -> Option<(Arc<dyn Ledger>, Schema)> {
    let schema = Schema::create().await?;
    let ledger = connect(&schema.url()).await.unwrap();
    Some((ledger, schema))
}

flowline_ledger::ledger_contract!(fresh);

#[tokio::test]
async fn nodes_that_start_together_share_one_ledger() {
    let Some(schema) = Schema::create().await else {
        println!("skipped: FLOWLINE_TEST_POSTGRES is not set");
        return;
    };
    let mut openings = tokio::task::JoinSet::new();
    for version in 0..6 {
        let url = schema.url();
        openings.spawn(async move {
            let ledger = connect(&url).await.unwrap();
            assert!(
                ledger.record_run(&landing("orders", version, version + 1, version), &[], &[]).await.unwrap()
            );
        });
    }
    openings.join_all().await;
    let totals = connect(&schema.url()).await.unwrap().totals().await.unwrap();
    assert_eq!((totals[0].runs, totals[0].gap()), (6, 0));
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused() {
    let Some(schema) = Schema::create().await else {
        println!("skipped: FLOWLINE_TEST_POSTGRES is not set");
        return;
    };
    connect(&schema.url()).await.unwrap();
    let mut connection = PgConnection::connect(&schema.url()).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9000, 'later', TRUE, '\\x00', 0)";
    connection.execute(newer).await.unwrap();
    let error = connect(&schema.url()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Newer { .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_not_told() {
    let Some(server) = std::env::var("FLOWLINE_TEST_POSTGRES").ok().filter(|url| !url.is_empty()) else {
        println!("skipped: FLOWLINE_TEST_POSTGRES is not set");
        return;
    };
    let mut url = url::Url::parse(&server).unwrap();
    url.set_username("nobody_here").unwrap();
    url.set_password(Some("geheim")).unwrap();
    let error = connect(url.as_str()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
}

/// A server that restarts, a connection pooler that gives up: what was under way is done again, and counts once.
#[tokio::test]
async fn broken_connections_lose_and_repeat_nothing() {
    let Some(schema) = Schema::create().await else {
        println!("skipped: FLOWLINE_TEST_POSTGRES is not set");
        return;
    };
    // A database of its own, so that only its connections are broken.
    let mut admin = PgConnection::connect(&schema.server).await.unwrap();
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {}", schema.name))).await.unwrap();
    let mut url = url::Url::parse(&schema.server).unwrap();
    url.set_path(&schema.name);
    let ledger = connect(url.as_str()).await.unwrap();

    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..3i64 {
        let ledger = ledger.clone();
        writers.spawn(async move {
            for step in 0..15i64 {
                let number = step * 3 + writer;
                let run = landing("orders", number * 10, number * 10 + 10, number);
                ledger.record_run(&run, &[], &[finding("orders", 1, number, number)]).await.unwrap();
            }
        });
    }
    let terminate = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
    let mut broken: i64 = 0;
    while broken < 12 && !writers.is_empty() {
        let now: i64 = sqlx::query_scalar(terminate).bind(&schema.name).fetch_one(&mut admin).await.unwrap();
        broken += now;
        while writers.try_join_next().is_some_and(|done| done.is_ok()) {}
        tokio::task::yield_now().await;
    }
    writers.join_all().await;

    let totals = ledger.totals().await.unwrap();
    assert_eq!((totals[0].runs, totals[0].counts.read, totals[0].gap()), (45, 450, 0));
    let found = ledger.findings(&FindingFilter::default()).await.unwrap();
    assert_eq!(found[0].finding.count, 45);
    assert!(broken > 0);
    drop(ledger);
    admin.execute(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", schema.name))).await.unwrap();
}
