//! The first or last row of a key within a horizon.

use std::time::Duration;

use expect_test::{Expect, expect};
use flowline_model::{Dataset, LatePolicy};
use flowline_process::{check, stream_statuses};

use super::cases::START;
use crate::support::world::World;
use crate::support::{Declare, landed, on_change, plan, stream};

const FIRST: &str = "select customer, ts, id from (select *, row_number() over (partition by customer order by ts) as n from shop.sales) where n = 1";
const LAST: &str = "select customer, ts, id from (select *, row_number() over (partition by customer order by ts desc) as n from shop.sales) where n = 1";

fn remembering(mut stream: Dataset, seconds: u64) -> Vec<Dataset> {
    stream.dedupe_horizon = Duration::from_secs(seconds);
    vec![landed("shop.sales", "id string!, customer string, ts timestamp"), stream]
}

fn out(sql: &str) -> Dataset {
    stream("shop.out", Duration::ZERO, LatePolicy::Reopen, sql)
}

/// Rows `customer second`, the seconds from the start on.
fn rows(text: &str) -> String {
    let row = |text: &str| {
        let (customer, second) = text.split_once(' ').unwrap();
        let micros = (START + second.parse::<i64>().unwrap()) * 1_000_000;
        format!("('{customer}{second}', '{customer}', arrow_cast({micros}, 'Timestamp(µs, \"UTC\")'))")
    };
    text.split(", ").map(row).collect::<Vec<_>>().join(", ")
}

/// What is in the table after each of these batches.
async fn written(sql: &str, batches: &[&str]) -> String {
    let world = World::new(remembering(out(sql), 60)).await;
    let mut told = Vec::new();
    for batch in batches {
        world.land("shop.sales", &rows(batch)).await;
        world.run("shop.out").await;
        told.push(world.rows("select id from shop.out").await.replace('\n', " "));
    }
    told.join("\n")
}

#[tokio::test]
async fn the_first_row_comes_out_once_and_again_when_its_key_was_not_seen_for_a_while() {
    let batches = ["x 0, y 5, x 10", "x 20, z 30", "x 70, x 75, y 80", "x 136, z 150", "x 100, y 151"];
    expect![[r#"
        x0 y5
        x0 y5
        x0 y5 z30
        x0 x136 y5 y80 z30
        x0 y5 y80 z150 z30"#]]
    .assert_eq(&written(FIRST, &batches).await);
}

#[tokio::test]
async fn the_last_row_comes_out_when_no_later_one_can_come() {
    let batches =
        ["x 0, y 5, x 10", "x 20, z 67", "x 70, z 100, z 131", "x 192, z 200", "x 131, y 30, z 1000"];
    expect![[r#"

        y5
        x70 y5
        x70 y5 z131
        x131 x192 x70 y30 z131 z200"#]]
    .assert_eq(&written(LAST, &batches).await);
}

/// How many rows a run reads for a new one after so many minutes of ten rows each.
async fn read_after(minutes: i64) -> u64 {
    let world = World::new(remembering(out(FIRST), 60)).await;
    let batch = |minute: i64| {
        let all = (0..10).map(|row| format!("c{} {}", (minute * 7 + row) % 40, minute * 60 + row));
        rows(&all.collect::<Vec<_>>().join(", "))
    };
    for minute in 0..minutes {
        world.land("shop.sales", &batch(minute)).await;
    }
    world.run("shop.out").await;
    world.land("shop.sales", &batch(minutes)).await;
    world.run("shop.out").await;
    stream_statuses(&world.plan, &world.lake, None, world.now()).await.unwrap().remove(0).rows_read
}

#[tokio::test]
async fn what_is_read_does_not_grow_with_history() {
    let (short, long) = (read_after(4).await, read_after(40).await);
    assert_eq!(short, long);
    assert!(short <= 60, "{short} rows");
}

#[tokio::test]
async fn what_does_not_go_with_a_horizon_is_refused() {
    let said = async |stream: Dataset, expected: Expect| {
        let problems = check(&plan(remembering(stream, 60))).await;
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        expected.assert_eq(&lines.join("\n"));
    };
    said(out(FIRST), expect![[""]]).await;
    said(out("select id, ts from shop.sales"), expect!["datasets/shop/out.sql:1:1: `dedupe_horizon` says how long a key is remembered, and the query picks no first row of a key (remove it, or write `SELECT … FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) AS n FROM s) WHERE n = 1`)"]).await;
    said(out(&FIRST.replace("order by ts", "order by id")), expect!["datasets/shop/out.sql:1:73: within a horizon, the rows of a key are in the order of event time (write `ORDER BY ts`, with what else decides behind it)"]).await;
    said(on_change(out(FIRST)).with_key(&["customer"]), expect!["datasets/shop/out.sql:1:1: the first or last row of a key within a horizon is known when it closes (use `emit: on_close`)"]).await;
    said(stream("shop.out", Duration::ZERO, LatePolicy::Drop, FIRST), expect!["datasets/shop/out.sql:1:1: a row behind the watermark may be the first one of its key, so it cannot be left out (use `late: reopen`)"]).await;
}
