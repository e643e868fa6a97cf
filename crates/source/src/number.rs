//! Numbers from their text, exactly: nothing is rounded except into the binary floats that a contract asks for.

/// Why a text is not a number of the asked kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberError {
    /// It is no number.
    Syntax,
    /// It has digits behind the point that the type cannot keep.
    Fraction,
    /// It is too large.
    Range,
}

impl NumberError {
    /// The end of a sentence that begins with what was found.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Syntax => "is not a number",
            Self::Fraction => "has more digits behind the point than are kept",
            Self::Range => "is out of range",
        }
    }
}

/// What becomes of digits behind those that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// They are an error unless they are zeros.
    Refuse,
    /// They are cut off (towards zero).
    Cut,
}

/// The whole number in a text, whatever way it is written (`42`, `42.0`, `4.2e1`).
///
/// # Errors
/// It is no number, has a fraction, or is too large for the type.
pub fn integer<T>(text: &str) -> Result<T, NumberError>
where
    T: std::str::FromStr + TryFrom<i128>,
{
    if let Ok(value) = text.parse() {
        return Ok(value);
    }
    T::try_from(scaled(text, 0, Excess::Refuse)?).map_err(|_| NumberError::Range)
}

/// The digits that a decimal column keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digits {
    scale: u8,
    /// Values are below it and above its negative.
    limit: i128,
}

impl Digits {
    /// So many digits in all, so many of them behind the point.
    pub fn new(precision: u8, scale: u8) -> Self {
        Self { scale, limit: 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX) }
    }

    /// The value of a text as a whole number of its last digit.
    ///
    /// # Errors
    /// It is no number, or has more digits than are kept.
    #[inline]
    pub fn parse(self, text: &str) -> Result<i128, NumberError> {
        let value = match short(text, self.scale) {
            Some(value) => i128::from(value),
            None => scaled(text, i32::from(self.scale), Excess::Refuse)?,
        };
        if value.checked_abs().is_some_and(|size| size < self.limit) {
            Ok(value)
        } else {
            Err(NumberError::Range)
        }
    }
}

/// The common case of [`scaled`], several times as fast: up to 18 digits, zeros to the scale included, no exponent and
/// nothing to cut off. None for anything else, right or wrong.
fn short(text: &str, scale: u8) -> Option<i64> {
    const DIGITS_MAX: usize = 18;
    let bytes = text.as_bytes();
    let (negative, bytes) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, bytes),
    };
    if bytes.is_empty() || bytes.len() > DIGITS_MAX {
        return None;
    }
    let (mut value, mut behind) = (0i64, None);
    for byte in bytes {
        match (byte, &mut behind) {
            (b'0'..=b'9', behind) => {
                value = value * 10 + i64::from(byte - b'0');
                if let Some(count) = behind {
                    *count += 1;
                }
            }
            (b'.', None) => behind = Some(0usize),
            _ => return None,
        }
    }
    // `.` and `-` alone have no digits; `1.` and `.5` have.
    let behind = behind.unwrap_or(0);
    let zeros = usize::from(scale).checked_sub(behind)?;
    if bytes == b"." || bytes.len() + zeros > DIGITS_MAX {
        return None;
    }
    value = value.checked_mul(10i64.checked_pow(u32::try_from(zeros).ok()?)?)?;
    Some(if negative { -value } else { value })
}

/// The digits with which a text begins as a number, up to 16 of them, and how many they are; none when the text ends
/// within eight bytes of them. Eight are looked at together: a short number and a long one cost the same.
#[inline]
pub(crate) fn leading_digits(text: &[u8]) -> Option<(i64, usize)> {
    let (value, count) = up_to_eight(*text.first_chunk()?);
    if count < 8 {
        return Some((value, count));
    }
    let (low, more) = up_to_eight(*text[count..].first_chunk()?);
    Some((value * POWERS[more] + low, count + more))
}

const POWERS: [i64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The same of eight bytes.
#[inline]
fn up_to_eight(bytes: [u8; 8]) -> (i64, usize) {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    let values = u64::from_le_bytes(bytes) ^ ZEROS;
    let others = above_nine(values);
    let count = (others.trailing_zeros() / 8) as usize;
    if count == 0 {
        return (0, 0);
    }
    // The digits are moved behind zeros; pairs become one number, and pairs of those.
    let digits = values << (64 - 8 * count);
    let pairs = (digits & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul((10 << 8) + 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul((100 << 16) + 1) >> 16;
    let value = (fours & 0x0000_ffff_0000_ffff).wrapping_mul((10_000 << 32) + 1) >> 32;
    (value as i64, count)
}

/// Of eight bytes looked at together, the highest bit of each that is more than nine.
#[inline]
pub fn above_nine(values: u64) -> u64 {
    (((values & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080
}

/// The nearest float. Words for what is not finite (`NaN`, `inf`) are taken, digits that exceed the range are not.
///
/// # Errors
/// It is no number, or out of range.
pub fn float64(text: &str) -> Result<f64, NumberError> {
    let value: f64 = text.parse().map_err(|_| NumberError::Syntax)?;
    if value.is_infinite() && has_digits(text) { Err(NumberError::Range) } else { Ok(value) }
}

/// See [`float64`].
///
/// # Errors
/// It is no number, or out of range.
pub fn float32(text: &str) -> Result<f32, NumberError> {
    let value: f32 = text.parse().map_err(|_| NumberError::Syntax)?;
    if value.is_infinite() && has_digits(text) { Err(NumberError::Range) } else { Ok(value) }
}

fn has_digits(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

/// The value of a text times ten to the power of `scale`. No step of it rounds.
///
/// # Errors
/// It is no number, has digits behind the scale (unless those are cut), or is too large.
pub fn scaled(text: &str, scale: i32, excess: Excess) -> Result<i128, NumberError> {
    let parts = Parts::of(text).ok_or(NumberError::Syntax)?;
    let fraction = parts.fraction.trim_end_matches('0');
    let whole = parts.whole.trim_start_matches('0');
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().all(|digit| digit == b'0') {
        return Ok(0);
    }
    // The digits as a whole number stand for it times ten to the power of `shift`.
    let shift = i64::from(scale) + i64::from(parts.exponent) - fraction.len() as i64;
    let count = (whole.len() + fraction.len()) as i64;
    let kept = usize::try_from(count.saturating_add(shift.min(0))).unwrap_or(0);
    if excess == Excess::Refuse && digits().skip(kept).any(|digit| digit != b'0') {
        return Err(NumberError::Fraction);
    }
    let zeros = u32::try_from(shift.max(0)).map_err(|_| NumberError::Range)?;
    let mut value = 0i128;
    for digit in digits().take(kept) {
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(i128::from(digit - b'0')))
            .ok_or(NumberError::Range)?;
    }
    if value != 0 {
        value =
            10i128.checked_pow(zeros).and_then(|power| value.checked_mul(power)).ok_or(NumberError::Range)?;
    }
    Ok(if parts.negative { -value } else { value })
}

struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i32,
}

impl<'a> Parts<'a> {
    /// Sign, digits with a point somewhere, exponent: a superset of the numbers of JSON (`+1`, `.5`, `1.` are taken).
    fn of(text: &'a str) -> Option<Self> {
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Self::exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let valid = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
        valid.then_some(Self { negative, whole, fraction, exponent })
    }

    /// An exponent beyond what any value can have is as good as the largest that fits.
    fn exponent(text: &str) -> Option<i32> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let size = digits.parse::<i32>().unwrap_or(i32::MAX);
        Some(if text.starts_with('-') { -size } else { size })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Excess, leading_digits, scaled, short};

    proptest! {
        #[test]
        fn leading_digits_are_those_that_are_there(text in "[0-9]{0,18}[^0-9].{0,9}") {
            let count = text.bytes().take_while(u8::is_ascii_digit).count().min(16);
            if let Some(found) = leading_digits(text.as_bytes()) {
                prop_assert_eq!(found, (text[..count].parse().unwrap_or(0), count));
            } else {
                prop_assert!(text.len() < count + 8);
            }
        }

        #[test]
        fn the_short_way_and_the_long_way_agree(text in "-?[0-9]{0,12}[.]?[0-9]{0,8}", scale in 0u8..12) {
            if let Some(value) = short(&text, scale) {
                prop_assert_eq!(scaled(&text, i32::from(scale), Excess::Refuse), Ok(i128::from(value)));
            }
        }
    }
}
