//! Imports point down the table of layers.

use crate::policy::{LAYERS, SIBLINGS, TOOLS};
use crate::report::Finding;
use crate::workspace::{Crate, Workspace};

const RULE: &str = "layers";

/// Every import between crates of the workspace points to a lower layer.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &workspace.crates {
        let manifest = format!("crates/{}/Cargo.toml", member.folder);
        let Some(layer) = layer_of(&member.folder) else {
            if !TOOLS.contains(&member.folder.as_str()) {
                let message =
                    format!("`{}` has no layer: give it one in crates/xtask/src/policy.rs", member.folder);
                findings.push(Finding::new(RULE, manifest, 0, message));
            }
            continue;
        };
        for dependency in members(workspace, &member.dependencies) {
            if let Some(message) = objection(member, layer, dependency) {
                findings.push(Finding::new(RULE, manifest.clone(), 0, message));
            }
        }
        for dependency in members(workspace, &member.dev_dependencies) {
            let tool = TOOLS.contains(&dependency.folder.as_str());
            if !tool && let Some(message) = objection(member, layer, dependency) {
                findings.push(Finding::new(RULE, manifest.clone(), 0, format!("{message} (in tests)")));
            }
        }
    }
    findings
}

/// The crates of the workspace among these packages.
fn members<'a>(workspace: &'a Workspace, packages: &'a [String]) -> impl Iterator<Item = &'a Crate> {
    workspace.crates.iter().filter(|member| packages.contains(&member.package))
}

fn layer_of(folder: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == folder).map(|(_, layer)| *layer)
}

/// Why a crate may not import another.
fn objection(member: &Crate, layer: u8, dependency: &Crate) -> Option<String> {
    let (from, to) = (&member.folder, &dependency.folder);
    match layer_of(to) {
        None if TOOLS.contains(&to.as_str()) => {
            Some(format!("`{from}` imports the tool `{to}` outside of tests"))
        }
        None => None,
        Some(below) if below < layer => None,
        Some(same)
            if same == layer && SIBLINGS.iter().any(|(left, right, _)| left == from && right == to) =>
        {
            None
        }
        Some(other) => {
            Some(format!("`{from}` (layer {layer}) imports `{to}` (layer {other}): imports point down"))
        }
    }
}
