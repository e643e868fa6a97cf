//! A flipped bit anywhere in any file is named, or harmless; never is it returned, never does it lose what follows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowline_log::{Appended, Batch, EventLog, Frame, LogError, SegmentLog, contract};

use crate::sim_disk::SimDisk;
use crate::support::{reopen_on, settings};

const SEGMENT_BYTES: u64 = 420;

type Files = BTreeMap<PathBuf, Vec<u8>>;

async fn open(files: &Files) -> Arc<SegmentLog> {
    reopen_on(Arc::new(SimDisk::with_files(files)), Path::new("/log"), settings(SEGMENT_BYTES)).await
}

/// A log of some segments, each with a few frames: its files, its frames, and the answers to their keys.
async fn small_log() -> (Files, Vec<Frame>, Vec<(Batch, Appended)>) {
    let disk = SimDisk::default();
    let log = reopen_on(Arc::new(disk.clone()), Path::new("/log"), settings(SEGMENT_BYTES)).await;
    let mut keys = Vec::new();
    for number in 0..8 {
        let record = format!("record {number}");
        let batch = contract::batch(&vec![record.as_str(); 1 + number % 3]);
        let key = (number % 2 == 0).then(|| format!("key {number}"));
        let batch = Batch { idempotency_key: key.clone(), ..batch };
        let answer = log.append(&contract::partition(0), batch.clone()).await.unwrap();
        keys.extend(key.map(|_| (batch, Appended { repeated: true, ..answer })));
    }
    log.release(&contract::partition(0), 3).await.unwrap();
    let mut frames = Vec::new();
    let mut next = 0;
    while next < log.bounds(&contract::partition(0)).await.unwrap().end {
        let slab = log.read(&contract::partition(0), next, 1).await.unwrap();
        frames.extend(slab.frames);
        next = slab.next;
    }
    log.close().await.unwrap();
    let files = disk.files();
    let kinds =
        |extension| files.keys().filter(|path| path.extension().is_some_and(|e| e == extension)).count();
    assert!(kinds("log") >= 3 && kinds("idx") >= 2, "{:?}", files.keys());
    (files, frames, keys)
}

/// What is wrong with the log, by the offset from which on it was asked for.
async fn unreadable(log: &SegmentLog, frames: &[Frame]) -> Vec<(u64, LogError)> {
    let mut errors = Vec::new();
    for frame in frames {
        match log.read(&contract::partition(0), frame.first_offset, 1).await {
            Ok(slab) => {
                assert_eq!(slab.frames, std::slice::from_ref(frame), "what is returned is what was written")
            }
            Err(error) => errors.push((frame.first_offset, error)),
        }
    }
    errors
}

fn assert_names(error: &LogError, damaged: &Path) {
    match error {
        LogError::Corrupt { path, .. } => assert_eq!(path, damaged),
        _ => panic!("{error}"),
    }
}

#[tokio::test]
async fn every_single_bit() {
    let (files, frames, keys) = small_log().await;
    let mut named = 0;
    for (path, content) in &files {
        for bit in 0..content.len() * 8 {
            let mut damaged = files.clone();
            damaged.get_mut(path).unwrap()[bit / 8] ^= 1 << (bit % 8);
            let log = open(&damaged).await;
            let errors = unreadable(&log, &frames).await;
            errors.iter().for_each(|(_, error)| assert_names(error, path));
            let released = log.status()[0].released;
            assert!(released <= 3, "released {released}");
            let failed = log.status()[0].failed.clone();
            assert!(failed.is_some() || errors.len() <= frames.len() / 2, "what lies elsewhere can be read");
            for (batch, answer) in &keys {
                let key = batch.idempotency_key.as_deref().unwrap();
                match log.append(&contract::partition(0), batch.clone()).await {
                    Ok(repeated) => assert_eq!(repeated, *answer, "{}: bit {bit}, {key}", path.display()),
                    Err(error) => assert_names(&error, path),
                }
            }
            named += usize::from(!errors.is_empty());
        }
    }
    assert!(named > 1_000, "flipped bits in records are named: {named}");
}

#[tokio::test]
async fn without_the_mark_only_the_last_group_can_be_taken_for_torn() {
    let (mut files, frames, _) = small_log().await;
    files.retain(|path, _| path.extension().is_some_and(|extension| extension == "log"));
    let last = frames.last().unwrap().first_offset;
    for (path, content) in &files {
        for byte in 0..content.len() {
            let mut damaged = files.clone();
            damaged.get_mut(path).unwrap()[byte] ^= 0x10;
            let log = open(&damaged).await;
            let end = log.bounds(&contract::partition(0)).await.unwrap().end;
            for frame in &frames {
                match log.read(&contract::partition(0), frame.first_offset, 1).await {
                    Ok(slab) if slab.frames.is_empty() => {
                        assert!(frame.first_offset == last && end == last, "{}: {byte}", path.display());
                    }
                    Ok(slab) => assert_eq!(slab.frames, std::slice::from_ref(frame)),
                    Err(error) => assert_names(&error, path),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_missing_segment_is_named() {
    let (files, frames, _) = small_log().await;
    let segments: Vec<_> = files.keys().filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    for (number, path) in segments.iter().enumerate() {
        let mut damaged = files.clone();
        damaged.remove(*path);
        let log = open(&damaged).await;
        let refused = log.append(&contract::partition(0), contract::batch(&["x"])).await;
        if number + 1 == segments.len() {
            assert_names(&refused.unwrap_err(), path);
        }
        for frame in &frames {
            match log.read(&contract::partition(0), frame.first_offset, 1).await {
                Ok(slab) => assert_eq!(slab.frames, std::slice::from_ref(frame)),
                // The oldest one could have been deleted by retention.
                Err(LogError::Gone { .. }) => assert_eq!(number, 0),
                Err(LogError::Corrupt { position, .. }) => assert!(number > 0 && position < SEGMENT_BYTES),
                Err(error) => panic!("{error}"),
            }
        }
    }
}
