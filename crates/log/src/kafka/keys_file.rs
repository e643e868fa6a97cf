//! The file that idempotency keys of a partition are kept in.
//!
//! ```text
//! "FLKEYS02"  id of the topic: 16 bytes  looked at up to: u64  number of keys: u32
//! for each key, oldest first: hash: 16 bytes  first offset: u64  records: u32  checksum of the body is known: u32
//!                             checksum of the body: u32
//! crc32c of all that: u32
//! ```
//! "FLKEYS01" is the same without what is said of the body.
//! Integers are little-endian. A file that does not hold what it should is as good as none: everything in it stands in
//! the topic as well.

use std::io;
use std::path::Path;

use super::keys::KEYS_MAX;
use crate::segment::keys::{KeyHash, Known};

const MAGIC: &[u8; 8] = b"FLKEYS02";
const MAGIC_WITHOUT_BODY: &[u8; 8] = b"FLKEYS01";
const HEAD_BYTES: usize = 8 + 16 + 8 + 4;
const KEY_BYTES_WITHOUT_BODY: usize = 16 + 8 + 4;
const KEY_BYTES: usize = KEY_BYTES_WITHOUT_BODY + 4 + 4;
const CRC_BYTES: usize = 4;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Everything before it was looked at.
    pub(crate) looked_to: u64,
    /// Oldest first.
    pub(crate) keys: Vec<(KeyHash, Known)>,
}

/// The file, where it is whole and about this topic.
pub(crate) fn read(path: &Path, topic: [u8; 16]) -> Option<Kept> {
    match std::fs::metadata(path) {
        Ok(file) if file.len() <= (HEAD_BYTES + KEYS_MAX * KEY_BYTES + CRC_BYTES) as u64 => {}
        _ => return None,
    }
    decode(&std::fs::read(path).ok()?, topic)
}

/// Writes the file in the place of the one before.
pub(crate) fn write(path: &Path, topic: [u8; 16], kept: &Kept) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let partial = path.with_extension("partial");
    std::fs::write(&partial, encode(topic, kept))?;
    std::fs::rename(&partial, path)
}

fn encode(topic: [u8; 16], kept: &Kept) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + kept.keys.len() * KEY_BYTES + CRC_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&topic);
    bytes.extend_from_slice(&kept.looked_to.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(kept.keys.len()).unwrap_or(u32::MAX).to_le_bytes());
    for (hash, known) in &kept.keys {
        bytes.extend_from_slice(&hash.to_bytes());
        bytes.extend_from_slice(&known.first.to_le_bytes());
        bytes.extend_from_slice(&known.records.to_le_bytes());
        bytes.extend_from_slice(&u32::from(known.body.is_some()).to_le_bytes());
        bytes.extend_from_slice(&known.body.unwrap_or_default().to_le_bytes());
    }
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], topic: [u8; 16]) -> Option<Kept> {
    let (content, crc) = bytes.split_at_checked(bytes.len().checked_sub(CRC_BYTES)?)?;
    if crc32c::crc32c(content) != u32::from_le_bytes(crc.try_into().ok()?) {
        return None;
    }
    let (head, keys) = content.split_at_checked(HEAD_BYTES)?;
    let key_bytes = match head.get(..8)? {
        magic if magic == MAGIC => KEY_BYTES,
        magic if magic == MAGIC_WITHOUT_BODY => KEY_BYTES_WITHOUT_BODY,
        _ => return None,
    };
    if *head.get(8..24)? != topic {
        return None;
    }
    let looked_to = u64::from_le_bytes(head.get(24..32)?.try_into().ok()?);
    let count = u32::from_le_bytes(head.get(32..36)?.try_into().ok()?) as usize;
    if keys.len() != count.checked_mul(key_bytes)? {
        return None;
    }
    let key = |bytes: &[u8]| {
        let hash = KeyHash::from_bytes(bytes.get(..16)?.try_into().ok()?);
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let first = u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?);
        let body = number(28).filter(|known| *known == 1).and_then(|_| number(32));
        Some((hash, Known { first, records: number(24)?, body }))
    };
    let keys = keys.chunks_exact(key_bytes).map(key).collect::<Option<Vec<_>>>()?;
    Some(Kept { looked_to, keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the version before wrote it.
    #[test]
    fn a_file_that_says_nothing_of_bodies_is_read() {
        let mut bytes = MAGIC_WITHOUT_BODY.to_vec();
        bytes.extend_from_slice(&[7; 16]);
        bytes.extend_from_slice(&30u64.to_le_bytes());
        bytes.extend_from_slice(&1u32.to_le_bytes());
        bytes.extend_from_slice(&KeyHash::of("key").to_bytes());
        bytes.extend_from_slice(&20u64.to_le_bytes());
        bytes.extend_from_slice(&10u32.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        let known = Known { first: 20, records: 10, body: None };
        let kept = Kept { looked_to: 30, keys: vec![(KeyHash::of("key"), known)] };
        assert_eq!(decode(&bytes, [7; 16]), Some(kept));
    }

    #[test]
    fn what_is_kept_is_read_again_for_the_same_topic_alone() {
        let known = |number: u32| Known {
            first: u64::from(number) * 10,
            records: 10,
            body: (number > 0).then_some(number),
        };
        let keys = (0..3).map(|number| (KeyHash::of(&format!("key-{number}")), known(number)));
        let kept = Kept { looked_to: 30, keys: keys.collect() };
        let bytes = encode([7; 16], &kept);
        assert_eq!(decode(&bytes, [7; 16]), Some(kept));
        assert_eq!(decode(&bytes, [8; 16]), None);
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(decode(&damaged, [7; 16]), None, "byte {place}");
            assert_eq!(decode(&bytes[..place], [7; 16]), None, "cut at {place}");
        }
    }
}
