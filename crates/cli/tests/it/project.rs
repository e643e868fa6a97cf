//! Small projects for tests.

use std::path::Path;
use std::process::{Command, Output};

use flowline_testkit::{FlowlineOptions, FlowlineProcess, output_of};
use tempfile::TempDir;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_flowline");

/// A project in a temporary folder.
pub fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, contents) in files {
        write(folder.path(), path, contents);
    }
    folder
}

/// Writes one file of a project.
pub fn write(folder: &Path, path: &str, contents: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, contents).unwrap();
}

/// Starts a node on the project.
pub fn start(folder: &Path) -> FlowlineProcess {
    FlowlineProcess::start(&FlowlineOptions::new(BINARY, folder)).unwrap()
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    output_of(Command::new(BINARY).args(arguments).env("NO_COLOR", "1")).unwrap()
}

/// Standard output of a command that must succeed.
pub fn run_well(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(
        output.status.success(),
        "`flowline {}` failed with {}:\n{}\n{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
