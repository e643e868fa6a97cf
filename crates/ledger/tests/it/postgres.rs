//! The contract on PostgreSQL, where `FLOWLINE_TEST_POSTGRES` holds the URL of a server to test with
//! (`scripts/postgres-for-tests start` prints one). Every test has a schema of its own there.

use std::sync::Arc;

use flowline_base::RunId;
use flowline_ledger::contract::samples::landing;
use flowline_ledger::{Ledger, LedgerError, connect};
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
