//! Reading frames: one read of the file, every checksum checked, payloads that share the buffer.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::buffers::Buffers;
use super::frame::{self, HEAD_BYTES_MAX, Place};
use super::partition::{Partition, blocking};
use super::scan::{Damage, Walker};
use super::shared::io_error;
use super::state::{Cursor, Readable};
use crate::disk::{DiskFile, OpenMode, read_on};
use crate::{Bounds, Frame, LogError, LogSlab};

impl Partition {
    pub(crate) async fn read(self: &Arc<Self>, from: u64, bytes_max: usize) -> Result<LogSlab, LogError> {
        let (readable, cursor) = {
            let mut state = self.state.lock();
            let Bounds { start, end } = state.bounds();
            if from < start {
                return Err(LogError::Gone { partition: self.id.clone(), offset: from, oldest: start });
            }
            if from >= end {
                return match &state.failed {
                    // Behind damage there is no end: whoever reads must learn why nothing comes.
                    Some(failed) if state.damaged => Err(failed.clone()),
                    _ => Ok(LogSlab { partition: self.id.clone(), frames: Vec::new(), next: from }),
                };
            }
            (state.segment_of(from), state.take_cursor(from))
        };
        let Some(readable) = readable else {
            let reason = format!("no segment holds offset {from}");
            return Err(self.corrupt(self.dir.clone(), 0, reason));
        };
        let partition = Arc::clone(self);
        blocking(move || partition.read_segment(readable, cursor, from, bytes_max)).await
    }

    fn read_segment(
        &self,
        readable: Readable,
        cursor: Option<Cursor>,
        from: u64,
        bytes_max: usize,
    ) -> Result<LogSlab, LogError> {
        if from >= readable.next {
            let reason = format!("the records from offset {} on are missing", readable.next);
            return Err(self.corrupt(readable.path, readable.bytes, reason));
        }
        let cursor = cursor.filter(|cursor| cursor.segment == readable.first);
        let (file, position) = match cursor {
            Some(cursor) => (cursor.file, Ok(cursor.position)),
            None => {
                let file = self.open_to_read(&readable, from)?;
                let sought = seek(&*file, &readable, from).map_err(io_error("reading", &readable.path))?;
                (file, sought)
            }
        };
        let position = position.map_err(|damage| self.damaged(&readable, damage))?;
        let found = read_frames(&self.shared.buffers, &*file, &readable, position, from, bytes_max);
        let (frames, behind) = found
            .map_err(io_error("reading", &readable.path))?
            .map_err(|damage| self.damaged(&readable, damage))?;
        let next = frames.last().map_or(from, Frame::next_offset);
        if next < readable.next {
            let cursor = Cursor { next, segment: readable.first, position: behind, file };
            self.state.lock().put_cursor(cursor);
        }
        Ok(LogSlab { partition: self.id.clone(), frames, next })
    }

    /// Retention may have deleted the file since the segment was chosen.
    fn open_to_read(&self, readable: &Readable, from: u64) -> Result<Arc<dyn DiskFile>, LogError> {
        self.shared.disk.open(&readable.path, OpenMode::Read).map_err(|error| {
            let Bounds { start, .. } = self.bounds();
            if from < start {
                return LogError::Gone { partition: self.id.clone(), offset: from, oldest: start };
            }
            if error.kind() == io::ErrorKind::NotFound {
                return self.corrupt(readable.path.clone(), 0, "the segment is missing".to_owned());
            }
            io_error("opening", &readable.path)(error)
        })
    }

    pub(crate) async fn offset_at(self: &Arc<Self>, received_at: i64) -> Result<u64, LogError> {
        let (readable, end) = {
            let state = self.state.lock();
            (state.segment_at(received_at), state.bounds().end)
        };
        let Some(readable) = readable else { return Ok(end) };
        let partition = Arc::clone(self);
        blocking(move || {
            let file = partition.open_to_read(&readable, readable.first)?;
            let found =
                seek_time(&*file, &readable, received_at).map_err(io_error("reading", &readable.path))?;
            found.map_err(|damage| partition.damaged(&readable, damage))
        })
        .await
    }

    fn damaged(&self, readable: &Readable, damage: Damage) -> LogError {
        self.corrupt(readable.path.clone(), damage.position, damage.reason.to_owned())
    }

    fn corrupt(&self, path: PathBuf, position: u64, reason: String) -> LogError {
        tracing::error!(partition = %self.id, path = %path.display(), position, reason, "the log is damaged");
        LogError::Corrupt { partition: self.id.clone(), path, position, reason }
    }
}

/// The byte of the frame that holds offset `from`. Damage on the way there is passed over: only what is read must be
/// intact.
fn seek(file: &dyn DiskFile, readable: &Readable, from: u64) -> io::Result<Result<u64, Damage>> {
    let mut walker = Walker::new(file, readable.salt, readable.bytes);
    let mut position = readable.position;
    loop {
        let damage = match walker.head(position)? {
            Ok(head) if head.first_offset <= from && from < head.next_offset() => return Ok(Ok(position)),
            Ok(head) if head.first_offset <= from => {
                position += head.frame_bytes();
                continue;
            }
            Ok(_) => Damage { position, reason: "the frame's offset does not follow the one before" },
            Err(damage) => damage,
        };
        match walker.search(position + 1)? {
            Some((found, head)) if head.first_offset <= from => position = found,
            _ => return Ok(Err(damage)),
        }
    }
}

/// The first offset of the first frame received at or after a time, from the readable's position on.
fn seek_time(file: &dyn DiskFile, readable: &Readable, received_at: i64) -> io::Result<Result<u64, Damage>> {
    let mut walker = Walker::new(file, readable.salt, readable.bytes);
    let mut position = readable.position;
    loop {
        match walker.head(position)? {
            Ok(head) if head.received_at >= received_at => return Ok(Ok(head.first_offset)),
            Ok(head) => position += head.frame_bytes(),
            Err(damage) => return Ok(Err(damage)),
        }
    }
}

/// The frames from `position` on, where offset `from` is, that `bytes_max` bytes hold, at least one; and the byte
/// behind them.
fn read_frames(
    buffers: &Arc<Buffers>,
    file: &dyn DiskFile,
    readable: &Readable,
    position: u64,
    from: u64,
    bytes_max: usize,
) -> io::Result<Result<(Vec<Frame>, u64), Damage>> {
    let left = (readable.bytes - position).min(usize::MAX as u64) as usize;
    let bytes = bytes_max.max(HEAD_BYTES_MAX).min(left);
    let mut chunk = buffers.take(bytes);
    read_on(file, position, bytes, &mut chunk)?;
    let place = Place { salt: readable.salt, position };
    if let Ok(head) = frame::decode_head(&chunk, place) {
        let wanted = bytes_max.max(head.frame_bytes().min(left as u64) as usize);
        if wanted > chunk.len() {
            read_on(file, position, wanted.min(left), &mut chunk)?;
        }
        chunk.truncate(wanted);
    }
    Ok(parse(&buffers.lend(chunk), place, from))
}

/// The frames that lie one behind the other in the chunk, the first of which holds offset `from`. The first one must
/// be whole and intact; what follows may be cut off, or damaged, and is left to the next read, which begins with it.
fn parse(chunk: &Bytes, place: Place, from: u64) -> Result<(Vec<Frame>, u64), Damage> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut at = 0;
    while at < chunk.len() {
        let position = place.position + at as u64;
        let place = Place { position, ..place };
        match parse_frame(chunk, at, place) {
            Ok((frame, bytes)) if follows(&frames, &frame, from) => {
                frames.push(frame);
                at += bytes;
            }
            _ if !frames.is_empty() => break,
            Ok(_) => {
                return Err(Damage { position, reason: "the frame's offset does not follow the one before" });
            }
            Err(reason) => return Err(Damage { position, reason }),
        }
    }
    Ok((frames, place.position + at as u64))
}

fn parse_frame(chunk: &Bytes, at: usize, place: Place) -> Result<(Frame, usize), &'static str> {
    let head = frame::decode_head(&chunk[at..], place)?;
    let bytes = usize::try_from(head.frame_bytes()).ok().filter(|bytes| *bytes <= chunk.len() - at);
    let bytes = bytes.ok_or("the file ends within a frame")?;
    Ok((frame::decode(head, &chunk.slice(at..at + bytes))?, bytes))
}

fn follows(frames: &[Frame], frame: &Frame, from: u64) -> bool {
    match frames.last() {
        Some(last) => last.next_offset() == frame.first_offset,
        None => frame.first_offset <= from && from < frame.next_offset(),
    }
}
