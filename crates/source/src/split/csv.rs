//! Comma-separated values: a header, then records; a quoted field may hold commas, quotes and line ends.

use csv_core::{ReadRecordResult, Reader};

use super::{Spans, TooMany, bom, push};

/// The span of the header (none when there is nothing but blank lines) and of each record behind it, without line
/// ends. Blank lines are no records. A quote that never ends makes one record of the rest. `bytes` must be shorter
/// than 4 GiB.
pub fn records(bytes: &[u8], limit: u32) -> Result<(Option<(u32, u32)>, Spans), TooMany> {
    let mut spans = rows(bytes, bom(bytes), limit.saturating_add(1))?;
    if spans.is_empty() {
        return Ok((None, spans));
    }
    let header = spans.remove(0);
    if spans.len() > limit as usize { Err(TooMany { limit }) } else { Ok((Some(header), spans)) }
}

/// Like [`records`], from `start` on and without a header. Where more bytes follow, the last one may not be whole.
pub fn rows(bytes: &[u8], start: usize, limit: u32) -> Result<Spans, TooMany> {
    let mut scanner = Scanner::default();
    let (mut spans, mut at) = (Spans::new(), start);
    while let Some((from, to)) = scanner.next(bytes, at) {
        at = to;
        let (from, to) = trim_line_ends(bytes, from, to);
        push(&mut spans, from, to, limit)?;
    }
    Ok(spans)
}

/// Finds record after record with the state machine that also reads the fields, so that both agree on the dialect.
#[derive(Debug)]
struct Scanner {
    reader: Reader,
    fields: [u8; 1024],
    ends: [usize; 64],
}

impl Default for Scanner {
    fn default() -> Self {
        Self { reader: Reader::new(), fields: [0; 1024], ends: [0; 64] }
    }
}

impl Scanner {
    /// The next record at or after `at`, as `(start, end)`; the end includes the line end that was consumed.
    fn next(&mut self, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        let mut end = at;
        loop {
            let (result, read, _, _) =
                self.reader.read_record(&bytes[end..], &mut self.fields, &mut self.ends);
            end += read;
            match result {
                ReadRecordResult::Record => return Some((at, end)),
                ReadRecordResult::End => return None,
                // At the end of the input an empty read tells the state machine that no more will come.
                ReadRecordResult::InputEmpty
                | ReadRecordResult::OutputFull
                | ReadRecordResult::OutputEndsFull => {}
            }
        }
    }
}

fn trim_line_ends(bytes: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    while start < end && matches!(bytes[start], b'\r' | b'\n') {
        start += 1;
    }
    if start < end && bytes[end - 1] == b'\n' {
        end -= 1;
    }
    if start < end && bytes[end - 1] == b'\r' {
        end -= 1;
    }
    (start, end)
}
