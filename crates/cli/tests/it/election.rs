//! Nodes that share one lake: what only one of them may do is done by one, and by another when that one is gone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use flowline_base::{Clock, SystemClock};
use flowline_testkit::{FlowlineOptions, FlowlineProcess, http_client};

use crate::kafka::{number, until};
use crate::project::{BINARY, write};

const PRICES: &str = "description: Prices from an inbox.
owner: team-files
zone: raw
from: { source: files, location: LOCATION, pattern: \"*.csv\", poll_every: 200ms }
columns:
  - { name: id, type: int64, required: true }
";

/// What is done by one node at a time.
const DUTIES: [&str; 4] = ["processor", "watcher", "janitor", "files.shop.prices"];

fn start_node(shared: &Path, name: &str) -> FlowlineProcess {
    let node = shared.join(name);
    let flowline = format!(
        "name: files\nteams:\n  team-files: {{ contact: team-files@example.org }}\nenvironments:\n  dev:\n    data_dir: data\n    lake: {0}/lake\n    ledger: sqlite://{0}/ledger.db\n",
        shared.display()
    );
    write(&node, "flowline.yaml", &flowline);
    let inbox = shared.join("inbox").display().to_string();
    write(&node, "datasets/shop/prices.yaml", &PRICES.replace("LOCATION", &inbox));
    let mut options = FlowlineOptions::new(BINARY, &node);
    options.log = std::env::var("FLOWLINE_LOG").unwrap_or_else(|_| "off".to_owned());
    FlowlineProcess::start(&options).unwrap()
}

/// Which of the duties a node has, by its own word.
async fn duties(node: &FlowlineProcess) -> BTreeMap<&'static str, bool> {
    let metrics = http_client().get(format!("{}/metrics", node.http)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let has = |duty: &str| metrics.contains(&format!("flowline_node_elected{{what=\"{duty}\"}} 1"));
    DUTIES.into_iter().map(|duty| (duty, has(duty))).collect()
}

async fn until_elected(node: &FlowlineProcess) {
    let started = SystemClock.instant();
    loop {
        let found = duties(node).await;
        if found.values().all(|elected| *elected) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it was not elected: {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_lands_files_watches_and_tidies_and_another_takes_over() {
    let shared = tempfile::tempdir().unwrap();
    write(&shared.path().join("inbox"), "one.csv", "id\n1\n2\n");
    let first = start_node(shared.path(), "first");
    until_elected(&first).await;
    let second = start_node(shared.path(), "second");
    let rows = "SELECT count(*) AS n FROM shop.prices";
    until(&second, rows, 2).await;
    write(&shared.path().join("inbox"), "two.csv", "id\n3\n");
    until(&second, rows, 3).await;
    let idle = duties(&second).await;
    assert!(idle.values().all(|elected| !elected), "two nodes do the same: {idle:?}");
    first.kill().unwrap();
    let killed = SystemClock.instant();
    until_elected(&second).await;
    println!("another node did everything {:?} after the first one was killed", killed.elapsed());
    write(&shared.path().join("inbox"), "three.csv", "id\n4\n");
    until(&second, rows, 4).await;
    let failed = "SELECT count(*) AS n FROM system.runs WHERE outcome = 'failed'";
    assert_eq!(number(&second, failed).await, 0, "nodes stood in each other's way");
    assert!(second.terminate().unwrap(), "it gives everything back and ends well");
    let third = start_node(shared.path(), "third");
    let started = SystemClock.instant();
    until_elected(&third).await;
    assert!(started.elapsed() < Duration::from_secs(6), "what is given back need not expire");
}
