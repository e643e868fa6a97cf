//! Pressure goes back to producers: a slow sink and a slow stream fill the log, the gateway answers 429, nothing is
//! dropped, memory stays bounded, and the slow hop is named.

use std::time::Duration;

use flowline_base::{Clock, Random, SystemClock};
use flowline_testkit::{FlowlineOptions, FlowlineProcess, http_client};
use serde_json::Value;

use super::kills::site;
use super::{FLOWLINE, Load, under_load, verify};
use crate::project::{BINARY, run, start, write};

/// A log that is soon full.
const SMALL_LOG: &str = "environments:\n  dev:\n    log: { bytes_max: 1MiB, segment_bytes: 256KiB }\n";

fn node(folder: &std::path::Path, faults: &str) -> FlowlineProcess {
    let mut options = FlowlineOptions::new(BINARY, folder);
    options.log = "off".to_owned();
    options.faults = Some(faults.to_owned());
    FlowlineProcess::start(&options).unwrap()
}

/// Most memory that the process has had, and has, in MiB.
fn memory(node: &FlowlineProcess) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.id())).unwrap();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    (of("VmHWM"), of("VmRSS"))
}

/// Waits until a hop is said to be slow; the row of `system.hops`.
async fn slow_hop(node: &FlowlineProcess) -> Value {
    let started = SystemClock.instant();
    loop {
        let rows = node.query("SELECT dataset, slow FROM system.hops WHERE slow IS NOT NULL").await.unwrap();
        if let [row] = rows.as_slice() {
            return row.clone();
        }
        if started.elapsed() > Duration::from_secs(60) {
            let hops = node.query("SELECT dataset, state, lag_records, lag_versions, lag_seconds, slow, held_back FROM system.hops").await;
            panic!("not one slow hop: {rows:?}; {hops:?}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn until_refused(load: &Load, times: u64) {
    let started = SystemClock.instant();
    while load.full.load(std::sync::atomic::Ordering::Relaxed) < times {
        assert!(started.elapsed() < Duration::from_secs(90), "no producer ever met a full log");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What `flowline status` and the page say.
async fn said(node: &FlowlineProcess, folder: &std::path::Path) -> (String, String) {
    let output = run(&["status", "--project", folder.to_str().unwrap()]);
    let page = http_client().get(format!("{}/", node.http)).send().await.unwrap().text().await.unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), page)
}

/// The load meets a node with these faults until producers were refused often, then the node comes back without.
async fn pressed(folder: &std::path::Path, faults: &str, slow: &str) {
    let node = node(folder, faults);
    let mut random = Random::seeded(11);
    let mut load = Load::new(11);
    load.rest_max = Duration::from_millis(5);
    let (before, _) = memory(&node);
    let (producers, row) = under_load(&node.http.clone(), load.producers(4), &mut random, async {
        until_refused(&load, 20).await;
        slow_hop(&node).await
    })
    .await;
    assert_eq!(row["dataset"], slow, "{row}");
    let (status, page) = said(&node, folder).await;
    assert!(status.contains(&format!("{slow} is what the flow waits for")), "{status}");
    assert!(page.contains("the flow waits for it"), "the page does not name the slow hop");
    let (most, now) = memory(&node);
    println!("{slow}: {} | memory: {before} MiB at first, {now} MiB now, {most} MiB at most", row["slow"]);
    assert!(most < before + 400, "memory grew from {before} to {most} MiB");
    node.kill().unwrap();
    let node = start(folder);
    verify(&node, &load, producers, &folder.join(".flowline/lake")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_sink_fills_the_log_and_producers_are_told_to_wait() {
    let folder = site(&format!("{FLOWLINE}{SMALL_LOG}"));
    pressed(folder.path(), "lake.put/raw/nex/bid=slow:1:3s", "nex.bid").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_stream_with_a_limit_holds_its_inputs_back_up_to_the_producers() {
    let folder = site(&format!("{FLOWLINE}{SMALL_LOG}"));
    let path = "datasets/nex/sales.yaml";
    let sales = std::fs::read_to_string(folder.path().join(path)).unwrap();
    let limited = sales.replace("from: { source: sql }", "from: { source: sql, lag_rows_max: 2000 }");
    assert_ne!(sales, limited);
    write(folder.path(), path, &limited);
    pressed(folder.path(), "lake.put/trusted/nex/sales=slow:1:4s", "nex.sales").await;
}
