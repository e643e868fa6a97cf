//! Why a contract's rule cannot be used.

/// Why a contract's rule cannot be used, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the check of column `{column}` cannot be used: {message}")]
pub struct RuleError {
    /// The column whose rule it is.
    pub column: String,
    /// What is wrong with it, and what to do.
    pub message: String,
    /// Where in the expression: line and column, from 1.
    pub position: Option<(u32, u32)>,
}
