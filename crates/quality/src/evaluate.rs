//! Rules held against the rows of a batch.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use datafusion::common::DataFusionError;
use flowline_model::FindingKind;

use crate::rules::{Check, RowFailure, RowRules, RowVerdicts};

pub(crate) fn evaluate(rules: &RowRules, batch: &RecordBatch) -> RowVerdicts {
    let mut verdicts = RowVerdicts { rows: batch.num_rows(), ..Default::default() };
    for (index, name) in &rules.required {
        required(batch, *index, name, &mut verdicts);
    }
    if rules.checks.is_empty() {
        return verdicts;
    }
    let columns: Vec<usize> = (0..rules.columns.min(batch.num_columns())).collect();
    let Ok(contract) = batch.project(&columns) else { return verdicts };
    for check in &rules.checks {
        run(check, &contract, 0, &mut verdicts);
    }
    verdicts
}

fn required(batch: &RecordBatch, index: usize, name: &str, verdicts: &mut RowVerdicts) {
    let Some(column) = batch.columns().get(index).filter(|column| column.null_count() > 0) else { return };
    for row in (0..column.len()).filter(|row| column.is_null(*row)) {
        verdicts.failures.entry(row).or_insert_with(|| RowFailure {
            reason: FindingKind::Missing,
            column: name.to_owned(),
            message: format!("`{name}` is required and has no value"),
        });
    }
}

/// Runs the check over the batch. When it fails as a whole, the rows that make it fail are found by halving, so that
/// they do not take the others with them: twice the logarithm of the rows for each.
fn run(check: &Check, batch: &RecordBatch, first: usize, verdicts: &mut RowVerdicts) {
    let rows = batch.num_rows();
    match outcome(check, batch) {
        Ok(passed) => {
            for row in (0..rows).filter(|row| passed.is_valid(*row) && !passed.value(*row)) {
                fail(check, first + row, format!("`{}` does not hold", check.text), verdicts);
            }
        }
        Err(error) if rows <= 1 => {
            let message = format!("`{}` cannot be evaluated: {}", check.text, error.strip_backtrace());
            fail(check, first, message, verdicts);
        }
        Err(_) => {
            let half = rows / 2;
            run(check, &batch.slice(0, half), first, verdicts);
            run(check, &batch.slice(half, rows - half), first + half, verdicts);
        }
    }
}

fn outcome(check: &Check, batch: &RecordBatch) -> Result<BooleanArray, DataFusionError> {
    let values = check.expression.evaluate(batch)?.into_array(batch.num_rows())?;
    match values.as_boolean_opt() {
        Some(values) => Ok(values.clone()),
        // The type was checked when it was compiled, so that this is a null without a type: every row passes.
        None => Ok(BooleanArray::new_null(batch.num_rows())),
    }
}

fn fail(check: &Check, row: usize, message: String, verdicts: &mut RowVerdicts) {
    verdicts.failures.entry(row).or_insert_with(|| RowFailure {
        reason: FindingKind::FailedRule,
        column: check.column.clone(),
        message,
    });
}
