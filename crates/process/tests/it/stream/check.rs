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
    said(out("select customer, count(*) as n from shop.sales group by customer"), expect![""]).await;
    said(out("select distinct customer from shop.sales"), expect![""]).await;
    said(
        out("select id, row_number() over (partition by customer order by ts) as n from shop.sales"),
        expect![""],
    )
    .await;
    said(out("select id from shop.sales order by ts limit 3"), expect![""]).await;
    said(
        out("select s.id, p.id as p from shop.sales s left join shop.payments p on s.id = p.id"),
        expect![""],
    )
    .await;
    said(
        out("select c.name, s.id from shop.customers c left join shop.sales s on s.customer = c.customer"),
        expect![""],
    )
    .await;
    said(out("select id, now() as seen from shop.sales"), expect![""]).await;
    said(out("select customer, name from shop.customers"), expect![""]).await;
}

#[tokio::test]
async fn what_mixes_windows_is_refused() {
    let windows = "tumble(table shop.sales, descriptor(ts), interval '1' minute)";
    said(out(&format!("select customer, count(*) as n from {windows} group by customer")), expect![""]).await;
    said(
        out(&format!(
            "select a.id, b.id as other from {windows} a join {windows} b on a.customer = b.customer"
        )),
        expect![""],
    )
    .await;
    said(
        out(&format!("select id, sum(amount) over (partition by customer) as n from {windows}")),
        expect![""],
    )
    .await;
    said(out(&format!("select a.id from {windows} a join shop.payments p on a.id = p.id")), expect![""])
        .await;
    said(out("select window_end from tumble((select customer, ts + interval '1' hour as at from shop.sales), descriptor(at), interval '1' minute) group by window_end"), expect![""]).await;
    said(out("select max(n) as n from (select window_time, count(*) as n from session(table shop.sales partition by customer, descriptor(ts), interval '1' minute) group by window_time, window_end), hop(table shop.sales, descriptor(ts), interval '1' minute, interval '2' minute)"), expect![""]).await;
}

#[tokio::test]
async fn settings_that_do_not_go_with_the_query_are_refused() {
    let windows = "tumble(table shop.sales, descriptor(ts), interval '1' minute)";
    said(
        on_change(out(&format!("select count(*) as n from {windows} group by window_start, window_end"))),
        expect![""],
    )
    .await;
    let sessions = "select customer, window_end, count(*) as n from session(table shop.sales partition by customer, descriptor(ts), interval '1' minute) group by customer, window_start, window_end";
    said(on_change(out(sessions)), expect![""]).await;
    said(stream("shop.out", Duration::ZERO, LatePolicy::Drop, sessions), expect![""]).await;
}
