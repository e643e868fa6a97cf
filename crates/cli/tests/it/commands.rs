//! The commands, as a person or a program uses them.

use flowline_testkit::http_client;
use serde_json::Value;

use crate::kafka::until;
use crate::project::{project, run, run_well, start};

const FLOWLINE: &str = "name: small\nteams:\n  team-small: { contact: team-small@example.org }\n";

#[test]
fn init_writes_a_project_that_checks_and_refuses_a_folder_that_is_not_empty() {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    let shop = shop.to_str().unwrap();
    run_well(&["init", shop]);
    let checked: Value = serde_json::from_str(&run_well(&["check", shop, "--output", "json"])).unwrap();
    assert_eq!(checked["valid"], true, "{checked}");
    let again = run(&["init", shop]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("not empty"), "{again:?}");
}

#[test]
fn check_points_at_every_mistake_at_once() {
    let folder = project(&[
        ("flowline.yaml", FLOWLINE),
        (
            "datasets/small/things.yaml",
            "owner: team-smal\nzone: raw\nfrom: { source: http }\ncolums: []\ncolumns:\n  - { name: id, type: strng }\n",
        ),
    ]);
    let output = run(&["check", folder.path().to_str().unwrap(), "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems = report["diagnostics"].as_array().unwrap();
    for (words, nearest) in [("team-smal", "team-small"), ("colums", "columns"), ("strng", "string")] {
        let problem = problems.iter().find(|problem| problem["message"].as_str().unwrap().contains(words));
        let problem = problem.unwrap_or_else(|| panic!("nothing about `{words}` in {report:#}"));
        assert_eq!(problem["file"], "datasets/small/things.yaml");
        assert!(
            problem["line"].as_u64().unwrap() > 0 && problem["column"].as_u64().unwrap() > 0,
            "{problem}"
        );
        let hint = format!("{} {}", problem["message"], problem["hint"]);
        assert!(hint.contains(nearest), "`{nearest}` is not suggested: {problem}");
    }
}

#[test]
fn check_points_into_the_sql() {
    let folder = project(&[
        ("flowline.yaml", FLOWLINE),
        (
            "datasets/small/things.yaml",
            "owner: team-small\nzone: raw\nfrom: { source: http }\ncolumns:\n  - { name: id, type: string }\n",
        ),
        ("datasets/small/view.yaml", "owner: team-small\nzone: trusted\nfrom: { source: sql }\n"),
        ("datasets/small/view.sql", "SELECT id,\n       idd\nFROM small.thing\n"),
    ]);
    let output = run(&["check", folder.path().to_str().unwrap(), "--output", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problem = &report["diagnostics"][0];
    assert_eq!(problem["file"], "datasets/small/view.sql", "{report:#}");
    assert_eq!(problem["line"], 3, "{report:#}");
    assert!(format!("{problem}").contains("small.things"), "{report:#}");
}

#[test]
fn a_second_node_on_the_same_data_is_refused_with_a_sentence() {
    let folder = project(&[("flowline.yaml", FLOWLINE)]);
    let _first = start(folder.path());
    let second = run(&[
        "up",
        "--project",
        folder.path().to_str().unwrap(),
        "--http",
        "127.0.0.1:0",
        "--postgres",
        "127.0.0.1:0",
    ]);
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another node"), "{second:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_answer_alike_with_and_without_a_node() {
    let folder = project(&[
        ("flowline.yaml", FLOWLINE),
        (
            "datasets/small/things.yaml",
            "owner: team-small\nzone: raw\nfrom: { source: http }\ncolumns:\n  - { name: id, type: int64 }\n",
        ),
    ]);
    let path = folder.path().to_str().unwrap();
    let node = start(folder.path());
    let records = "{\"id\":1}\n{\"id\":2}\n{\"id\":\"three\"}\n";
    let sent = http_client()
        .post(format!("{}/v1/sources/small.things/records", node.http))
        .header("content-type", "application/x-ndjson")
        .body(records)
        .send()
        .await
        .unwrap();
    assert!(sent.status().is_success());
    assert!(node.terminate().unwrap());
    let node = start(folder.path());
    until(&node, "SELECT sum(read) AS n FROM system.counts", 3).await;
    let sql = "select sum(id) as total from small.things";
    let with = run_well(&["query", sql, "--project", path, "--output", "json"]);
    let quarantined = run_well(&["quarantine", "list", "--project", path, "--output", "json"]);
    assert!(quarantined.contains("wrong-type"), "{quarantined}");
    assert!(node.terminate().unwrap());
    let without = run_well(&["query", sql, "--project", path, "--output", "json"]);
    assert_eq!(with, without);
    assert_eq!(serde_json::from_str::<Value>(&without).unwrap()[0]["total"], 3);
    run_well(&["ledger", "--project", path]);
    run_well(&["status", "--project", path]);
    let shown = run_well(&["quarantine", "show", "small.things", "--project", path, "--output", "json"]);
    assert!(shown.contains("three"), "{shown}");
}

#[test]
fn a_demo_ends_by_itself_and_balances() {
    let said = run_well(&[
        "demo",
        "--for",
        "3s",
        "--seed",
        "7",
        "--output",
        "json",
        "--http",
        "127.0.0.1:0",
        "--postgres",
        "127.0.0.1:0",
    ]);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["balanced"], true, "{report:#}");
    assert_eq!(report["settled"], true, "{report:#}");
    let landed: u64 = report["ledger"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| {
            ["shop.orders", "shop.page_views", "shop.payments"].contains(&row["dataset"].as_str().unwrap())
        })
        .map(|row| row["read"].as_u64().unwrap())
        .sum();
    assert_eq!(landed, report["sent"]["acknowledged"].as_u64().unwrap(), "{report:#}");
}

#[test]
fn what_is_printed_for_programs_is_json_also_when_it_fails() {
    let output = run(&["query", "select 1", "--project", "/does/not/exist", "--output", "json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["error"].is_string());
    for shell in ["bash", "zsh", "fish"] {
        assert!(run_well(&["completions", shell]).contains("flowline"));
    }
}
