//! Streams that are cut short anywhere: state, rows and position move together.

use std::sync::Arc;
use std::time::Duration;

use flowline_base::Random;
use flowline_lake::faults::{Fault, FaultInjector, StoreOp};
use tokio::sync::Notify;

use super::cases::{CASES, Case, datasets, last_row, row};
use crate::support::world::World;

/// Lets operations through until it is told to stop at one; that one never ends.
#[derive(Debug, Default)]
struct Stop {
    left: std::sync::Mutex<Option<u64>>,
    reached: Notify,
}

impl FaultInjector for Stop {
    fn fault(&self, _op: StoreOp, _path: &str) -> Option<Fault> {
        let mut left = self.left.lock().unwrap();
        match left.as_mut() {
            Some(0) => {
                self.reached.notify_one();
                Some(Fault::Slow(Duration::from_secs(3600)))
            }
            Some(more) => {
                *more -= 1;
                None
            }
            None => None,
        }
    }
}

fn rows(random: &mut Random, from: i64) -> String {
    let rows: Vec<String> =
        (0..12).map(|number| row(random, (from + number * 7_000 - random_back(number)).max(0))).collect();
    rows.join(", ")
}

fn random_back(number: i64) -> i64 {
    (number * 7_919) % 15_000
}

/// Runs, lands again, cuts the second run off after so many operations on the storage, and starts anew. False when
/// the run came to its end before.
async fn cut_off_after(operations: u64, case: &Case, changing: bool) -> bool {
    let mut random = Random::seeded(11);
    let stop = Arc::new(Stop::default());
    let injector: Arc<dyn FaultInjector> = Arc::<Stop>::clone(&stop);
    let world = World::with_faults(datasets(case, Duration::from_secs(15), changing), Some(injector)).await;
    for input in ["shop.sales", "shop.payments"] {
        world.land(input, &rows(&mut random, 0)).await;
    }
    world.land("shop.customers", "('x', 'n1')").await;
    world.run("shop.out").await;
    for input in ["shop.sales", "shop.payments"] {
        world.land(input, &rows(&mut random, 60_000)).await;
    }
    *stop.left.lock().unwrap() = Some(operations);
    let ended = tokio::select! {
        run = world.try_run("shop.out") => { assert_eq!(run.error, None); true }
        () = stop.reached.notified() => false,
    };
    let world = world.restarted(None).await;
    world.ledger.close_abandoned_runs(world.now()).await.unwrap();
    world.transformer.recover().await.unwrap();
    world.run("shop.out").await;
    let answer = world.rows(case.sql).await;
    if !changing {
        for input in ["shop.sales", "shop.payments"] {
            world.land(input, &last_row()).await;
        }
        world.run("shop.out").await;
    }
    assert_eq!(
        world.rows("select * from shop.out").await,
        answer,
        "{} after {operations} operations",
        case.name
    );
    !ended
}

#[tokio::test]
async fn runs_that_are_cut_off_leave_nothing_and_lose_nothing() {
    for name in ["tumble", "sessions"] {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        let mut operations = 0;
        while cut_off_after(operations, case, false).await {
            operations += 3;
        }
        assert!(operations > 3, "{name} was never cut off");
    }
}

#[tokio::test]
async fn changes_that_are_cut_off_leave_nothing_and_lose_nothing() {
    let case = CASES.iter().find(|case| case.name == "hop").unwrap();
    let mut operations = 0;
    while cut_off_after(operations, case, true).await {
        operations += 5;
    }
}

#[tokio::test]
async fn partial_results_that_are_gone_or_not_understood_are_computed_again() {
    for harm in [None, Some(&b"not arrow"[..])] {
        let case = CASES.iter().find(|case| case.name == "hop").unwrap();
        let mut random = Random::seeded(5);
        let world = World::new(datasets(case, Duration::from_secs(15), false)).await;
        for from in [0, 40_000, 80_000] {
            world.land("shop.sales", &rows(&mut random, from)).await;
            world.run("shop.out").await;
            let folder = world.folder.path().join("lake/trusted/shop/out/_state");
            let files: Vec<_> =
                std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
            assert!(
                (1..=8).contains(&files.len()),
                "no more than what is kept, and what was before: {files:?}"
            );
            for file in files {
                match harm {
                    Some(bytes) => std::fs::write(file, bytes).unwrap(),
                    None => std::fs::remove_file(file).unwrap(),
                }
            }
        }
        let answer = world.rows(case.sql).await;
        world.land("shop.sales", &last_row()).await;
        world.run("shop.out").await;
        assert_eq!(world.rows("select * from shop.out").await, answer);
    }
}
