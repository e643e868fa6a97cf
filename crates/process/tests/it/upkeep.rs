//! Which materializations hold for which SQL, and what is said where they do not.

use std::fmt::Write;

use expect_test::{Expect, expect};
use flowline_model::{Dataset, Materialization};
use flowline_process::check;

use crate::support::{Declare, landed, plan, sql};

/// A table of queries with what each mode says to them; the dataset has the key `id` and is partitioned by `day`.
async fn modes(queries: &[&str], declare: impl Fn(Dataset) -> Dataset, expected: Expect) {
    let mut text = String::new();
    for query in queries {
        writeln!(text, "{query}").unwrap();
        for mode in [Materialization::Append, Materialization::Partition, Materialization::Merge] {
            let sales = landed(
                "shop.sales",
                "id string!, customer string, amount int64, day date!, ts timestamp!, tags list<string>",
            );
            let customers = landed("shop.customers", "customer string!, name string, since date");
            let events =
                sql("shop.events", Materialization::Full, "select id, customer, amount, day from shop.sales");
            let out = declare(sql("shop.out", mode, query));
            let problems = check(&plan([sales, customers, events, out])).await;
            let said = if problems.is_empty() { "holds".to_owned() } else { String::new() };
            let said = problems.iter().fold(said, |said, problem| {
                let place = format!("{}:{}", problem.line, problem.column);
                format!("{said}{place} {} ({})", problem.message, problem.hint.clone().unwrap_or_default())
            });
            writeln!(text, "  {:<10} {said}", mode.as_str()).unwrap();
        }
    }
    expected.assert_eq(&text);
}

fn keyed(dataset: Dataset) -> Dataset {
    dataset.with_key(&["id"]).with_partitions(&["day"])
}

#[tokio::test]
async fn rows_one_by_one() {
    let queries = [
        "select id, day, amount from shop.sales where amount > 0",
        "select id, day, unnest(tags) as tag from shop.sales",
        "select id, day from shop.sales union all select id, day from shop.events",
        "with big as (select * from shop.sales where amount > 10) select b.id, b.day from big b",
    ];
    modes(&queries, keyed, expect![[r#"
        select id, day, amount from shop.sales where amount > 0
          append     holds
          partition  holds
          merge      holds
        select id, day, unnest(tags) as tag from shop.sales
          append     holds
          partition  holds
          merge      1:1 of two new rows with one key, nothing says which one to keep (declare `event_time`: the later row stays)
        select id, day from shop.sales union all select id, day from shop.events
          append     holds
          partition  holds
          merge      1:1 of two new rows with one key, nothing says which one to keep (declare `event_time`: the later row stays)
        with big as (select * from shop.sales where amount > 10) select b.id, b.day from big b
          append     holds
          partition  holds
          merge      holds
    "#]]).await;
}

#[tokio::test]
async fn joins() {
    let queries = [
        "select s.id, s.day, c.name from shop.sales s join shop.customers c on s.customer = c.customer",
        "select s.id, s.day, c.name from shop.sales s left join shop.customers c on s.customer = c.customer",
        "select s.id, s.day, c.name from shop.sales s right join shop.customers c on s.customer = c.customer",
        "select s.id, c.since as day from shop.sales s join shop.customers c on s.customer = c.customer",
        "select s.id, s.day from shop.sales s join shop.customers c on s.day = c.since",
        "select id, day from shop.sales where customer in (select customer from shop.customers)",
        "select id, day, (select max(since) from shop.customers) as last from shop.sales",
    ];
    modes(&queries, keyed, expect![[r#"
        select s.id, s.day, c.name from shop.sales s join shop.customers c on s.customer = c.customer
          append     holds
          partition  holds
          merge      1:1 of two new rows with one key, nothing says which one to keep (declare `event_time`: the later row stays)
        select s.id, s.day, c.name from shop.sales s left join shop.customers c on s.customer = c.customer
          append     holds
          partition  holds
          merge      1:1 of two new rows with one key, nothing says which one to keep (declare `event_time`: the later row stays)
        select s.id, s.day, c.name from shop.sales s right join shop.customers c on s.customer = c.customer
          append     1:77 `materialize: append` only adds rows, but an outer join changes rows that are there when more arrive (use `materialize: full`)
          partition  1:77 which `day` new rows affect cannot be told through a join (use `materialize: full`)
          merge      1:77 which `id` new rows affect cannot be told through a join (use `materialize: full`)
        select s.id, c.since as day from shop.sales s join shop.customers c on s.customer = c.customer
          append     holds
          partition  1:72 which `day` new rows affect cannot be told through a join (use `materialize: append`)
          merge      1:1 of two new rows with one key, nothing says which one to keep (declare `event_time`: the later row stays)
        select s.id, s.day from shop.sales s join shop.customers c on s.day = c.since
          append     holds
          partition  holds
          merge      1:1 of two new rows with one key, nothing says which one to keep (declare `event_time`: the later row stays)
        select id, day from shop.sales where customer in (select customer from shop.customers)
          append     holds
          partition  holds
          merge      1:1 of two new rows with one key, nothing says which one to keep (declare `event_time`: the later row stays)
        select id, day, (select max(since) from shop.customers) as last from shop.sales
          append     holds
          partition  holds
          merge      1:1 of two new rows with one key, nothing says which one to keep (declare `event_time`: the later row stays)
    "#]]).await;
}

#[tokio::test]
async fn aggregates() {
    let queries = [
        "select id, day, sum(amount) as total from shop.sales group by id, day",
        "select id, max(day) as day, count(*) as n from shop.sales group by id",
        "select day, count(*) as id from shop.sales group by day",
        "select customer as id, min(day) as day from shop.sales group by customer having count(*) > 1",
        "select distinct id, day from shop.sales",
        "select max(id) as id, max(day) as day from shop.sales",
        "select s.id, s.day, t.n from shop.sales s join (select customer, count(*) as n from shop.sales group by customer) t on s.customer = t.customer",
    ];
    modes(&queries, keyed, expect![[r#"
        select id, day, sum(amount) as total from shop.sales group by id, day
          append     1:21 `materialize: append` only adds rows, but an aggregate changes rows that are there when more arrive (use `materialize: partition`)
          partition  holds
          merge      1:1 the query may give several rows with one key `id` (declare `key: [id, day]`, the columns it groups by)
        select id, max(day) as day, count(*) as n from shop.sales group by id
          append     1:16 `materialize: append` only adds rows, but an aggregate changes rows that are there when more arrive (use `materialize: merge`)
          partition  1:16 which `day` new rows affect cannot be told through an aggregate (use `materialize: merge`)
          merge      holds
        select day, count(*) as id from shop.sales group by day
          append     1:53 `materialize: append` only adds rows, but an aggregate changes rows that are there when more arrive (use `materialize: partition`)
          partition  holds
          merge      1:53 which `id` new rows affect cannot be told through an aggregate (use `materialize: partition`)
        select customer as id, min(day) as day from shop.sales group by customer having count(*) > 1
          append     1:28 `materialize: append` only adds rows, but an aggregate changes rows that are there when more arrive (use `materialize: merge`)
          partition  1:28 which `day` new rows affect cannot be told through an aggregate (use `materialize: merge`)
          merge      holds
        select distinct id, day from shop.sales
          append     1:1 `materialize: append` only adds rows, but DISTINCT changes rows that are there when more arrive (use `materialize: partition`)
          partition  holds
          merge      1:1 the query may give several rows with one key `id` (declare `key: [id, day]`, the columns it groups by)
        select max(id) as id, max(day) as day from shop.sales
          append     1:12 `materialize: append` only adds rows, but an aggregate changes rows that are there when more arrive (use `materialize: full`)
          partition  1:12 which `day` new rows affect cannot be told through an aggregate (use `materialize: full`)
          merge      1:12 which `id` new rows affect cannot be told through an aggregate (use `materialize: full`)
        select s.id, s.day, t.n from shop.sales s join (select customer, count(*) as n from shop.sales group by customer) t on s.customer = t.customer
          append     1:105 `materialize: append` only adds rows, but an aggregate changes rows that are there when more arrive (use `materialize: full`)
          partition  1:120 which `day` new rows affect cannot be told through a join (use `materialize: full`)
          merge      1:120 which `id` new rows affect cannot be told through a join (use `materialize: full`)
    "#]]).await;
}

#[tokio::test]
async fn windows_and_order() {
    let queries = [
        "select id, day, row_number() over (partition by day order by ts) as n from shop.sales",
        "select id, day, row_number() over (order by ts) as n from shop.sales",
        "select id, day from (select *, row_number() over (partition by id order by ts desc) as n from shop.sales) where n = 1",
        "select id, day from shop.sales qualify row_number() over (partition by id order by ts desc) = 1",
        "select distinct on (id) id, day from shop.sales order by id, ts desc",
        "select id, day from shop.sales order by ts",
        "select id, day from shop.sales limit 10",
    ];
    modes(&queries, keyed, expect![[r#"
        select id, day, row_number() over (partition by day order by ts) as n from shop.sales
          append     1:49 `materialize: append` only adds rows, but a window function changes rows that are there when more arrive (use `materialize: partition`)
          partition  holds
          merge      1:49 which `id` new rows affect cannot be told through a window function (use `materialize: partition`)
        select id, day, row_number() over (order by ts) as n from shop.sales
          append     1:45 `materialize: append` only adds rows, but a window function changes rows that are there when more arrive (use `materialize: full`)
          partition  1:45 which `day` new rows affect cannot be told through a window function (use `materialize: full`)
          merge      1:45 which `id` new rows affect cannot be told through a window function (use `materialize: full`)
        select id, day from (select *, row_number() over (partition by id order by ts desc) as n from shop.sales) where n = 1
          append     1:64 `materialize: append` only adds rows, but a window function changes rows that are there when more arrive (use `materialize: merge`)
          partition  1:64 which `day` new rows affect cannot be told through a window function (use `materialize: merge`)
          merge      holds
        select id, day from shop.sales qualify row_number() over (partition by id order by ts desc) = 1
          append     1:72 `materialize: append` only adds rows, but a window function changes rows that are there when more arrive (use `materialize: merge`)
          partition  1:72 which `day` new rows affect cannot be told through a window function (use `materialize: merge`)
          merge      holds
        select distinct on (id) id, day from shop.sales order by id, ts desc
          append     1:21 `materialize: append` only adds rows, but DISTINCT changes rows that are there when more arrive (use `materialize: full`)
          partition  1:21 which `day` new rows affect cannot be told through DISTINCT (use `materialize: full`)
          merge      1:21 which `id` new rows affect cannot be told through DISTINCT (use `materialize: full`)
        select id, day from shop.sales order by ts
          append     1:41 a table has no order, and ORDER BY sorts all rows again for each new one (leave it out, put it in the queries that read the table, or use `materialize: full`)
          partition  1:41 a table has no order, and ORDER BY sorts all rows again for each new one (leave it out, put it in the queries that read the table, or use `materialize: full`)
          merge      1:41 a table has no order, and ORDER BY sorts all rows again for each new one (leave it out, put it in the queries that read the table, or use `materialize: full`)
        select id, day from shop.sales limit 10
          append     1:1 LIMIT picks from all rows, so new rows change which ones stay (leave it out, put it in the queries that read the table, or use `materialize: full`)
          partition  1:1 LIMIT picks from all rows, so new rows change which ones stay (leave it out, put it in the queries that read the table, or use `materialize: full`)
          merge      1:1 LIMIT picks from all rows, so new rows change which ones stay (leave it out, put it in the queries that read the table, or use `materialize: full`)
    "#]]).await;
}

#[tokio::test]
async fn what_changes_by_itself() {
    let queries = [
        "select id, day, now() as at from shop.sales",
        "select id, day from shop.sales where random() < 0.1",
        "select id, day from shop.sales where day > current_date - interval '7 days'",
        "select 'a' as id, cast('2025-01-01' as date) as day",
    ];
    modes(&queries, keyed, expect![[r#"
        select id, day, now() as at from shop.sales
          append     1:17 `now()` gives another value each time, so what was computed before cannot be kept (use `materialize: full` or `view`, or a column of the input, `_ingested_at` for example)
          partition  1:17 `now()` gives another value each time, so what was computed before cannot be kept (use `materialize: full` or `view`, or a column of the input, `_ingested_at` for example)
          merge      1:17 `now()` gives another value each time, so what was computed before cannot be kept (use `materialize: full` or `view`, or a column of the input, `_ingested_at` for example)
        select id, day from shop.sales where random() < 0.1
          append     1:38 `random()` gives another value each time, so what was computed before cannot be kept (use `materialize: full` or `view`, or a column of the input, `_ingested_at` for example)
          partition  1:38 `random()` gives another value each time, so what was computed before cannot be kept (use `materialize: full` or `view`, or a column of the input, `_ingested_at` for example)
          merge      1:38 `random()` gives another value each time, so what was computed before cannot be kept (use `materialize: full` or `view`, or a column of the input, `_ingested_at` for example)
        select id, day from shop.sales where day > current_date - interval '7 days'
          append     1:44 `current_date()` gives another value each time, so what was computed before cannot be kept (use `materialize: full` or `view`, or a column of the input, `_ingested_at` for example)
          partition  1:44 `current_date()` gives another value each time, so what was computed before cannot be kept (use `materialize: full` or `view`, or a column of the input, `_ingested_at` for example)
          merge      1:44 `current_date()` gives another value each time, so what was computed before cannot be kept (use `materialize: full` or `view`, or a column of the input, `_ingested_at` for example)
        select 'a' as id, cast('2025-01-01' as date) as day
          append     1:1 the query reads no dataset, so there is nothing whose growth could be followed (use `materialize: full`)
          partition  1:1 the query reads no dataset, so there is nothing whose growth could be followed (use `materialize: full`)
          merge      1:1 the query reads no dataset, so there is nothing whose growth could be followed (use `materialize: full`)
    "#]]).await;
}

#[tokio::test]
async fn what_must_be_declared() {
    modes(&["select id, day from shop.sales"], |dataset| dataset, expect![[r#"
        select id, day from shop.sales
          append     holds
          partition  1:1 `materialize: partition` needs `partition_by`, which is not declared (declare `partition_by`, `[day(ts)]` for example)
          merge      1:1 `materialize: merge` needs a `key`, which is not declared (declare the columns that identify a row as `key`)
    "#]]).await;
    modes(&["select id, day from shop.events"], keyed, expect![[r#"
        select id, day from shop.events
          append     holds
          partition  holds
          merge      1:1 of two new rows with one key, nothing says which one to keep (declare `event_time`: the later row stays)
    "#]]).await;
    let timed =
        |dataset: Dataset| dataset.with_key(&["id"]).with_partitions(&["day(ts)"]).with_event_time("ts");
    modes(
        &[
            "select id, ts from shop.sales",
            "select id, cast(ts as varchar) as ts from shop.sales",
            "select id, day from shop.sales",
        ],
        timed,
        expect![[r#"
            select id, ts from shop.sales
              append     holds
              partition  holds
              merge      holds
            select id, cast(ts as varchar) as ts from shop.sales
              append     1:1 `partition_by` needs a date or a timestamp, but `ts` is `string` (cast it in the SQL)
              partition  1:1 `partition_by` needs a date or a timestamp, but `ts` is `string` (cast it in the SQL)
              merge      1:1 `partition_by` needs a date or a timestamp, but `ts` is `string` (cast it in the SQL)
            select id, day from shop.sales
              append     1:1 `event_time` names a column `ts`, which the SQL does not give (select it)1:1 `partition_by` names a column `ts`, which the SQL does not give (select it)
              partition  1:1 `event_time` names a column `ts`, which the SQL does not give (select it)1:1 `partition_by` names a column `ts`, which the SQL does not give (select it)
              merge      1:1 `event_time` names a column `ts`, which the SQL does not give (select it)1:1 `partition_by` names a column `ts`, which the SQL does not give (select it)
        "#]],
    )
    .await;
    let monthly = |dataset: Dataset| dataset.with_key(&["id", "day"]).with_partitions(&["month(day)"]);
    modes(
        &["select id, day, sum(amount) as total from shop.sales group by id, day"],
        monthly,
        expect![[r#"
            select id, day, sum(amount) as total from shop.sales group by id, day
              append     1:21 `materialize: append` only adds rows, but an aggregate changes rows that are there when more arrive (use `materialize: merge`)
              partition  holds
              merge      holds
        "#]],
    )
    .await;
}
