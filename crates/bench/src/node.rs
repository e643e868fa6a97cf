//! The release binary under measurement.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use flowline_testkit::{FlowlineOptions, FlowlineProcess};

/// The dataset that is loaded.
pub const SOURCE: &str = "bench.events";

/// The `flowline` binary beside this one, built when it is first asked for: before anything is measured.
pub fn binary() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(built) = BUILT.get() {
        return Ok(built.clone());
    }
    let built = build()?;
    Ok(BUILT.get_or_init(|| built).clone())
}

fn build() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().context("this program lies in no folder")?;
    let binary = folder.join("flowline");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--package", "flowline"]);
    if folder.ends_with("release") {
        command.arg("--release");
    }
    ensure!(command.status()?.success(), "building `flowline` failed");
    ensure!(binary.is_file(), "no `flowline` beside {}", here.display());
    Ok(binary)
}

/// A project with one empty HTTP dataset, in a new folder below `folder`; the binary is built first.
pub fn project(folder: &Path) -> anyhow::Result<tempfile::TempDir> {
    binary()?;
    let project = tempfile::tempdir_in(folder)?;
    let datasets = project.path().join("datasets/bench");
    std::fs::create_dir_all(&datasets)?;
    std::fs::write(
        project.path().join("flowline.yaml"),
        "name: bench\nteams:\n  team-bench: { contact: bench@example.org }\n",
    )?;
    std::fs::write(datasets.join("events.yaml"), EVENTS)?;
    Ok(project)
}

/// Adds keys to the file of the dataset; replaces what was added before.
pub fn declare(project: &Path, keys: &str) -> anyhow::Result<()> {
    Ok(std::fs::write(project.join("datasets/bench/events.yaml"), format!("{EVENTS}{keys}"))?)
}

const EVENTS: &str = "description: What the load generator sends.
owner: team-bench
zone: raw
from: { source: http }
columns:
  - { name: event_id, type: string, required: true }
  - { name: user_id,  type: int64, required: true }
  - { name: kind,     type: string }
  - { name: amount,   type: \"decimal(12,2)\" }
  - { name: url,      type: string }
  - { name: ts,       type: timestamp, required: true }
";

/// Starts a node with every role on the project.
pub fn start(project: &Path) -> anyhow::Result<FlowlineProcess> {
    FlowlineProcess::start(&FlowlineOptions::new(binary()?, project))
}

/// Starts a node that only takes records in: nothing lands.
pub fn start_gateway(project: &Path) -> anyhow::Result<FlowlineProcess> {
    let mut options = FlowlineOptions::new(binary()?, project);
    options.roles = vec!["gateway".to_owned()];
    FlowlineProcess::start(&options)
}

/// `(resident, peak resident)` bytes of a process.
pub fn memory(process: u32) -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let field = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1))
            .and_then(|kib| kib.parse::<u64>().ok())
            .unwrap_or(0)
            * 1024
    };
    Ok((field("VmRSS:"), field("VmHWM:")))
}

/// Bytes that a process has asked the system for.
pub fn bytes_read(process: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/io"))?;
    let read = text.lines().find_map(|line| line.strip_prefix("rchar: ")).context("no `rchar`")?;
    Ok(read.trim().parse()?)
}
