//! The real binary with Kafka: as its log, and as a source whose records a real producer of somebody else's writes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flowline_base::{Clock, SystemClock};
use flowline_testkit::{FlowlineOptions, FlowlineProcess, KafkaBroker};
use tempfile::TempDir;

use crate::crash::{FLOWLINE, Trial, seed};
use crate::project::{BINARY, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sigkill_of_node_and_broker_loses_nothing_and_doubles_nothing_of_a_log_in_kafka() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = KafkaBroker::start(folder.path()).unwrap() else { return };
    let log = format!("{{ kafka: {{ brokers: [\"{}\"], topic_prefix: crash. }} }}", broker.address);
    let flowline = format!("{FLOWLINE}environments:\n  dev:\n    log: {log}\n");
    Trial { rounds: 4, seed: seed(), faults: &[], flowline, broker: Some(broker) }.run().await;
}

const ORDERS: &str = "description: Orders that the shop writes to Kafka.
owner: team-source
zone: raw
from: { source: kafka, topic: orders, group: source-test }
columns:
  - { name: id, type: int64, required: true }
  - { name: name, type: string }
";

/// A project of which several nodes run, each with a data folder of its own.
struct World {
    folder: TempDir,
    broker: KafkaBroker,
}

impl World {
    fn new() -> Option<Self> {
        if std::env::var_os("FLOWLINE_TEST_PYTHON").is_none() {
            println!(
                "skipped: no Python producer (set FLOWLINE_TEST_PYTHON; `scripts/peers python` installs it)"
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let broker = KafkaBroker::start(folder.path()).unwrap()?;
        Some(Self { folder, broker })
    }

    /// What the producer is to do with the topic.
    fn produce(&self, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kafka_producer.py");
        let python = std::env::var_os("FLOWLINE_TEST_PYTHON").unwrap();
        let output = Command::new(python)
            .arg(script)
            .args([self.broker.address.as_str(), "orders"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts the node of this name.
    fn start(&self, name: &str, roles: &[&str]) -> FlowlineProcess {
        let shared = self.folder.path().display();
        let flowline = format!(
            "name: source\nteams:\n  team-source: {{ contact: team-source@example.org }}\ndefaults:\n  landing: {{ flush_after: 200ms }}\nenvironments:\n  dev:\n    data_dir: data\n    lake: {shared}/lake\n    ledger: sqlite://{shared}/ledger.db\n    kafka: {{ brokers: [\"{}\"] }}\n",
            self.broker.address
        );
        let node = self.folder.path().join(name);
        write(&node, "flowline.yaml", &flowline);
        write(&node, "datasets/shop/orders.yaml", ORDERS);
        let mut options = FlowlineOptions::new(BINARY, &node);
        options.roles = roles.iter().map(|role| (*role).to_owned()).collect();
        options.log = std::env::var("FLOWLINE_LOG").unwrap_or_else(|_| "off".to_owned());
        FlowlineProcess::start(&options).unwrap()
    }
}

pub async fn number(node: &FlowlineProcess, sql: &str) -> i64 {
    let rows = node.query(sql).await.unwrap_or_default();
    rows.first().and_then(|row| row["n"].as_i64()).unwrap_or(-1)
}

/// Waits until a query gives this number; panics with what it gave last.
pub async fn until(node: &FlowlineProcess, sql: &str, wanted: i64) {
    let started = SystemClock.instant();
    loop {
        let found = number(node, sql).await;
        if found == wanted {
            return;
        }
        if started.elapsed() > Duration::from_secs(60) {
            let hops = node.query("SELECT * FROM system.hops").await;
            panic!("`{sql}` gives {found}, not {wanted}; {hops:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

const ROWS: &str = "SELECT count(*) AS n FROM shop.orders";
const DISTINCT: &str = "SELECT count(DISTINCT id) AS n FROM shop.orders";
const LAG: &str = "SELECT lag_records AS n FROM system.hops WHERE dataset = 'shop.orders'";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_topic_is_landed_once_by_nodes_that_come_and_go() {
    let Some(world) = World::new() else { return };
    world.produce(&["create", "4"]);
    world.produce(&["produce", "0", "1000"]);
    let first = world.start("first", &["lander"]);
    until(&first, ROWS, 1_000).await;
    let second = world.start("second", &["lander"]);
    world.produce(&["produce", "1000", "1000"]);
    until(&second, ROWS, 2_000).await;
    until(&second, LAG, 0).await;
    let landed_by = "SELECT count(*) AS n FROM shop.orders WHERE _source = 'kafka' AND _offset >= 0";
    assert_eq!(number(&second, landed_by).await, 2_000);
    // The one that is left takes over what the dead one had, once the group has noticed.
    first.kill().unwrap();
    world.produce(&["produce", "2000", "1000"]);
    until(&second, DISTINCT, 3_000).await;
    assert_eq!(number(&second, ROWS).await, 3_000);
    assert!(second.terminate().unwrap(), "it leaves the group and ends well");
    let third = world.start("third", &["lander"]);
    world.produce(&["produce", "3000", "10"]);
    until(&third, ROWS, 3_010).await;
    assert_eq!(number(&third, DISTINCT).await, 3_010);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tombstones_transactions_and_a_topic_made_again_are_accounted_for() {
    let Some(world) = World::new() else { return };
    world.produce(&["create", "2", "cleanup.policy=compact"]);
    world.produce(&["produce", "0", "100"]);
    world.produce(&["tombstones", "0", "20"]);
    world.produce(&["transactions", "100", "100"]);
    let node = world.start("node", &["lander", "watcher"]);
    until(&node, ROWS, 150).await;
    until(&node, LAG, 0).await;
    let filtered = "SELECT filtered AS n FROM system.hops WHERE dataset = 'shop.orders'";
    until(&node, filtered, 20).await;
    let balance =
        node.query("SELECT balance, gap FROM system.counts WHERE dataset = 'shop.orders'").await.unwrap();
    assert_eq!(balance[0]["balance"], "balanced", "{balance:?}");
    world.produce(&["delete"]);
    world.produce(&["create", "1"]);
    world.produce(&["produce", "500", "30"]);
    until(&node, ROWS, 180).await;
    let replaced = "SELECT count(*) AS n FROM system.findings WHERE kind = 'topic-replaced'";
    until(&node, replaced, 1).await;
}
