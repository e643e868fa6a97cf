//! Numbers from their text, exactly: nothing is rounded except into the binary floats that a contract asks for.

/// Why a text is not a number of the asked kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberError {
    /// It is no number.
    Syntax,
    /// It has digits behind the point that the type cannot keep.
    Fraction,
    /// It is too large.
    Range,
}

impl NumberError {
    /// The end of a sentence that begins with what was found.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Syntax => "is not a number",
            Self::Fraction => "has more digits behind the point than are kept",
            Self::Range => "is out of range",
        }
    }
}

/// What becomes of digits behind those that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    /// They are an error unless they are zeros.
    Refuse,
    /// They are cut off (towards zero).
    Cut,
}

/// The whole number in a text, whatever way it is written (`42`, `42.0`, `4.2e1`).
pub(crate) fn integer<T>(text: &str) -> Result<T, NumberError>
where
    T: std::str::FromStr + TryFrom<i128>,
{
    if let Ok(value) = text.parse() {
        return Ok(value);
    }
    T::try_from(scaled(text, 0, Excess::Refuse)?).map_err(|_| NumberError::Range)
}

/// The value of a text times ten to the power of `scale`, in at most `precision` digits.
pub(crate) fn decimal(text: &str, precision: u8, scale: u8) -> Result<i128, NumberError> {
    let value = scaled(text, i32::from(scale), Excess::Refuse)?;
    let limit = 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    if value.checked_abs().is_some_and(|size| size < limit) { Ok(value) } else { Err(NumberError::Range) }
}

/// The nearest float. Words for what is not finite (`NaN`, `inf`) are taken, digits that exceed the range are not.
pub(crate) fn float64(text: &str) -> Result<f64, NumberError> {
    let value: f64 = text.parse().map_err(|_| NumberError::Syntax)?;
    if value.is_infinite() && has_digits(text) { Err(NumberError::Range) } else { Ok(value) }
}

/// See [`float64`].
pub(crate) fn float32(text: &str) -> Result<f32, NumberError> {
    let value: f32 = text.parse().map_err(|_| NumberError::Syntax)?;
    if value.is_infinite() && has_digits(text) { Err(NumberError::Range) } else { Ok(value) }
}

fn has_digits(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

/// The value of a text times ten to the power of `scale`. No step of it rounds.
pub(crate) fn scaled(text: &str, scale: i32, excess: Excess) -> Result<i128, NumberError> {
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
