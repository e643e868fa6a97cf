//! Texts: the dictionary of a column, and which of them is the smallest and the largest.

use arrow::array::{Array, StringArray};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};
use xxhash_rust::xxh3::xxh3_64;

/// Texts that are looked up together.
const TOGETHER: usize = 64;

/// The different texts of a row group, numbered in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    known: HashTable<Known>,
    /// The texts as they stand in a page.
    page: Vec<u8>,
}

/// A text of a dictionary. A dictionary is larger than the fast memory of a core, so that what tells texts apart is kept
/// together: a text that comes again costs a look here and one at the text itself.
#[derive(Debug)]
struct Known {
    hash: u64,
    number: u32,
    /// Where its length stands in the page; a dictionary is given up long before it has so many bytes.
    begin: u32,
}

impl Dictionary {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Bytes of its page.
    pub(super) fn bytes(&self) -> usize {
        self.page.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.page.capacity() + self.known.allocation_size()
    }

    /// The number of each text that is not null.
    pub(super) fn number(&mut self, texts: &StringArray) -> Vec<u32> {
        if let Some(text) = constant(texts) {
            return vec![self.number_of(text, xxh3_64(text.as_bytes())); texts.len()];
        }
        let mut numbers = Vec::with_capacity(texts.len() - texts.null_count());
        let mut some = Vec::with_capacity(TOGETHER);
        let mut texts = texts.iter().flatten();
        loop {
            some.extend(texts.by_ref().take(TOGETHER).map(|text| (text, xxh3_64(text.as_bytes()))));
            if some.is_empty() {
                return numbers;
            }
            self.number_some(&some, &mut numbers);
            some.clear();
        }
    }

    /// Looks up texts together: what has to be fetched from slower memory for one does not wait for the one before.
    fn number_some(&mut self, texts: &[(&str, u64)], numbers: &mut Vec<u32>) {
        let mut likely = [None; TOGETHER];
        for (likely, (_, hash)) in likely.iter_mut().zip(texts) {
            let known = self.known.find(*hash, |known| known.hash == *hash);
            *likely = known.map(|known| (known.number, text_at(&self.page, known.begin).len(), known.begin));
        }
        for (likely, (text, hash)) in likely.iter().zip(texts) {
            numbers.push(match likely {
                Some((number, length, begin))
                    if *length == text.len() && text_at(&self.page, *begin) == text.as_bytes() =>
                {
                    *number
                }
                _ => self.number_of(text, *hash),
            });
        }
    }

    fn number_of(&mut self, text: &str, hash: u64) -> u32 {
        let Self { known, page } = self;
        let number = known.len() as u32;
        let same = |known: &Known| known.hash == hash && text_at(page, known.begin) == text.as_bytes();
        match known.entry(hash, same, |known| known.hash) {
            Entry::Occupied(known) => known.get().number,
            Entry::Vacant(new) => {
                new.insert(Known { hash, number, begin: page.len() as u32 });
                append_plain(text, page);
                number
            }
        }
    }

    /// Takes its texts into the bounds.
    pub(super) fn widen(&self, bounds: &mut Bounds) {
        bounds.widen_by(self.known.iter().map(|known| text_at(&self.page, known.begin)));
    }

    /// The texts, as they stand in a page.
    pub(super) fn into_page(self) -> Vec<u8> {
        self.page
    }
}

/// The text whose length stands at this place of a page.
fn text_at(page: &[u8], begin: u32) -> &[u8] {
    let rest = &page[begin as usize..];
    let (length, rest) = rest.split_first_chunk().expect("a text stands behind its length");
    &rest[..u32::from_le_bytes(*length) as usize]
}

/// The text that stands in all rows.
fn constant(texts: &StringArray) -> Option<&str> {
    if texts.is_empty() || texts.null_count() > 0 {
        return None;
    }
    let first = texts.value(0);
    if texts.offsets().windows(2).any(|ends| (ends[1] - ends[0]) as usize != first.len()) {
        return None;
    }
    // All have one length: what is one text further on must be the same.
    let (begin, end) = (texts.offsets()[0] as usize, texts.offsets()[texts.len()] as usize);
    let bytes = &texts.values()[begin..end];
    (bytes[first.len()..] == bytes[..bytes.len() - first.len()]).then_some(first)
}

/// Appends a text as it stands in a page without a dictionary.
pub(super) fn append_plain(text: &str, page: &mut Vec<u8>) {
    page.extend_from_slice(&(text.len() as u32).to_le_bytes());
    page.extend_from_slice(text.as_bytes());
}

/// The smallest and the largest text.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    known: Option<(Vec<u8>, Vec<u8>)>,
}

impl Bounds {
    /// Takes in one text.
    fn widen(&mut self, text: &[u8]) {
        match &mut self.known {
            None => self.known = Some((text.to_vec(), text.to_vec())),
            Some((least, _)) if text < least.as_slice() => text.clone_into(least),
            Some((_, most)) if text > most.as_slice() => text.clone_into(most),
            Some(_) => {}
        }
    }

    /// Takes in all texts.
    pub(super) fn widen_by<'a>(&mut self, texts: impl Iterator<Item = &'a [u8]>) {
        if let Some((least, most)) = extremes(texts) {
            self.widen(least);
            self.widen(most);
        }
    }

    /// As a file keeps them, cut to so many bytes.
    pub(super) fn statistics(self, nulls: u64, bytes_max: usize) -> Statistics {
        let Some((least, most)) = self.known else {
            return Statistics::byte_array(None, None, None, Some(nulls), false);
        };
        let (exact_least, exact_most) = (least.len() <= bytes_max, most.len() <= bytes_max);
        let least =
            if exact_least { Some(least) } else { Some(least[..boundary(&least, bytes_max)].to_vec()) };
        let most = if exact_most { Some(most) } else { above(&most, bytes_max) };
        let bytes = |text: Option<Vec<u8>>| text.map(ByteArray::from);
        ValueStatistics::new(bytes(least), bytes(most), None, Some(nulls), false)
            .with_min_is_exact(exact_least)
            .with_max_is_exact(exact_most)
            .into()
    }
}

/// The smallest and the largest of some texts, as their bytes compare. Most are told apart by their first bytes, which are
/// compared as one number.
pub fn extremes<T: AsRef<[u8]> + Copy>(texts: impl IntoIterator<Item = T>) -> Option<(T, T)> {
    let mut texts = texts.into_iter();
    let first = texts.next()?;
    let (mut least, mut most) = (first, first);
    let (mut least_begins, mut most_begins) = (beginning(first.as_ref()), beginning(first.as_ref()));
    for text in texts {
        let begins = beginning(text.as_ref());
        if begins < least_begins || (begins == least_begins && text.as_ref() < least.as_ref()) {
            (least_begins, least) = (begins, text);
        } else if begins > most_begins || (begins == most_begins && text.as_ref() > most.as_ref()) {
            (most_begins, most) = (begins, text);
        }
    }
    Some((least, most))
}

/// The first bytes of a text as a number; where these differ, the texts are in the same order. What a shorter text lacks
/// counts as zeros.
fn beginning(text: &[u8]) -> u64 {
    if let Some(bytes) = text.first_chunk() {
        return u64::from_be_bytes(*bytes);
    }
    let number = text.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    number.checked_shl(u64::BITS - u8::BITS * text.len() as u32).unwrap_or(0)
}

/// The last place up to `bytes_max` where a character begins.
fn boundary(text: &[u8], bytes_max: usize) -> usize {
    (0..=bytes_max).rev().find(|&place| text[place] & 0xc0 != 0x80).unwrap_or(0)
}

/// A text of at most `bytes_max` bytes that is larger than this longer one: its beginning, with the last character that
/// has a next one replaced by that.
fn above(text: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let beginning = std::str::from_utf8(&text[..boundary(text, bytes_max)]).ok()?;
    beginning.char_indices().rev().find_map(|(place, last)| {
        let next = char::from_u32(last as u32 + 1)?;
        // A longer character would not fit where the one before it did.
        (next.len_utf8() == last.len_utf8()).then(|| format!("{}{next}", &beginning[..place]).into_bytes())
    })
}
