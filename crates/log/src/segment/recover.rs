//! Opening the files of a partition after whatever happened to them.
//!
//! Only the open segment is walked, by its heads; its bodies are checked where they may not have reached stable
//! storage, that is in the last group that was written. There, what is not intact is a torn tail, was never
//! acknowledged, and is cut off. Anywhere else it is damage: it stays as it is, the partition takes no more appends,
//! and reading names it.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame;
use super::header::{HEADER_BYTES, Header};
use super::index::Contents;
use super::keys::KeyMap;
use super::mark::{MARK_BYTES, Mark};
use super::scan::{Damage, Walked, Walker, walk};
use super::sealed::Sealed;
use super::shared::{Shared, first_of, io_error, mark_path, segment_path};
use crate::disk::{DiskFile, OpenMode, read_up_to, write_all_at};
use crate::{LogError, PartitionId};

/// The segment that is written.
#[derive(Debug)]
pub(crate) struct Active {
    /// What is in it and on stable storage.
    pub(crate) contents: Contents,
    pub(crate) salt: u64,
    pub(crate) path: PathBuf,
    pub(crate) keys: KeyMap,
}

/// The files of a partition.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) sealed: Vec<Arc<Sealed>>,
    pub(crate) active: Option<Active>,
    /// Offset up to which readers were done, as far as is known.
    pub(crate) released: u64,
    /// Why the partition takes no appends.
    pub(crate) failed: Option<LogError>,
}

/// Opens the files of a partition.
///
/// # Errors
/// When a file cannot be read at all; damage is no error but is in [`Recovered::failed`].
pub(crate) fn recover(shared: &Shared, id: &PartitionId, dir: &Path) -> Result<Recovered, LogError> {
    let mark = read_mark(shared, dir)?;
    let mut firsts = segments(shared, dir)?;
    let mut recovered = Recovered { released: mark.released, ..Recovered::default() };
    let missing = mark.durable_next > 0 && firsts.last().is_none_or(|last| *last < mark.segment);
    let last = if missing {
        // Nothing may be appended: its offsets were given to records that are gone.
        let path = segment_path(dir, mark.segment);
        recovered.failed = Some(corrupt(id, &path, Damage { position: 0, reason: "the segment is missing" }));
        None
    } else {
        firsts.pop()
    };
    for first in firsts {
        recovered.sealed.push(Arc::new(Sealed::load(shared, id, dir, first)?));
    }
    if let Some(first) = last {
        let (active, failed) = recover_active(shared, id, dir, first, mark)?;
        recovered.active = Some(active);
        recovered.failed = failed.or(recovered.failed);
    }
    if let Some(failed) = &recovered.failed {
        tracing::error!(partition = %id, error = %failed, "the log takes no more appends");
    }
    Ok(recovered)
}

/// The first offsets of the segments in a folder, in order.
fn segments(shared: &Shared, dir: &Path) -> Result<Vec<u64>, LogError> {
    let entries = shared.disk.list(dir).map_err(io_error("listing", dir))?;
    let mut firsts: Vec<u64> = entries.iter().filter_map(|entry| first_of(&entry.name)).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

fn read_mark(shared: &Shared, dir: &Path) -> Result<Mark, LogError> {
    let path = mark_path(dir);
    let bytes = match shared.disk.open(&path, OpenMode::Read) {
        Ok(file) => read_up_to(&*file, 0, MARK_BYTES).map_err(io_error("reading", &path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Mark::default()),
        Err(error) => return Err(io_error("opening", &path)(error)),
    };
    let mark = Mark::decode(&bytes);
    if mark.is_none() {
        tracing::warn!(path = %path.display(), "the mark is damaged; it is not used");
    }
    Ok(mark.unwrap_or_default())
}

/// Makes the empty segment that begins at `first` and makes it durable, its name included.
pub(crate) fn create_segment(
    shared: &Shared,
    id: &PartitionId,
    dir: &Path,
    header: Header,
) -> io::Result<(Arc<dyn DiskFile>, Active)> {
    let path = segment_path(dir, header.first_offset);
    let file = shared.disk.open(&path, OpenMode::Create)?;
    file.set_len(0)?;
    write_all_at(&*file, 0, &mut [IoSlice::new(&header.encode(id))])?;
    file.sync_data()?;
    // The folder of the partition, and those of its source and of the log, which may be new as well.
    for dir in dir.ancestors().take(3) {
        shared.disk.sync_dir(dir)?;
    }
    let contents = Contents::empty(header.first_offset);
    Ok((file, Active { contents, salt: header.salt, path, keys: KeyMap::default() }))
}

fn recover_active(
    shared: &Shared,
    id: &PartitionId,
    dir: &Path,
    first: u64,
    mark: Mark,
) -> Result<(Active, Option<LogError>), LogError> {
    let path = segment_path(dir, first);
    let file = shared.disk.open(&path, OpenMode::Write).map_err(io_error("opening", &path))?;
    let bytes = file.bytes().map_err(io_error("measuring", &path))?;
    let marked = if mark.segment == first { mark.durable_bytes } else { 0 };
    let header = read_up_to(&*file, 0, HEADER_BYTES).map_err(io_error("reading", &path))?;
    let header = Header::decode(&header, id, first);
    if bytes.max(marked) <= HEADER_BYTES as u64 {
        // It has no frames, and the crash may have come before its header or its name were durable.
        let header = header.unwrap_or_else(|_| new_header(shared, first));
        let made = create_segment(shared, id, dir, header).map_err(io_error("creating", &path))?;
        return Ok((made.1, None));
    }
    let header = match header {
        Ok(header) => header,
        Err(reason) => {
            let active = Active { contents: Contents::empty(first), salt: 0, path, keys: KeyMap::default() };
            let failed = corrupt(id, &active.path, Damage { position: 0, reason });
            return Ok((active, Some(failed)));
        }
    };
    let tail = Tail { file: &*file, salt: header.salt, first, bytes };
    let (walked, damage) = tail.recover(marked).map_err(io_error("recovering", &path))?;
    if walked.contents.bytes < bytes && damage.is_none() {
        let (kept, cut) = (walked.contents.bytes, bytes - walked.contents.bytes);
        tracing::warn!(partition = %id, path = %path.display(), kept, cut, "a torn tail was cut off");
    }
    let failed = damage.map(|damage| corrupt(id, &path, damage));
    Ok((Active { contents: walked.contents, salt: header.salt, path, keys: walked.keys }, failed))
}

/// The header of a new segment.
pub(crate) fn new_header(shared: &Shared, first_offset: u64) -> Header {
    let salt = flowline_base::Random::unseeded().next_u64();
    Header { first_offset, salt, created_at: shared.clock.now_micros() }
}

fn corrupt(id: &PartitionId, path: &Path, damage: Damage) -> LogError {
    LogError::Corrupt {
        partition: id.clone(),
        path: path.to_owned(),
        position: damage.position,
        reason: damage.reason.to_owned(),
    }
}

/// The open segment's file.
struct Tail<'a> {
    file: &'a dyn DiskFile,
    salt: u64,
    first: u64,
    bytes: u64,
}

impl Tail<'_> {
    /// Walks the segment, cuts off its torn tail and makes what is left durable; or says what is damaged, and changes
    /// nothing. `marked` is the byte up to which the mark says that all was on stable storage.
    fn recover(&self, marked: u64) -> io::Result<(Walked, Option<Damage>)> {
        let mut walker = Walker::new(self.file, self.salt, self.bytes);
        let walked = walk(&mut walker, self.first)?;
        let mut synced = walked.synced.max(marked);
        let reached = walked.contents.bytes;
        let damage = walked.damage.unwrap_or(Damage { position: reached, reason: "the file was cut short" });
        if walked.damage.is_some() {
            synced = synced.max(self.synced_behind(&mut walker, reached)?);
        }
        if reached < synced {
            return Ok((walked, Some(damage)));
        }
        let end = self.harden(&mut walker, synced, reached)?;
        if end == reached {
            return Ok((walked, None));
        }
        Ok((walk(&mut Walker::new(self.file, self.salt, end), self.first)?, None))
    }

    /// The farthest byte before which all was on stable storage, as the frames behind a damaged place say.
    fn synced_behind(&self, walker: &mut Walker<'_>, damaged: u64) -> io::Result<u64> {
        let (mut from, mut synced) = (damaged + 1, 0);
        while let Some((position, head)) = walker.search(from)? {
            synced = synced.max(position.saturating_sub(u64::from(head.group_back)));
            if synced > damaged {
                break;
            }
            from = position + head.frame_bytes();
        }
        Ok(synced)
    }

    /// Checks the bodies of the frames between `from` and `to`, writes the intact ones again (a sync that failed in an
    /// earlier process may have left them in memory only, marked as written), cuts off the rest, and syncs.
    fn harden(&self, walker: &mut Walker<'_>, from: u64, to: u64) -> io::Result<u64> {
        let mut position = from;
        while position < to {
            let Ok(head) = walker.head(position)? else { break };
            let frame = read_up_to(self.file, position, head.frame_bytes() as usize)?;
            if !frame::body_intact(&head, &frame) {
                break;
            }
            write_all_at(self.file, position, &mut [IoSlice::new(&frame)])?;
            position += head.frame_bytes();
        }
        if position < self.bytes {
            self.file.set_len(position)?;
        }
        if position > from || position < self.bytes {
            self.file.sync_data()?;
        }
        Ok(position)
    }
}
