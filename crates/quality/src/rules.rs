//! The rules of a contract and what they say of each row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use datafusion::physical_expr::PhysicalExpr;
use flowline_model::{Dataset, FindingKind};

use crate::{RuleError, compile, evaluate};

/// The rules of a contract, ready to be held against batches. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RowRules {
    pub(crate) columns: usize,
    pub(crate) required: Vec<(usize, String)>,
    pub(crate) checks: Vec<Check>,
}

/// One check of a column.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) column: String,
    pub(crate) text: String,
    pub(crate) expression: Arc<dyn PhysicalExpr>,
}

impl RowRules {
    /// Compiles the rules of a dataset's columns.
    ///
    /// # Errors
    /// The first rule that cannot be used; [`RowRules::problems`] finds all.
    pub fn compile(dataset: &Dataset) -> Result<Self, RuleError> {
        let (rules, mut problems) = compile::compile(dataset);
        if problems.is_empty() { Ok(rules) } else { Err(problems.swap_remove(0)) }
    }

    /// Every rule of a dataset's columns that cannot be used.
    pub fn problems(dataset: &Dataset) -> Vec<RuleError> {
        compile::compile(dataset).1
    }

    /// Whether there is nothing to check.
    pub fn is_empty(&self) -> bool {
        self.required.is_empty() && self.checks.is_empty()
    }

    /// Holds every row against every rule. The batch begins with the contract's columns in their order and types; more
    /// may follow. Cost: one vectorized pass for each check.
    ///
    /// A check that is null for a row passes, as in SQL. A row for which a check cannot be evaluated (a division by
    /// zero) fails it.
    pub fn evaluate(&self, batch: &RecordBatch) -> RowVerdicts {
        evaluate::evaluate(self, batch)
    }
}

/// What the rules say of the rows of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowVerdicts {
    pub(crate) rows: usize,
    pub(crate) failures: BTreeMap<usize, RowFailure>,
}

/// The first rule that a row fails, in the order of the columns, `required` before `check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFailure {
    /// [`FindingKind::Missing`] or [`FindingKind::FailedRule`].
    pub reason: FindingKind,
    /// The column whose rule it is.
    pub column: String,
    /// What does not hold.
    pub message: String,
}

impl RowVerdicts {
    /// Whether no row fails.
    pub fn all_passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// The rows that fail, in order.
    pub fn failures(&self) -> impl Iterator<Item = (usize, &RowFailure)> {
        self.failures.iter().map(|(row, failure)| (*row, failure))
    }

    /// True for each row that passes.
    pub fn passed(&self) -> BooleanArray {
        (0..self.rows).map(|row| Some(!self.failures.contains_key(&row))).collect()
    }
}
