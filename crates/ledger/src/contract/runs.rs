//! Runs, totals, positions, commits and standings.

use std::sync::Arc;

use flowline_base::RunId;
use flowline_model::{Balance, Counts, InputRange, Outcome, Position, Run, RunKind, Totals};
use tokio::task::JoinSet;

use super::samples::{at, cancelled, dataset, failed, landing, running};
use crate::{LandedFile, Ledger, RunFilter, Standing};

const FINE: &str = "the ledger answers";

async fn record(ledger: &Arc<dyn Ledger>, run: &Run) -> bool {
    ledger.record_run(run, &[], &[]).await.expect(FINE)
}

async fn totals_of(ledger: &Arc<dyn Ledger>, name: &str) -> Option<Totals> {
    let name = dataset(name);
    ledger.totals().await.expect(FINE).into_iter().find(|totals| totals.hop == name)
}

async fn positions_of(ledger: &Arc<dyn Ledger>, name: &str) -> Vec<Position> {
    ledger.positions(Some(&dataset(name))).await.expect(FINE)
}

async fn standing_of(ledger: &Arc<dyn Ledger>, name: &str, kind: RunKind) -> Option<Standing> {
    let name = dataset(name);
    let standings = ledger.standings().await.expect(FINE);
    standings.into_iter().find(|standing| standing.hop == name && standing.kind == kind)
}

pub async fn an_empty_ledger_answers_empty(ledger: Arc<dyn Ledger>) {
    assert_eq!(ledger.deployment().await.expect(FINE), None);
    assert_eq!(ledger.catalog().await.expect(FINE), []);
    assert_eq!(ledger.runs(&RunFilter::default()).await.expect(FINE), []);
    assert_eq!(ledger.latest_runs().await.expect(FINE), []);
    assert_eq!(ledger.attempts(None).await.expect(FINE), []);
    assert_eq!(ledger.positions(None).await.expect(FINE), []);
    assert_eq!(ledger.totals().await.expect(FINE), []);
    assert_eq!(ledger.commits(None, 10).await.expect(FINE), []);
    assert_eq!(ledger.latest_commits().await.expect(FINE), []);
    assert_eq!(ledger.landed_files(&dataset("orders")).await.expect(FINE), []);
    assert_eq!(ledger.close_abandoned_runs(at(0)).await.expect(FINE), 0);
    assert_eq!(ledger.prune(at(0)).await.expect(FINE), 0);
}

pub async fn a_run_reads_back_as_it_was_recorded(ledger: Arc<dyn Ledger>) {
    let mut full = landing("orders", 0, 100, 1);
    full.counts = Counts {
        read: 100,
        written: 90,
        quarantined: 4,
        duplicate: 3,
        late: 2,
        filtered: 1,
        reshaped: true,
        bytes_read: u64::from(u32::MAX) + 1,
        bytes_written: 7,
    };
    let bare = Run { trace_id: None, ..running(landing("events", 0, 1, 2)) };
    let given_up = failed(landing("events", 1, 2, 3));
    assert!(record(&ledger, &full).await);
    ledger.start_run(&bare).await.expect(FINE);
    assert!(record(&ledger, &given_up).await);
    assert_eq!(ledger.runs(&RunFilter::default()).await.expect(FINE), [given_up, bare, full]);
}

pub async fn a_run_is_recorded_once(ledger: Arc<dyn Ledger>) {
    let run = landing("orders", 0, 10, 0);
    ledger.start_run(&running(run.clone())).await.expect(FINE);
    ledger.start_run(&running(run.clone())).await.expect(FINE);
    assert!(record(&ledger, &run).await);
    assert!(!record(&ledger, &run).await);
    // What ended does not go back to running, and does not fail afterwards.
    ledger.start_run(&running(run.clone())).await.expect(FINE);
    assert!(!record(&ledger, &failed(run.clone())).await);
    assert_eq!(ledger.runs(&RunFilter::default()).await.expect(FINE), [run]);
    let totals = totals_of(&ledger, "orders").await.expect("the run is in them");
    assert_eq!((totals.runs, totals.counts.read), (1, 10));
}

pub async fn a_commit_is_recorded_once_whichever_run_offers_it(ledger: Arc<dyn Ledger>) {
    let run = landing("orders", 0, 10, 5);
    let other = Run { id: RunId::generate(), ..run.clone() };
    assert!(record(&ledger, &run).await);
    assert!(!record(&ledger, &other).await);
    assert_eq!(totals_of(&ledger, "orders").await.expect("the run is in them").runs, 1);
    // The same version of another dataset is another commit.
    assert!(record(&ledger, &landing("events", 0, 10, 5)).await);
}

pub async fn a_run_that_has_not_ended_is_refused(ledger: Arc<dyn Ledger>) {
    let run = running(landing("orders", 0, 10, 0));
    let error = ledger.record_run(&run, &[], &[]).await.expect_err("it has not ended");
    assert!(error.to_string().contains("has not ended"), "{error}");
    assert_eq!(ledger.runs(&RunFilter::default()).await.expect(FINE), []);
}

pub async fn totals_are_the_sum_of_the_runs(ledger: Arc<dyn Ledger>) {
    let mut sum = Counts::default();
    for version in 0..5 {
        let mut run = landing("orders", version * 10, version * 10 + 10, version);
        run.counts.written = 7;
        run.counts.duplicate = 2;
        run.counts.quarantined = 1;
        sum.add(&run.counts);
        assert!(record(&ledger, &run).await);
    }
    let totals = totals_of(&ledger, "orders").await.expect("runs are in them");
    assert_eq!((totals.counts, totals.runs, totals.updated_at), (sum, 5, at(5)));
    assert_eq!(
        (totals.counts.balance(), totals.gap(), totals.counted_once().quarantined),
        (Balance::Balanced, 0, 5)
    );
}

pub async fn positions_reach_from_the_first_run_to_the_last(ledger: Arc<dyn Ledger>) {
    let mut first = landing("orders", 5, 10, 0);
    first.inputs.push(InputRange { input: "log/1".to_owned(), from: 0, to: 3 });
    record(&ledger, &first).await;
    record(&ledger, &landing("orders", 10, 25, 1)).await;
    let mut transform = landing("daily", 0, 0, 2);
    transform.kind = RunKind::Transform;
    transform.inputs = vec![InputRange { input: "shop.orders".to_owned(), from: -1, to: 1 }];
    record(&ledger, &transform).await;
    let position = |name: &str, input: &str, first, next, covered, moved| Position {
        hop: dataset(name),
        input: input.to_owned(),
        first,
        next,
        covered,
        moved_at: at(moved),
    };
    let orders = [position("orders", "log/0", 5, 25, 20, 2), position("orders", "log/1", 0, 3, 3, 1)];
    let daily = position("daily", "shop.orders", -1, 1, 2, 3);
    assert_eq!(positions_of(&ledger, "orders").await, orders);
    assert_eq!(ledger.positions(None).await.expect(FINE), [vec![daily], orders.to_vec()].concat());
}

pub async fn a_skipped_offset_is_a_gap(ledger: Arc<dyn Ledger>) {
    record(&ledger, &landing("orders", 0, 10, 0)).await;
    record(&ledger, &landing("orders", 13, 20, 1)).await;
    let positions = positions_of(&ledger, "orders").await;
    assert_eq!(positions.iter().map(Position::gap).collect::<Vec<_>>(), [3]);
    let totals = totals_of(&ledger, "orders").await.expect("runs are in them");
    assert_eq!((totals.gap(), totals.counts.balance()), (3, Balance::Balanced));
}

pub async fn records_that_were_read_and_not_counted_are_a_gap(ledger: Arc<dyn Ledger>) {
    let mut run = landing("orders", 0, 10, 0);
    run.counts.read = 8;
    run.counts.written = 8;
    record(&ledger, &run).await;
    let totals = totals_of(&ledger, "orders").await.expect("the run is in them");
    assert_eq!((totals.log_span, totals.read_from_log, totals.gap()), (10, 8, 2));
    assert_eq!(positions_of(&ledger, "orders").await[0].gap(), 0);
}

pub async fn failed_runs_move_nothing(ledger: Arc<dyn Ledger>) {
    assert!(record(&ledger, &failed(landing("orders", 0, 10, 0))).await);
    assert_eq!(positions_of(&ledger, "orders").await, []);
    assert_eq!(totals_of(&ledger, "orders").await, None);
    assert_eq!(ledger.latest_commits().await.expect(FINE), []);
}

pub async fn compactions_add_nothing(ledger: Arc<dyn Ledger>) {
    record(&ledger, &landing("orders", 0, 10, 0)).await;
    let before = (totals_of(&ledger, "orders").await, positions_of(&ledger, "orders").await);
    let mut compaction = landing("orders", 0, 10, 1);
    compaction.kind = RunKind::Compact;
    assert!(record(&ledger, &compaction).await);
    assert_eq!((totals_of(&ledger, "orders").await, positions_of(&ledger, "orders").await), before);
    // The rows are as new as they were; the table has a newer version.
    let newest = ledger.latest_commits().await.expect(FINE);
    assert_eq!(newest.iter().map(|commit| commit.version).collect::<Vec<_>>(), [0]);
    assert_eq!(ledger.commits(Some(&dataset("orders")), 1).await.expect(FINE)[0].version, 1);
}

pub async fn replays_take_out_of_quarantine_and_move_no_position(ledger: Arc<dyn Ledger>) {
    let mut run = landing("orders", 0, 10, 0);
    run.counts.written = 4;
    run.counts.quarantined = 6;
    record(&ledger, &run).await;
    let before = positions_of(&ledger, "orders").await;
    let mut replay = landing("orders", 0, 6, 1);
    replay.kind = RunKind::Replay;
    replay.counts = Counts { read: 6, written: 5, quarantined: 1, ..Counts::default() };
    record(&ledger, &replay).await;
    assert_eq!(positions_of(&ledger, "orders").await, before);
    let totals = totals_of(&ledger, "orders").await.expect("runs are in them");
    assert_eq!((totals.counts.read, totals.counts.written, totals.counts.quarantined), (16, 9, 7));
    assert_eq!((totals.replayed, totals.counted_once().quarantined, totals.gap()), (6, 1, 0));
    assert_eq!(totals.counts.balance(), Balance::Balanced);
}

pub async fn a_failed_run_that_committed_after_all_is_put_right(ledger: Arc<dyn Ledger>) {
    let run = landing("orders", 0, 10, 0);
    assert!(record(&ledger, &failed(run.clone())).await);
    assert!(record(&ledger, &run).await);
    assert!(!record(&ledger, &run).await);
    assert_eq!(ledger.runs(&RunFilter::default()).await.expect(FINE), [run]);
    let standing = standing_of(&ledger, "orders", RunKind::Land).await.expect("it ran");
    assert_eq!((standing.failures, standing.failing_since), (0, None));
    assert_eq!(totals_of(&ledger, "orders").await.expect("the run is in them").counts.read, 10);
}

pub async fn files_are_landed_once_and_have_no_position(ledger: Arc<dyn Ledger>) {
    let mut run = landing("airports", 0, 3, 0);
    run.inputs[0].input = "2026/airports.csv".to_owned();
    let file = LandedFile {
        dataset: dataset("airports"),
        path: "2026/airports.csv".to_owned(),
        etag: "\"a1\"".to_owned(),
        bytes: 120,
        records: 3,
        run: run.id,
        landed_at: at(1),
    };
    let changed = LandedFile { etag: "\"a2\"".to_owned(), ..file.clone() };
    let files = [file, changed];
    assert!(ledger.record_run(&run, &files, &[]).await.expect(FINE));
    let again = landing("airports", 0, 3, 1);
    let later = [LandedFile { records: 99, ..files[0].clone() }];
    assert!(ledger.record_run(&Run { inputs: Vec::new(), ..again }, &later, &[]).await.expect(FINE));
    assert_eq!(ledger.landed_files(&dataset("airports")).await.expect(FINE), files);
    assert_eq!(ledger.landed_files(&dataset("orders")).await.expect(FINE), []);
    assert_eq!(positions_of(&ledger, "airports").await, []);
}

pub async fn runs_are_filtered_and_paged_newest_first(ledger: Arc<dyn Ledger>) {
    let mut all = Vec::new();
    for version in 0..10 {
        let run = landing(if version % 2 == 0 { "orders" } else { "events" }, version, version + 1, version);
        let run = if version % 3 == 0 { failed(run) } else { run };
        record(&ledger, &run).await;
        all.insert(0, run);
    }
    let check = async |filter: RunFilter, expected: &dyn Fn(&&Run) -> bool| {
        let found = ledger.runs(&filter).await.expect(FINE);
        assert_eq!(found, all.iter().filter(expected).cloned().collect::<Vec<_>>(), "{filter:?}");
    };
    let any = RunFilter::default;
    check(any(), &|_| true).await;
    check(RunFilter { run: Some(all[4].id), ..any() }, &|run| run.id == all[4].id).await;
    check(RunFilter { hop: Some(dataset("events")), ..any() }, &|run| run.hop == dataset("events")).await;
    check(RunFilter { kind: Some(RunKind::Replay), ..any() }, &|_| false).await;
    check(RunFilter { outcome: Some(Outcome::Failed), ..any() }, &|run| run.error.is_some()).await;
    check(RunFilter { outcome: Some(Outcome::Succeeded), ..any() }, &|run| run.error.is_none()).await;
    check(RunFilter { committed: true, ..any() }, &|run| run.commit.is_some()).await;
    check(RunFilter { started_from: Some(at(7)), ..any() }, &|run| run.started_at >= at(7)).await;
    let both = RunFilter { hop: Some(dataset("orders")), outcome: Some(Outcome::Failed), ..any() };
    check(both, &|run| run.hop == dataset("orders") && run.error.is_some()).await;
    let mut pages = Vec::new();
    loop {
        let before = pages.last().map(|run: &Run| run.id);
        let page = ledger.runs(&RunFilter { before, limit: Some(3), ..any() }).await.expect(FINE);
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }
    assert_eq!(pages, all);
}

pub async fn commits_come_newest_first(ledger: Arc<dyn Ledger>) {
    // Offered in another order than they were made, as after a crash.
    for version in [1, 0, 3, 2] {
        record(&ledger, &landing("orders", version * 10, version * 10 + 10, version)).await;
    }
    record(&ledger, &landing("events", 0, 1, 9)).await;
    let orders = dataset("orders");
    let versions = async |dataset, limit| {
        let commits = ledger.commits(dataset, limit).await.expect(FINE);
        commits.into_iter().map(|commit| commit.version).collect::<Vec<_>>()
    };
    assert_eq!(versions(Some(&orders), 10).await, [3, 2, 1, 0]);
    assert_eq!(versions(Some(&orders), 2).await, [3, 2]);
    assert_eq!(versions(None, 2).await, [9, 3]);
    let newest = ledger.latest_commits().await.expect(FINE);
    assert_eq!(newest, [super::samples::commit("events", 9), super::samples::commit("orders", 3)]);

    let mut compaction = landing("orders", 0, 0, 4);
    compaction.kind = RunKind::Compact;
    record(&ledger, &compaction).await;
    let after = async |version| {
        let commit = ledger.first_commit_after(&orders, version).await.expect(FINE);
        commit.map(|commit| commit.version)
    };
    assert_eq!((after(-1).await, after(1).await, after(3).await), (Some(0), Some(2), None));
}

pub async fn standings_tell_how_a_hop_is_doing(ledger: Arc<dyn Ledger>) {
    let good = landing("orders", 0, 10, 0);
    let idle =
        Run { commit: None, counts: Counts::default(), inputs: Vec::new(), ..landing("orders", 10, 10, 1) };
    let bad = failed(landing("orders", 10, 20, 2));
    let worse = failed(landing("orders", 10, 20, 3));
    let now = running(landing("orders", 10, 20, 4));
    for run in [&good, &idle, &bad, &worse] {
        record(&ledger, run).await;
    }
    ledger.start_run(&now).await.expect(FINE);
    let standing = standing_of(&ledger, "orders", RunKind::Land).await.expect("it ran");
    let expected = Standing {
        hop: dataset("orders"),
        kind: RunKind::Land,
        newest: now.clone(),
        ended: Some(worse),
        succeeded: Some(idle),
        committed: Some(good),
        failures: 2,
        failing_since: Some(at(3)),
    };
    assert_eq!(standing, expected);
    assert_eq!(ledger.latest_runs().await.expect(FINE), [now]);
    record(&ledger, &landing("orders", 10, 20, 4)).await;
    let standing = standing_of(&ledger, "orders", RunKind::Land).await.expect("it ran");
    assert_eq!((standing.failures, standing.failing_since), (0, None));
}

pub async fn a_cancelled_run_says_nothing_about_its_hop(ledger: Arc<dyn Ledger>) {
    let bad = failed(landing("orders", 0, 10, 1));
    let given_up = cancelled(landing("orders", 0, 10, 2));
    assert!(record(&ledger, &cancelled(landing("orders", 0, 10, 0))).await);
    let standing = standing_of(&ledger, "orders", RunKind::Land).await.expect("it ran");
    assert_eq!((standing.ended, standing.succeeded, standing.failures), (None, None, 0));
    assert!(record(&ledger, &bad).await);
    ledger.start_run(&running(given_up.clone())).await.expect(FINE);
    assert!(record(&ledger, &given_up).await);
    let standing = standing_of(&ledger, "orders", RunKind::Land).await.expect("it ran");
    assert_eq!((standing.newest, standing.ended), (given_up.clone(), Some(bad)));
    assert_eq!((standing.succeeded, standing.failures), (None, 1));
    let only = RunFilter { outcome: Some(Outcome::Cancelled), limit: Some(1), ..RunFilter::default() };
    assert_eq!(ledger.runs(&only).await.expect(FINE), [given_up]);
    assert_eq!(positions_of(&ledger, "orders").await, []);
    // Its commit is found after all: then it did happen.
    assert!(record(&ledger, &landing("orders", 0, 10, 2)).await);
    assert_eq!(totals_of(&ledger, "orders").await.expect("the run is in them").counts.read, 10);
}

pub async fn concurrent_writers_lose_nothing(ledger: Arc<dyn Ledger>) {
    let mut writers = JoinSet::new();
    for writer in 0..4i64 {
        let ledger = ledger.clone();
        writers.spawn(async move {
            for step in 0..10i64 {
                let number = step * 4 + writer;
                record(&ledger, &landing("orders", number * 10, number * 10 + 10, number)).await;
                record(&ledger, &landing(&format!("other_{writer}"), step, step + 1, step)).await;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.expect("a writer does not panic");
    }
    let totals = totals_of(&ledger, "orders").await.expect("runs are in them");
    assert_eq!((totals.runs, totals.counts.read, totals.gap()), (40, 400, 0));
    assert_eq!(totals_of(&ledger, "other_3").await.expect("runs are in them").runs, 10);
    assert_eq!(ledger.latest_commits().await.expect(FINE).last().map(|commit| commit.version), Some(9));
    assert_eq!(ledger.runs(&RunFilter::default()).await.expect(FINE).len(), 80);
}

pub async fn the_same_run_from_many_writers_counts_once(ledger: Arc<dyn Ledger>) {
    for version in 0..5 {
        let run = landing("orders", version * 10, version * 10 + 10, version);
        let mut writers = JoinSet::new();
        for _ in 0..4 {
            let (ledger, run) = (ledger.clone(), run.clone());
            writers.spawn(async move { record(&ledger, &run).await });
        }
        let answers = writers.join_all().await;
        assert_eq!(answers.iter().filter(|news| **news).count(), 1, "one of them was first");
    }
    let totals = totals_of(&ledger, "orders").await.expect("runs are in them");
    assert_eq!((totals.runs, totals.counts.read, totals.gap()), (5, 50, 0));
}
