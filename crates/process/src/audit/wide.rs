//! Whole numbers of more bits than any value has, so that a sum does not depend on the order in which it is added up.

use serde::{Deserialize, Serialize};

const LOW_BITS: u32 = 64;
const LOW: i128 = u64::MAX as i128;

/// A sum of 128-bit numbers: its upper bits, and its lower 64. More numbers than a table can hold fit in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wide {
    high: i128,
    low: u64,
}

impl Wide {
    /// The number.
    pub fn of(number: i128) -> Self {
        Self::carried(number >> LOW_BITS, number & LOW)
    }

    fn carried(high: i128, low: i128) -> Self {
        // What is left behind the mask has 64 bits.
        Self { high: high.wrapping_add(low >> LOW_BITS), low: (low & LOW) as u64 }
    }

    /// The sum of both.
    pub fn plus(self, other: Self) -> Self {
        Self::carried(self.high.wrapping_add(other.high), i128::from(self.low) + i128::from(other.low))
    }

    /// The difference of both.
    pub fn minus(self, other: Self) -> Self {
        Self::carried(self.high.wrapping_sub(other.high), i128::from(self.low) - i128::from(other.low))
    }

    /// The number, where 128 bits hold it.
    pub fn number(self) -> Option<i128> {
        let high = i64::try_from(self.high).ok()?;
        Some((i128::from(high) << LOW_BITS) | i128::from(self.low))
    }

    /// About the number.
    pub fn about(self) -> f64 {
        match self.number() {
            Some(number) => number as f64,
            None => self.high as f64 * 2f64.powi(LOW_BITS as i32) + self.low as f64,
        }
    }
}

impl FromIterator<i128> for Wide {
    fn from_iter<I: IntoIterator<Item = i128>>(numbers: I) -> Self {
        numbers.into_iter().fold(Self::default(), |sum, number| sum.plus(Self::of(number)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sums_reach_beyond_what_one_number_holds() {
        let most = Wide::of(i128::MAX).plus(Wide::of(i128::MAX));
        assert_eq!((most.number(), most.about()), (None, 2.0 * i128::MAX as f64));
        assert_eq!(most.minus(Wide::of(i128::MAX)).number(), Some(i128::MAX));
        let least = Wide::of(i128::MIN).plus(Wide::of(-1));
        assert_eq!((least.number(), least.plus(Wide::of(1)).number()), (None, Some(i128::MIN)));
    }

    proptest! {
        #[test]
        fn the_order_makes_no_difference(mut numbers in prop::collection::vec(any::<i128>(), 0..20)) {
            let sum: Wide = numbers.iter().copied().collect();
            numbers.reverse();
            prop_assert_eq!(sum, numbers.iter().copied().collect());
            let small: Vec<i128> = numbers.iter().map(|number| number >> 8).collect();
            prop_assert_eq!(small.iter().copied().collect::<Wide>().number(), Some(small.iter().sum()));
            let gone = numbers.iter().fold(sum, |sum, number| sum.minus(Wide::of(*number)));
            prop_assert_eq!(gone, Wide::default());
        }
    }
}
