//! Every crate says what it owns and does not own, every file what it is.

use crate::report::Finding;
use crate::workspace::Workspace;

const RULE: &str = "header";

/// Crate roots say `Owns:`; every file begins with `//!`.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &workspace.crates {
        let roots = ["lib.rs", "main.rs"].map(|name| format!("crates/{}/src/{name}", member.folder));
        for source in &member.sources {
            let header = source.header();
            let root = roots.contains(&source.path);
            let owns = header.iter().any(|line| line.contains("Owns:"));
            if root && !owns {
                let message = format!(
                    "`{}` does not say what it owns: begin with `//! … Owns: … Does not own: …`",
                    member.folder
                );
                findings.push(Finding::new(RULE, &*source.path, 1, message));
            } else if header.is_empty() && !source.is_test {
                findings.push(Finding::new(
                    RULE,
                    &*source.path,
                    1,
                    "this file does not say what it is: begin with `//! …`",
                ));
            }
        }
    }
    findings
}
