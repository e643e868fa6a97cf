//! What the rules look at: crates with their dependencies and sources, packages with their licences, and the text of
//! every file in the repository.
//!
//! Owns: reading `cargo metadata` and `git ls-files`. Does not own: any rule.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::source::Source;

/// The repository as the rules see it.
#[derive(Debug, Default)]
pub struct Workspace {
    /// The crates, by folder.
    pub crates: Vec<Crate>,
    /// The packages that they are built from.
    pub packages: Vec<Package>,
    /// Every text file that Git knows or would take: path and content.
    pub files: BTreeMap<String, String>,
}

/// A crate of the workspace.
#[derive(Debug, Default)]
pub struct Crate {
    /// The folder below `crates`.
    pub folder: String,
    /// The package, `flowline-…` for most.
    pub package: String,
    /// What it is built from.
    pub dependencies: Vec<String>,
    /// What its tests are built from besides.
    pub dev_dependencies: Vec<String>,
    /// Its Rust sources.
    pub sources: Vec<Source>,
}

/// A package from elsewhere.
#[derive(Debug, Default, Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub license: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    workspace_members: Vec<String>,
    resolve: Resolve,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct MetadataPackage {
    id: String,
    #[serde(flatten)]
    package: Package,
    manifest_path: PathBuf,
    dependencies: Vec<MetadataDependency>,
}

#[derive(Debug, Deserialize)]
struct MetadataDependency {
    name: String,
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
}

/// Reads the repository that contains the current folder.
pub fn read() -> anyhow::Result<Workspace> {
    let metadata: Metadata = serde_json::from_str(&output("cargo", &metadata_arguments()?, Path::new("."))?)
        .context("`cargo metadata` is not what it used to be")?;
    let root = &metadata.workspace_root;
    let files = files(root)?;
    let used: Vec<&str> = metadata.resolve.nodes.iter().map(|node| node.id.as_str()).collect();
    let (mut crates, mut packages) = (Vec::new(), Vec::new());
    for package in metadata.packages {
        if metadata.workspace_members.contains(&package.id) {
            crates.push(member(package, root, &files)?);
        } else if used.contains(&package.id.as_str()) {
            packages.push(package.package);
        }
    }
    Ok(Workspace { crates, packages, files })
}

/// Only what is built here: the manifests of what other systems need may not be at hand.
fn metadata_arguments() -> anyhow::Result<Vec<String>> {
    let version = output("rustc", &["-vV".to_owned()], Path::new("."))?;
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).context("`rustc -vV` names no host")?;
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", host];
    Ok(arguments.map(str::to_owned).to_vec())
}

fn member(package: MetadataPackage, root: &Path, files: &BTreeMap<String, String>) -> anyhow::Result<Crate> {
    let folder = package.manifest_path.parent().unwrap_or(root);
    let below = folder.strip_prefix(root).context("a crate outside of the repository")?.display().to_string();
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let prefix = format!("{below}/");
    let rust = files.iter().filter(|(path, _)| path.starts_with(&prefix) && path.ends_with(".rs"));
    let kind = |wanted: Option<&str>| {
        let wanted = wanted.map(str::to_owned);
        let of_kind = package.dependencies.iter().filter(|dependency| dependency.kind == wanted);
        of_kind.map(|dependency| dependency.name.clone()).collect::<Vec<_>>()
    };
    let mut dependencies = kind(None);
    dependencies.extend(kind(Some("build")));
    Ok(Crate {
        folder: name,
        dependencies,
        dev_dependencies: kind(Some("dev")),
        sources: rust.map(|(path, text)| Source::new(path, text)).collect(),
        package: package.package.name,
    })
}

/// The text files that Git knows, or would take.
fn files(root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    const BYTES_MAX: u64 = 4 << 20;
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"].map(str::to_owned);
    let listing = output("git", &arguments, root)?;
    let mut files = BTreeMap::new();
    for path in listing.split('\0').filter(|path| !path.is_empty()) {
        let file = root.join(path);
        let small =
            std::fs::metadata(&file).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= BYTES_MAX);
        if let Some(text) = small.then(|| std::fs::read_to_string(&file).ok()).flatten() {
            files.insert(path.to_owned(), text);
        }
    }
    Ok(files)
}

fn output(program: &str, arguments: &[String], dir: &Path) -> anyhow::Result<String> {
    let said = Command::new(program).args(arguments).current_dir(dir).output();
    let said = said.with_context(|| format!("`{program}` cannot be run"))?;
    if !said.status.success() {
        bail!("`{program} {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&said.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}
