//! Where the records of a batch lie in its payload, in few bytes: for each record the gap since the last one's end
//! and its length, both as varints. Two or three bytes a record.

/// Bytes of the longest varint of 32 bits.
const VARINT_BYTES_MAX: usize = 5;

/// Whether the spans follow each other inside a payload of `payload_bytes`.
pub(crate) fn ordered(spans: &[(u32, u32)], payload_bytes: usize) -> bool {
    let mut end_before = 0;
    for &(start, end) in spans {
        if start < end_before || end < start {
            return false;
        }
        end_before = end;
    }
    end_before as usize <= payload_bytes
}

/// Appends the spans, which must be [`ordered`].
pub(crate) fn encode(spans: &[(u32, u32)], out: &mut Vec<u8>) {
    out.reserve(spans.len() * 3);
    let mut end_before = 0;
    for &(start, end) in spans {
        put_varint(start - end_before, out);
        put_varint(end - start, out);
        end_before = end;
    }
}

/// The spans of `records` records; none when the bytes do not hold exactly these, or they leave the payload.
pub(crate) fn decode(mut bytes: &[u8], records: u32, payload_bytes: u32) -> Option<Vec<(u32, u32)>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    if bytes.len() < records as usize * 2 || bytes.len() > records as usize * 2 * VARINT_BYTES_MAX {
        return None;
    }
    let mut spans = Vec::with_capacity(records as usize);
    let mut end_before = 0u32;
    for _ in 0..records {
        let start = end_before.checked_add(take_varint(&mut bytes)?)?;
        let end = start.checked_add(take_varint(&mut bytes)?)?;
        spans.push((start, end));
        end_before = end;
    }
    (bytes.is_empty() && end_before <= payload_bytes).then_some(spans)
}

/// Appends a number in as few bytes as it needs.
pub(crate) fn put_varint(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number from the front; none when the bytes end or it has more than 32 bits.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0u32;
    for shift in (0..).step_by(7).take(VARINT_BYTES_MAX) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u32::from(byte & 0x7f);
        if shift == 28 && part > 0xf {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let spans = vec![(0, 0), (1, 128), (128, 128), (500, 70_000), (70_001, u32::MAX)];
        let mut bytes = Vec::new();
        encode(&spans, &mut bytes);
        assert_eq!(decode(&bytes, 5, u32::MAX), Some(spans));
        assert_eq!(decode(&bytes, 5, u32::MAX - 1), None, "outside the payload");
        assert_eq!(decode(&bytes, 4, u32::MAX), None, "bytes are left over");
        assert_eq!(decode(&bytes[..bytes.len() - 1], 5, u32::MAX), None, "bytes are missing");
    }

    #[test]
    fn a_varint_beyond_32_bits_is_refused() {
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0x1f, 0], 1, u32::MAX), None);
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0], 1, u32::MAX), None);
    }

    #[test]
    fn disorder_is_seen() {
        assert!(ordered(&[(0, 3), (3, 5)], 5));
        assert!(!ordered(&[(0, 3), (2, 5)], 5));
        assert!(!ordered(&[(3, 2)], 5));
        assert!(!ordered(&[(0, 6)], 5));
    }
}
