//! The few values of a text that has only few.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::common::HashMap;

use super::shares::begin;
use super::{SignalKind, WINDOWS_MIN};

/// Different values beyond which a text is no enumeration.
const VALUES_MAX: usize = 500;
/// Rows of a new value below which it is none to speak of.
const NEW_MIN: u64 = 5;
/// How unlikely as many new values must be.
const CHANCE_MAX: f64 = 1e-9;

#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    counts: HashMap<Box<str>, u64>,
    rows: u64,
    windows: u32,
    /// There are too many different ones.
    open: bool,
}

impl Values {
    pub(super) fn learn(&mut self, array: &ArrayRef) {
        if self.open {
            return;
        }
        let texts = array.as_string::<i32>();
        self.windows = self.windows.saturating_add(1);
        for text in sampled(texts) {
            self.rows += 1;
            match self.counts.get_mut(text) {
                Some(count) => *count += 1,
                None => drop(self.counts.insert(text.into(), 1)),
            }
        }
        if self.counts.len() > VALUES_MAX {
            (self.open, self.counts) = (true, HashMap::new());
        }
    }

    /// As many new values as chance cannot bring, by how often new ones came before (Good and Turing): about as often
    /// as values that were seen only once.
    pub(super) fn judge(
        &self,
        array: &ArrayRef,
        before: Option<&ArrayRef>,
    ) -> Option<(SignalKind, usize, Vec<usize>)> {
        if self.open || self.windows < WINDOWS_MIN || self.rows == 0 {
            return None;
        }
        let texts = array.as_string::<i32>();
        let (mut looked, mut strange) = (0u64, 0u64);
        for text in sampled(texts) {
            looked += 1;
            strange += u64::from(!self.counts.contains_key(text));
        }
        let once = self.counts.values().filter(|count| **count == 1).count().max(1);
        let expected = looked as f64 * once as f64 / self.rows as f64;
        if strange < NEW_MIN || tail(strange, expected) > CHANCE_MAX {
            return None;
        }
        let flags = |array: &ArrayRef| -> Vec<bool> {
            let texts = array.as_string::<i32>().iter();
            texts.map(|text| text.is_some_and(|text| !self.counts.contains_key(text))).collect()
        };
        let now = flags(array);
        let rows: Vec<usize> = (0..now.len()).filter(|row| now[*row]).collect();
        let mut series = before.map(flags).unwrap_or_default();
        series.extend(now);
        let share = rows.len() as f64 / texts.len().max(1) as f64;
        let at = begin(&series, once as f64 / self.rows as f64, share);
        let first = (at..series.len()).find(|row| series[*row])?;
        let mut new: HashMap<&str, u64> = HashMap::new();
        rows.iter().for_each(|row| *new.entry(texts.value(*row)).or_default() += 1);
        let mut new: Vec<(String, u64)> =
            new.into_iter().map(|(text, count)| (text.to_owned(), count)).collect();
        new.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        let fold = |text: &str| text.trim().to_lowercase();
        let like =
            new.first().and_then(|(text, _)| self.counts.keys().find(|known| fold(known) == fold(text)));
        let like = like.map(|known| known.to_string());
        Some((SignalKind::Values { new, known: self.counts.len(), like }, first, rows))
    }

    /// The share of texts that were seen; none where the column has too many different ones to remember.
    pub(super) fn seen<'t>(&self, texts: impl Iterator<Item = &'t str>) -> Option<f64> {
        if self.open || self.counts.is_empty() {
            return None;
        }
        let (mut all, mut known) = (0u64, 0u64);
        for text in texts {
            all += 1;
            known += u64::from(self.counts.contains_key(text));
        }
        (all > 0).then(|| known as f64 / all as f64)
    }
}

/// One value in four: a new one is noticed once it makes up some percent of the rows.
fn sampled(texts: &StringArray) -> impl Iterator<Item = &str> {
    (0..texts.len()).step_by(4).filter(|row| texts.is_valid(*row)).map(|row| texts.value(row))
}

/// How likely at least so many events are where so many are expected (Poisson), from above.
fn tail(events: u64, expected: f64) -> f64 {
    let events = events as f64;
    if events <= expected {
        return 1.0;
    }
    // Chernoff's bound.
    (events - expected - events * (events / expected).ln()).exp()
}
