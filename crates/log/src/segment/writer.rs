//! Group commit: whoever appends first writes and syncs for all who come while the disk is busy.
//!
//! There is no thread of its own: the queue is emptied by a blocking task that lives as long as there is something in
//! it. A group is one vectored write and one `fdatasync`. Segments are not preallocated: measured on ext4 it gained
//! nothing at groups of a megabyte and 15% at 200 kB, for a file whose length no longer says where it ends.
//!
//! A failed sync is final: the kernel may have dropped what it could not write and reported it once, so that trying
//! again proves nothing. The partition stops until the log is opened again, which re-reads and re-writes the tail.

use std::io::IoSlice;
use std::sync::Arc;

use super::frame::Place;
use super::partition::Partition;
use super::recover::{create_segment, new_header};
use super::shared::{is_full, segment_path};
use super::state::{GROUP_BYTES_MAX, Outcome, Pending};
use super::telemetry;
use crate::disk::{DiskFile, OpenMode, write_all_at};
use crate::{Appended, LogError};

/// The file that is written, named by the first offset of its segment.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    first: u64,
    file: Arc<dyn DiskFile>,
}

/// Empties the queue of a partition; there is one at a time.
pub(crate) struct Drain {
    partition: Arc<Partition>,
    finished: bool,
}

/// Why a group was not written.
enum Failure {
    /// The disk is full, and all is as it was before.
    Full,
    /// Nobody knows what is on the disk.
    Stop(String),
}

impl Drain {
    /// Empties the queue in the background. The caller has set `draining`.
    pub(crate) fn start(partition: &Arc<Partition>) {
        let drain = Self { partition: Arc::clone(partition), finished: false };
        // Detached: those who wait for it are answered by it.
        drop(tokio::task::spawn_blocking(move || drain.run()));
    }

    fn run(mut self) {
        while self.partition.write_next_group() {}
        self.finished = true;
    }
}

impl Drop for Drain {
    /// The runtime went away before the task began, or it panicked: nobody must wait for it.
    fn drop(&mut self) {
        if !self.finished {
            self.partition.abandon_queue();
        }
    }
}

impl Partition {
    /// Writes and syncs the next group of the queue and answers it; false when the queue was empty.
    pub(crate) fn write_next_group(&self) -> bool {
        self.await_sync_window();
        let mut writer = self.writer.lock();
        let Some((mut group, roll)) = self.state.lock().take_group(&self.shared.settings) else {
            return false;
        };
        let began_at = self.shared.clock.instant();
        match self.write_group(&mut writer, &mut group, roll) {
            Ok(position) => {
                telemetry::synced(self, &group, self.shared.clock.instant() - began_at);
                self.acknowledge(group, position);
            }
            Err(failure) => self.refuse(&mut writer, group, failure),
        }
        true
    }

    /// Lets the oldest append in the queue wait for others, as long as the settings say.
    #[allow(clippy::disallowed_methods, reason = "it runs on a blocking thread, whose work is to wait")]
    fn await_sync_window(&self) {
        let window = self.shared.settings.sync_window;
        if window.is_zero() {
            return;
        }
        let oldest = {
            let state = self.state.lock();
            let wait = !state.closed && state.queued_bytes < GROUP_BYTES_MAX;
            state.queue.front().filter(|_| wait).map(|pending| pending.queued_at)
        };
        let waited = oldest.map(|oldest| self.shared.clock.instant().saturating_duration_since(oldest));
        if let Some(rest) = waited.and_then(|waited| window.checked_sub(waited)) {
            std::thread::sleep(rest);
        }
    }

    /// Returns the byte of the active segment from which on the group was written.
    fn write_group(
        &self,
        writer: &mut Option<OpenSegment>,
        group: &mut [Pending],
        roll: bool,
    ) -> Result<u64, Failure> {
        if roll {
            self.roll(writer)?;
        }
        let (first, mut offset, salt, from) = {
            let state = self.state.lock();
            let active =
                state.active.as_ref().ok_or_else(|| Failure::Stop("there is no segment".to_owned()))?;
            (active.contents.first, active.contents.next, active.salt, active.contents.bytes)
        };
        let file = self.open_segment(writer, first)?;
        let mut position = from;
        for pending in group.iter_mut() {
            pending.frame.place(Place { salt, position }, offset, (position - from) as u32);
            position += pending.frame.bytes();
            offset += u64::from(pending.frame.records);
        }
        let mut slices: Vec<IoSlice<'_>> =
            group.iter().flat_map(|pending| pending.frame.parts()).map(IoSlice::new).collect();
        if let Err(error) = write_all_at(&*file, from, &mut slices) {
            // Nothing of the group was acknowledged; without what it left, the next one can be written as if it had
            // never been.
            let clean = is_full(&error) && file.set_len(from).and_then(|()| file.sync_data()).is_ok();
            return Err(if clean {
                Failure::Full
            } else {
                Failure::Stop(format!("writing a segment: {error}"))
            });
        }
        file.sync_data().map_err(|error| Failure::Stop(format!("syncing a segment: {error}")))?;
        Ok(from)
    }

    /// The file of the active segment, opened when it is not yet.
    fn open_segment(
        &self,
        writer: &mut Option<OpenSegment>,
        first: u64,
    ) -> Result<Arc<dyn DiskFile>, Failure> {
        if let Some(open) = writer.as_ref().filter(|open| open.first == first) {
            return Ok(Arc::clone(&open.file));
        }
        let path = segment_path(&self.dir, first);
        let file = self.shared.disk.open(&path, OpenMode::Write);
        let file = file.map_err(|error| Failure::Stop(format!("opening a segment: {error}")))?;
        *writer = Some(OpenSegment { first, file: Arc::clone(&file) });
        Ok(file)
    }

    /// Begins a segment at the end of the log, and seals the one before.
    fn roll(&self, writer: &mut Option<OpenSegment>) -> Result<(), Failure> {
        let (first, begun) = {
            let state = self.state.lock();
            (state.bounds().end, state.active.is_some())
        };
        let made = if begun { Ok(()) } else { self.shared.disk.create_dir_all(&self.dir) };
        let header = new_header(&self.shared, first);
        let made = made.and_then(|()| create_segment(&self.shared, &self.id, &self.dir, header));
        let (file, active) = made.map_err(|error| {
            self.state.lock().must_roll = true;
            if is_full(&error) {
                Failure::Full
            } else {
                Failure::Stop(format!("beginning a segment: {error}"))
            }
        })?;
        *writer = Some(OpenSegment { first, file });
        let sealed = self.state.lock().rolled(&self.dir, active);
        if let Some(sealed) = sealed {
            sealed.write_sidecar(&self.shared);
        }
        Ok(())
    }

    /// Seals the active segment before it is full; `now` decides again, since another may have been faster.
    pub(crate) fn seal_active(&self, now: i64) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        if !self.state.lock().ages(&self.shared.settings, now) {
            return Ok(());
        }
        self.roll(&mut writer).map_err(|failure| self.fail(&mut writer, failure).0)
    }

    fn acknowledge(&self, mut group: Vec<Pending>, position: u64) {
        let (waiting, first, end) = {
            let mut state = self.state.lock();
            let first = state.bounds().end;
            let waiting = state.publish(&mut group, position);
            (waiting, first, state.bounds().end)
        };
        self.save_mark(false);
        self.end.send_if_modified(|known| known.replace(end) != Some(end));
        let mut offset = first;
        for pending in group {
            let next = offset + u64::from(pending.frame.records);
            // Whoever went away in the meantime needs no answer.
            let _ = pending.reply.send(Ok(Appended { first: offset, last: next - 1, repeated: false }));
            offset = next;
        }
        for (waiter, answer) in waiting {
            let _ = waiter.send(answer);
        }
    }

    fn refuse(&self, writer: &mut Option<OpenSegment>, mut group: Vec<Pending>, failure: Failure) {
        let bytes: u64 = group.iter().map(|pending| pending.frame.bytes()).sum();
        self.state.lock().queued_bytes -= bytes;
        let (error, rest) = self.fail(writer, failure);
        group.extend(rest);
        let outcome: Outcome = Err(error);
        for pending in group {
            let Pending { claim, reply, room, .. } = pending;
            drop((claim, room));
            let _ = reply.send(outcome.clone());
        }
    }

    /// What a failure means for appends: the error, and with a final one everything that was still queued.
    fn fail(&self, writer: &mut Option<OpenSegment>, failure: Failure) -> (LogError, Vec<Pending>) {
        match failure {
            Failure::Full => {
                tracing::error!(partition = %self.id, dir = %self.dir.display(), "the disk of the log is full");
                (LogError::StorageFull { partition: self.id.clone(), path: self.dir.clone() }, Vec::new())
            }
            Failure::Stop(reason) => {
                tracing::error!(partition = %self.id, dir = %self.dir.display(), reason, "the log has stopped");
                *writer = None;
                let error = LogError::Stopped { partition: self.id.clone(), reason };
                let mut state = self.state.lock();
                state.failed = Some(error.clone());
                state.queued_bytes = 0;
                (error, state.queue.drain(..).collect())
            }
        }
    }

    /// Nobody empties the queue any more: lets go of what is in it.
    fn abandon_queue(&self) {
        let abandoned: Vec<Pending> = {
            let mut state = self.state.lock();
            state.draining = false;
            state.queued_bytes = 0;
            if std::thread::panicking() {
                let reason = "a defect in the writer".to_owned();
                state.failed = Some(LogError::Stopped { partition: self.id.clone(), reason });
            }
            state.queue.drain(..).collect()
        };
        drop(abandoned);
    }
}
