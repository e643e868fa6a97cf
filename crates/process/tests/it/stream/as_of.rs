//! Streams joined with a table as it was at the time of each row, and as it is at the time of the run.

use std::time::Duration;

use flowline_base::Random;
use flowline_model::{Dataset, LatePolicy};
use flowline_process::check;

use crate::support::world::World;
use crate::support::{Declare, landed, plan, sql, stream};

const BY_ROW: &str = "select s.id, s.ts, r.price from shop.sales s join shop.prices for system_time as of s.ts as r on s.item = r.item";
const BY_ROW_OR_NONE: &str = "select s.id, s.ts, r.price from shop.sales s left join shop.prices for system_time as of s.ts as r on s.item = r.item and r.price > 2 or r.item = 'every'";
const BY_WINDOW: &str = "select w.item, w.n, r.price, w.window_end from (select item, window_start, window_end, window_time, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '10' second) group by item, window_start, window_end, window_time) w join shop.prices for system_time as of w.window_time as r on w.item = r.item";
const PROCESSING: &str = "select s.id, r.price from shop.sales s left join shop.prices for system_time as of proctime() as r on s.item = r.item";

/// Prices are what the last offer of each item says: the table is merged, so rows of it come, go and change.
fn datasets(text: &str) -> Vec<Dataset> {
    vec![
        landed("shop.sales", "id string!, item string!, ts timestamp"),
        landed("shop.offers", "item string!, price int64!, told timestamp"),
        sql(
            "shop.prices",
            flowline_model::Materialization::Merge,
            "select item, price, told from shop.offers",
        )
        .with_key(&["item"])
        .with_event_time("told"),
        stream("shop.out", Duration::from_secs(5), LatePolicy::Reopen, text),
    ]
}

fn sale(number: u64, item: u64, micros: i64) -> String {
    format!("('s{number}', 'i{item}', arrow_cast({micros}, 'Timestamp(µs, \"UTC\")'))")
}

/// Sells and changes prices for a while; sales are some seconds old when they come.
async fn trade(world: &mut World, random: &mut Random, steps: u64) {
    for step in 0..steps {
        if random.chance(0.6) {
            let now = world.now().timestamp_micros();
            let offer = format!(
                "('i{}', {}, arrow_cast({now}, 'Timestamp(µs, \"UTC\")'))",
                random.below(3),
                random.below(9)
            );
            world.land("shop.offers", &offer).await;
            world.run("shop.prices").await;
        }
        let now = world.now().timestamp_micros();
        let rows: Vec<String> = (0..=random.below(4))
            .map(|number| {
                let back = random.below(30_000_000) as i64;
                sale(step * 10 + number, random.below(3), now - back)
            })
            .collect();
        world.land("shop.sales", &rows.join(", ")).await;
        if random.chance(0.3) {
            let options = flowline_lake::CompactOptions { files_min: 2, ..Default::default() };
            world.table("shop.prices").compact(options).await.unwrap();
        }
        if random.chance(0.6) {
            world.run("shop.out").await;
        }
    }
}

#[tokio::test]
async fn rows_meet_the_version_of_their_time() {
    for (seed, text) in [(1, BY_ROW), (2, BY_ROW_OR_NONE), (3, BY_WINDOW), (4, BY_ROW)] {
        println!("{seed} {text}");
        let mut random = Random::seeded(seed);
        let mut world = World::new(datasets(text)).await;
        world.land("shop.offers", "('every', 7, timestamp '2025-01-01T00:00:00Z')").await;
        world.run("shop.prices").await;
        world.clock.advance(Duration::from_secs(10));
        trade(&mut world, &mut random, 14).await;
        world.clock.advance(Duration::from_secs(60));
        let last = world.now().timestamp_micros();
        world.land("shop.sales", &sale(9_999, 9, last)).await;
        world.run("shop.out").await;
        // The last row closes every window but its own, which has nothing to be joined with.
        assert_eq!(world.rows("select * from shop.out").await, world.rows(text).await, "{text}");
    }
}

#[tokio::test]
async fn a_version_is_that_of_the_time_and_not_of_the_run() {
    let world = World::new(datasets(BY_ROW)).await;
    let before = world.now().timestamp_micros();
    world.clock.advance(Duration::from_secs(60));
    world.land("shop.offers", "('i1', 1, timestamp '2025-01-01T00:00:00Z')").await;
    world.run("shop.prices").await;
    world.clock.advance(Duration::from_secs(60));
    let between = world.now().timestamp_micros();
    world.clock.advance(Duration::from_secs(60));
    world.land("shop.offers", "('i1', 2, timestamp '2025-01-02T00:00:00Z')").await;
    world.run("shop.prices").await;
    world.clock.advance(Duration::from_secs(60));
    let after = world.now().timestamp_micros();
    let rows = [sale(1, 1, before), sale(2, 1, between), sale(3, 1, after)].join(", ");
    world.land("shop.sales", &rows).await;
    world.run("shop.out").await;
    assert_eq!(
        world.rows("select id, price from shop.out").await,
        "s2 1\ns3 2",
        "before the first version is nothing"
    );
    world.land("shop.offers", "('i1', 3, timestamp '2025-01-03T00:00:00Z')").await;
    world.run("shop.prices").await;
    let run = world.run("shop.out").await;
    assert!(run.commit.is_none(), "a new version changes nothing that was written");
}

#[tokio::test]
async fn rows_meet_the_version_of_the_run() {
    let world = World::new(datasets(PROCESSING)).await;
    let now = world.now().timestamp_micros();
    world.land("shop.sales", &sale(1, 1, now)).await;
    world.run("shop.out").await;
    world.land("shop.offers", "('i1', 1, timestamp '2025-01-01T00:00:00Z')").await;
    world.run("shop.prices").await;
    world.land("shop.sales", &sale(2, 1, now)).await;
    world.run("shop.out").await;
    world.land("shop.offers", "('i1', 2, timestamp '2025-01-02T00:00:00Z')").await;
    world.run("shop.prices").await;
    world.run("shop.out").await;
    world.land("shop.sales", &sale(3, 1, now)).await;
    world.run("shop.out").await;
    assert_eq!(world.rows("select * from shop.out").await, "s1 null\ns2 1\ns3 2");
}

#[tokio::test]
async fn what_cannot_be_read_as_of_a_time_is_refused() {
    let refused = |text: &str| {
        let mut datasets = datasets(text);
        datasets.push(sql(
            "shop.cheap",
            flowline_model::Materialization::View,
            "select * from shop.prices where price < 3",
        ));
        let text = text.to_owned();
        async move {
            let problems = check(&plan(datasets)).await;
            let [problem] = problems.as_slice() else { panic!("{text}: {problems:?}") };
            problem.to_string()
        }
    };
    for (text, expected) in [
        (
            "select s.id from shop.sales s join shop.cheap for system_time as of s.ts as r on s.item = r.item",
            "`shop.cheap` is a view, which has no versions; name the tables that it reads",
        ),
        (
            "select s.id from shop.sales s join shop.prices for system_time as of r.told as r on s.item = r.item",
            "what a table was at a time that is not the event time of the stream may not be known yet",
        ),
        (
            "select s.id from shop.sales s right join shop.prices for system_time as of s.ts as r on s.item = r.item",
            "a row of the table that nothing is joined with is of no time",
        ),
        (
            "select s.id from shop.prices for system_time as of s.ts as s",
            "FOR SYSTEM_TIME AS OF belongs to a table that is joined",
        ),
        (
            "select s.id from shop.sales s join shop.nothing for system_time as of s.ts as r on true",
            "there is no dataset `shop.nothing`",
        ),
    ] {
        let said = refused(text).await;
        assert!(said.contains(expected), "{text}: {said}");
    }
}
