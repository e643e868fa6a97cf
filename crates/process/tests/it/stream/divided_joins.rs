//! Divided streams that read more than one dataset: tables, which each part reads whole, and streams that are partitioned
//! alike. And those that read a topic that others write.

use expect_test::expect;
use flowline_base::Random;
use flowline_model::{Dataset, KafkaFormat, KafkaOrigin, KafkaStart, LatePolicy, Origin};

use tokio_util::sync::CancellationToken;

use super::divided::{Nodes, PARTITIONS, by_customer, divided, out, row, said_of, sales};
use crate::support::{Declare, landed, limited, on_change, sql};

fn payments() -> Dataset {
    let mut payments = landed("shop.payments", "customer string!, paid int64!, ts timestamp");
    by_customer(&mut payments, PARTITIONS);
    payments
}

/// A table: it has not the event time of the stream. It is landed from a log with as many partitions as it likes.
fn customers() -> Dataset {
    landed("shop.customers", "customer string!, country string")
}

fn all(out: Dataset) -> Vec<Dataset> {
    vec![sales(), payments(), customers(), out]
}

async fn nodes(out: Dataset) -> Nodes {
    let nodes = Nodes::over(all(out)).await;
    let rows =
        "('c0', 'CH'), ('c1', 'DE'), ('c2', 'FR'), ('c3', 'CH'), ('c4', null), ('c5', 'FR'), ('c6', 'CH')";
    nodes.world.land("shop.customers", rows).await;
    nodes
}

const BY_ROW: &str = "select s.id, s.customer, s.amount, s.ts, c.country from shop.sales s join shop.customers c on s.customer = c.customer";

#[tokio::test]
async fn joins_of_all_parts_together_are_those_of_the_whole() {
    let unbounded = "select s.id, s.customer, s.ts, p.paid, p.ts as paid_at from shop.sales s join shop.payments p on s.customer = p.customer";
    let cases = [
        ("rows with a table", BY_ROW),
        (
            "rows beside a table",
            "select s.id, s.customer, s.ts, c.country from shop.sales s left join shop.customers c on s.customer = c.customer",
        ),
        (
            "windows with a table",
            "select s.customer, c.country, s.window_end, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) s left join shop.customers c on s.customer = c.customer group by s.customer, c.country, s.window_start, s.window_end",
        ),
        (
            "two streams by time",
            "select s.id, s.customer, s.amount, s.ts, p.paid from shop.sales s left join shop.payments p on s.customer = p.customer and p.ts between s.ts - interval '20' second and s.ts + interval '40' second",
        ),
        (
            "windows of two streams",
            "select a.customer, a.window_end, a.n, b.paid from (select customer, window_start, window_end, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by customer, window_start, window_end) a join (select customer, window_start, window_end, sum(paid) as paid from tumble(table shop.payments, descriptor(ts), interval '1' minute) group by customer, window_start, window_end) b on a.customer = b.customer and a.window_start = b.window_start and a.window_end = b.window_end",
        ),
        ("two streams without a bound", unbounded),
        (
            "two streams, one behind the other",
            "select customer, ts, amount as value from shop.sales union all select customer, ts, paid from shop.payments",
        ),
    ];
    for (name, sql) in cases {
        for seed in 0..2 {
            let mut random = Random::seeded(seed);
            let out = out(LatePolicy::Reopen, sql);
            let mut nodes = nodes(if sql == unbounded { limited(out, 64 << 20) } else { out }).await;
            nodes.live_with(&mut random, true).await;
            let (answer, found) = nodes.end(sql).await;
            assert!(!answer.is_empty(), "{name}: nothing is compared");
            assert_eq!(found, answer, "{name}, seed {seed}");
            let strange =
                "select count(*) from shop.out where cast(substr(customer, 2) as int) % 3 <> _partition";
            assert_eq!(nodes.world.rows(strange).await, "0", "{name}: rows say which part wrote them");
        }
    }
}

#[tokio::test]
async fn each_part_follows_a_table_that_changes() {
    let mut random = Random::seeded(4);
    let keyed = "select s.customer, min(c.country) as country, count(*) as n from shop.sales s join shop.customers c on s.customer = c.customer group by s.customer";
    let by_key = on_change(out(LatePolicy::Reopen, keyed)).with_key(&["customer"]);
    for (sql, out) in [(BY_ROW, out(LatePolicy::Reopen, BY_ROW)), (keyed, by_key)] {
        let mut nodes = nodes(out).await;
        nodes.live_with(&mut random, false).await;
        nodes.world.land("shop.customers", "('c7', 'IT'), ('c8', 'AT')").await;
        for part in 0..PARTITIONS {
            nodes.run(part).await;
        }
        let found = nodes.world.rows("select * exclude (_partition) from shop.out").await;
        assert_eq!(found, nodes.world.rows(sql).await);
        // The other part's keys are affected as well, and nothing of its rows is there again, added up or taken away.
        nodes.world.land("shop.customers", "('c7', 'ES')").await;
        for part in (0..PARTITIONS).rev() {
            nodes.run(part).await;
        }
        let found = nodes.world.rows("select * exclude (_partition) from shop.out").await;
        assert_eq!(found, nodes.world.rows(sql).await);
        assert!(found.contains("AT") || found.contains("IT"), "the new customers have sales: {found}");
    }
}

fn from_topic(mut dataset: Dataset, key: &[&str]) -> Dataset {
    dataset.origin = Origin::Kafka(KafkaOrigin {
        topic: dataset.name.to_string(),
        group: "flowline".to_owned(),
        format: KafkaFormat::Json,
        registry: None,
        start: KafkaStart::Earliest,
        partition_key: key.iter().map(ToString::to_string).collect(),
    });
    dataset
}

const TUMBLE: &str = "select customer, window_end, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by customer, window_start, window_end";

#[tokio::test]
async fn a_topic_that_others_write_is_read_part_by_part() {
    let mut nodes =
        Nodes::over(vec![from_topic(sales(), &["customer"]), out(LatePolicy::Reopen, TUMBLE)]).await;
    nodes.live(&mut Random::seeded(2)).await;
    let (answer, found) = nodes.end(TUMBLE).await;
    assert_eq!(found, answer);
    let parts = nodes.world.rows("select distinct _partition from shop.out").await;
    assert_eq!(parts, "0\n1\n2");
}

/// How many partitions a topic has is known from what was landed of it.
#[tokio::test]
async fn the_parts_of_a_topic_are_those_that_were_landed() {
    let nodes = Nodes::over(vec![from_topic(sales(), &["customer"]), out(LatePolicy::Reopen, TUMBLE)]).await;
    let (stream, mut random) = ("shop.out".parse().unwrap(), Random::seeded(0));
    for (partition, millis) in [(0, 0), (2, 0), (0, 90_000), (2, 90_000)] {
        let row = row(&mut random, partition, millis);
        nodes.world.land_topic("shop.sales", "a-topic", partition as i32, &row).await;
    }
    let run = nodes.world.transformer.run(&stream, "test", &CancellationToken::new()).await.unwrap();
    assert_eq!(run.error, None);
    let parts = nodes.world.rows("select _partition, customer, n from shop.out").await;
    assert_eq!(parts, "0 c0 1\n2 c2 1");
    let newest = nodes.world.table("shop.sales").refresh().await.unwrap().unwrap();
    let consumed = nodes.world.transformer.consumed(&stream).await.unwrap();
    assert_eq!(consumed.into_values().collect::<Vec<_>>(), [newest]);
}

#[tokio::test]
async fn what_is_not_the_same_in_parts_is_refused_with_the_reason() {
    let check = |out: Dataset| said_of(all(out));
    let one = |sql: &str| out(LatePolicy::Reopen, sql);
    assert_eq!(check(one(BY_ROW)).await, "");
    let alone = "select c.customer, count(s.id) as n from shop.customers c left join shop.sales s on s.customer = c.customer group by c.customer";
    expect!["datasets/shop/out.sql:1:85: a row of a table that no row of the stream meets comes out by itself, so each part of the stream would write it (put the stream on the left of a LEFT JOIN)"].assert_eq(&check(on_change(one(alone)).with_key(&["customer"])).await);
    let not_by_key = "select s.id, s.customer, p.paid, s.ts from shop.sales s join shop.payments p on s.amount = p.paid and p.ts between s.ts and s.ts + interval '1' minute";
    expect!["datasets/shop/out.sql:1:1: its rows do not follow the partitions of `shop.sales`: `customer`, by which records are partitioned, is not in what it selects and groups, joins or partitions by (leave `divided` out: then one elected node runs the stream, whatever its keys)"].assert_eq(&check(one(not_by_key)).await);
    let with_itself = "select s.id, s.customer, s.ts, o.id as other from shop.sales s join shop.sales o on s.amount = o.amount";
    expect!["datasets/shop/out.sql:1:1: its rows do not follow the partitions of `shop.sales`: `customer`, by which records are partitioned, is not in what it selects and groups, joins or partitions by (leave `divided` out: then one elected node runs the stream, whatever its keys)"].assert_eq(&check(limited(one(with_itself), 64 << 20)).await);
    let windows = "select a.customer, a.window_end, a.n, b.most from (select customer, window_start, window_end, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by customer, window_start, window_end) a join (select window_start, window_end, max(paid) as most from tumble(table shop.payments, descriptor(ts), interval '1' minute) group by window_start, window_end) b on a.window_start = b.window_start and a.window_end = b.window_end";
    expect!["datasets/shop/out.sql:1:1: its rows do not follow the partitions of `shop.sales`: `customer`, by which records are partitioned, is not in what it selects and groups, joins or partitions by (leave `divided` out: then one elected node runs the stream, whatever its keys)"].assert_eq(&check(one(windows)).await);
    let by_time = "select s.id, s.customer, p.paid, s.ts from shop.sales s join shop.payments p on s.customer = p.customer and p.ts between s.ts and s.ts + interval '1' minute";
    assert_eq!(check(one(by_time)).await, "");
    let mut more = payments();
    by_customer(&mut more, PARTITIONS + 1);
    expect!["datasets/shop/out.sql:1:1: `shop.sales` and `shop.payments` are read together, and have 3 and 4 partitions (give both the same `partitions`, under `from`)"].assert_eq(&said_of(vec![sales(), more, one(by_time)]).await);
    let other_key = sales().with_key(&["id"]);
    let mut two_columns = payments();
    let Origin::Http(origin) = &mut two_columns.origin else { unreachable!("it is posted") };
    origin.partition_key.push("paid".to_owned());
    expect!["datasets/shop/out.sql:1:1: `shop.sales` and `shop.payments` are read together, and are partitioned by 1 and 2 columns (declare a `partition_key` of the same columns for both, under `from`)"].assert_eq(&said_of(vec![other_key, two_columns, one(by_time)]).await);
    let derived =
        sql("shop.derived", flowline_model::Materialization::Append, "select customer, ts from shop.sales");
    let over_sql = "select customer, ts from shop.derived";
    expect!["datasets/shop/out.sql:1:1: a divided stream reads what is landed from the log or from a topic, and `shop.derived` is not (leave `divided` out: then one elected node runs the stream, whatever its keys)"].assert_eq(&said_of(vec![sales(), derived, one(over_sql)]).await);
}

#[tokio::test]
async fn of_a_topic_the_key_must_be_declared_and_others_are_not_read_beside_it() {
    let rows = divided(out(LatePolicy::Reopen, "select id, customer, ts from shop.sales"));
    assert_eq!(said_of(vec![from_topic(sales(), &[]), rows]).await, "");
    let windows = out(LatePolicy::Reopen, TUMBLE);
    assert_eq!(said_of(vec![from_topic(sales(), &["customer"]), windows.clone()]).await, "");
    let keyed = sales().with_key(&["customer"]);
    expect!["datasets/shop/out.sql:1:1: records of `shop.sales` are not partitioned by a key; declare `partition_key` there, under `from` (leave `divided` out: then one elected node runs the stream, whatever its keys)"].assert_eq(&said_of(vec![from_topic(keyed, &[]), windows]).await);
    let by_time = "select s.id, s.customer, p.paid, s.ts from shop.sales s join shop.payments p on s.customer = p.customer and p.ts between s.ts and s.ts + interval '1' minute";
    let both = out(LatePolicy::Reopen, by_time);
    expect!["datasets/shop/out.sql:1:1: `shop.sales` and `shop.payments` are read together, and of topics that others write it is not known that they are partitioned alike (leave `divided` out: then one elected node runs the stream, whatever its keys)"].assert_eq(&said_of(vec![from_topic(sales(), &["customer"]), payments(), both]).await);
}

/// A row of a partition that nobody reads stays where it is.
#[tokio::test]
async fn a_part_reads_its_partition_of_each_stream_alone() {
    let sql = "select customer, ts, amount as value from shop.sales union all select customer, ts, paid from shop.payments";
    let nodes = nodes(out(LatePolicy::Reopen, sql)).await;
    let mut random = Random::seeded(0);
    for partition in 0..PARTITIONS {
        nodes.land(partition, &[row(&mut random, partition, 0)]).await;
        let paid = format!("('c{partition}', 5, arrow_cast(0, 'Timestamp(ms, \"UTC\")'))");
        nodes.world.land_in("shop.payments", partition as i32, &paid).await;
    }
    nodes.run(1).await;
    assert_eq!(nodes.world.rows("select customer from shop.out").await, "c1\nc1");
}
