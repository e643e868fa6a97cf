//! Rows that were landed just now.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use flowline_lake::{OffsetRange, arrow_types};

/// Rows of one dataset that are kept in memory, bytes. Beyond it the oldest are let go of, and decoded again for those who
/// have not read them: the price of a reader that is far behind, so that others do not pay it.
const BYTES_MAX: u64 = 256 << 20;

/// A column that nobody asked for while so many flushes came is not kept any more.
const ASKED_WITHIN: u64 = 64;

/// Rows by input, in the order of their offsets. Only the columns are kept that those who read them ask for; all until
/// everyone has read once.
#[derive(Debug, Default)]
pub(super) struct Recent {
    inputs: BTreeMap<String, VecDeque<Rows>>,
    bytes: u64,
    /// How many flushes came.
    added: u64,
    /// When each column was asked for last, by that count.
    asked: HashMap<String, u64>,
    /// Everyone has read once.
    known: bool,
}

/// The rows of the records between two offsets.
#[derive(Debug)]
struct Rows {
    from: i64,
    to: i64,
    batches: Vec<RecordBatch>,
    /// Columns that are not kept of them.
    without: HashSet<String>,
    bytes: u64,
    /// The order in which they came.
    number: u64,
}

/// A part of what was asked for.
#[derive(Debug)]
pub(super) enum Found {
    /// These rows.
    Rows(Vec<RecordBatch>),
    /// What is to be read from the log.
    Log(OffsetRange),
}

impl Recent {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes in rows. What was there of the same offsets is let go of: it was landed again.
    pub(super) fn add(&mut self, range: &OffsetRange, batches: Vec<RecordBatch>) {
        self.added += 1;
        let (batches, without) = self.narrowed(batches);
        let bytes = batches.iter().map(|batch| batch.get_array_memory_size() as u64).sum();
        let rows = Rows { from: range.from, to: range.to, batches, without, bytes, number: self.added };
        let held = self.inputs.entry(range.input.clone()).or_default();
        while let Some(last) = held.pop_back_if(|last| last.to > range.from) {
            self.bytes -= last.bytes;
        }
        self.bytes += rows.bytes;
        held.push_back(rows);
        while self.bytes > BYTES_MAX && self.drop_oldest() {}
    }

    /// The batches with the columns that are asked for, and which are left out.
    fn narrowed(&self, batches: Vec<RecordBatch>) -> (Vec<RecordBatch>, HashSet<String>) {
        if !self.known {
            return (batches, HashSet::new());
        }
        let lately = |name: &str| self.asked.get(name).is_some_and(|at| at + ASKED_WITHIN > self.added);
        let mut without = HashSet::new();
        let narrowed = batches.into_iter().map(|batch| {
            let schema = batch.schema_ref().fields().iter().map(|field| field.name()).enumerate();
            let (wanted, others): (Vec<_>, Vec<_>) =
                schema.partition(|(_, name)| *name == arrow_types::OFFSET || lately(name));
            without.extend(others.into_iter().map(|(_, name)| name.clone()));
            let wanted: Vec<usize> = wanted.into_iter().map(|(place, _)| place).collect();
            // Never: the columns are its own.
            batch.project(&wanted).unwrap_or_else(|_| batch.clone())
        });
        (narrowed.collect(), without)
    }

    fn drop_oldest(&mut self) -> bool {
        let oldest = |held: &VecDeque<Rows>| held.front().map(|rows| rows.number);
        let oldest = self.inputs.values_mut().filter(|held| !held.is_empty()).min_by_key(|held| oldest(held));
        let dropped = oldest.and_then(VecDeque::pop_front);
        self.bytes -= dropped.as_ref().map_or(0, |rows| rows.bytes);
        dropped.is_some()
    }

    /// Lets go of the rows before an offset of an input.
    pub(super) fn forget(&mut self, input: &str, before: i64) {
        self.known = true;
        let Some(held) = self.inputs.get_mut(input) else { return };
        while let Some(first) = held.pop_front_if(|first| first.to <= before) {
            self.bytes -= first.bytes;
        }
    }

    /// The rows of a range, as far as they are here with these columns, and what is to be read of the log.
    pub(super) fn find(&mut self, range: &OffsetRange, columns: &[String]) -> Vec<Found> {
        self.asked.extend(columns.iter().map(|name| (name.clone(), self.added)));
        let (mut found, mut from) = (Vec::new(), range.from);
        let log = |from: i64, to: i64| Found::Log(range.part(from, to));
        for rows in self.inputs.get(&range.input).into_iter().flatten() {
            if rows.to <= from
                || rows.from >= range.to
                || columns.iter().any(|name| rows.without.contains(name))
            {
                continue;
            }
            if rows.from > from {
                found.push(log(from, rows.from));
                from = rows.from;
            }
            let to = rows.to.min(range.to);
            let batches = rows.batches.iter().map(|batch| before(&since(batch, from), to));
            found.push(Found::Rows(batches.filter(|batch| batch.num_rows() > 0).collect()));
            from = to;
        }
        if from < range.to {
            found.push(log(from, range.to));
        }
        found
    }
}

/// The rows before an offset; offsets rise within a batch.
pub(super) fn before(batch: &RecordBatch, offset: i64) -> RecordBatch {
    batch.slice(0, place(batch, offset))
}

fn since(batch: &RecordBatch, offset: i64) -> RecordBatch {
    let place = place(batch, offset);
    batch.slice(place, batch.num_rows() - place)
}

/// How many rows stand before an offset.
fn place(batch: &RecordBatch, offset: i64) -> usize {
    let offsets = batch.column_by_name(arrow_types::OFFSET);
    match offsets.and_then(|offsets| offsets.as_primitive_opt::<Int64Type>()) {
        Some(offsets) => offsets.values().partition_point(|other| *other < offset),
        _ => batch.num_rows(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn range(from: i64, to: i64) -> OffsetRange {
        OffsetRange { input: "log/0".to_owned(), partition: 0, from, to, rows: None, run: None }
    }

    fn rows(offsets: impl IntoIterator<Item = i64>) -> RecordBatch {
        let offsets: ArrayRef = Arc::new(offsets.into_iter().collect::<Int64Array>());
        RecordBatch::try_from_iter([(arrow_types::OFFSET, offsets)]).expect("one column")
    }

    fn told(found: &[Found]) -> Vec<String> {
        let offsets = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
        let each = |found: &Found| match found {
            Found::Rows(rows) => format!("{:?}", rows.iter().flat_map(offsets).collect::<Vec<_>>()),
            Found::Log(range) => format!("{}-{}", range.from, range.to),
        };
        found.iter().map(each).collect()
    }

    #[test]
    fn what_is_here_is_given_and_the_rest_is_read() {
        let mut recent = Recent::default();
        // Some offsets have no rows: those of records that were rejected.
        recent.add(&range(10, 20), vec![rows([10, 12, 13]), rows([17, 19])]);
        recent.add(&range(20, 30), vec![rows(20..30)]);
        assert_eq!(told(&recent.find(&range(10, 20), &[])), ["[10, 12, 13, 17, 19]"]);
        assert_eq!(told(&recent.find(&range(0, 13), &[])), ["0-10", "[10, 12]"]);
        assert_eq!(
            told(&recent.find(&range(18, 40), &[])),
            ["[19]", "[20, 21, 22, 23, 24, 25, 26, 27, 28, 29]", "30-40"]
        );
        recent.forget("log/0", 25);
        assert_eq!(told(&recent.find(&range(10, 22), &[])), ["10-20", "[20, 21]"]);
        // A topic that was made again numbers other records alike.
        let other = OffsetRange { input: "log/1".to_owned(), ..range(10, 22) };
        assert_eq!(told(&recent.find(&other, &[])), ["10-22"]);
        // Landed again, with other bounds.
        recent.add(&range(22, 40), vec![rows(22..24)]);
        assert_eq!(told(&recent.find(&range(20, 40), &[])), ["20-22", "[22, 23]"]);
        recent.forget("log/0", 40);
        assert_eq!(recent.bytes(), 0);
    }

    #[test]
    fn only_columns_are_kept_that_are_asked_for() {
        let wide = |offsets: std::ops::Range<i64>| {
            let offsets: ArrayRef = Arc::new(offsets.collect::<Int64Array>());
            let columns =
                [(arrow_types::OFFSET, Arc::clone(&offsets)), ("a", Arc::clone(&offsets)), ("b", offsets)];
            RecordBatch::try_from_iter(columns).expect("three columns")
        };
        let (a, b) = ([String::from("a")], [String::from("b")]);
        let mut recent = Recent::default();
        recent.add(&range(0, 10), vec![wide(0..10)]);
        assert_eq!(told(&recent.find(&range(0, 2), &a)), ["[0, 1]"]);
        recent.add(&range(10, 20), vec![wide(10..20)]);
        assert_eq!(told(&recent.find(&range(10, 12), &b)), ["[10, 11]"], "not everyone has read yet");
        recent.forget("log/0", 20);
        recent.add(&range(20, 30), vec![wide(20..30)]);
        assert_eq!(told(&recent.find(&range(20, 22), &b)), ["[20, 21]"]);
        for number in 3..100 {
            recent.add(&range(number * 10, number * 10 + 10), vec![wide(number * 10..number * 10 + 10)]);
            recent.find(&range(number * 10, number * 10 + 10), &a);
        }
        assert_eq!(told(&recent.find(&range(990, 992), &a)), ["[990, 991]"]);
        assert_eq!(told(&recent.find(&range(990, 992), &b)), ["990-992"], "nobody asked for it for long");
        recent.add(&range(1000, 1010), vec![wide(1000..1010)]);
        assert_eq!(told(&recent.find(&range(1000, 1002), &b)), ["[1000, 1001]"], "it is asked for again");
    }
}
