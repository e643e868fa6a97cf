//! Stretches of time.

use std::collections::BTreeMap;

/// More stretches are not told apart: those that are nearest to each other become one.
const STRETCHES_MAX: usize = 16;

/// Stretches of time that are apart from each other: the first and the last time of each, microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stretches(BTreeMap<i64, i64>);

impl Stretches {
    /// Adds a stretch. Those that are no further than `near` from it become one with it.
    pub fn add(&mut self, first: i64, last: i64, near: i64) {
        let (mut from, mut until) = (first, last);
        while let Some((start, end)) = self.0.range(..=until.saturating_add(near)).next_back() {
            let (start, end) = (*start, *end);
            if end < from.saturating_sub(near) {
                break;
            }
            self.0.remove(&start);
            (from, until) = (from.min(start), until.max(end));
        }
        self.0.insert(from, until);
        if self.0.len() > STRETCHES_MAX {
            self.join_nearest();
        }
    }

    /// Adds all of others.
    pub fn extend(&mut self, others: &Self) {
        others.iter().for_each(|(first, last)| self.add(first, last, 0));
    }

    /// The first and the last time of each, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.0.iter().map(|(first, last)| (*first, *last))
    }

    fn join_nearest(&mut self) {
        let gaps = self
            .iter()
            .zip(self.iter().skip(1))
            .map(|(one, next)| (next.0.saturating_sub(one.1), one.0, next));
        if let Some((_, start, (next, end))) = gaps.min() {
            self.0.remove(&next);
            self.0.insert(start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(stretches: &Stretches) -> Vec<(i64, i64)> {
        stretches.iter().collect()
    }

    #[test]
    fn what_is_near_becomes_one() {
        let mut stretches = Stretches::default();
        for time in [100, 10, 14, 50] {
            stretches.add(time, time, 5);
        }
        assert_eq!(all(&stretches), [(10, 14), (50, 50), (100, 100)]);
        stretches.add(19, 47, 5);
        assert_eq!(all(&stretches), [(10, 50), (100, 100)]);
        stretches.add(0, 200, 0);
        assert_eq!(all(&stretches), [(0, 200)]);
    }

    #[test]
    fn no_more_than_so_many() {
        let mut stretches = Stretches::default();
        for time in 0..17 {
            stretches.add(time * time, time * time, 0);
        }
        assert_eq!(all(&stretches).len(), 16);
        assert_eq!(all(&stretches)[..2], [(0, 1), (4, 4)]);
    }
}
