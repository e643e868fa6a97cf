//! What a run does about new rows: nothing, some windows, or everything.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use flowline_model::{DatasetName, Emit, LatePolicy};

use super::clock::StreamState;
use super::clocks::patience;
use super::observe::Observed;
use super::restrict::Wanted;
use super::run::StreamRun;
use super::stretches::Stretches;

/// More closed windows than this that late rows touch are not computed one by one: everything is.
const REOPENED_MAX: usize = 1_000;
/// More windows than this that new rows touch are not replaced one by one: everything is computed.
const TOUCHED_MAX: usize = 10_000;

/// What a try came to.
pub(super) enum Step {
    /// Nothing new, and event time stands still.
    Nothing,
    /// What is written.
    Write(Wanted),
    /// What is written, beside what late rows reach of joined rows and sessions that were closed.
    Reopen(Wanted),
    /// Computing everything is better, or the only way.
    Rebuild(String),
}

/// What new rows of all inputs say.
#[derive(Default)]
pub(super) struct News {
    /// The rows.
    pub rows: u64,
    /// Those that count towards nothing that is open.
    pub late: u64,
    /// Whether a row changes something that is closed.
    pub touches_closed: bool,
    /// The ends of the windows that they touch; none when these are too many.
    pub ends: Option<BTreeSet<i64>>,
    /// When joined rows close that they touch.
    pub joined: Stretches,
    /// The times of those that touch closed sessions.
    pub in_sessions: Stretches,
    /// The late rows of each input that has any.
    pub late_of: BTreeMap<DatasetName, u64>,
}

impl StreamRun<'_> {
    /// Decides what new rows lead to.
    pub(super) fn step(&self, before: &StreamState, after: &StreamState, news: &News) -> Step {
        let moved = after.watermark != before.watermark;
        // Written down that an idle input was looked at, or it would be looked at again and again.
        let woken = before.wake_at(patience(self.attempt.dataset)).is_some_and(|at| at <= self.now);
        if news.rows == 0 && !moved && !woken {
            return Step::Nothing;
        }
        let reopens = self.query.late == LatePolicy::Reopen;
        let closed = |end: &i64| before.watermark.is_some_and(|watermark| *end <= watermark);
        let between = moved.then_some((before.watermark, after.watermark));
        let sessions_from = before.sessions_from;
        if self.query.emit == Emit::OnChange {
            let Some(ends) = &news.ends else {
                return Step::Rebuild("new rows touch too many windows".to_owned());
            };
            let ends: BTreeSet<i64> = ends.iter().filter(|end| reopens || !closed(end)).copied().collect();
            if ends.len() > TOUCHED_MAX {
                return Step::Rebuild(format!("new rows touch more than {TOUCHED_MAX} windows"));
            }
            return Step::Write(Wanted { ends, sessions_from, ..Wanted::default() });
        }
        if !(reopens && news.touches_closed) {
            return Step::Write(Wanted { between, sessions_from, ..Wanted::default() });
        }
        let Some(ends) = news.ends.as_ref().filter(|_| self.query.reopens_in_part()) else {
            return Step::Rebuild("late rows change what is closed".to_owned());
        };
        let ends: BTreeSet<i64> = ends.iter().filter(|end| closed(end)).copied().collect();
        if ends.len() > REOPENED_MAX {
            return Step::Rebuild(format!("late rows touch more than {REOPENED_MAX} closed windows"));
        }
        Step::Reopen(Wanted { between, ends, sessions_from, ..Wanted::default() })
    }
}

impl News {
    /// Adds what the rows of one input say.
    pub fn add(&mut self, dataset: &DatasetName, observed: Observed, state: &mut StreamState) {
        self.rows += observed.rows;
        self.late += observed.late;
        self.touches_closed |= observed.touches_closed;
        self.ends = match (self.ends.take(), observed.ends) {
            (Some(mut all), Some(ends)) => {
                all.extend(ends);
                Some(all)
            }
            _ => None,
        };
        self.joined.extend(&observed.joined);
        self.in_sessions.extend(&observed.in_sessions);
        if observed.late > 0 {
            self.late_of.insert(dataset.clone(), observed.late);
        }
        state.late += observed.late;
        state.ahead += observed.ahead;
    }
}

/// In which way the table was brought up.
pub(super) fn told(wanted: &Wanted, emit: Emit, late: u64) -> String {
    let mut how = match (emit, wanted.between) {
        (Emit::OnChange, _) => format!("stream: {} windows changed", wanted.ends.len()),
        (Emit::OnClose, Some((_, Some(until)))) => match DateTime::from_timestamp_micros(until) {
            Some(until) => format!("stream: closed up to {}", until.format("%Y-%m-%dT%H:%M:%S%.fZ")),
            None => "stream: closed".to_owned(),
        },
        (Emit::OnClose, _) => "stream: nothing closed".to_owned(),
    };
    if emit == Emit::OnClose && !wanted.ends.is_empty() {
        how.push_str(&format!(", {} windows reopened", wanted.ends.len()));
    }
    if !wanted.again.is_empty() {
        how.push_str(&format!(", {} stretches of time reopened", wanted.again.len()));
    }
    if late > 0 {
        how.push_str(&format!(", {late} rows late"));
    }
    how
}
