//! A sample of the rows: each has the same chance, and the same rows in the same order give the same sample.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{interleave_record_batch, take_record_batch};
use arrow::error::ArrowError;

/// Rows of a sample.
const ROWS: usize = 1_024;
/// Pieces that rows lie in, after which they are put together.
const PIECES_MAX: usize = 32;

/// Rows drawn evenly. Beyond the first thousand, the row to be drawn next is found by skipping, so that a batch costs
/// what is drawn of it.
#[derive(Debug)]
pub(super) struct Sample {
    pieces: Vec<RecordBatch>,
    /// For each row of the sample the piece and the row of it.
    places: Vec<(usize, usize)>,
    seen: u64,
    /// The number of the row to be drawn next.
    next: u64,
    weight: f64,
    random: u64,
}

impl Default for Sample {
    fn default() -> Self {
        let (pieces, places) = (Vec::new(), Vec::new());
        Self { pieces, places, seen: 0, next: 0, weight: 1.0, random: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl Sample {
    pub fn update(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let rows = batch.num_rows() as u64;
        let mut drawn: Vec<(usize, u32)> = Vec::new();
        let free = (ROWS - self.places.len()) as u64;
        for row in 0..rows.min(free) {
            drawn.push((self.places.len(), row as u32));
            self.places.push((0, 0));
            if self.places.len() == ROWS {
                self.next = self.seen + row;
                self.skip();
            }
        }
        while self.places.len() == ROWS && self.next < self.seen + rows {
            let slot = (self.draw() * ROWS as f64) as usize;
            drawn.push((slot.min(ROWS - 1), (self.next - self.seen) as u32));
            self.skip();
        }
        self.seen += rows;
        self.keep(batch, &drawn)
    }

    fn keep(&mut self, batch: &RecordBatch, drawn: &[(usize, u32)]) -> Result<(), ArrowError> {
        if drawn.is_empty() {
            return Ok(());
        }
        if self.pieces.first().is_some_and(|piece| piece.schema_ref().fields() != batch.schema_ref().fields())
        {
            // The table grew a column meanwhile: what was drawn before is let go.
            *self = Self { random: self.random, ..Self::default() };
            return Ok(());
        }
        let rows = UInt32Array::from_iter_values(drawn.iter().map(|(_, row)| *row));
        self.pieces.push(take_record_batch(batch, &rows)?);
        let piece = self.pieces.len() - 1;
        for (row, (slot, _)) in drawn.iter().enumerate() {
            self.places[*slot] = (piece, row);
        }
        if self.pieces.len() > PIECES_MAX
            && let Some(rows) = self.rows()?
        {
            self.places = (0..rows.num_rows()).map(|row| (0, row)).collect();
            self.pieces = vec![rows];
        }
        Ok(())
    }

    /// The rows of the sample; none when there are none.
    pub fn rows(&self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.places.is_empty() || self.pieces.is_empty() {
            return Ok(None);
        }
        let pieces: Vec<&RecordBatch> = self.pieces.iter().collect();
        interleave_record_batch(&pieces, &self.places).map(Some)
    }

    /// Moves on to the row to be drawn next (Li's algorithm L).
    fn skip(&mut self) {
        self.weight *= (self.draw().ln() / ROWS as f64).exp();
        let gap = (self.draw().ln() / (1.0 - self.weight).ln()).floor();
        self.next =
            self.next.saturating_add(if gap.is_finite() { gap as u64 } else { u64::MAX }).saturating_add(1);
    }

    /// A number above 0 and up to 1.
    fn draw(&mut self) -> f64 {
        // Marsaglia's xorshift.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}
