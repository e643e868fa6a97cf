//! Rows that stay in the log: taken from memory or decoded again, they are those that a table would have.

use std::sync::Arc;

use datafusion::prelude::SessionContext;
use flowline_lake::{ReadAt, Table, TableId};
use flowline_land::{KeptInLog, LandError, ReplaySelection, read_kept, replay_quarantine};
use flowline_model::{Counts, Dataset, Keep, Origin};

use crate::world::{World, orders};

/// All columns but the stamps of the run that made the row.
const COLUMNS: &str = "select id, amount, ts, _extra, _received_at, _source, _partition, _offset, _trace from t order by _partition, _offset";
const IDS: &str = "select id from t order by id";

fn in_log(dataset: Dataset) -> Dataset {
    kept_in(dataset, Keep::Log)
}

fn kept_in(mut dataset: Dataset, keep: Keep) -> Dataset {
    dataset.landing.keep = keep;
    dataset
}

async fn table(world: &World) -> Table {
    let table = world.context.lake.table(TableId::of(&world.dataset));
    table.refresh().await.unwrap();
    table
}

fn reader(world: &World) -> Arc<KeptInLog> {
    read_kept(&world.context, &world.dataset, None).unwrap()
}

/// Everything is opened anew, and what stays in the log can be read, by this contract.
async fn restarted(world: &mut World, dataset: Dataset) {
    world.restart(None).await;
    world.dataset = Arc::new(dataset);
    reader(world);
}

/// What a query over the rows after a version answers, one column as text, or the error.
async fn changed(world: &World, after: i64, sql: &str) -> Result<Vec<String>, String> {
    let table = table(world).await;
    let changes = table.changes(Some(after), table.version().unwrap()).await.unwrap();
    let session = SessionContext::new();
    session.register_table("t", table.provider_of(&changes).await.unwrap()).unwrap();
    let batches = session.sql(sql).await.unwrap().collect().await.map_err(|error| error.to_string())?;
    let rows = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    let cells = rows.lines().filter(|line| line.starts_with('|')).skip(1);
    Ok(cells.map(|line| line.trim_matches('|').trim().to_owned()).collect())
}

/// Records of several formats, some of which are rejected.
async fn fill(world: &World) {
    world
        .post_lines(&[
            r#"{"id":"a","amount":"1.5","ts":"2026-01-05T07:00:00Z","more":[1,2]}"#,
            r#"{"id":"b","amount":"x"}"#,
            "broken",
            r#"{"amount":"2"}"#,
        ])
        .await;
    world.post("text/csv", "id,amount\nc,3\nd,y\ne,4\n").await;
    world.land().await;
    world.advance(std::time::Duration::from_secs(5));
    world.post_lines(&[r#"{"id":"f"}"#, r#"{"id":"g","amount":"z"}"#]).await;
    world.land().await;
}

fn as_text(dataset: &Dataset) -> Dataset {
    let mut dataset = dataset.clone();
    dataset.columns[1].field = Some("amount_was".into());
    dataset
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_from_memory_and_from_the_log_are_those_of_a_table() {
    let in_table = World::new(orders()).await;
    let mut world = World::new(in_log(orders())).await;
    fill(&in_table).await;
    fill(&world).await;
    let expected = in_table.query(COLUMNS).await;
    assert_eq!(expected.len(), 4);
    let rejected = "select _record, _reason, _column, _offset from q order by _offset";
    let quarantined = in_table.query(rejected).await;
    assert_eq!(quarantined.len(), 5);
    assert_eq!(world.query(COLUMNS).await, expected, "from memory");
    let (counts, expected_counts) = (world.totals().await, in_table.totals().await);
    assert_eq!(Counts { bytes_written: 0, ..expected_counts }, counts);
    assert_eq!(table(&world).await.stats().await.unwrap().files, 0);
    let dataset = world.dataset.as_ref().clone();
    restarted(&mut world, dataset).await;
    assert_eq!(world.query(COLUMNS).await, expected, "from the log");
    assert_eq!(world.query(rejected).await, quarantined);
    assert_eq!(world.query("select count(*) from t").await, ["4"]);
    assert_eq!(world.query("select max(_offset), count(amount) from t where id > 'a'").await, ["7|2"]);
    // Commit by commit, with the run that landed them.
    assert_eq!(changed(&world, 0, IDS).await.unwrap(), ["a", "c", "e", "f"]);
    assert_eq!(changed(&world, 1, "select count(distinct _batch) from t").await.unwrap(), ["1"]);
    assert_eq!(changed(&world, 1, IDS).await.unwrap(), ["f"]);
    // What comes after it goes on where it was.
    world.post_lines(&[r#"{"id":"h"}"#]).await;
    world.land().await;
    assert_eq!(world.query(IDS).await, ["a", "c", "e", "f", "h"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_rejected_is_no_row_by_a_contract_that_it_fits_and_one_when_it_is_replayed() {
    let mut world = World::new(in_log(orders())).await;
    fill(&world).await;
    let looser = as_text(&world.dataset);
    restarted(&mut world, looser).await;
    let landed = ["a", "c", "e", "f"];
    assert_eq!(world.query(IDS).await, landed, "it is in quarantine");
    assert_eq!(changed(&world, 0, IDS).await.unwrap(), landed);
    let run = replay_quarantine(&world.context, &world.dataset, &ReplaySelection::default()).await.unwrap();
    assert_eq!((run.counts.written, run.counts.quarantined), (3, 2));
    let all = ["a", "b", "c", "d", "e", "f", "g"];
    assert_eq!(world.query(IDS).await, all, "once, and from the file of the replay");
    assert_eq!(changed(&world, 0, IDS).await.unwrap(), all);
    assert_eq!(world.query("select count(*) from q").await, ["2"]);
    let dataset = world.dataset.as_ref().clone();
    restarted(&mut world, dataset).await;
    world.land().await;
    assert_eq!(world.query(IDS).await, all);
    assert_eq!(changed(&world, 0, IDS).await.unwrap(), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_landed_and_fits_no_more_is_missed_by_none_who_has_not_read_it() {
    let mut world = World::new(in_log(orders())).await;
    world.post_lines(&[r#"{"id":"a","amount":"1"}"#, r#"{"id":"b"}"#]).await;
    world.land().await;
    let mut stricter = world.dataset.as_ref().clone();
    stricter.columns[1].required = true;
    restarted(&mut world, stricter).await;
    let failed = changed(&world, 0, IDS).await.unwrap_err();
    assert!(failed.contains("the record log/0@1 was landed by an earlier contract"), "{failed}");
    restarted(&mut world, in_log(orders())).await;
    assert_eq!(changed(&world, 0, IDS).await.unwrap(), ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_there_once_when_rows_are_kept_elsewhere_than_before() {
    let mut world = World::new(orders()).await;
    let mut version = 0;
    for (round, keep) in [Keep::Table, Keep::Log, Keep::Table, Keep::Log].into_iter().enumerate() {
        restarted(&mut world, kept_in(orders(), keep)).await;
        if round > 0 {
            // Nobody has read what was landed before: it can still be.
            let before = format!("{}{}", round - 1, "b");
            assert_eq!(changed(&world, version, IDS).await.unwrap().last(), Some(&before), "{round}");
        }
        version = table(&world).await.version().unwrap_or(0);
        for part in ["a", "b"] {
            let line = format!(r#"{{"id":"{round}{part}"}}"#);
            world.post_lines(&[line.as_str()]).await;
            world.land().await;
        }
        let once = world.query("select count(*) = count(distinct id) from t").await;
        assert_eq!(once, ["true"], "{round}");
        let of_round = [format!("{round}a"), format!("{round}b")];
        assert_eq!(changed(&world, version, IDS).await.unwrap(), of_round, "{round}");
    }
    // Those of the first time in the log are in no file: a stream that had read them keeps them.
    assert_eq!(world.query(IDS).await, ["0a", "0b", "2a", "2b", "3a", "3b"]);
    assert_eq!(changed(&world, 0, IDS).await.unwrap(), ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"]);
    assert_eq!(world.totals().await.written, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_kept_each_for_itself() {
    let mut dataset = in_log(orders());
    let Origin::Http(origin) = &mut dataset.origin else { unreachable!() };
    (origin.partitions, origin.partition_key) = (2, vec!["id".into()]);
    let mut world = World::new(dataset.clone()).await;
    for round in 0..3 {
        let lines: Vec<String> =
            (0..20).map(|number| format!(r#"{{"id":"{:02}"}}"#, round * 20 + number)).collect();
        world.post_lines(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
        world.land().await;
    }
    let counted = "select count(*), count(distinct id), count(distinct _partition) from t";
    assert_eq!(world.query(counted).await, ["60|60|2"]);
    restarted(&mut world, dataset).await;
    assert_eq!(world.query(counted).await, ["60|60|2"]);
    let part = world
        .context
        .lake
        .table(TableId::of(&world.dataset))
        .only("_partition", datafusion::scalar::ScalarValue::Int32(Some(1)));
    let session = SessionContext::new();
    session.register_table("t", part.provider(ReadAt::Latest).await.unwrap()).unwrap();
    let rows = session.sql("select id from t where _partition = 0").await.unwrap().collect().await.unwrap();
    assert_eq!(rows.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_let_go_of_by_those_who_have_read_and_not_by_landing() {
    let mut world = World::new(in_log(orders())).await;
    let waiting = |world: &World| world.context.log.status()[0].waiting_bytes;
    world.post_lines(&[r#"{"id":"a"}"#]).await;
    world.land().await;
    let one = waiting(&world);
    assert!(one > 0);
    world.post_lines(&[r#"{"id":"b"}"#, "broken"]).await;
    world.land().await;
    assert!(waiting(&world) > one);
    assert_eq!(world.context.log.status()[0].released, 0);
    // Nor by what a node does when it starts.
    let dataset = world.dataset.as_ref().clone();
    restarted(&mut world, dataset).await;
    flowline_land::release_landed(&world.context, &world.dataset).await.unwrap();
    world.land().await;
    assert_eq!(world.context.log.status()[0].released, 0);
    let kept = reader(&world);
    kept.release("log/0", 1).await.unwrap();
    assert_eq!((world.context.log.status()[0].released, world.query(IDS).await.len()), (1, 2));
    kept.release("log/0", 3).await.unwrap();
    assert_eq!(waiting(&world), 0);
    // Another log that had the name is not meant.
    kept.release("log/6f/0", 99).await.unwrap();
    assert_eq!(world.context.log.status()[0].released, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_all_rejected_move_the_position_and_name_no_rows() {
    let mut world = World::new(in_log(orders())).await;
    world.post_lines(&["broken", "as well"]).await;
    world.land().await;
    let table = table(&world).await;
    let entry = table.history(None, 1).await.unwrap().remove(0);
    assert_eq!((entry.rows_added, entry.data_changed), (0, false));
    assert_eq!(table.positions(entry.version).await.unwrap(), [("shop.orders/log/0".to_owned(), 2)]);
    let dataset = world.dataset.as_ref().clone();
    restarted(&mut world, dataset).await;
    assert_eq!(world.query("select count(*) from t").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_took_the_place_of_ours_is_noticed_and_gives_no_offset_twice() {
    let mut world = World::new(in_log(orders())).await;
    world.post_lines(&[r#"{"id":"a"}"#, r#"{"id":"b"}"#]).await;
    world.land().await;
    let dataset = world.dataset.as_ref().clone();
    // Its disk was replaced.
    world.context.log.close().await.unwrap();
    std::fs::remove_dir_all(world.folder.path().join("log")).unwrap();
    restarted(&mut world, dataset.clone()).await;
    flowline_land::release_landed(&world.context, &world.dataset).await.unwrap();
    world.post_lines(&[r#"{"id":"c"}"#]).await;
    world.land().await;
    assert_eq!(world.query("select id, _offset from t").await, ["c|2"]);
    assert!(table(&world).await.kept_elsewhere().await.unwrap().unwrap().gone);
    let failed = changed(&world, 0, IDS).await.unwrap_err();
    assert!(failed.contains("offsets 0 to 2 of `log/0`"), "{failed}");
    // And one that has other records in their place.
    world.context.log.close().await.unwrap();
    std::fs::remove_dir_all(world.folder.path().join("log")).unwrap();
    restarted(&mut world, dataset).await;
    world.post_lines(&[r#"{"id":"x"}"#]).await;
    let refused = flowline_land::release_landed(&world.context, &world.dataset).await.unwrap_err();
    assert!(matches!(refused, LandError::LogReplaced { end: 1, landed: 3, .. }), "{refused}");
    let refused = world.lander().await.land_available().await.unwrap_err();
    assert!(matches!(refused, LandError::LogReplaced { .. }), "{refused}");
}
