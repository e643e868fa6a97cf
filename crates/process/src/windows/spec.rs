//! Which windows a time lies in. All times are microseconds since the epoch.

/// How windows follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WindowKind {
    /// One behind the other.
    Tumble,
    /// Overlapping: a new one begins at each step.
    Hop,
    /// Growing: those of one size share a start, and one ends at each step.
    Cumulate,
    /// From the first to the last row of a key that are no further apart than the gap, and the gap behind it.
    Session,
}

impl WindowKind {
    /// The kind that a query names.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "tumble" => Self::Tumble,
            "hop" => Self::Hop,
            "cumulate" => Self::Cumulate,
            "session" => Self::Session,
            _ => return None,
        })
    }
}

/// A way to cut time into windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct WindowSpec {
    /// How they follow each other.
    pub kind: WindowKind,
    /// The length of a window; the gap of a session.
    pub size: i64,
    /// The slide of a hop, the step of a cumulation; otherwise the size.
    pub step: i64,
    /// What all are shifted by.
    pub offset: i64,
}

/// The last multiple of `step` (shifted by `offset`) that is not behind the time.
pub(crate) fn floor(time: i64, step: i64, offset: i64) -> i64 {
    time.saturating_sub(time.saturating_sub(offset).rem_euclid(step))
}

impl WindowSpec {
    /// The bin that all windows are made of: times of one bin lie in the same windows.
    pub fn bin(&self, time: i64) -> i64 {
        floor(time, self.step, self.offset)
    }

    /// The ends of the windows that a time lies in, the first one first. Sessions depend on more than one time: theirs
    /// is the end of a session of that time alone.
    pub fn ends(&self, time: i64) -> impl Iterator<Item = i64> + use<> {
        let (first, last, step) = match self.kind {
            WindowKind::Tumble => (self.bin(time).saturating_add(self.size), 0, self.step),
            WindowKind::Hop => {
                (self.bin(time).saturating_add(self.step), self.size / self.step - 1, self.step)
            }
            WindowKind::Cumulate => {
                let end = floor(time, self.size, self.offset).saturating_add(self.size);
                let first = self.bin(time).saturating_add(self.step);
                (first, (end - first) / self.step, self.step)
            }
            WindowKind::Session => (time.saturating_add(self.size), 0, self.step),
        };
        (0..=last).map(move |number| first.saturating_add(number.saturating_mul(step)))
    }

    /// The end of the last window that a time lies in: behind it the time counts nowhere any more.
    pub fn last_end(&self, time: i64) -> i64 {
        match self.kind {
            WindowKind::Tumble => self.bin(time).saturating_add(self.size),
            WindowKind::Hop => self.bin(time).saturating_add(self.size),
            WindowKind::Cumulate => floor(time, self.size, self.offset).saturating_add(self.size),
            WindowKind::Session => time.saturating_add(self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn ends(kind: WindowKind, size: i64, step: i64, offset: i64, time: i64) -> Vec<i64> {
        let spec = WindowSpec { kind, size: size * MINUTE, step: step * MINUTE, offset: offset * MINUTE };
        let all: Vec<i64> = spec.ends(time * MINUTE).map(|end| end / MINUTE).collect();
        assert_eq!(all.last().copied(), Some(spec.last_end(time * MINUTE) / MINUTE));
        all
    }

    #[test]
    fn windows_of_a_time() {
        assert_eq!(ends(WindowKind::Tumble, 10, 10, 0, 12), [20]);
        assert_eq!(ends(WindowKind::Tumble, 10, 10, 3, 12), [13]);
        assert_eq!(ends(WindowKind::Tumble, 10, 10, 0, -1), [0], "before 1970");
        assert_eq!(ends(WindowKind::Hop, 10, 5, 0, 12), [15, 20]);
        assert_eq!(ends(WindowKind::Hop, 10, 5, 0, -3), [0, 5]);
        assert_eq!(ends(WindowKind::Cumulate, 10, 5, 0, 12), [15, 20]);
        assert_eq!(ends(WindowKind::Cumulate, 10, 5, 0, 17), [20]);
        assert_eq!(ends(WindowKind::Session, 5, 5, 0, 12), [17]);
    }
}
