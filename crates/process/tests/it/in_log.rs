//! What may be made of a dataset whose rows are kept in the log alone, and what is said where rows would be read again.

use std::time::Duration;

use expect_test::{Expect, expect};
use flowline_model::Materialization::{self, Append, Full, Merge, Partition, View};
use flowline_model::{CheckRule, Dataset, Keep, LatePolicy, Origin};
use flowline_process::check;

use crate::support::{Declare, check as rule, landed, limited, on_change, plan, sql, stream};

const COLUMNS: &str = "id string!, customer string!, amount int64!, ts timestamp!";

const TUMBLE: &str = "select customer, window_start, window_end, count(*) as n from table(tumble(table shop.events, descriptor(ts), interval '1' minute)) group by customer, window_start, window_end";

/// `shop.events` and `shop.clicks` are in the log alone, `shop.sales` and `shop.customers` have tables.
async fn said(out: Dataset) -> String {
    let in_log = |mut dataset: Dataset| {
        dataset.landing.keep = Keep::Log;
        if let Origin::Http(http) = &mut dataset.origin {
            http.partition_key = vec!["customer".to_owned()];
        }
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

fn append(text: &str) -> Dataset {
    sql("shop.out", Append, text)
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
        for dataset in [sql("shop.out", Append, allowed), out(allowed), closing(LatePolicy::Reopen, allowed)]
        {
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
        format!(
            "select window_end, sum(amount) as total from {hop} where amount > 1 group by window_start, window_end having sum(amount) > 3"
        ),
        format!(
            "select window_end, count(distinct id) as n from {cumulate} group by window_start, window_end"
        ),
        format!("select t.n, c.name from ({TUMBLE}) t left join shop.customers c on c.customer = t.customer"),
        format!(
            "select customer, n from (select *, row_number() over (partition by window_start, window_end order by n desc) as place from ({TUMBLE})) where place = 1"
        ),
        format!("select distinct customer, window_start, window_end from table({hop})"),
        both("shop.clicks"),
        both("shop.sales"),
    ] {
        for late in [LatePolicy::Drop, LatePolicy::Quarantine] {
            assert_eq!(said(closing(late, &allowed)).await, "", "{allowed}");
        }
    }
    let mut divided = out(TUMBLE);
    if let Origin::Sql(sql) = &mut divided.origin {
        sql.divided = true;
    }
    assert_eq!(said(divided).await, "");
    for asked in [
        "select count(*) as n from shop.events",
        "select * from shop.events e join shop.sales s on e.id = s.id order by e.id limit 3",
    ] {
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
            append("select e.id, c.name from shop.events e join shop.customers c on c.customer = e.customer"),
            append("select e.id, c.name from shop.events e left join shop.customers c on c.customer = e.customer"),
            append("select s.id from shop.sales s join shop.events e on e.id = s.id"),
            append("select s.id from shop.sales s left join shop.events e on e.id = s.id"),
            append("select e.id from shop.events e join shop.clicks c on e.id = c.id"),
            append("select id from shop.events where customer in (select customer from shop.customers)"),
            append("select id from shop.sales where id in (select id from shop.events)"),
            append("select id from shop.events union all select id from shop.large"),
            append("select s.id from shop.sales s join shop.events for system_time as of s.ts as e on e.id = s.id"),
        ],
        expect![[r#"
            datasets/shop/out.sql:1:34: `materialize: full` computes the whole table again, and the log may no longer hold the rows of `shop.events` (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:2:6: `materialize: full` computes the whole table again, and the log may no longer hold the rows of `shop.events` (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:2:6: `materialize: partition` computes partitions again, and the log may no longer hold the rows of `shop.events` (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:2:6: `materialize: merge` computes the rows of a key again, and the log may no longer hold the rows of `shop.events` (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:38: `materialize: merge` replaces rows, and those that are made of `shop.events`, whose rows are in the log alone, can only be added (use `materialize: append`, or write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:26: a join reads the rows of both sides again when `shop.customers` grows, and the log may no longer hold the rows of `shop.events` (join `shop.customers FOR SYSTEM_TIME AS OF PROCTIME()`, or write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:26: a join reads the rows of both sides again when `shop.customers` grows, and the log may no longer hold the rows of `shop.events` (join `shop.customers FOR SYSTEM_TIME AS OF PROCTIME()`, or write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:36: a join reads the rows of both sides again when `shop.sales` grows, and the log may no longer hold the rows of `shop.events` (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:41: a join reads the rows of both sides again when `shop.sales` grows, and the log may no longer hold the rows of `shop.events` (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:18: a join reads the rows of both sides again when `shop.clicks` grows, and the log may no longer hold the rows of `shop.events` (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:16: rows of `shop.customers` change rows that are there, so everything is computed again, and the log may no longer hold the rows of `shop.events` (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:55: rows of `shop.events` change rows that are there, so everything is computed again, and the log may no longer hold the rows of `shop.events` (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:16: rows of `shop.large` may be replaced, and then everything is computed again, and the log may no longer hold the rows of `shop.events` (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:36: `shop.events` has no rows as of a time: they are in the log alone (write `landing: { keep: table }` for `shop.events`)"#]],
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
        expect![[r#"
            datasets/shop/out.sql:1:82: `late: reopen` computes a window from all its rows when a late one comes, and the log may no longer hold the rows of `shop.events` (use `late: quarantine`, or write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:82: `emit: on_change` computes windows from all their rows whenever they change, and the log may no longer hold the rows of `shop.events` (use `emit: on_close`, or write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:92: what closes is computed from all its rows, and the log may no longer hold the rows of `shop.events` (only an aggregate of TUMBLE, HOP or CUMULATE right over `shop.events`, with GROUP BY or DISTINCT, takes its rows once; otherwise write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:41: what closes is computed from all its rows, and the log may no longer hold the rows of `shop.events` (only an aggregate of TUMBLE, HOP or CUMULATE right over `shop.events`, with GROUP BY or DISTINCT, takes its rows once; otherwise write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:62: what closes is computed from all its rows, and the log may no longer hold the rows of `shop.events` (only an aggregate of TUMBLE, HOP or CUMULATE right over `shop.events`, with GROUP BY or DISTINCT, takes its rows once; otherwise write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:63: what closes is computed from all its rows, and the log may no longer hold the rows of `shop.events` (only an aggregate of TUMBLE, HOP or CUMULATE right over `shop.events`, with GROUP BY or DISTINCT, takes its rows once; otherwise write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:18: what closes is computed from all its rows, and the log may no longer hold the rows of `shop.events` (only an aggregate of TUMBLE, HOP or CUMULATE right over `shop.events`, with GROUP BY or DISTINCT, takes its rows once; otherwise write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:18: a join reads the rows of both sides again when `shop.sales` grows, and the log may no longer hold the rows of `shop.events` (join `shop.sales FOR SYSTEM_TIME AS OF PROCTIME()`, or write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:26: a join reads the rows of both sides again when `shop.customers` grows, and the log may no longer hold the rows of `shop.events` (join `shop.customers FOR SYSTEM_TIME AS OF PROCTIME()`, or write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:105: what closes is computed from all its rows, and the log may no longer hold the rows of `shop.events` (only an aggregate of TUMBLE, HOP or CUMULATE right over `shop.events`, with GROUP BY or DISTINCT, takes its rows once; otherwise write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:37: `emit: on_change` with a `key` computes the rows of a key again, and the log may no longer hold the rows of `shop.events` (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:114: rows of `shop.large` may be replaced, and then everything is computed again, and the log may no longer hold the rows of `shop.events` (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.sql:1:36: `shop.events` has no rows as of a time: they are in the log alone (write `landing: { keep: table }` for `shop.events`)"#]],
    )
    .await;
}

#[tokio::test]
async fn checks_that_look_at_what_the_log_may_no_longer_hold() {
    let with = |mut dataset: Dataset, checked: CheckRule| {
        dataset.checks = vec![rule("mine", checked)];
        dataset
    };
    let columns = || vec!["id".to_owned()];
    let referential = |to: &str| CheckRule::Referential {
        columns: columns(),
        to: to.parse().unwrap(),
        to_columns: columns(),
    };
    let query = |query: &str| CheckRule::Sql { query: query.to_owned() };
    let made = || sql("shop.out", Append, "select id, amount from shop.events");
    assert_eq!(said(with(made(), CheckRule::RowCount { min: Some(1), max: None })).await, "");
    assert_eq!(said(with(made(), query("select id from shop.out where amount < 0"))).await, "");
    let view = sql("shop.out", View, "select id, amount from shop.seen");
    let reconcile =
        CheckRule::Reconcile { column: None, with: "shop.seen".parse().unwrap(), with_column: None };
    all_said(
        [
            with(made(), referential("shop.events")),
            with(made(), reconcile),
            with(made(), query("select o.id from shop.out o\nleft join shop.seen e on e.id = o.id where e.id is null")),
            with(view, CheckRule::RowCount { min: Some(1), max: None }),
        ],
        expect![[r#"
            datasets/shop/out.yaml:1:1: check `mine`: the rows of `shop.events` are in the log alone, so that a check would miss those that it no longer holds (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.yaml:1:1: check `mine`: the rows of `shop.events` are in the log alone, so that a check would miss those that it no longer holds (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.yaml:2:11: check `mine`: the rows of `shop.events` are in the log alone, so that a check would miss those that it no longer holds (write `landing: { keep: table }` for `shop.events`)
            datasets/shop/out.yaml:1:1: check `mine`: the rows of `shop.events` are in the log alone, so that a check would miss those that it no longer holds (write `landing: { keep: table }` for `shop.events`)"#]],
    )
    .await;
}
