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

/// Whether there is psql; says so where there is none.
pub fn has_psql() -> bool {
    let there = Command::new("psql").arg("--version").output().is_ok();
    if !there {
        println!("skipped: no psql");
    }
    there
}

/// What psql makes of a command, with these options besides.
pub fn psql(node: &FlowlineProcess, database: &str, options: &[&str], command: &str) -> Output {
    let (host, port) = node.postgres.split_once(':').unwrap();
    let connection = ["-X", "-h", host, "-p", port, "-U", "someone", "-d", database];
    let mut psql = Command::new("psql");
    psql.args(connection).args(options).args(["-v", "ON_ERROR_STOP=1", "-c", command]);
    output_of(&mut psql).unwrap()
}
