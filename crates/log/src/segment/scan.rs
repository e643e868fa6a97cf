//! Walking the frames of a segment by their heads, and finding frames behind damage.

use std::io;

use memchr::memmem;

use super::frame::{self, HEAD_BYTES, HEAD_BYTES_MAX, Head, Place};
use super::header::HEADER_BYTES;
use super::index::Contents;
use super::keys::{KeyHash, KeyMap, Known};
use crate::disk::{DiskFile, read_up_to};

/// Where frames are small, heads are read this many bytes at a time.
const WINDOW_BYTES: usize = 64 << 10;
/// Bytes that are searched at a time for a frame behind damage.
const SEARCH_BYTES: usize = 1 << 20;

/// The place in a segment where the frames cannot be followed any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Byte of the file.
    pub(crate) position: u64,
    /// What does not hold.
    pub(crate) reason: &'static str,
}

/// Reads heads from a segment file.
#[derive(Debug)]
pub(crate) struct Walker<'a> {
    file: &'a dyn DiskFile,
    salt: u64,
    limit: u64,
    window: Vec<u8>,
    window_at: u64,
    window_bytes: usize,
}

impl<'a> Walker<'a> {
    /// A walker over the first `limit` bytes of a file.
    pub(crate) fn new(file: &'a dyn DiskFile, salt: u64, limit: u64) -> Self {
        Self { file, salt, limit, window: Vec::new(), window_at: 0, window_bytes: HEAD_BYTES_MAX }
    }

    /// The head at `position`, if the whole frame lies before the limit.
    pub(crate) fn head(&mut self, position: u64) -> io::Result<Result<Head, Damage>> {
        let bytes = self.limit.saturating_sub(position).min(HEAD_BYTES_MAX as u64) as usize;
        let place = Place { salt: self.salt, position };
        let head_bytes = self.bytes_at(position, bytes)?;
        let head = frame::decode_head(head_bytes, place).map_err(|reason| Damage { position, reason });
        Ok(match head {
            Ok(head) if position + head.frame_bytes() > self.limit => {
                Err(Damage { position, reason: "the file ends within a frame" })
            }
            Ok(head) => {
                let small = head.frame_bytes() < WINDOW_BYTES as u64 / 2;
                self.window_bytes = if small { WINDOW_BYTES } else { HEAD_BYTES_MAX };
                Ok(head)
            }
            damage => damage,
        })
    }

    fn bytes_at(&mut self, position: u64, bytes: usize) -> io::Result<&[u8]> {
        let inside = position.checked_sub(self.window_at).map(|from| from as usize);
        if let Some(from) = inside.filter(|from| from + bytes <= self.window.len()) {
            return Ok(&self.window[from..from + bytes]);
        }
        let wanted = (self.window_bytes as u64).min(self.limit.saturating_sub(position)) as usize;
        self.window = read_up_to(self.file, position, wanted.max(bytes))?;
        self.window_at = position;
        Ok(&self.window[..bytes.min(self.window.len())])
    }

    /// The first whole frame that begins at or behind `from`, wherever that may be.
    pub(crate) fn search(&mut self, mut from: u64) -> io::Result<Option<(u64, Head)>> {
        let finder = memmem::Finder::new(&frame::MAGIC);
        while from + HEAD_BYTES as u64 <= self.limit {
            let wanted = (self.limit - from).min(SEARCH_BYTES as u64) as usize;
            let chunk = read_up_to(self.file, from, wanted)?;
            for found in finder.find_iter(&chunk) {
                let position = from + found as u64;
                if let Ok(head) = self.head(position)? {
                    return Ok(Some((position, head)));
                }
            }
            if chunk.len() < wanted || wanted < SEARCH_BYTES {
                break;
            }
            // The magic may lie across the end of the chunk.
            from += (chunk.len() - frame::MAGIC.len() + 1) as u64;
        }
        Ok(None)
    }
}

/// What walking a segment found.
#[derive(Debug)]
pub(crate) struct Walked {
    pub(crate) contents: Contents,
    pub(crate) keys: KeyMap,
    /// The end of what was on stable storage before the last group was written.
    pub(crate) synced: u64,
    /// Where the walk ended, unless that is the limit.
    pub(crate) damage: Option<Damage>,
}

impl Walked {
    fn empty(first: u64) -> Self {
        let synced = HEADER_BYTES as u64;
        Self { contents: Contents::empty(first), keys: KeyMap::default(), synced, damage: None }
    }

    fn add(&mut self, position: u64, head: &Head) {
        self.contents.add(position, head);
        self.synced = self.synced.max(position.saturating_sub(u64::from(head.group_back)));
        if let Some(key) = &head.key {
            let known = Known { first: head.first_offset, records: head.records, body: Some(head.body_crc) };
            self.keys.entry(KeyHash::of(key)).or_insert(known);
        }
    }
}

/// Walks the frames of the segment that begins at offset `first`, up to the limit of the walker or to the first place
/// where there is no frame that follows the one before.
pub(crate) fn walk(walker: &mut Walker<'_>, first: u64) -> io::Result<Walked> {
    let mut walked = Walked::empty(first);
    while walked.contents.bytes < walker.limit {
        let position = walked.contents.bytes;
        match walker.head(position)? {
            Ok(head) if head.first_offset == walked.contents.next => walked.add(position, &head),
            Ok(_) => {
                let reason = "the frame's offset does not follow the one before";
                walked.damage = Some(Damage { position, reason });
                break;
            }
            Err(damage) => {
                walked.damage = Some(damage);
                break;
            }
        }
    }
    Ok(walked)
}

/// Walks a sealed segment, leaving out what is damaged: the first such place is named in what is returned.
pub(crate) fn walk_around_damage(walker: &mut Walker<'_>, first: u64) -> io::Result<Walked> {
    let mut walked = Walked::empty(first);
    let mut position = HEADER_BYTES as u64;
    while position < walker.limit {
        let damage = match walker.head(position)? {
            Ok(head) if head.first_offset >= walked.contents.next => {
                walked.add(position, &head);
                position = walked.contents.bytes;
                continue;
            }
            Ok(_) => Damage { position, reason: "the frame's offset lies before that of the one before" },
            Err(damage) => damage,
        };
        walked.damage.get_or_insert(damage);
        match walker.search(position + 1)? {
            Some((found, _)) => position = found,
            None => break,
        }
    }
    Ok(walked)
}
