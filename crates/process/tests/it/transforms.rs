//! Tables that follow their inputs: what each materialization reads, writes and counts.

use expect_test::expect;
use flowline_model::Materialization::{Append, Full, Merge, Partition, View};

use crate::support::world::{World, counted};
use crate::support::{Declare, landed, sql};

const SALES: &str = "id string!, customer string, amount int64, day date!, ts timestamp!";

fn sales() -> flowline_model::Dataset {
    landed("shop.sales", SALES)
}

#[tokio::test]
async fn full_computes_everything_when_an_input_changed() {
    let out =
        sql("shop.out", Full, "select customer, sum(amount) as total from shop.sales group by customer");
    let world = World::new([sales(), out]).await;
    world.land("shop.sales", "('a', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('b', 'y', 2, '2025-01-01', '2025-01-01T11:00:00Z')").await;
    let run = world.run("shop.out").await;
    expect!["read 2 written 2 filtered 0 duplicate 0 reshaped, version 1"].assert_eq(&counted(&run));
    expect![[r#"rebuild: first run"#]].assert_eq(&world.how("shop.out").await);
    world.land("shop.sales", "('c', 'x', 5, '2025-01-02', '2025-01-02T10:00:00Z')").await;
    expect!["read 3 written 2 filtered 0 duplicate 0 reshaped, version 2"]
        .assert_eq(&counted(&world.run("shop.out").await));
    expect!["read 0 written 0 filtered 0 duplicate 0, version -"]
        .assert_eq(&counted(&world.run("shop.out").await));
    expect![[r#"
        x 6
        y 2"#]]
    .assert_eq(&world.rows("select * from shop.out").await);
}

#[tokio::test]
async fn append_reads_only_new_rows_and_accounts_for_each() {
    let out = sql("shop.out", Append, "select id, amount * 2 as twice from shop.sales where amount > 1");
    let world = World::new([sales(), out]).await;
    world.land("shop.sales", "('a', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('b', 'y', 2, '2025-01-01', '2025-01-01T11:00:00Z')").await;
    expect!["read 2 written 1 filtered 1 duplicate 0, version 1"]
        .assert_eq(&counted(&world.run("shop.out").await));
    world.land("shop.sales", "('c', 'x', 5, '2025-01-02', '2025-01-02T10:00:00Z'), ('d', 'x', 0, '2025-01-02', '2025-01-02T10:00:00Z')").await;
    world.land("shop.sales", "('e', 'x', 7, '2025-01-02', '2025-01-02T10:00:00Z')").await;
    expect!["read 3 written 2 filtered 1 duplicate 0, version 2"]
        .assert_eq(&counted(&world.run("shop.out").await));
    expect![[r#"append"#]].assert_eq(&world.how("shop.out").await);
    expect![[r#"
        b 4
        c 10
        e 14"#]]
    .assert_eq(&world.rows("select * from shop.out").await);
    world.land("shop.sales", "('f', 'x', 0, '2025-01-02', '2025-01-02T10:00:00Z')").await;
    expect!["read 1 written 0 filtered 1 duplicate 0, version -"]
        .assert_eq(&counted(&world.run("shop.out").await));
}

#[tokio::test]
async fn append_follows_both_sides_of_a_join() {
    let customers = landed("shop.customers", "customer string!, name string");
    let out = sql(
        "shop.out",
        Append,
        "select s.id, c.name from shop.sales s join shop.customers c on s.customer = c.customer",
    );
    let world = World::new([sales(), customers, out]).await;
    world.land("shop.sales", "('a', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('b', 'y', 2, '2025-01-01', '2025-01-01T11:00:00Z')").await;
    world.land("shop.customers", "('x', 'Xenia')").await;
    world.run("shop.out").await;
    world.land("shop.sales", "('c', 'y', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('d', 'x', 2, '2025-01-01', '2025-01-01T11:00:00Z')").await;
    world.land("shop.customers", "('y', 'Yuri')").await;
    expect!["read 3 written 3 filtered 0 duplicate 0 reshaped, version 2"]
        .assert_eq(&counted(&world.run("shop.out").await));
    expect![[r#"append"#]].assert_eq(&world.how("shop.out").await);
    expect![[r#"
        a Xenia
        b Yuri
        c Yuri
        d Xenia"#]]
    .assert_eq(&world.rows("select * from shop.out").await);
}

#[tokio::test]
async fn append_rebuilds_when_the_side_that_is_looked_up_grows() {
    let customers = landed("shop.customers", "customer string!, name string");
    let out = sql(
        "shop.out",
        Append,
        "select s.id, c.name from shop.sales s left join shop.customers c on s.customer = c.customer",
    );
    let world = World::new([sales(), customers, out]).await;
    world.land("shop.sales", "('a', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z')").await;
    world.run("shop.out").await;
    world.land("shop.sales", "('b', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z')").await;
    world.run("shop.out").await;
    expect![[r#"append"#]].assert_eq(&world.how("shop.out").await);
    world.land("shop.customers", "('x', 'Xenia')").await;
    world.run("shop.out").await;
    expect!["rebuild: rows of `shop.customers` change rows that are there"]
        .assert_eq(&world.how("shop.out").await);
    expect![[r#"
        a Xenia
        b Xenia"#]]
    .assert_eq(&world.rows("select * from shop.out").await);
}

#[tokio::test]
async fn partition_computes_only_what_is_touched() {
    let out = sql(
        "shop.out",
        Partition,
        "select cast(ts as date) as d, customer, count(*) as n from shop.sales group by 1, 2",
    )
    .with_partitions(&["d"]);
    let world = World::new([sales().with_partitions(&["day(ts)"]), out]).await;
    world.land("shop.sales", "('a', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('b', 'y', 2, '2025-01-02', '2025-01-02T11:00:00Z')").await;
    world.run("shop.out").await;
    world.land("shop.sales", "('c', 'x', 1, '2025-01-02', '2025-01-02T10:00:00Z'), ('d', 'x', 1, '2025-01-02', '2025-01-02T10:00:00Z')").await;
    expect!["read 3 written 2 filtered 0 duplicate 0 reshaped, version 2"]
        .assert_eq(&counted(&world.run("shop.out").await));
    expect!["partition: d=2025-01-02"].assert_eq(&world.how("shop.out").await);
    expect![[r#"
        2025-01-01 x 1
        2025-01-02 x 2
        2025-01-02 y 1"#]]
    .assert_eq(&world.rows("select * from shop.out").await);
}

#[tokio::test]
async fn partitions_of_partitions_are_followed_without_reading_rows() {
    let hourly = sql("shop.hourly", Partition, "select cast(ts as date) as d, date_trunc('hour', ts) as hour, sum(amount) as total from shop.sales group by 1, 2")
        .with_partitions(&["d"]);
    let daily = sql("shop.daily", Partition, "select d, sum(total) as total from shop.hourly group by d")
        .with_partitions(&["d"]);
    let world = World::new([sales(), hourly, daily]).await;
    world.land("shop.sales", "('a', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('b', 'y', 2, '2025-01-02', '2025-01-02T11:00:00Z')").await;
    world.run("shop.hourly").await;
    world.run("shop.daily").await;
    world.land("shop.sales", "('c', 'x', 5, '2025-01-02', '2025-01-02T10:00:00Z')").await;
    world.run("shop.hourly").await;
    expect!["read 2 written 1 filtered 0 duplicate 0 reshaped, version 2"]
        .assert_eq(&counted(&world.run("shop.daily").await));
    expect!["partition: d=2025-01-02"].assert_eq(&world.how("shop.daily").await);
    expect![[r#"
        2025-01-01 1
        2025-01-02 7"#]]
    .assert_eq(&world.rows("select * from shop.daily").await);
}

#[tokio::test]
async fn partitions_that_lost_rows_are_computed_again() {
    use datafusion::logical_expr::{col, lit};
    let out = sql(
        "shop.out",
        Partition,
        "select ts_day as d, sum(amount) as total from shop.sales group by ts_day",
    )
    .with_partitions(&["d"]);
    let world = World::new([sales().with_partitions(&["day(ts)"]), out]).await;
    world
        .land("shop.sales", "('a', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('b', 'y', 2, '2025-01-02', '2025-01-02T11:00:00Z'), ('c', 'y', 4, '2025-01-02', '2025-01-02T11:00:00Z'), ('d', 'y', 8, '2025-01-03', '2025-01-03T11:00:00Z')")
        .await;
    world.run("shop.out").await;
    let delete = async |id: &str| {
        let commit = flowline_lake::TableCommit::append(flowline_lake::StagedFiles::none());
        world.table("shop.sales").delete_where(col("id").eq(lit(id)), commit).await.unwrap();
    };
    delete("b").await;
    delete("d").await;
    world.run("shop.out").await;
    expect!["partition: d=2025-01-02, d=2025-01-03"].assert_eq(&world.how("shop.out").await);
    expect![[r#"
        2025-01-01 1
        2025-01-02 4"#]]
    .assert_eq(&world.rows("select * from shop.out").await);
}

#[tokio::test]
async fn merge_keeps_the_latest_row_of_a_key() {
    let out = sql("shop.out", Merge, "select id, amount, ts from shop.sales where amount > 0")
        .with_key(&["id"])
        .with_event_time("ts");
    let world = World::new([sales(), out]).await;
    world.land("shop.sales", "('a', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('a', 'x', 2, '2025-01-01', '2025-01-01T11:00:00Z'), ('b', 'x', 3, '2025-01-01', '2025-01-01T11:00:00Z')").await;
    expect!["read 3 written 2 filtered 0 duplicate 1, version 1"]
        .assert_eq(&counted(&world.run("shop.out").await));
    world.land("shop.sales", "('a', 'x', 9, '2025-01-01', '2025-01-01T09:00:00Z'), ('b', 'x', 4, '2025-01-01', '2025-01-01T12:00:00Z'), ('c', 'x', 5, '2025-01-01', '2025-01-01T12:00:00Z'), ('c', 'x', 0, '2025-01-01', '2025-01-01T13:00:00Z')").await;
    expect!["read 4 written 2 filtered 1 duplicate 1, version 2"]
        .assert_eq(&counted(&world.run("shop.out").await));
    expect!["merge: new rows"].assert_eq(&world.how("shop.out").await);
    expect![[r#"
        a 2 2025-01-01T11:00:00Z
        b 4 2025-01-01T12:00:00Z
        c 5 2025-01-01T12:00:00Z"#]]
    .assert_eq(&world.rows("select * from shop.out").await);
}

#[tokio::test]
async fn merge_without_event_time_keeps_what_was_landed_last() {
    let out =
        sql("shop.out", Merge, "select s.id, s.amount from (select * from shop.sales where amount > 0) s")
            .with_key(&["id"]);
    let world = World::new([sales(), out]).await;
    world.land("shop.sales", "('a', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('a', 'x', 2, '2025-01-01', '2025-01-01T09:00:00Z')").await;
    expect!["read 2 written 1 filtered 0 duplicate 1, version 1"]
        .assert_eq(&counted(&world.run("shop.out").await));
    world.land("shop.sales", "('a', 'x', 3, '2025-01-01', '2025-01-01T08:00:00Z'), ('a', 'x', -1, '2025-01-01', '2025-01-01T08:00:00Z')").await;
    expect!["read 2 written 1 filtered 1 duplicate 0, version 2"]
        .assert_eq(&counted(&world.run("shop.out").await));
    expect![[r#"a 3"#]].assert_eq(&world.rows("select * from shop.out").await);
}

#[tokio::test]
async fn merge_computes_the_keys_that_are_affected() {
    let out = sql(
        "shop.out",
        Merge,
        "select customer, count(*) as n, max(amount) as most from shop.sales group by customer",
    )
    .with_key(&["customer"]);
    let world = World::new([sales(), out]).await;
    world.land("shop.sales", "('a', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('b', null, 2, '2025-01-01', '2025-01-01T09:00:00Z'), ('c', 'z', 2, '2025-01-01', '2025-01-01T09:00:00Z')").await;
    world.run("shop.out").await;
    world.land("shop.sales", "('d', 'x', 3, '2025-01-01', '2025-01-01T08:00:00Z'), ('e', null, 0, '2025-01-01', '2025-01-01T08:00:00Z'), ('f', 'y', 0, '2025-01-01', '2025-01-01T08:00:00Z')").await;
    expect!["read 3 written 3 filtered 0 duplicate 0 reshaped, version 2"]
        .assert_eq(&counted(&world.run("shop.out").await));
    expect!["merge: 3 keys added up"].assert_eq(&world.how("shop.out").await);
    expect![[r#"
        null 2 2
        x 2 3
        y 1 0
        z 1 2"#]]
    .assert_eq(&world.rows("select * from shop.out").await);
}

#[tokio::test]
async fn merge_removes_keys_that_have_no_row_any_more() {
    let out = sql(
        "shop.out",
        Merge,
        "select customer, sum(amount) as total from shop.sales group by customer having sum(amount) > 0",
    )
    .with_key(&["customer"]);
    let world = World::new([sales(), out]).await;
    world.land("shop.sales", "('a', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('b', 'y', 2, '2025-01-01', '2025-01-01T09:00:00Z')").await;
    world.run("shop.out").await;
    world.land("shop.sales", "('c', 'x', -5, '2025-01-01', '2025-01-01T10:00:00Z'), ('d', 'z', 2, '2025-01-01', '2025-01-01T09:00:00Z')").await;
    world.run("shop.out").await;
    expect!["merge: 2 keys"].assert_eq(&world.how("shop.out").await);
    expect![[r#"
        y 2
        z 2"#]]
    .assert_eq(&world.rows("select * from shop.out").await);
}

#[tokio::test]
async fn views_are_no_hops_and_are_read_through() {
    let view = sql("shop.big", View, "select * from shop.sales where amount > 1");
    let out = sql("shop.out", Append, "select id, amount from shop.big");
    let world = World::new([sales(), view, out]).await;
    world.land("shop.sales", "('a', 'x', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('b', 'y', 2, '2025-01-01', '2025-01-01T09:00:00Z')").await;
    expect!["read 2 written 1 filtered 1 duplicate 0, version 1"]
        .assert_eq(&counted(&world.run("shop.out").await));
    expect!["b"].assert_eq(&world.rows("select id from shop.big").await);
    let facts = world.transformer.facts().await.unwrap();
    assert_eq!(facts.iter().map(|facts| facts.hop.to_string()).collect::<Vec<_>>(), ["shop.out"]);
    assert_eq!(facts[0].inputs[0].dataset.to_string(), "shop.sales");
    assert_eq!(facts[0].inputs[0].version, facts[0].inputs[0].consumed);
}
