//! Streams over rows that stay in the log: each row is read once, whenever the node is killed, and the log lets go of what
//! was read.

use std::path::Path;
use std::time::Duration;

use flowline_base::{Clock, Random, SystemClock};
use flowline_testkit::{FlowlineOptions, FlowlineProcess, KafkaBroker};
use serde_json::json;

use super::{FLOWLINE, Load, close_windows, cutoff, site, sorted, under_load, until_idle};
use crate::crash::seed;
use crate::project::{BINARY, start, write};

/// Lives of the node, each ended by SIGKILL.
const LIVES: u32 = 12;
const SEGMENT_BYTES: u64 = 64 << 10;
/// Nothing is kept that was read.
const LOG: &str = "segment_bytes: 64KiB, retain_bytes: 0B, retain_for: 0s";

const SALES: &str = "select window_start, window_end, count(*) as bids, sum(price) as volume, count(distinct bidder) as bidders from table(tumble(table {bids}, descriptor(ts), interval '10' second)) group by window_start, window_end";

fn project(flowline: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, contents) in super::files(flowline) {
        // What other streams make of bids would read rows again.
        let of_bids = ["q5", "sales", "standing"].iter().any(|name| path.ends_with(&format!("{name}.yaml")));
        if !of_bids {
            let kept = path.ends_with("bid.yaml");
            let contents = match kept {
                true => {
                    contents.replacen("columns:", "landing: { keep: log, flush_after: 100ms }\ncolumns:", 1)
                }
                false => contents,
            };
            write(folder.path(), &path, &contents);
        }
    }
    let stream = |settings: &str, sql: &str| {
        format!(
            "description: A stream of the auction site.\nowner: team-auction\nzone: trusted\nfrom: {{ source: sql }}\nmode: stream\nevent_time: {{ column: ts, watermark: 60s, {settings} }}\nsql: {sql}\n"
        )
    };
    let copy = stream("idle_after: 2s", "select n, auction, bidder, price, ts from nex.bid where price >= 0");
    write(folder.path(), "datasets/nex/copy.yaml", &copy);
    let sales = stream("idle_after: 2s, late: drop", &SALES.replace("{bids}", "nex.bid"));
    write(folder.path(), "datasets/nex/sales.yaml", &sales);
    folder
}

async fn lives(flowline: &str, life_max: Duration) {
    let seed = seed();
    println!("seed {seed} (set FLOWLINE_TEST_SEED to repeat)");
    let folder = project(flowline);
    let (mut random, load) = (Random::seeded(seed), Load::new(seed));
    let mut producers = load.producers(3);
    for _ in 0..LIVES {
        let mut options = FlowlineOptions::new(BINARY, folder.path());
        options.log = "off".to_owned();
        let node = FlowlineProcess::start(&options).unwrap();
        let time = Duration::from_millis(50 + random.below(life_max.as_millis() as u64));
        let http = node.http.clone();
        let life = async {
            tokio::time::sleep(time).await;
            node.kill().unwrap();
        };
        (producers, ()) = under_load(&http, producers, &mut random, life).await;
    }
    let node = start(folder.path());
    super::keep_all(&node, producers).await;
    close_windows(&node, &load).await;
    until_idle(&node).await;
    each_once(&node, &load).await;
    let closed = format!("window_end <= TIMESTAMP '{}'", cutoff(&load));
    let wanted = SALES.replace("{bids}", "nex.copy");
    let wanted = sorted(&node, &format!("SELECT * FROM ({wanted}) WHERE {closed}")).await;
    let started = SystemClock.instant();
    loop {
        let found = sorted(&node, &format!("SELECT * FROM nex.sales WHERE {closed}")).await;
        if found == wanted {
            break;
        }
        // A partition without records is waited for, for as long as the stream says.
        assert!(started.elapsed() < Duration::from_secs(60), "{found:?} is not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    no_files(&folder.path().join(".flowline/lake/raw/nex/bid"));
    let log = folder.path().join(".flowline/log/nex.bid");
    if log.is_dir() {
        until_small(&log).await;
    }
    let rows = node.query("SELECT dataset, balance, gap FROM system.counts").await.unwrap();
    assert!(
        rows.iter().all(|row| row["balance"] != json!("unbalanced") && row["gap"].as_i64().unwrap_or(0) == 0),
        "{rows:?}"
    );
    assert!(node.terminate().unwrap(), "it ends well");
}

/// Every bid that was sent is in the stream that takes rows one by one, and none twice.
async fn each_once(node: &FlowlineProcess, load: &Load) {
    let sql = format!(
        "SELECT count(*) AS n, count(DISTINCT n) AS once FROM nex.copy WHERE ts < TIMESTAMP '{}'",
        cutoff(load)
    );
    let rows = node.query(&sql).await.unwrap();
    let events = site(load.seed);
    let sent =
        (0..load.events()).filter(|number| matches!(events.event(*number), super::Event::Bid(_))).count();
    assert_eq!((&rows[0]["n"], &rows[0]["once"]), (&json!(sent), &json!(sent)));
    println!("{sent} bids, each once");
}

/// The log has let go of what was read: two segments a partition may be left, and its marks.
async fn until_small(log: &Path) {
    let started = SystemClock.instant();
    loop {
        let bytes: u64 = walk(log);
        if bytes < 4 * SEGMENT_BYTES + (64 << 10) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "the log keeps {bytes} bytes");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn walk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().filter_map(Result::ok);
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => walk(&entry.path()),
        Ok(found) => found.len(),
        // Deleted meanwhile.
        Err(_) => 0,
    });
    bytes.sum()
}

/// The table of bids has commits and no rows.
fn no_files(table: &Path) {
    let files = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert!(!files(&table.join("_delta_log")).is_empty());
    assert!(files(table).iter().all(|name| !name.ends_with(".parquet")), "{:?}", files(table));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_stay_in_the_log_are_read_once_after_sigkill_at_random_moments() {
    let flowline = format!("{FLOWLINE}environments:\n  dev:\n    log: {{ {LOG} }}\n");
    lives(&flowline, Duration::from_millis(1_500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_stay_in_a_log_in_kafka_are_read_once_after_sigkill_at_random_moments() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = KafkaBroker::start(folder.path()).unwrap() else { return };
    let log =
        format!("{{ retain_for: 0s, kafka: {{ brokers: [\"{}\"], topic_prefix: kept. }} }}", broker.address);
    lives(&format!("{FLOWLINE}environments:\n  dev:\n    log: {log}\n"), Duration::from_millis(2_500)).await;
}
