//! Flink's window table functions in queries.

use expect_test::{Expect, expect};
use flowline_process::check;

use crate::support::world::World;
use crate::support::{landed, plan, sql};
use flowline_model::Materialization::View;

async fn world() -> World {
    let world = World::new([
        landed("shop.orders", "country string!, amount int64!, ts timestamp"),
        sql("shop.by_view", View, "select window_start, sum(amount) as total from tumble(table shop.orders, descriptor(ts), interval '10' minute) group by window_start"),
    ])
    .await;
    world
        .land(
            "shop.orders",
            "('de', 1, '2025-01-01T10:01:00Z'), ('fr', 2, '2025-01-01T10:04:00Z'), ('de', 5, '2025-01-01T10:12:00Z'), ('de', 9, null)",
        )
        .await;
    world
}

async fn answers(query: &str, expected: Expect) {
    expected.assert_eq(&world().await.rows(query).await);
}

#[tokio::test]
async fn tumbling_windows() {
    let each = |call: &str| {
        format!(
            "select window_start, window_end, window_time, sum(amount) as total from {call} group by 1, 2, 3"
        )
    };
    let expected = || {
        expect![[r#"
            2025-01-01T10:00:00Z 2025-01-01T10:10:00Z 2025-01-01T10:09:59.999Z 3
            2025-01-01T10:10:00Z 2025-01-01T10:20:00Z 2025-01-01T10:19:59.999Z 5"#]]
    };
    answers(&each("table(tumble(table shop.orders, descriptor(ts), interval '10' minute))"), expected())
        .await;
    answers(&each("TUMBLE(TABLE shop.orders, DESCRIPTOR(ts), INTERVAL '10' MINUTES)"), expected()).await;
    answers(&each("TABLE(TUMBLE(DATA => TABLE shop.orders, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '10 minutes')) as w"), expected()).await;
    answers(
        &each(
            "TUMBLE((select * from shop.orders), DESCRIPTOR(ts), INTERVAL '600' SECOND, INTERVAL '1' HOUR) w",
        ),
        expected(),
    )
    .await;
    answers(
        "select window_start, total from shop.by_view",
        expect![[r#"
            2025-01-01T10:00:00Z 3
            2025-01-01T10:10:00Z 5"#]],
    )
    .await;
}

#[tokio::test]
async fn windows_are_shifted_and_reach_behind_1970() {
    let query = |offset: &str| {
        format!(
            "select w.window_start, w.window_end from tumble(table t, descriptor(ts), interval '10' minute, {offset}) w"
        )
    };
    let with = "with t as (select arrow_cast(timestamp '1969-12-31 23:59:00', 'Timestamp(Microsecond, None)') as ts)";
    answers(
        &format!("{with} {}", query("interval '0' second")),
        expect!["1969-12-31T23:50:00 1970-01-01T00:00:00"],
    )
    .await;
    answers(
        &format!("{with} {}", query("interval '-4' minute")),
        expect!["1969-12-31T23:56:00 1970-01-01T00:06:00"],
    )
    .await;
    answers(
        &format!("{with} {}", query("`OFFSET` => interval '6' minute")),
        expect!["1969-12-31T23:56:00 1970-01-01T00:06:00"],
    )
    .await;
}

#[tokio::test]
async fn hopping_and_cumulating_windows() {
    answers(
        "select window_start, window_end, sum(amount) as total from table(hop(table shop.orders, descriptor(ts), interval '5' minute, interval '10' minute)) group by 1, 2",
        expect![[r#"
            2025-01-01T09:55:00Z 2025-01-01T10:05:00Z 3
            2025-01-01T10:00:00Z 2025-01-01T10:10:00Z 3
            2025-01-01T10:05:00Z 2025-01-01T10:15:00Z 5
            2025-01-01T10:10:00Z 2025-01-01T10:20:00Z 5"#]],
    )
    .await;
    answers(
        "select window_start, window_end, sum(amount) as total from cumulate(table shop.orders, descriptor(ts), interval '5' minute, interval '10' minute) group by 1, 2",
        expect![[r#"
            2025-01-01T10:00:00Z 2025-01-01T10:05:00Z 3
            2025-01-01T10:00:00Z 2025-01-01T10:10:00Z 3
            2025-01-01T10:10:00Z 2025-01-01T10:15:00Z 5
            2025-01-01T10:10:00Z 2025-01-01T10:20:00Z 5"#]],
    )
    .await;
}

#[tokio::test]
async fn sessions() {
    let world = world().await;
    // Exactly the gap apart is still together.
    world.land("shop.orders", "('de', 7, '2025-01-01T10:03:00Z'), ('de', 8, '2025-01-01T10:05:00Z')").await;
    let query = |keys: &str| {
        format!(
            "select window_start, window_end, sum(amount) as total from table(session(table shop.orders {keys}, descriptor(ts), interval '2' minute)) group by 1, 2"
        )
    };
    expect![[r#"
        2025-01-01T10:01:00Z 2025-01-01T10:07:00Z 18
        2025-01-01T10:12:00Z 2025-01-01T10:14:00Z 5"#]]
    .assert_eq(&world.rows(&query("")).await);
    expect![[r#"
        2025-01-01T10:01:00Z 2025-01-01T10:07:00Z 16
        2025-01-01T10:04:00Z 2025-01-01T10:06:00Z 2
        2025-01-01T10:12:00Z 2025-01-01T10:14:00Z 5"#]]
    .assert_eq(&world.rows(&query("partition by country")).await);
}

#[tokio::test]
async fn windows_of_windows_and_best_of_a_window() {
    answers(
        "with small as (select window_time as at, sum(amount) as total from tumble(table shop.orders, descriptor(ts), interval '5' minute) group by window_start, window_end, window_time) select window_start, sum(total) as total from tumble(table small, descriptor(at), interval '10' minute) group by window_start, window_end",
        expect![[r#"
            2025-01-01T10:00:00Z 3
            2025-01-01T10:10:00Z 5"#]],
    )
    .await;
    answers(
        "select country, amount from (select *, row_number() over (partition by window_start, window_end order by amount desc) as n from tumble(table shop.orders, descriptor(ts), interval '10' minute)) where n <= 1",
        expect![[r#"
            de 5
            fr 2"#]],
    )
    .await;
}

async fn wrong(query: &str, expected: Expect) {
    let orders = landed("shop.orders", "country string!, amount int64!, ts timestamp");
    let lines: Vec<String> =
        check(&plan([orders, sql("shop.out", View, query)])).await.iter().map(ToString::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn what_is_wrong_is_pointed_at() {
    wrong(
        "select * from table(tumble(table shop.order, descriptor(ts), interval '1' minute))",
        expect!["datasets/shop/out.sql:1:34: there is no dataset `shop.order` (did you mean `shop.orders`?)"],
    )
    .await;
    wrong("select * from table(hop(table shop.orders, descriptor(ts), interval '3' minute, interval '10' minute))", expect!["datasets/shop/out.sql:1:60: the size of the window is no multiple of its slide (the slide stands before the size: HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '1' MINUTE), the slide first)"]).await;
    wrong("select * from tumble(table shop.orders, interval '1' minute)", expect!["datasets/shop/out.sql:1:41: the second argument says which column is the time (write `DESCRIPTOR(ts)`)"]).await;
    wrong("select * from tumble(table shop.orders, descriptor(ts), interval '1' month)", expect!["datasets/shop/out.sql:1:57: a window of month has no fixed length (use days, or group by `date_trunc('month', ts)` in a batch query)"]).await;
    wrong("select * from tumble(table shop.orders, descriptor(ts))", expect!["datasets/shop/out.sql:1:15: TUMBLE needs `size` (write TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))"]).await;
    wrong("select * from tumble(data => table shop.orders, timcol => descriptor(ts), size => interval '1' minute)", expect!["datasets/shop/out.sql:1:49: TUMBLE has no argument `timcol` (did you mean `TIMECOL`?)"]).await;
    wrong(
        "select * from tumble(table shop.orders, descriptor(tss), interval '1' minute)",
        expect!["datasets/shop/out.sql:1:52: there is no column `tss` in `t` (did you mean `ts`?)"],
    )
    .await;
    wrong(
        "select * from tumble(table shop.orders, descriptor(country), interval '1' minute)",
        expect!["datasets/shop/out.sql:1:1: the time of a window must be a timestamp, and this is Utf8"],
    )
    .await;
    wrong(
        "select * from tumble(table shop.orders, descriptor(ts), interval '0' minute)",
        expect!["datasets/shop/out.sql:1:57: a window is longer than nothing"],
    )
    .await;
}
