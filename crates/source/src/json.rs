//! JSON, read from front to back.
//!
//! Owns: the syntax of RFC 8259, over text that is known to be UTF-8: what comes next, where it ends, what a text says.
//! Whoever reads says what it does with each value, so that nothing is made of a record but what is wanted of it. Does
//! not own: what a value means (`flowline-land`).
//!
//! Records of a source mostly have the same members in the same order, so a key is compared with the one that is
//! expected before it is read as a text ([`Json::key_is`]). That, and reading a text eight bytes at a time, makes records
//! of some hundred bytes several times as fast to read as by the general readers there are.

mod key;
mod string;
#[cfg(test)]
mod tests;

use std::fmt;

pub use key::Key;

use crate::number;

/// Values may lie in each other so deep.
const DEPTH_MAX: usize = 200;

/// A reader of one text. Cheap to clone: to look ahead.
#[derive(Debug, Clone)]
pub struct Json<'j> {
    text: &'j str,
    at: usize,
}

/// What a value is, from its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true`.
    True,
    /// `false`.
    False,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
}

/// Where a text is no JSON, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    expected: &'static str,
    at: usize,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

impl std::error::Error for JsonError {}

/// Whether a text is exactly one value.
pub fn is_value(text: &str) -> bool {
    let mut json = Json::new(text);
    json.skip().and_then(|()| json.finish()).is_ok()
}

impl<'j> Json<'j> {
    /// A reader at the beginning of a text.
    pub fn new(text: &'j str) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes that are read.
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// What was read since a place that [`Json::at`] gave.
    #[inline]
    pub fn since(&self, start: usize) -> &'j str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// What comes next; white space before it is passed.
    ///
    /// # Errors
    /// Where no value can begin.
    #[inline]
    pub fn peek(&mut self) -> Result<Kind, JsonError> {
        self.pass_space();
        match self.byte() {
            Some(b'"') => Ok(Kind::Text),
            Some(b'0'..=b'9' | b'-') => Ok(Kind::Number),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::List),
            Some(b'n') => Ok(Kind::Null),
            Some(b't') => Ok(Kind::True),
            Some(b'f') => Ok(Kind::False),
            _ => Err(self.expected("a value")),
        }
    }

    /// Passes `null`.
    ///
    /// # Errors
    /// When something else comes.
    #[inline]
    pub fn null(&mut self) -> Result<(), JsonError> {
        self.word("null")
    }

    /// Passes `true` or `false`.
    ///
    /// # Errors
    /// When something else comes.
    #[inline]
    pub fn boolean(&mut self) -> Result<bool, JsonError> {
        if self.byte() == Some(b't') {
            self.word("true").map(|()| true)
        } else {
            self.word("false").map(|()| false)
        }
    }

    /// Passes a number and gives its characters.
    ///
    /// # Errors
    /// Where it is none.
    #[inline]
    pub fn number(&mut self) -> Result<&'j str, JsonError> {
        let start = self.at;
        self.pass(b'-');
        // A zero stands alone before the point.
        if !self.pass(b'0') {
            self.digits()?;
        }
        if self.pass(b'.') {
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if !self.pass(b'-') {
                self.pass(b'+');
            }
            self.digits()?;
        }
        Ok(self.since(start))
    }

    /// Passes a whole number of up to 16 digits and gives it; none where something else comes, and nothing is passed.
    #[inline]
    pub fn whole(&mut self) -> Option<i64> {
        let bytes = &self.text.as_bytes()[self.at..];
        let (negative, digits) = match bytes.strip_prefix(b"-") {
            Some(digits) => (true, digits),
            None => (false, bytes),
        };
        let (value, count) = number::leading_digits(digits)?;
        let more = matches!(digits.get(count), Some(b'0'..=b'9' | b'.' | b'e' | b'E'));
        // A zero stands alone.
        if count == 0 || more || (digits[0] == b'0' && count > 1) {
            return None;
        }
        self.at += usize::from(negative) + count;
        Some(if negative { -value } else { value })
    }

    /// Passes a text and gives what it says: a part of what is read, or `scratch` where it has escapes.
    ///
    /// # Errors
    /// Where it is none, does not end, or has half a character in it.
    #[inline]
    pub fn text<'s>(&mut self, scratch: &'s mut String) -> Result<&'s str, JsonError>
    where
        'j: 's,
    {
        if !self.pass(b'"') {
            return Err(self.expected("a text"));
        }
        let start = self.at;
        self.at = string::plain_end(self.text.as_bytes(), start);
        if self.byte() == Some(b'"') {
            let text = self.since(start);
            self.at += 1;
            return Ok(text);
        }
        scratch.clear();
        self.unescape(start, scratch)?;
        Ok(scratch)
    }

    /// Passes a value of any kind.
    ///
    /// # Errors
    /// Where it is none, or lies deeper than 200 levels.
    pub fn skip(&mut self) -> Result<(), JsonError> {
        self.skip_below(DEPTH_MAX)
    }

    /// Passes the brace that opens an object. Its members are read by [`Json::member`].
    ///
    /// # Errors
    /// When something else comes.
    #[inline]
    pub fn object(&mut self) -> Result<(), JsonError> {
        if self.pass(b'{') { Ok(()) } else { Err(self.expected("an object")) }
    }

    /// Goes to the next member of an object: a key comes next, which is to be passed by [`Json::key_is`] or
    /// [`Json::key`], and then a value. False behind the closing brace.
    ///
    /// # Errors
    /// Where neither a member nor the end comes.
    #[inline]
    pub fn member(&mut self, first: bool) -> Result<bool, JsonError> {
        if !first && self.text.as_bytes()[self.at..].starts_with(b",\"") {
            self.at += 1;
            return Ok(true);
        }
        self.pass_space();
        match self.byte() {
            Some(b'}') => {
                self.at += 1;
                return Ok(false);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.pass_space();
            }
            _ if first => {}
            _ => return Err(self.expected("`,` or `}`")),
        }
        if self.byte() == Some(b'"') { Ok(true) } else { Err(self.expected("a key")) }
    }

    /// Passes the key that comes next and its colon if it is written just so.
    ///
    /// # Errors
    /// When no colon comes behind it.
    #[inline]
    pub fn key_is(&mut self, key: &Key) -> Result<bool, JsonError> {
        let rest = &self.text.as_bytes()[self.at..];
        if key.begins(rest) {
            self.at += key.bytes();
            return Ok(true);
        }
        if !key.name_begins(rest) {
            return Ok(false);
        }
        self.at += key.name_bytes();
        self.colon()?;
        Ok(true)
    }

    /// Passes the key that comes next and its colon.
    ///
    /// # Errors
    /// As [`Json::text`], and when no colon comes behind it.
    pub fn key<'s>(&mut self, scratch: &'s mut String) -> Result<&'s str, JsonError>
    where
        'j: 's,
    {
        let key = self.text(scratch)?;
        self.colon()?;
        Ok(key)
    }

    /// Passes the bracket that opens a list. Its items are read by [`Json::item`].
    ///
    /// # Errors
    /// When something else comes.
    pub fn list(&mut self) -> Result<(), JsonError> {
        if self.pass(b'[') { Ok(()) } else { Err(self.expected("a list")) }
    }

    /// Goes to the next item of a list and says what it is; none behind the closing bracket.
    ///
    /// # Errors
    /// Where neither an item nor the end comes.
    pub fn item(&mut self, first: bool) -> Result<Option<Kind>, JsonError> {
        self.pass_space();
        match self.byte() {
            Some(b']') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => self.at += 1,
            _ if first => {}
            _ => return Err(self.expected("`,` or `]`")),
        }
        self.peek().map(Some)
    }

    /// Says whether nothing but white space is left.
    ///
    /// # Errors
    /// When something is.
    #[inline]
    pub fn finish(&mut self) -> Result<(), JsonError> {
        self.pass_space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.expected("the end")) }
    }

    fn skip_below(&mut self, depth: usize) -> Result<(), JsonError> {
        let kind = self.peek()?;
        let deeper = || depth.checked_sub(1);
        match kind {
            Kind::Null => self.null(),
            Kind::True | Kind::False => self.boolean().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Text => self.skip_text(),
            Kind::List => {
                let depth = deeper().ok_or_else(|| self.expected("no deeper value"))?;
                self.list()?;
                let mut first = true;
                while self.item(first)?.is_some() {
                    self.skip_below(depth)?;
                    first = false;
                }
                Ok(())
            }
            Kind::Object => {
                let depth = deeper().ok_or_else(|| self.expected("no deeper value"))?;
                self.object()?;
                let mut first = true;
                while self.member(first)? {
                    self.skip_text()?;
                    self.colon()?;
                    self.skip_below(depth)?;
                    first = false;
                }
                Ok(())
            }
        }
    }

    fn skip_text(&mut self) -> Result<(), JsonError> {
        // Only a text with escapes is put together.
        self.text(&mut String::new()).map(drop)
    }

    #[inline]
    fn colon(&mut self) -> Result<(), JsonError> {
        self.pass_space();
        if self.pass(b':') { Ok(()) } else { Err(self.expected("`:`")) }
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected(word));
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.expected("a digit")) }
    }

    #[inline]
    fn pass(&mut self, byte: u8) -> bool {
        let comes = self.byte() == Some(byte);
        self.at += usize::from(comes);
        comes
    }

    #[inline]
    fn pass_space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError { expected, at: self.at }
    }
}
