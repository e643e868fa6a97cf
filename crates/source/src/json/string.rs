//! The characters of a text: where they end, and what its escapes stand for.

use super::{Json, JsonError};

const fn everywhere(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Whether a byte cannot stand for itself within a text.
fn special(byte: u8) -> bool {
    // Without branches, so that many bytes are looked at by one instruction.
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// Words that are looked at before a text counts as a long one.
const WORDS: usize = 3;
/// Bytes of a long text that are looked at together.
const BLOCK: usize = 32;

/// The index of the first byte from `start` on that cannot stand for itself; the length when there is none.
#[inline]
pub(super) fn plain_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    for _ in 0..WORDS {
        let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { break };
        if let Some(found) = special_in(*word) {
            return at + found;
        }
        at += word.len();
    }
    long_plain_end(bytes, at)
}

/// The same of a text that is long, or ends soon.
fn long_plain_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        if block.iter().fold(0, |found, byte| found | u8::from(special(*byte))) != 0 {
            break;
        }
        at += BLOCK;
    }
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        if let Some(found) = special_in(*word) {
            return at + found;
        }
        at += word.len();
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| special(*byte)).unwrap_or(rest.len())
}

/// The first of eight bytes that cannot stand for itself. A byte of the word is zero, or less than a space, where its
/// subtraction borrows (Mycroft); of several such bytes, the lowest is told rightly, and it is the first one.
#[inline]
fn special_in(bytes: [u8; 8]) -> Option<usize> {
    let word = u64::from_le_bytes(bytes);
    let zero = |word: u64| word.wrapping_sub(everywhere(0x01)) & !word;
    let control = word.wrapping_sub(everywhere(0x20)) & !word;
    let quote = zero(word ^ everywhere(b'"'));
    let backslash = zero(word ^ everywhere(b'\\'));
    let found = (control | quote | backslash) & everywhere(0x80);
    (found != 0).then(|| (found.trailing_zeros() / 8) as usize)
}

impl Json<'_> {
    /// Reads on in a text that began at `start` and is plain up to here; puts what it says into `out`.
    pub(super) fn unescape(&mut self, mut start: usize, out: &mut String) -> Result<(), JsonError> {
        loop {
            out.push_str(self.since(start));
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                Some(_) => return Err(self.expected("an escape for a control character")),
                None => return Err(self.expected("the end of a text")),
            }
            start = self.at;
            self.at = plain_end(self.text.as_bytes(), start);
        }
    }

    /// The character behind a backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        let plain = match self.byte() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.expected("an escape")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// The character of four digits, or of two times four where it lies beyond them.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let half = |this: &Self| this.expected("a whole character");
        let first = self.hexadecimal()?;
        if let Some(found) = char::from_u32(first) {
            return Ok(found);
        }
        // The first half of a pair; the second one must follow.
        if first >= 0xdc00 || !(self.pass(b'\\') && self.pass(b'u')) {
            return Err(half(self));
        }
        let second = self.hexadecimal()?;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or_else(|| half(self))?;
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + low).ok_or_else(|| half(self))
    }

    fn hexadecimal(&mut self) -> Result<u32, JsonError> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|byte| char::from(byte).to_digit(16));
            value = value * 16 + digit.ok_or_else(|| self.expected("four hexadecimal digits"))?;
            self.at += 1;
        }
        Ok(value)
    }
}
