//! Which keys were seen before, within the horizon.
//!
//! A record whose `key` was seen is a duplicate: the same event again. A record whose value of a `unique` column was
//! seen under another key breaks the contract and goes to quarantine, as with a check that fails; where the only
//! column of the key is unique too, being a duplicate comes first. Both hold within the dataset's horizon, because
//! nobody can remember for ever. A key or unique value with a null in it is never the same as another.

mod hashes;
mod memory;
mod rebuild;
#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use flowline_model::Dataset;

pub(crate) use memory::Hash;
use memory::Memory;

/// Keys that are remembered at most, for each key or unique column of a dataset. Each costs about 30 to 60 bytes of
/// memory (the table doubles when it is full): so many are 210 MB at most, twice as many 420 MB.
pub(crate) const KEYS_MAX: usize = 7_000_000;

/// What the keys say of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyVerdict {
    /// Nothing of it was seen before.
    New,
    /// Its key was.
    Duplicate,
    /// Its value of this unique column was; a number in [`Keys::unique_column`].
    Repeated(usize),
}

/// The keys and unique values of one dataset that were seen.
#[derive(Debug)]
pub(crate) struct Keys {
    key: Option<Constraint>,
    unique: Vec<Constraint>,
    horizon_s: u32,
}

#[derive(Debug)]
struct Constraint {
    name: String,
    /// Where its columns stand in the contract.
    columns: Vec<usize>,
    memory: Memory,
}

/// What was added, so that it can be taken back.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// For the key, then for each unique column.
    added: Vec<Vec<Hash>>,
}

impl Journal {
    pub(crate) fn extend(&mut self, other: Self) {
        if self.added.len() < other.added.len() {
            self.added.resize_with(other.added.len(), Vec::new);
        }
        for (mine, theirs) in self.added.iter_mut().zip(other.added) {
            mine.extend(theirs);
        }
    }
}

impl Keys {
    /// The memory for a dataset's contract, empty; at most so many keys of each constraint.
    pub(crate) fn new(dataset: &Dataset, keys_max: usize) -> Self {
        let place = |name: &String| dataset.columns.iter().position(|column| column.name == *name);
        let constraint =
            |name: String, columns: Vec<usize>| Constraint { name, columns, memory: Memory::new(keys_max) };
        let key: Option<Vec<usize>> = dataset.key.iter().map(place).collect();
        let key = key.filter(|columns| !columns.is_empty());
        let unique = dataset.columns.iter().enumerate().filter(|(_, column)| column.unique);
        let unique = unique.filter(|(index, _)| key.as_deref() != Some(&[*index]));
        Self {
            unique: unique.map(|(index, column)| constraint(column.name.clone(), vec![index])).collect(),
            key: key.map(|columns| constraint(dataset.key.join(", "), columns)),
            horizon_s: u32::try_from(dataset.dedupe_horizon.as_secs()).unwrap_or(u32::MAX),
        }
    }

    /// Whether nothing needs to be remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.key.is_none() && self.unique.is_empty()
    }

    /// The column of [`KeyVerdict::Repeated`].
    pub(crate) fn unique_column(&self, number: usize) -> &str {
        self.unique.get(number).map_or("", |constraint| &constraint.name)
    }

    fn constraints(&self) -> impl Iterator<Item = &Constraint> {
        self.key.iter().chain(&self.unique)
    }

    fn constraints_mut(&mut self) -> impl Iterator<Item = &mut Constraint> {
        self.key.iter_mut().chain(&mut self.unique)
    }

    /// Looks at the rows for which `candidate` is true in order, and remembers those that are new. The batch begins
    /// with the contract's columns; `now_s` is in seconds since the epoch.
    pub(crate) fn look(
        &mut self,
        rows: &RecordBatch,
        candidate: impl Fn(usize) -> bool,
        now_s: u32,
    ) -> Result<(Vec<KeyVerdict>, Journal), ArrowError> {
        let hashes = self
            .constraints()
            .map(|constraint| hashes::of(rows, &constraint.columns))
            .collect::<Result<Vec<_>, _>>()?;
        let mut journal = Journal { added: vec![Vec::new(); hashes.len()] };
        let has_key = self.key.is_some();
        let horizon_s = self.horizon_s;
        let mut constraints: Vec<&mut Constraint> = self.constraints_mut().collect();
        let mut verdicts = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            if !candidate(row) {
                verdicts.push(KeyVerdict::New);
                continue;
            }
            let seen = constraints.iter().zip(&hashes).position(|(constraint, hashes)| {
                hashes[row].is_some_and(|hash| constraint.memory.knows(hash, now_s, horizon_s))
            });
            verdicts.push(match seen {
                Some(0) if has_key => KeyVerdict::Duplicate,
                Some(number) => KeyVerdict::Repeated(number - usize::from(has_key)),
                None => {
                    for ((constraint, hashes), added) in
                        constraints.iter_mut().zip(&hashes).zip(&mut journal.added)
                    {
                        if let Some(hash) = hashes[row] {
                            constraint.memory.add(hash, now_s);
                            added.push(hash);
                        }
                    }
                    KeyVerdict::New
                }
            });
        }
        Ok((verdicts, journal))
    }

    /// Takes back what rows that were not committed have added.
    pub(crate) fn take_back(&mut self, journal: Journal) {
        for (constraint, added) in self.constraints_mut().zip(journal.added) {
            constraint.memory.take_back(&added);
        }
    }

    /// Lets go of keys behind the horizon, and of the oldest where there are too many; returns the constraints that
    /// forgot keys early, with how many.
    pub(crate) fn tidy(&mut self, now_s: u32) -> Vec<(String, u64)> {
        let horizon_s = self.horizon_s;
        let forgotten = self
            .constraints_mut()
            .map(|constraint| (constraint.name.clone(), constraint.memory.tidy(now_s, horizon_s)));
        forgotten.filter(|(_, count)| *count > 0).collect()
    }
}
