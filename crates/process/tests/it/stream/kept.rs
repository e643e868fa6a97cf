//! Streams over rows that stay in the log: what they write, and what they refuse when the log has let go.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use flowline_model::{Dataset, Keep, LatePolicy};
use tokio_util::sync::CancellationToken;

use crate::support::kept_log::KeptLog;
use crate::support::world::World;
use crate::support::{landed, stream};

const COPY: &str = "select region, amount, ts from shop.sales where amount > 1";
const MINUTES: &str = "select window_start, window_end, region, count(*) as n, sum(amount) as total from table(tumble(table shop.sales, descriptor(ts), interval '1' minute)) group by window_start, window_end, region";

fn sales(keep: Keep) -> Dataset {
    let mut dataset = landed("shop.sales", "region string, amount bigint, ts timestamp");
    dataset.landing.keep = keep;
    dataset
}

fn datasets(keep: Keep, copy: &str, minutes: &str) -> Vec<Dataset> {
    let streams = [("shop.copy", copy), ("shop.minutes", minutes)];
    let streams = streams.map(|(name, sql)| stream(name, Duration::from_secs(30), LatePolicy::Drop, sql));
    [sales(keep)].into_iter().chain(streams).collect()
}

/// The seconds behind the start of the world's time.
fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_760_000_000 + seconds, 0).unwrap()
}

fn values(rows: &[(&str, i64, i64)]) -> String {
    let row = |(region, amount, seconds): &(&str, i64, i64)| {
        format!("('{region}', {amount}, timestamp '{}')", time(*seconds).format("%Y-%m-%dT%H:%M:%S"))
    };
    rows.iter().map(row).collect::<Vec<_>>().join(", ")
}

/// What is landed one after the other, a minute apart; the last two close what was before, one for each partition.
fn landings() -> Vec<String> {
    let each = |step: i64| {
        let at = step * 60;
        values(&[("x", step, at), ("y", 2 * step, at + 20), ("x", 3, at + 50), ("z", 4, at - 15)])
    };
    let last = || values(&[("x", 9, 3_600)]);
    (0..5).map(each).chain([last(), last()]).collect()
}

struct Kept {
    world: World,
    log: Arc<KeptLog>,
}

impl Kept {
    /// Everything is landed, and read by the streams step by step.
    async fn new() -> Self {
        let world = World::new(datasets(Keep::Log, COPY, MINUTES)).await;
        let kept = Self { world, log: Arc::default() };
        for (number, landing) in landings().iter().enumerate() {
            kept.land(number as i32 % 2, landing).await;
            kept.run().await;
        }
        kept
    }

    async fn land(&self, partition: i32, values: &str) {
        self.world.clock.advance(Duration::from_secs(59));
        self.world.land_kept(&self.log, "shop.sales", partition, values).await;
    }

    async fn run(&self) {
        self.world.run("shop.copy").await;
        self.world.run("shop.minutes").await;
    }

    async fn restarted(self, copy: &str, minutes: &str) -> Self {
        let world = self.world.restarted(Some(datasets(Keep::Log, copy, minutes))).await;
        world.table("shop.sales").rows_lie_in(Arc::clone(&self.log) as _);
        Self { world, log: self.log }
    }

    async fn written(&self) -> [String; 2] {
        [
            self.world.rows("select * from shop.copy").await,
            self.world.rows("select * from shop.minutes").await,
        ]
    }

    /// The error of a run that must fail.
    async fn refused(&self, hop: &str) -> String {
        self.world.try_run(hop).await.error.expect("it is refused").message
    }
}

#[tokio::test]
async fn streams_write_what_they_would_write_of_a_table() {
    let kept = Kept::new().await;
    let of_table = World::new(datasets(Keep::Table, COPY, MINUTES)).await;
    for landing in landings() {
        of_table.land("shop.sales", &landing).await;
    }
    let copied = of_table.rows(COPY).await;
    assert_eq!(copied.lines().count(), 19);
    let [copy, minutes] = kept.written().await;
    assert_eq!(copy, copied);
    // Every window is closed but the last one, and nothing came too late.
    let closed = of_table.rows(&format!("select * from ({MINUTES}) where total <> 18")).await;
    assert_eq!(minutes, closed);
    // The same by queries on what the log still has, also as of a version.
    assert_eq!(kept.world.rows(COPY).await, copied);
    assert_eq!(kept.world.rows("select count(*) from shop.sales").await, "22");
    // Once more over everything.
    let kept = kept
        .restarted(&format!("{COPY} and amount < 1000"), &format!("{MINUTES} having count(*) < 99"))
        .await;
    kept.run().await;
    assert_eq!(kept.written().await, [copied, closed]);
}

#[tokio::test]
async fn a_stream_that_is_behind_reads_each_row_once_and_fails_where_the_log_let_go() {
    let world = World::new(datasets(Keep::Log, COPY, MINUTES)).await;
    let kept = Kept { world, log: Arc::default() };
    let landings = landings();
    kept.land(0, &landings[0]).await;
    kept.run().await;
    for landing in &landings[1..4] {
        kept.land(0, landing).await;
    }
    kept.run().await;
    let before = kept.written().await;
    assert_eq!(before[0], kept.world.rows(COPY).await);
    kept.land(0, &landings[4]).await;
    kept.log.let_go(5);
    for hop in ["shop.copy", "shop.minutes"] {
        let refused = kept.refused(hop).await;
        assert!(refused.contains("holds nothing of it any more"), "{refused}");
    }
    assert_eq!(kept.written().await, before);
}

#[tokio::test]
async fn what_would_be_computed_again_is_refused_when_the_log_has_let_go() {
    let kept = Kept::new().await;
    let before = kept.written().await;
    kept.log.let_go(2);
    // What goes on needs none of it.
    kept.run().await;
    let kept = kept.restarted(&COPY.replace("> 1", "> 2"), &MINUTES.replace("sum(", "max(")).await;
    for hop in ["shop.copy", "shop.minutes"] {
        let refused = kept.refused(hop).await;
        assert!(
            refused.contains("would be computed again (its definition changed), and the log of `shop.sales`"),
            "{refused}"
        );
    }
    assert_eq!(kept.written().await, before, "as it was");
    // Under another name it begins with what is there.
    let kept = kept.restarted(COPY, MINUTES).await;
    kept.run().await;
    assert_eq!(kept.written().await, before);
}

#[tokio::test]
async fn a_replay_goes_as_far_back_as_the_log() {
    let kept = Kept::new().await;
    let before = kept.written().await;
    kept.log.let_go(1);
    let replay = async |hop: &str, seconds: i64| {
        let stop = CancellationToken::new();
        kept.world.clock.advance(Duration::from_secs(1));
        kept.world.transformer.replay(&hop.parse().unwrap(), time(seconds), &stop).await.unwrap()
    };
    let run = replay("shop.minutes", 60).await;
    let refused = run.error.expect("it is refused").message;
    assert!(refused.contains("(it is replayed"), "{refused}");
    assert!(refused.contains("what was received since 2025-10-09T"), "{refused}");
    let run = replay("shop.copy", 3_000).await;
    assert!(
        run.error.expect("rows are not told apart by their time").message.contains("would be computed again")
    );
    assert_eq!(kept.written().await, before);
    let run = replay("shop.minutes", 250).await;
    assert_eq!(run.error, None);
    assert!(run.counts.written > 0);
    assert_eq!(kept.written().await, before);
}

#[tokio::test]
async fn open_windows_that_are_lost_are_computed_again_or_refused_and_never_half() {
    for gone in [false, true] {
        let world = World::new(datasets(Keep::Log, COPY, MINUTES)).await;
        let kept = Kept { world, log: Arc::default() };
        kept.land(0, &values(&[("x", 1, 5), ("y", 2, 10)])).await;
        kept.run().await;
        kept.land(0, &values(&[("x", 3, 12)])).await;
        kept.run().await;
        let folder = kept.world.folder.path().join("lake/trusted/shop/minutes/_state");
        for file in std::fs::read_dir(&folder).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        kept.land(0, &values(&[("x", 5, 14)])).await;
        kept.land(0, &values(&[("x", 9, 3_600)])).await;
        if gone {
            kept.log.let_go(1);
            let refused = kept.refused("shop.minutes").await;
            assert!(refused.contains("what it kept of open windows is lost"), "{refused}");
            assert_eq!(kept.world.rows("select count(*) from shop.minutes").await, "0");
            continue;
        }
        kept.world.run("shop.minutes").await;
        let totals = kept.world.rows("select region, n, total from shop.minutes").await;
        assert_eq!(totals, "x 3 9\ny 1 2");
    }
}
