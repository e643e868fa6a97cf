//! "Is the only crate that", as far as calls show it.

use crate::policy::{ONLY_CALLS, OnlyCall, TOOLS};
use crate::report::Finding;
use crate::source::Source;
use crate::workspace::Workspace;

const RULE: &str = "only-call";

/// Every call stands only where it may, or says why it must.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in workspace.crates.iter().filter(|member| !TOOLS.contains(&member.folder.as_str())) {
        for rule in ONLY_CALLS.iter().filter(|rule| !rule.crates.contains(&member.folder.as_str())) {
            for source in &member.sources {
                findings.extend(calls(rule, source));
            }
        }
    }
    findings
}

fn calls(rule: &OnlyCall, source: &Source) -> Vec<Finding> {
    let made = source.calls.iter().filter(|call| rule.calls.iter().any(|end| ends_with(&call.path, end)));
    let by_clippy =
        rule.clippy && source.lines.iter().any(|line| line.contains("clippy::disallowed_methods"));
    let unexplained = made.filter(|call| !by_clippy && source.allowance(rule.word, call.line).is_none());
    let finding = |call: &crate::source::Call| {
        let only: Vec<String> = rule.crates.iter().map(|name| format!("`{name}`")).collect();
        let message = format!(
            "`{}`: to {} is for {} only: {}, or say why on this line: `// tidy: allow({}): …`",
            call.path,
            rule.reason,
            only.join(", "),
            rule.instead,
            rule.word
        );
        Finding::new(RULE, source.path.clone(), call.line, message)
    };
    unexplained.map(finding).collect()
}

/// Whether a path ends in these parts.
fn ends_with(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with("::"))
}
