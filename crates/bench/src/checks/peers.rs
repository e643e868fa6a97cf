//! The same rules in tools that others use for them, each as its users run it: one command over the same files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::rules::{self, Rule};
use super::timed;

/// The peers, by the names that `scripts/peers` has for them.
pub const PEERS: [&str; 4] = ["soda", "great-expectations", "dbt", "datacontract"];

/// Runs a peer over the files of the table, and says whether it finds the same rules broken.
pub async fn run(
    peer: &str,
    files: &Value,
    all: &[Rule],
    failing: &BTreeSet<String>,
    patience: Duration,
) -> anyhow::Result<Value> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../../.peers").join(peer).join("bin/python");
    ensure!(python.is_file(), "not installed: run `scripts/peers {peer}`");
    let script: PathBuf = here.join("peers").join(format!("checks_{}.py", peer.replace('-', "_")));
    let rules: Vec<Value> =
        all.iter().enumerate().map(|(number, rule)| rule.asked(&rules::name(number))).collect();
    let mut command = Command::new(python);
    command.arg(script);
    let ran = timed(command, Some(json!({ "files": files, "rules": rules }).to_string()), patience).await?;
    let last = ran.said.lines().rfind(|line| line.starts_with("{\"failing\"")).context("it said nothing")?;
    let answer: Value = serde_json::from_str(last)?;
    let found: BTreeSet<String> = answer["failing"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    Ok(json!({
        "seconds": ran.seconds, "memory_peak_bytes": ran.memory_peak, "bytes_read": ran.bytes_read,
        "rules_failed": found.len(), "same_rules_failed": found == *failing,
    }))
}
