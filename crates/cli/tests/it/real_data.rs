//! Real input, and answers held against an independent tool's on the same files.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::StreamWriter;
use flowline_testkit::{FlowlineProcess, http_client, output_of, real_data};
use serde_json::{Value, json};

use crate::project::{project, start};

const FLOWLINE: &str = "name: air\nteams:\n  team-air: { contact: team-air@example.org }\ndefaults:\n  landing: { flush_after: 200ms }\n";

const FLIGHTS: &str = "description: Flights of one year, as events.
owner: team-air
zone: raw
from: { source: http }
columns:
  - { name: departed_at, field: date, type: timestamp, format: \"%Y/%m/%d %H:%M\", required: true }
  - { name: delay, type: int32 }
  - { name: distance, type: int32 }
  - { name: origin, type: string, required: true }
  - { name: destination, type: string, required: true }
";

const FLIGHTS_200K: &str = "description: Flights as columns.
owner: team-air
zone: raw
from: { source: http }
columns:
  - { name: delay, type: int16 }
  - { name: distance, type: int16 }
  - { name: time, type: float32 }
";

const AIRPORTS: &str = "description: Airports.
owner: team-air
zone: clean
from: { source: files, location: inbox/airports, pattern: \"*.csv\", poll_every: 500ms }
key: [iata]
columns:
  - { name: iata, type: string, required: true }
  - { name: name, type: string }
  - { name: city, type: string }
  - { name: state, type: string }
  - { name: country, type: string }
  - { name: latitude, type: float64 }
  - { name: longitude, type: float64 }
";

const BIRDSTRIKES: &str = "description: Reported bird strikes.
owner: team-air
zone: clean
from: { source: files, location: inbox/birdstrikes, pattern: \"*.csv\", poll_every: 500ms }
columns:
  - { name: airport, field: \"Airport Name\", type: string }
  - { name: aircraft, field: \"Aircraft Make Model\", type: string }
  - { name: damage, field: \"Effect Amount of damage\", type: string }
  - { name: flight_date, field: \"Flight Date\", type: date }
  - { name: operator, field: \"Aircraft Airline Operator\", type: string }
  - { name: state, field: \"Origin State\", type: string }
  - { name: phase, field: \"Phase of flight\", type: string }
  - { name: cost_total, field: \"Cost Total $\", type: int64 }
  - { name: speed, field: \"Speed IAS in knots\", type: int32 }
";

const WORST_ROUTES: &str = "description: The routes with the worst mean delay.
owner: team-air
zone: trusted
from: { source: sql }
materialize: full
sql: |
  SELECT o.name AS origin, d.name AS destination, f.origin AS origin_code, f.destination AS destination_code,
         avg(f.delay) AS mean_delay, count(*) AS flights
  FROM air.flights f JOIN air.airports o ON o.iata = f.origin JOIN air.airports d ON d.iata = f.destination
  GROUP BY o.name, d.name, f.origin, f.destination
";

/// The same questions as in `answers.py`, of the tables.
const QUESTIONS: [(&str, &str); 4] = [
    (
        "worst_routes",
        "SELECT origin, destination, mean_delay, flights FROM air.worst_routes WHERE flights >= 5
         ORDER BY mean_delay DESC, origin_code, destination_code LIMIT 10",
    ),
    (
        "by_day",
        "SELECT to_char(departed_at, '%Y-%m-%d') AS day, count(*) AS flights, sum(distance) AS miles
         FROM air.flights GROUP BY 1 ORDER BY 1",
    ),
    (
        "delay_by_hour",
        "SELECT CAST(floor(time) AS BIGINT) AS hour, count(*) AS flights, avg(delay) AS mean_delay,
                max(distance) AS farthest
         FROM air.flights_200k GROUP BY 1 ORDER BY 1",
    ),
    (
        "strikes",
        "SELECT state, count(*) AS strikes, sum(cost_total) AS cost FROM air.birdstrikes
         GROUP BY 1 ORDER BY strikes DESC, state LIMIT 15",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_files_give_the_answers_of_an_independent_tool() {
    let Some(data) = real_data() else {
        println!("skipped: no real data (set FLOWLINE_TEST_DATA)");
        return;
    };
    let folder = project(&[
        ("flowline.yaml", FLOWLINE),
        ("datasets/air/flights.yaml", FLIGHTS),
        ("datasets/air/flights_200k.yaml", FLIGHTS_200K),
        ("datasets/air/airports.yaml", AIRPORTS),
        ("datasets/air/birdstrikes.yaml", BIRDSTRIKES),
        ("datasets/air/worst_routes.yaml", WORST_ROUTES),
    ]);
    for file in ["airports", "birdstrikes"] {
        let inbox = folder.path().join("inbox").join(file);
        std::fs::create_dir_all(&inbox).unwrap();
        std::fs::copy(data.join(format!("{file}.csv")), inbox.join(format!("{file}.csv"))).unwrap();
    }
    let node = start(folder.path());
    upload(&node, &data).await;
    let first = until_counted(&node, [("air.flights", 20_000), ("air.flights_200k", 200_000)]).await;
    assert!(first.iter().all(|row| row["quarantined"] == 0), "{first:#?}");
    until_counted(&node, [("air.airports", 3_376), ("air.birdstrikes", 10_000)]).await;
    until_routes(&node).await;
    let answers = answers(&node).await;
    // The same uploads and the same files again: other requests, the same keys, the same etags.
    upload(&node, &data).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let again =
        node.query("SELECT dataset, read, written FROM system.counts ORDER BY dataset").await.unwrap();
    let total: u64 = again
        .iter()
        .filter(|row| row["dataset"] != "air.worst_routes")
        .map(|row| row["read"].as_u64().unwrap())
        .sum();
    assert_eq!(total, 20_000 + 200_000 + 3_376 + 10_000, "a second upload changed something: {again:#?}");
    drop(node);
    compare(&data, folder.path(), &answers);
}

async fn upload(node: &FlowlineProcess, data: &Path) {
    let client = http_client();
    let mut flights: Vec<Value> =
        serde_json::from_slice(&std::fs::read(data.join("flights-20k.json")).unwrap()).unwrap();
    flights.sort_by(|a, b| a["date"].as_str().cmp(&b["date"].as_str()));
    for (number, chunk) in flights.chunks(1_000).enumerate() {
        let request = client
            .post(format!("{}/v1/sources/air.flights/records", node.http))
            .header("idempotency-key", format!("flights-{number}"))
            .json(&chunk);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["accepted"], chunk.len(), "{answer}");
    }
    let reader =
        FileReader::try_new(std::fs::File::open(data.join("flights-200k.arrow")).unwrap(), None).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &reader.schema()).unwrap();
    for batch in reader {
        writer.write(&batch.unwrap()).unwrap();
    }
    let request = client
        .post(format!("{}/v1/sources/air.flights_200k/records", node.http))
        .header("content-type", "application/vnd.apache.arrow.stream")
        .header("idempotency-key", "flights-200k")
        .body(writer.into_inner().unwrap());
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["accepted"], 200_000, "{answer}");
}

async fn until_counted(node: &FlowlineProcess, expected: [(&str, u64); 2]) -> Vec<Value> {
    for _ in 0..600 {
        let counts = node.query("SELECT * FROM system.counts").await.unwrap();
        let written = |name: &str| {
            counts.iter().find(|row| row["dataset"] == name).and_then(|row| row["written"].as_u64())
        };
        if expected.iter().all(|(name, rows)| written(name) == Some(*rows)) {
            return counts;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{expected:?} never came: {:#?}", node.query("SELECT * FROM system.counts").await);
}

async fn until_routes(node: &FlowlineProcess) {
    for _ in 0..600 {
        let rows = node.query("SELECT sum(flights) AS n FROM air.worst_routes").await.unwrap();
        let joined = node
            .query("SELECT count(*) AS n FROM air.flights f JOIN air.airports o ON o.iata = f.origin JOIN air.airports d ON d.iata = f.destination")
            .await
            .unwrap();
        if rows[0]["n"] == joined[0]["n"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the transform never caught up: {:#?}", node.query("SELECT * FROM system.hops").await);
}

async fn answers(node: &FlowlineProcess) -> Vec<(&'static str, Vec<Value>)> {
    let mut answers = Vec::new();
    for (name, sql) in QUESTIONS {
        answers.push((name, node.query(sql).await.unwrap()));
    }
    answers
}

fn compare(data: &Path, project: &Path, answers: &[(&str, Vec<Value>)]) {
    let Some(python) = std::env::var_os("FLOWLINE_TEST_PYTHON") else {
        println!(
            "skipped: no independent tool (set FLOWLINE_TEST_PYTHON to a Python with duckdb and deltalake)"
        );
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/answers.py");
    let output =
        output_of(Command::new(python).arg(script).arg(data).arg(project.join(".flowline/lake"))).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let independent: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (name, rows) in answers {
        let theirs = independent["answers"][name].as_array().unwrap();
        assert_eq!(rows.len(), theirs.len(), "{name}: {rows:#?} against {theirs:#?}");
        for (ours, theirs) in rows.iter().zip(theirs) {
            assert!(same(ours, theirs), "{name}: {ours} against {theirs}");
        }
    }
    for (table, rows) in [
        ("raw/air/flights", 20_000),
        ("raw/air/flights_200k", 200_000),
        ("clean/air/airports", 3_376),
        ("clean/air/birdstrikes", 10_000),
    ] {
        assert_eq!(independent["rows"][table], json!({ "delta_rs": rows, "duckdb": rows }), "{table}");
    }
}

/// Equal, numbers to nine digits.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, value)| theirs.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Number(ours), Value::Number(theirs)) => {
            let (ours, theirs) = (ours.as_f64().unwrap(), theirs.as_f64().unwrap());
            (ours - theirs).abs() <= 1e-9 * ours.abs().max(theirs.abs()).max(1.0)
        }
        _ => ours == theirs,
    }
}
