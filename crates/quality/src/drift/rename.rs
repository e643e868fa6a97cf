//! Whether the values of an unknown field are those of a column that has gone missing.

use super::Baseline;

/// What speaks for a field being a column under another name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    /// The share of values that were seen in the column, where it has only few.
    pub seen: Option<f64>,
    /// Whether numbers are of the size that they had in the column.
    pub size: Option<bool>,
}

/// Compares values with what a column was like: texts as they are, numbers as numbers.
pub fn likeness(baseline: &Baseline, column: usize, texts: &[String], numbers: &[f64]) -> Likeness {
    let Some(known) = baseline.column(column) else { return Likeness { seen: None, size: None } };
    let seen = known.values.as_ref().and_then(|values| values.seen(texts.iter().map(String::as_str)));
    let size = known.numbers.as_ref().and_then(|known| known.holds(numbers));
    Likeness { seen, size }
}
