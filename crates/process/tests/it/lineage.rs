//! What each column is made from.

use expect_test::{Expect, expect};
use flowline_model::Dataset;
use flowline_model::Materialization::{Full, View};
use flowline_process::lineage;

use crate::support::{landed, plan, sql};

/// `column < dataset.column, …` for each column of `shop.out`, and `* < …` for what decides which rows there are.
async fn check(datasets: impl IntoIterator<Item = Dataset>, expected: Expect) {
    let orders = landed(
        "shop.orders",
        "id string!, customer string, amount decimal(12,2), tags list<string>, ts timestamp",
    );
    let customers = landed("shop.customers", "customer string, name string, country string");
    let plan = plan([orders, customers].into_iter().chain(datasets));
    let all = lineage(&plan).await;
    let mut text = String::new();
    for line in &all[&"shop.out".parse().unwrap()] {
        let from: Vec<String> =
            line.from.iter().map(|from| format!("{}.{}", from.dataset.name(), from.column)).collect();
        text.push_str(&format!("{} < {}\n", line.column.as_deref().unwrap_or("*"), from.join(", ")));
    }
    expected.assert_eq(&text);
}

async fn check_sql(text: &str, expected: Expect) {
    check([sql("shop.out", Full, text)], expected).await;
}

#[tokio::test]
async fn through_projections_filters_and_aggregates() {
    check_sql(
        "select upper(customer) as who, sum(amount) as total, count(*) as n from shop.orders where ts > '2026-01-01' group by 1",
        expect![[r#"
            who < orders.customer
            total < orders.amount
            n < 
            * < orders.customer, orders.ts
        "#]],
    )
    .await;
}

#[tokio::test]
async fn through_joins_and_common_table_expressions() {
    check_sql(
        "with o as (select id, customer as c, amount * 2 as twice from shop.orders)
         select o.id, k.name, twice from o left join shop.customers k on o.c = k.customer",
        expect![[r#"
            id < orders.id
            name < customers.name
            twice < orders.amount
            * < customers.customer, orders.customer
        "#]],
    )
    .await;
}

#[tokio::test]
async fn through_unions_windows_and_unnest() {
    check_sql(
        "select id as x, row_number() over (partition by customer order by ts) as n from shop.orders
         union all select customer, 0 from shop.customers",
        expect![[r#"
            x < customers.customer, orders.id
            n < orders.customer, orders.ts
        "#]],
    )
    .await;
    check_sql(
        "select id, unnest(tags) as tag from shop.orders",
        expect![[r#"
            id < orders.id
            tag < orders.tags
        "#]],
    )
    .await;
}

#[tokio::test]
async fn subqueries_count_with_all_they_read() {
    check_sql(
        "select id, (select max(name) from shop.customers c where c.customer = o.customer) as name
         from shop.orders o where customer in (select customer from shop.customers where country = 'de')",
        expect![[r#"
            id < orders.id
            name < customers.customer, customers.name, orders.customer
            * < customers.country, customers.customer, orders.customer
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_view_stands_for_itself() {
    check(
        [
            sql("shop.seen", View, "select id, amount as paid from shop.orders where amount > 0"),
            sql("shop.out", Full, "select sum(paid) as total from shop.seen"),
        ],
        expect![[r#"
            total < seen.paid
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_partition_column_is_made_from_the_column_it_splits_by() {
    let mut events = landed("shop.events", "id string!, ts timestamp");
    let day = flowline_model::PartitionTransform::Day;
    events.partition_by = vec![flowline_model::PartitionField { column: "ts".to_owned(), transform: day }];
    check(
        [
            events,
            sql("shop.out", Full, "select ts_day as day, count(*) as n from shop.events group by ts_day"),
        ],
        expect![[r#"
            day < events.ts
            n < 
            * < events.ts
        "#]],
    )
    .await;
}
