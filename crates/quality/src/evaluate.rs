//! Rules held against the rows of a batch.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use datafusion::common::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use flowline_model::CheckSeverity;

use crate::rules::{RowRule, RowRules, RowVerdicts, Test, examples};
use crate::texts;
use crate::typed::{TypedColumns, either};

pub(crate) fn evaluate(rules: &RowRules, batch: &RecordBatch) -> RowVerdicts {
    let mut verdicts = RowVerdicts {
        rules: rules.clone(),
        rows: batch.num_rows(),
        failing: Vec::with_capacity(rules.rules.len()),
        broken: Default::default(),
        unevaluated: Default::default(),
        rejected: None,
        examples: Vec::with_capacity(rules.rules.len()),
    };
    let columns = TypedColumns::new(batch, &rules.types);
    for (number, rule) in rules.rules.iter().enumerate() {
        let found = failing_rows(rule, number, &columns, &mut verdicts);
        let failing = found.unwrap_or_else(|reason| unevaluated(rule, number, reason, &mut verdicts));
        let failing = failing.filter(|failing| failing.count_set_bits() > 0);
        let shown = failing.as_ref().map(|failing| examples(rule, batch, failing)).unwrap_or_default();
        if rule.severity == CheckSeverity::QuarantineRows {
            verdicts.rejected = either(verdicts.rejected.take(), failing.clone());
        }
        verdicts.failing.push(failing);
        verdicts.examples.push(shown);
    }
    verdicts
}

/// The rows that fail a rule, none where no row does.
fn failing_rows(
    rule: &RowRule,
    number: usize,
    columns: &TypedColumns<'_>,
    verdicts: &mut RowVerdicts,
) -> Result<Option<BooleanBuffer>, String> {
    match &rule.test {
        Test::Expression(expression, text) => {
            let (batch, unlike) = columns.of(expression)?;
            let failing = Run { expression, text, number, verdicts }.failing(&batch);
            Ok(either(failing, unlike))
        }
        test => vectorized(test, columns),
    }
}

/// What is said of rows that a rule cannot be held against. Those that it would have taken out do not go on.
fn unevaluated(
    rule: &RowRule,
    number: usize,
    reason: String,
    verdicts: &mut RowVerdicts,
) -> Option<BooleanBuffer> {
    verdicts.unevaluated.insert(number, reason);
    (rule.severity == CheckSeverity::QuarantineRows).then(|| BooleanBuffer::new_set(verdicts.rows))
}

/// The rows that fail a test which is no expression.
fn vectorized(test: &Test, columns: &TypedColumns<'_>) -> Result<Option<BooleanBuffer>, String> {
    let (column, failing) = match test {
        Test::Required(index) => {
            let nulls = columns.as_it_is(*index)?.logical_nulls();
            return Ok(nulls.and_then(|nulls| (nulls.null_count() > 0).then(|| !nulls.inner())));
        }
        Test::Bounds(index, bounds) => {
            let column = if bounds.of_texts() { columns.texts(*index)? } else { columns.column(*index)? };
            let failing = bounds.failing(&column.values);
            (column, failing)
        }
        Test::Length(index, min, max) => {
            let column = columns.texts(*index)?;
            let failing = texts::outside_lengths(&column.values, *min, *max);
            (column, failing)
        }
        Test::Pattern(index, pattern) => {
            let column = columns.texts(*index)?;
            let matches = pattern.matcher();
            let failing = texts::failing(&column.values, |text| !matches(text));
            (column, failing)
        }
        Test::Accepted(index, accepted) => {
            let column = columns.texts(*index)?;
            let failing = texts::failing(&column.values, |text| !accepted.contains(text));
            (column, failing)
        }
        Test::Expression(_, text) => return Err(format!("`{text}` is an expression")),
    };
    let other = || format!("its column is of type {}, which it is not for", column.values.data_type());
    let failing = valid(failing.ok_or_else(other)?, &column.values);
    Ok(either(Some(failing), column.unlike))
}

/// Only rows with a value can fail.
fn valid(failing: BooleanBuffer, column: &ArrayRef) -> BooleanBuffer {
    match column.nulls() {
        Some(nulls) => &failing & nulls.inner(),
        None => failing,
    }
}

/// One expression held against a batch.
struct Run<'a> {
    expression: &'a std::sync::Arc<dyn PhysicalExpr>,
    text: &'a str,
    number: usize,
    verdicts: &'a mut RowVerdicts,
}

impl Run<'_> {
    fn failing(&mut self, batch: &RecordBatch) -> Option<BooleanBuffer> {
        match outcome(self.expression, batch) {
            Ok(holds) => failing(&holds),
            Err(_) => {
                let mut failing = vec![false; batch.num_rows()];
                self.halve(batch, 0, &mut failing);
                Some(BooleanBuffer::from(failing))
            }
        }
    }

    /// When an expression fails as a whole, the rows that make it fail are found by halving, so that they do not take
    /// the others with them: twice the logarithm of the rows for each.
    fn halve(&mut self, batch: &RecordBatch, first: usize, found: &mut [bool]) {
        let rows = batch.num_rows();
        match outcome(self.expression, batch) {
            Ok(holds) => {
                for row in failing(&holds).iter().flat_map(BooleanBuffer::set_indices) {
                    found[first + row] = true;
                }
            }
            Err(error) if rows <= 1 => {
                let message = format!("`{}` cannot be evaluated: {}", self.text, error.strip_backtrace());
                self.verdicts.broken.insert((self.number, first), message);
                if let Some(found) = found.get_mut(first) {
                    *found = true;
                }
            }
            Err(_) => {
                let half = rows / 2;
                self.halve(&batch.slice(0, half), first, found);
                self.halve(&batch.slice(half, rows - half), first + half, found);
            }
        }
    }
}

/// The rows for which the answer is false.
fn failing(holds: &BooleanArray) -> Option<BooleanBuffer> {
    if holds.null_count() == holds.len() {
        return None;
    }
    let wrong = !holds.values();
    Some(match holds.nulls() {
        Some(nulls) => &wrong & nulls.inner(),
        None => wrong,
    })
}

fn outcome(
    expression: &std::sync::Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
) -> Result<BooleanArray, DataFusionError> {
    let values = expression.evaluate(batch)?.into_array(batch.num_rows())?;
    match values.as_boolean_opt() {
        Some(values) => Ok(values.clone()),
        // The type was checked when it was compiled, so that this is a null without a type: every row passes.
        None => Ok(BooleanArray::new_null(batch.num_rows())),
    }
}
