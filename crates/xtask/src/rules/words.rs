//! Words that stand nowhere: paths of one machine, hosts of registries.

use crate::policy::{FORBIDDEN, FORBIDDEN_EXCEPT};
use crate::report::Finding;
use crate::workspace::Workspace;

/// No file has such a word.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in workspace.files.iter().filter(|(path, _)| !FORBIDDEN_EXCEPT.contains(&path.as_str()))
    {
        for (number, line) in text.lines().enumerate() {
            for (word, what) in FORBIDDEN.iter().filter(|(word, _)| has(line, word)) {
                findings.push(Finding::new("words", path.clone(), number + 1, format!("`{word}` is {what}")));
            }
        }
    }
    findings
}

/// Whether the word stands in the line; a path only where it begins, and not within a longer one.
fn has(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(index, _)| {
        let before = line[..index].chars().next_back();
        !word.starts_with('/') || before.is_none_or(|c| !(c.is_alphanumeric() || "_.-}/".contains(c)))
    })
}
