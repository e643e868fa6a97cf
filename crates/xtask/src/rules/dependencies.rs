//! "Is the only crate that", as far as dependencies show it; and crates that compute and do nothing else.

use crate::policy::{ONLY_DEPENDENCIES, PURE, TOOLS};
use crate::report::Finding;
use crate::workspace::Workspace;

/// Every dependency stands only where it may.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in workspace.crates.iter().filter(|member| !TOOLS.contains(&member.folder.as_str())) {
        let folder = member.folder.as_str();
        let manifest = format!("crates/{folder}/Cargo.toml");
        for dependency in &member.dependencies {
            for rule in ONLY_DEPENDENCIES.iter().filter(|rule| !rule.crates.contains(&folder)) {
                if rule.packages.iter().any(|pattern| matches(pattern, dependency)) {
                    let message = format!(
                        "`{folder}` depends on `{dependency}`, but only {} {}",
                        list(rule.crates),
                        rule.reason
                    );
                    findings.push(Finding::new("only-dependency", manifest.clone(), 0, message));
                }
            }
            let pure = PURE.iter().find(|(name, _)| *name == folder);
            if pure.is_some_and(|(_, never)| never.contains(&dependency.as_str())) {
                let message = format!("`{folder}` is pure and never depends on `{dependency}`");
                findings.push(Finding::new("pure", manifest.clone(), 0, message));
            }
        }
    }
    findings
}

fn matches(pattern: &str, package: &str) -> bool {
    pattern.strip_suffix('*').map_or(package == pattern, |start| package.starts_with(start))
}

fn list(crates: &[&str]) -> String {
    let names: Vec<String> = crates.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
