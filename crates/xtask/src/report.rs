//! What was found, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::sizes::Sizes;

/// Everything that was found, and the sizes.
#[derive(Debug, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
    pub functions: Sizes,
    pub files: Sizes,
    /// How many dependencies had their licence read.
    pub licences_checked: usize,
}

/// One thing that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: &'static str,
    /// Where, from the root of the repository.
    pub file: String,
    /// From 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong, and what to do instead.
    pub message: String,
}

impl Finding {
    /// Something about a line of a file.
    pub fn new(rule: &'static str, file: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { rule, file: file.into(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {} [{}]", self.file, self.message, self.rule),
            line => write!(f, "{}:{line}: {} [{}]", self.file, self.message, self.rule),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        if !self.findings.is_empty() {
            writeln!(f)?;
        }
        for (name, sizes) in [("functions", &self.functions), ("files", &self.files)] {
            let Sizes { count, p50, p95, p99, max, .. } = sizes;
            writeln!(f, "{name:<10} {count:>5}   lines: p50 {p50}, p95 {p95}, p99 {p99}, max {max}")?;
            for sized in &sizes.largest {
                writeln!(f, "  {:>4}  {}", sized.lines, sized.place)?;
            }
        }
        writeln!(f, "licences   {:>5}   dependencies read", self.licences_checked)?;
        match self.findings.len() {
            0 => writeln!(f, "tidy"),
            1 => writeln!(f, "1 finding"),
            count => writeln!(f, "{count} findings"),
        }
    }
}
