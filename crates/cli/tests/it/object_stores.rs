//! The real binary with its lake, and a folder of files, on object stores that speak the protocols of S3 and of Azure.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flowline_base::{Clock, SystemClock};
use flowline_testkit::{FlowlineProcess, output_of};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::crash::{FLOWLINE, Trial, seed};
use crate::project::{project, start};

/// An object store with an empty bucket, as `scripts/object-stores-for-tests` tells of it.
#[derive(Debug, Deserialize)]
struct ObjectStore {
    name: String,
    url: String,
    storage_options: Value,
}

impl ObjectStore {
    /// The stores that this machine has for tests; none, and a word about it, without the variable.
    fn all() -> Vec<Self> {
        let Some(path) = std::env::var_os("FLOWLINE_TEST_OBJECT_STORES") else {
            println!(
                "skipped: no object stores (set FLOWLINE_TEST_OBJECT_STORES to what `scripts/object-stores-for-tests start` prints)"
            );
            return Vec::new();
        };
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// flowline.yaml with the lake in a folder of the bucket.
    fn flowline(&self, folder: &str) -> String {
        let (url, options) = (&self.url, &self.storage_options);
        format!("{FLOWLINE}environments:\n  dev:\n    lake: {url}{folder}\n    storage_options: {options}\n")
    }

    /// What an independent client does there; false when there is none on this machine.
    fn python(&self, arguments: &[&str]) -> bool {
        let Some(python) = std::env::var_os("FLOWLINE_TEST_PYTHON") else {
            println!(
                "skipped: no Python client (set FLOWLINE_TEST_PYTHON; `scripts/peers python` installs it)"
            );
            return false;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/object_stores.py");
        let options = self.storage_options.to_string();
        let output =
            output_of(Command::new(python).arg(script).args([&self.url, &options]).args(arguments)).unwrap();
        assert!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigkill_loses_nothing_and_doubles_nothing_of_a_lake_on_an_object_store() {
    for store in ObjectStore::all() {
        println!("{}", store.name);
        let flowline = store.flowline("killed");
        Trial { rounds: 4, seed: seed(), faults: &[], flowline, broker: None }.run().await;
        for table in ["raw/crash/events", "clean/crash/orders", "trusted/crash/totals"] {
            store.python(&["read", &format!("killed/{table}")]);
        }
    }
}

const VISITS: &str = "description: Files that somebody puts into the bucket.
owner: team-crash
zone: raw
from: { source: files, location: LOCATION, pattern: '*.csv', poll_every: 200ms }
columns:
  - { name: id, type: int64, required: true }
  - { name: name, type: string }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_an_object_store_land_once_and_those_that_cannot_are_told() {
    for store in ObjectStore::all() {
        println!("{}", store.name);
        if !store.python(&["put", "inbox/first.csv", "id,name\n1,one\n2,two\n"]) {
            return;
        }
        store.python(&["put", "inbox/empty.csv", ""]);
        store.python(&["put", "inbox/readme.md", "nothing that matches"]);
        let visits = VISITS.replace("LOCATION", &format!("{}inbox", store.url));
        let folder = project(&[
            ("flowline.yaml", store.flowline("files").as_str()),
            ("datasets/shop/visits.yaml", visits.as_str()),
        ]);
        let node = start(folder.path());
        until_rows(&node, 2).await;
        node.kill().unwrap();
        store.python(&["put", "inbox/second.csv", "id,name\n3,three\n"]);
        let node = start(folder.path());
        until_rows(&node, 3).await;
        let findings =
            "SELECT DISTINCT kind FROM system.findings WHERE dataset = 'shop.visits' ORDER BY kind";
        let findings = node.query(findings).await.unwrap();
        assert_eq!(
            findings,
            [json!({ "kind": "empty-file" }), json!({ "kind": "unmatched-file" })],
            "{}",
            store.name
        );
        let balance = node.query("SELECT DISTINCT balance FROM system.counts").await.unwrap();
        assert_eq!(balance, [json!({ "balance": "balanced" })], "{}", store.name);
        store.python(&["read", "files/raw/shop/visits", "3"]);
    }
}

async fn until_rows(node: &FlowlineProcess, wanted: i64) {
    let started = SystemClock.instant();
    loop {
        let rows = node.query("SELECT count(*) AS n FROM shop.visits").await.unwrap_or_default();
        let found = rows.first().and_then(|row| row["n"].as_i64());
        if found == Some(wanted) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{found:?} rows after a minute, not {wanted}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
