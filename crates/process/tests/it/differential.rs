//! Whatever comes in whatever batches: after a run the table equals the answer of its SQL over the same rows.
//!
//! Random histories (rows land on either input, small files are joined, rows are deleted, the process restarts, runs
//! happen or not) against every way of following changes. `FLOWLINE_TEST_SEED` repeats a history,
//! `FLOWLINE_TEST_CASES` runs more of them.

use datafusion::logical_expr::{col, lit};
use flowline_base::Random;
use flowline_lake::{CommitMode, CompactOptions, StagedFiles, TableCommit};
use flowline_model::Dataset;
use flowline_model::Materialization::{self, Append, Merge, Partition};

use crate::support::world::World;
use crate::support::{Declare, landed, sql};

/// A query, how its table is declared, and the SQL that says what the table must be.
struct Case {
    mode: Materialization,
    sql: &'static str,
    declare: fn(Dataset) -> Dataset,
    /// Where it is not the query itself.
    answer: Option<&'static str>,
}

fn same(mode: Materialization, sql: &'static str, declare: fn(Dataset) -> Dataset) -> Case {
    Case { mode, sql, declare, answer: None }
}

fn cases() -> Vec<Case> {
    let plain: fn(Dataset) -> Dataset = |dataset| dataset;
    let by_day: fn(Dataset) -> Dataset = |dataset| dataset.with_partitions(&["d"]);
    let by_customer: fn(Dataset) -> Dataset = |dataset| dataset.with_key(&["customer"]);
    let latest: fn(Dataset) -> Dataset = |dataset| dataset.with_key(&["id"]).with_event_time("ts");
    vec![
        same(Append, "select id, customer, amount from shop.sales where amount > 0", plain),
        same(
            Append,
            "select id, amount from shop.sales where amount > 3 union all select customer, 0 from shop.customers",
            plain,
        ),
        same(
            Append,
            "select s.id, c.name, s.amount from shop.sales s join shop.customers c on s.customer = c.customer",
            plain,
        ),
        same(
            Append,
            "select id, cast(amount as int) as amount from shop.sales union all select customer, cast(7 as bigint) from shop.customers",
            plain,
        ),
        same(
            Append,
            "select s.id, t.id as other from shop.sales s join shop.sales t on s.customer = t.customer and s.amount < t.amount",
            plain,
        ),
        same(
            Append,
            "select s.id, c.name from shop.sales s left join shop.customers c on s.customer = c.customer",
            plain,
        ),
        same(
            Append,
            "select id, amount from shop.sales where customer in (select customer from shop.customers)",
            plain,
        ),
        same(
            Partition,
            "select day as d, customer, count(*) as n, sum(amount) as total from shop.sales group by day, customer",
            by_day,
        ),
        same(
            Partition,
            "select cast(ts as date) as d, count(distinct id) as n from shop.sales group by 1 having count(*) > 1",
            by_day,
        ),
        same(
            Partition,
            "select day as d, id, row_number() over (partition by day order by amount, id, ts, customer) as n from shop.sales",
            by_day,
        ),
        same(
            Partition,
            "select s.day as d, c.name, count(*) as n from shop.sales s left join shop.customers c on s.customer = c.customer group by 1, 2",
            by_day,
        ),
        same(
            Partition,
            "select customer, day, sum(amount) as total from shop.sales group by customer, day",
            |dataset| dataset.with_partitions(&["customer", "month(day)"]),
        ),
        same(
            Merge,
            "select customer, count(*) as n, min(amount) as least from shop.sales group by customer",
            by_customer,
        ),
        same(
            Merge,
            "select customer, sum(amount) as total from shop.sales group by customer having sum(amount) > 2",
            by_customer,
        ),
        same(
            Merge,
            "select s.customer, max(c.name) as name, count(*) as n from shop.sales s join shop.customers c on s.customer = c.customer group by s.customer",
            by_customer,
        ),
        same(
            Merge,
            "select customer, id, amount from (select *, row_number() over (partition by customer order by ts desc, amount desc, id) as n from shop.sales) where n = 1 and amount > 0",
            by_customer,
        ),
        Case {
            mode: Merge,
            sql: "select id, customer, amount, ts from shop.sales where amount > 0",
            declare: latest,
            answer: Some(
                "select id, customer, amount, ts from (select *, row_number() over (partition by id order by ts desc, customer desc nulls last, amount desc) as n from shop.sales where amount > 0) where n = 1",
            ),
        },
        Case {
            mode: Merge,
            sql: "select s.id, c.name, s.ts from shop.sales s join shop.customers c on s.customer = c.customer",
            declare: latest,
            answer: Some(
                "select id, name, ts from (select s.id, c.name, s.ts, row_number() over (partition by s.id order by s.ts desc, c.name desc nulls last) as n from shop.sales s join shop.customers c on s.customer = c.customer) where n = 1",
            ),
        },
        Case {
            mode: Merge,
            sql: "select id, customer, amount from shop.sales where amount > 0",
            declare: |dataset| dataset.with_key(&["id"]),
            answer: Some(
                "select id, customer, amount from (select *, row_number() over (partition by id order by _ingested_at desc, _offset desc) as n from shop.sales where amount > 0) where n = 1",
            ),
        },
    ]
}

fn datasets(case: &Case) -> Vec<Dataset> {
    let sales = landed("shop.sales", "id string!, customer string, amount int64!, day date!, ts timestamp!");
    vec![
        sales.with_partitions(&["day"]),
        landed("shop.customers", "customer string!, name string"),
        (case.declare)(sql("shop.out", case.mode, case.sql)),
    ]
}

fn some_sales(random: &mut Random) -> String {
    let rows = 1 + random.below(4);
    let row = |random: &mut Random| {
        let id = ["a", "b", "c", "d", "e"][random.below(5) as usize];
        let customer = ["'x'", "'y'", "'z'", "cast(null as varchar)"][random.below(4) as usize];
        let amount = random.below(9) as i64 - 2;
        let day = 1 + random.below(3);
        let hour = random.below(3);
        format!(
            "('{id}', {customer}, {amount}, date '2025-01-0{day}', timestamp '2025-01-0{day}T0{hour}:00:00')"
        )
    };
    (0..rows).map(|_| row(random)).collect::<Vec<_>>().join(", ")
}

fn some_customers(random: &mut Random) -> String {
    let customer = ["x", "y", "z"][random.below(3) as usize];
    let name = ["'n1'", "'n2'", "cast(null as varchar)"][random.below(3) as usize];
    format!("('{customer}', {name})")
}

async fn happen(world: World, random: &mut Random, case: &Case) -> World {
    match random.below(100) {
        0..55 => {
            world.land("shop.sales", &some_sales(random)).await;
        }
        55..75 => {
            world.land("shop.customers", &some_customers(random)).await;
        }
        75..85 => {
            let options = CompactOptions { files_min: 2, ..CompactOptions::default() };
            world.table("shop.sales").compact(options).await.unwrap();
        }
        85..92 => {
            let amount = random.below(7) as i64 - 2;
            let commit = TableCommit { mode: CommitMode::Append, ..TableCommit::append(StagedFiles::none()) };
            world.table("shop.sales").delete_where(col("amount").eq(lit(amount)), commit).await.unwrap();
        }
        _ => return world.restarted(Some(datasets(case))).await,
    }
    world
}

async fn history(case: &Case, seed: u64) {
    // Shown when the test fails.
    println!("seed {seed}, {} `{}`", case.mode.as_str(), case.sql);
    let mut random = Random::seeded(seed);
    let mut world = World::new(datasets(case)).await;
    world.land("shop.sales", &some_sales(&mut random)).await;
    world.land("shop.customers", &some_customers(&mut random)).await;
    let mut ways = Vec::new();
    for step in 0..7 {
        if step > 0 {
            world = happen(world, &mut random, case).await;
        }
        if step < 6 && random.chance(0.3) {
            continue;
        }
        let run = world.run("shop.out").await;
        if run.commit.is_some() {
            ways.push(world.how("shop.out").await);
        }
        let (table, answer) =
            (world.rows("select * from shop.out").await, world.rows(case.answer.unwrap_or(case.sql)).await);
        // Partition columns that are derived stand behind the query's own.
        let width = answer.lines().next().map_or(0, |line| line.split(' ').count());
        let table: Vec<String> =
            table.lines().map(|line| line.split(' ').take(width).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            table.join("\n"),
            answer,
            "{} `{}` seed {seed}, step {step}, ways {ways:?}",
            case.mode.as_str(),
            case.sql
        );
        let balance = run.counts.balance();
        assert!(
            !matches!(balance, flowline_model::Balance::Unbalanced(_)),
            "{balance:?} seed {seed}: {run:?}"
        );
    }
}

async fn histories(mode: Materialization) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("FLOWLINE_TEST_SEED") {
        Some(seed) => vec![seed],
        None => {
            let first = Random::unseeded().next_u64() >> 16;
            (0..number("FLOWLINE_TEST_CASES").unwrap_or(1)).map(|index| first + index).collect()
        }
    };
    for seed in seeds {
        for case in cases().iter().filter(|case| case.mode == mode) {
            history(case, seed).await;
        }
    }
}

#[tokio::test]
async fn appended_tables_equal_their_queries() {
    histories(Append).await;
}

#[tokio::test]
async fn partitioned_tables_equal_their_queries() {
    histories(Partition).await;
}

#[tokio::test]
async fn merged_tables_equal_their_queries() {
    histories(Merge).await;
}
