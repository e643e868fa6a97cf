//! Streams survive SIGKILL: twenty-five lives of a node under load, each ended at a random moment, with the segment log
//! and with a log in Kafka whose broker is killed and stopped as well.

use std::time::Duration;

use flowline_base::Random;
use flowline_testkit::{FlowlineOptions, FlowlineProcess, KafkaBroker};
use tempfile::TempDir;

use super::{FLOWLINE, Load, files, under_load, verify};
use crate::crash::seed;
use crate::project::{BINARY, start, write};

/// How often the node is killed: FLOWLINE_TEST_KILLS, else this often.
const KILLS: u32 = 25;
/// In each life that has this number modulo [`BROKER_ROUNDS`], the broker goes as well.
const BROKER_ROUNDS: u32 = 5;

fn kills() -> u32 {
    std::env::var("FLOWLINE_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

/// The project of the auction site in a temporary folder.
pub fn site(flowline: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, contents) in files(flowline) {
        write(folder.path(), &path, &contents);
    }
    folder
}

/// Lives of a node, each ended by SIGKILL; the longest lasts so long.
async fn lives(flowline: &str, mut broker: Option<KafkaBroker>, life_max: Duration) {
    let seed = seed();
    println!("seed {seed} (set FLOWLINE_TEST_SEED to repeat)");
    let folder = site(flowline);
    let mut random = Random::seeded(seed);
    let load = Load::new(seed);
    let mut producers = load.producers(3);
    for life in 0..kills() {
        let mut options = FlowlineOptions::new(BINARY, folder.path());
        options.log = "off".to_owned();
        let node = FlowlineProcess::start(&options).unwrap();
        let time = Duration::from_millis(50 + random.below(life_max.as_millis() as u64));
        let (http, choice) = (node.http.clone(), random.below(1_000));
        let broker = broker.as_mut().filter(|_| life % BROKER_ROUNDS == 2);
        let life = async {
            if let Some(broker) = broker {
                tokio::time::sleep(Duration::from_millis(choice)).await;
                tokio::task::block_in_place(|| {
                    if life % 2 == 0 { broker.crash() } else { broker.halt() }.unwrap();
                    broker.restart().unwrap();
                });
            }
            tokio::time::sleep(time).await;
            node.kill().unwrap();
        };
        (producers, ()) = under_load(&http, producers, &mut random, life).await;
    }
    let node = start(folder.path());
    verify(&node, &load, producers, &folder.path().join(".flowline/lake")).await;
    assert!(node.terminate().unwrap(), "it ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_right_after_sigkill_at_random_moments() {
    lives(FLOWLINE, None, Duration::from_millis(1_500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_are_right_after_sigkill_of_the_node_and_of_the_broker_that_keeps_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = KafkaBroker::start(folder.path()).unwrap() else { return };
    let log = format!("{{ kafka: {{ brokers: [\"{}\"], topic_prefix: kills. }} }}", broker.address);
    let flowline = format!("{FLOWLINE}environments:\n  dev:\n    log: {log}\n");
    lives(&flowline, Some(broker), Duration::from_millis(2_500)).await;
}
