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
          merge      holds
        select id, day from shop.sales union all select id, day from shop.events
          append     holds
          partition  holds
          merge      holds
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
          merge      holds
        select s.id, s.day, c.name from shop.sales s left join shop.customers c on s.customer = c.customer
          append     holds
          partition  holds
          merge      holds
        select s.id, s.day, c.name from shop.sales s right join shop.customers c on s.customer = c.customer
          append     holds
          partition  holds
          merge      holds
        select s.id, c.since as day from shop.sales s join shop.customers c on s.customer = c.customer
          append     holds
          partition  holds
          merge      holds
        select s.id, s.day from shop.sales s join shop.customers c on s.day = c.since
          append     holds
          partition  holds
          merge      holds
        select id, day from shop.sales where customer in (select customer from shop.customers)
          append     holds
          partition  holds
          merge      holds
        select id, day, (select max(since) from shop.customers) as last from shop.sales
          append     holds
          partition  holds
          merge      holds
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
          append     holds
          partition  holds
          merge      holds
        select id, max(day) as day, count(*) as n from shop.sales group by id
          append     holds
          partition  holds
          merge      holds
        select day, count(*) as id from shop.sales group by day
          append     holds
          partition  holds
          merge      holds
        select customer as id, min(day) as day from shop.sales group by customer having count(*) > 1
          append     holds
          partition  holds
          merge      holds
        select distinct id, day from shop.sales
          append     holds
          partition  holds
          merge      holds
        select max(id) as id, max(day) as day from shop.sales
          append     holds
          partition  holds
          merge      holds
        select s.id, s.day, t.n from shop.sales s join (select customer, count(*) as n from shop.sales group by customer) t on s.customer = t.customer
          append     holds
          partition  holds
          merge      holds
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
          append     holds
          partition  holds
          merge      holds
        select id, day, row_number() over (order by ts) as n from shop.sales
          append     holds
          partition  holds
          merge      holds
        select id, day from (select *, row_number() over (partition by id order by ts desc) as n from shop.sales) where n = 1
          append     holds
          partition  holds
          merge      holds
        select id, day from shop.sales qualify row_number() over (partition by id order by ts desc) = 1
          append     holds
          partition  holds
          merge      holds
        select distinct on (id) id, day from shop.sales order by id, ts desc
          append     holds
          partition  holds
          merge      holds
        select id, day from shop.sales order by ts
          append     holds
          partition  holds
          merge      holds
        select id, day from shop.sales limit 10
          append     holds
          partition  holds
          merge      holds
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
          append     holds
          partition  holds
          merge      holds
        select id, day from shop.sales where random() < 0.1
          append     holds
          partition  holds
          merge      holds
        select id, day from shop.sales where day > current_date - interval '7 days'
          append     holds
          partition  holds
          merge      holds
        select 'a' as id, cast('2025-01-01' as date) as day
          append     holds
          partition  holds
          merge      holds
    "#]]).await;
}

#[tokio::test]
async fn what_must_be_declared() {
    modes(&["select id, day from shop.sales"], |dataset| dataset, expect![[r#"
        select id, day from shop.sales
          append     holds
          partition  holds
          merge      holds
    "#]]).await;
    modes(&["select id, day from shop.events"], keyed, expect![[r#"
        select id, day from shop.events
          append     holds
          partition  holds
          merge      holds
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
              append     holds
              partition  holds
              merge      holds
            select id, day from shop.sales
              append     holds
              partition  holds
              merge      holds
        "#]],
    )
    .await;
    let monthly = |dataset: Dataset| dataset.with_key(&["id", "day"]).with_partitions(&["month(day)"]);
    modes(
        &["select id, day, sum(amount) as total from shop.sales group by id, day"],
        monthly,
        expect![[r#"
            select id, day, sum(amount) as total from shop.sales group by id, day
              append     holds
              partition  holds
              merge      holds
        "#]],
    )
    .await;
}
