//! Rows of an input that were removed or rewritten: what is computed again, and what keeps the table from being followed.

use datafusion::logical_expr::{col, lit};
use expect_test::expect;
use flowline_lake::{StagedFiles, TableCommit};
use flowline_model::Dataset;
use flowline_model::Materialization::{Append, Merge};

use crate::support::world::{World, counted};
use crate::support::{Declare, landed, sql};

fn sales() -> Dataset {
    landed("shop.sales", "id string!, customer string, amount int64, ts timestamp!")
}

async fn delete(world: &World, id: &str) {
    let commit = TableCommit::append(StagedFiles::none());
    world.table("shop.sales").delete_where(col("id").eq(lit(id)), commit).await.unwrap();
}

/// A world after its first run, with two hundred sales of as many customers, and two of `x` and of `y`.
async fn world(out: Dataset) -> World {
    let world = World::new([sales(), out]).await;
    let others = (0..200).map(|other| format!("('{other}', 'c{other}', 1, '2025-01-01T10:00:00Z')"));
    let others = others.collect::<Vec<_>>().join(", ");
    world
        .land(
            "shop.sales",
            &format!(
                "('a', 'x', 1, '2025-01-02T10:00:00Z'), ('b', 'y', 2, '2025-01-02T11:00:00Z'), {others}"
            ),
        )
        .await;
    world
        .land("shop.sales", "('c', 'x', 4, '2025-01-03T10:00:00Z'), ('d', 'y', 8, '2025-01-03T11:00:00Z')")
        .await;
    world.run("shop.out").await;
    world
}

const OF_XY: &str = "select * from shop.out where customer in ('x', 'y', 'z')";

#[tokio::test]
async fn keys_that_lost_rows_are_computed_again_and_no_others() {
    let out = sql(
        "shop.out",
        Merge,
        "select customer, count(*) as n, sum(amount) as total from shop.sales group by customer",
    )
    .with_key(&["customer"]);
    let world = world(out).await;
    delete(&world, "b").await;
    world.land("shop.sales", "('e', 'z', 5, '2025-01-03T10:00:00Z')").await;
    expect!["read 3 written 2 filtered 0 duplicate 0 reshaped, version 2"]
        .assert_eq(&counted(&world.run("shop.out").await));
    expect!["merge: 2 keys"].assert_eq(&world.how("shop.out").await);
    expect![[r#"
        x 2 5
        y 1 8
        z 1 5"#]]
    .assert_eq(&world.rows(OF_XY).await);
    delete(&world, "d").await;
    delete(&world, "e").await;
    world.run("shop.out").await;
    expect![[r#"x 2 5"#]].assert_eq(&world.rows(OF_XY).await);
}

#[tokio::test]
async fn the_row_before_comes_back_when_the_latest_of_a_key_is_removed() {
    let latest = || sql("shop.out", Merge, "select customer, amount, ts from shop.sales");
    for out in [latest().with_key(&["customer"]).with_event_time("ts"), latest().with_key(&["customer"])] {
        let world = world(out).await;
        delete(&world, "d").await;
        world.run("shop.out").await;
        expect!["merge: 1 keys"].assert_eq(&world.how("shop.out").await);
        expect![[r#"
            x 4 2025-01-03T10:00:00Z
            y 2 2025-01-02T11:00:00Z"#]]
        .assert_eq(&world.rows(OF_XY).await);
    }
}

#[tokio::test]
async fn partitions_of_rows_taken_one_by_one_are_computed_again() {
    let out = || sql("shop.out", Append, "select id, customer, ts from shop.sales where amount > 1");
    let split = world(out().with_partitions(&["day(ts)"])).await;
    delete(&split, "d").await;
    split.land("shop.sales", "('e', 'z', 5, '2025-01-02T10:00:00Z')").await;
    split.run("shop.out").await;
    expect!["partition: ts_day=2025-01-02, ts_day=2025-01-03"].assert_eq(&split.how("shop.out").await);
    split.land("shop.sales", "('f', 'z', 5, '2025-01-02T10:00:00Z')").await;
    split.run("shop.out").await;
    expect!["append"].assert_eq(&split.how("shop.out").await);
    let whole = world(out()).await;
    delete(&whole, "d").await;
    whole
        .land("shop.sales", "('e', 'z', 5, '2025-01-02T10:00:00Z'), ('f', 'z', 5, '2025-01-02T10:00:00Z')")
        .await;
    whole.run("shop.out").await;
    expect!["rebuild: rows of `shop.sales` were removed or rewritten, and neither partitions nor a key tell what was made from them"]
        .assert_eq(&whole.how("shop.out").await);
    let rows = "select id, customer from shop.out";
    expect![[r#"
        b y
        c x
        e z
        f z"#]]
    .assert_eq(&split.rows(rows).await);
    assert_eq!(whole.rows(rows).await, split.rows(rows).await);
}
