//! Which hop the flow waits for. Of hops that wait for each other it is the last one: whoever has input, is not held
//! back, and does not get done with it.

use std::collections::HashMap;

use flowline_ledger::Standing;
use flowline_model::{Commit, Dataset, DatasetName, Held};

use super::{Flow, Lag};
use crate::LogPartition;
use crate::state::WAITING_AFTER_SECONDS;

/// Where this share of what may wait does wait, the hop is slow however short the time was.
const FULL: f64 = 0.5;

impl Flow {
    /// Why the flow waits for this hop, and how much waits; none where it does not.
    pub(super) fn slow(
        &self,
        dataset: &Dataset,
        standing: Option<&Standing>,
        lag: &Lag,
        commits: &HashMap<DatasetName, &Commit>,
    ) -> Option<String> {
        if self.held.contains_key(&dataset.name) {
            return None;
        }
        let seconds = lag.seconds.unwrap_or(0);
        if dataset.landed() {
            let (waiting, most) = self.fill(&dataset.name);
            let full = most > 0 && waiting as f64 >= most as f64 * FULL;
            if lag.records.unwrap_or(0) == 0 || !(full || seconds > WAITING_AFTER_SECONDS) {
                return None;
            }
            let took = commits
                .get(&dataset.name)
                .map(|commit| format!("; its last commit took {:.1} s", commit.latency_us as f64 / 1e6));
            return Some(format!(
                "landing is slower than what arrives: {} records wait in the log ({} of {} bytes in the fullest partition), the oldest for {seconds} s{}",
                lag.records.unwrap_or(0),
                waiting,
                most,
                took.unwrap_or_default()
            ));
        }
        let held: Vec<(&DatasetName, &Held)> =
            self.held.iter().filter(|(_, held)| held.by == dataset.name).collect();
        if held.is_empty() && seconds <= WAITING_AFTER_SECONDS {
            return None;
        }
        let took = standing.and_then(|standing| standing.ended.as_ref()).and_then(|run| {
            let took = run.finished_at? - run.started_at;
            Some(format!("; its last run took {:.1} s", took.num_milliseconds() as f64 / 1e3))
        });
        let waits = match held.first() {
            Some((_, held)) => format!("{} rows wait, and {} may", held.rows, held.rows_max),
            None => format!("{} versions wait", lag.versions.unwrap_or(0)),
        };
        let names: Vec<String> = held.iter().map(|(source, _)| format!("`{source}`")).collect();
        let holds = if names.is_empty() {
            String::new()
        } else {
            format!("; until it has caught up, {} is not landed", names.join(", "))
        };
        Some(format!(
            "it is slower than its input: {waits}, the oldest for {seconds} s{}{holds}",
            took.unwrap_or_default()
        ))
    }

    /// Bytes that wait in the fullest partition of a source, and how many may.
    fn fill(&self, source: &DatasetName) -> (u64, u64) {
        let partitions = self.partitions.iter().flatten().filter(|partition| partition.dataset == *source);
        let fill = |partition: &LogPartition| (partition.waiting_bytes, partition.waiting_bytes_max);
        partitions.map(fill).max().unwrap_or_default()
    }
}
