//! What can be run as a stream, and what is said where it cannot.

use std::time::Duration;

use expect_test::{Expect, expect};
use flowline_model::{Dataset, LatePolicy, Materialization};
use flowline_process::check;

use super::cases::{self, CASES};
use crate::support::{Declare, landed, on_change, plan, sql, stream};

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
        expect!["datasets/shop/out.sql:1:44: a window function over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`; for the first or last row of each key, say with `dedupe_horizon: 1d` how long a key is remembered)"],
    )
    .await;
    said(out("select id from shop.sales order by ts limit 3"), expect!["datasets/shop/out.sql:1:1: LIMIT picks from all rows, so new rows change which ones stay (leave it out, or use `mode: batch` with `materialize: full`)"]).await;
    said(
        out("select s.id, p.id as p from shop.sales s left join shop.payments p on s.id = p.id"),
        expect!["datasets/shop/out.sql:1:71: a row of a stream that no row of the other meets may meet one at any later time (bound the join by time, `b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' HOUR`, or make it an inner one)"],
    )
    .await;
    said(
        out("select s.id, p.id as p from shop.sales s join shop.payments p on s.id = p.id"),
        expect!["datasets/shop/out.sql:1:66: a row of either stream may meet one of the other at any later time, so this join goes through all rows of both (say how much memory that may take, `state: { limit: 256MiB }`, or bound the join by time, `b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' HOUR`)"],
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
    said(out("select window_end from tumble((select customer, ts + interval '1' hour as at from shop.sales), descriptor(at), interval '1' minute) group by window_end"), expect!["datasets/shop/out.sql:1:107: DESCRIPTOR names `at`, which is not the event time `ts` of one stream (name the column of `event_time` as it comes from the input, or `window_time` of an inner window)"]).await;
    said(out("select window_end from session((select customer, window_time as at from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by customer, window_time, window_end) partition by customer, descriptor(at), interval '1' minute) group by window_end"), expect!["datasets/shop/out.sql:1:192: windows of sessions, and sessions of windows, cannot be run as a stream (use `mode: batch` with `materialize: full`)"]).await;
    said(out(&format!("select window_end, count(*) as n from {windows} where id in (select id from shop.payments) group by window_end")), expect!["datasets/shop/out.sql:1:114: a subquery reads the stream `shop.payments`, and what it gives may be another with each new row (write it as a join, of windows with equal bounds or by time, or use `mode: batch` with `materialize: full`)"]).await;
}

#[tokio::test]
async fn the_bounds_of_windows_are_never_null() {
    for call in [
        "tumble(table shop.sales, descriptor(ts), interval '1' minute)",
        "hop(table shop.sales, descriptor(ts), interval '1' minute, interval '5' minute)",
        "cumulate(table shop.sales, descriptor(ts), interval '1' minute, interval '5' minute)",
        "session(table shop.sales, descriptor(ts), interval '1' minute)",
    ] {
        let text = format!(
            "select window_start, window_end, window_time, max(ts) as newest, count(*) as n from {call} group by window_start, window_end, window_time"
        );
        let columns = "window_start timestamp!, window_end timestamp!, window_time timestamp!, newest timestamp!, n int64!";
        said(out(&text).with_columns(columns), expect![""]).await;
    }
    let ends = |column: &str, minutes: i64| {
        format!("unnest(flowline_hop_starts(ts, {minutes} * 60000000, 60000000, 0)) as {column}")
    };
    // Of two lists, the shorter one is filled up with nulls.
    let text = format!("select {}, {} from shop.sales where ts is not null", ends("a", 2), ends("b", 3));
    said(out(&text).with_columns("a timestamp!, b timestamp!"), expect![[r#"
        datasets/shop/out.sql:1:8: column `a` is declared required, but the SQL may give null (add `where a is not null`, use coalesce, or do not require it)
        datasets/shop/out.sql:1:73: column `b` is declared required, but the SQL may give null (add `where b is not null`, use coalesce, or do not require it)"#]]).await;
}

#[tokio::test]
async fn a_subquery_is_refused_where_it_reads_a_stream() {
    let datasets = |text: &str| {
        [
            landed("shop.sales", "id string!, customer string, amount int64!, ts timestamp"),
            landed("shop.customers", "customer string!, name string"),
            // Nothing is declared of its columns.
            sql("shop.big", Materialization::Append, "select id, ts from shop.sales where amount > 100"),
            sql("shop.known", Materialization::View, "select id from shop.big"),
            out(text),
        ]
    };
    for (text, expected) in [
        (
            "select window_end, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) where customer in (select customer from shop.customers) group by window_start, window_end",
            expect![[""]],
        ),
        (
            "select id, ts from shop.sales\nwhere id in (select id from shop.big)",
            expect![
                "datasets/shop/out.sql:2:14: a subquery reads the stream `shop.big`, and what it gives may be another with each new row (write it as a join, of windows with equal bounds or by time, or use `mode: batch` with `materialize: full`)"
            ],
        ),
        (
            "select id, ts from shop.sales\nwhere customer in (select customer from shop.customers)\nand exists (select 1 from shop.big b where b.id = sales.id)",
            expect![
                "datasets/shop/out.sql:3:13: a subquery reads the stream `shop.big`, and what it gives may be another with each new row (write it as a join, of windows with equal bounds or by time, or use `mode: batch` with `materialize: full`)"
            ],
        ),
        (
            "select window_end, count(*) as n, (select count(*) from shop.known) as all from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by window_start, window_end",
            expect![
                "datasets/shop/out.sql:1:36: a subquery reads the stream `shop.big`, and what it gives may be another with each new row (write it as a join, of windows with equal bounds or by time, or use `mode: batch` with `materialize: full`)"
            ],
        ),
        (
            "select window_end, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by window_start, window_end having count(*) > (select count(*) from shop.big)",
            expect![
                "datasets/shop/out.sql:1:154: a subquery reads the stream `shop.big`, and what it gives may be another with each new row (write it as a join, of windows with equal bounds or by time, or use `mode: batch` with `materialize: full`)"
            ],
        ),
    ] {
        let lines: Vec<String> = check(&plan(datasets(text))).await.iter().map(ToString::to_string).collect();
        expected.assert_eq(&lines.join("\n"));
    }
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

/// What Flink and DataFusion can be asked, and what a stream says to it.
const SURFACE: &[&str] = &[
    "select id from shop.sales order by ts",
    "select id from shop.sales limit 3",
    "select count(*) as n from shop.sales",
    "select max(amount) as most from shop.sales having count(*) > 1",
    "select customer, count(*) as n from shop.sales group by rollup(customer)",
    "select s.id, p.id as p from shop.sales s full join shop.payments p on s.id = p.id",
    "select s.id, p.id as p from shop.sales s right join shop.payments p on s.id = p.id and p.ts between s.ts and s.ts + interval '1' hour",
    "select s.id, p.id as p from shop.sales s full join shop.payments p on s.id = p.id and p.ts between s.ts and s.ts + interval '1' hour",
    "select s.id, p.id as p from shop.sales s cross join shop.payments p",
    "select s.id from shop.sales s full join shop.customers c on s.customer = c.customer",
    "select id from shop.sales s where exists (select 1 from shop.payments p where p.id = s.id)",
    "select id from shop.sales s where id not in (select id from shop.payments)",
    "select id, (select max(amount) from shop.payments) as most from shop.sales",
    "select id, random() as r from shop.sales",
    "select id, uuid() as u from shop.sales",
    "select id, current_date() as d from shop.sales",
    "with recursive r as (select id, amount from shop.sales union all select id, amount - 1 from r where amount > 0) select * from r",
    "select id from shop.sales union select id from shop.payments",
    "select id from shop.sales intersect select id from shop.payments",
    "select id from shop.sales except select id from shop.payments",
    "select distinct on (customer) customer, id from shop.sales order by customer, ts",
    "select id, lag(amount) over (order by ts) as before from shop.sales",
    "select customer, amount from (select *, row_number() over (partition by customer order by ts desc) as n from shop.sales) where n = 1",
    "select id, window_end from tumble(table shop.sales, descriptor(ts), interval '1' minute) order by amount limit 3",
    "select window_start, count(*) as n from cumulate(table shop.sales, descriptor(ts), interval '1' minute, interval '1' hour) group by window_start",
    "select count(*) as n from shop.sales group by date_trunc('minute', ts)",
];

#[tokio::test]
async fn what_is_said_to_the_rest_of_sql() {
    let columns = "id string!, customer string, amount int64!, ts timestamp";
    let mut lines = Vec::new();
    for text in SURFACE {
        let datasets = [
            landed("shop.sales", columns),
            landed("shop.payments", columns),
            landed("shop.customers", "customer string!, name string"),
            out(text),
        ];
        let problems = check(&plan(datasets)).await;
        let said: Vec<String> = problems.iter().map(|problem| problem.to_string()).collect();
        assert_eq!(said.len(), 1, "{text}: {said:?}");
        lines.push(format!("{text}\n  {}", said[0].trim_start_matches("datasets/shop/out.sql:")));
    }
    expect![[r#"
        select id from shop.sales order by ts
          1:36: a table has no order, and ORDER BY sorts all rows again for each new one (leave it out, or use `mode: batch` with `materialize: full`)
        select id from shop.sales limit 3
          1:1: LIMIT picks from all rows, so new rows change which ones stay (leave it out, or use `mode: batch` with `materialize: full`)
        select count(*) as n from shop.sales
          1:1: GROUP BY over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`)
        select max(amount) as most from shop.sales having count(*) > 1
          1:12: GROUP BY over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`)
        select customer, count(*) as n from shop.sales group by rollup(customer)
          1:64: GROUP BY over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`)
        select s.id, p.id as p from shop.sales s full join shop.payments p on s.id = p.id
          1:71: a row of a stream that no row of the other meets may meet one at any later time (bound the join by time, `b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' HOUR`, or make it an inner one)
        select s.id, p.id as p from shop.sales s right join shop.payments p on s.id = p.id and p.ts between s.ts and s.ts + interval '1' hour
          1:72: which rows of the right side stay alone is told by the left side's time (write it as a LEFT JOIN, or an inner one)
        select s.id, p.id as p from shop.sales s full join shop.payments p on s.id = p.id and p.ts between s.ts and s.ts + interval '1' hour
          1:71: which rows of the right side stay alone is told by the left side's time (write it as a LEFT JOIN, or an inner one)
        select s.id, p.id as p from shop.sales s cross join shop.payments p
          1:1: a row of either stream may meet one of the other at any later time, so this join goes through all rows of both (say how much memory that may take, `state: { limit: 256MiB }`, or bound the join by time, `b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' HOUR`)
        select s.id from shop.sales s full join shop.customers c on s.customer = c.customer
          1:61: a row of a table that no row of the stream meets is never known to stay alone (put the stream on the left of a LEFT JOIN)
        select id from shop.sales s where exists (select 1 from shop.payments p where p.id = s.id)
          1:43: a subquery reads the stream `shop.payments`, and what it gives may be another with each new row (write it as a join, of windows with equal bounds or by time, or use `mode: batch` with `materialize: full`)
        select id from shop.sales s where id not in (select id from shop.payments)
          1:46: a subquery reads the stream `shop.payments`, and what it gives may be another with each new row (write it as a join, of windows with equal bounds or by time, or use `mode: batch` with `materialize: full`)
        select id, (select max(amount) from shop.payments) as most from shop.sales
          1:13: a subquery reads the stream `shop.payments`, and what it gives may be another with each new row (write it as a join, of windows with equal bounds or by time, or use `mode: batch` with `materialize: full`)
        select id, random() as r from shop.sales
          1:12: `random()` gives another value each time, so what was computed before cannot be kept (leave it out, or use `mode: batch` with `materialize: full`)
        select id, uuid() as u from shop.sales
          1:12: `uuid()` gives another value each time, so what was computed before cannot be kept (leave it out, or use `mode: batch` with `materialize: full`)
        select id, current_date() as d from shop.sales
          1:12: `current_date()` gives another value each time, so what was computed before cannot be kept (leave it out, or use `mode: batch` with `materialize: full`)
        with recursive r as (select id, amount from shop.sales union all select id, amount - 1 from r where amount > 0) select * from r
          1:1: a recursive query cannot be run as a stream (use `mode: batch` with `materialize: full`)
        select id from shop.sales union select id from shop.payments
          1:1: DISTINCT over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`)
        select id from shop.sales intersect select id from shop.payments
          1:1: DISTINCT over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`)
        select id from shop.sales except select id from shop.payments
          1:1: DISTINCT over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`)
        select distinct on (customer) customer, id from shop.sales order by customer, ts
          1:21: DISTINCT cannot be run as a stream (use `mode: batch` with `materialize: full`)
        select id, lag(amount) over (order by ts) as before from shop.sales
          1:16: a window function over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`; for the first or last row of each key, say with `dedupe_horizon: 1d` how long a key is remembered)
        select customer, amount from (select *, row_number() over (partition by customer order by ts desc) as n from shop.sales) where n = 1
          1:73: a window function over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`; for the first or last row of each key, say with `dedupe_horizon: 1d` how long a key is remembered)
        select id, window_end from tumble(table shop.sales, descriptor(ts), interval '1' minute) order by amount limit 3
          1:1: LIMIT picks from all rows, so new rows change which ones stay (leave it out, or use `mode: batch` with `materialize: full`)
        select window_start, count(*) as n from cumulate(table shop.sales, descriptor(ts), interval '1' minute, interval '1' hour) group by window_start
          1:133: GROUP BY puts rows of several windows together (add `window_start` and `window_end` to it)
        select count(*) as n from shop.sales group by date_trunc('minute', ts)
          1:68: GROUP BY over a whole stream never comes to an end (read the stream through a window, `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))`, and group by `window_start` and `window_end`; or write `emit: on_change` with a `key`)"#]].assert_eq(&lines.join("\n"));
}
