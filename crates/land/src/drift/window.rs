//! Rows in windows, across parcels, with the position of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use chrono::{DateTime, Utc};
use flowline_quality::drift::{Baseline, SignalKind, WINDOW_ROWS, trend_point};

use crate::decode::{Decoded, Place};
use crate::parcel::Parcel;
use crate::stamp;

/// The points of a slow change whose positions are known: ten days, as the baseline keeps them, and some more.
const POINTS_MAX: usize = 160;

/// Rows that are not a whole window yet, and the window before them.
#[derive(Debug, Clone, Default)]
pub(super) struct Windows {
    open: Vec<Piece>,
    rows: usize,
    previous: Option<Window>,
    /// Where the first window of each point of a slow change begins.
    pub(super) points: BTreeMap<i64, String>,
}

/// Rows that were decoded together.
#[derive(Debug, Clone)]
struct Piece {
    rows: RecordBatch,
    input: Arc<str>,
    offsets: Vec<u64>,
    /// When the first of them was received.
    received_at: DateTime<Utc>,
}

/// A whole window.
#[derive(Debug, Clone)]
struct Window {
    rows: RecordBatch,
    pieces: Vec<Piece>,
}

/// A signal, with the position where it begins and the rows of the batch under way that are concerned.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) column: usize,
    pub(super) kind: SignalKind,
    pub(super) first: String,
    pub(super) last: String,
    /// Rows of the window.
    pub(super) count: u64,
    /// Rows of the batch under way.
    pub(super) rows: Vec<usize>,
}

impl Windows {
    /// Takes in the rows of a batch, and says what was found in the windows that they complete.
    pub(super) fn take(
        &mut self,
        parcel: &Parcel,
        decoded: &Decoded,
        baseline: &mut Baseline,
    ) -> Vec<Placed> {
        let mut placed = Vec::new();
        let total = decoded.rows.num_rows();
        let mut from = 0;
        while from < total {
            let count = (WINDOW_ROWS - self.rows).min(total - from);
            let places = &decoded.places[from..from + count];
            self.open.push(Piece {
                rows: decoded.rows.slice(from, count),
                input: Arc::clone(&parcel.input),
                offsets: places.iter().map(|place| stamp::offset(parcel, *place)).collect(),
                received_at: received_at(parcel, places.first().copied()),
            });
            self.rows += count;
            if self.rows == WINDOW_ROWS
                && let Some(window) = self.close()
            {
                let here = from as i64 - (WINDOW_ROWS - count) as i64;
                placed.extend(self.judge(&window, baseline, here));
                self.previous = Some(window);
            }
            from += count;
        }
        self.own();
        placed
    }

    /// Copies what is kept, so that a few rows do not hold the memory of all that were decoded with them.
    fn own(&mut self) {
        if let Some(piece) = self.open.last_mut() {
            piece.rows = copied(&piece.rows);
        }
        if let Some(previous) = &mut self.previous {
            previous.rows = copied(&previous.rows);
            previous.pieces.iter_mut().for_each(|piece| piece.rows = previous.rows.slice(0, 0));
        }
    }

    fn close(&mut self) -> Option<Window> {
        self.rows = 0;
        let pieces = std::mem::take(&mut self.open);
        let schema = pieces.first()?.rows.schema();
        let rows = match pieces.as_slice() {
            [one] => one.rows.clone(),
            several => concat_batches(&schema, several.iter().map(|piece| &piece.rows)).ok()?,
        };
        Some(Window { rows, pieces })
    }

    /// A change that began with an earlier point. It concerns no record more than others, so none is named.
    fn slow(&self, window: &Window, column: usize, kind: SignalKind, since: i64) -> Option<Placed> {
        let last = window.position(WINDOW_ROWS - 1)?;
        let first =
            self.points.range(since..).next().map_or_else(|| last.clone(), |(_, first)| first.clone());
        Some(Placed { column, kind, first, last, count: WINDOW_ROWS as u64, rows: Vec::new() })
    }

    /// `here` is the row of the batch under way with which the window begins; below zero when it began before.
    fn judge(&mut self, window: &Window, baseline: &mut Baseline, here: i64) -> Vec<Placed> {
        let at = window.pieces.last().map_or(DateTime::UNIX_EPOCH, |piece| piece.received_at);
        let point = trend_point(at);
        if !self.points.contains_key(&point)
            && let Some(position) = window.position(0)
        {
            self.points.insert(point, position);
            while self.points.len() > POINTS_MAX {
                self.points.pop_first();
            }
        }
        let previous = self.previous.as_ref();
        let signals = baseline.observe(&window.rows, previous.map(|previous| &previous.rows), at);
        let signals = signals.into_iter().filter_map(|signal| {
            if let SignalKind::Trend { since, .. } = signal.kind {
                return self.slow(window, signal.column, signal.kind, since);
            }
            let before = previous.map_or(0, |previous| previous.rows.num_rows());
            // Counted from the window before where that was looked at.
            let first = match signal.first.checked_sub(before) {
                Some(row) => window.position(row),
                None => previous.and_then(|previous| previous.position(signal.first)),
            }?;
            let last =
                signal.rows.last().and_then(|row| window.position(*row)).unwrap_or_else(|| first.clone());
            let rows =
                signal.rows.iter().filter_map(|row| usize::try_from(here + *row as i64).ok()).collect();
            let (column, kind, count) = (signal.column, signal.kind, signal.rows.len() as u64);
            Some(Placed { column, kind, first, last, count, rows })
        });
        signals.collect()
    }
}

/// When a record was received.
fn received_at(parcel: &Parcel, place: Option<Place>) -> DateTime<Utc> {
    let piece = place.and_then(|place| parcel.pieces.get(place.batch as usize));
    let at = piece.and_then(|piece| DateTime::from_timestamp_micros(piece.received_at));
    at.unwrap_or(DateTime::UNIX_EPOCH)
}

fn copied(rows: &RecordBatch) -> RecordBatch {
    let all = UInt32Array::from_iter_values(0..rows.num_rows() as u32);
    take_record_batch(rows, &all).unwrap_or_else(|_| rows.clone())
}

impl Window {
    fn position(&self, row: usize) -> Option<String> {
        let mut row = row;
        for piece in &self.pieces {
            match piece.offsets.get(row) {
                Some(offset) => return Some(format!("{}@{offset}", piece.input)),
                None => row -= piece.offsets.len(),
            }
        }
        None
    }
}
