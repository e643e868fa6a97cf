//! Records whose schemas are registered: written by the serializers of Confluent's client, landed by the real binary.

use std::path::Path;
use std::process::Command;

use flowline_testkit::{FlowlineOptions, FlowlineProcess, KafkaBroker, output_of};

use crate::kafka::{number, until};
use crate::project::{BINARY, write};

const COLUMNS: &str = "columns:
  - { name: id, type: int64, required: true }
  - { name: name, type: string }
  - { name: amount, type: \"decimal(12,2)\" }
  - { name: day, type: date }
  - { name: at, type: timestamp }
  - { name: millis, field: at_ms, type: timestamp, format: epoch_s }
  - { name: state, type: string }
  - { name: token, type: string }
  - { name: tags, type: list<string> }
  - { name: counts, type: json }
  - { name: address, type: \"struct<city: string, zip: int32>\" }
  - { name: note, type: string }
  - { name: packed, type: binary }
";

/// A project with one dataset for each of these names and origins.
fn project(folder: &Path, broker: &str, datasets: &[(&str, &str)]) {
    let flowline = format!(
        "name: registry\nteams:\n  team-shop: {{ contact: team-shop@example.org }}\ndefaults:\n  landing: {{ flush_after: 200ms }}\nenvironments:\n  dev:\n    kafka: {{ brokers: [\"{broker}\"] }}\n"
    );
    write(folder, "flowline.yaml", &flowline);
    for (name, origin) in datasets {
        let dataset =
            format!("description: Orders.\nowner: team-shop\nzone: raw\nfrom: {{ {origin} }}\n{COLUMNS}");
        write(folder, &format!("datasets/shop/{name}.yaml"), &dataset);
    }
}

fn start(folder: &Path) -> FlowlineProcess {
    let mut options = FlowlineOptions::new(BINARY, folder);
    options.log = std::env::var("FLOWLINE_LOG").unwrap_or_else(|_| "off".to_owned());
    FlowlineProcess::start(&options).unwrap()
}

/// Plays the clients; false where there are none.
fn play(script: &str, arguments: &[&str]) {
    let python = std::env::var_os("FLOWLINE_TEST_PYTHON").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(script);
    let output = output_of(Command::new(python).arg(script).args(arguments)).unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
}

const VALUES: &str = "SELECT count(*) AS n FROM shop.{} WHERE amount = -12.34 AND name = 'é' || CAST(id AS VARCHAR) AND tags[2] = 'b'";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_serializers_of_others_write_lands_with_its_values() {
    if std::env::var_os("FLOWLINE_TEST_PYTHON").is_none() {
        println!(
            "skipped: no Python clients (set FLOWLINE_TEST_PYTHON; `scripts/peers python` installs them)"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = KafkaBroker::start(folder.path()).unwrap() else { return };
    let own = folder.path().join("own");
    let datasets = [
        ("avro", "source: kafka, topic: avro, format: avro"),
        ("proto", "source: kafka, topic: proto, format: protobuf"),
        ("json", "source: kafka, topic: json, format: json, registry: own"),
        ("moved", "source: kafka, topic: moved, format: avro"),
        ("moved_proto", "source: kafka, topic: moved-proto, format: protobuf"),
        ("moved_json", "source: kafka, topic: moved-json, format: json, registry: own"),
        ("guided", "source: kafka, topic: guided, format: avro"),
        ("guided_proto", "source: kafka, topic: guided-proto, format: protobuf"),
        ("posted", "source: http"),
        ("checked", "source: http, validate: at_gateway"),
    ];
    project(&own, &broker.address, &datasets);
    let node = start(&own);
    play("registry_clients.py", &[&node.http, &broker.address]);
    values_are_right(&node).await;
    older_records_are_read_by_the_latest_version(&node).await;
    schemas_are_found_by_their_guids(&node).await;
    broken_records_are_kept(&node).await;
    the_command_line_reads_it(&own);
    // Another project asks this one's registry, as it would ask Confluent's. With this one's group it would get a share.
    let other = folder.path().join("other");
    let origin = format!(
        "source: kafka, topic: avro, group: other, format: avro, registry: \"{}/registry\"",
        node.http
    );
    project(&other, &broker.address, &[("avro", &origin)]);
    let other = start(&other);
    until(&other, "SELECT count(*) AS n FROM shop.avro", 100).await;
    assert_eq!(number(&other, "SELECT count(*) AS n FROM quarantine.\"shop.avro\"").await, 5);
}

fn the_command_line_reads_it(project: &Path) {
    let flowline = |arguments: &[&str]| {
        let output =
            output_of(Command::new(BINARY).arg("registry").args(arguments).arg("--project").arg(project));
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
    };
    let (code, text) = flowline(&["list"]);
    assert!(code == Some(0) && text.contains("avro-value version 2") && text.contains("PROTOBUF"), "{text}");
    let (code, text) = flowline(&["show", "proto-value"]);
    assert!(code == Some(0) && text.contains("message Order {"), "{text}");
    let file = project.join("order.avsc");
    std::fs::write(&file, r#"{"type":"record","name":"Order","fields":[{"name":"new","type":"int"}]}"#)
        .unwrap();
    let (code, text) = flowline(&["check", "avro-value", file.to_str().unwrap()]);
    assert!(code == Some(1) && text.contains("READER_FIELD_MISSING_DEFAULT_VALUE"), "{text}");
    let (code, text) = flowline(&["check", "avro-vlaue", file.to_str().unwrap()]);
    assert!(code == Some(0) && text.contains("nothing is registered under avro-vlaue"), "{text}");
    assert!(text.contains("did you mean avro-value?"), "{text}");
    let (code, text) = flowline(&["show", "nowhere"]);
    assert!(code == Some(2) && text.contains("Subject 'nowhere' not found."), "{text}");
}

async fn values_are_right(node: &FlowlineProcess) {
    for name in ["avro", "proto", "json"] {
        until(node, &format!("SELECT count(*) AS n FROM shop.{name}"), 100).await;
    }
    until(node, "SELECT count(*) AS n FROM shop.posted", 1).await;
    until(node, "SELECT count(*) AS n FROM shop.checked", 1).await;
    // Every other record is of a version without the name, and with a field that the contract does not know.
    assert_eq!(number(node, &VALUES.replace("{}", "avro")).await, 50);
    for name in ["proto", "json"] {
        assert_eq!(number(node, &VALUES.replace("{}", name)).await, 100, "{name}");
    }
    let rows = "SELECT count(*) AS n FROM shop.avro WHERE day = DATE '1969-12-31' AND at = TIMESTAMP '2026-01-05T08:00:00.123456Z' \
        AND millis = TIMESTAMP '2026-01-05T08:00:00.789Z' AND state = 'PAID' AND token LIKE '00000000-0000-0000-0000-%' \
        AND counts = '{\"k\":3}' AND address['city'] = 'Ulm' AND address['zip'] IS NULL AND note IS NULL AND packed = X'0001ff'";
    assert_eq!(number(node, rows).await, 100);
    let extra = "SELECT count(*) AS n FROM shop.avro WHERE _extra = '{\"discount\":0.5}' AND name IS NULL";
    assert_eq!(number(node, extra).await, 50);
    let rows = "SELECT count(*) AS n FROM shop.proto WHERE at = TIMESTAMP '2026-01-05T08:00:00.123456Z' AND state = 'PAID' \
        AND packed = X'0001ff' AND address['city'] = 'Ulm' AND address['zip'] = 0 AND _extra = '{\"channel\":\"web\"}'";
    assert_eq!(number(node, rows).await, 100);
}

async fn older_records_are_read_by_the_latest_version(node: &FlowlineProcess) {
    for (name, condition) in [
        ("moved", "name = 'é' || CAST(id AS VARCHAR) AND state = 'NEW' AND amount = 1.00 AND _extra IS NULL"),
        ("moved_proto", "name = 'é' || CAST(id AS VARCHAR) AND note = '' AND _extra IS NULL"),
        ("moved_json", "state = 'NEW' AND _extra IS NULL"),
    ] {
        until(node, &format!("SELECT count(*) AS n FROM shop.{name}"), 10).await;
        let sql = format!("SELECT count(*) AS n FROM shop.{name} WHERE {condition}");
        let rows = node.query(&format!("SELECT * FROM shop.{name}")).await;
        assert_eq!(number(node, &sql).await, 10, "{name}: {rows:?}");
    }
}

/// What has its schema in a header of the record.
async fn schemas_are_found_by_their_guids(node: &FlowlineProcess) {
    for name in ["guided", "guided_proto"] {
        let sql = format!(
            "SELECT count(*) AS n FROM shop.{name} WHERE id = 7 AND _extra = '{{\"label\":\"by guid\"}}'"
        );
        until(node, &sql, 1).await;
    }
}

async fn broken_records_are_kept(node: &FlowlineProcess) {
    for (part, count) in [
        ("begins with byte 0x7b", 1),
        ("schema 999999 is not in the registry", 1),
        ("is not what schema", 2),
        ("ends after 2 of 5 bytes", 1),
    ] {
        let sql = format!(
            "SELECT count(*) AS n FROM quarantine.\"shop.avro\" WHERE _reason = 'unparsable' AND _message LIKE '%{part}%' AND _record_base64 IS NOT NULL AND _format = 'registered'"
        );
        assert_eq!(
            number(node, &sql).await,
            count,
            "{part}: {:?}",
            node.query("SELECT _message FROM quarantine.\"shop.avro\"").await
        );
    }
    let bytes = "SELECT count(*) AS n FROM quarantine.\"shop.avro\" WHERE _record_base64 = 'AAAPQj94'";
    assert_eq!(number(node, bytes).await, 1, "the bytes are those that came");
    let balance = node.query("SELECT balance FROM system.counts WHERE dataset = 'shop.avro'").await.unwrap();
    assert_eq!(balance[0]["balance"], "balanced", "{balance:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_answer_of_the_registry_that_is_not_described() {
    if std::env::var_os("FLOWLINE_TEST_PYTHON").is_none() {
        println!(
            "skipped: no Python clients (set FLOWLINE_TEST_PYTHON; `scripts/peers python` installs them)"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    project(folder.path(), "127.0.0.1:1", &[("posted", "source: http")]);
    let node = start(folder.path());
    play("openapi.py", &[&node.http, "/registry/openapi.json"]);
}
