//! The stream of the README on the real binary: windows close, a late row reopens one, `flowline replay` and HTTP compute
//! again, and psql, HTTP and the command line all see the same.

use std::time::Duration;

use flowline_base::{Clock, SystemClock};
use flowline_testkit::{FlowlineProcess, http_client};
use serde_json::{Value, json};

use crate::project::{has_psql, project, run, run_well, start};

const FLOWLINE: &str = "name: shop\nteams:\n  team-shop: { contact: team-shop@example.org }\ndefaults:\n  landing: { flush_after: 100ms }\n";

const ORDERS: &str = "description: Orders.
owner: team-shop
zone: raw
from: { source: http }
columns:
  - { name: country, type: string, required: true }
  - { name: amount, type: int64, required: true }
  - { name: ts, type: timestamp, required: true }
";

const REVENUE: &str = "description: Revenue by minute.
owner: team-shop
zone: trusted
from: { source: sql }
mode: stream
event_time: { column: ts, watermark: 10s, idle_after: 30s, late: reopen }
sql: |
  SELECT country, window_start, window_end, sum(amount) AS revenue, count(*) AS orders
  FROM TABLE(TUMBLE(TABLE shop.orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
  GROUP BY country, window_start, window_end
";

async fn post(node: &FlowlineProcess, rows: &[(&str, i64, &str)]) {
    let lines: Vec<String> = rows
        .iter()
        .map(|(country, amount, at)| {
            json!({ "country": country, "amount": amount, "ts": format!("2026-01-05T{at}Z") }).to_string()
        })
        .collect();
    let response = http_client()
        .post(format!("{}/v1/sources/shop.orders/records", node.http))
        .header("content-type", "application/x-ndjson")
        .body(lines.join("\n"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
}

const WINDOWS: &str = "SELECT country, to_char(window_start, '%H:%M') AS minute, revenue, orders FROM shop.revenue_by_minute ORDER BY minute, country";

/// Waits until the table has these rows: country, minute, revenue, orders.
async fn until(node: &FlowlineProcess, wanted: &[(&str, &str, i64, i64)]) {
    let started = SystemClock.instant();
    loop {
        let rows = node.query(WINDOWS).await.unwrap_or_default();
        let found: Vec<_> = rows
            .iter()
            .map(|row| {
                let number = |name: &str| row[name].as_i64().unwrap();
                (
                    row["country"].as_str().unwrap(),
                    row["minute"].as_str().unwrap(),
                    number("revenue"),
                    number("orders"),
                )
            })
            .collect();
        if found == wanted {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{found:?} and not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn one(node: &FlowlineProcess, sql: &str) -> Value {
    let rows = node.query(sql).await.unwrap();
    assert_eq!(rows.len(), 1, "`{sql}` gives {rows:?}");
    rows[0].clone()
}

/// What psql prints for a query, columns parted by `|`; none where there is no psql.
fn psql(node: &FlowlineProcess, sql: &str) -> Option<String> {
    if !has_psql() {
        return None;
    }
    let output = crate::project::psql(node, "shop", &["-A", "-t"], sql);
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "`{sql}`: {said} {}", String::from_utf8_lossy(&output.stderr));
    Some(said)
}

const CLOSED: [(&str, &str, i64, i64); 3] =
    [("AT", "08:00", 30, 2), ("DE", "08:00", 5, 1), ("AT", "08:01", 7, 1)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_of_the_readme_closes_reopens_and_is_replayed() {
    let folder = project(&[
        ("flowline.yaml", FLOWLINE),
        ("datasets/shop/orders.yaml", ORDERS),
        ("datasets/shop/revenue_by_minute.yaml", REVENUE),
    ]);
    let node = start(folder.path());
    post(
        &node,
        &[("AT", 10, "08:00:05"), ("DE", 5, "08:00:30"), ("AT", 20, "08:00:59"), ("AT", 7, "08:01:10")],
    )
    .await;
    post(&node, &[("DE", 1, "08:02:15")]).await;
    until(&node, &CLOSED).await;
    // Eight minutes are behind the watermark: the row is late, and its window is computed again.
    post(&node, &[("DE", 100, "08:00:45")]).await;
    let reopened = [("AT", "08:00", 30, 2), ("DE", "08:00", 105, 2), ("AT", "08:01", 7, 1)];
    until(&node, &reopened).await;
    let stream = one(&node, "SELECT * FROM system.streams").await;
    assert_eq!(stream["dataset"], "shop.revenue_by_minute");
    assert!(stream["watermark_at"].as_str().unwrap().starts_with("2026-01-05T08:02:05"), "{stream}");
    assert_eq!(
        (&stream["late"], &stream["lag_records"], &stream["held_by_input"]),
        (&json!(1), &json!(0), &json!("shop.orders"))
    );
    seen_by_psql(&node);
    replayed(&node, folder.path(), &reopened).await;
    let status = run(&["status", "--project", folder.path().to_str().unwrap()]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("2026-01-05 08:02:05.000") && status.contains("shop.orders/0"), "{status}");
    // It ends and comes back: what was open is still open, and closes.
    assert!(node.terminate().unwrap());
    let node = start(folder.path());
    post(&node, &[("AT", 2, "08:02:40"), ("AT", 3, "08:04:00")]).await;
    let closed = [&reopened[..], &[("AT", "08:02", 2, 1), ("DE", "08:02", 1, 1)]].concat();
    until(&node, &closed).await;
}

/// Over the command line, against the node and without one, and over HTTP.
async fn replayed(node: &FlowlineProcess, folder: &std::path::Path, wanted: &[(&str, &str, i64, i64)]) {
    let version = "SELECT version FROM system.hops WHERE dataset = 'shop.revenue_by_minute'";
    let before = one(node, version).await["version"].as_i64().unwrap();
    let project = folder.to_str().unwrap();
    let arguments =
        ["replay", "shop.revenue_by_minute", "--from", "2026-01-05T08:01:00Z", "--project", project];
    run_well(&arguments);
    until(node, wanted).await;
    let after = one(node, version).await["version"].as_i64().unwrap();
    assert_eq!(after, before + 1, "a replay is one commit");
    let replay = http_client()
        .post(format!("{}/v1/streams/shop.revenue_by_minute/replay", node.http))
        .json(&json!({ "from": "2026-01-05T08:00:00Z" }))
        .send()
        .await
        .unwrap();
    let (status, said) = (replay.status(), replay.text().await.unwrap());
    assert!(status.is_success(), "{status}: {said}");
    until(node, wanted).await;
    let no_stream = run(&["replay", "shop.orders", "--from", "2026-01-05T08:01:00Z", "--project", project]);
    assert!(!no_stream.status.success());
    let runs = one(node, "SELECT count(*) AS n FROM system.runs WHERE trigger = 'replay'").await;
    assert_eq!(runs["n"], 2);
}

fn seen_by_psql(node: &FlowlineProcess) {
    let sql = "select country, revenue, orders from shop.revenue_by_minute order by window_start, country";
    let Some(said) = psql(node, sql) else { return };
    assert_eq!(said, "AT|30|2\nDE|105|2\nAT|7|1");
    let said = psql(node, "select dataset, late, held_by_partition from system.streams").unwrap();
    assert_eq!(said, "shop.revenue_by_minute|1|0");
    let said =
        psql(node, "select count(*) from system.state where dataset = 'shop.revenue_by_minute'").unwrap();
    assert!(said.parse::<i64>().unwrap() > 0, "the open minute has a state: {said}");
}
