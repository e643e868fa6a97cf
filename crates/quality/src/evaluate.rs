//! Rules held against the rows of a batch.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use flowline_model::CheckSeverity;

use crate::rules::{RowRules, RowVerdicts, Test, examples};

pub(crate) fn evaluate(rules: &RowRules, batch: &RecordBatch) -> RowVerdicts {
    let mut verdicts = RowVerdicts {
        rules: rules.clone(),
        rows: batch.num_rows(),
        failing: Vec::with_capacity(rules.rules.len()),
        broken: Default::default(),
        rejected: None,
        examples: Vec::with_capacity(rules.rules.len()),
    };
    // Expressions know their columns by place; what stands behind the contract's is not theirs.
    let own = (batch.num_columns() > rules.columns).then(|| {
        let columns: Vec<usize> = (0..rules.columns).collect();
        batch.project(&columns).ok()
    });
    let contract = own.as_ref().and_then(Option::as_ref).unwrap_or(batch);
    for (number, rule) in rules.rules.iter().enumerate() {
        let failing = match &rule.test {
            Test::Expression(expression, text) => {
                let mut run = Run { expression, text, number, verdicts: &mut verdicts };
                run.failing(contract)
            }
            test => vectorized(test, batch),
        };
        let failing = failing.filter(|failing| failing.count_set_bits() > 0);
        let shown = failing.as_ref().map(|failing| examples(rule, batch, failing)).unwrap_or_default();
        if rule.severity == CheckSeverity::QuarantineRows
            && let Some(failing) = &failing
        {
            verdicts.rejected = Some(match verdicts.rejected.take() {
                Some(rejected) => &rejected | failing,
                None => failing.clone(),
            });
        }
        verdicts.failing.push(failing);
        verdicts.examples.push(shown);
    }
    verdicts
}

/// The rows that fail a test which cannot go wrong.
fn vectorized(test: &Test, batch: &RecordBatch) -> Option<BooleanBuffer> {
    match test {
        Test::Required(index) => batch
            .columns()
            .get(*index)?
            .logical_nulls()
            .and_then(|nulls| (nulls.null_count() > 0).then(|| !nulls.inner())),
        Test::Bounds(index, bounds) => {
            let column = batch.columns().get(*index)?;
            valid(bounds.failing(column)?, column)
        }
        Test::Length(index, min, max) => {
            let column = batch.columns().get(*index)?;
            valid(texts(column, &|text| !(*min..=*max).contains(&characters(text)))?, column)
        }
        Test::Pattern(index, pattern) => {
            let column = batch.columns().get(*index)?;
            valid(texts(column, &|text| !pattern.is_match(text))?, column)
        }
        Test::Expression(..) => None,
    }
}

/// Only rows with a value can fail.
fn valid(failing: BooleanBuffer, column: &ArrayRef) -> Option<BooleanBuffer> {
    Some(match column.nulls() {
        Some(nulls) => &failing & nulls.inner(),
        None => failing,
    })
}

fn characters(text: &str) -> u64 {
    // As many as bytes, unless it is not ASCII.
    if text.is_ascii() { text.len() as u64 } else { text.chars().count() as u64 }
}

/// The rows whose text is wrong. Where a text repeats the one before, so does the answer.
fn texts(column: &ArrayRef, wrong: &dyn Fn(&str) -> bool) -> Option<BooleanBuffer> {
    fn each<'a>(
        rows: usize,
        value: impl Fn(usize) -> &'a str,
        wrong: &dyn Fn(&str) -> bool,
    ) -> BooleanBuffer {
        let mut last: Option<(&str, bool)> = None;
        BooleanBuffer::collect_bool(rows, |row| {
            let text = value(row);
            match last {
                Some((known, answer)) if known == text => answer,
                _ => {
                    let answer = wrong(text);
                    last = Some((text, answer));
                    answer
                }
            }
        })
    }
    Some(match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            each(texts.len(), |row| texts.value(row), wrong)
        }
        DataType::LargeUtf8 => {
            let texts = column.as_string::<i64>();
            each(texts.len(), |row| texts.value(row), wrong)
        }
        DataType::Utf8View => {
            let texts = column.as_string_view();
            each(texts.len(), |row| texts.value(row), wrong)
        }
        _ => return None,
    })
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
