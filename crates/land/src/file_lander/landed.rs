//! Which files have landed, which were reported, and which are tried again later.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use flowline_lake::FileEntry;
use flowline_ledger::LandedFile;

/// A file that cannot be read is tried again at the latest after this long; it may have been a permission.
const PUT_OFF_MAX: Duration = Duration::from_secs(3600);

/// What is known of the files of a folder. Costs the paths and etags of all that have landed.
#[derive(Debug, Default)]
pub(super) struct Landed {
    landed: HashSet<(String, String)>,
    reported: HashSet<(String, String)>,
    put_off: HashMap<(String, String), PutOff>,
}

#[derive(Debug)]
struct PutOff {
    until: DateTime<Utc>,
    times: u32,
}

fn key(entry: &FileEntry) -> (String, String) {
    (entry.path.clone(), entry.etag.clone())
}

impl Landed {
    pub(super) fn new(files: &[LandedFile]) -> Self {
        let mut landed = Self::default();
        landed.add(files);
        landed
    }

    pub(super) fn add(&mut self, files: &[LandedFile]) {
        for file in files {
            let key = (file.path.clone(), file.etag.clone());
            self.put_off.remove(&key);
            self.landed.insert(key);
        }
    }

    pub(super) fn is_new(&self, entry: &FileEntry, now: DateTime<Utc>) -> bool {
        let key = key(entry);
        !self.landed.contains(&key) && self.put_off.get(&key).is_none_or(|put_off| now >= put_off.until)
    }

    pub(super) fn reported(&self, entry: &FileEntry) -> bool {
        self.reported.contains(&key(entry))
    }

    pub(super) fn set_reported(&mut self, entries: &[&FileEntry]) {
        self.reported.extend(entries.iter().map(|entry| key(entry)));
    }

    /// Leaves a file alone for a while, each time for longer.
    pub(super) fn put_off(&mut self, entry: &FileEntry, now: DateTime<Utc>, poll_every: Duration) {
        let put_off = self.put_off.entry(key(entry)).or_insert(PutOff { until: now, times: 0 });
        let wait = poll_every.saturating_mul(1 << put_off.times.min(16)).min(PUT_OFF_MAX);
        put_off.times += 1;
        put_off.until = now + chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::hours(1));
    }
}
