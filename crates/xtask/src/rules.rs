//! The rules, one file each: from the workspace to what breaks them.

mod calls;
mod dependencies;
mod documents;
mod headers;
mod layers;
mod licences;
mod manifests;
mod size;
mod words;

use crate::report::{Finding, Report};
use crate::sizes;
use crate::workspace::Workspace;

/// A rule.
type Rule = fn(&Workspace) -> Vec<Finding>;

const RULES: &[Rule] = &[
    layers::check,
    dependencies::check,
    calls::check,
    size::check,
    headers::check,
    manifests::check,
    licences::check,
    words::check,
    documents::check,
];

/// Holds the workspace against every rule.
pub fn run(workspace: &Workspace) -> Report {
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(workspace)).collect();
    findings.sort();
    findings.dedup();
    Report {
        findings,
        functions: sizes::functions(workspace),
        files: sizes::files(workspace),
        licences_checked: workspace.packages.len(),
    }
}
