//! Why a contract's rule cannot be used.

/// Why a contract's rule cannot be used, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the check {} cannot be used: {message}", self.subject())]
pub struct RuleError {
    /// The column whose rule it is; the name of the check where it is of no column.
    pub column: String,
    /// The check, unless it is the rule of a column.
    pub check: Option<String>,
    /// What is wrong with it, and what to do.
    pub message: String,
    /// Where in the expression: line and column, from 1.
    pub position: Option<(u32, u32)>,
}

impl RuleError {
    fn subject(&self) -> String {
        match &self.check {
            Some(check) => format!("`{check}`"),
            None => format!("of column `{}`", self.column),
        }
    }
}
