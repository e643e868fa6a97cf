//! A ledger in memory, and SQL over it.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::CatalogProvider;
use datafusion::prelude::{SessionConfig, SessionContext};
use flowline_base::ManualClock;
use flowline_ledger::contract::declared;
use flowline_ledger::contract::samples::{at, dataset, failed, finding, landing};
use flowline_ledger::{CatalogDataset, Ledger, connect};
use flowline_model::{
    Attempt, Column, ColumnType, Counts, Deployment, Finding, FindingKind, HttpOrigin, InputRange,
    Materialization, Origin, Outcome, Run, RunKind, SqlOrigin, Validation, Zone,
};
use flowline_view::{LiveStatus, OfflineStatus, system_schema};

/// The second at which the clock of these tests stands.
pub const NOW: i64 = 100;

/// A session whose schema `system` is over this ledger.
pub fn session(ledger: &Arc<dyn Ledger>, live: Arc<dyn LiveStatus>) -> SessionContext {
    let config = SessionConfig::new()
        .with_default_catalog_and_schema("flowline", "public")
        .with_target_partitions(1)
        .with_information_schema(true);
    let session = SessionContext::new_with_config(config);
    let clock = Arc::new(ManualClock::new(at(NOW)));
    let catalog: Arc<dyn CatalogProvider> = session.catalog("flowline").unwrap();
    catalog.register_schema("system", system_schema(ledger.clone(), live, clock)).unwrap();
    session
}

pub async fn query(session: &SessionContext, sql: &str) -> Vec<RecordBatch> {
    session.sql(sql).await.unwrap().collect().await.unwrap()
}

/// Holds the answer against the table that it must print; how wide its columns are does not matter.
pub async fn check(session: &SessionContext, sql: &str, expected: &[&str]) {
    let found = pretty_format_batches(&query(session, sql).await).unwrap().to_string();
    let found: Vec<String> = found.lines().filter(|line| !line.starts_with("+-")).map(cells).collect();
    let expected: Vec<String> = expected.iter().copied().map(cells).collect();
    assert_eq!(found, expected, "{sql}");
}

fn cells(line: &str) -> String {
    line.split('|').map(str::trim).collect::<Vec<_>>().join(" | ")
}

pub async fn empty() -> Arc<dyn Ledger> {
    connect("sqlite::memory:").await.unwrap()
}

/// A shop: orders land over HTTP, a table of their days follows, a view shows it; one landing was short of a record,
/// the last one failed.
pub async fn shop() -> (Arc<dyn Ledger>, SessionContext) {
    let ledger = empty().await;
    let deployment =
        Deployment { version: "aaa".to_owned(), environment: "dev".to_owned(), deployed_at: at(0) };
    ledger.record_deployment(&deployment, &[orders(), daily(), overview()]).await.unwrap();

    let mut first = landing("orders", 0, 10, 1);
    first.counts =
        Counts { read: 10, written: 6, quarantined: 3, duplicate: 1, bytes_read: 900, ..Counts::default() };
    let missing =
        Finding { kind: FindingKind::Missing, subject: "email".to_owned(), ..finding("orders", 1, 4, 2) };
    let found = [finding("orders", 2, 1, 2), missing];
    ledger.record_run(&first, &[], &found).await.unwrap();
    let mut short = landing("orders", 10, 15, 2);
    short.counts.written = 4;
    ledger.record_run(&short, &[], &[finding("orders", 1, 12, 3)]).await.unwrap();
    let mut transform = landing("daily", 0, 0, 5);
    transform.kind = RunKind::Transform;
    transform.trigger = "new-version".to_owned();
    transform.inputs = vec![InputRange { input: "shop.orders".to_owned(), from: -1, to: 1 }];
    transform.counts = Counts { read: 6, written: 2, reshaped: true, ..Counts::default() };
    ledger.record_run(&transform, &[], &[]).await.unwrap();
    let broken = failed(landing("orders", 15, 20, 8));
    for (number, outcome) in [(1, Outcome::Failed), (2, Outcome::Failed)] {
        ledger.record_attempt(&attempt(&broken, number, outcome)).await.unwrap();
    }
    ledger.record_run(&broken, &[], &[]).await.unwrap();
    let session = session(&ledger, Arc::new(OfflineStatus));
    (ledger, session)
}

fn attempt(run: &Run, number: u32, outcome: Outcome) -> Attempt {
    let started_at = at(8 + i64::from(number));
    Attempt {
        run: run.id,
        number,
        outcome,
        started_at,
        finished_at: Some(started_at),
        error: run.error.clone(),
    }
}

fn orders() -> CatalogDataset {
    let mut orders = declared("orders", "team-shop");
    orders.dataset.origin = Origin::Http(HttpOrigin {
        partitions: 1,
        partition_key: Vec::new(),
        validation: Validation::AtLanding,
    });
    orders.dataset.key = vec!["order_id".to_owned()];
    orders.dataset.slo.freshness_within = Some(Duration::from_secs(60));
    orders.inputs = Vec::new();
    let amount = "decimal(12,2)".parse().unwrap();
    orders.columns = vec![
        Column { unique: true, ..Column::new("order_id", ColumnType::String).required() },
        Column { pii: Some("email".to_owned()), ..Column::new("email", ColumnType::String) },
        Column { check: Some("amount >= 0".to_owned()), ..Column::new("amount", amount) },
    ];
    orders
}

fn sql(name: &str, materialization: Materialization, input: &str) -> CatalogDataset {
    let mut declared = declared(name, "team-sales");
    declared.dataset.zone = Zone::Trusted;
    declared.dataset.origin = Origin::Sql(SqlOrigin {
        text: "select 1".to_owned(),
        file: format!("datasets/shop/{name}.sql"),
        line: 1,
        indent: 0,
        materialization,
        emit: Default::default(),
        state_limit: None,
        divided: false,
        timeout: Duration::from_secs(60),
        attempts_max: 3,
        lag_rows_max: None,
    });
    declared.dataset.key = Vec::new();
    declared.inputs = vec![dataset(input)];
    declared.columns = vec![Column::new("day", ColumnType::Date)];
    declared
}

fn daily() -> CatalogDataset {
    sql("daily", Materialization::Full, "orders")
}

fn overview() -> CatalogDataset {
    sql("overview", Materialization::View, "daily")
}
