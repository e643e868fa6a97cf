//! A disk that fails when told to, for tests of what the log and the node above it do then.
//!
//! `FLOWLINE_FAULTS` holds the faults of every layer, as `key=value` pairs joined by `;`; those whose key begins with
//! `log.` are the log's:
//!
//! ```text
//! log.sync=fail@3;log.write=enospc@2..4,short@9,slow@20+:50ms
//! ```
//!
//! * The operations are `write` (a group of frames is written to a segment), `sync` (it is synced) and `read` (a segment
//!   is read), each counted over all partitions.
//! * The faults are `fail` (an input/output error, nothing is done), `short` (only of `write`: half of the bytes are
//!   written, then an input/output error), `enospc` (only of `write`: some bytes are written, then the disk is full)
//!   and `slow` (it is done, late).
//! * Each says when: `@N` at the N-th operation, from 1; `@N..M` from the N-th to the M-th; `@N+` from the N-th on.
//!   `slow` ends with the delay, `:50ms`.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
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
        let of_log = faults.split(';').filter_map(|entry| entry.trim().strip_prefix("log."));
        let faults: Vec<Fault> = of_log.map(parse).collect::<Result<Vec<_>, _>>()?.concat();
        if faults.is_empty() {
            return Ok(inner);
        }
        tracing::warn!(?faults, "the log's disk fails on purpose");
        Ok(Arc::new(Self { inner, plan: Arc::new(Plan { faults, counts: Default::default() }) }))
    }
}

/// The faults of one operation, written as what follows `log.`.
fn parse(entry: &str) -> Result<Vec<Fault>, FaultError> {
    let error = |reason| FaultError { entry: format!("log.{entry}"), reason };
    let (operation, faults) =
        entry.split_once('=').ok_or_else(|| error("expected `log.operation=fault@n`"))?;
    let operation = match operation {
        "write" => Operation::Write,
        "sync" => Operation::Sync,
        "read" => Operation::Read,
        _ => return Err(error("the operations of the log are `write`, `sync` and `read`")),
    };
    faults.split(',').map(|fault| parse_fault(operation, fault.trim()).map_err(error)).collect()
}

fn parse_fault(operation: Operation, fault: &str) -> Result<Fault, &'static str> {
    let (action, rest) = fault.split_once('@').ok_or("expected `@n` behind the fault")?;
    let (range, delay) = rest.split_once(':').map_or((rest, None), |(range, delay)| (range, Some(delay)));
    let action = match (action, delay) {
        ("fail", None) => Action::Fail,
        ("short", None) if operation == Operation::Write => Action::Short,
        ("enospc", None) if operation == Operation::Write => Action::Enospc,
        ("slow", Some(delay)) => {
            let millis = delay.strip_suffix("ms").and_then(|millis| millis.parse().ok());
            Action::Slow(Duration::from_millis(millis.ok_or("expected a delay like `50ms`")?))
        }
        _ => return Err("expected `fail@n`, `slow@n:50ms`, or of `write` also `short@n` and `enospc@n`"),
    };
    let number = |text: &str| text.parse().map_err(|_| "expected a number, as in `@2`, `@2..5` or `@2+`");
    let (from, to) = match (range.strip_suffix('+'), range.split_once("..")) {
        (Some(from), _) => (number(from)?, u64::MAX),
        (None, Some((from, to))) => (number(from)?, number(to)?),
        (None, None) => (number(range)?, number(range)?),
    };
    Ok(Fault { operation, action, from, to })
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
