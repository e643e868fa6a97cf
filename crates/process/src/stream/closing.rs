//! When the rows of an input count for the last time.
//!
//! Each row of a stream counts towards things that close (windows, rows of a join) at times that follow from its own
//! time alone, and later rows never towards earlier ones: so what is late, and which rows a window needs, are simple
//! bounds on the time of the rows.

use std::collections::BTreeSet;

use crate::windows::WindowSpec;

/// What the rows of one mention of an input count towards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Windows, from the innermost out: those behind the first are windows of windows.
    Windows(Vec<WindowSpec>),
    /// Sessions with this gap.
    Sessions(i64),
    /// Rows of a join that close so long after the row's own time: the first of them, and the last.
    Span {
        /// The first.
        first: i64,
        /// The last.
        last: i64,
    },
}

/// The time of a window is the millisecond before its end.
const MILLISECOND: i64 = 1_000;
/// More windows of one row are not looked at one by one.
const ENDS_MAX: usize = 100_000;

impl Closing {
    /// When the first thing closes that a row of this time counts towards.
    fn first(&self, time: i64) -> i64 {
        match self {
            Self::Windows(specs) => through(specs, time, |spec, time| spec.ends(time).next().unwrap_or(time)),
            Self::Sessions(_) => time,
            Self::Span { first, .. } => time.saturating_add(*first),
        }
    }

    /// When the last thing closes that a row of this time counts towards.
    fn last(&self, time: i64) -> i64 {
        match self {
            Self::Windows(specs) => through(specs, time, |spec, time| spec.last_end(time)),
            Self::Sessions(gap) => time.saturating_add(*gap),
            Self::Span { last, .. } => time.saturating_add(*last),
        }
    }

    /// Whether something that closes at this time is closed at a watermark. A session and a row of a join may still be
    /// changed by a row of just that time.
    fn closed(&self, at: i64, watermark: i64) -> bool {
        if self.strict() { at < watermark } else { at <= watermark }
    }

    /// Whether what closes at the watermark itself is still open.
    pub fn strict(&self) -> bool {
        !matches!(self, Self::Windows(_))
    }

    /// How far before its closing the rows of something lie.
    pub fn reach(&self) -> i64 {
        match self {
            Self::Windows(specs) => {
                specs.iter().fold(0i64, |sum, spec| sum.saturating_add(spec.size).saturating_add(MILLISECOND))
            }
            Self::Sessions(gap) => *gap,
            Self::Span { last, .. } => *last,
        }
    }

    /// Rows before this time count towards something that is closed at the watermark: they change what was written.
    pub fn touching_before(&self, watermark: i64) -> i64 {
        self.bound(watermark, |time| self.first(time))
    }

    /// Rows before this time count towards nothing that is open at the watermark.
    pub fn late_before(&self, watermark: i64) -> i64 {
        self.bound(watermark, |time| self.last(time))
    }

    /// The smallest time whose closing is still open: closings never go back when times go on.
    fn bound(&self, watermark: i64, closing: impl Fn(i64) -> i64) -> i64 {
        let slack = self.reach().saturating_mul(2).saturating_add(1);
        let (mut closed, mut open) = (watermark.saturating_sub(slack), watermark.saturating_add(slack));
        if self.closed(closing(open), watermark) {
            return open;
        }
        if !self.closed(closing(closed), watermark) {
            return closed;
        }
        while open - closed > 1 {
            let between = closed + (open - closed) / 2;
            if self.closed(closing(between), watermark) { closed = between } else { open = between }
        }
        open
    }

    /// The times of one bin count towards the same windows; none where every time is its own.
    pub fn bin(&self, time: i64) -> Option<i64> {
        match self {
            Self::Windows(specs) => specs.first().map(|spec| spec.bin(time)),
            _ => None,
        }
    }

    /// Adds the ends of the windows that a time counts towards; false when there are too many to be told, or none can
    /// be told.
    pub fn add_ends(&self, time: i64, ends: &mut BTreeSet<i64>) -> bool {
        let Self::Windows(specs) = self else { return false };
        let mut times = BTreeSet::from([time]);
        for (depth, spec) in specs.iter().enumerate() {
            let found = times.iter().flat_map(|time| spec.ends(*time)).take(ENDS_MAX + 1);
            let last = depth + 1 == specs.len();
            let next: BTreeSet<i64> =
                found.map(|end| if last { end } else { end.saturating_sub(MILLISECOND) }).collect();
            if next.len() > ENDS_MAX {
                return false;
            }
            times = next;
        }
        ends.append(&mut times);
        true
    }
}

/// The end of the outermost window, each window taken as the time of the next.
fn through(specs: &[WindowSpec], time: i64, end: impl Fn(&WindowSpec, i64) -> i64) -> i64 {
    let mut at = time;
    for (depth, spec) in specs.iter().enumerate() {
        at = end(spec, if depth == 0 { at } else { at.saturating_sub(MILLISECOND) });
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::WindowKind;

    const MINUTE: i64 = 60_000_000;

    fn windows(kind: WindowKind, size: i64, step: i64) -> WindowSpec {
        WindowSpec { kind, size: size * MINUTE, step: step * MINUTE, offset: 0 }
    }

    fn bounds(closing: &Closing, watermark: i64) -> (i64, i64) {
        let watermark = watermark * MINUTE;
        (closing.touching_before(watermark) / MINUTE, closing.late_before(watermark) / MINUTE)
    }

    #[test]
    fn what_is_late_at_a_watermark() {
        let tumble = Closing::Windows(vec![windows(WindowKind::Tumble, 10, 10)]);
        assert_eq!(bounds(&tumble, 20), (20, 20));
        assert_eq!(bounds(&tumble, 29), (20, 20));
        let hop = Closing::Windows(vec![windows(WindowKind::Hop, 10, 5)]);
        assert_eq!(bounds(&hop, 20), (20, 15), "a row at 17 still counts towards the window that ends at 25");
        let cumulate = Closing::Windows(vec![windows(WindowKind::Cumulate, 10, 5)]);
        assert_eq!(bounds(&cumulate, 15), (15, 10));
        let windows_of_windows =
            Closing::Windows(vec![windows(WindowKind::Tumble, 5, 5), windows(WindowKind::Tumble, 20, 20)]);
        assert_eq!(bounds(&windows_of_windows, 25), (20, 20));
        let span = Closing::Span { first: -MINUTE, last: 3 * MINUTE };
        assert_eq!(bounds(&span, 10), (11, 7));
    }

    #[test]
    fn the_windows_that_a_time_counts_towards() {
        let mut ends = BTreeSet::new();
        let chain =
            Closing::Windows(vec![windows(WindowKind::Hop, 10, 5), windows(WindowKind::Tumble, 10, 10)]);
        assert!(chain.add_ends(7 * MINUTE, &mut ends));
        assert_eq!(ends.iter().map(|end| end / MINUTE).collect::<Vec<_>>(), [10, 20]);
    }
}
