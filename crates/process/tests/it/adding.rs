//! Aggregates that are brought up from what the table has and the rows that were added.

use datafusion::logical_expr::{col, lit};
use expect_test::expect;
use flowline_lake::{StagedFiles, TableCommit};
use flowline_model::Dataset;
use flowline_model::Materialization::Merge;

use crate::support::world::{World, counted};
use crate::support::{Declare, check, landed, sql};

const ALL: &str = "select customer, count(*) as n, count(amount) as known, sum(amount) as total, min(amount) as least, max(price) as most, sum(cost) as cost from shop.sales where id <> '-' group by customer";

fn out(sql_text: &str) -> Dataset {
    sql("shop.out", Merge, sql_text).with_key(&["customer"])
}

/// The way of the run that followed the first one, whether the table is what its query answers, and what was read.
async fn followed(out: Dataset) -> (World, String) {
    let text = match &out.origin {
        flowline_model::Origin::Sql(sql) => sql.text.clone(),
        _ => unreachable!("it is made by SQL"),
    };
    let sales =
        landed("shop.sales", "id string!, customer string, amount int64, price float64, cost decimal(9, 2)");
    let world = World::new([sales, out]).await;
    world.land("shop.sales", "('a', 'x', 1, 1.5, 0.10), ('b', null, null, null, null), ('c', 'y', 7, 2.5, 9.90), ('d', 'y', 8, 2.5, 9.90)").await;
    world.run("shop.out").await;
    world.land("shop.sales", "('e', 'x', 5, 0.5, 0.20), ('f', null, 3, 4.5, 1.00), ('g', 'z', null, null, null), ('-', 'y', 100, 100, 100)").await;
    let run = world.run("shop.out").await;
    assert_eq!(world.rows("select * from shop.out").await, world.rows(&text).await);
    let how = format!("{}; {}", world.how("shop.out").await, counted(&run));
    (world, how)
}

#[tokio::test]
async fn what_was_read_once_is_not_read_again() {
    let (world, how) = followed(out(ALL)).await;
    expect!["merge: 4 keys added up; read 4 written 4 filtered 0 duplicate 0 reshaped, version 2"]
        .assert_eq(&how);
    world.land("shop.sales", "('h', 'x', -5, 7.5, 0.05)").await;
    world.run("shop.out").await;
    expect![[r#"
        null 2 1 3 3 4.5 1.00
        x 3 3 1 -5 7.5 0.35
        y 2 2 15 7 2.5 19.80
        z 1 0 null null null null"#]]
    .assert_eq(&world.rows("select * from shop.out").await);
}

#[tokio::test]
async fn what_does_not_add_up_is_read_again() {
    for (text, expected) in [
        ("select customer, avg(amount) as mean from shop.sales group by customer", "merge: 4 keys; read 8"),
        ("select customer, sum(price) as total from shop.sales group by customer", "merge: 4 keys; read 8"),
        (
            "select customer, count(distinct amount) as n from shop.sales group by customer",
            "merge: 4 keys; read 8",
        ),
        (
            "select customer, count(*) as n from shop.sales group by customer having count(*) > 0",
            "merge: 4 keys; read 8",
        ),
        (
            "select customer, sum(amount) + 1 as total from shop.sales group by customer",
            "merge: 4 keys; read 8",
        ),
        (
            "select customer, max(amount) as most from (select distinct customer, amount from shop.sales) group by customer",
            "merge: 4 keys; read 8",
        ),
    ] {
        let (_, how) = followed(out(text)).await;
        assert!(how.starts_with(expected), "{text}: {how}");
    }
    let mut checked = out("select customer, count(*) as n from shop.sales group by customer");
    checked.checks = vec![check("known", flowline_model::CheckRule::Required { column: "n".to_owned() })];
    let (_, how) = followed(checked.clone()).await;
    assert!(how.starts_with("merge: 4 keys added up; read 4"), "{how}");
    checked.checks[0].severity = flowline_model::CheckSeverity::QuarantineRows;
    let (_, how) = followed(checked).await;
    assert!(how.starts_with("merge: 4 keys; read 8"), "{how}");
}

#[tokio::test]
async fn a_table_that_someone_else_changed_is_not_added_to() {
    let (world, _) = followed(out(ALL)).await;
    let commit = TableCommit::append(StagedFiles::none());
    world.table("shop.out").delete_where(col("customer").eq(lit("x")), commit).await.unwrap();
    world.land("shop.sales", "('h', 'x', -5, 7.5, 0.05)").await;
    world.run("shop.out").await;
    expect!["merge: 1 keys"].assert_eq(&world.how("shop.out").await);
    expect!["x 3 3 1 -5 7.5 0.35"]
        .assert_eq(&world.rows("select * from shop.out where customer = 'x'").await);
    world.land("shop.sales", "('i', 'x', 1, 0, 0)").await;
    world.run("shop.out").await;
    expect!["merge: 1 keys added up"].assert_eq(&world.how("shop.out").await);
}
