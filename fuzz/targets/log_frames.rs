//! Any bytes as the files of a log: opening and reading may refuse, must not panic, and must never return what was
//! not appended.
#![no_main]

use std::sync::Arc;

use flowline_base::system_clock;
use flowline_log::{EventLog, PartitionId, SegmentLog, SegmentLogOptions, StdDisk};
use flowline_model::{DatasetName, LogSettings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = DatasetName::new("fuzz", "log").expect("a name");
    let partition = folder.path().join("fuzz.log").join("0");
    std::fs::create_dir_all(&partition).expect("a folder");
    std::fs::write(partition.join(format!("{:020}.log", 0)), bytes).expect("a file");
    let options = SegmentLogOptions {
        dir: folder.path().to_owned(),
        settings: LogSettings::default(),
        clock: system_clock(),
        disk: Arc::new(StdDisk),
    };
    let Ok(log) = SegmentLog::open(options) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let id = PartitionId::new(source, 0);
        if let Ok(slab) = log.read(&id, 0, 1 << 20).await {
            assert!(slab.frames.iter().all(|frame| frame.batch.record(usize::MAX).is_none()));
        }
        let _ = log.close().await;
    });
});
