//! Functions and files stay small enough to be read.

use crate::policy::{FILE_LINES_MAX, FUNCTION_LINES_MAX};
use crate::report::Finding;
use crate::workspace::Workspace;

/// No function and no file is larger than its bound; tests are free.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in workspace.crates.iter().flat_map(|member| &member.sources) {
        if let Some(error) = &source.broken {
            findings.push(Finding::new("size", &*source.path, 0, format!("this file is not Rust: {error}")));
        }
        for function in source.functions.iter().filter(|function| function.lines > FUNCTION_LINES_MAX) {
            let message = format!(
                "`{}` has {} lines, more than {FUNCTION_LINES_MAX}: give its parts names",
                function.name, function.lines
            );
            findings.push(Finding::new("size", &*source.path, function.line, message));
        }
        let lines = source.body_lines();
        if !source.is_test && lines > FILE_LINES_MAX {
            let message = format!(
                "this file has {lines} lines without its tests, more than {FILE_LINES_MAX}: it has several subjects"
            );
            findings.push(Finding::new("size", &*source.path, 0, message));
        }
    }
    findings
}
