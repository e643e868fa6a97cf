//! Untidy real data, with contracts and checks written for it. The expected numbers were counted with Python's csv and
//! json modules on the same files.

use std::time::Duration;

use flowline_testkit::{FlowlineProcess, http_client, real_data};
use serde_json::{Value, json};

use crate::project::{project, run, run_well, start};

const FLOWLINE: &str = "name: air\nteams:\n  team-air: { contact: team-air@example.org }\ndefaults:\n  landing: { flush_after: 200ms }\n";

const BIRDSTRIKES: &str = r#"owner: team-air
zone: clean
from: { source: files, location: inbox, pattern: "*.csv", poll_every: 500ms }
columns:
  - { name: airport, field: "Airport Name", type: string }
  - { name: aircraft, field: "Aircraft Make Model", type: string }
  - { name: damage, field: "Effect Amount of damage", type: string }
  - { name: flight_date, field: "Flight Date", type: date }
  - { name: operator, field: "Aircraft Airline Operator", type: string, pii: name }
  - { name: state, field: "Origin State", type: string }
  - { name: phase, field: "Phase of flight", type: string }
  - { name: cost_other, field: "Cost Other", type: int64 }
  - { name: cost_repair, field: "Cost Repair", type: int64 }
  - { name: cost_total, field: "Cost Total $", type: int64 }
  - { name: speed, field: "Speed IAS in knots", type: int32 }
checks:
  - { kind: accepted_values, column: damage, values: [None, Minor, Medium, Substantial], tolerance: 1% }
  - { kind: range, column: speed, min: 1 }
  - { kind: required, column: speed, tolerance: 20% }
  - { kind: range, column: cost_total, max: 1000000 }
  - { kind: range, column: flight_date, min: 1990-01-01, max: 2002-12-31 }
  - { kind: condition, expression: "cost_total = cost_other + cost_repair", name: costs_add_up }
  - { kind: pattern, column: operator, pattern: "^SOUTHWEST", name: southwest }
  - { kind: unique, columns: [airport, aircraft, flight_date] }
  - { kind: row_count, min: 10000, max: 10000 }
  - { kind: distribution, column: speed, method: ks }
  - { kind: sql, query: "SELECT * FROM air.birdstrikes WHERE phase = 'Parked'", name: not_parked }
"#;

const FEATURES: &str = "owner: team-air
zone: raw
from: { source: http }
key: [id]
columns:
  - { name: id, type: string, required: true }
  - { name: properties, type: \"struct<mag: float64, place: string, time: int64, updated: int64, status: string>\" }
";

const QUAKES: &str = r#"owner: team-air
zone: clean
from: { source: sql }
materialize: append
sql: |
  SELECT id, properties['mag'] AS magnitude, properties['place'] AS place, properties['status'] AS status,
         to_timestamp_millis(properties['time']) AS happened_at, to_timestamp_millis(properties['updated']) AS updated_at
  FROM air.features
checks:
  - { kind: range, column: magnitude, min: 0, max: 10, severity: quarantine_rows }
  - { kind: accepted_values, column: status, values: [automatic, reviewed], severity: block }
  - { kind: condition, expression: "updated_at >= happened_at", name: updated_later, severity: block }
  - { kind: length, column: place, max: 60 }
  - { kind: unique, columns: [id], severity: block }
"#;

/// What each check says, by name.
fn said(output: &[u8]) -> Vec<(String, String, u64)> {
    let results: Value = serde_json::from_slice(output).unwrap();
    let said = results.as_array().unwrap().iter().map(|result| {
        let text = |key: &str| result[key].as_str().unwrap().to_owned();
        (text("name"), text("verdict"), result["rows_failed"].as_u64().unwrap())
    });
    said.collect()
}

async fn until(node: &FlowlineProcess, sql: &str, expected: Value) {
    let mut found = Value::Null;
    for _ in 0..600 {
        found = json!(node.query(sql).await.unwrap_or_default());
        if found == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{sql}: {found:#} instead of {expected:#}");
}

#[test]
fn a_misspelt_column_of_a_query_is_told_where_it_stands() {
    let quakes = format!(
        "{QUAKES}  - {{ kind: sql, name: one_line, query: \"SELECT * FROM air.quakes WHERE magnitud < 0\" }}
  - kind: sql
    name: block
    query: |
      SELECT *
      FROM air.quakes
        WHERE magnitude < 0 AND statu = 'deleted'
  - kind: sql
    name: folded
    query: >-
      SELECT plac
      FROM air.quakes
"
    );
    let files = [("flowline.yaml", FLOWLINE), ("datasets/air/features.yaml", FEATURES)];
    let folder = project(&[files[0], files[1], ("datasets/air/quakes.yaml", &quakes)]);
    let output = run(&["check", folder.path().to_str().unwrap(), "--output", "json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = answer["diagnostics"].as_array().unwrap().iter().map(|found| {
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        let line = quakes.lines().nth(found["line"].as_u64().unwrap() as usize - 1).unwrap();
        let word: String =
            line.chars().skip(found["column"].as_u64().unwrap() as usize - 1).take(9).collect();
        (text("file"), word, text("message"))
    });
    let file = "datasets/air/quakes.yaml".to_owned();
    let expected = [
        ("magnitud ", "check `one_line`: there is no column `magnitud` here"),
        ("statu = '", "check `block`: there is no column `statu` here"),
        ("SELECT pl", "check `folded`: there is no column `plac` here"),
    ];
    let expected = expected.map(|(word, message)| (file.clone(), word.to_owned(), message.to_owned()));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

/// The first example of the documentation, on the project that it is written for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_example_of_the_documentation_runs_as_it_stands() {
    let documentation = include_str!("../../../../docs/quality.md");
    let example = documentation.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    let project = shop.to_str().unwrap();
    run_well(&["init", project]);
    let views = shop.join("datasets/shop/page_views.yaml");
    let declared = std::fs::read_to_string(&views).unwrap() + example;
    std::fs::write(&views, declared).unwrap();
    run_well(&["check", project]);
    let node = start(&shop);
    let events = std::fs::read_to_string(shop.join("events.ndjson")).unwrap();
    let request = http_client().post(format!("{}/v1/sources/shop.page_views/records", node.http));
    let request = request.header("content-type", "application/x-ndjson").body(events);
    assert!(request.send().await.unwrap().status().is_success());
    until(&node, "SELECT count(*) AS n FROM shop.page_views", json!([{ "n": 40 }])).await;
    until(&node, "SELECT count(*) > 0 AS there FROM shop.products", json!([{ "there": true }])).await;
    let output = run(&["quality", "run", "shop.page_views", "--project", project, "--output", "json"]);
    let expected = [
        ("anomaly_rows", "not_evaluated", 0),
        ("one_customer", "passed", 0),
        ("pattern_url", "passed", 0),
        ("referential_shop_products_product_id", "passed", 0),
        ("required_product_id", "passed", 10),
        ("unique_view_id", "passed", 0),
    ];
    let mut said = said(&output.stdout);
    said.sort_unstable();
    assert_eq!(said, expected.map(|(name, verdict, rows)| (name.to_owned(), verdict.to_owned(), rows)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn birdstrikes_as_they_were_reported() {
    let Some(data) = real_data() else {
        println!("skipped: no real data (set FLOWLINE_TEST_DATA)");
        return;
    };
    let folder = project(&[("flowline.yaml", FLOWLINE), ("datasets/air/birdstrikes.yaml", BIRDSTRIKES)]);
    std::fs::create_dir_all(folder.path().join("inbox")).unwrap();
    std::fs::copy(data.join("birdstrikes.csv"), folder.path().join("inbox/birdstrikes.csv")).unwrap();
    let project = folder.path().to_str().unwrap();
    let node = start(folder.path());
    let landed = "SELECT written, quarantined FROM system.counts";
    until(&node, landed, json!([{ "written": 10_000, "quarantined": 0 }])).await;
    // While the node runs, and from the lake alone, the answer is the same.
    let output = run(&["quality", "run", "air.birdstrikes", "--project", project, "--output", "json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let expected = [
        ("accepted_values_damage", "passed", 15),
        ("range_speed", "failed", 19),
        ("required_speed", "failed", 2_836),
        ("range_cost_total", "failed", 8),
        ("range_flight_date", "passed", 0),
        ("costs_add_up", "passed", 0),
        ("southwest", "failed", 9_156),
        ("unique_airport_aircraft_flight_date", "failed", 375),
        ("row_count", "passed", 0),
        ("distribution_ks_speed", "not_evaluated", 0),
        ("not_parked", "failed", 11),
    ];
    let expected = expected.map(|(name, verdict, failed)| (name.to_owned(), verdict.to_owned(), failed));
    assert_eq!(said(&output.stdout), expected);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("AIRLINES"), "names of operators are personal here: {text}");

    let status = run(&["status", "--project", project]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("check failed air.birdstrikes `range_speed`: 19 of 10000 rows fail"), "{status}");
    assert!(node.terminate().unwrap());
    let listed = run(&["quality", "list", "air.birdstrikes", "--project", project, "--output", "json"]);
    assert_eq!(said(&listed.stdout).len(), expected.len());
    let profile: Value = serde_json::from_str(&run_well(&[
        "profile",
        "air.birdstrikes",
        "--project",
        project,
        "--output",
        "json",
    ]))
    .unwrap();
    let column = |name: &str| {
        let columns = profile.as_array().unwrap();
        columns.iter().find(|column| column["name"] == name).unwrap_or_else(|| panic!("{profile:#}")).clone()
    };
    let speed = column("speed");
    assert_eq!((&speed["rows"], &speed["nulls"]), (&json!(10_000), &json!(2_836)), "{speed}");
    assert_eq!((&speed["distinct"], &speed["max"]), (&json!(122), &json!("350")), "{speed}");
    assert_eq!(column("flight_date")["min"], "1990-01-08");
    assert_eq!(column("state")["distinct"], 29);
    assert_eq!((&column("operator")["distinct"], &column("operator")["min"]), (&json!(46), &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn earthquakes_pass_a_contract_and_lose_what_breaks_it() {
    let Some(data) = real_data() else {
        println!("skipped: no real data (set FLOWLINE_TEST_DATA)");
        return;
    };
    let folder = project(&[
        ("flowline.yaml", FLOWLINE),
        ("datasets/air/features.yaml", FEATURES),
        ("datasets/air/quakes.yaml", QUAKES),
    ]);
    let collection: Value =
        serde_json::from_slice(&std::fs::read(data.join("earthquakes.json")).unwrap()).unwrap();
    let kept = ["mag", "place", "time", "updated", "status"];
    let features = collection["features"].as_array().unwrap().iter().map(|feature| {
        let properties: serde_json::Map<String, Value> =
            kept.iter().map(|key| ((*key).to_owned(), feature["properties"][key].clone())).collect();
        json!({ "id": feature["id"], "properties": properties }).to_string()
    });
    let body = features.collect::<Vec<_>>().join("\n");
    let node = start(folder.path());
    let request = http_client()
        .post(format!("{}/v1/sources/air.features/records", node.http))
        .header("content-type", "application/x-ndjson")
        .body(body);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["accepted"], 1_707, "{answer}");
    let counts = "SELECT dataset, read, written, quarantined, balance FROM system.counts ORDER BY dataset";
    let expected = json!([
        { "dataset": "air.features", "read": 1_707, "written": 1_707, "quarantined": 0, "balance": "balanced" },
        { "dataset": "air.quakes", "read": 1_707, "written": 1_663, "quarantined": 44, "balance": "balanced" },
    ]);
    until(&node, counts, expected).await;
    let checks =
        "SELECT name, verdict, rows_checked, rows_failed FROM system.checks WHERE latest ORDER BY name";
    let all = |name: &str, verdict: &str, checked: u64, failed: u64| json!({ "name": name, "verdict": verdict, "rows_checked": checked, "rows_failed": failed });
    let expected = json!([
        all("accepted_values_status", "passed", 1_707, 0),
        all("length_place", "failed", 1_707, 1),
        all("range_magnitude", "failed", 1_707, 44),
        all("unique_id", "passed", 1_663, 0),
        all("updated_later", "passed", 1_707, 0),
    ]);
    until(&node, checks, expected).await;
    assert!(node.terminate().unwrap());
}

const THINGS: &str = "owner: team-air
zone: raw
from: { source: http }
columns:
  - { name: id, type: string }
  - { name: amount, type: int64 }
  - { name: ts, type: timestamp }
";

/// Computed as a whole each time, without what is below zero.
const GOOD: &str = "owner: team-air
zone: clean
from: { source: sql }
materialize: full
landing: { quarantine_retain_for: 30d }
columns:
  - { name: id, type: string }
  - { name: amount, type: int64, check: amount >= 0 }
sql: SELECT id, amount FROM air.things
";

const MINUTES: &str = "owner: team-air
zone: trusted
from: { source: sql }
mode: stream
event_time: { column: ts, watermark: 10s, late: quarantine }
landing: { quarantine_retain_for: 30d }
sql: |
  SELECT window_end, count(*) AS things FROM TABLE(TUMBLE(TABLE air.things, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end
";

/// Posts one thing and waits until everything that is made of it has read it.
async fn thing(node: &FlowlineProcess, id: &str, amount: i64, at: &str, rows: [u64; 2]) {
    let body = json!({ "id": id, "amount": amount, "ts": format!("2026-01-05T08:{at}Z") }).to_string();
    let request = http_client()
        .post(format!("{}/v1/sources/air.things/records", node.http))
        .header("content-type", "application/x-ndjson")
        .body(body);
    assert!(request.send().await.unwrap().status().is_success());
    let quarantined = "SELECT dataset, rows FROM system.quarantine ORDER BY dataset";
    let [good, late] = rows;
    let mut expected = vec![json!({ "dataset": "air.good", "rows": good })];
    if late > 0 {
        expected.push(json!({ "dataset": "air.minutes", "rows": late }));
    }
    until(node, quarantined, json!(expected)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sql_sets_aside_is_listed_and_discarded() {
    let folder = project(&[
        ("flowline.yaml", FLOWLINE),
        ("datasets/air/things.yaml", THINGS),
        ("datasets/air/good.yaml", GOOD),
        ("datasets/air/minutes.yaml", MINUTES),
    ]);
    let path = folder.path().to_str().unwrap();
    let node = start(folder.path());
    thing(&node, "a", -1, "00:05", [1, 0]).await;
    let closed = "SELECT count(*) AS n FROM air.minutes";
    thing(&node, "b", -2, "01:10", [2, 0]).await;
    until(&node, closed, json!([{ "n": 1 }])).await;
    thing(&node, "c", -3, "00:06", [3, 1]).await;
    let listed = run_well(&["quarantine", "list", "--project", path, "--output", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let reasons: Vec<_> =
        listed.as_array().unwrap().iter().map(|row| (&row["reason"], &row["rows"])).collect();
    assert_eq!(reasons, [(&json!("failed-rule"), &json!(3)), (&json!("late"), &json!(1))]);

    let shown = http_client().get(format!("{}/v1/quarantine/air.minutes?reason=late", node.http)).send();
    let shown: Value = shown.await.unwrap().json().await.unwrap();
    assert_eq!((shown["records"].as_array().unwrap().len(), &shown["reasons"][0]["rows"]), (1, &json!(1)));
    let discard = |dataset: &str, reason: &str| {
        let because = ["--because", "a test", "--project", path, "--output", "json"];
        let said =
            run_well(&[&["quarantine", "discard", dataset, "--reason", reason], &because[..]].concat());
        serde_json::from_str::<Value>(&said).unwrap()["discarded"].clone()
    };
    assert_eq!((discard("air.good", "late"), discard("air.good", "failed-rule")), (json!(0), json!(3)));
    let replay = run(&["quarantine", "replay", "air.good", "--project", path]);
    assert!(String::from_utf8_lossy(&replay.stderr).contains("mend its input or its SQL"), "{replay:?}");
    // Without a node as well.
    assert!(node.terminate().unwrap());
    assert_eq!((discard("air.minutes", "missing"), discard("air.minutes", "late")), (json!(0), json!(1)));
    let replay = run(&["quarantine", "replay", "air.minutes", "--project", path]);
    assert!(String::from_utf8_lossy(&replay.stderr).contains("mending the input or the SQL"), "{replay:?}");
    let listed = run_well(&["quarantine", "list", "--project", path, "--output", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert!(listed.as_array().unwrap().iter().all(|row| row["rows"] == 0), "{listed:#}");
}
