//! The past, by version and by time.

use std::time::Duration;

use flowline_base::{Classify, ErrorKind};
use flowline_lake::{ReadAt, TableId};

use crate::support::{Place, append, orders, select, spec, time};

#[tokio::test]
async fn versions_and_times_are_found() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    for step in 1..=25 {
        place.clock.advance(Duration::from_secs(60));
        append(&table, step..step + 1).await;
        table.settle().await;
    }
    for lake in [place.lake.clone(), place.again(None).await] {
        let table = orders(&lake);
        let count = |at| select(&table, at, "select count(*) from t");
        for (at, expected) in [
            (ReadAt::Latest, "25"),
            (ReadAt::Version(0), "0"),
            (ReadAt::Version(7), "7"),
            (ReadAt::Version(19), "19"),
            (ReadAt::Version(25), "25"),
            (ReadAt::Time(time(0)), "0"),
            (ReadAt::Time(time(60)), "1"),
            (ReadAt::Time(time(60 * 12 + 59)), "12"),
            (ReadAt::Time(time(60 * 24 + 59)), "24"),
            (ReadAt::Time(time(1_000_000)), "25"),
        ] {
            assert_eq!(count(at).await, [expected], "{at:?}");
        }
        let read = table.read(ReadAt::Time(time(61))).await.unwrap();
        assert_eq!((read.version, read.committed_at), (1, time(60)));
        for at in [ReadAt::Time(time(-1)), ReadAt::Version(26), ReadAt::Version(-1)] {
            assert_eq!(table.read(at).await.unwrap_err().kind(), ErrorKind::NotFound, "{at:?}");
        }
    }
}

#[tokio::test]
async fn a_table_that_is_not_there_is_not_found() {
    let place = Place::new().await;
    let table = place.lake.table(TableId::quarantine("a.b".parse().unwrap()));
    assert_eq!(table.read(ReadAt::Latest).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(table.stats().await.unwrap_err().to_string(), "the table does not exist in `quarantine/a/b`");
    assert_eq!(table.refresh().await.unwrap(), None);
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_disorder_versions() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    place.clock.advance(Duration::from_secs(100));
    table.ensure(&spec(&[])).await.unwrap();
    append(&table, 0..1).await;
    // Another machine, whose clock is behind.
    let late = Place::new().await;
    let settings = flowline_lake::LakeSettings {
        clock: late.clock.clone(),
        ..flowline_lake::LakeSettings::new(place.dir.path().to_str().unwrap())
    };
    let other = orders(&flowline_lake::Lake::open(settings).await.unwrap());
    assert_eq!(append(&other, 1..2).await.committed_at, time(100));
    assert_eq!(table.read(ReadAt::Time(time(100))).await.unwrap().version, 2);
}
