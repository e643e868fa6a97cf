//! Names of members as they mostly stand in records.

use super::string;

/// The name of a member between quotes, with the colon right behind.
#[derive(Debug, Clone)]
pub struct Key {
    /// None where it is not written with the characters that it has.
    written: Option<Box<[u8]>>,
    /// Its first bytes, as many as `mask` has.
    word: u128,
    mask: u128,
}

impl Key {
    /// The key of a name. A name with characters that are written as escapes is never found by it.
    pub fn new(name: &str) -> Self {
        let plain = string::plain_end(name.as_bytes(), 0) == name.len();
        let written = [b"\"", name.as_bytes(), b"\":"].concat();
        let mut word = [0; size_of::<u128>()];
        let first = written.len().min(word.len());
        word[..first].copy_from_slice(&written[..first]);
        Self {
            written: plain.then(|| written.into()),
            word: u128::from_le_bytes(word),
            mask: u128::MAX >> (8 * (word.len() - first)),
        }
    }

    /// Whether it comes first, with its colon. Keys of up to 13 characters are compared as one number.
    #[inline]
    pub(super) fn begins(&self, text: &[u8]) -> bool {
        let Some(written) = &self.written else { return false };
        match text.first_chunk() {
            Some(first) if u128::from_le_bytes(*first) & self.mask != self.word => false,
            Some(_) if written.len() <= size_of::<u128>() => true,
            _ => text.starts_with(written),
        }
    }

    /// Bytes of what it is with its colon.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.written.as_ref().map_or(0, |written| written.len())
    }

    /// Whether it comes first, whatever is behind its name.
    pub(super) fn name_begins(&self, text: &[u8]) -> bool {
        self.written.as_ref().is_some_and(|written| text.starts_with(&written[..written.len() - 1]))
    }

    /// Bytes of its name and quotes.
    pub(super) fn name_bytes(&self) -> usize {
        self.bytes().saturating_sub(1)
    }
}
