//! Streams that are divided by the partitions of the log: whoever runs which part when, their table is what the batch query
//! answers.

use std::time::Duration;

use expect_test::expect;
use flowline_base::Random;
use flowline_model::{Dataset, LatePolicy, Origin, Outcome};
use flowline_process::{Transformer, check};
use tokio_util::sync::CancellationToken;

use super::cases::START;
use crate::support::world::World;
use crate::support::{Declare, landed, on_change, plan, stream};

pub(super) const PARTITIONS: u64 = 3;

const TUMBLE: &str = "select customer, window_start, window_end, count(*) as n, sum(amount) as total, count(distinct id) as ids from table(tumble(table shop.sales, descriptor(ts), interval '1' minute)) group by customer, window_start, window_end";

pub(super) fn sales() -> Dataset {
    let mut sales = landed("shop.sales", "id string!, customer string!, amount int64!, ts timestamp");
    by_customer(&mut sales, PARTITIONS);
    sales
}

/// Posted records go to the partition of their customer.
pub(super) fn by_customer(dataset: &mut Dataset, partitions: u64) {
    let Origin::Http(origin) = &mut dataset.origin else { unreachable!("it is posted") };
    origin.partitions = partitions as u32;
    origin.partition_key = vec!["customer".to_owned()];
}

pub(super) fn divided(mut stream: Dataset) -> Dataset {
    let Origin::Sql(sql) = &mut stream.origin else { unreachable!("it is a query") };
    sql.divided = true;
    stream
}

pub(super) fn out(late: LatePolicy, sql: &str) -> Dataset {
    divided(stream("shop.out", Duration::from_secs(15), late, sql))
}

/// A row of the customer with this number, so far from the first time, milliseconds.
pub(super) fn row(random: &mut Random, customer: u64, millis: i64) -> String {
    let (id, amount) = (random.below(12), random.below(9) as i64 - 2);
    let time = START * 1_000 + millis;
    format!("('r{id}', 'c{customer}', {amount}, arrow_cast({time}, 'Timestamp(ms, \"UTC\")'))")
}

/// A payment of the customer with this number, so far from the first time, milliseconds.
fn payment(customer: u64, paid: u64, millis: i64) -> String {
    let time = START * 1_000 + millis;
    format!("('c{customer}', {paid}, arrow_cast({time}, 'Timestamp(ms, \"UTC\")'))")
}

/// Nodes that take turns in running the parts.
pub(super) struct Nodes {
    pub world: World,
    /// The part with this number as some node knows it.
    parts: Vec<Transformer>,
}

impl Nodes {
    async fn new(out: Dataset) -> Self {
        Self::over(vec![sales(), out]).await
    }

    pub async fn over(datasets: Vec<Dataset>) -> Self {
        let world = World::new(datasets).await;
        let mut nodes = Self { world, parts: Vec::new() };
        nodes.parts = (0..PARTITIONS).map(|part| nodes.part(part)).collect();
        nodes
    }

    /// The nodes when they were started with another definition.
    async fn deployed(self, out: Dataset) -> Self {
        let divided = out.divided();
        let world = self.world.restarted(Some(vec![sales(), out])).await;
        let mut nodes = Self { world, parts: Vec::new() };
        nodes.parts = (0..PARTITIONS).filter(|_| divided).map(|part| nodes.part(part)).collect();
        nodes
    }

    /// A part as a node knows it that has just got it.
    pub fn part(&self, part: u64) -> Transformer {
        self.world.transformer.of_part(&"shop.out".parse().unwrap(), part as i32).unwrap()
    }

    pub async fn run(&self, part: u64) {
        self.world.clock.advance(Duration::from_secs(1));
        let stream = "shop.out".parse().unwrap();
        let run = self.parts[part as usize].run(&stream, "test", &CancellationToken::new()).await.unwrap();
        assert_eq!((run.error, run.outcome), (None, Outcome::Succeeded), "part {part}");
    }

    pub async fn land(&self, partition: u64, rows: &[String]) {
        self.world.land_in("shop.sales", partition as i32, &rows.join(", ")).await;
    }

    /// Lands rows of the customers of each partition, out of order and some of them late; runs what is chanced upon, on
    /// nodes that come and go.
    pub async fn live(&mut self, random: &mut Random) {
        self.live_with(random, false).await;
    }

    /// The same, with payments beside the sales when `payments` says so.
    pub async fn live_with(&mut self, random: &mut Random, payments: bool) {
        for step in 0..14 {
            let partition = random.below(PARTITIONS);
            let rows: Vec<String> = (0..10)
                .map(|_| {
                    let customer = partition + PARTITIONS * random.below(3);
                    // One partition is far behind the others.
                    let lag = if partition == 1 { 90_000 } else { 0 };
                    let back = random.below(60_000) as i64;
                    row(random, customer, (step * 20_000 - back - lag).max(0))
                })
                .collect();
            self.land(partition, &rows).await;
            if payments {
                let partition = random.below(PARTITIONS);
                let lag = if partition == 1 { 90_000 } else { 0 };
                let rows: Vec<String> = (0..4)
                    .map(|_| {
                        let customer = partition + PARTITIONS * random.below(3);
                        let back = random.below(60_000) as i64;
                        payment(customer, random.below(90), (step * 20_000 - back - lag).max(0))
                    })
                    .collect();
                self.world.land_in("shop.payments", partition as i32, &rows.join(", ")).await;
            }
            for _ in 0..random.below(3) {
                self.run(random.below(PARTITIONS)).await;
            }
            if random.below(4) == 0 {
                let part = random.below(PARTITIONS);
                self.parts[part as usize] = self.part(part);
            }
        }
    }

    /// The answer of a query as it is before this, and the table once everything that it has is closed.
    pub async fn end(&self, sql: &str) -> (String, String) {
        let columns = "select * exclude (_partition) from shop.out";
        let answer = self.world.rows(sql).await;
        let paid = self.world.query("select 1 from shop.payments").await.is_ok();
        for partition in 0..PARTITIONS {
            let customer = 900 + partition;
            let last = row(&mut Random::seeded(0), customer, 86_400_000);
            self.land(partition, &[last]).await;
            if paid {
                let last = payment(customer, 1, 86_400_000);
                self.world.land_in("shop.payments", partition as i32, &last).await;
            }
        }
        for part in 0..PARTITIONS {
            self.run(part).await;
        }
        let last = "(ts is null or ts < timestamp '2025-01-02')";
        let has_time = self.world.query("select ts from shop.out").await.is_ok();
        let found = if has_time { format!("{columns} where {last}") } else { columns.to_owned() };
        (answer, self.world.rows(&found).await)
    }
}

#[tokio::test]
async fn the_parts_together_are_the_whole() {
    let cases = [
        ("rows", "select id, customer, amount * 2 as twice, ts from shop.sales where amount > 0"),
        ("tumble", TUMBLE),
        (
            "hop",
            "select window_start, customer, count(*) as n, sum(amount) filter (where amount > 2) as total from table(hop(table shop.sales, descriptor(ts), interval '30' second, interval '2' minute)) group by window_start, window_end, customer",
        ),
        (
            "sessions",
            "select customer, window_start, window_end, count(*) as n from table(session(table shop.sales partition by customer, descriptor(ts), interval '10' second)) group by customer, window_start, window_end",
        ),
        (
            "the best of each customer's window",
            "select id, amount, customer, window_end from (select *, row_number() over (partition by customer, window_start, window_end order by amount desc, id, ts) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute)) where n <= 2",
        ),
    ];
    for (name, sql) in cases {
        for seed in 0..3 {
            let mut random = Random::seeded(seed);
            let mut nodes = Nodes::new(out(LatePolicy::Reopen, sql)).await;
            nodes.live(&mut random).await;
            let (answer, found) = nodes.end(sql).await;
            assert_eq!(found, answer, "{name}, seed {seed}");
            let strange =
                "select count(*) from shop.out where cast(substr(customer, 2) as int) % 3 <> _partition";
            assert_eq!(nodes.world.rows(strange).await, "0", "{name}: rows say which part wrote them");
        }
    }
}

#[tokio::test]
async fn windows_and_keys_that_change_are_replaced_by_their_part_alone() {
    let keyed = "select customer, count(*) as n, max(ts) as last from shop.sales group by customer";
    let cases = [on_change(out(LatePolicy::Reopen, TUMBLE)), {
        on_change(out(LatePolicy::Reopen, keyed)).with_key(&["customer"])
    }];
    for (number, out) in cases.into_iter().enumerate() {
        let sql = [TUMBLE, keyed][number];
        let mut random = Random::seeded(7);
        let mut nodes = Nodes::new(out).await;
        nodes.live(&mut random).await;
        for part in 0..PARTITIONS {
            nodes.run(part).await;
        }
        let found = nodes.world.rows("select * exclude (_partition) from shop.out").await;
        assert_eq!(found, nodes.world.rows(sql).await);
    }
}

#[tokio::test]
async fn what_is_open_in_all_parts_can_be_looked_at() {
    let mut nodes = Nodes::new(out(LatePolicy::Reopen, TUMBLE)).await;
    let looked = "select customer, window_start, window_end, n, total, ids from system.state('shop.out')";
    assert_eq!(nodes.world.rows(looked).await, "", "before its first run");
    let mut random = Random::seeded(3);
    nodes.live(&mut random).await;
    for part in 0..PARTITIONS {
        nodes.run(part).await;
    }
    let closed = "select * exclude (_partition) from shop.out";
    let open = nodes.world.rows(looked).await;
    assert!(!open.is_empty());
    let all = nodes.world.rows(&format!("{looked} union all {closed}")).await;
    assert_eq!(all, nodes.world.rows(TUMBLE).await, "a window is open, or it is in the table");
    let parts = "select count(distinct _partition), count(*) filter (where cast(substr(customer, 2) as int) % 3 <> _partition) from system.state('shop.out')";
    assert_eq!(nodes.world.rows(parts).await, "3 0");
}

#[tokio::test]
async fn each_part_has_a_watermark_and_a_position_of_its_own() {
    let nodes = Nodes::new(out(LatePolicy::Quarantine, TUMBLE)).await;
    let mut random = Random::seeded(1);
    for part in 0..PARTITIONS {
        let rows: Vec<String> = [0, 61_000].map(|millis| row(&mut random, part, millis)).to_vec();
        nodes.land(part, &rows).await;
        nodes.run(part).await;
    }
    // Only the first partition goes on; its windows close, and what comes late there is set aside.
    nodes.land(0, &[row(&mut random, 0, 200_000)]).await;
    nodes.run(0).await;
    nodes.run(1).await;
    let closed = "select _partition, count(*) from shop.out group by _partition";
    expect!["0 2"].assert_eq(&nodes.world.rows(closed).await);
    for part in 0..2 {
        nodes.land(part, &[row(&mut random, part, 1_000)]).await;
        nodes.run(part).await;
    }
    expect!["late 0"].assert_eq(&nodes.world.quarantined("shop.out", "_reason, _partition").await);
    let consumed = nodes.world.transformer.consumed(&"shop.out".parse().unwrap()).await.unwrap();
    let newest = nodes.world.table("shop.sales").refresh().await.unwrap().unwrap();
    assert!(consumed.values().all(|version| *version < newest), "part 2 has not read {newest}: {consumed:?}");
    let before = nodes.world.rows("select * from shop.out").await;
    let stream = "shop.out".parse().unwrap();
    let from = chrono::DateTime::from_timestamp(START, 0).unwrap();
    let replayed = nodes.world.transformer.replay(&stream, from, &CancellationToken::new()).await.unwrap();
    assert_eq!(replayed.error, None);
    let after = nodes.world.rows("select * from shop.out").await;
    assert_ne!(before, after, "the late row counts now");
    assert_eq!(nodes.world.rows(closed).await, "0 2");
}

#[tokio::test]
async fn a_definition_that_changes_is_computed_again_by_each_part() {
    let mut random = Random::seeded(3);
    let mut nodes = Nodes::new(out(LatePolicy::Reopen, TUMBLE)).await;
    nodes.live(&mut random).await;
    nodes.end(TUMBLE).await;
    for sql in [
        "select customer, window_start, window_end, count(*) as n, max(amount) as total, count(distinct id) as ids from table(tumble(table shop.sales, descriptor(ts), interval '1' minute)) group by customer, window_start, window_end",
        "select customer, window_end, min(amount) as least from table(tumble(table shop.sales, descriptor(ts), interval '2' minute)) group by customer, window_start, window_end",
    ] {
        nodes = nodes.deployed(out(LatePolicy::Reopen, sql)).await;
        for part in 0..PARTITIONS {
            nodes.run(part).await;
        }
        let before = " where window_end < timestamp '2025-01-02'";
        let found = nodes.world.rows(&format!("select * exclude (_partition) from shop.out{before}")).await;
        assert_eq!(found, nodes.world.rows(&format!("select * from ({sql}){before}")).await);
    }
}

/// The table as a whole and as parts, one after the other: whoever comes next begins from what is there, not from what it
/// once wrote and others have taken away.
#[tokio::test]
async fn what_others_took_away_is_computed_again() {
    let (mut random, before) = (Random::seeded(5), " where window_end < timestamp '2025-01-02'");
    let whole = || stream("shop.out", Duration::from_secs(15), LatePolicy::Reopen, TUMBLE);
    let parts = || out(LatePolicy::Reopen, TUMBLE);
    let mut nodes = Nodes::new(parts()).await;
    nodes.live(&mut random).await;
    nodes.end(TUMBLE).await;
    let answer = nodes.world.rows(&format!("select * from ({TUMBLE}){before}")).await;
    for out in [whole(), parts(), whole(), parts()] {
        let columns = if out.divided() { "* exclude (_partition)" } else { "*" };
        nodes = nodes.deployed(out).await;
        for part in 0..nodes.parts.len() as u64 {
            nodes.run(part).await;
        }
        if nodes.parts.is_empty() {
            let (stream, cancel) = ("shop.out".parse().unwrap(), CancellationToken::new());
            let run = nodes.world.transformer.run(&stream, "test", &cancel).await.unwrap();
            assert_eq!(run.error, None);
        }
        let found = nodes.world.rows(&format!("select {columns} from shop.out{before}")).await;
        assert_eq!(found, answer);
    }
}

/// Another definition with other columns, of which only one part has heard when the first one comes back.
#[tokio::test]
async fn a_part_whose_rows_went_with_the_shape_of_the_table_computes_them_again() {
    let other = "select customer, window_end, min(amount) as least from table(tumble(table shop.sales, descriptor(ts), interval '2' minute)) group by customer, window_start, window_end";
    let (mut random, before) = (Random::seeded(6), " where window_end < timestamp '2025-01-02'");
    let mut nodes = Nodes::new(out(LatePolicy::Reopen, TUMBLE)).await;
    nodes.live(&mut random).await;
    nodes.end(TUMBLE).await;
    nodes = nodes.deployed(out(LatePolicy::Reopen, other)).await;
    // Two that see the old table in the same moment give it its shape once.
    let stream = "shop.out".parse().unwrap();
    let cancel = CancellationToken::new();
    let (first, second) = tokio::join!(
        nodes.parts[0].run(&stream, "test", &cancel),
        nodes.parts[1].run(&stream, "test", &cancel)
    );
    assert_eq!((first.unwrap().error, second.unwrap().error), (None, None));
    let found = nodes.world.rows(&format!("select * exclude (_partition) from shop.out{before}")).await;
    let of_two = format!("{before} and cast(substr(customer, 2) as int) % 3 < 2");
    assert_eq!(found, nodes.world.rows(&format!("select * from ({other}){of_two}")).await);
    nodes = nodes.deployed(out(LatePolicy::Reopen, TUMBLE)).await;
    for part in 0..PARTITIONS {
        nodes.run(part).await;
    }
    let found = nodes.world.rows(&format!("select * exclude (_partition) from shop.out{before}")).await;
    assert_eq!(found, nodes.world.rows(&format!("select * from ({TUMBLE}){before}")).await);
}

async fn said(out: Dataset) -> String {
    said_with(sales(), out).await
}

async fn said_with(sales: Dataset, out: Dataset) -> String {
    let payments = landed("shop.payments", "customer string!, ts timestamp");
    said_of(vec![sales, payments, out]).await
}

/// What is said of a project.
pub(super) async fn said_of(datasets: Vec<Dataset>) -> String {
    let lines = check(&plan(datasets)).await;
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_does_not_follow_the_partitions_is_refused_with_the_reason() {
    assert_eq!(said(out(LatePolicy::Reopen, TUMBLE)).await, "");
    let whole = "select window_start, window_end, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by window_start, window_end";
    expect!["datasets/shop/out.sql:1:1: its rows do not follow the partitions of `shop.sales`: `customer`, by which records are partitioned, is not in what it selects and groups, joins or partitions by (leave `divided` out: then one elected node runs the stream, whatever its keys)"].assert_eq(&said(out(LatePolicy::Reopen, whole)).await);
    let hidden = "select window_end, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by customer, window_start, window_end";
    expect!["datasets/shop/out.sql:1:1: its rows do not follow the partitions of `shop.sales`: `customer`, by which records are partitioned, is not in what it selects and groups, joins or partitions by (leave `divided` out: then one elected node runs the stream, whatever its keys)"].assert_eq(&said(out(LatePolicy::Reopen, hidden)).await);
    let mixed = "select id, amount, customer, window_end from (select *, row_number() over (partition by window_start, window_end order by amount desc, id, ts) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute)) where n <= 2";
    expect!["datasets/shop/out.sql:1:1: its rows do not follow the partitions of `shop.sales`: `customer`, by which records are partitioned, is not in what it selects and groups, joins or partitions by (leave `divided` out: then one elected node runs the stream, whatever its keys)"].assert_eq(&said(out(LatePolicy::Reopen, mixed)).await);
    let two = "select s.customer, s.ts from shop.sales s join shop.payments p on s.customer = p.customer and p.ts between s.ts and s.ts + interval '1' minute";
    expect!["datasets/shop/out.sql:1:1: `shop.sales` and `shop.payments` are read together, and have 3 and 1 partitions (give both the same `partitions`, under `from`)"].assert_eq(&said(out(LatePolicy::Reopen, two)).await);
    let keyed = on_change(out(LatePolicy::Reopen, "select id, count(*) as n from shop.sales group by id"));
    expect!["datasets/shop/out.sql:1:1: its rows do not follow the partitions of `shop.sales`: `customer`, by which records are partitioned, is not in `key` (leave `divided` out: then one elected node runs the stream, whatever its keys)"].assert_eq(&said(keyed.with_key(&["id"])).await);
    let mut by_amount =
        landed("shop.sales", "id string!, customer decimal(9,2)!, amount int64!, ts timestamp");
    by_amount.key = vec!["customer".to_owned()];
    expect!["datasets/shop/out.sql:1:1: records of `shop.sales` are partitioned by the text of `customer`, and one value of it has several; declare a `partition_key` of required texts and whole numbers there, under `from` (leave `divided` out: then one elected node runs the stream, whatever its keys)"].assert_eq(&said_with(by_amount, out(LatePolicy::Reopen, TUMBLE)).await);
    let unkeyed = landed("shop.sales", "id string!, customer string!, amount int64!, ts timestamp");
    expect!["datasets/shop/out.sql:1:1: records of `shop.sales` are not partitioned by a key; declare `partition_key` there, under `from` (leave `divided` out: then one elected node runs the stream, whatever its keys)"].assert_eq(&said_with(unkeyed, out(LatePolicy::Reopen, TUMBLE)).await);
}
