//! What may be made of a dataset whose rows are kept in the log alone, and what is said where rows would be read again.

use std::time::Duration;

use expect_test::{Expect, expect};
use flowline_model::Materialization::{self, Append, Full, Merge, Partition, View};
use flowline_model::{Dataset, Keep, LatePolicy};
use flowline_process::check;

use crate::support::{self, Declare, landed, limited, on_change, plan, sql, stream};

const COLUMNS: &str = "id string!, customer string!, amount int64!, ts timestamp!";

const TUMBLE: &str = "select customer, window_start, window_end, count(*) as n from table(tumble(table shop.events, descriptor(ts), interval '1' minute)) group by customer, window_start, window_end";

/// `shop.events` and `shop.clicks` are in the log alone, `shop.sales` and `shop.customers` have tables.
async fn said(out: Dataset) -> String {
    let in_log = |mut dataset: Dataset| {
        dataset.landing.keep = Keep::Log;
        dataset
    };
    let datasets = [
        in_log(landed("shop.events", COLUMNS)),
        in_log(landed("shop.clicks", COLUMNS)),
        landed("shop.sales", COLUMNS),
        landed("shop.customers", "customer string!, name string"),
        sql("shop.large", Append, "select id, customer, amount, ts from shop.sales where amount > 100"),
        sql("shop.seen", View, "select id, customer, amount, ts from shop.events where amount > 0"),
        out,
    ];
    let lines: Vec<String> = check(&plan(datasets)).await.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn batch(mode: Materialization, text: &str) -> Dataset {
    sql("shop.out", mode, text).with_key(&["customer"]).with_partitions(&["customer"])
}

fn closing(late: LatePolicy, text: &str) -> Dataset {
    stream("shop.out", Duration::from_secs(5), late, text)
}

fn out(text: &str) -> Dataset {
    closing(LatePolicy::Drop, text)
}

#[tokio::test]
async fn what_takes_each_row_once() {
    for allowed in [
        "select id, amount * 2 as twice from shop.events where amount > 1",
        "select id, unnest([amount, amount + 1]) as one from shop.events",
        "select id, ts from shop.seen",
        "select id, ts from shop.events union all select id, ts from shop.clicks",
        "select id, ts from shop.events where amount > 1 union all select id, ts from shop.events where amount < 1",
        "select id, ts from shop.events union all select id, ts from shop.sales",
        "select e.id, c.name from shop.events e join shop.customers for system_time as of e.ts as c on c.customer = e.customer",
        "select e.id, c.name from shop.events e left join shop.customers for system_time as of proctime() as c on c.customer = e.customer",
    ] {
        for dataset in [sql("shop.out", Append, allowed), out(allowed), closing(LatePolicy::Reopen, allowed)] {
            assert_eq!(said(dataset).await, "", "{allowed}");
        }
    }
    let hop = "hop(table shop.events, descriptor(ts), interval '1' minute, interval '5' minute)";
    let cumulate = "cumulate(table shop.seen, descriptor(ts), interval '1' minute, interval '5' minute)";
    let both = |other: &str| {
        format!(
            "with e as ({TUMBLE}), o as ({}) select e.n, o.n as others, e.window_end from e join o on e.customer = o.customer and e.window_start = o.window_start and e.window_end = o.window_end",
            TUMBLE.replace("shop.events", other)
        )
    };
    for allowed in [
        TUMBLE.to_owned(),
        format!("select window_end, sum(amount) as total from {hop} where amount > 1 group by window_start, window_end having sum(amount) > 3"),
        format!("select window_end, count(distinct id) as n from {cumulate} group by window_start, window_end"),
        format!("select t.n, c.name from ({TUMBLE}) t left join shop.customers c on c.customer = t.customer"),
        format!("select customer, n from (select *, row_number() over (partition by window_start, window_end order by n desc) as place from ({TUMBLE})) where place = 1"),
        both("shop.clicks"),
        both("shop.sales"),
    ] {
        for late in [LatePolicy::Drop, LatePolicy::Quarantine] {
            assert_eq!(said(closing(late, &allowed)).await, "", "{allowed}");
        }
    }
    for asked in ["select count(*) as n from shop.events", "select * from shop.events e join shop.sales s on e.id = s.id order by e.id limit 3"] {
        let asked = asked.replace("select *", "select e.id");
        assert_eq!(said(sql("shop.out", View, &asked)).await, "", "{asked}");
    }
}

/// What is said of each.
async fn all_said(datasets: impl IntoIterator<Item = Dataset>, expected: Expect) {
    let mut lines = Vec::new();
    for dataset in datasets {
        lines.push(said(dataset).await);
    }
    expected.assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn transforms_that_go_back() {
    let rows = "select id, customer, amount from shop.events";
    let counted = "select customer, count(*) as n\nfrom shop.seen\ngroup by customer";
    all_said(
        [
            batch(Full, rows),
            batch(Full, counted),
            batch(Partition, counted),
            batch(Merge, counted),
            batch(Merge, "select id, customer, amount, ts from shop.events").with_event_time("ts"),
            batch(Append, "select e.id, c.name from shop.events e join shop.customers c on c.customer = e.customer"),
            batch(Append, "select e.id, c.name from shop.events e left join shop.customers c on c.customer = e.customer"),
            batch(Append, "select s.id from shop.sales s join shop.events e on e.id = s.id"),
            batch(Append, "select s.id from shop.sales s left join shop.events e on e.id = s.id"),
            batch(Append, "select e.id from shop.events e join shop.clicks c on e.id = c.id"),
            batch(Append, "select id from shop.events where customer in (select customer from shop.customers)"),
            batch(Append, "select id from shop.sales where id in (select id from shop.events)"),
            batch(Append, "select id from shop.events union all select id from shop.large"),
            batch(Append, "select s.id from shop.sales s join shop.events for system_time as of s.ts as e on e.id = s.id"),
        ],
        expect![[""]],
    )
    .await;
}

#[tokio::test]
async fn streams_that_go_back() {
    let windows = "tumble(table shop.events, descriptor(ts), interval '1' minute)";
    let highest = format!(
        "with t as (select id, amount, window_start as ws, window_end as we from table({windows})), m as (select ws, we, max(amount) as top from t group by ws, we) select t.id from t join m on t.ws = m.ws and t.we = m.we and t.amount = m.top"
    );
    let mut first = closing(
        LatePolicy::Reopen,
        "select id, customer, ts from (select *, row_number() over (partition by customer order by ts) as n from shop.events) where n = 1",
    );
    first.dedupe_horizon = Duration::from_secs(60);
    let large = format!(
        "select e.n, o.n as others from ({TUMBLE}) e join ({}) o on e.window_start = o.window_start and e.window_end = o.window_end",
        TUMBLE.replace("shop.events", "shop.large")
    );
    all_said(
        [
            closing(LatePolicy::Reopen, TUMBLE),
            on_change(out(TUMBLE)),
            out(&highest),
            out(&format!("select id, window_end from {windows}")),
            out(&format!("select distinct customer, window_start, window_end from {windows}")),
            out(&format!("select customer, window_end, count(*) as n from {windows} group by rollup(customer), window_start, window_end")),
            closing(LatePolicy::Reopen, "select customer, window_end, count(*) as n from session(table shop.events partition by customer, descriptor(ts), interval '1' minute) group by customer, window_start, window_end"),
            out("select e.id from shop.events e join shop.sales s on e.id = s.id and s.ts between e.ts and e.ts + interval '1' hour"),
            limited(out("select e.id from shop.events e join shop.sales s on e.id = s.id"), 64 << 20),
            out("select e.id, c.name from shop.events e join shop.customers c on c.customer = e.customer"),
            first,
            on_change(out("select customer, count(*) as n from shop.events group by customer").with_key(&["customer"])),
            out(&large),
            out("select s.id from shop.sales s join shop.events for system_time as of s.ts as e on e.id = s.id"),
        ],
        expect![[""]],
    )
    .await;
}
