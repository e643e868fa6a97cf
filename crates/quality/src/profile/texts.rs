//! What texts are like, found in one look at each.

use arrow::array::StringArray;
use datafusion::common::ScalarValue;

/// The bounds of some texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'t> {
    least: &'t str,
    greatest: &'t str,
    /// In characters.
    shortest: u64,
    longest: u64,
}

impl<'t> Texts<'t> {
    /// Those of an array; none when all of it is null.
    pub fn of(texts: &'t StringArray) -> Option<Self> {
        let (first, last) = (*texts.offsets().first()? as usize, *texts.offsets().last()? as usize);
        let ascii = texts.values()[first..last].is_ascii();
        let mut all = texts.iter().flatten();
        let mut found = Self::one(all.next()?);
        let (mut least, mut greatest) = (head(found.least), head(found.greatest));
        for text in all {
            let head = head(text);
            // Where the first eight bytes are the same, the whole texts decide.
            if head < least || (head == least && text < found.least) {
                (found.least, least) = (text, head);
            } else if head > greatest || (head == greatest && text > found.greatest) {
                (found.greatest, greatest) = (text, head);
            }
            let length = if ascii { text.len() } else { text.chars().count() } as u64;
            found.shortest = found.shortest.min(length);
            found.longest = found.longest.max(length);
        }
        Some(found)
    }

    fn one(text: &'t str) -> Self {
        let length = text.chars().count() as u64;
        Self { least: text, greatest: text, shortest: length, longest: length }
    }

    /// The least and the greatest, as bytes compare.
    pub fn bounds(&self) -> (ScalarValue, ScalarValue) {
        (ScalarValue::from(self.least), ScalarValue::from(self.greatest))
    }

    /// The least and the greatest length.
    pub fn lengths(&self) -> (u64, u64) {
        (self.shortest, self.longest)
    }
}

/// The first eight bytes as a number that compares like them; a shorter text is filled up with zeros.
fn head(text: &str) -> u64 {
    let bytes = text.as_bytes();
    match bytes.first_chunk::<8>() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => {
            let mut chunk = [0; 8];
            chunk[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(chunk)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bounds_are_those_of_all_texts(texts in proptest::collection::vec(proptest::option::of("[a-c\\PC]{0,12}"), 0..40)) {
            let array = StringArray::from(texts.clone());
            let all: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
            let lengths = || all.iter().map(|text| text.chars().count() as u64);
            let expected = all.iter().min().map(|least| {
                let bounds = (ScalarValue::from(*least), ScalarValue::from(*all.iter().max().unwrap()));
                (bounds, (lengths().min().unwrap(), lengths().max().unwrap()))
            });
            let found = Texts::of(&array).map(|found| (found.bounds(), found.lengths()));
            prop_assert_eq!(found, expected);
        }
    }
}
