//! The real binary with Kafka: as its log, and as a source whose records a real producer of somebody else's writes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flowline_base::{Clock, SystemClock};
use flowline_testkit::{FlowlineOptions, FlowlineProcess, KafkaBroker, http_client, output_of};
use serde_json::json;
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
    /// Ended before its folder goes.
    broker: KafkaBroker,
    folder: TempDir,
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
        Some(Self { broker, folder })
    }

    /// What the producer is to do with the topic.
    fn produce(&self, arguments: &[&str]) -> String {
        self.python("orders", arguments)
    }

    /// The same with another topic.
    fn python(&self, topic: &str, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kafka_producer.py");
        let python = std::env::var_os("FLOWLINE_TEST_PYTHON").unwrap();
        let output = output_of(
            Command::new(python).arg(script).args([self.broker.address.as_str(), topic]).args(arguments),
        )
        .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Starts the node of this name.
    fn start(&self, name: &str, roles: &[&str]) -> FlowlineProcess {
        self.start_with(name, roles, ORDERS)
    }

    /// The same with another dataset.
    fn start_with(&self, name: &str, roles: &[&str], orders: &str) -> FlowlineProcess {
        let shared = self.folder.path().display();
        let flowline = format!(
            "name: source\nteams:\n  team-source: {{ contact: team-source@example.org }}\ndefaults:\n  landing: {{ flush_after: 200ms }}\nenvironments:\n  dev:\n    data_dir: data\n    lake: {shared}/lake\n    ledger: sqlite://{shared}/ledger.db\n    kafka: {{ brokers: [\"{}\"] }}\n",
            self.broker.address
        );
        let node = self.folder.path().join(name);
        write(&node, "flowline.yaml", &flowline);
        write(&node, "datasets/shop/orders.yaml", orders);
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
        node.query("SELECT balance FROM system.counts WHERE dataset = 'shop.orders'").await.unwrap();
    assert_eq!(balance[0]["balance"], "balanced", "{balance:?}");
    world.produce(&["delete"]);
    world.produce(&["create", "1"]);
    world.produce(&["produce", "500", "30"]);
    until(&node, ROWS, 180).await;
    let replaced = "SELECT count(*) AS n FROM system.findings WHERE kind = 'topic-replaced'";
    until(&node, replaced, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_start_latest_the_beginning_is_fixed_at_the_first_start() {
    let Some(world) = World::new() else { return };
    world.produce(&["create", "2"]);
    world.produce(&["produce", "0", "100"]);
    let latest = ORDERS.replace("group: source-test", "group: source-test, start: latest");
    let node = world.start_with("node", &["lander"], &latest);
    let begun = "SELECT count(*) AS n FROM system.positions WHERE dataset = 'shop.orders'";
    until(&node, begun, 2).await;
    node.kill().unwrap();
    world.produce(&["produce", "100", "50"]);
    let node = world.start_with("node", &["lander"], &latest);
    until(&node, ROWS, 50).await;
    world.produce(&["produce", "150", "5"]);
    until(&node, ROWS, 55).await;
    let balance =
        node.query("SELECT balance FROM system.counts WHERE dataset = 'shop.orders'").await.unwrap();
    assert_eq!(balance[0]["balance"], "balanced", "{balance:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_compaction_has_removed_is_passed_over() {
    let Some(world) = World::new() else { return };
    world.produce(&[
        "create",
        "1",
        "cleanup.policy=compact",
        "segment.ms=100",
        "min.cleanable.dirty.ratio=0.01",
    ]);
    let started = SystemClock.instant();
    let mut produced = 0;
    let visible = loop {
        world.produce(&["produce", "0", "100"]);
        produced += 100;
        let visible: i64 = world.produce(&["count"]).parse().unwrap();
        if visible < produced {
            break visible;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the broker does not compact");
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let node = world.start("node", &["lander", "watcher"]);
    until(&node, LAG, 0).await;
    let rows = number(&node, ROWS).await;
    println!("{produced} records were produced, {visible} left, {rows} landed");
    // Compaction may go on between the two looks.
    assert!((100..=visible).contains(&rows), "{rows} rows of {visible}");
    assert_eq!(number(&node, DISTINCT).await, 100);
    let balance =
        node.query("SELECT balance FROM system.counts WHERE dataset = 'shop.orders'").await.unwrap();
    assert_eq!(balance[0]["balance"], "balanced", "{balance:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_topic_that_has_lost_its_end_stops_landing_and_is_told() {
    let Some(mut world) = World::new() else { return };
    world.produce(&["create", "1"]);
    world.produce(&["produce", "0", "200"]);
    let node = world.start("node", &["lander"]);
    until(&node, ROWS, 200).await;
    world.broker.halt().unwrap();
    empty(&world.broker.folder().join("data/orders-0"));
    world.broker.restart().unwrap();
    world.produce(&["produce", "1000", "10"]);
    let told = "SELECT count(*) AS n FROM system.hops WHERE state = 'failed' AND last_error LIKE '%offset%'";
    until(&node, told, 1).await;
    let hop = node.query("SELECT last_error FROM system.hops").await.unwrap();
    println!("{}", hop[0]["last_error"]);
    assert_eq!(
        number(&node, ROWS).await,
        200,
        "records that took the offsets of lost ones were passed over or landed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partitions_that_are_gone_are_told_and_the_others_are_landed() {
    let Some(mut world) = World::new() else { return };
    world.produce(&["create", "2"]);
    world.produce(&["produce", "0", "100"]);
    // A broker whose data was put back knows the topic as it was: Kafka itself takes no partition away.
    world.broker.halt().unwrap();
    let (data, kept) = (world.broker.folder().join("data"), world.folder.path().join("kept"));
    copy(&data, &kept);
    world.broker.restart().unwrap();
    world.produce(&["grow", "4"]);
    world.produce(&["produce", "100", "30", "2"]);
    world.produce(&["produce", "130", "20", "3"]);
    let node = world.start("node", &["lander"]);
    until(&node, ROWS, 150).await;
    world.broker.halt().unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&kept, &data);
    world.broker.restart().unwrap();
    let lost = "SELECT count(DISTINCT subject) AS n FROM system.findings WHERE kind = 'partitions-lost'";
    until(&node, lost, 2).await;
    world.produce(&["produce", "200", "40"]);
    until(&node, DISTINCT, 190).await;
    assert_eq!(number(&node, ROWS).await, 190);
}

/// Takes away what a partition holds on disk.
fn empty(partition: &Path) {
    for file in std::fs::read_dir(partition).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("0000")) {
            std::fs::remove_file(path).unwrap();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(status.success(), "{} was not copied", from.display());
}

/// A project whose log is in Kafka.
fn logged(world: &World) -> FlowlineProcess {
    let folder = world.folder.path().join("logged");
    let flowline = format!(
        "{FLOWLINE}environments:\n  dev:\n    log: {{ kafka: {{ brokers: [\"{}\"], topic_prefix: log. }} }}\n",
        world.broker.address
    );
    write(&folder, "flowline.yaml", &flowline);
    write(
        &folder,
        "datasets/shop/orders.yaml",
        "description: Orders.\nowner: team-crash\nzone: raw\nfrom: { source: http }\ncolumns:\n  - { name: id, type: int64, required: true }\n",
    );
    let mut options = FlowlineOptions::new(BINARY, &folder);
    options.log = std::env::var("FLOWLINE_LOG").unwrap_or_else(|_| "off".to_owned());
    FlowlineProcess::start(&options).unwrap()
}

/// Posts one record; the status, `Retry-After` and what was said.
async fn post(node: &FlowlineProcess, id: u64) -> (u16, Option<String>, String) {
    let client = http_client();
    let request = client
        .post(format!("{}/v1/sources/shop.orders/records", node.http))
        .header("content-type", "application/json")
        .header("idempotency-key", format!("key-{id}"))
        .body(format!("{{\"id\":{id}}}"));
    let response = request.send().await.unwrap();
    let wait = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), wait, response.text().await.unwrap())
}

async fn until_posted(node: &FlowlineProcess, id: u64) {
    let started = SystemClock.instant();
    loop {
        let (status, _, said) = post(node, id).await;
        if status == 200 {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{status}: {said}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_starts_while_its_broker_is_away_and_recovers_by_itself() {
    let Some(mut world) = World::new() else { return };
    let node = logged(&world);
    until_posted(&node, 1).await;
    until(&node, ROWS, 1).await;
    node.kill().unwrap();
    world.broker.halt().unwrap();
    let started = SystemClock.instant();
    let node = logged(&world);
    println!("ready without Kafka after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(30));
    let asked = SystemClock.instant();
    let (status, wait, said) = post(&node, 2).await;
    assert_eq!((status, wait.as_deref()), (503, Some("5")), "{said}");
    assert!(said.contains("waiting for Kafka"), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(2), "it is known that Kafka is away");
    let waits = "SELECT count(*) AS n FROM system.hops WHERE last_error LIKE '%Kafka%'";
    until(&node, waits, 1).await;
    // What is landed can be asked for meanwhile.
    assert_eq!(number(&node, ROWS).await, 1);
    world.broker.restart().unwrap();
    let back = SystemClock.instant();
    until_posted(&node, 2).await;
    println!("records were taken {:?} after Kafka came back", back.elapsed());
    until(&node, ROWS, 2).await;
    println!("and landed {:?} after it", back.elapsed());
    // The key of the first life is known, although the node never saw the topic before.
    let (status, _, _) = post(&node, 1).await;
    assert_eq!(status, 200);
    until(&node, LAG, 0).await;
    assert_eq!(number(&node, ROWS).await, 2);
}

/// Waits until a record is refused because records are lost; it must not be acknowledged before.
async fn until_lost(node: &FlowlineProcess, id: u64) {
    let started = SystemClock.instant();
    loop {
        let (status, _, said) = post(node, id).await;
        assert_eq!(status, 503, "{said}");
        if said.contains("has lost records") {
            assert!(said.contains("log.shop.orders") && said.contains("delete the topic"), "{said}");
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{said}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_in_kafka_that_has_lost_its_end_takes_nothing_in_until_that_is_decided() {
    let Some(mut world) = World::new() else { return };
    let node = logged(&world);
    for id in 0..20 {
        until_posted(&node, id).await;
    }
    until(&node, ROWS, 20).await;
    until(&node, LAG, 0).await;
    world.broker.halt().unwrap();
    empty(&world.broker.folder().join("data/log.shop.orders-0"));
    world.broker.restart().unwrap();
    until_lost(&node, 100).await;
    // What a known key stands for is gone.
    until_lost(&node, 3).await;
    let told = "SELECT count(*) AS n FROM system.hops WHERE state = 'failed' AND last_error LIKE '%offset%'";
    until(&node, told, 1).await;
    let hop = node.query("SELECT last_error FROM system.hops").await.unwrap();
    println!("{}", hop[0]["last_error"]);
    node.kill().unwrap();
    let node = logged(&world);
    until_lost(&node, 101).await;
    node.kill().unwrap();
    // Others append until the partition is as long as before.
    world.python("log.shop.orders", &["produce", "1000", "50"]);
    let node = logged(&world);
    until_lost(&node, 102).await;
    assert_eq!(number(&node, ROWS).await, 20, "records that took the offsets of lost ones are landed");
    world.python("log.shop.orders", &["delete"]);
    until_posted(&node, 200).await;
    until(&node, "SELECT count(*) AS n FROM shop.orders WHERE id >= 200", 1).await;
    assert_eq!(number(&node, ROWS).await, 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transactions_of_others_that_were_given_up_are_not_landed_from_a_log_in_kafka() {
    let Some(world) = World::new() else { return };
    let node = logged(&world);
    until_posted(&node, 1).await;
    world.python("log.shop.orders", &["transactions", "100", "40"]);
    until_posted(&node, 2).await;
    until(&node, ROWS, 22).await;
    // Nothing behind a transaction is read before it has ended, but all of it then.
    world.python("log.shop.orders", &["unfinished", "200", "10"]);
    until_posted(&node, 3).await;
    assert_eq!(number(&node, ROWS).await, 22);
    until(&node, ROWS, 23).await;
    until(&node, LAG, 0).await;
    assert_eq!(number(&node, DISTINCT).await, 23);
    // Four transactions and their marks, and the one that nobody ended: each offset is accounted for.
    let counts =
        "SELECT read, written, filtered, gap, balance FROM system.counts WHERE dataset = 'shop.orders'";
    let counts = node.query(counts).await.unwrap();
    let passed = 20 + 4 + 10 + 1;
    let wanted =
        json!({ "read": 23 + passed, "written": 23, "filtered": passed, "gap": 0, "balance": "balanced" });
    assert_eq!(counts[0], wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_topic_under_the_log_that_is_made_again_is_told_and_landed_from_its_beginning() {
    let Some(world) = World::new() else { return };
    let node = logged(&world);
    for id in 0..20 {
        until_posted(&node, id).await;
    }
    until(&node, ROWS, 20).await;
    world.python("log.shop.orders", &["delete"]);
    for id in 20..25 {
        until_posted(&node, id).await;
    }
    until(&node, DISTINCT, 25).await;
    assert_eq!(number(&node, ROWS).await, 25);
    let told = "SELECT count(*) AS n FROM system.findings WHERE kind = 'topic-replaced'";
    until(&node, told, 1).await;
    node.kill().unwrap();
    let node = logged(&world);
    until_posted(&node, 25).await;
    until(&node, ROWS, 26).await;
}
