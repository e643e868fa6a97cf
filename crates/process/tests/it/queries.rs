//! Queries: which versions they read, and their limits.

use std::sync::atomic::Ordering;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use flowline_base::{Classify, ErrorKind};
use flowline_model::Dataset;
use flowline_model::Materialization::{Full, View};
use flowline_process::{AsOf, ProcessError, QueryOptions, ReadVersion, SessionOptions};
use futures::TryStreamExt;

use crate::support::world::{World, lines};
use crate::support::{landed, sql};

fn datasets() -> Vec<Dataset> {
    vec![
        landed("shop.sales", "id string!, amount int64"),
        landed("shop.other", "id string!"),
        sql("shop.v", View, "select id from shop.sales"),
        sql("shop.t", Full, "select id from shop.sales"),
    ]
}

async fn ids(world: &World, sql: &str, as_of: AsOf) -> String {
    match world.query_as_of(sql, as_of).await {
        Ok(batches) => lines(&batches).replace('\n', " "),
        Err(error) => format!("{}: {}", error.kind().as_str(), flowline_base::chain(&error)),
    }
}

#[tokio::test]
async fn as_of_a_version_or_a_time() {
    let world = World::new(datasets()).await;
    let before = world.now();
    world.land("shop.sales", "('a', 1)").await;
    let then = world.now();
    world.land("shop.sales", "('b', 2)").await;
    world.land("shop.other", "('o')").await;
    assert_eq!(world.rows("select id from shop.sales").await, "a\nb");
    assert_eq!(ids(&world, "select id from shop.sales", AsOf::Version(1)).await, "a");
    assert_eq!(ids(&world, "select id from shop.v", AsOf::Version(1)).await, "a");
    assert_eq!(
        ids(&world, "select a.id from shop.sales a, shop.v b where a.id = b.id", AsOf::Version(2)).await,
        "a b"
    );
    assert_eq!(ids(&world, "select id from shop.v", AsOf::Time(then)).await, "a");
    assert_eq!(
        ids(&world, "select id from shop.sales union all select id from shop.other", AsOf::Time(then)).await,
        "a"
    );
    assert_eq!(ids(&world, "select id from shop.sales", AsOf::Time(before)).await, "");
    assert_eq!(
        ids(&world, "select id from shop.sales union all select id from shop.other", AsOf::Version(1)).await,
        "input: a version belongs to one table, but this query reads `shop.other` and `shop.sales`; give a time instead"
    );
    let missing = ids(&world, "select id from shop.sales", AsOf::Version(99)).await;
    assert!(missing.starts_with("not-found: reading `shop.sales` failed: "), "{missing}");
}

#[tokio::test]
async fn an_answer_says_what_it_was_read_from() {
    let world = World::new(datasets()).await;
    let committed = world.land("shop.sales", "('a', 1)").await;
    let answer = world
        .engine
        .query("select s.id from shop.v s join shop.t t on s.id = t.id", &QueryOptions::default())
        .await
        .unwrap();
    let read = |dataset: &str, version, committed_at| ReadVersion {
        dataset: dataset.parse().unwrap(),
        version,
        committed_at,
    };
    assert_eq!(
        answer.reads,
        [
            read("shop.sales", Some(committed.version), Some(committed.committed_at)),
            read("shop.t", None, None)
        ]
    );
}

#[tokio::test]
async fn new_rows_are_seen_by_the_next_query() {
    let world = World::new(datasets()).await;
    assert_eq!(world.rows("select id from shop.sales").await, "");
    world.land("shop.sales", "('a', 1)").await;
    assert_eq!(world.rows("select id from shop.sales").await, "a");
    let session = world.engine.session(&SessionOptions::default()).await.unwrap();
    let count = |session: datafusion::prelude::SessionContext| async move {
        lines(&session.sql("select count(*) from shop.sales").await.unwrap().collect().await.unwrap())
    };
    assert_eq!(count(session.clone()).await, "1");
    world.land("shop.sales", "('b', 1)").await;
    assert_eq!(count(session).await, "1", "a session stays at the versions it has read");
    assert_eq!(world.rows("select count(*) from shop.sales").await, "2");
}

#[tokio::test]
async fn answers_are_cut_off_after_the_limit() {
    let world = World::new(datasets()).await;
    let cut = async |sql: &str, rows_max: u64| {
        let options = QueryOptions { rows_max: Some(rows_max), ..QueryOptions::default() };
        let answer = world.engine.query(sql, &options).await.unwrap();
        let batches: Vec<RecordBatch> = answer.stream.try_collect().await.unwrap();
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        (rows, answer.truncated.load(Ordering::Relaxed))
    };
    assert_eq!(cut("select * from generate_series(1, 100000)", 10).await, (10, true));
    assert_eq!(cut("select * from generate_series(1, 10)", 10).await, (10, false));
    assert_eq!(cut("select * from generate_series(1, 9)", 10).await, (9, false));
    assert_eq!(cut("select * from generate_series(1, 9)", 0).await, (0, true));
    assert!(cut("explain select 1", 1).await.0 >= 1);
}

#[tokio::test]
async fn a_query_ends_when_its_time_is_over() {
    let world = World::new(datasets()).await;
    let options = QueryOptions { timeout: Some(Duration::from_millis(50)), ..QueryOptions::default() };
    let endless = "select count(*) from generate_series(1, 100000000) a, generate_series(1, 100000000) b";
    let error = world.query_with(endless, &options).await.unwrap_err();
    assert!(matches!(error, ProcessError::Timeout(_)), "{error}");
}

#[tokio::test]
async fn a_query_that_needs_more_memory_than_there_is_goes_to_disk_or_is_refused() {
    let mut plan = crate::support::plan_in(std::path::Path::new("/nonexistent"), datasets());
    let folder = tempfile::tempdir().unwrap();
    plan.environment.query_memory_bytes = 8 << 20;
    plan.environment.data_dir = folder.path().to_owned();
    let world = World::new(datasets()).await;
    let engine =
        flowline_process::QueryEngine::new(plan.into(), world.lake.clone(), world.clock.clone()).unwrap();
    let collect = async |sql: &str| -> Result<Vec<RecordBatch>, ProcessError> {
        let answer = engine.query(sql, &QueryOptions::default()).await?;
        answer.stream.try_collect().await.map_err(ProcessError::from)
    };
    let sorted = "select max(n) from (select row_number() over (order by value % 1000) as n from generate_series(1, 800000))";
    assert_eq!(lines(&collect(sorted).await.unwrap()), "800000");
    let gathered =
        "select length(string_agg(repeat(cast(value as varchar), 100), ',')) from generate_series(1, 60000)";
    let error = collect(gathered).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
}

#[tokio::test]
async fn sql_of_any_depth_ends_in_an_answer_or_an_error() {
    let world = World::new(datasets()).await;
    world.land("shop.sales", "('a', 1), ('b', 2)").await;
    assert_eq!(
        world.rows(&format!("select amount{} from shop.sales", " + amount".repeat(480))).await,
        "481\n962"
    );
    let deep = [
        format!("select 1{}", "+1".repeat(20_000)),
        format!("select {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("select {}1", "not ".repeat(20_000)),
        format!("select {}1", "- ".repeat(20_000)),
        format!("select 1 where {}", vec!["1 = 1"; 20_000].join(" or ")),
        format!("select 1 in ({})", vec!["1"; 20_000].join(", ")),
        format!("select {}1{}", "abs(".repeat(20_000), ")".repeat(20_000)),
        format!("select 1{}", " union all select 1".repeat(3_000)),
        format!("{}select 1{}", "select * from (".repeat(3_000), ")".repeat(3_000)),
        format!("select case when {}", "case when ".repeat(20_000)),
        "select * from shop.sales where ".to_owned() + &"id || ".repeat(20_000) + "id = 'a'",
    ];
    let options = QueryOptions { timeout: Some(Duration::from_secs(5)), ..QueryOptions::default() };
    for sql in deep {
        match world.query_with(&sql, &options).await {
            Ok(_) => {}
            Err(error) => assert!(error.to_string().len() < 100_000, "{}", &error.to_string()[..200]),
        }
    }
}
