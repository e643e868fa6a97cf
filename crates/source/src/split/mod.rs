//! Finding where records begin and end, without reading what is in them.
//!
//! Every splitter takes any bytes, never fails on what they hold, and leaves no byte that might be data outside the
//! spans it returns: what cannot be told apart is one record, as received.

pub mod csv;
pub mod json;
#[cfg(test)]
mod tests;

/// There are more records than are taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// How many are taken.
    pub limit: u32,
}

/// `(start, end)` of each record.
pub type Spans = Vec<(u32, u32)>;

pub(crate) fn push(spans: &mut Spans, start: usize, end: usize, limit: u32) -> Result<(), TooMany> {
    if spans.len() >= limit as usize {
        return Err(TooMany { limit });
    }
    spans.push((start as u32, end as u32));
    Ok(())
}

/// Length of the byte order mark at the start, if there is one.
pub(crate) fn bom(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
}

/// Every line that is not blank, without its line end. `bytes` must be shorter than 4 GiB.
pub fn lines(bytes: &[u8], limit: u32) -> Result<Spans, TooMany> {
    let mut spans = Spans::new();
    let mut start = bom(bytes);
    while start < bytes.len() {
        let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |length| start + length);
        let (from, to) = trim(bytes, start, end);
        if from < to {
            push(&mut spans, from, to, limit)?;
        }
        start = end + 1;
    }
    Ok(spans)
}

/// The range without the JSON white space around it.
pub(crate) fn trim(bytes: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    while start < end && is_space(bytes[start]) {
        start += 1;
    }
    while start < end && is_space(bytes[end - 1]) {
        end -= 1;
    }
    (start, end)
}

pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
