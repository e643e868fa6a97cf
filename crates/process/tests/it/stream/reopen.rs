//! Late rows of sessions and of joins by time: what they reach is computed again, and nothing else.

use std::time::Duration;

use expect_test::{Expect, expect};
use flowline_model::{Dataset, LatePolicy};
use flowline_process::stream_statuses;

use super::cases::START;
use crate::support::world::World;
use crate::support::{landed, stream};

const SESSIONS: &str = "select customer, window_start, window_end, count(*) as n from session(table shop.sales partition by customer, descriptor(ts), interval '20' second) group by customer, window_start, window_end";
const JOINED: &str = "select s.id, s.ts, p.id as payment from shop.sales s left join shop.payments p on s.customer = p.customer and p.ts between s.ts - interval '10' second and s.ts + interval '30' second";

fn datasets(sql: &str) -> Vec<Dataset> {
    vec![
        landed("shop.sales", "id string!, customer string, ts timestamp"),
        landed("shop.payments", "id string!, customer string, ts timestamp"),
        stream("shop.out", Duration::ZERO, LatePolicy::Reopen, sql),
    ]
}

/// Rows `customer seconds`, the seconds from the start on.
fn rows(text: &str) -> String {
    let row = |(index, text): (usize, &str)| {
        let (customer, seconds) = text.split_once(' ').unwrap();
        let micros = (START + seconds.parse::<i64>().unwrap()) * 1_000_000;
        format!("('{customer}{index}', '{customer}', arrow_cast({micros}, 'Timestamp(µs, \"UTC\")'))")
    };
    text.split(", ").enumerate().map(row).collect::<Vec<_>>().join(", ")
}

/// What is written of sessions, the seconds of their bounds from the start on, after these rows came on time and those
/// late.
async fn sessions(on_time: &str, late: &str, expected: Expect) {
    let world = World::new(datasets(SESSIONS)).await;
    world.land("shop.sales", &rows(on_time)).await;
    world.run("shop.out").await;
    world.land("shop.sales", &rows(late)).await;
    world.run("shop.out").await;
    let how = world.how("shop.out").await;
    assert!(how.contains(" stretches of time reopened"), "{how}");
    let seconds = |column: &str| {
        format!("arrow_cast(arrow_cast({column}, 'Timestamp(s, \"UTC\")'), 'Int64') - {START}")
    };
    let (start, end) = (seconds("window_start"), seconds("window_end"));
    expected
        .assert_eq(&world.rows(&format!("select customer, {start} as a, {end} as b, n from shop.out")).await);
    world.land("shop.sales", &rows("last 100000")).await;
    world.run("shop.out").await;
    let closed = format!("select * from ({SESSIONS}) where customer <> 'last'");
    assert_eq!(world.rows("select * from shop.out").await, world.rows(&closed).await);
}

#[tokio::test]
async fn a_late_row_makes_a_session_of_its_own() {
    sessions(
        "x 0, x 10, y 0, x 300",
        "x 100",
        expect![[r#"
        x 0 30 2
        x 100 120 1
        y 0 20 1"#]],
    )
    .await;
}

#[tokio::test]
async fn a_late_row_makes_one_of_two_sessions() {
    sessions(
        "x 0, x 40, y 38, y 90, x 300",
        "x 20",
        expect![[r#"
        x 0 60 3
        y 38 58 1
        y 90 110 1"#]],
    )
    .await;
}

#[tokio::test]
async fn a_late_row_takes_a_closed_session_into_one_that_is_open() {
    sessions(
        "x 200, x 240, y 215, y 239, x 250, z 251",
        "x 220",
        expect![[r#"
        y 215 235 1"#]],
    )
    .await;
}

#[tokio::test]
async fn sessions_that_are_long_are_found_whole() {
    let steps: Vec<String> = (0..60).map(|step| format!("x {}", step * 15)).collect();
    let on_time = format!("{}, y 400, x 915, z 2000", steps.join(", "));
    sessions(
        &format!("{on_time}, y 1999"),
        "y 420, x 900",
        expect![[r#"
        x 0 935 62
        y 400 440 2"#]],
    )
    .await;
}

/// How many rows a run reads that a late row makes necessary, after so many batches of ten rows.
async fn read_after(sql: &str, batches: i64) -> u64 {
    let world = World::new(datasets(sql)).await;
    for batch in 0..batches {
        let of = |customer: &str| {
            let rows = (0..10).map(|row| format!("{customer} {}", batch * 600 + row * 7));
            rows.collect::<Vec<_>>().join(", ")
        };
        world.land("shop.sales", &rows(&of("x"))).await;
        world.land("shop.payments", &rows(&of("x"))).await;
    }
    world.run("shop.out").await;
    world.land("shop.sales", &rows(&format!("x {}", (batches - 5) * 600 + 75))).await;
    world.run("shop.out").await;
    let how = world.how("shop.out").await;
    assert!(how.contains("reopened"), "{how}");
    let newest = format!(
        "timestamp '{}'",
        chrono::DateTime::from_timestamp(START + (batches - 1) * 600, 0).unwrap().to_rfc3339()
    );
    let column = if sql == SESSIONS { "window_start" } else { "ts" };
    let answer = world.rows(&format!("select * from ({sql}) where {column} < {newest}")).await;
    assert_eq!(world.rows(&format!("select * from shop.out where {column} < {newest}")).await, answer);
    stream_statuses(&world.plan, &world.lake, None, world.now()).await.unwrap().remove(0).rows_read
}

#[tokio::test]
async fn what_a_late_row_costs_does_not_grow_with_history() {
    for sql in [SESSIONS, JOINED] {
        let (short, long) = (read_after(sql, 10).await, read_after(sql, 100).await);
        assert_eq!(short, long, "{sql}");
        assert!(short > 1 && short <= 100, "{short} rows: {sql}");
    }
}
