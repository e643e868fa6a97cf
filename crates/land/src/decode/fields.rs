//! Which column a field of a record belongs to.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use flowline_source::json::Key;

/// Finds columns by the names that fields have in records.
#[derive(Debug, Clone, Default)]
pub(crate) struct FieldIndex {
    names: Vec<String>,
    keys: Vec<Key>,
    places: HashMap<Box<str>, usize, BuildHasherDefault<Xxh3>>,
}

/// The names of fields are few and short, and whoever chooses them gains nothing by collisions but slow landing of
/// their own records: a fast hash is enough.
#[derive(Debug, Clone, Default)]
pub(crate) struct Xxh3(u64);

impl Hasher for Xxh3 {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u8(&mut self, _: u8) {}
}

impl FieldIndex {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<String> = names.map(str::to_owned).collect();
        let places = names.iter().enumerate().map(|(place, name)| (name.as_str().into(), place)).collect();
        let keys = names.iter().map(|name| Key::new(name)).collect();
        Self { names, keys, places }
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The name as it stands in records.
    pub(crate) fn key(&self, place: usize) -> Option<&Key> {
        self.keys.get(place)
    }

    pub(crate) fn name(&self, place: usize) -> &str {
        self.names.get(place).map_or("", String::as_str)
    }
}

/// Fields of a record whose place is remembered; those behind are looked up each time.
const POSITIONS_MAX: usize = 1024;

/// Remembers in which order the last record had its fields: most records of a source have the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct FieldOrder {
    places: Vec<Option<usize>>,
}

impl FieldOrder {
    /// The column whose field stood at `position` of the last record.
    pub(crate) fn expected(&self, position: usize) -> Option<usize> {
        self.places.get(position).copied().flatten()
    }

    /// The column of the field that stands at `position` of its record. Cost: one comparison where the order is that
    /// of the record before.
    pub(crate) fn find(&mut self, index: &FieldIndex, position: usize, name: &str) -> Option<usize> {
        if let Some(Some(place)) = self.places.get(position)
            && index.name(*place) == name
        {
            return Some(*place);
        }
        let place = index.find(name);
        if let Some(known) = self.places.get_mut(position) {
            *known = place;
        } else if position == self.places.len() && position < POSITIONS_MAX {
            self.places.push(place);
        }
        place
    }
}
