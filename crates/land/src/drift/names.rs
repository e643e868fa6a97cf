//! Which version of the contract records fit best, by the names of their fields.

use std::collections::BTreeSet;

use flowline_model::{ColumnType, ContractVersion};

/// The version whose fields are those of the records, where that is another one than the newest and fits better.
pub(super) fn closest(versions: &[ContractVersion], fields: &BTreeSet<&str>) -> Option<u32> {
    let fit = |version: &ContractVersion| {
        let known: BTreeSet<&str> =
            version.contract.columns.iter().map(|column| column.field_name()).collect();
        let both = known.intersection(fields).count();
        both as f64 / known.union(fields).count().max(1) as f64
    };
    let newest = fit(versions.first()?);
    // Of those that fit as well the newest, which comes first.
    let (mut best, mut found) = (newest, None);
    for version in &versions[1..] {
        let fit = fit(version);
        if fit > best + 1e-9 {
            (best, found) = (fit, Some(version.version));
        }
    }
    found
}

/// The newest version before this one in which a field was a text.
pub(super) fn with_text(versions: &[ContractVersion], field: &str) -> Option<u32> {
    let is_text = |version: &&ContractVersion| {
        let column = version.contract.columns.iter().find(|column| column.field_name() == field);
        column.is_some_and(|column| column.data_type == ColumnType::String)
    };
    versions.iter().skip(1).find(is_text).map(|version| version.version)
}

/// Whether two names look alike: one has a word of the other, or they differ in few letters.
pub(super) fn alike(one: &str, other: &str) -> bool {
    let fold = |text: &str| text.to_lowercase();
    let (one, other) = (fold(one), fold(other));
    let words = |text: &str| -> BTreeSet<String> {
        let parts = text.split(|c: char| !c.is_alphanumeric());
        parts.filter(|word| word.chars().count() > 2).map(str::to_owned).collect()
    };
    let (short, long) = if one.len() < other.len() { (&one, &other) } else { (&other, &one) };
    let begins = short.chars().count() > 2 && long.starts_with(short.as_str());
    begins
        || !words(&one).is_disjoint(&words(&other))
        || letters_apart(&one, &other) * 3 <= long.chars().count()
}

/// Letters to change, add or leave out to get from one to the other (Levenshtein).
fn letters_apart(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, left) in one.chars().enumerate() {
        let (mut diagonal, mut before) = (row[0], index + 1);
        row[0] = before;
        for (place, right) in other.iter().enumerate() {
            let change = diagonal + usize::from(left != *right);
            diagonal = row[place + 1];
            before = change.min(before + 1).min(diagonal + 1);
            row[place + 1] = before;
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_look_alike() {
        for (one, other, expected) in [
            ("customer_id", "customerId", true),
            ("customer", "customer_name", true),
            ("total_amount", "amount", true),
            ("destination", "dest", true),
            ("amount", "amuont", true),
            ("cost", "price", false),
            ("id", "ts", false),
        ] {
            assert_eq!(alike(one, other), expected, "{one} {other}");
        }
    }
}
