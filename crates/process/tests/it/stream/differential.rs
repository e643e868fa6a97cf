//! Whatever comes in whatever batches: after the last watermark the table equals the batch answer of its SQL over the
//! same rows.

use std::time::Duration;

use flowline_base::Random;
use flowline_lake::CompactOptions;
use proptest::prelude::*;

use super::cases::{CASES, Case, datasets, last_row, row};
use crate::support::world::World;

/// Of this query nothing says which rows late ones change, so that all are computed again.
const WITHOUT_WINDOW: &str = "window joined with itself, without a column that tells the window";

/// How events come.
#[derive(Debug, Clone)]
struct Course {
    seed: u64,
    /// How far behind the newest an event may be, seconds.
    disorder: u64,
    /// How far behind is waited for, seconds: less than the disorder means late rows.
    delay: u64,
    /// Batches.
    batches: usize,
}

/// Events about a second apart, out of order.
fn events(random: &mut Random, course: &Course, from: i64, count: u64) -> Vec<String> {
    let mut rows = Vec::new();
    for number in 0..count {
        let back = random.below(course.disorder * 1_000 + 1) as i64;
        let millis = (from + number as i64 * 1_300 - back).max(0);
        let text = row(random, millis);
        if random.chance(0.1) {
            rows.push(text.clone());
        }
        rows.push(text);
    }
    rows
}

async fn run_course(case: &Case, course: &Course, changing: bool) {
    // Shown when the test fails.
    println!("{course:?} {} `{}`", case.name, case.sql);
    let mut random = Random::seeded(course.seed);
    let delay = Duration::from_secs(course.delay);
    let mut world = World::new(datasets(case, delay, changing)).await;
    world.land("shop.customers", "('x', 'n1'), ('y', 'n2')").await;
    let mut at = 0;
    for step in 0..course.batches {
        for input in ["shop.sales", "shop.payments"] {
            let count = random.below(20);
            let rows = events(&mut random, course, at, count);
            if !rows.is_empty() {
                world.land(input, &rows.join(", ")).await;
            } else if step == 0 {
                world.land(input, &row(&mut random, 0)).await;
            }
        }
        at += 20_000;
        if random.chance(0.2) {
            let options = CompactOptions { files_min: 2, ..CompactOptions::default() };
            world.table("shop.sales").compact(options).await.unwrap();
        }
        if random.chance(0.2) {
            world = world.restarted(None).await;
        }
        if random.chance(0.8) {
            world.run("shop.out").await;
            let how = world.how("shop.out").await;
            let unknown = case.name == WITHOUT_WINDOW || case.unbounded;
            assert!(unknown || !how.starts_with("rebuild: late"), "{} {course:?}: {how}", case.name);
            if changing {
                assert_same(&world, &world.rows(case.sql).await, case, course).await;
            }
        }
    }
    let answer = world.rows(case.answer.unwrap_or(case.sql)).await;
    if !changing && !["rows one by one", "streams that meet whenever"].contains(&case.name) {
        world.land("shop.sales", &last_row()).await;
        world.land("shop.payments", &last_row()).await;
    }
    world.run("shop.out").await;
    assert_same(&world, &answer, case, course).await;
}

async fn assert_same(world: &World, answer: &str, case: &Case, course: &Course) {
    let table = world.rows("select * from shop.out").await;
    let how = world.how("shop.out").await;
    assert_eq!(table, answer, "{} {course:?}, {how}", case.name);
}

#[tokio::test]
async fn streams_equal_their_queries_in_order() {
    for case in CASES {
        run_course(case, &Course { seed: 1, disorder: 0, delay: 0, batches: 5 }, false).await;
    }
}

#[tokio::test]
async fn streams_equal_their_queries_out_of_order() {
    for case in CASES {
        run_course(case, &Course { seed: 2, disorder: 25, delay: 25, batches: 6 }, false).await;
    }
}

#[tokio::test]
async fn streams_equal_their_queries_with_late_rows() {
    for case in CASES {
        run_course(case, &Course { seed: 3, disorder: 90, delay: 5, batches: 6 }, false).await;
    }
}

#[tokio::test]
async fn streams_that_write_changes_equal_their_queries_at_any_time() {
    for case in CASES.iter().filter(|case| case.changes) {
        run_course(case, &Course { seed: 4, disorder: 90, delay: 5, batches: 5 }, true).await;
    }
}

fn courses() -> impl Strategy<Value = (usize, bool, Course)> {
    let course = (any::<u64>(), 0u64..120, 0u64..60, 1usize..6)
        .prop_map(|(seed, disorder, delay, batches)| Course { seed, disorder, delay, batches });
    (0..CASES.len(), any::<bool>(), course)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn late_rows_change_what_they_reach(
        (seed, disorder, delay, batches) in (any::<u64>(), 20u64..300, 0u64..15, 3usize..8)
    ) {
        let course = Course { seed, disorder, delay, batches };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for case in CASES.iter().filter(|case| case.horizon > 0 || case.name.contains("sessions") || case.name.contains("stretch")) {
            runtime.block_on(run_course(case, &course, false));
        }
    }

    #[test]
    fn streams_equal_their_queries_over_any_course((case, changing, course) in courses()) {
        let case = &CASES[case];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run_course(case, &course, changing && case.changes));
    }
}
