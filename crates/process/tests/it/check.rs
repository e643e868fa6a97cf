//! What `check` says about the SQL of a project.

use expect_test::{Expect, expect};
use flowline_model::Materialization::{Full, View};
use flowline_model::{CheckRule, Completeness, Dataset};
use flowline_process::{check, columns_of, graph};

use crate::support::{self, Declare, landed, plan, sql};

/// The problems of these datasets together with two that are landed.
async fn problems(datasets: impl IntoIterator<Item = Dataset>, expected: Expect) {
    let orders = landed(
        "shop.orders",
        "order_id string!, email string, amount decimal(12,2)!, ts timestamp!, Items int32",
    );
    let customers = landed("shop.customers", "customer_id string!, name string");
    let plan = plan([orders, customers].into_iter().chain(datasets));
    let lines: Vec<String> = check(&plan).await.iter().map(ToString::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

async fn problems_of(text: &str, expected: Expect) {
    problems([sql("shop.out", View, text)], expected).await;
}

/// The problems of a query that a check of a dataset is.
async fn problems_of_check(rule: fn(String) -> CheckRule, query: &str, expected: Expect) {
    let mut checked = landed("shop.checked", "n int32!, seen timestamp");
    checked.checks = vec![support::check("mine", rule(query.to_owned()))];
    problems([checked, sql("shop.broken", View, "select nothing from shop.orders")], expected).await;
}

#[tokio::test]
async fn an_argument_of_another_type_is_no_internal_error() {
    problems_of("select order_id,\n  sum(email) from shop.orders group by order_id", expect!["datasets/shop/out.sql:2:3: `sum` takes Decimal, UInt64, Int64, Float64, Duration or Interval, not String (cast the argument: `sum(cast(x as decimal(18, 2)))`; `try_cast` is null where it is no number)"]).await;
    problems_of("select avg(order_id) as a from shop.orders", expect!["datasets/shop/out.sql:1:8: `avg` takes Decimal, Duration or Float64, not String (cast the argument: `avg(cast(x as decimal(18, 2)))`; `try_cast` is null where it is no number)"]).await;
}

#[tokio::test]
async fn queries_of_checks_are_planned() {
    let rows = |query| CheckRule::Sql { query };
    let count = |query| CheckRule::Completeness(Completeness::Count { query });
    for fine in [
        "select * from shop.checked where n < 0 -- none;",
        "select c.n from shop.checked c left join shop.orders o on c.n = o.\"Items\" where o.order_id is null;",
        "select * from shop.checked where _ingested_at < seen",
        // What only a node knows, or cannot be planned for another reason, is not told here.
        "select nothing from quarantine.\"shop.checked\"",
        "select nothing from system.runs",
        "select nothing from shop.broken",
    ] {
        problems_of_check(rows, fine, expect![[r#"datasets/shop/broken.sql:1:8: there is no column `nothing` here (there are `"Items"`, `amount`, `email`, `order_id`, `ts`)"#]]).await;
    }
    problems_of_check(rows, "select *\n  from shop.checked\n  where m < 0", expect![[r#"
        datasets/shop/broken.sql:1:8: there is no column `nothing` here (there are `"Items"`, `amount`, `email`, `order_id`, `ts`)
        datasets/shop/checked.yaml:3:9: check `mine`: there is no column `m` here (did you mean `n`?)"#]]).await;
    problems_of_check(rows, "select * from shop.order", expect![[r#"
        datasets/shop/broken.sql:1:8: there is no column `nothing` here (there are `"Items"`, `amount`, `email`, `order_id`, `ts`)
        datasets/shop/checked.yaml:1:15: check `mine`: there is no dataset `shop.order` (did you mean `shop.orders`?)"#]]).await;
    problems_of_check(rows, "select n, n from shop.checked", expect![[r#"
        datasets/shop/broken.sql:1:8: there is no column `nothing` here (there are `"Items"`, `amount`, `email`, `order_id`, `ts`)
        datasets/shop/checked.yaml:1:1: check `mine`: projections require unique expression names but the expression "shop.checked.n" at position 0 and "shop.checked.n" at position 1 have the same name. Consider aliasing ("AS") one of them"#]]).await;
    problems_of_check(rows, "delete from shop.checked", expect![[r#"
        datasets/shop/broken.sql:1:8: there is no column `nothing` here (there are `"Items"`, `amount`, `email`, `order_id`, `ts`)
        datasets/shop/checked.yaml:1:1: check `mine`: a dataset's SQL is a query, this statement is none (write one SELECT; Flowline itself writes its rows to the table)"#]]).await;
    problems_of_check(count, "select sum(m) from shop.checked", expect![[r#"
        datasets/shop/broken.sql:1:8: there is no column `nothing` here (there are `"Items"`, `amount`, `email`, `order_id`, `ts`)
        datasets/shop/checked.yaml:1:12: check `mine`: there is no column `m` here (did you mean `n`?)"#]]).await;
}

#[tokio::test]
async fn what_holds_has_no_problems() {
    problems_of("select order_id, amount from shop.orders where amount > 10", expect![""]).await;
    problems_of("select * from flowline.shop.orders", expect![""]).await;
    problems_of("with o as (select * from shop.orders) select count(*) as n from o", expect![""]).await;
    problems_of("select * from generate_series(1, 3)", expect![""]).await;
}

#[tokio::test]
async fn text_that_is_not_one_query() {
    problems_of("", expect!["datasets/shop/out.sql:1:1: there is no SQL here (write one SELECT)"]).await;
    problems_of("select from where", expect!["datasets/shop/out.sql:1:13: there is no dataset `where` (names of datasets have two parts, `domain.name`)"]).await;
    problems_of("select 1; select 2", expect!["datasets/shop/out.sql:1:1: a dataset's SQL is one query, here are 2 statements (keep one; use WITH for steps before it, or a dataset for each)"]).await;
    problems_of("delete from shop.orders", expect!["datasets/shop/out.sql:1:1: a dataset's SQL is a query, this statement is none (write one SELECT; Flowline itself writes its rows to the table)"]).await;
    problems_of(
        "select 'abc",
        expect!["datasets/shop/out.sql:1:8: this is not SQL: unterminated string literal"],
    )
    .await;
}

#[tokio::test]
async fn unknown_datasets_are_pointed_at_with_the_nearest_name() {
    problems_of(
        "select *\n  from shop.order",
        expect!["datasets/shop/out.sql:2:8: there is no dataset `shop.order` (did you mean `shop.orders`?)"],
    )
    .await;
    problems_of("select * from orders", expect!["datasets/shop/out.sql:1:15: there is no dataset `orders` (did you mean `shop.orders`? names are `domain.name`)"]).await;
    problems_of("select * from shop.orders o join sales.orders s on true join nothing.like_it n on true", expect![[r#"
        datasets/shop/out.sql:1:34: there is no dataset `sales.orders` (did you mean `shop.orders`?)
        datasets/shop/out.sql:1:62: there is no dataset `nothing.like_it` (declare it in datasets/nothing/like_it.yaml)"#]]).await;
    problems_of("select * from system.runs", expect!["datasets/shop/out.sql:1:15: `system.runs` cannot be an input of a dataset (tables about Flowline itself have no versions to follow; read them in a query or on a page instead)"]).await;
    problems_of("with orders as (select * from orders) select * from orders", expect!["datasets/shop/out.sql:1:31: there is no dataset `orders` (did you mean `shop.orders`? names are `domain.name`)"]).await;
    problems_of(
        "select * from shop.orders where order_id in (select id from shop.custmers)",
        expect![
            "datasets/shop/out.sql:1:61: there is no dataset `shop.custmers` (did you mean `shop.customers`?)"
        ],
    )
    .await;
}

#[tokio::test]
async fn every_unknown_column_is_pointed_at() {
    problems_of(
        "select order_idd,\n       o.amout,\n       lower(emial)\nfrom shop.orders o\nwhere o.tss > now()",
        expect![[r#"
            datasets/shop/out.sql:1:8: there is no column `order_idd` here (did you mean `order_id`?)
            datasets/shop/out.sql:2:8: there is no column `amout` in `o` (did you mean `amount`?)
            datasets/shop/out.sql:3:14: there is no column `emial` here (did you mean `email`?)
            datasets/shop/out.sql:5:7: there is no column `tss` in `o` (did you mean `ts`?)"#]],
    )
    .await;
    problems_of(
        "select Items from shop.orders",
        expect![[r#"datasets/shop/out.sql:1:8: there is no column `items` here (did you mean `"Items"`?)"#]],
    )
    .await;
    problems_of("select c.nam from shop.orders o join shop.customers c on o.customer = c.customer_id", expect![[r#"
        datasets/shop/out.sql:1:8: there is no column `nam` in `c` (did you mean `name`?)
        datasets/shop/out.sql:1:58: there is no column `customer` in `o` (there are `"Items"`, `amount`, `email`, `order_id`, `ts`)"#]]).await;
    problems_of("select order_id from shop.orders where exists (select 1 from shop.customers c where c.nope = orders.order_id)", expect!["datasets/shop/out.sql:1:85: there is no column `nope` in `c` (there are `customer_id`, `name`)"]).await;
    problems_of("select sum(amount) as s from shop.orders group by customer having max(tz) is null order by nothing", expect![[r#"
        datasets/shop/out.sql:1:51: there is no column `customer` here (there are `"Items"`, `amount`, `email`, `order_id`, `s`, `ts`)
        datasets/shop/out.sql:1:71: there is no column `tz` here (did you mean `ts`?)
        datasets/shop/out.sql:1:92: there is no column `nothing` here (there are `"Items"`, `amount`, `email`, `order_id`, `s`, `ts`)"#]]).await;
}

#[tokio::test]
async fn other_reasons_are_told_too() {
    problems_of(
        "select lowr(email) from shop.orders",
        expect!["datasets/shop/out.sql:1:8: there is no function `lowr` (did you mean `lower`?)"],
    )
    .await;
    problems_of("select order_id, count(*) as n from shop.orders", expect!["datasets/shop/out.sql:1:8: `order_id` is neither grouped by nor inside an aggregate (add it to GROUP BY, or use an aggregate such as `max(order_id)`)"]).await;
    problems_of("select amount from shop.orders where email", expect!["datasets/shop/out.sql:1:1: cannot create filter with non-boolean predicate 'shop.orders.email' returning Utf8"]).await;
    problems_of(
        "select order_id from shop.orders union all select order_id, amount from shop.orders",
        expect!["datasets/shop/out.sql:1:1: UNION queries have different number of columns"],
    )
    .await;
    problems_of(
        "select order_id from shop.orders a, shop.orders b",
        expect!["datasets/shop/out.sql:1:8: more than one table here has a column `order_id` (write which one: `table.order_id`)"],
    )
    .await;
    problems([sql("shop.out", Full, "select count(*), order_id as id, email as id, map(['a'], [1]) as m from shop.orders group by 2, 3")], expect![[r#"datasets/shop/out.sql:1:1: projections require unique expression names but the expression "shop.orders.order_id AS id" at position 1 and "shop.orders.email AS id" at position 2 have the same name. Consider aliasing ("AS") one of them"#]]).await;
}

#[tokio::test]
async fn declared_columns_are_held_against_the_sql() {
    let out = sql("shop.out", Full, "select\n  order_id,\n  email,\n  amount,\n  1 as n\nfrom shop.orders");
    problems([out.clone().with_columns("order_id string!, email string!, amount int64, m int64")], expect![[r#"
        datasets/shop/out.sql:1:1: column `m` is declared, but the SQL does not give it (it gives `n`: rename one of them)
        datasets/shop/out.sql:3:3: column `email` is declared required, but the SQL may give null (add `where email is not null`, use coalesce, or do not require it)
        datasets/shop/out.sql:4:3: column `amount` is declared `int64`, but the SQL gives `decimal(12,2)` (cast it in the SQL, or declare it `decimal(12,2)`)
        datasets/shop/out.sql:5:3: the SQL gives a column `n` that is not declared (declare it under `columns`, or leave it out of the SELECT)"#]]).await;
    problems(
        [out.with_columns("order_id string!, email string, amount decimal(14,2)!, n decimal(20,0)!")],
        expect![""],
    )
    .await;
    let out = sql(
        "shop.out",
        Full,
        "select lower(email) as email, max(order_id) as last from shop.orders where email is not null group by email",
    );
    problems([out.with_columns("email string!, last string!")], expect![""]).await;
}

#[tokio::test]
async fn cycles_are_named_as_a_path() {
    problems(
        [
            sql("shop.a", View, "select * from shop.b"),
            sql("shop.b", View, "select *\nfrom shop.c"),
            sql("shop.c", View, "select * from shop.orders, shop.a"),
            sql("shop.d", View, "select * from shop.d"),
            sql("shop.e", View, "select * from shop.a"),
        ],
        expect![[r#"
            datasets/shop/a.sql:1:15: datasets read each other in a circle: shop.a → shop.b → shop.c → shop.a (a dataset is made from others; break the circle at one of them)
            datasets/shop/d.sql:1:15: `shop.d` reads itself (a dataset is made from others; break the circle at one of them)"#]],
    )
    .await;
}

#[tokio::test]
async fn one_broken_dataset_hides_no_other() {
    problems(
        [
            sql("shop.a", View, "select nope from shop.orders").at("datasets/shop/a.yaml", 7, 4),
            sql("shop.b", View, "select x from shop.a"),
            sql("shop.c", View, "select nope from shop.a").with_columns("x string"),
            sql("shop.d", View, "select name, nope from shop.customers"),
        ],
        expect![[r#"
            datasets/shop/a.yaml:7:12: there is no column `nope` here (there are `"Items"`, `amount`, `email`, `order_id`, `ts`)
            datasets/shop/d.sql:1:14: there is no column `nope` here (there are `customer_id`, `name`)"#]],
    )
    .await;
}

#[tokio::test]
async fn views_are_replaced_by_the_tables_that_they_read() {
    let plan = plan([
        landed("shop.orders", "order_id string!"),
        landed("shop.customers", "customer_id string!"),
        sql("shop.v", View, "select order_id from shop.orders"),
        sql("shop.w", View, "select * from shop.v union all select * from shop.v"),
        sql(
            "shop.t",
            Full,
            "select w.order_id from shop.w join shop.customers c on c.customer_id = w.order_id",
        ),
    ]);
    let graph = graph(&plan).unwrap();
    let inputs = graph.inputs(&"shop.t".parse().unwrap());
    let names = |names: &[flowline_model::DatasetName]| {
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&inputs.named), "shop.customers shop.w");
    assert_eq!(names(&inputs.tables), "shop.customers shop.orders");
    assert_eq!(names(graph.order()), "shop.customers shop.orders shop.v shop.w shop.t");
    let downstream: Vec<_> = graph.downstream(&"shop.orders".parse().unwrap()).into_iter().collect();
    assert_eq!(names(&downstream), "shop.t shop.v shop.w");
}

#[tokio::test]
async fn columns_come_from_the_sql() {
    let plan = plan([
        landed("shop.orders", "order_id string!, email string, amount decimal(12,2)!, ts timestamp!"),
        sql(
            "shop.v",
            View,
            "select order_id as id, email, amount * 2 as twice, cast(ts as date) as day from shop.orders where email like '%@%'",
        ),
        sql(
            "shop.t",
            Full,
            "select day, count(*) as n, sum(twice) as total, avg(twice) as mean, max(email) as last from shop.v group by day",
        ),
    ]);
    let mut text = String::new();
    for (name, columns) in columns_of(&plan).await {
        for column in columns {
            text.push_str(&format!(
                "{name}.{} {}{}\n",
                column.name,
                column.data_type,
                if column.required { "!" } else { "" }
            ));
        }
    }
    expect![[r#"
        shop.orders.order_id string!
        shop.orders.email string
        shop.orders.amount decimal(12,2)!
        shop.orders.ts timestamp!
        shop.t.day date!
        shop.t.n int64!
        shop.t.total decimal(38,2)!
        shop.t.mean decimal(37,6)!
        shop.t.last string!
        shop.v.id string!
        shop.v.email string!
        shop.v.twice decimal(33,2)!
        shop.v.day date!
    "#]]
    .assert_eq(&text);
}
