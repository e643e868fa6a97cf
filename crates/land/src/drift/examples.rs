//! Values as examples, and their shape where they may be personal.

use flowline_model::Dataset;

/// Examples of one finding.
const EXAMPLES_MAX: usize = 3;
/// Characters of an example.
const LENGTH_MAX: usize = 60;

/// Some different values; only their shape when they may be personal.
pub(super) fn examples<'v>(values: impl IntoIterator<Item = &'v str>, personal: bool) -> Vec<String> {
    let mut examples: Vec<String> = Vec::new();
    for value in values {
        let value = if personal { shape(value) } else { value.chars().take(LENGTH_MAX).collect() };
        if !examples.contains(&value) {
            examples.push(value);
        }
        if examples.len() == EXAMPLES_MAX {
            break;
        }
    }
    examples
}

/// Every letter an `a`, every digit a `9`: enough to see what it is, and not whose.
fn shape(value: &str) -> String {
    let letter = |c: char| match c {
        c if c.is_numeric() => '9',
        c if c.is_alphabetic() => 'a',
        c => c,
    };
    value.chars().take(LENGTH_MAX).map(letter).collect()
}

/// Whether values of a field may be personal: those of a column say so themselves; of an unknown field nobody has said,
/// so that they may be wherever the dataset holds personal data at all.
pub(super) fn personal(dataset: &Dataset, column: Option<usize>) -> bool {
    match column.and_then(|column| dataset.columns.get(column)) {
        Some(column) => column.pii.is_some(),
        None => dataset.columns.iter().any(|column| column.pii.is_some()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use super::*;

    #[test]
    fn what_may_be_personal_is_shown_as_its_shape() {
        let values = ["\"ann@example.org\"", "\"bob@example.com\"", "\"+49 30 1234\"", "1", "2"];
        assert_eq!(examples(values, true), ["\"aaa@aaaaaaa.aaa\"", "\"+99 99 9999\"", "9"]);
        assert_eq!(examples(["1", "1", "2"], false), ["1", "2"]);
    }
}
