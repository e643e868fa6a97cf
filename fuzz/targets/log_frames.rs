//! Any bytes as the files of a log: opening and reading may refuse, must not panic, and must never return what was
//! not appended.
//!
//! The first byte says what the others are: the file as it is, or frames whose checksums are put right (no random input
//! would ever come past these), in the open segment or in a sealed one.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use flowline_base::system_clock;
use flowline_log::{EventLog, LogError, PartitionId, SegmentLog, SegmentLogOptions, StdDisk, contract, fuzzing};
use flowline_model::{DatasetName, LogSettings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let id = PartitionId::new(DatasetName::new("fuzz", "log").expect("a name"), 0);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let partition = folder.path().join("fuzz.log").join("0");
    std::fs::create_dir_all(&partition).expect("a folder");
    let segment = |first: u64| partition.join(format!("{first:020}.log"));
    match kind % 3 {
        0 => std::fs::write(segment(0), bytes).expect("a file"),
        1 => std::fs::write(segment(0), fuzzing::segment_of(bytes, &id)).expect("a file"),
        _ => {
            std::fs::write(segment(0), fuzzing::segment_of(bytes, &id)).expect("a file");
            std::fs::write(segment(1 << 40), []).expect("a file");
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(use_log(folder.path(), &id));
});

async fn use_log(dir: &Path, id: &PartitionId) {
    let settings = LogSettings { bytes_max: u64::MAX, ..LogSettings::default() };
    let options =
        SegmentLogOptions { dir: dir.to_owned(), settings, clock: system_clock(), disk: Arc::new(StdDisk) };
    let Ok(log) = SegmentLog::open(options) else { return };
    let bounds = log.bounds(id).await.expect("a log has bounds");
    assert!(bounds.start <= bounds.end);
    let mut next = bounds.start;
    while let Ok(slab) = log.read(id, next, 1 << 20).await {
        for frame in &slab.frames {
            assert!(frame.batch.record(usize::MAX).is_none());
            assert!((0..frame.batch.spans.len()).all(|index| frame.batch.record(index).is_some()));
        }
        if slab.frames.is_empty() {
            break;
        }
        assert!(slab.next > next);
        next = slab.next;
    }
    let _ = log.offset_at(id, 0).await;
    match log.append(id, contract::keyed("key", &["x"])).await {
        Ok(appended) => assert!(appended.repeated || appended.first == bounds.end),
        Err(error) => assert!(matches!(error, LogError::Corrupt { .. } | LogError::Stopped { .. }), "{error}"),
    }
    log.close().await.expect("it closes");
}
