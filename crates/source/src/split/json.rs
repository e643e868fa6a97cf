//! JSON documents: the items of an array, or values one behind the other.

use super::{Spans, TooMany, bom, is_space, push, trim};

/// The records of a JSON body: the items of the array if it is one, otherwise the values that stand one behind the
/// other (usually one). Only strings and brackets are looked at, so that an item which is broken inside is still told
/// from its neighbours; where the end of an item cannot be found, the rest of the body is one record. An empty place
/// (`[1,,2]`) is a record of its comma, so that it is accounted for. `bytes` must be shorter than 4 GiB.
pub fn values(bytes: &[u8], limit: u32) -> Result<Spans, TooMany> {
    let start = skip_space(bytes, bom(bytes));
    match bytes.get(start) {
        Some(b'[') => {
            let Items { mut spans, next, .. } = items(bytes, start + 1, true, limit)?;
            sequence(bytes, next, &mut spans, limit)?;
            Ok(spans)
        }
        Some(_) => rest(bytes, start, limit),
        None => Ok(Spans::new()),
    }
}

/// The records behind an array, or where there is none: objects one behind the other, or all in one.
pub fn rest(bytes: &[u8], start: usize, limit: u32) -> Result<Spans, TooMany> {
    let mut spans = Spans::new();
    sequence(bytes, start, &mut spans, limit)?;
    Ok(spans)
}

/// The items of a part of an array.
#[derive(Debug)]
pub struct Items {
    /// The items.
    pub spans: Spans,
    /// Where the next part begins: behind the array when it ended, else at the item that is not whole yet.
    pub next: usize,
    /// Whether the array ended.
    pub ended: bool,
}

/// The items of an array from `start` on, which lies behind its `[` or behind a comma in it. With `last` no more bytes
/// follow, and what is there of an item is one.
pub fn items(bytes: &[u8], start: usize, last: bool, limit: u32) -> Result<Items, TooMany> {
    let mut items = Items { spans: Spans::new(), next: skip_space(bytes, start), ended: false };
    loop {
        let end = value_end(bytes, items.next);
        let (from, to) = trim(bytes, items.next, end);
        match bytes.get(end) {
            None if !last => return Ok(items),
            // An empty place between commas; before the closing bracket it is an empty array or a trailing comma.
            Some(b',') if from == to => push(&mut items.spans, end, end + 1, limit)?,
            _ if from == to => {}
            _ => push(&mut items.spans, from, to, limit)?,
        }
        match bytes.get(end) {
            Some(b',') => items.next = skip_space(bytes, end + 1),
            Some(b']') => return Ok(Items { next: end + 1, ended: true, ..items }),
            // A closing brace that nothing opened: where items begin and end is no longer known.
            Some(_) => return Ok(Items { next: end, ended: true, ..items }),
            None => return Ok(Items { next: bytes.len(), ended: true, ..items }),
        }
    }
}

/// Values one behind the other, with any white space between them.
fn sequence(bytes: &[u8], mut start: usize, spans: &mut Spans, limit: u32) -> Result<(), TooMany> {
    loop {
        start = skip_space(bytes, start);
        let end = match bytes.get(start) {
            None => return Ok(()),
            Some(b'{') => bracket_end(bytes, start),
            // Nothing but objects is cut here: what else stands behind a value is kept whole.
            Some(_) => bytes.len(),
        };
        let (from, to) = trim(bytes, start, end);
        push(spans, from, to, limit)?;
        start = end;
    }
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| is_space(*byte)) {
        at += 1;
    }
    at
}

/// What the scanner does at a byte outside strings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Other,
    Quote,
    Open,
    Close,
    Comma,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    classes[b'"' as usize] = Class::Quote;
    classes[b'{' as usize] = Class::Open;
    classes[b'[' as usize] = Class::Open;
    classes[b'}' as usize] = Class::Close;
    classes[b']' as usize] = Class::Close;
    classes[b',' as usize] = Class::Comma;
    classes
};

/// The index of the comma or closing bracket that ends the value which begins at `start`; the length when none does.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0usize);
    while let Some(byte) = bytes.get(at) {
        match CLASSES[*byte as usize] {
            Class::Other => at += 1,
            Class::Quote => at = string_end(bytes, at + 1),
            Class::Open => (at, depth) = (at + 1, depth + 1),
            Class::Close if depth == 0 => return at,
            Class::Close => (at, depth) = (at + 1, depth - 1),
            Class::Comma if depth == 0 => return at,
            Class::Comma => at += 1,
        }
    }
    bytes.len()
}

/// The index behind the bracket that closes the one at `start`; the length when none does.
fn bracket_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0usize);
    while let Some(byte) = bytes.get(at) {
        match CLASSES[*byte as usize] {
            Class::Quote => at = string_end(bytes, at + 1),
            Class::Open => (at, depth) = (at + 1, depth + 1),
            Class::Close if depth <= 1 => return at + 1,
            Class::Close => (at, depth) = (at + 1, depth - 1),
            Class::Other | Class::Comma => at += 1,
        }
    }
    bytes.len()
}

/// The index behind the quote that ends the string whose first character is at `start`; the length when none does.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < bytes.len() {
        match memchr::memchr2(b'"', b'\\', &bytes[at..]) {
            None => return bytes.len(),
            Some(length) if bytes[at + length] == b'"' => return at + length + 1,
            Some(length) => at += length + 2,
        }
    }
    bytes.len()
}
