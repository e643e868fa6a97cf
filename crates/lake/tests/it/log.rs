//! The log: checkpoints, cleanup, damage, tables of others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flowline_base::{Classify, ErrorKind};
use flowline_lake::faults::{Fault, FaultInjector, StoreOp};
use flowline_lake::{LakeError, ReadAt, StagedFiles, Table};
use parking_lot::Mutex;

use crate::support::{Place, ids, machine_time, moving, orders, rows, select, spec, stage};

fn log_files(place: &Place, table: &Table, ending: &str) -> Vec<String> {
    let folder = place.path(table).join("_delta_log");
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

async fn appends(table: &Table, first: i64, count: i64) {
    for step in first..first + count {
        let staged = stage(table, &rows(step..step + 1)).await.unwrap();
        let from = (step > 0).then_some(step);
        table.commit(moving(staged, "a", from, step + 1, &format!("run-{step}"))).await.unwrap();
        table.settle().await;
    }
}

#[tokio::test]
async fn checkpoints_follow_commits_and_keep_positions() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&["country"])).await.unwrap();
    appends(&table, 0, 25).await;
    assert_eq!(log_files(&place, &table, ".checkpoint.parquet"), ["00000000000000000019.checkpoint.parquet"]);
    // Everything before the checkpoint may be gone.
    for version in 0..19 {
        std::fs::remove_file(place.path(&table).join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    let restarted = orders(&place.again(None).await);
    assert_eq!(restarted.transaction_version("a").await.unwrap(), Some(25));
    assert_eq!(restarted.version(), Some(25));
    assert_eq!(ids(&restarted).await, (0..25).collect::<Vec<_>>());
    assert_eq!(
        select(&restarted, ReadAt::Version(19), "select count(*) from t where country is null").await,
        ["4"]
    );
    assert_eq!(restarted.read(ReadAt::Version(5)).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(restarted.moved_last(|app_id| app_id == "b"), None);
    assert_eq!(restarted.moved_last(|_| true).as_deref(), Some("a"));
    // A zombie that expects an older position is stopped, also by what only the checkpoint knows.
    let error = restarted.commit(moving(StagedFiles::none(), "a", Some(7), 8, "zombie")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    appends(&restarted, 25, 2).await;
}

/// Counts what is asked of the storage, and lets it be.
#[derive(Debug, Default)]
struct Counting(Mutex<HashMap<StoreOp, u32>>);

impl FaultInjector for Counting {
    fn fault(&self, op: StoreOp, _: &str) -> Option<Fault> {
        *self.0.lock().entry(op).or_default() += 1;
        None
    }
}

impl Counting {
    /// Reads, writes and listings since the last call.
    fn take(&self) -> [u32; 3] {
        let counts = std::mem::take(&mut *self.0.lock());
        [StoreOp::Get, StoreOp::Put, StoreOp::List].map(|op| counts.get(&op).copied().unwrap_or_default())
    }
}

#[tokio::test]
async fn what_a_commit_costs_does_not_grow_with_history() {
    let place = Place::new().await;
    let counts = Arc::new(Counting::default());
    let lake = place.again(Some(counts.clone())).await;
    let table = orders(&lake);
    table.ensure(&spec(&[])).await.unwrap();
    let mut costs = Vec::new();
    for step in 0..45 {
        let staged = stage(&table, &rows(step..step + 1)).await.unwrap();
        counts.take();
        let from = (step > 0).then_some(step);
        table.commit(moving(staged, "a", from, step + 1, &format!("run-{step}"))).await.unwrap();
        costs.push(counts.take());
        table.settle().await;
    }
    assert!(costs.iter().all(|cost| *cost == [0, 1, 0]), "one write, nothing else: {costs:?}");
    counts.take();
    table.refresh().await.unwrap();
    assert_eq!(counts.take(), [1, 0, 0], "one read when nothing is new");
    // Opening reads the hint, the checkpoint and the commits since, and lists nothing.
    let again = orders(&place.again(Some(counts.clone())).await);
    again.refresh().await.unwrap();
    let [reads, writes, lists] = counts.take();
    assert!(reads < 60 && writes == 0 && lists == 0, "{reads} {writes} {lists}");
}

#[tokio::test]
async fn a_lost_or_damaged_hint_only_costs_a_listing() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    appends(&table, 0, 22).await;
    let hint = place.path(&table).join("_delta_log/_last_checkpoint");
    std::fs::write(&hint, "{").unwrap();
    assert_eq!(ids(&orders(&place.again(None).await)).await.len(), 22);
    std::fs::write(&hint, r#"{"version":18,"size":1}"#).unwrap();
    assert_eq!(ids(&orders(&place.again(None).await)).await.len(), 22);
    std::fs::remove_file(&hint).unwrap();
    std::fs::remove_file(place.path(&table).join(format!("_delta_log/{:020}.json", 0))).unwrap();
    assert_eq!(ids(&orders(&place.again(None).await)).await.len(), 22);
}

#[tokio::test]
async fn old_commits_are_cleaned_up_and_positions_stay() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    let now = machine_time().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    place.clock.advance(now - Duration::from_secs(crate::support::START as u64));
    table.ensure(&spec(&[])).await.unwrap();
    appends(&table, 0, 25).await;
    for name in log_files(&place, &table, "") {
        let file = std::fs::File::options()
            .append(true)
            .open(place.path(&table).join("_delta_log").join(name))
            .unwrap();
        file.set_modified(machine_time() - Duration::from_secs(8 * 24 * 3600)).unwrap();
    }
    // A new process: its first checkpoint looks for what is old.
    let restarted = orders(&place.again(None).await);
    appends(&restarted, 25, 20).await;
    let left = log_files(&place, &table, ".json");
    assert_eq!(left.first().unwrap(), "00000000000000000019.json");
    let again = orders(&place.again(None).await);
    assert_eq!(again.transaction_version("a").await.unwrap(), Some(45));
    assert_eq!(ids(&again).await, (0..45).collect::<Vec<_>>());
}

#[tokio::test]
async fn damage_is_named() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    appends(&table, 0, 4).await;
    let commit = |version: i64| place.path(&table).join(format!("_delta_log/{version:020}.json"));
    let whole = std::fs::read(commit(2)).unwrap();
    std::fs::write(commit(2), &whole[..whole.len() / 2]).unwrap();
    let error = orders(&place.again(None).await).refresh().await.unwrap_err();
    assert!(
        matches!(&error, LakeError::Corrupt { path, .. } if path.ends_with("00000000000000000002.json")),
        "{error}"
    );
    std::fs::remove_file(commit(2)).unwrap();
    let error = orders(&place.again(None).await).refresh().await.unwrap_err();
    assert!(
        matches!(&error, LakeError::Corrupt { path, .. } if path.ends_with("00000000000000000002.json")),
        "{error}"
    );
    std::fs::write(commit(2), &whole).unwrap();
    // A data file that is gone, and one whose bytes changed.
    let changes = table.changes(None, 4).await.unwrap();
    let data = place.path(&table).join(&changes.appended[1].path);
    std::fs::remove_file(&data).unwrap();
    let options = flowline_lake::CompactOptions { files_min: 2, ..flowline_lake::CompactOptions::default() };
    let error = table.compact(options.clone()).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Corrupt && error.to_string().contains(&changes.appended[1].path),
        "{error}"
    );
    std::fs::write(&data, vec![0; changes.appended[1].bytes as usize]).unwrap();
    let error = table.compact(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn tables_that_ask_for_more_are_refused() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    let first = place.path(&table).join(format!("_delta_log/{:020}.json", 0));
    let lines = std::fs::read_to_string(&first).unwrap();
    for (from, to, named) in [
        (
            r#""minReaderVersion":1,"minWriterVersion":2"#,
            r#""minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]"#,
            "deletionVectors",
        ),
        (r#""minReaderVersion":1,"#, r#""minReaderVersion":4,"#, "protocol version 4"),
        (
            r#""delta.checkpointInterval":"20""#,
            r#""delta.setTransactionRetentionDuration":"interval 1 day""#,
            "setTransactionRetentionDuration",
        ),
        (
            r#""delta.checkpointInterval":"20""#,
            r#""delta.enableChangeDataFeed":"true""#,
            "enableChangeDataFeed",
        ),
        (
            r#""delta.checkpointInterval":"20""#,
            r#""delta.constraints.positive":"id > 0""#,
            "delta.constraints.positive",
        ),
    ] {
        assert!(lines.contains(from), "{lines}");
        std::fs::write(&first, lines.replace(from, to)).unwrap();
        let error = orders(&place.again(None).await).refresh().await.unwrap_err();
        assert!(
            matches!(&error, LakeError::Unsupported { .. }) && error.to_string().contains(named),
            "{error}"
        );
    }
    // Actions and fields that are not known are passed over.
    std::fs::write(&first, lines + "{\"sidecar\":{\"path\":\"x\"}}\n{\"domainMetadata\":{\"domain\":\"d\",\"configuration\":\"\",\"removed\":false}}\n").unwrap();
    assert_eq!(orders(&place.again(None).await).refresh().await.unwrap(), Some(0));
}
