//! Drift: rows that are not like the rows before them.
//!
//! Owns: what is remembered of the rows before ([`Baseline`]: for each column the share of nulls, the size of numbers and
//! where they lie, the few values of a text that has only few), and when a window of rows departs from it. A window says
//! something only where it differs by more than windows differ from each other anyway, so that days and seasons do not
//! alarm. What moves too slowly for that is seen over days (`trend`). Pure.
//! Does not own: where rows come from, what becomes of them, what is said of it (`flowline-land`); what the contract
//! itself forbids ([`crate::RowRules`]); distributions over versions of a table (checks).
//!
//! The seam to profiles: a [`Baseline`] learns from any record batch of the contract's columns, so one can be made from
//! whatever rows or profiles of a table are at hand.

mod numbers;
mod rename;
mod running;
mod shares;
#[cfg(test)]
mod tests;
mod trend;
mod values;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use numbers::{Measured, Numbers};
pub use rename::{Likeness, likeness};
use shares::Nulls;
use trend::Trend;
pub use trend::{TREND_POINT_HOURS, TREND_POINTS, trend_point};
use values::Values;

/// Rows of a window.
pub const WINDOW_ROWS: usize = 500;
/// Windows that a column is learnt from before anything is said of it.
pub const WINDOWS_MIN: u32 = 6;

/// A median that moves by less than so many distances between the quartiles has not moved.
const MOVED_SPREADS_MIN: f64 = 0.5;
/// A share of nulls that moves by less has not moved.
const MOVED_SHARE_MIN: f64 = 0.05;

/// What the rows of a dataset were like.
#[derive(Debug, Clone)]
pub struct Baseline {
    columns: Vec<ColumnBaseline>,
    /// So many windows of drift, one after the other, are what is normal from then on; never when absent.
    adopt_after: Option<u32>,
}

/// What one column was like.
#[derive(Debug, Clone)]
struct ColumnBaseline {
    kind: DataType,
    nulls: Nulls,
    numbers: Option<Numbers>,
    values: Option<Values>,
    trends: Trends,
    /// Windows of drift since the last one without.
    drifting: u32,
    /// What was measured of the window that was looked at last.
    measured: Option<Measured>,
}

/// Where the numbers of a column lie and its share of nulls, over days. All else can be learnt from the newest rows of a
/// table; this is what has to be kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trends {
    level: Trend,
    nulls: Trend,
}

/// A column whose rows are no longer as they were.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Which column.
    pub column: usize,
    /// In what.
    pub kind: SignalKind,
    /// The row with which it begins, counted from the first row of the window before where that was given, and else
    /// from the first of the window.
    pub first: usize,
    /// The rows of the window (counted from its own first) that are concerned.
    pub rows: Vec<usize>,
}

/// In what rows are no longer as they were.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalKind {
    /// More nulls.
    Nulls {
        /// The share before.
        before: f64,
        /// The share in the window from `first` on.
        now: f64,
    },
    /// Numbers are larger or smaller by one factor.
    Unit {
        /// The factor.
        factor: f64,
    },
    /// Numbers all lie elsewhere by about the same, as from another zero point.
    Offset {
        /// 1, or the factor of a unit that is known to have another one as well.
        factor: f64,
        /// What is added, after the factor.
        offset: f64,
    },
    /// Over days they have moved, however little from one window to the next. No single row is concerned.
    Trend {
        /// What has moved.
        of: Moving,
        /// Its mean over the first points.
        before: f64,
        /// Its mean over the newest points.
        now: f64,
        /// By how much it may differ.
        bound: f64,
        /// The point with which it began; see [`trend_point`].
        since: i64,
    },
    /// Texts that were none of the few.
    Values {
        /// The new ones with how often they come, the commonest first.
        new: Vec<(String, u64)>,
        /// How many there were.
        known: usize,
        /// A known value that differs from the commonest new one only in case or white space.
        like: Option<String>,
    },
}

/// What of a column can move slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moving {
    /// The median of its numbers.
    Level,
    /// The share of nulls.
    Nulls,
}

impl Baseline {
    /// A baseline of columns of these types that has seen nothing yet. Of a column that is to be looked at for its nulls
    /// alone the type is [`DataType::Null`].
    pub fn new<'a>(types: impl IntoIterator<Item = &'a DataType>, adopt_after: Option<u32>) -> Self {
        Self { columns: types.into_iter().map(ColumnBaseline::new).collect(), adopt_after }
    }

    /// Holds a window against the windows before it. The columns of `window` are those of the baseline, first ones
    /// first; `previous` is the window before, where a change may have begun unseen: columns that are as they were learn
    /// from that one, so that nothing is learnt of a change before it is seen. `at` is when the rows were received. Cost:
    /// some 20 nanoseconds of processor time for each number and 15 for each text of few values; for other columns a look
    /// at their count of nulls.
    pub fn observe(
        &mut self,
        window: &RecordBatch,
        previous: Option<&RecordBatch>,
        at: DateTime<Utc>,
    ) -> Vec<Signal> {
        let mut signals = Vec::new();
        for (index, column) in self.columns.iter_mut().enumerate().take(window.num_columns()) {
            let array = window.column(index);
            let before = previous.map(|previous| previous.column(index));
            let measured = column.measure(array);
            let measured_before = column.measured.replace(measured);
            let found = column.judge(array, before.filter(|_| column.drifting == 0), measured);
            if found.is_empty() {
                if let Some(before) = before.filter(|_| column.drifting == 0) {
                    column.learn(before, measured_before);
                }
                column.drifting = 0;
                let moved = column.moved(array, measured, trend_point(at));
                signals.extend(moved.into_iter().map(|(kind, first, rows)| Signal {
                    column: index,
                    kind,
                    first,
                    rows,
                }));
                continue;
            }
            // A column that drifts already was looked at without the window before.
            let shift = if column.drifting > 0 { before.map_or(0, |before| before.len()) } else { 0 };
            column.drifting += 1;
            if self.adopt_after.is_some_and(|windows| column.drifting > windows) {
                *column = ColumnBaseline::new(&column.kind);
                column.learn(array, Some(measured));
                column.measured = Some(measured);
            }
            signals.extend(found.into_iter().map(|(kind, first, rows)| Signal {
                column: index,
                kind,
                first: first + shift,
                rows,
            }));
        }
        signals
    }

    /// Learns from rows without judging them.
    pub fn learn(&mut self, rows: &RecordBatch) {
        for start in (0..rows.num_rows()).step_by(WINDOW_ROWS) {
            let window = rows.slice(start, WINDOW_ROWS.min(rows.num_rows() - start));
            // The rest of the rows is no window: it would count as much as one.
            if window.num_rows() == WINDOW_ROWS {
                self.columns
                    .iter_mut()
                    .zip(window.columns())
                    .for_each(|(column, array)| column.learn(array, None));
            }
        }
    }

    /// What each column was like over days.
    pub fn trends(&self) -> impl Iterator<Item = &Trends> {
        self.columns.iter().map(|column| &column.trends)
    }

    /// Goes on from what a column was like over days.
    pub fn resume(&mut self, column: usize, trends: Trends) {
        if let Some(column) = self.columns.get_mut(column) {
            column.trends = trends;
        }
    }

    /// What is known of a column, for comparing it with a field of another name.
    fn column(&self, column: usize) -> Option<&ColumnBaseline> {
        self.columns.get(column)
    }
}

type Found = (SignalKind, usize, Vec<usize>);

impl ColumnBaseline {
    fn new(kind: &DataType) -> Self {
        Self {
            kind: kind.clone(),
            nulls: Nulls::default(),
            numbers: Numbers::of(kind),
            values: (*kind == DataType::Utf8).then(Values::default),
            trends: Trends::default(),
            drifting: 0,
            measured: None,
        }
    }

    fn measure(&self, array: &ArrayRef) -> Measured {
        self.numbers.as_ref().map(|_| Measured::of(array)).unwrap_or_default()
    }

    /// What has moved slowly, now that a window of a point has come.
    fn moved(&mut self, array: &ArrayRef, measured: Measured, point: i64) -> Vec<Found> {
        let mut found = Vec::new();
        if let Some(level) = measured.level {
            let moved = self.trends.level.take(point, level.middle, MOVED_SPREADS_MIN * level.spread);
            found.extend(moved.map(|moved| (Moving::Level, moved)));
        }
        if !array.is_empty() {
            let share = array.null_count() as f64 / array.len() as f64;
            let moved = self.trends.nulls.take(point, share, MOVED_SHARE_MIN);
            found.extend(moved.map(|moved| (Moving::Nulls, moved)));
        }
        let kind = |(of, trend::Moved { before, now, bound, since })| {
            (SignalKind::Trend { of, before, now, bound, since }, 0, Vec::new())
        };
        found.into_iter().map(kind).collect()
    }

    /// Learns from a window; `measured` is what was measured of its numbers, if that was done before.
    fn learn(&mut self, array: &ArrayRef, measured: Option<Measured>) {
        self.nulls.learn(array);
        if let Some(numbers) = &mut self.numbers {
            numbers.learn(measured.unwrap_or_else(|| Measured::of(array)));
        }
        if let Some(values) = &mut self.values {
            values.learn(array);
        }
    }

    fn judge(&self, array: &ArrayRef, before: Option<&ArrayRef>, measured: Measured) -> Vec<Found> {
        let nulls = self.nulls.judge(array, before);
        let numbers = self.numbers.as_ref().and_then(|numbers| numbers.judge(array, before, measured));
        let values = self.values.as_ref().and_then(|values| values.judge(array, before));
        [nulls, numbers, values].into_iter().flatten().collect()
    }
}
