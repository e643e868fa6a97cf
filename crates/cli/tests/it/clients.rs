//! Clients that nobody here wrote, against the real binary.

use std::path::Path;
use std::process::Command;

use crate::project::{has_psql, project, psql, start};
use flowline_testkit::output_of;

const FLOWLINE: &str = "name: clients\nteams:\n  team-clients: { contact: team-clients@example.org }\ndefaults:\n  landing: { flush_after: 100ms }\n";

const EVENTS: &str = "description: Events of clients.
owner: team-clients
zone: raw
from: { source: http }
columns:
  - { name: n, type: int64 }
  - { name: name, type: string }
  - { name: price, type: \"decimal(12,2)\" }
  - { name: at, type: timestamp }
  - { name: ok, type: boolean }
  - { name: ce_id, type: string }
  - { name: ce_type, type: string }
";

/// The Python script that plays one client; it prints what went wrong and ends with 1.
fn python(script: &str, arguments: &[&str]) {
    let Some(python) = std::env::var_os("FLOWLINE_TEST_PYTHON") else {
        println!(
            "skipped: no Python clients (set FLOWLINE_TEST_PYTHON; `scripts/peers python` installs them)"
        );
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(script);
    let output = output_of(Command::new(python).arg(script).args(arguments)).unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psycopg_deltalake_and_the_cloudevents_sdk_find_what_they_expect() {
    let folder = project(&[("flowline.yaml", FLOWLINE), ("datasets/clients/events.yaml", EVENTS)]);
    let node = start(folder.path());
    let lake = folder.path().join(".flowline/lake");
    python("clients.py", &[&node.http, &node.postgres, lake.to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_answer_that_the_openapi_does_not_promise() {
    let folder = project(&[("flowline.yaml", FLOWLINE), ("datasets/clients/events.yaml", EVENTS)]);
    let node = start(folder.path());
    python("openapi.py", &[&node.http]);
}

#[test]
fn psql_lists_and_reads_tables() {
    if !has_psql() {
        return;
    }
    let folder = project(&[("flowline.yaml", FLOWLINE), ("datasets/clients/events.yaml", EVENTS)]);
    let node = start(folder.path());
    let psql = |command: &str| {
        let output = psql(&node, "clients", &[], command);
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    };
    for (command, expected) in [
        ("\\dn", "clients"),
        ("\\dt clients.*", "events"),
        ("\\d clients.events", "price"),
        ("select count(*) as rows from clients.events", "rows"),
        ("select dataset, kind from system.hops", "clients.events"),
    ] {
        let (success, text) = psql(command);
        assert!(success && text.contains(expected), "`{command}`: {text}");
    }
    let (success, text) = psql("select * from clients.event");
    assert!(!success && text.contains("clients.event"), "{text}");
    let (success, text) = psql("drop table clients.events");
    assert!(!success, "a statement that writes was let through: {text}");
}
