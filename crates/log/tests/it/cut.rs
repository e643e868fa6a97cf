//! A copy of the log's folder that ends anywhere, with garbage behind it or not, opens as if the last append that it
//! holds whole had been the last one.

use std::fs;
use std::path::{Path, PathBuf};

use flowline_log::{Batch, EventLog, LogError, contract};
use proptest::prelude::*;

use crate::support::{open, reopen, settings};

const PARTITION: &str = "contract.events/0";
const SEGMENT: &str = "contract.events/0/00000000000000000000.log";

/// A log of one segment, and for each append the length of the file behind it.
async fn written(dir: &Path) -> Vec<u64> {
    let log = open(dir, settings(1 << 20)).unwrap();
    let mut ends = Vec::new();
    for number in 0..12 {
        let record = "x".repeat(number * 11);
        let batch = contract::batch(&[&record, "{}"]);
        log.append(&contract::partition(0), batch).await.unwrap();
        ends.push(fs::metadata(dir.join(SEGMENT)).unwrap().len());
    }
    ends
}

/// Copies the log up to byte `cut` of its segment, and writes garbage behind it.
fn copy(from: &Path, to: &Path, cut: usize, garbage: &[u8], with_mark: bool) -> PathBuf {
    fs::create_dir_all(to.join(PARTITION)).unwrap();
    let mut content = fs::read(from.join(SEGMENT)).unwrap();
    content.truncate(cut);
    content.extend_from_slice(garbage);
    fs::write(to.join(SEGMENT), content).unwrap();
    if with_mark {
        fs::copy(from.join(PARTITION).join("mark"), to.join(PARTITION).join("mark")).unwrap();
    }
    to.join(SEGMENT)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_opens_at_the_last_whole_append(
        share in 0.0..=1.0f64,
        garbage in prop_oneof![
            Just(Vec::new()),
            proptest::collection::vec(any::<u8>(), 0..300),
            (1..300usize).prop_map(|bytes| vec![0; bytes]),
        ],
    ) {
        let root = tempfile::tempdir().unwrap();
        let (original, cut_dir, marked_dir) = (root.path().join("a"), root.path().join("b"), root.path().join("c"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let ends = written(&original).await;
            let last_end = *ends.last().unwrap();
            let cut = (last_end as f64 * share) as u64;
            if garbage.first().is_some_and(|byte| fs::read(original.join(SEGMENT)).unwrap().get(cut as usize) == Some(byte)) {
                // Then it is not garbage.
                return;
            }
            let whole = ends.iter().filter(|end| **end <= cut).count() as u64;

            let path = copy(&original, &cut_dir, cut as usize, &garbage, false);
            if cut > 0 && cut < 64 && cut as usize + garbage.len() > 64 {
                // Frames may have followed a header that is damaged: nothing is thrown away.
                let log = open(&cut_dir, settings(1 << 20)).unwrap();
                assert!(log.status()[0].failed.is_some());
                return;
            }
            for _ in 0..2 {
                let log = reopen(&cut_dir, settings(1 << 20)).await;
                if log.status().first().is_some_and(|status| status.failed.is_some()) {
                    assert!(cut == 0, "only a file of garbage is damaged");
                    return;
                }
                assert_eq!(contract::records(&*log, &contract::partition(0), 0).await.len() as u64, whole * 2);
            }
            let log = reopen(&cut_dir, settings(1 << 20)).await;
            let appended = log.append(&contract::partition(0), contract::batch(&["new"])).await.unwrap();
            assert_eq!(appended.first, whole * 2);
            assert_eq!(contract::records(&*log, &contract::partition(0), 0).await.len() as u64, whole * 2 + 1);
            drop(path);

            // The mark knows better: what was acknowledged is missing.
            let path = copy(&original, &marked_dir, cut as usize, &garbage, true);
            let log = open(&marked_dir, settings(1 << 20)).unwrap();
            let refused = log.append(&contract::partition(0), contract::batch(&["new"])).await;
            match refused {
                Ok(appended) => {
                    // Nothing is missing, or garbage has filled up the last frame, which is found when it is read.
                    assert_eq!(appended.first, 24);
                    let read = log.read(&contract::partition(0), whole * 2, 1).await;
                    assert!(cut >= last_end || matches!(read, Err(LogError::Corrupt { .. })), "{read:?}");
                }
                Err(LogError::Corrupt { path: named, position, .. }) => {
                    // A frame that garbage fills up is passed over here, and found when it is read.
                    assert!(cut < last_end && named == path && position <= cut + garbage.len() as u64);
                    let read = log.read(&contract::partition(0), 0, 1 << 20).await;
                    assert!(whole == 0 || read.unwrap().next == whole * 2);
                    let end = log.read(&contract::partition(0), whole * 2, 1).await;
                    assert!(matches!(end, Err(LogError::Corrupt { .. })), "{end:?}");
                }
                Err(error) => panic!("{error}"),
            }
        });
    }
}

#[tokio::test]
async fn frames_in_a_payload_are_not_frames() {
    let root = tempfile::tempdir().unwrap();
    let (original, cut_dir) = (root.path().join("a"), root.path().join("b"));
    written(&original).await;
    let log = reopen(&original, settings(1 << 20)).await;
    let copied = fs::read(original.join(SEGMENT)).unwrap();
    let before = copied.len();
    // Somebody sends the log itself as a record.
    let spans = vec![(0, copied.len() as u32)];
    let batch = Batch { payload: copied.into(), spans, ..contract::batch(&["x"]) };
    log.append(&contract::partition(0), batch).await.unwrap();
    drop(log);
    let whole = fs::metadata(original.join(SEGMENT)).unwrap().len() as usize;
    let path = copy(&original, &cut_dir, whole - 1, &[], false);
    let log = reopen(&cut_dir, settings(1 << 20)).await;
    assert_eq!(contract::records(&*log, &contract::partition(0), 0).await.len(), 24);
    assert_eq!(fs::metadata(path).unwrap().len() as usize, before, "it is a torn tail");
}
