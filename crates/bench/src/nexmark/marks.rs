//! What is told of a history at each mark: how fast it went just before, and what was held then. Pure.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// Before a mark so many rows, or a tenth of the mark when that is more, are what its speed is told from.
const STRETCH_MIN: u64 = 1_000_000;

/// What a node held and had used at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// Rows that went through the query.
    pub read: u64,
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
    pub processor_seconds: f64,
    pub disk_bytes: u64,
    pub log_bytes: u64,
    pub state_bytes: u64,
}

/// One run that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ran {
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub read: u64,
}

/// The rows before a mark, with the first looks at or behind their bounds.
#[derive(Debug)]
struct Stretch {
    from: u64,
    to: u64,
    at_from: Option<Look>,
    at_to: Option<Look>,
}

/// All marks, the first one first.
#[derive(Debug)]
pub struct Marks(Vec<Stretch>);

impl Marks {
    /// The marks up to so many rows, and that one.
    pub fn new(marks: &[u64], rows: u64) -> Self {
        let mut marks: Vec<u64> = marks.iter().copied().filter(|mark| *mark < rows && *mark > 0).collect();
        marks.push(rows);
        marks.sort_unstable();
        marks.dedup();
        let stretch = |to: u64| {
            let from = to.saturating_sub(STRETCH_MIN.max(to / 10));
            let at_from = (from == 0).then(Look::default);
            Stretch { from, to, at_from, at_to: None }
        };
        Self(marks.into_iter().map(stretch).collect())
    }

    /// Keeps a look for the bounds that it is the first to have reached.
    pub fn look(&mut self, look: Look) {
        for stretch in &mut self.0 {
            if look.read >= stretch.from {
                stretch.at_from.get_or_insert(look);
            }
            if look.read >= stretch.to {
                stretch.at_to.get_or_insert(look);
            }
        }
    }

    /// Those that were reached, by the runs of the query and of landing since the first row was sent.
    pub fn json(&self, started_at: DateTime<Utc>, read: &[Ran], landed: &[Ran]) -> Vec<Value> {
        let told = |stretch: &Stretch| {
            let (before, at) = (stretch.at_from?, stretch.at_to?);
            let (runs, landings) = (within(read, stretch), within(landed, stretch));
            let processor = (at.processor_seconds - before.processor_seconds) * 1e6;
            Some(json!({
                "rows": stretch.to, "of_rows": [stretch.from, stretch.to],
                "events_per_second": speed(started_at, read, stretch),
                "runs": runs.len(), "run_ms_p50": median_ms(runs), "run_ms_max": longest_ms(runs),
                "rows_a_run": runs.iter().map(|run| run.read).sum::<u64>() / runs.len().max(1) as u64,
                "landing_ms_p50": median_ms(landings),
                "processor_us_per_event": processor / (at.read - before.read).max(1) as f64,
                "memory_bytes": at.memory_bytes, "memory_peak_bytes": at.memory_peak_bytes,
                "disk_bytes": at.disk_bytes, "log_bytes": at.log_bytes, "state_bytes": at.state_bytes,
            }))
        };
        self.0.iter().filter_map(told).collect()
    }
}

/// The runs that ended within a stretch: those that brought the rows up to more than its start, and no more than were
/// needed for its end.
fn within<'a>(runs: &'a [Ran], stretch: &Stretch) -> &'a [Ran] {
    let (first, last) = (ended_by(runs, stretch.from + 1), ended_by(runs, stretch.to));
    runs.get(first..(last + 1).min(runs.len())).unwrap_or_default()
}

/// The first run with which so many rows were read.
fn ended_by(runs: &[Ran], rows: u64) -> usize {
    let mut read = 0;
    let reached = |run: &Ran| {
        read += run.read;
        read >= rows
    };
    runs.iter().position(reached).unwrap_or(runs.len())
}

/// Rows a second from the end of the run before the stretch to the end of its last run.
fn speed(started_at: DateTime<Utc>, runs: &[Ran], stretch: &Stretch) -> Option<f64> {
    let of_stretch = within(runs, stretch);
    let first = ended_by(runs, stretch.from + 1);
    let since = first.checked_sub(1).map_or(started_at, |before| runs[before].finished_at);
    let seconds = (of_stretch.last()?.finished_at - since).num_microseconds()? as f64 / 1e6;
    Some(of_stretch.iter().map(|run| run.read).sum::<u64>() as f64 / seconds.max(1e-6))
}

/// Rows a second of all runs.
pub fn speed_of_all(started_at: DateTime<Utc>, runs: &[Ran]) -> Option<f64> {
    let rows = runs.iter().map(|run| run.read).sum();
    speed(started_at, runs, &Stretch { from: 0, to: rows, at_from: None, at_to: None })
}

fn times_ms(runs: &[Ran]) -> Vec<f64> {
    let time = |run: &Ran| (run.finished_at - run.started_at).num_microseconds().unwrap_or(0) as f64 / 1e3;
    let mut times: Vec<f64> = runs.iter().map(time).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn median_ms(runs: &[Ran]) -> Option<f64> {
    let times = times_ms(runs);
    times.get(times.len() / 2).copied()
}

fn longest_ms(runs: &[Ran]) -> Option<f64> {
    times_ms(runs).last().copied()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    /// Ten runs of half a million rows, a second each but for the last two, which take three.
    fn ran() -> Vec<Ran> {
        let ends = [1, 2, 3, 4, 5, 6, 7, 8, 11, 14];
        let starts = [0].into_iter().chain(ends);
        let run = |(start, end)| Ran { started_at: at(start), finished_at: at(end), read: 500_000 };
        starts.zip(ends).map(run).collect()
    }

    #[test]
    fn a_mark_tells_of_the_rows_just_before_it() {
        let mut marks = Marks::new(&[1_000_000, 100_000_000], 5_000_000);
        for read in [0, 500_000, 1_000_000, 4_000_000, 5_000_000] {
            let processor_seconds = read as f64 / 500_000.0;
            marks.look(Look { read, processor_seconds, memory_bytes: read, ..Look::default() });
        }
        let told = marks.json(at(0), &ran(), &[]);
        let number = |mark: usize, name: &str| told[mark][name].as_f64().unwrap_or(f64::NAN);
        assert_eq!(told.len(), 2);
        assert_eq!((number(0, "rows"), number(1, "rows")), (1e6, 5e6));
        assert_eq!((number(0, "events_per_second"), number(0, "run_ms_p50")), (500_000.0, 1_000.0));
        let slow = 1_000_000.0 / 6.0;
        assert!((number(1, "events_per_second") - slow).abs() < 1.0, "{told:?}");
        assert_eq!((number(1, "runs"), number(1, "run_ms_max")), (2.0, 3_000.0));
        assert_eq!(speed_of_all(at(0), &ran()), Some(5e6 / 14.0));
        assert_eq!((number(0, "memory_bytes"), number(1, "memory_bytes")), (1e6, 5e6));
        assert_eq!((number(0, "processor_us_per_event"), number(1, "processor_us_per_event")), (2.0, 2.0));
    }

    #[test]
    fn a_mark_that_was_not_reached_is_not_told() {
        let mut marks = Marks::new(&[1_000_000], 3_000_000);
        marks.look(Look { read: 1_500_000, ..Look::default() });
        assert_eq!(marks.json(at(0), &ran(), &[]).len(), 1);
    }
}
