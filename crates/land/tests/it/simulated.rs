//! Posts, landings, replays, faults and restarts in any order: nothing is lost, nothing stands twice.

use flowline_base::Random;
use flowline_land::{ReplaySelection, replay_quarantine};
use flowline_model::Balance;
use std::collections::BTreeSet;

use crate::world::{World, orders};

const FAULTS: [&str; 7] = [
    "lake.put=error-before:0.2",
    "lake.put=error-after:0.2",
    "lake.put=error-during:0.2",
    "lake.put/_delta_log=error-after:0.5",
    "lake.put/quarantine=denied:0.5",
    "lake.get=error-before:0.1",
    "lake.put=full:0.3",
];

/// What was posted: offsets of records that fit, with the first of each key, and of those that do not.
#[derive(Default)]
struct Posted {
    offset: u64,
    keys: BTreeSet<u64>,
    written: Vec<String>,
    rejected: Vec<String>,
    duplicate: u64,
}

impl Posted {
    fn record(&mut self, random: &mut Random) -> String {
        let offset = self.offset;
        self.offset += 1;
        if random.chance(0.2) {
            self.rejected.push(offset.to_string());
            return format!("broken {offset}");
        }
        let key = random.below(60);
        if self.keys.insert(key) {
            self.written.push(format!("k{key}|{offset}"));
        } else {
            self.duplicate += 1;
        }
        format!("{{\"id\":\"k{key}\"}}")
    }
}

async fn simulate(seed: u64) {
    let mut random = Random::seeded(seed);
    let mut dataset = orders();
    dataset.key = vec!["id".into()];
    let mut world = World::new(dataset).await;
    let mut posted = Posted::default();
    for step in 0..12 {
        let records: Vec<String> = (0..1 + random.below(8)).map(|_| posted.record(&mut random)).collect();
        world.post_lines(&records.iter().map(String::as_str).collect::<Vec<_>>()).await;
        if random.chance(0.6) {
            let fault = random.choose(&FAULTS).copied().unwrap_or_default();
            world.restart(Some(&format!("seed={seed}{step};{fault}"))).await;
        }
        let mut lander = world.lander().await;
        for _ in 0..1 + random.below(3) {
            let _ = lander.land_available().await;
            if random.chance(0.2) {
                let _ = replay_quarantine(&world.context, &world.dataset, &ReplaySelection::default()).await;
            }
        }
    }
    world.restart(None).await;
    world.land().await;
    posted.written.sort();
    posted.rejected.sort();
    let mut written = world.query("select id, _offset from t").await;
    written.sort();
    assert_eq!(written, posted.written, "seed {seed}");
    let mut rejected = world.query("select _offset from q").await;
    rejected.sort();
    assert_eq!(rejected, posted.rejected, "seed {seed}");
    let totals = world.context.ledger.totals().await.unwrap().remove(0);
    assert_eq!((totals.counts.balance(), totals.gap()), (Balance::Balanced, 0), "seed {seed}: {totals:?}");
    assert_eq!(totals.counts.written, posted.written.len() as u64, "seed {seed}");
    assert_eq!(totals.counts.duplicate, posted.duplicate, "seed {seed}");
    assert_eq!(totals.counted_once().quarantined, posted.rejected.len() as u64, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_stands_twice() {
    for seed in 0..8 {
        simulate(seed).await;
    }
}
