//! Joining files while others write; vacuum.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flowline_lake::{CommitMode, CompactOptions, LakeError, ReadAt, TableCommit, VACUUM_KEEP};

use crate::support::{Place, append, ids, machine_time, orders, rows, select, spec, stage};

fn few() -> CompactOptions {
    CompactOptions { files_min: 2, ..CompactOptions::default() }
}

#[tokio::test]
async fn appends_and_compaction_go_on_side_by_side() {
    let place = Arc::new(Place::new().await);
    orders(&place.lake).ensure(&spec(&["country"])).await.unwrap();
    let other = orders(&place.again(None).await);
    let appender = {
        let place = Arc::clone(&place);
        tokio::spawn(async move {
            let table = orders(&place.lake);
            for step in 0..20 {
                append(&table, step * 4..step * 4 + 4).await;
            }
        })
    };
    let mut joined = 0;
    while !appender.is_finished() {
        if other.exists().await.unwrap() {
            joined += other.compact(few()).await.unwrap().map_or(0, |committed| committed.files_removed);
        }
        tokio::task::yield_now().await;
    }
    appender.await.unwrap();
    let table = orders(&place.lake);
    while let Some(committed) = table.compact(few()).await.unwrap() {
        joined += committed.files_removed;
    }
    assert!(joined > 0);
    assert_eq!(ids(&table).await, (0..80).collect::<Vec<_>>());
    assert_eq!(table.stats().await.unwrap().files, 4);
}

#[tokio::test]
async fn compaction_gives_way() {
    let place = Place::new().await;
    let (table, other) = (orders(&place.lake), orders(&place.again(None).await));
    table.ensure(&spec(&[])).await.unwrap();
    for step in 0..4 {
        append(&table, step..step + 1).await;
    }
    other.refresh().await.unwrap();
    // The rows are replaced while the other joins their files.
    let joining = other.compact(few());
    let staged = stage(&table, &rows(9..10)).await.unwrap();
    let replacing = table.commit(TableCommit { mode: CommitMode::Overwrite, ..TableCommit::append(staged) });
    let (joined, replaced) = tokio::join!(joining, replacing);
    replaced.unwrap();
    joined.unwrap();
    assert_eq!(ids(&table).await, [9]);
}

#[tokio::test]
async fn a_call_stays_within_its_bytes_and_like_is_joined_with_like() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&["country"])).await.unwrap();
    for step in 0..3 {
        append(&table, step * 4..step * 4 + 4).await;
    }
    let committed = table.compact(CompactOptions { bytes_max: 1, ..few() }).await.unwrap().unwrap();
    assert_eq!((committed.files, committed.files_removed), (1, 3), "one partition at a time");
    assert_eq!(
        table.compact(CompactOptions::default()).await.unwrap(),
        None,
        "nothing is worth joining by eights"
    );
    assert_eq!(select(&table, ReadAt::Version(3), "select count(*) from t").await, ["12"]);
}

/// Makes every file of the table's folder look this old.
fn age(path: &std::path::Path, by: Duration) {
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            age(&entry.path(), by);
        } else {
            let file = std::fs::File::options().append(true).open(entry.path()).unwrap();
            file.set_modified(machine_time() - by).unwrap();
        }
    }
}

fn parquet_files(path: &std::path::Path) -> usize {
    std::fs::read_dir(path)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "parquet"))
        .count()
}

#[tokio::test]
async fn vacuum_takes_only_what_no_one_needs() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    // The files' times are the machine's: so is the lake's here.
    place.clock.advance(
        (machine_time().duration_since(SystemTime::UNIX_EPOCH).unwrap())
            - Duration::from_secs(crate::support::START as u64),
    );
    table.ensure(&spec(&[])).await.unwrap();
    for step in 0..3 {
        append(&table, step..step + 1).await;
    }
    let uncommitted = stage(&table, &rows(50..51)).await.unwrap();
    table.discard(stage(&table, &rows(60..61)).await.unwrap()).await.unwrap();
    table.compact(few()).await.unwrap().unwrap();
    let folder = place.path(&table);
    assert_eq!(parquet_files(&folder), 5);
    assert!(matches!(table.vacuum(Duration::from_secs(60)).await.unwrap_err(), LakeError::Input { .. }));
    assert_eq!(table.vacuum(VACUUM_KEEP).await.unwrap(), 0, "everything is young");
    age(&folder, Duration::from_secs(8 * 24 * 3600));
    assert_eq!(
        table.vacuum(VACUUM_KEEP).await.unwrap(),
        1,
        "the staged file that no one committed for a week"
    );
    drop(uncommitted);
    assert_eq!(parquet_files(&folder), 4, "what was joined is kept for travel in time");
    assert_eq!(select(&table, ReadAt::Version(2), "select count(*) from t").await, ["2"]);
    // A week after they were joined.
    place.clock.advance(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(orders(&place.again(None).await).vacuum(VACUUM_KEEP).await.unwrap(), 3);
    assert_eq!(parquet_files(&folder), 1);
    assert_eq!(ids(&table).await, [0, 1, 2]);
}
