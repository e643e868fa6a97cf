//! `flowline contract`: what a change breaks, and the Open Data Contract Standard.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flowline_base::{Clock, SystemClock};
use flowline_testkit::{http_client, output_of};
use serde_json::Value;

use crate::project::{project, run, run_well, start, write};

const FLOWLINE: &str = "name: shop
teams:
  team-shop: { contact: shop@example.org }
  team-board: { contact: board@example.org }
defaults:
  landing: { flush_after: 100ms }
";

const ORDERS: &str = "description: One row an order.
owner: team-shop
zone: clean
from: { source: http }
columns:
  - { name: order_id, type: string, required: true, unique: true, description: \"The number on the bill.\" }
  - { name: email, type: string, pii: email }
  - { name: amount, type: \"decimal(12,2)\", required: true, check: \"amount >= 0\" }
  - { name: quantity, type: int32, field: \"Quantity\" }
  - { name: paid, type: boolean }
  - { name: tags, type: list<string> }
  - { name: address, type: \"struct<street: string, zip: string>\" }
  - { name: ts, type: timestamp, required: true }
key: [order_id]
event_time: { column: ts, watermark: 10s }
compatibility: backward
slo:
  freshness: { within: 24h, target: 99% }
  completeness: { target: 99.9% }
on_drift: quarantine
runbook: runbooks/orders.md
";

const REVENUE: &str = "description: What is earned a day.
owner: team-board
zone: trusted
from: { source: sql }
materialize: full
sql: |
  SELECT date_trunc('day', ts) AS day, sum(amount) AS total FROM shop.orders GROUP BY 1
";

const BOARD: &str = "owner: team-board
kind: dashboard
reads:
  - { dataset: shop.revenue, columns: [total] }
  - { dataset: shop.orders, columns: [email] }
";

fn shop() -> tempfile::TempDir {
    project(&[
        ("shop/flowline.yaml", FLOWLINE),
        ("shop/runbooks/orders.md", "# Orders\n"),
        ("shop/datasets/shop/orders.yaml", ORDERS),
        ("shop/datasets/shop/revenue.yaml", REVENUE),
        ("shop/consumers/board.yaml", BOARD),
    ])
}

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"];
    let output = output_of(Command::new("git").arg("-C").arg(folder).args(identity).args(arguments)).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn has_git() -> bool {
    let there = Command::new("git").arg("--version").output().is_ok();
    if !there {
        println!("skipped: no git");
    }
    there
}

fn edit(folder: &Path, path: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(folder.join(path)).unwrap();
    assert!(text.contains(from));
    write(folder, path, &text.replace(from, to));
}

#[test]
fn a_pull_request_that_breaks_a_consumer_is_refused() {
    if !has_git() {
        return;
    }
    let folder = shop();
    let shop = folder.path().join("shop");
    let shop_text = shop.to_str().unwrap();
    git(folder.path(), &["init", "--quiet", "--initial-branch", "main"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "--quiet", "--message", "first"]);
    let check = |extra: &[&str]| {
        let arguments = [&["contract", "check", "--git", "main", "--project", shop_text], extra].concat();
        let output = run(&arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    };
    let (code, text) = check(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("no contract changes"), "{text}");

    // A wider type is compatible backward, and told to those behind it; a consumer that reads a column which becomes
    // wider by that is broken, though no file of its dataset changed.
    edit(&shop, "datasets/shop/orders.yaml", "quantity, type: int32", "quantity, type: int64");
    edit(&shop, "datasets/shop/orders.yaml", "decimal(12,2)", "decimal(14,2)");
    let (code, text) = check(&["--markdown"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("| `amount` was decimal(12,2) and is decimal(14,2), which is wider | backward |  | consumer board (team-board) through shop.revenue.total<br>shop.revenue.total (team-board) |"), "{text}");
    assert!(text.contains("### ✅ `shop.orders`") && text.contains("### ❌ `shop.revenue`"), "{text}");
    assert!(text.contains("which is wider: `board` (team-board) reads it"), "{text}");

    edit(&shop, "datasets/shop/orders.yaml", "  - { name: email, type: string, pii: email }\n", "");
    edit(
        &shop,
        "consumers/board.yaml",
        "  - { dataset: shop.orders, columns: [email] }\n",
        "  - { dataset: shop.orders }\n",
    );
    let (code, text) = check(&["--output", "json"]);
    assert_eq!(code, Some(1), "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["verdict"], "refused");
    let reasons = report["datasets"][0]["reasons"].to_string();
    assert!(reasons.contains("`email` (string) is gone: `board` (team-board) reads it"), "{reasons}");
    git(folder.path(), &["diff", "--quiet", "--cached"]);

    let (code, text) = check(&["--git", "nowhere"]);
    assert_eq!(code, Some(2), "{text}");
}

#[test]
fn a_consumer_of_a_column_that_no_query_gives_is_told() {
    let folder = shop();
    let shop = folder.path().join("shop");
    edit(&shop, "consumers/board.yaml", "columns: [total]", "columns: [day, totals]");
    let output = run(&["check", shop.to_str().unwrap(), "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problem = &told["diagnostics"][0];
    assert_eq!(problem["message"], "`shop.revenue` has no column `totals`");
    assert_eq!(
        (&problem["file"], &problem["line"], &problem["column"]),
        (&"consumers/board.yaml".into(), &4.into(), &45.into())
    );
}

#[test]
fn a_commit_that_cannot_be_compared_with_is_an_error_and_not_a_pass() {
    if !has_git() {
        return;
    }
    let folder = shop();
    let shop = folder.path().join("shop");
    git(folder.path(), &["init", "--quiet", "--initial-branch", "main"]);
    write(&shop, "datasets/shop/orders.yaml", "owner: nobody\n");
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "--quiet", "--message", "broken"]);
    write(&shop, "datasets/shop/orders.yaml", ORDERS);
    let output = run(&["contract", "check", "--git", "main", "--project", shop.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the project has errors in `main`"));
    let output = run(&["contract", "check", "--git", "elsewhere", "--project", shop.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && told.contains("`elsewhere` is no commit"), "{told}");
}

#[test]
fn an_import_says_what_is_left_to_do() {
    let folder = shop();
    let shop = folder.path().join("shop");
    let exported = run_well(&["contract", "export", "shop.orders", "--project", shop.to_str().unwrap()]);
    let other =
        project(&[("flowline.yaml", "name: other\nteams: { team-other: { contact: other@example.org } }\n")]);
    write(other.path(), "orders.odcs.yaml", &exported);
    let file = other.path().join("orders.odcs.yaml");
    let (file, other_text) = (file.to_str().unwrap(), other.path().to_str().unwrap());
    let steps = |arguments: &[&str]| {
        let output = run(&[&["contract", "import", file, "--project", other_text], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        told.lines().filter_map(|line| line.strip_prefix("next: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let declare = "declare `team-shop` in flowline.yaml: `teams: { team-shop: { contact: team-shop@example.org } }`, or name another `owner`";
    let from = "shop.orders takes records over HTTP (`POST /v1/sources/shop.orders/records`); where they come from files, Kafka or SQL, say so under `from:` in datasets/shop/orders.yaml";
    let nothing = "nothing was written; the same without `--print` writes these files";
    assert_eq!(steps(&["--print"]), [declare, from, nothing]);
    let check = format!("flowline check {other_text}");
    assert_eq!(steps(&[]), [declare, from, &check]);
    // What it says is what is missing.
    assert_eq!(run(&["check", other_text]).status.code(), Some(1));
    edit(
        other.path(),
        "flowline.yaml",
        "teams: {",
        "teams: { team-shop: { contact: team-shop@example.org },",
    );
    run_well(&["check", other_text]);
}

#[test]
fn each_deployment_that_changes_a_contract_is_a_version() {
    let folder = shop();
    let shop = folder.path().join("shop");
    let shop_text = shop.to_str().unwrap().to_owned();
    let contract = |arguments: &[&str]| {
        run_well(&[&["contract"], arguments, &["--project", &shop_text, "--output", "json"]].concat())
    };
    drop(start(&shop));
    edit(
        &shop,
        "datasets/shop/orders.yaml",
        "  - { name: paid, type: boolean }\n",
        "  - { name: state, type: string }\n",
    );
    let report: Value = serde_json::from_str(&contract(&["diff", "shop.orders"])).unwrap();
    assert_eq!((&report["from"], &report["verdict"]), (&Value::from("version 1"), &Value::from("allowed")));
    drop(start(&shop));
    let versions: Value = serde_json::from_str(&contract(&["list", "shop.orders"])).unwrap();
    assert_eq!(
        (&versions[0]["version"], &versions[0]["compatibility"]),
        (&Value::from(2), &Value::from("backward"))
    );
    let report: Value =
        serde_json::from_str(&contract(&["diff", "shop.orders", "--from", "2", "--to", "1"])).unwrap();
    let changes = report["datasets"][0]["changes"].as_array().unwrap();
    let kinds: Vec<&str> = changes.iter().map(|change| change["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["column-removed", "column-added"]);
    let output = run(&["contract", "diff", "shop.orders", "--from", "9", "--project", &shop_text]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no version 9: it has 1 to 2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exported_contract_passes_the_tools_of_its_standard_and_comes_back() {
    let folder = shop();
    let shop = folder.path().join("shop");
    let shop_text = shop.to_str().unwrap().to_owned();
    let node = start(&shop);
    let orders: Vec<Value> = (0..200)
        .map(|n| serde_json::json!({
            "order_id": format!("o-{n}"), "email": "ann@example.org", "amount": "12.50", "Quantity": n, "paid": true,
            "tags": ["a"], "address": { "street": "x", "zip": "1" }, "ts": SystemClock.now(),
        }))
        .collect();
    let request = http_client().post(format!("{}/v1/sources/shop.orders/records", node.http));
    let answer: Value = request.json(&orders).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["accepted"], 200, "{answer}");
    let landed = async || node.query("SELECT count(*) AS n FROM shop.orders").await.unwrap()[0]["n"] == 200;
    for _ in 0..600 {
        if landed().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(landed().await);
    drop(node);
    let exported = run_well(&["contract", "export", "shop.orders", "--project", &shop_text]);
    let file = folder.path().join("orders.odcs.yaml");
    std::fs::write(&file, &exported).unwrap();

    let imported = run_well(&[
        "contract",
        "import",
        file.to_str().unwrap(),
        "--project",
        &shop_text,
        "--print",
        "--output",
        "json",
    ]);
    let imported: Value = serde_json::from_str(&imported).unwrap();
    assert_eq!(imported[0]["lost"], serde_json::json!([]));
    write(&shop, "datasets/shop/orders.yaml", imported[0]["yaml"].as_str().unwrap());
    let again = run_well(&["contract", "export", "shop.orders", "--project", &shop_text]);
    assert_eq!(again, exported);

    let Some(python) = std::env::var_os("FLOWLINE_TEST_DATACONTRACT") else {
        println!(
            "skipped: no datacontract-cli (set FLOWLINE_TEST_DATACONTRACT to a Python that has it; `scripts/peers datacontract` installs it)"
        );
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/odcs.py");
    let rows = shop.join(".flowline/lake/clean/shop/orders/**/*.parquet");
    let output = output_of(Command::new(python).arg(script).arg(&file).arg(rows)).unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
