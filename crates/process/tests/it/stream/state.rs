//! What streams keep between runs: how much of it is read and written, and what they do when memory does not hold it.

use std::collections::BTreeMap;
use std::time::Duration;

use datafusion::prelude::SessionContext;
use flowline_model::{Dataset, LatePolicy, StreamStatus};
use flowline_process::{stream_statuses, sweep_stream_state};

use crate::support::world::World;
use crate::support::{landed, limited, stream};

const SQL: &str = "select customer, window_end, count(*) as n, sum(amount) as total, min(amount) as least, max(amount) as most from table(hop(table shop.sales, descriptor(ts), interval '1' minute, interval '3' minute)) group by customer, window_start, window_end";

fn datasets(sql: &str, limit: u64) -> Vec<Dataset> {
    vec![
        landed("shop.sales", "customer string, amount int64!, ts timestamp"),
        limited(stream("shop.out", Duration::from_secs(3_600), LatePolicy::Drop, sql), limit),
    ]
}

/// Lands rows of this many customers over ten minutes, from this minute on.
async fn land_many(world: &World, customers: u64, minute: u64) {
    let sql = format!(
        "select 'customer ' || value as customer, value % 97 as amount, arrow_cast(1735725600000 + {minute} * 60000 + (value % 600) * 1000, 'Timestamp(ms, \"UTC\")') as ts from range({customers}) as t(value)"
    );
    let rows = SessionContext::new().sql(&sql).await.unwrap().collect().await.unwrap();
    let rows = arrow::compute::concat_batches(&rows[0].schema(), &rows).unwrap();
    world.land_batch("shop.sales", 0, rows).await;
}

async fn status(world: &World) -> StreamStatus {
    stream_statuses(&world.plan, &world.lake, None, world.now()).await.unwrap().remove(0)
}

/// The files of the state and their sizes.
fn files(world: &World) -> BTreeMap<String, u64> {
    let folder = world.folder.path().join("lake/trusted/shop/out/_state");
    let Ok(found) = std::fs::read_dir(folder) else { return BTreeMap::new() };
    let files = found.map(|file| file.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().len())).collect()
}

async fn differing(world: &World, sql: &str) -> String {
    let differing = format!(
        "select (select count(*) from (select * from shop.out except select * from ({sql}) q)) as a, (select count(*) from (select * from ({sql}) q except select * from shop.out)) as b, (select count(*) from shop.out) - (select count(*) from ({sql}) q) as c"
    );
    world.rows(&differing).await
}

#[tokio::test]
async fn state_that_is_larger_than_its_limit_goes_to_disk() {
    const LIMIT: u64 = 4 << 20;
    let mut world = World::new(datasets(SQL, LIMIT)).await;
    for minute in 0..5 {
        land_many(&world, 60_000, minute).await;
        let run = world.run("shop.out").await;
        assert_eq!(run.counts.written, 0, "everything is still open");
        if minute == 2 {
            world = world.restarted(None).await;
        }
    }
    let open = status(&world).await;
    assert!(open.state_bytes > 4 * LIMIT, "{} bytes are kept", open.state_bytes);
    let answer = format!("select * from ({SQL}) where window_end < timestamp '2025-02-01T00:00:00Z'");
    world.land("shop.sales", "('last', 1, timestamp '2025-02-01T01:00:00Z')").await;
    world.run("shop.out").await;
    assert_eq!(differing(&world, &answer).await, "0 0 0");
    let closed = status(&world).await;
    assert!(closed.spilled > LIMIT, "{} bytes were spilled", closed.spilled);
    assert!(closed.memory <= LIMIT * 3 / 2, "{} bytes were held at once", closed.memory);
    assert!(closed.state_rows <= 1, "{} are kept of what is closed", closed.state_rows);
}

/// How many rows of one answer the other one lacks, and the other way round.
async fn differences(world: &World, one: &str, other: &str) -> String {
    let sql = format!(
        "select (select count(*) from (select * from ({one}) a except select * from ({other}) b)) as x, (select count(*) from (select * from ({other}) b except select * from ({one}) a)) as y"
    );
    world.rows(&sql).await
}

#[tokio::test]
async fn what_is_open_can_be_looked_at() {
    const COLUMNS: &str = "customer, window_end, n, total, least, most";
    let mut world = World::new(datasets(SQL, 4 << 20)).await;
    let looked = format!("select {COLUMNS} from system.state('shop.out') as s");
    assert_eq!(
        world.rows(&format!("select count(*) as n from ({looked})")).await,
        "0",
        "before its first run"
    );
    land_many(&world, 60_000, 0).await;
    world.run("shop.out").await;
    land_many(&world, 60_000, 3).await;
    world.run("shop.out").await;
    world = world.restarted(None).await;
    let batch = format!("select {COLUMNS} from ({SQL})");
    assert_eq!(differences(&world, &looked, &batch).await, "0 0", "all of it is open");
    // The watermark is an hour behind the newest row.
    world.land("shop.sales", "('last', 1, timestamp '2025-01-01T11:06:30Z')").await;
    world.run("shop.out").await;
    let open = format!("{batch} where window_end > timestamp '2025-01-01T10:06:30Z'");
    assert_eq!(differences(&world, &looked, &open).await, "0 0", "what is closed is in the table");
    let one = "select n, total from system.state('shop.out') where customer = 'last' order by window_end";
    assert_eq!(world.rows(one).await, "1 1\n1 1\n1 1");
}

#[tokio::test]
async fn what_holds_no_state_says_why() {
    let mut datasets = datasets(SQL, 4 << 20);
    let plain = "select customer, amount, ts from shop.sales";
    let row_by_row = stream("shop.plain", Duration::from_secs(1), LatePolicy::Drop, plain);
    datasets.push(row_by_row);
    let world = World::new(datasets).await;
    land_many(&world, 10, 0).await;
    for (call, why) in [
        ("'shop.sales'", "`shop.sales` holds no state to look at: it is no stream"),
        ("'shop.plain'", "its rows are written as they come"),
        ("'shop.out', 2", "it has 1 aggregates of windows, and no number 2"),
        ("'shop.outt'", "there is no dataset `shop.outt`"),
    ] {
        let said = world.query(&format!("select * from system.state({call})")).await.unwrap_err().to_string();
        assert!(said.contains(why), "{call}: {said}");
    }
}

#[tokio::test]
async fn a_run_leaves_bins_alone_that_it_does_not_touch() {
    let world = World::new(datasets(SQL, 64 << 20)).await;
    land_many(&world, 50_000, 0).await;
    world.run("shop.out").await;
    let before = files(&world);
    let bytes: u64 = before.values().sum();
    assert!(bytes > 1 << 20, "{before:?}");
    for number in 0..20 {
        world
            .land("shop.sales", &format!("('x', {number}, timestamp '2025-01-01T10:00:{number:02}Z')"))
            .await;
        world.run("shop.out").await;
        let mut added = files(&world);
        added.retain(|name, _| !before.contains_key(name));
        assert!(added.values().sum::<u64>() < 64 << 10, "{added:?}");
        assert!(added.len() < 8, "{added:?}");
        assert!(before.keys().all(|name| files(&world).contains_key(name)), "what was kept is as it was");
    }
    let answer = format!("select * from ({SQL}) where window_end < timestamp '2025-02-01T00:00:00Z'");
    world.land("shop.sales", "('last', 1, timestamp '2025-02-01T01:00:00Z')").await;
    world.run("shop.out").await;
    assert_eq!(differing(&world, &answer).await, "0 0 0");
    world.land("shop.sales", "('last', 2, timestamp '2025-02-01T01:00:01Z')").await;
    world.run("shop.out").await;
    assert!(files(&world).keys().all(|name| !before.contains_key(name)), "closed bins are deleted");
}

#[tokio::test]
async fn what_cannot_go_to_disk_is_told_before_memory_is_used_up() {
    let sql = "select window_end, array_agg(customer) as customers from tumble(table shop.sales, descriptor(ts), interval '1' hour) group by window_start, window_end";
    let world = World::new(datasets(sql, 1 << 20)).await;
    land_many(&world, 200_000, 0).await;
    // A group of an open window may be kept in parts; when it closes, it is needed as a whole.
    world.land("shop.sales", "('last', 2, timestamp '2025-02-01T01:00:01Z')").await;
    let run = world.try_run("shop.out").await;
    let error = run.error.expect("one group is larger than the limit");
    assert!(error.message.contains("needs more than the 1MiB that it may hold"), "{}", error.message);
    assert!(error.message.contains("raise `state.limit`"), "{}", error.message);
    assert_eq!(run.attempts, 1, "trying again changes nothing");
}

#[tokio::test]
async fn a_join_without_a_bound_stays_within_its_memory() {
    let sql =
        "select s.customer, s.amount, p.note from shop.sales s join shop.notes p on s.customer = p.customer";
    let mut datasets = datasets(sql, 1 << 20);
    datasets.push(landed("shop.notes", "customer string, note string, ts timestamp"));
    let world = World::new(datasets).await;
    let notes = "select 'customer ' || value as customer, 'a note of some length about customer ' || value as note, arrow_cast(1735725600000, 'Timestamp(ms, \"UTC\")') as ts from range(60000) as t(value)";
    let rows = SessionContext::new().sql(notes).await.unwrap().collect().await.unwrap();
    let rows = arrow::compute::concat_batches(&rows[0].schema(), &rows).unwrap();
    world.land_batch("shop.notes", 0, rows).await;
    world.run("shop.out").await;
    for minute in 0..3 {
        land_many(&world, 60_000, minute).await;
        world.run("shop.out").await;
        let status = status(&world).await;
        assert!(status.memory <= 3 << 19, "{} bytes were held at once", status.memory);
    }
    assert_eq!(differing(&world, sql).await, "0 0 0");
    assert!(status(&world).await.spilled > 0, "sorted sides are on disk");
}

#[tokio::test]
async fn files_of_runs_that_were_cut_off_are_swept_away() {
    let world = World::new(datasets(SQL, 64 << 20)).await;
    land_many(&world, 1_000, 0).await;
    world.run("shop.out").await;
    let kept = files(&world);
    let folder = world.folder.path().join("lake/trusted/shop/out/_state");
    let (old, coming) = (format!("{:020}-orphan.arrow", 0), format!("{:020}-coming.arrow", 1));
    for name in [&old, &coming] {
        std::fs::write(folder.join(name), b"of a run that was cut off").unwrap();
    }
    assert_eq!(sweep_stream_state(&world.lake, world.dataset("shop.out")).await.unwrap(), 1);
    let mut expected: Vec<String> = kept.into_keys().collect();
    expected.push(coming);
    expected.sort();
    assert_eq!(files(&world).into_keys().collect::<Vec<_>>(), expected, "a commit may be under way");
    assert_eq!(sweep_stream_state(&world.lake, world.dataset("shop.sales")).await.unwrap(), 0);
}
