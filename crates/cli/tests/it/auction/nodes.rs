//! Several nodes on one project: by mistake, where one of them is told so, and on purpose, with the log in Kafka.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use flowline_base::{Clock, Random, SystemClock};
use flowline_testkit::{FlowlineOptions, FlowlineProcess, KafkaBroker, http_client};
use tempfile::TempDir;

use super::kills::site;
use super::{
    DAY_US, FLOWLINE, Load, Producer, Request, cutoff, files, site as events, sorted, under_load, until_idle,
    verify,
};
use crate::crash::seed;
use crate::project::{BINARY, start, write};

/// Starts a node that must end by itself; what it says on standard error.
fn refused(folder: &Path) -> String {
    let arguments = ["up", "--http", "127.0.0.1:0", "--postgres", "127.0.0.1:0", "--project"];
    let mut child = Command::new(BINARY)
        .args(arguments)
        .arg(folder)
        .env("NO_COLOR", "1")
        .env("FLOWLINE_LOG", "off")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = SystemClock.instant();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(40) {
            child.kill().unwrap();
            panic!("a second node runs");
        }
        pause();
    }
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "a second node ended as if all was well");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn signal(node: &FlowlineProcess, signal: &str) {
    assert!(Command::new("kill").args([signal, &node.id().to_string()]).status().unwrap().success());
}

/// A copy of the project whose data folder is another one, and whose lake is that of the first.
fn beside(first: &Path) -> TempDir {
    let lake = first.join(".flowline/lake");
    site(&format!("{FLOWLINE}environments:\n  dev:\n    lake: {}\n", lake.display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_node_by_mistake_is_told_so_and_nothing_is_doubled_or_lost() {
    let folder = site(FLOWLINE);
    let node = start(folder.path());
    let load = Load::new(seed());
    let other = beside(folder.path());
    let mut random = Random::seeded(5);
    let (producers, (same, another)) = under_load(&node.http, load.producers(2), &mut random, async {
        tokio::task::block_in_place(|| (refused(folder.path()), refused(other.path())))
    })
    .await;
    let id = node.id().to_string();
    assert!(same.contains("another node has the data folder") && same.contains(&id), "{same}");
    assert!(same.contains("stop it first"), "{same}");
    assert!(another.contains("another node lands into the lake") && another.contains(&id), "{another}");
    assert!(another.contains("Stop the other one") && another.contains("Kafka"), "{another}");
    verify(&node, &load, producers, &folder.path().join(".flowline/lake")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_thought_dead_ends_when_another_has_taken_over() {
    let folder = site(FLOWLINE);
    let mut first = start(folder.path());
    let load = Load::new(seed());
    let mut random = Random::seeded(6);
    let (producers, ()) =
        under_load(&first.http, load.producers(2), &mut random, tokio::time::sleep(Duration::from_secs(2)))
            .await;
    assert!(producers.iter().all(|producer| producer.pending.is_empty()));
    until_idle(&first).await;
    signal(&first, "-STOP");
    let other = beside(folder.path());
    let started = SystemClock.instant();
    let second = start(other.path());
    println!("the second node was ready after {:?}", started.elapsed());
    let (producers, ()) = under_load(&second.http, producers, &mut random, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        signal(&first, "-CONT");
        let said = tokio::task::block_in_place(|| ended(&mut first));
        assert!(said.contains("another node has taken over the lake"), "{said}");
        assert!(said.contains("this one ends"), "{said}");
    })
    .await;
    let said = refused(folder.path());
    assert!(said.contains("another node lands into the lake"), "{said}");
    verify(&second, &load, producers, &folder.path().join(".flowline/lake")).await;
}

/// A process that ends tells nobody: it is looked at now and then.
#[allow(clippy::disallowed_methods, reason = "the end of another process cannot be awaited here")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

/// Waits until a node has ended by itself; what it said.
fn ended(node: &mut FlowlineProcess) -> String {
    let started = SystemClock.instant();
    while node.running().unwrap() || node.said().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(40), "it goes on, or says nothing");
        pause();
    }
    node.said()
}

/// A stream that is divided among them.
struct Divided {
    name: &'static str,
    sql: &'static str,
    /// The column that says of a row whether it is of what was sent under load.
    time: &'static str,
}

/// They follow the partition key of the bids: alone, as a topic that others write, with the auctions, which are partitioned
/// alike, and with a table that each part reads whole.
const DIVIDED: [Divided; 4] = [
    Divided {
        name: "by_auction",
        sql: "select auction, window_start, window_end, count(*) as bids, max(price) as top, count(distinct bidder) as bidders from table(tumble(table nex.bid, descriptor(ts), interval '10' second)) group by auction, window_start, window_end",
        time: "window_end",
    },
    Divided {
        name: "of_topic",
        sql: "select auction, window_start, window_end, count(*) as bids, max(price) as top from table(tumble(table nex.bid_topic, descriptor(ts), interval '10' second)) group by auction, window_start, window_end",
        time: "window_end",
    },
    Divided {
        name: "with_auctions",
        sql: "select b.auction, b.window_end, b.bids, a.category from (select auction, window_start, window_end, count(*) as bids from tumble(table nex.bid, descriptor(ts), interval '10' second) group by auction, window_start, window_end) b join (select id, category, window_start, window_end from tumble(table nex.auction, descriptor(ts), interval '10' second)) a on a.id = b.auction and a.window_start = b.window_start and a.window_end = b.window_end",
        time: "window_end",
    },
    Divided {
        name: "with_table",
        sql: "select b.n, b.auction, b.price, b.ts, c.category from nex.bid b join nex.category c on c.auction = b.auction",
        time: "ts",
    },
];

/// The topic of the bids, read as one that others write.
const FROM_TOPIC: &str =
    "from: { source: kafka, topic: nodes.nex.bid, group: nodes-topic, partition_key: [auction] }";
/// A table without event time.
const CATEGORY: &str = "description: Of which category each auction is.
owner: team-auction
zone: trusted
from: { source: sql }
materialize: append
sql: |
  select id as auction, category from nex.auction
";

/// The files of the project, with what is divided.
fn divided_files(flowline: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, contents) in files(flowline) {
        let keyed = match path.as_str() {
            "datasets/nex/bid.yaml" => {
                contents.replace("partitions: 2", "partitions: 2, partition_key: [auction]")
            }
            "datasets/nex/auction.yaml" => {
                contents.replace("partitions: 1", "partitions: 2, partition_key: [id]")
            }
            _ => contents,
        };
        if path == "datasets/nex/bid.yaml" {
            let from = "from: { source: http, partitions: 2, partition_key: [auction] }";
            assert!(keyed.contains(from), "{keyed}");
            all.push(("datasets/nex/bid_topic.yaml".to_owned(), keyed.replace(from, FROM_TOPIC)));
        }
        all.push((path, keyed));
    }
    all.push(("datasets/nex/category.yaml".to_owned(), CATEGORY.to_owned()));
    for Divided { name, sql, .. } in DIVIDED {
        let text = format!(
            "description: A stream that is divided.\nowner: team-auction\nzone: trusted\nfrom: {{ source: sql }}\nmode: stream\ndivided: true\nevent_time: {{ column: ts, watermark: 4s, idle_after: 2s }}\nsql: |\n  {sql}\n"
        );
        all.push((format!("datasets/nex/{name}.yaml"), text));
    }
    all
}

/// Nodes that share log, lake and ledger.
struct Cluster {
    /// Ended before its folder goes.
    broker: KafkaBroker,
    folder: TempDir,
}

impl Cluster {
    fn start(&self, name: &str) -> FlowlineProcess {
        let shared = self.folder.path().display();
        let flowline = format!(
            "{FLOWLINE}environments:\n  dev:\n    data_dir: data\n    lake: {shared}/lake\n    ledger: sqlite://{shared}/ledger.db\n    log: {{ kafka: {{ brokers: [\"{}\"], topic_prefix: nodes. }} }}\n",
            self.broker.address
        );
        let node = self.folder.path().join(name);
        for (path, contents) in divided_files(&flowline) {
            write(&node, &path, &contents);
        }
        let mut options = FlowlineOptions::new(BINARY, &node);
        options.log = std::env::var("FLOWLINE_LOG").unwrap_or_else(|_| "off".to_owned());
        options.roles = ["gateway", "lander", "processor"].map(str::to_owned).to_vec();
        FlowlineProcess::start(&options).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_paused_and_wakes_up_doubles_nothing_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = KafkaBroker::start(folder.path()).unwrap() else { return };
    let cluster = Cluster { broker, folder };
    let load = Load::new(seed());
    let mut random = Random::seeded(8);
    let first = cluster.start("first");
    until_elected(&first).await;
    let (second, third) = (cluster.start("second"), cluster.start("third"));
    let (producers, ()) = under_load(&third.http, load.producers(3), &mut random, async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        // It holds partitions, runs streams, and most likely is in the midst of a commit.
        signal(&first, "-STOP");
        let paused = SystemClock.instant();
        let one_of = async {
            while !elected(&second).await && !elected(&third).await {
                assert!(paused.elapsed() < Duration::from_secs(60), "nobody took its place");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        one_of.await;
        println!("another node ran transforms {:?} after one was paused", paused.elapsed());
        // Its place in the group is given to others after ten seconds.
        tokio::time::sleep(Duration::from_secs(12).saturating_sub(paused.elapsed())).await;
        signal(&first, "-CONT");
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(!elected(&first).await, "it knows that another one runs transforms");
    })
    .await;
    verify_all(&cluster, &first, &load, producers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_runs_of_a_part_that_is_handed_over_comes_to_its_end_and_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = KafkaBroker::start(folder.path()).unwrap() else { return };
    let cluster = Cluster { broker, folder };
    let load = Load::new(seed());
    let mut random = Random::seeded(9);
    let first = cluster.start("first");
    until_elected(&first).await;
    // Whenever a node comes, the parts of all are shared out anew.
    let (producers, _others) = under_load(&first.http, load.producers(3), &mut random, async {
        let mut others = Vec::new();
        for name in ["second", "third", "fourth"] {
            tokio::time::sleep(Duration::from_secs(3)).await;
            others.push(tokio::task::block_in_place(|| cluster.start(name)));
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        others
    })
    .await;
    let names: Vec<String> = DIVIDED.iter().map(|divided| format!("'nex.{}'", divided.name)).collect();
    let runs =
        format!("SELECT dataset, outcome, error FROM system.runs WHERE dataset IN ({})", names.join(", "));
    let runs = first.query(&runs).await.unwrap();
    println!("{} runs of parts", runs.len());
    let failed: Vec<_> = runs.iter().filter(|run| run["outcome"] == "failed").collect();
    assert!(failed.is_empty(), "{failed:?}");
    verify_all(&cluster, &first, &load, producers).await;
}

/// Holds everything against what was sent, and the streams that were divided against the answers in batch.
async fn verify_all(cluster: &Cluster, node: &FlowlineProcess, load: &Load, producers: Vec<Producer>) {
    verify(node, load, producers, &cluster.folder.path().join("lake")).await;
    // One bid in each partition closes what is open there: many auctions are in both.
    let at = DateTime::from_timestamp_micros(events(load.seed).base_time_us + DAY_US).unwrap()
        + TimeDelta::hours(1);
    let bids: String = (0..64)
        .map(|auction| {
            format!(
                "{{\"n\":-1,\"auction\":{auction},\"bidder\":1,\"price\":1,\"ts\":\"{}\"}}\n",
                at.to_rfc3339()
            )
        })
        .collect();
    let closing = Request { dataset: "nex.bid", key: "closing".to_owned(), body: bids };
    Load::new(load.seed).producers(1).remove(0).keep(&http_client(), &node.http, &closing).await;
    for divided in &DIVIDED {
        until_as_in_batch(node, divided, &cutoff(load)).await;
    }
}

async fn until_as_in_batch(node: &FlowlineProcess, divided: &Divided, cutoff: &str) {
    let Divided { name, sql, time } = divided;
    let closed = format!(" WHERE {time} <= TIMESTAMP '{cutoff}'");
    let started = SystemClock.instant();
    loop {
        // What it reads may still be on its way.
        let wanted = sorted(node, &format!("SELECT * FROM ({sql}){closed}")).await;
        let found = sorted(node, &format!("SELECT * EXCLUDE (_partition) FROM nex.{name}{closed}")).await;
        if found == wanted && !wanted.is_empty() {
            println!("nex.{name}: {} rows as in batch", wanted.len());
            break;
        }
        let hops = node.query("SELECT dataset, state, last_error, lag_versions FROM system.hops").await;
        assert!(
            started.elapsed() < Duration::from_secs(90),
            "nex.{name}: {} rows, in batch {}; {hops:?}",
            found.len(),
            wanted.len()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let parts = format!("SELECT count(DISTINCT _partition) AS n FROM nex.{name}");
    let parts = node.query(&parts).await.unwrap();
    assert_eq!(parts[0]["n"], 2, "both partitions of nex.{name} have had rows");
}

/// Whether this node is the one that runs transforms.
async fn elected(node: &FlowlineProcess) -> bool {
    let metrics =
        http_client().get(format!("{}/metrics", node.http)).send().await.unwrap().text().await.unwrap();
    metrics.lines().any(|line| line.starts_with("flowline_node_elected{what=\"processor\"} 1"))
}

async fn until_elected(node: &FlowlineProcess) {
    let started = SystemClock.instant();
    while !elected(node).await {
        assert!(started.elapsed() < Duration::from_secs(60), "it was never elected");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_share_a_log_in_kafka_come_and_go_and_streams_stay_right() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = KafkaBroker::start(folder.path()).unwrap() else { return };
    let cluster = Cluster { broker, folder };
    let load = Load::new(seed());
    let mut random = Random::seeded(7);
    let first = cluster.start("first");
    until_elected(&first).await;
    let second = cluster.start("second");
    let (producers, ()) = under_load(&second.http, load.producers(3), &mut random, async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(elected(&first).await && !elected(&second).await, "one of them runs transforms");
        first.kill().unwrap();
        let killed = SystemClock.instant();
        until_elected(&second).await;
        println!("another node ran transforms {:?} after the first one was killed", killed.elapsed());
    })
    .await;
    let third = cluster.start("third");
    let (producers, ()) = under_load(&second.http, producers, &mut random, async {
        tokio::time::sleep(Duration::from_secs(3)).await;
    })
    .await;
    let ended = SystemClock.instant();
    assert!(second.terminate().unwrap(), "it ends well");
    until_elected(&third).await;
    println!("another node ran transforms {:?} after one was told to end", ended.elapsed());
    verify_all(&cluster, &third, &load, producers).await;
}
