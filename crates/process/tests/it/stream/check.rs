//! What can be run as a stream, and what is said where it cannot.

use std::time::Duration;

use expect_test::{Expect, expect};
use flowline_model::{Dataset, LatePolicy};
use flowline_process::check;

use super::cases::{self, CASES};
use crate::support::{landed, on_change, plan, stream};

async fn said(out: Dataset, expected: Expect) {
    let columns = "id string!, customer string, amount int64!, ts timestamp";
    let datasets = [
        landed("shop.sales", columns),
        landed("shop.payments", columns),
        landed("shop.customers", "customer string!, name string"),
        out,
    ];
    let lines: Vec<String> = check(&plan(datasets)).await.iter().map(ToString::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

fn out(sql: &str) -> Dataset {
    stream("shop.out", Duration::from_secs(5), LatePolicy::Reopen, sql)
}

#[tokio::test]
async fn every_case_can_be_run() {
    for case in CASES {
        for changing in [false, true] {
            if changing && !case.changes {
                continue;
            }
            let problems = check(&plan(cases::datasets(case, Duration::ZERO, changing))).await;
            assert!(problems.is_empty(), "{} {changing}: {problems:?}", case.name);
        }
    }
}

#[tokio::test]
async fn what_never_ends_is_refused() {
    said(out("select customer, count(*) as n from shop.sales group by customer"), expect!["datasets/shop/out.sql:1:57: GROUP BY over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`)"]).await;
    said(out("select distinct customer from shop.sales"), expect!["datasets/shop/out.sql:1:1: DISTINCT over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`)"]).await;
    said(
        out("select id, row_number() over (partition by customer order by ts) as n from shop.sales"),
        expect!["datasets/shop/out.sql:1:44: a window function over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`)"],
    )
    .await;
    said(out("select id from shop.sales order by ts limit 3"), expect!["datasets/shop/out.sql:1:1: LIMIT picks from all rows, so new rows change which ones stay (leave it out, or use `mode: batch` with `materialize: full`)"]).await;
    said(
        out("select s.id, p.id as p from shop.sales s left join shop.payments p on s.id = p.id"),
        expect!["datasets/shop/out.sql:1:71: a row of a stream that no row of the other meets may meet one at any later time (bound the join by time, `b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' HOUR`, or make it an inner one)"],
    )
    .await;
    said(
        out("select c.name, s.id from shop.customers c left join shop.sales s on s.customer = c.customer"),
        expect!["datasets/shop/out.sql:1:69: a row of a table that no row of the stream meets is never known to stay alone (put the stream on the left of a LEFT JOIN)"],
    )
    .await;
    said(out("select id, now() as seen from shop.sales"), expect!["datasets/shop/out.sql:1:12: `now()` gives another value each time, so what was computed before cannot be kept (leave it out, or use `mode: batch` with `materialize: full`)"]).await;
    said(out("select customer, name from shop.customers"), expect!["datasets/shop/out.sql:1:1: none of the datasets that the query reads has the event time `ts` (name a timestamp column of an input in `event_time`)"]).await;
}

#[tokio::test]
async fn what_mixes_windows_is_refused() {
    let windows = "tumble(table shop.sales, descriptor(ts), interval '1' minute)";
    said(out(&format!("select customer, count(*) as n from {windows} group by customer")), expect!["datasets/shop/out.sql:1:108: GROUP BY puts rows of several windows together (add `window_start` and `window_end` to it)"]).await;
    said(
        out(&format!(
            "select a.id, b.id as other from {windows} a join {windows} b on a.customer = b.customer"
        )),
        expect!["datasets/shop/out.sql:1:169: this join puts rows of different windows together (add `a.window_start = b.window_start AND a.window_end = b.window_end` to its condition)"],
    )
    .await;
    said(
        out(&format!("select id, sum(amount) over (partition by customer) as n from {windows}")),
        expect!["datasets/shop/out.sql:1:16: a window function puts rows of several windows together (add `window_start` and `window_end` to it)"],
    )
    .await;
    said(out(&format!("select a.id from {windows} a join shop.payments p on a.id = p.id")), expect!["datasets/shop/out.sql:1:106: windows cannot be joined with rows that have none (read both sides through the same window)"])
        .await;
    said(out("select window_end from tumble((select customer, ts + interval '1' hour as at from shop.sales), descriptor(at), interval '1' minute) group by window_end"), expect!["datasets/shop/out.sql:1:1: DESCRIPTOR names `at`, which is not the event time `ts` of one stream (name the column of `event_time` as it comes from the input, or `window_time` of an inner window)"]).await;
    said(out("select window_end from session((select customer, window_time as at from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by customer, window_time, window_end) partition by customer, descriptor(at), interval '1' minute) group by window_end"), expect!["datasets/shop/out.sql:1:1: windows of sessions, and sessions of windows, cannot be run as a stream (use `mode: batch` with `materialize: full`)"]).await;
    said(out(&format!("select window_end, count(*) as n from {windows} where id in (select id from shop.payments) group by window_end")), expect!["datasets/shop/out.sql:1:107: a subquery over a stream cannot be run as a stream (use `mode: batch` with `materialize: full`)"]).await;
}

#[tokio::test]
async fn settings_that_do_not_go_with_the_query_are_refused() {
    let windows = "tumble(table shop.sales, descriptor(ts), interval '1' minute)";
    said(
        on_change(out(&format!("select count(*) as n from {windows} group by window_start, window_end"))),
        expect!["datasets/shop/out.sql:1:1: `emit: on_change` replaces the rows of a window, but the query does not say of its rows which window they are of (select `window_end`, or use `emit: on_close`)"],
    )
    .await;
    let sessions = "select customer, window_end, count(*) as n from session(table shop.sales partition by customer, descriptor(ts), interval '1' minute) group by customer, window_start, window_end";
    said(on_change(out(sessions)), expect!["datasets/shop/out.sql:1:1: what a session or a join by time gives is known when it closes (use `emit: on_close`)"]).await;
    said(stream("shop.out", Duration::ZERO, LatePolicy::Drop, sessions), expect!["datasets/shop/out.sql:1:1: a row behind the watermark may join two sessions, so it cannot be left out of them (use `late: reopen`)"]).await;
}
