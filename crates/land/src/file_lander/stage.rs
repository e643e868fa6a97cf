//! One file becomes staged rows.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use flowline_base::{Computing, RunId, compute};
use flowline_lake::FileEntry;
use flowline_ledger::LandedFile;
use flowline_model::{DatasetName, FindingKind, InputRange};
use flowline_source::files::{FileContent, FilePart};

use super::progress::FileProgress;
use super::{FileLander, about_the_file};
use crate::examine::{Compared, Examined, examine};
use crate::keys::Keys;
use crate::parcel::{Parcel, Piece, Records};
use crate::schemas::FoundSchemas;
use crate::staging::{Staging, failed};
use crate::{LandContext, LandError};

/// A flush of whole files.
#[derive(Debug)]
pub(super) struct FileFlush {
    pub(super) staging: Staging,
    /// The files that are in it, with their records.
    pub(super) files: Vec<(FileEntry, u64)>,
}

/// What became of a file.
#[derive(Debug)]
pub(super) enum Staged {
    /// It is in the flush.
    Whole,
    /// It is no longer there.
    Gone,
    /// It cannot be read; with `spoilt` a part of it is in the flush, which must not be committed.
    Unreadable { reason: String, spoilt: bool },
}

impl FileFlush {
    pub(super) fn start(context: &LandContext, run: Option<RunId>) -> Self {
        Self { staging: Staging::start(context, run), files: Vec::new() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|(entry, _)| entry.bytes).sum()
    }

    /// Lets go of what was staged; returns the files.
    pub(super) fn abandon(self, keys: &mut Option<Keys>) -> Vec<FileEntry> {
        self.staging.abandon(keys);
        self.files.into_iter().map(|(entry, _)| entry).collect()
    }

    pub(super) fn inputs(&self) -> Vec<InputRange> {
        let range = |(entry, records): &(FileEntry, u64)| InputRange {
            input: entry.path.clone(),
            from: 0,
            to: *records as i64,
        };
        self.files.iter().map(range).collect()
    }

    pub(super) fn landed(
        &self,
        dataset: &DatasetName,
        run: RunId,
        landed_at: DateTime<Utc>,
    ) -> Vec<LandedFile> {
        let landed = |(entry, records): &(FileEntry, u64)| LandedFile {
            dataset: dataset.clone(),
            path: entry.path.clone(),
            etag: entry.etag.clone(),
            bytes: entry.bytes,
            records: *records,
            run,
            landed_at,
        };
        self.files.iter().map(landed).collect()
    }
}

impl FileLander {
    /// Reads a file into the flush: while one part is written, the next is decoded.
    pub(super) async fn stage(
        &mut self,
        flush: &mut FileFlush,
        entry: &FileEntry,
        files_total: u64,
        files_left: u64,
    ) -> Result<Staged, LandError> {
        let mut progress = FileProgress {
            path: entry.path.clone(),
            bytes: entry.bytes,
            bytes_read: 0,
            records: 0,
            files_done: files_total - files_left,
            files_total,
        };
        let mut pending: Option<Computing<Examined>> = None;
        if entry.bytes > 0 {
            let mut reader = match self.source.read(entry).await {
                Ok(reader) => reader,
                Err(error) => return self.unreadable(error, &mut progress),
            };
            loop {
                let part = match reader.next().await {
                    Ok(Some(part)) => part,
                    Ok(None) => break,
                    Err(error) => return self.unreadable(error, &mut progress),
                };
                let parcel = parcel(entry, part, &mut progress);
                let contract = self.contract.clone();
                let decoding = compute(move || examine(&contract, parcel));
                if let Some(decoded) = pending.replace(decoding) {
                    self.take(flush, decoded).await?;
                }
                self.report(&progress);
            }
        }
        if let Some(decoded) = pending {
            self.take(flush, decoded).await?;
        }
        if progress.records == 0 {
            let message = || format!("`{}` has no records; its producer may have failed", entry.path);
            flush.staging.findings.add_count(FindingKind::EmptyFile, &entry.path, 1, message);
        }
        flush.files.push((entry.clone(), progress.records));
        progress.bytes_read = entry.bytes;
        progress.files_done += 1;
        self.report(&progress);
        tracing::info!(dataset = %self.tables.dataset.name, path = entry.path, records = progress.records, "a file was read");
        Ok(Staged::Whole)
    }

    async fn take(&mut self, flush: &mut FileFlush, decoded: Computing<Examined>) -> Result<(), LandError> {
        let examined = decoded.await.map_err(|error| failed(&error))?;
        let comparing = compute(move || examined.compare());
        let compared = comparing.await.map_err(|error| failed(&error))?;
        if compared.watched.held {
            let news = compared.is_news();
            let Compared { parcel, watched, .. } = compared;
            let first = watched.found.first().map(|found| (found.first.clone(), found.message.clone()));
            if news {
                let (dataset, now) = (&self.tables.dataset, self.context.clock.now());
                let found = watched.found.into_iter().map(|found| found.finding(dataset, None, now));
                self.context.ledger.record_findings(&found.collect::<Vec<_>>()).await?;
            }
            let (position, message) = first.unwrap_or_else(|| (parcel.position(0), String::new()));
            return Err(LandError::Drift { dataset: self.tables.dataset.name.clone(), position, message });
        }
        flush.staging.take(&self.context, &self.tables, compared, &mut self.keys).await
    }

    fn report(&self, progress: &FileProgress) {
        if let Some(call) = &self.progress {
            call.call(progress);
        }
    }

    fn unreadable(
        &self,
        error: flowline_source::files::FileError,
        progress: &mut FileProgress,
    ) -> Result<Staged, LandError> {
        let spoilt = progress.records > 0;
        progress.files_done += 1;
        self.report(progress);
        if let flowline_source::files::FileError::Storage(flowline_lake::LakeError::NotFound { .. }) = &error
            && !spoilt
        {
            return Ok(Staged::Gone);
        }
        match about_the_file(&error) {
            Some(reason) => Ok(Staged::Unreadable { reason, spoilt }),
            None => Err(error.into()),
        }
    }
}

fn parcel(entry: &FileEntry, part: FilePart, progress: &mut FileProgress) -> Parcel {
    let path: Arc<str> = Arc::from(entry.path.as_str());
    let received_at = entry.modified.timestamp_micros();
    let records = match part.content {
        FileContent::Records(received) => {
            Records::Batch { batch: received.into_batch(None, received_at, None), skip: 0 }
        }
        FileContent::Rows(rows) => Records::Rows(rows),
    };
    let piece = Piece { first_offset: progress.records, received_at, trace: None, records };
    progress.records += piece.count();
    progress.bytes_read += part.bytes;
    Parcel {
        source: Arc::clone(&path),
        input: path,
        partition: 0,
        tombstones: 0,
        pieces: vec![piece],
        schemas: FoundSchemas::default(),
    }
}
