//! A disk that fails when told to, for tests of what the log and the node above it do then.
//!
//! `FLOWLINE_FAULTS` holds entries like `log.sync=fail@3`, separated by `,` or `;`:
//!
//! ```text
//! <layer>.<operation>=<action>@<from>             the operation with this number, counted from 1
//! <layer>.<operation>=<action>@<from>..<to>       those from one number to another, both included
//! <layer>.<operation>=<action>@<from>..           those from this number on
//! ```
//! Entries of other layers are left to these. The layer `log` has the operations `write` (a group of frames is written
//! to a segment), `sync` (it is synced) and `read` (a segment is read), each counted over all partitions, and the
//! actions `fail` (an input/output error, nothing is done), `short` (only `write`: half of the bytes are written, then
//! an input/output error), `enospc` (only `write`: some bytes are written, then the disk is full) and `slow:<ms>`.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::{DirEntry, Disk, DiskFile, OpenMode, StdDisk};

/// `FLOWLINE_FAULTS` holds something that is not a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` in `FLOWLINE_FAULTS` is not a fault: {reason}")]
pub struct FaultError {
    /// What was written.
    pub entry: String,
    /// What is expected.
    pub reason: &'static str,
}

/// The machine's disk, wrapped in what the `log.*` entries of `FLOWLINE_FAULTS` ask for.
pub fn disk_from_env() -> Result<Arc<dyn Disk>, FaultError> {
    let disk = Arc::new(StdDisk);
    match std::env::var("FLOWLINE_FAULTS") {
        Ok(faults) => FaultyDisk::wrap(disk, &faults),
        Err(_) => Ok(disk),
    }
}

/// What is asked of a segment's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Write,
    Sync,
    Read,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Fail,
    Short,
    Enospc,
    Slow(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault {
    operation: Operation,
    action: Action,
    from: u64,
    to: u64,
}

/// A disk on which the operations on segments fail that were said to.
#[derive(Debug)]
pub struct FaultyDisk {
    inner: Arc<dyn Disk>,
    plan: Arc<Plan>,
}

#[derive(Debug)]
struct Plan {
    faults: Vec<Fault>,
    counts: [AtomicU64; 3],
}

impl FaultyDisk {
    /// Wraps the disk in the `log.*` entries of `faults`; gives it back as it is when there are none.
    pub fn wrap(inner: Arc<dyn Disk>, faults: &str) -> Result<Arc<dyn Disk>, FaultError> {
        let entries = faults.split([',', ';']).map(str::trim).filter_map(|entry| entry.strip_prefix("log."));
        let faults = entries.map(Fault::from_str).collect::<Result<Vec<_>, _>>()?;
        if faults.is_empty() {
            return Ok(inner);
        }
        tracing::warn!(?faults, "the log's disk fails on purpose");
        Ok(Arc::new(Self { inner, plan: Arc::new(Plan { faults, counts: Default::default() }) }))
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    /// What follows `log.`.
    fn from_str(entry: &str) -> Result<Self, FaultError> {
        let error = |reason| FaultError { entry: format!("log.{entry}"), reason };
        let (operation, rest) =
            entry.split_once('=').ok_or_else(|| error("expected `log.operation=action@n`"))?;
        let (action, range) = rest.split_once('@').ok_or_else(|| error("expected `@n` behind the action"))?;
        let operation = match operation {
            "write" => Operation::Write,
            "sync" => Operation::Sync,
            "read" => Operation::Read,
            _ => return Err(error("the operations of the log are `write`, `sync` and `read`")),
        };
        let action = match (action, operation) {
            ("fail", _) => Action::Fail,
            ("short", Operation::Write) => Action::Short,
            ("enospc", Operation::Write) => Action::Enospc,
            (slow, _) => {
                let millis = slow.strip_prefix("slow:").and_then(|millis| millis.parse().ok());
                let expected = "expected `fail`, `slow:<ms>`, or with `write` also `short` and `enospc`";
                Action::Slow(Duration::from_millis(millis.ok_or_else(|| error(expected))?))
            }
        };
        let number = |text: &str| text.parse().map_err(|_| error("expected a number, or two as in `2..5`"));
        let (from, to) = match range.split_once("..") {
            None => (number(range)?, number(range)?),
            Some((from, "")) => (number(from)?, u64::MAX),
            Some((from, to)) => (number(from)?, number(to)?),
        };
        Ok(Self { operation, action, from, to })
    }
}

impl Plan {
    /// Counts the operation and says what happens to it; one that is slow has been waited for.
    #[allow(
        clippy::disallowed_methods,
        reason = "a slow disk does hold up the blocking thread that waits for it"
    )]
    fn next(&self, operation: Operation) -> Option<Action> {
        let number = self.counts[operation as usize].fetch_add(1, Ordering::SeqCst) + 1;
        let hits = |fault: &&Fault| fault.operation == operation && (fault.from..=fault.to).contains(&number);
        match self.faults.iter().find(hits)?.action {
            Action::Slow(delay) => {
                std::thread::sleep(delay);
                None
            }
            action => Some(action),
        }
    }
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.inner.open(path, mode)?;
        if path.extension().is_none_or(|extension| extension != "log") {
            return Ok(inner);
        }
        Ok(Arc::new(FaultyFile { inner, plan: Arc::clone(&self.plan), written: AtomicBool::new(false) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Debug + Send + Sync>>> {
        self.inner.lock(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn DiskFile>,
    plan: Arc<Plan>,
    /// Frames were written since the last sync; headers are not counted.
    written: AtomicBool,
}

impl DiskFile for FaultyFile {
    fn write_at(&self, position: u64, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if position == 0 {
            return self.inner.write_at(position, slices);
        }
        self.written.store(true, Ordering::SeqCst);
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        let (share, error) = match self.plan.next(Operation::Write) {
            Some(Action::Fail) => return Err(io_failure()),
            Some(Action::Short) => (bytes / 2, io_failure()),
            Some(Action::Enospc) => (bytes / 4, io::ErrorKind::StorageFull.into()),
            Some(Action::Slow(_)) | None => return self.inner.write_at(position, slices),
        };
        let whole: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(share).collect();
        self.inner.write_at(position, &[IoSlice::new(&whole)])?;
        Err(error)
    }

    fn read_at(&self, position: u64, bytes: usize, into: &mut Vec<u8>) -> io::Result<usize> {
        match self.plan.next(Operation::Read) {
            Some(_) => Err(io_failure()),
            None => self.inner.read_at(position, bytes, into),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let frames = self.written.swap(false, Ordering::SeqCst);
        match frames.then(|| self.plan.next(Operation::Sync)).flatten() {
            Some(_) => Err(io_failure()),
            None => self.inner.sync_data(),
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.inner.set_len(bytes)
    }

    fn bytes(&self) -> io::Result<u64> {
        self.inner.bytes()
    }
}

/// `EIO`.
fn io_failure() -> io::Error {
    rustix::io::Errno::IO.into()
}
