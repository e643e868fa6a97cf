//! The repository has the documents that a newcomer looks for.

use crate::policy::DOCUMENTS;
use crate::report::Finding;
use crate::workspace::Workspace;

/// Each of them is there and says something.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let missing = DOCUMENTS.iter().filter(|(path, _)| {
        let text = workspace.files.get(*path);
        text.is_none_or(|text| text.trim().is_empty())
    });
    missing
        .map(|(path, says)| Finding::new("documents", *path, 0, format!("there is no {path}: {says}")))
        .collect()
}
