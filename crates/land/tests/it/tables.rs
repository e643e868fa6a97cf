//! What stands in the tables.

use flowline_model::{Column, ColumnType, EventTime, LatePolicy, PartitionField, PartitionTransform};
use std::sync::Arc;
use std::time::Duration;

use crate::world::{World, orders};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_stamped_with_where_they_came_from() {
    let world = World::new(orders()).await;
    world
        .post_lines(&[r#"{"id":"a","amount":1.5,"ts":"2026-01-05T07:59:00Z","x":1}"#, r#"{"id":"b"}"#])
        .await;
    world.advance(Duration::from_secs(3));
    let runs = world.land().await;
    assert_eq!(
        world.query("select id, amount, ts, _extra, _ingested_at, _received_at, _source, _partition, _offset, _trace from t order by _offset").await,
        [
            r#"a|1.50|2026-01-05T07:59:00Z|{"x":1}|2026-01-05T08:00:03Z|2026-01-05T08:00:00Z|http|0|0|-"#,
            r#"b|-|-|-|2026-01-05T08:00:03Z|2026-01-05T08:00:00Z|http|0|1|-"#,
        ]
    );
    assert_eq!(world.query("select distinct _batch from t").await, [runs[0].id.to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_records_are_kept_as_received_with_the_reason() {
    let mut dataset = orders();
    dataset.columns[1].check = Some("amount >= 0".into());
    let world = World::new(dataset).await;
    world.post("application/x-ndjson", &b"{\"id\":\"a\",\"amount\":-1}\n{\"id\":\"b\",\"amount\":\"x\"}\n{\"amount\":1}\n{broken\n{\"id\":\"\xff\"}\n{\"id\":\"ok\"}"[..]).await;
    world.post("text/csv", "id,amount\nc\nd,2\n").await;
    world.land().await;
    assert_eq!(world.query("select id, _offset from t order by _offset").await, ["ok|5", "d|7"]);
    let found = world.query("select _reason, _column, _record, _record_base64, _format, _schema, _offset from q order by _offset").await;
    assert_eq!(
        found,
        [
            r#"failed-rule|amount|{"id":"a","amount":-1}|-|json|-|0"#,
            r#"wrong-type|amount|{"id":"b","amount":"x"}|-|json|-|1"#,
            r#"missing|id|{"amount":1}|-|json|-|2"#,
            r#"unparsable|-|{broken|-|json|-|3"#,
            "unparsable|-|{\"id\":\"\u{fffd}\"}|eyJpZCI6Iv8ifQ==|json|-|4",
            r#"unparsable|-|c|-|csv|id,amount|6"#,
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_split_by_what_is_derived_from_a_column() {
    let mut dataset = orders();
    dataset.partition_by = vec![
        PartitionField { column: "ts".into(), transform: PartitionTransform::Month },
        PartitionField { column: "ts".into(), transform: PartitionTransform::Day },
    ];
    dataset.event_time =
        Some(EventTime { column: "ts".into(), watermark: Duration::ZERO, idle_after: None, late: LatePolicy::Reopen });
    let world = World::new(dataset).await;
    world
        .post_lines(&[
            r#"{"id":"a","ts":"2026-02-28T23:59:59Z"}"#,
            r#"{"id":"b","ts":"1969-12-31T01:00:00Z"}"#,
            r#"{"id":"c"}"#,
        ])
        .await;
    let runs = world.land().await;
    assert_eq!(
        world.query("select id, ts_month, ts_day from t order by id").await,
        ["a|2026-02-01|2026-02-28", "b|1969-12-01|1969-12-31", "c|-|-"]
    );
    let newest = runs[0].commit.as_ref().unwrap().event_time_max.unwrap();
    assert_eq!(newest.to_rfc3339(), "2026-02-28T23:59:59+00:00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_joins_the_contract_joins_the_table() {
    let mut world = World::new(orders()).await;
    world.post_lines(&[r#"{"id":"a","note":"n"}"#]).await;
    world.land().await;
    let mut dataset = orders();
    dataset.columns.push(Column::new("note", ColumnType::String));
    world.dataset = Arc::new(dataset);
    world.post_lines(&[r#"{"id":"b","note":"m"}"#]).await;
    world.land().await;
    assert_eq!(
        world.query("select id, note, _extra from t order by id").await,
        [r#"a|-|{"note":"n"}"#, "b|m|-"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_partitions_land_into_one_table() {
    let mut dataset = orders();
    dataset.key = vec!["id".into()];
    if let flowline_model::Origin::Http(origin) = &mut dataset.origin {
        origin.partitions = 3;
    }
    let world = World::new(dataset).await;
    let lines: Vec<String> = (0..30).map(|n| format!("{{\"id\":\"{}\"}}", n % 20)).collect();
    world.post_lines(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let runs = world.land().await;
    assert_eq!(runs.len(), 3);
    assert_eq!(
        world.query("select count(*), count(distinct id), count(distinct _partition) from t").await,
        ["20|20|3"]
    );
    let totals = world.totals().await;
    assert_eq!((totals.read, totals.written, totals.duplicate), (30, 20, 10));
    assert!(world.land().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lander_runs_until_it_is_told_to_stop_and_commits_what_it_holds() {
    let world = World::new(orders()).await;
    let shutdown = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(world.lander().await.run(shutdown.clone()));
    world.post_lines(&[r#"{"id":"a"}"#]).await;
    world.post_lines(&[r#"{"id":"b"}"#]).await;
    // It has taken the records up once it has created the table for them; the commit itself is left to the stop.
    let table = world.context.lake.table(flowline_lake::TableId::of(&world.dataset));
    while !table.exists().await.unwrap() {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let landed: usize = world.query("select count(*) from t").await[0].parse().unwrap();
    assert_eq!(world.totals().await.written as usize, landed);
    world.land().await;
    assert_eq!(world.query("select id from t order by id").await, ["a", "b"]);
}
