//! What texts are like, found in one look at each.

use arrow::array::StringArray;
use datafusion::common::ScalarValue;
use flowline_lake::extremes;

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
        let (mut shortest, mut longest) = (u64::MAX, 0);
        let measured = texts.iter().flatten().inspect(|text| {
            let length = if ascii { text.len() } else { text.chars().count() } as u64;
            shortest = shortest.min(length);
            longest = longest.max(length);
        });
        let (least, greatest) = extremes(measured)?;
        Some(Self { least, greatest, shortest, longest })
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
