//! The rules that one row alone decides, and what they say of the rows of a batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use datafusion::common::HashSet;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use flowline_model::{Check, CheckSeverity, Column, Dataset, FindingKind};

use crate::bounds::Bounds;
use crate::pattern::Pattern;
use crate::{RuleError, compile, evaluate};

/// The rules of a contract that one row alone decides (`required` and `check` of its columns, and those of its checks),
/// ready to be held against batches. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RowRules {
    /// The types of the columns of a batch that the rules may look at.
    pub(crate) types: Arc<[DataType]>,
    pub(crate) rules: Arc<Vec<RowRule>>,
}

/// One rule.
#[derive(Debug)]
pub struct RowRule {
    /// The check that it is; none for the rule of a column.
    pub check: Option<Check>,
    /// The column whose rule it is.
    pub column: Option<String>,
    /// What becomes of rows that fail it.
    pub severity: CheckSeverity,
    /// The kind of finding that rows are that fail it.
    pub reason: FindingKind,
    /// What is said of a row that fails it.
    pub message: String,
    /// Whether values are personal data and are not shown.
    pub(crate) personal: bool,
    /// Where the column stands in a batch.
    pub(crate) index: Option<usize>,
    pub(crate) test: Test,
}

/// How rows are held against a rule.
#[derive(Debug)]
pub(crate) enum Test {
    Required(usize),
    Bounds(usize, Bounds),
    Length(usize, u64, u64),
    Pattern(usize, Box<Pattern>),
    /// Texts; values of other types are an expression.
    Accepted(usize, HashSet<String>),
    Expression(Arc<dyn PhysicalExpr>, String),
}

/// Which rules are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those of the columns and of the checks.
    Contract,
    /// All but `required` of columns: tables of transforms have that in their schema.
    BeyondSchema,
    /// Those of the checks alone.
    Checks,
}

impl RowRule {
    /// What a sentence about it begins with.
    fn subject(&self) -> String {
        match (&self.check, &self.column) {
            (Some(check), _) => format!("whether check `{}` holds", check.name),
            (None, column) => {
                format!("whether the rule of `{}` holds", column.as_deref().unwrap_or_default())
            }
        }
    }
}

impl RowRules {
    /// Compiles the rules of a dataset that is landed.
    ///
    /// # Errors
    /// The first rule that cannot be used; [`RowRules::problems`] finds all.
    pub fn compile(dataset: &Dataset) -> Result<Self, RuleError> {
        Self::over(dataset, &dataset.columns, Which::Contract)
    }

    /// Compiles the rules over these columns, with which every batch begins. A rule over a column that is not among
    /// them cannot be used.
    ///
    /// # Errors
    /// The first rule that cannot be used.
    pub fn over(dataset: &Dataset, columns: &[Column], which: Which) -> Result<Self, RuleError> {
        let (rules, mut problems) = compile::compile(dataset, columns, which);
        if problems.is_empty() { Ok(rules) } else { Err(problems.swap_remove(0)) }
    }

    /// The rules over these columns that can be used, and what is wrong with the others.
    pub fn usable(dataset: &Dataset, columns: &[Column], which: Which) -> (Self, Vec<RuleError>) {
        compile::compile(dataset, columns, which)
    }

    /// Every rule of a dataset that cannot be used.
    pub fn problems(dataset: &Dataset) -> Vec<RuleError> {
        compile::compile(dataset, &dataset.columns, Which::Contract).1
    }

    /// Whether there is nothing to check.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules, in the order in which [`RowTally`] counts them.
    pub fn rules(&self) -> &[RowRule] {
        &self.rules
    }

    /// Where the columns stand that the rules look at.
    pub fn columns_used(&self) -> BTreeSet<usize> {
        let mut used = BTreeSet::new();
        for rule in self.rules.iter() {
            match &rule.test {
                Test::Required(index)
                | Test::Bounds(index, _)
                | Test::Length(index, _, _)
                | Test::Pattern(index, _)
                | Test::Accepted(index, _) => drop(used.insert(*index)),
                Test::Expression(expression, _) => {
                    used.extend(collect_columns(expression).iter().map(|column| column.index()));
                }
            }
        }
        used
    }

    /// Holds every row against every rule. The batch begins with the columns that the rules were compiled over, in
    /// their order; more may follow. Cost: one vectorized pass for each rule, and nothing for rows that pass; a column
    /// of another type than it was compiled for is cast as well, for each rule that reads it.
    ///
    /// A value that the type does not have fails the rule. Where no value of the column can be read as the type, the
    /// rule is not evaluated: its tally says why, and rows that it would have taken out are taken out.
    ///
    /// A rule that is null for a row passes, as in SQL. A row for which a rule cannot be evaluated (a division by zero)
    /// fails it.
    pub fn evaluate(&self, batch: &RecordBatch) -> RowVerdicts {
        evaluate::evaluate(self, batch)
    }
}

/// What the rules say of the rows of a batch.
#[derive(Debug, Clone)]
pub struct RowVerdicts {
    pub(crate) rules: RowRules,
    pub(crate) rows: usize,
    /// For each rule the rows that fail it; none where no row does.
    pub(crate) failing: Vec<Option<BooleanBuffer>>,
    /// What is said of rows for which a rule cannot be evaluated, by rule and row.
    pub(crate) broken: BTreeMap<(usize, usize), String>,
    /// Why a rule could not be held against the rows, by rule.
    pub(crate) unevaluated: BTreeMap<usize, String>,
    /// Rows that go to quarantine; none where no row does.
    pub(crate) rejected: Option<BooleanBuffer>,
    /// Some values that fail, by rule.
    pub(crate) examples: Vec<Vec<String>>,
}

/// The first rule for which a row goes to quarantine: `required` of the columns in their order, then their checks, then
/// the checks of the dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFailure {
    /// [`FindingKind::Missing`] or [`FindingKind::FailedRule`].
    pub reason: FindingKind,
    /// The column whose rule it is; none for a condition over several.
    pub column: Option<String>,
    /// What does not hold.
    pub message: String,
}

impl RowVerdicts {
    /// Whether no row goes to quarantine.
    pub fn all_passed(&self) -> bool {
        self.rejected.is_none()
    }

    /// The rows that go to quarantine, in order, each with why.
    pub fn failures(&self) -> impl Iterator<Item = (usize, RowFailure)> {
        let rows = self.rejected.iter().flat_map(|rejected| rejected.set_indices());
        rows.filter_map(|row| Some((row, self.failure(row)?)))
    }

    fn failure(&self, row: usize) -> Option<RowFailure> {
        let fails = |index: &usize| self.failing[*index].as_ref().is_some_and(|failing| failing.value(row));
        let rejects = |index: &usize| self.rules.rules[*index].severity == CheckSeverity::QuarantineRows;
        let index = (0..self.failing.len()).filter(rejects).find(fails)?;
        let rule = &self.rules.rules[index];
        let message = match (self.unevaluated.get(&index), self.broken.get(&(index, row))) {
            (Some(reason), _) => format!("{} cannot be told: {reason}", rule.subject()),
            (None, Some(broken)) => broken.clone(),
            (None, None) => rule.message.clone(),
        };
        Some(RowFailure { reason: rule.reason, column: rule.column.clone(), message })
    }

    /// True for each row that does not go to quarantine.
    pub fn passed(&self) -> BooleanArray {
        match &self.rejected {
            Some(rejected) => BooleanArray::new(!rejected, None),
            None => BooleanArray::new(BooleanBuffer::new_set(self.rows), None),
        }
    }

    /// The rules that were asked.
    pub fn rules(&self) -> &RowRules {
        &self.rules
    }

    /// The counts of this batch.
    pub fn tally(&self) -> RowTally {
        let counted = self.failing.iter().zip(&self.examples).enumerate();
        let rules = counted.map(|(number, (failing, examples))| RuleTally {
            failed: failing.as_ref().map_or(0, |failing| failing.count_set_bits() as u64),
            examples: examples.clone(),
            unevaluated: self.unevaluated.get(&number).cloned(),
        });
        RowTally { rows: self.rows as u64, rules: rules.collect() }
    }
}

/// How many rows fail each rule. Counts of batches add up to those of the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RowTally {
    /// Rows that were looked at.
    pub rows: u64,
    /// One for each of [`RowRules::rules`].
    pub rules: Vec<RuleTally>,
}

/// How many rows fail a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RuleTally {
    /// Rows that fail it.
    pub failed: u64,
    /// Some of their values; `***` for those of personal data.
    pub examples: Vec<String>,
    /// Why some of the rows could not be held against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unevaluated: Option<String>,
}

/// So many failing values are kept of each rule.
pub(crate) const EXAMPLES_MAX: usize = 3;
/// Examples are cut to so many characters.
const EXAMPLE_CHARACTERS_MAX: usize = 60;

impl RowTally {
    /// Adds the counts of other rows that were held against the same rules.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        if self.rules.len() < other.rules.len() {
            self.rules.resize_with(other.rules.len(), RuleTally::default);
        }
        for (own, other) in self.rules.iter_mut().zip(&other.rules) {
            own.failed += other.failed;
            own.unevaluated = own.unevaluated.take().or_else(|| other.unevaluated.clone());
            let free = EXAMPLES_MAX.saturating_sub(own.examples.len());
            own.examples.extend(other.examples.iter().take(free).cloned());
        }
    }
}

/// Some of the values that fail a rule, for people.
pub(crate) fn examples(rule: &RowRule, batch: &RecordBatch, failing: &BooleanBuffer) -> Vec<String> {
    let Some(column) = rule.index.and_then(|index| batch.columns().get(index)) else { return Vec::new() };
    let rows = failing.set_indices().take(EXAMPLES_MAX);
    let shown = |row: usize| match (rule.personal, column.is_null(row)) {
        (_, true) => "null".to_owned(),
        (true, false) => "***".to_owned(),
        (false, false) => {
            let text = array_value_to_string(column, row).unwrap_or_default();
            text.chars().take(EXAMPLE_CHARACTERS_MAX).collect()
        }
    };
    rows.map(shown).collect()
}
