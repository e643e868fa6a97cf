//! How records depart from the contract where it lets them pass: fields that it does not know, values that had to be
//! converted, fields that are not there.
//!
//! Owns: what is noted while records are decoded, at a cost only where there is something to note. Does not own: what
//! is made of it (`drift`).

use std::collections::BTreeMap;

use super::Place;

/// Distinct unknown fields that are counted by name; the others are counted together.
const UNKNOWN_NAMES_MAX: usize = 100;
/// The name under which they are counted together.
const UNKNOWN_OTHERS: &str = "…";
/// Values that are kept of each.
const EXAMPLES_MAX: usize = 64;
/// Bytes of a value beyond which it is no example.
const EXAMPLE_BYTES_MAX: usize = 200;

/// Records that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// How many.
    pub records: u64,
    /// The first.
    pub first: Place,
    /// The last.
    pub last: Place,
    /// Some of the values, as JSON.
    pub examples: Vec<String>,
}

/// How the records of one [`super::Decoded`] depart from the contract.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Departures {
    /// Fields that the contract does not know.
    pub unknown: BTreeMap<String, Mark>,
    /// Columns whose values came as text and are numbers.
    pub coerced: BTreeMap<usize, Mark>,
    /// For each column, in how many records its field was not there; empty where all were.
    pub absent: Vec<u64>,
    /// The records themselves with the first of the above, where they are not to be landed.
    pub strange: Vec<(Place, Strange)>,
}

/// Why a record is not as the contract has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strange {
    /// It has a field that the contract does not know.
    Unknown(String),
    /// The value of this column came as text and is a number.
    Coerced(usize),
}

impl Departures {
    /// Notes a field that the contract does not know; `keep` says whether the record itself is wanted.
    pub(crate) fn unknown(
        &mut self,
        name: &str,
        place: Place,
        records: u64,
        value: Option<&str>,
        keep: bool,
    ) {
        if records == 0 {
            return;
        }
        if keep {
            self.keep(place, || Strange::Unknown(name.to_owned()));
        }
        if let Some(mark) = self.unknown.get_mut(name) {
            return mark.add(place, records, value);
        }
        let name = if self.unknown.len() < UNKNOWN_NAMES_MAX { name } else { UNKNOWN_OTHERS };
        self.unknown.entry(name.to_owned()).or_insert_with(|| Mark::at(place)).add(place, records, value);
    }

    /// Notes a value that came as text and is a number.
    pub(crate) fn coerced(
        &mut self,
        column: usize,
        place: Place,
        records: u64,
        value: Option<&str>,
        keep: bool,
    ) {
        if keep {
            self.keep(place, || Strange::Coerced(column));
        }
        self.coerced.entry(column).or_insert_with(|| Mark::at(place)).add(place, records, value);
    }

    /// Notes a column whose field was not there.
    pub(crate) fn absent(&mut self, column: usize, columns: usize, records: u64) {
        if self.absent.is_empty() {
            self.absent = vec![0; columns];
        }
        self.absent[column] += records;
    }

    fn keep(&mut self, place: Place, strange: impl FnOnce() -> Strange) {
        if self.strange.last().is_none_or(|(last, _)| *last != place) {
            self.strange.push((place, strange()));
        }
    }
}

impl Mark {
    fn at(place: Place) -> Self {
        Self { records: 0, first: place, last: place, examples: Vec::new() }
    }

    fn add(&mut self, place: Place, records: u64, value: Option<&str>) {
        self.records += records;
        self.last = place;
        if self.examples.len() >= EXAMPLES_MAX {
            return;
        }
        let text = value.filter(|value| value.len() <= EXAMPLE_BYTES_MAX && *value != "null");
        self.examples.extend(text.map(str::to_owned));
    }
}
