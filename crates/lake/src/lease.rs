//! Who may do what only one may do at a time, on any storage, without another service.
//!
//! ```text
//! <lake>/_leases/<name>/<term>.json     written once: who has this term
//! <lake>/_leases/<name>/<term>.beat     written again and again by that holder while it is there
//! ```
//! The newest term holds. A term is begun by a write that must not replace anything, so that one of several who want it
//! gets it. It is begun where the last one was given back, belongs to the same holder, or has not beaten for
//! [`LEASE_EXPIRES`] by the clock of whoever looks: clocks of different machines are never compared.
//!
//! Owns: these objects. Does not own: safety. A holder that was stopped for a while does not know that it has lost its
//! lease; commits are fenced by their application ids. A lease keeps others from trying, and says who is there.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::store::{PutNew, Store};
use crate::{Lake, LakeError};

/// How often a holder beats: one small write. On S3 that is about $6.50 a month for each lease.
pub const LEASE_BEAT_EVERY: Duration = Duration::from_secs(2);
/// A holder that has not beaten for so long is taken for dead.
pub const LEASE_EXPIRES: Duration = Duration::from_secs(8);

/// Who has, or wants, a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHolder {
    /// The same for as long as it is the same one, over restarts.
    pub id: String,
    /// The machine.
    pub host: String,
    /// Its process.
    pub process_id: u32,
    /// Where it keeps its files.
    pub data_dir: String,
    /// Since when it has the lease.
    pub since: DateTime<Utc>,
}

impl std::fmt::Display for LeaseHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, process_id, data_dir, since, .. } = self;
        let since = since.format("%Y-%m-%d %H:%M:%S UTC");
        write!(f, "process {process_id} on `{host}` with the data folder `{data_dir}`, since {since}")
    }
}

/// How a lease stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseStanding {
    /// It is ours.
    Held {
        /// Who had it before, when that was another and the lease has just become ours.
        before: Option<LeaseHolder>,
    },
    /// Another has it.
    Elsewhere {
        /// Who.
        holder: LeaseHolder,
        /// Whether it was seen to beat; until then it may be dead.
        alive: bool,
    },
}

/// A lease as one process sees it.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    lake: Lake,
    holder: LeaseHolder,
    expires: Duration,
    /// The term that is ours.
    term: Option<u64>,
    beats: u64,
    seen: Option<Seen>,
}

/// What was seen of the holder's beats.
#[derive(Debug)]
struct Seen {
    term: u64,
    beat: Option<Beat>,
    at: Instant,
    alive: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Beat {
    count: u64,
    given_back: bool,
}

impl Lake {
    /// The lease of this name for this holder; nothing is read yet.
    pub fn lease(&self, name: &str, holder: LeaseHolder) -> Lease {
        let store = self.store().below(&format!("_leases/{name}"));
        Lease { store, lake: self.clone(), holder, expires: LEASE_EXPIRES, term: None, beats: 0, seen: None }
    }
}

impl Lease {
    /// Another time than [`LEASE_EXPIRES`] after which a silent holder is taken for dead; the same for all who want it.
    pub fn expiring_after(mut self, expires: Duration) -> Self {
        self.expires = expires;
        self
    }

    /// Keeps the lease where it is ours, takes it where it is free, and otherwise says who has it. To be called every
    /// [`LEASE_BEAT_EVERY`]; two small reads and one small write while it is ours, one listing and one small read else.
    ///
    /// # Errors
    /// What keeps the storage from being read or written; whose the lease is is not known then.
    pub async fn claim(&mut self) -> Result<LeaseStanding, LakeError> {
        if let Some(term) = self.term {
            // A newer one may have come and gone since: then ours is gone as well.
            let ours = self.read::<LeaseHolder>(&self.term_path(term)).await?.is_some();
            if ours && self.read::<LeaseHolder>(&self.term_path(term + 1)).await?.is_none() {
                self.beat(term, false).await?;
                return Ok(LeaseStanding::Held { before: None });
            }
            self.term = None;
        }
        let Some(term) = self.newest().await? else { return self.begin(0, None).await };
        let Some(holder) = self.read::<LeaseHolder>(&self.term_path(term)).await? else {
            // It was removed between the two looks, because there is a newer one: the next call sees that.
            return Err(self.passing("a term came to its end while it was read"));
        };
        if holder.id == self.holder.id {
            return self.begin(term + 1, None).await;
        }
        let beat = match self.read::<Beat>(&self.beat_path(term)).await {
            // Cut off while it was written: as if there was none.
            Err(LakeError::Corrupt { .. }) => None,
            beat => beat?,
        };
        let given_back = beat.as_ref().is_some_and(|beat| beat.given_back);
        if given_back || self.expired(term, beat) {
            return self.begin(term + 1, Some(holder)).await;
        }
        let alive = self.seen.as_ref().is_some_and(|seen| seen.alive);
        Ok(LeaseStanding::Elsewhere { holder, alive })
    }

    /// Gives the lease back, so that others need not wait until it expires.
    ///
    /// # Errors
    /// What keeps the storage from being written.
    pub async fn give_back(mut self) -> Result<(), LakeError> {
        match self.term.take() {
            Some(term) => self.beat(term, true).await,
            None => Ok(()),
        }
    }

    async fn begin(&mut self, term: u64, before: Option<LeaseHolder>) -> Result<LeaseStanding, LakeError> {
        self.holder.since = self.lake.clock().now();
        let path = self.term_path(term);
        let written = self.store.put_new(&path, json(&self.holder)).await;
        // A write whose answer was lost is ours when what is there is.
        match (self.read::<LeaseHolder>(&path).await?, written) {
            (Some(holder), _) if holder == self.holder => {}
            (Some(holder), _) => return Ok(LeaseStanding::Elsewhere { holder, alive: true }),
            (None, Ok(PutNew::Written | PutNew::Exists)) => {
                return Err(self.passing("what was written cannot be read yet"));
            }
            (None, Err(error)) => return Err(error),
        }
        (self.term, self.seen) = (Some(term), None);
        self.beat(term, false).await?;
        self.forget_before(term).await;
        Ok(LeaseStanding::Held { before })
    }

    /// Whether the holder has been silent for too long since we began to look.
    fn expired(&mut self, term: u64, beat: Option<Beat>) -> bool {
        let now = self.lake.clock().instant();
        let known = self.seen.take().filter(|seen| seen.term == term);
        let seen = match known {
            Some(seen) if seen.beat == beat => seen,
            Some(_) => Seen { term, beat, at: now, alive: true },
            None => Seen { term, beat, at: now, alive: false },
        };
        let silent = now.saturating_duration_since(seen.at);
        self.seen = Some(seen);
        silent >= self.expires
    }

    async fn beat(&mut self, term: u64, given_back: bool) -> Result<(), LakeError> {
        self.beats += 1;
        let beat = Beat { count: self.beats, given_back };
        self.store.put(&self.beat_path(term), json(&beat)).await
    }

    /// Terms that are over are of no use to anybody; should that fail, the next term tries again.
    async fn forget_before(&self, term: u64) {
        let old = async {
            let listed = self.store.list(self.store.folder()).await?;
            let is_old = |path: &Path| term_of(path).is_some_and(|found| found < term);
            let paths: Vec<Path> = listed.into_iter().map(|object| object.location).filter(is_old).collect();
            self.store.delete(paths).await
        };
        if let Err(error) = old.await {
            tracing::debug!(%error, "terms of a lease that are over could not be removed");
        }
    }

    async fn newest(&self) -> Result<Option<u64>, LakeError> {
        let listed = self.store.list(self.store.folder()).await?;
        let terms = listed.iter().filter(|object| object.location.as_ref().ends_with(".json"));
        Ok(terms.filter_map(|object| term_of(&object.location)).max())
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, LakeError> {
        let Some(bytes) = self.store.get_if_there(path).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| LakeError::Corrupt {
            path: self.store.shown(path),
            reason: format!("{error}; remove it when no node runs"),
        })
    }

    fn term_path(&self, term: u64) -> Path {
        self.store.at(&format!("{term:020}.json"))
    }

    fn beat_path(&self, term: u64) -> Path {
        self.store.at(&format!("{term:020}.beat"))
    }

    fn passing(&self, reason: &str) -> LakeError {
        LakeError::Transient {
            action: "reading",
            path: self.store.shown(self.store.folder()),
            reason: reason.to_owned(),
        }
    }
}

fn term_of(path: &Path) -> Option<u64> {
    path.filename()?.split('.').next()?.parse().ok()
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("plain structs can be written as JSON").into()
}
