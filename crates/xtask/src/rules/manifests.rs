//! Every crate takes its lints, and the versions of its dependencies, from the workspace.

use crate::report::Finding;
use crate::workspace::Workspace;

/// No crate goes its own way.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &workspace.crates {
        let path = format!("crates/{}/Cargo.toml", member.folder);
        let Some(text) = workspace.files.get(&path) else { continue };
        if !text.contains("[lints]\nworkspace = true") {
            let message =
                "the lints of the workspace do not hold here: add `[lints]` with `workspace = true`";
            findings.push(Finding::new("manifest", path.clone(), 0, message));
        }
        for (line, dependency) in own_versions(text) {
            let message =
                format!("`{dependency}` has a version of its own: put it into [workspace.dependencies]");
            findings.push(Finding::new("manifest", path.clone(), line, message));
        }
    }
    findings
}

/// The dependencies that do not come from the workspace, with their lines.
fn own_versions(manifest: &str) -> Vec<(usize, &str)> {
    let (mut within, mut found) = (false, Vec::new());
    for (number, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            within = line.trim_end_matches(']').ends_with("dependencies");
        } else if let Some((name, value)) = line.split_once('=').filter(|_| within) {
            let inherited = name.trim().ends_with(".workspace") || value.contains("workspace = true");
            if !inherited && !line.starts_with('#') && !value.contains("path = ") {
                found.push((number + 1, name.trim()));
            }
        }
    }
    found
}
