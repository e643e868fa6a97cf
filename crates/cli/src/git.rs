//! The project as it stands in a commit, read by calling `git`.
//!
//! Owns: finding the repository of a folder, and laying out the files of one commit in a temporary folder. Nothing of
//! the working tree, the index or the refs of the repository is touched. Does not own: what the files say.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use tempfile::TempDir;

/// The files of a project in one commit; they go when this does.
#[derive(Debug)]
pub struct Checkout {
    folder: TempDir,
    /// The commit, 12 hexadecimal digits.
    pub commit: String,
}

impl Checkout {
    /// The folder that holds `flowline.yaml`.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("project")
    }
}

/// Lays out the project in `project` as it stands in a commit; none when there is no project in that commit.
pub fn checkout(project: &Path, reference: &str) -> anyhow::Result<Option<Checkout>> {
    let commit = run(project, &[], ["rev-parse", "--verify", "--quiet", &format!("{reference}^{{commit}}")])
        .with_context(|| {
            format!("`{reference}` is no commit of the repository of `{}`", project.display())
        })?;
    let prefix = run(project, &[], ["rev-parse", "--show-prefix"])?;
    let tree = format!("{commit}:{}", prefix.trim_end_matches('/'));
    let there = format!("{commit}:{prefix}flowline.yaml");
    if run(project, &[], ["cat-file", "-e", &there]).is_err() {
        return Ok(None);
    }
    let folder = tempfile::tempdir().context("creating a temporary folder")?;
    // An index of our own: that of the repository stays as it is.
    let index = folder.path().join("index");
    let own_index = [("GIT_INDEX_FILE", index.as_os_str())];
    run(project, &own_index, ["read-tree", &tree])?;
    let target = format!("{}/project/", folder.path().display());
    // Below a folder of the repository git would only lay out what lies there.
    let root = PathBuf::from(run(project, &[], ["rev-parse", "--show-toplevel"])?);
    // Links could lead out of the folder, so they are laid out as the texts that they are.
    run(
        &root,
        &own_index,
        ["-c", "core.symlinks=false", "checkout-index", "--all", "--quiet", "--prefix", &target],
    )?;
    std::fs::create_dir_all(folder.path().join("project"))?;
    Ok(Some(Checkout { commit: commit.chars().take(12).collect(), folder }))
}

/// Runs git in a folder and returns what it prints.
fn run<const N: usize>(
    folder: &Path,
    variables: &[(&str, &OsStr)],
    arguments: [&str; N],
) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments).envs(variables.iter().copied());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!(
                "the program `git` is not installed, and it reads the files of a commit: install it, or name versions with `--from` and `--to`"
            )
        }
        Err(error) => return Err(error).context("running git"),
    };
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        let told = told.trim().trim_start_matches("fatal: ");
        bail!("`git {}` failed{}{told}", arguments.join(" "), if told.is_empty() { "" } else { ": " });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
}
