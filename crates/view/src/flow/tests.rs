#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::time::Duration;

use flowline_ledger::contract::declared;
use flowline_ledger::contract::samples::{at, dataset, failed, landing, running};
use flowline_model::{HttpOrigin, Materialization, SqlOrigin, Validation};

use super::*;

const NOW: i64 = 1_000;

fn http(name: &str) -> CatalogDataset {
    let mut declared = declared(name, "team-shop");
    declared.dataset.origin = Origin::Http(HttpOrigin {
        partitions: 1,
        partition_key: Vec::new(),
        validation: Validation::AtLanding,
    });
    declared.inputs = Vec::new();
    declared
}

fn sql(name: &str, materialization: Materialization, inputs: &[&str]) -> CatalogDataset {
    let mut declared = declared(name, "team-shop");
    declared.dataset.origin = Origin::Sql(SqlOrigin {
        text: String::new(),
        file: String::new(),
        line: 1,
        indent: 0,
        materialization,
        emit: Default::default(),
        state_limit: None,
        divided: false,
        timeout: Duration::from_secs(60),
        attempts_max: 3,
        lag_rows_max: None,
    });
    declared.inputs = inputs.iter().map(|input| dataset(input)).collect();
    declared
}

/// A hop whose newest run is this one, and whose newest commit was version `version`, `seconds` after the start.
fn stands(name: &str, kind: RunKind, newest: Run, committed: Option<Run>) -> Standing {
    let ended = (newest.outcome != Outcome::Running).then(|| newest.clone());
    let failures = u32::from(newest.outcome == Outcome::Failed);
    let failing_since = newest.finished_at.filter(|_| failures > 0);
    Standing {
        hop: dataset(name),
        kind,
        newest,
        ended: ended.or_else(|| committed.clone()),
        succeeded: committed.clone(),
        committed,
        failures,
        failing_since,
    }
}

fn position(hop: &str, input: &str, next: i64) -> Position {
    Position { hop: dataset(hop), input: input.to_owned(), first: 0, next, covered: next, moved_at: at(0) }
}

fn partition(name: &str, number: u32, end: u64) -> LogPartition {
    LogPartition {
        input: format!("log/{number}"),
        dataset: dataset(name),
        partition: number,
        start: 0,
        end,
        bytes: 0,
        waiting_bytes: 0,
        waiting_bytes_max: 0,
        queued: 0,
        last_received_at: None,
        oldest_waiting_at: None,
    }
}

fn flow(catalog: Vec<CatalogDataset>) -> Flow {
    Flow {
        catalog,
        standings: Vec::new(),
        totals: Vec::new(),
        positions: Vec::new(),
        partitions: None,
        held: BTreeMap::new(),
        now: at(NOW),
    }
}

/// A commit at this second, as version of the same number.
fn committed(name: &str, kind: RunKind, second: i64) -> Run {
    Run { kind, ..landing(name, 0, 10, second - 1) }
}

fn state_of(rows: &[HopRow], name: &str) -> String {
    rows.iter().find(|row| row.dataset == format!("shop.{name}")).unwrap().state.clone()
}

#[test]
fn a_hop_that_never_ran_waits_once_something_waits_for_it() {
    let mut flow = flow(vec![http("orders"), sql("daily", Materialization::Full, &["orders"])]);
    let rows = flow.hops(&[]);
    assert_eq!(
        (state_of(&rows, "orders"), state_of(&rows, "daily")),
        ("never".to_owned(), "never".to_owned())
    );
    assert_eq!((rows[0].lag_records, rows[0].lag_seconds), (None, None), "no node runs that could tell");

    flow.partitions =
        Some(vec![LogPartition { oldest_waiting_at: Some(at(NOW - 40)), ..partition("orders", 0, 7) }]);
    let rows = flow.hops(&[]);
    assert_eq!(
        (rows[0].state.as_str(), rows[0].lag_records, rows[0].lag_seconds),
        ("waiting", Some(7), Some(40))
    );
}

#[test]
fn lag_in_the_log_is_what_lies_behind_the_positions() {
    let mut flow = flow(vec![http("orders")]);
    let run = committed("orders", RunKind::Land, NOW - 100);
    flow.standings = vec![stands("orders", RunKind::Land, run.clone(), Some(run))];
    flow.positions = vec![position("orders", "log/0", 50), position("orders", "log/1", 20)];
    // The second partition is read to its end, the third was never read, the others are of other hops.
    flow.partitions = Some(vec![
        partition("orders", 0, 60),
        partition("orders", 1, 20),
        LogPartition { start: 3, ..partition("orders", 2, 5) },
        partition("events", 0, 99),
    ]);
    let row = &flow.hops(&[])[0];
    assert_eq!((row.lag_records, row.lag_seconds), (Some(12), Some(100)), "counted from the last commit");
    assert_eq!((row.state.as_str(), row.freshness_seconds), ("waiting", Some(100)));

    flow.partitions = Some(vec![partition("orders", 0, 50), partition("orders", 1, 20)]);
    let row = &flow.hops(&[])[0];
    assert_eq!((row.lag_records, row.lag_seconds, row.state.as_str()), (Some(0), Some(0), "ok"));
}

#[test]
fn lag_of_a_transform_is_what_its_inputs_committed_since_through_views_too() {
    let mut flow = flow(vec![
        http("orders"),
        sql("recent", Materialization::View, &["orders", "recent"]),
        sql("daily", Materialization::Full, &["recent", "airports"]),
    ]);
    let run = committed("orders", RunKind::Land, 90);
    let compaction = committed("orders", RunKind::Compact, 95);
    let transform = committed("daily", RunKind::Transform, 80);
    flow.standings = vec![
        stands("orders", RunKind::Land, run.clone(), Some(run)),
        stands("orders", RunKind::Compact, compaction.clone(), Some(compaction)),
        stands("daily", RunKind::Transform, transform.clone(), Some(transform)),
    ];
    flow.positions = vec![position("daily", "shop.orders", 86)];
    let unread = flow.unread();
    let expected = Unread { hop: dataset("daily"), input: dataset("orders"), version: 86, versions: 3 };
    assert_eq!(
        unread,
        std::slice::from_ref(&expected),
        "versions count from 89, the newest that changed rows"
    );

    let rows = flow.hops(&[(expected, Some(at(NOW - 31)))]);
    assert_eq!((rows[2].lag_versions, rows[2].lag_seconds), (Some(3), Some(31)));
    assert_eq!((rows[2].state.as_str(), rows[2].lag_records), ("waiting", None));
    assert_eq!(rows[0].version, Some(94), "the compaction made the newest version");

    flow.positions = vec![position("daily", "shop.orders", 89)];
    assert_eq!(flow.unread(), []);
    assert_eq!(state_of(&flow.hops(&[]), "daily"), "ok");
}

#[test]
fn a_view_is_as_old_as_its_oldest_input() {
    let mut view = sql("both", Materialization::View, &["orders", "events"]);
    view.dataset.slo.freshness_within = Some(Duration::from_secs(300));
    let mut flow = flow(vec![http("orders"), http("events"), view]);
    let orders = committed("orders", RunKind::Land, NOW - 10);
    let events = committed("events", RunKind::Land, NOW - 500);
    flow.standings = vec![stands("orders", RunKind::Land, orders.clone(), Some(orders))];
    assert_eq!(
        (state_of(&flow.hops(&[]), "both"), flow.hops(&[])[2].last_committed_at),
        ("ok".to_owned(), None),
        "it can be read, also where one of its inputs is empty"
    );

    flow.standings.push(stands("events", RunKind::Land, events.clone(), Some(events)));
    let row = &flow.hops(&[])[2];
    assert_eq!((row.kind.as_str(), row.state.as_str(), row.freshness_seconds), ("view", "stale", Some(500)));
}

#[test]
fn a_view_over_a_table_that_ran_and_is_empty_is_ok() {
    let view = sql("recent", Materialization::View, &["daily"]);
    let over = sql("newest", Materialization::View, &["recent"]);
    let mut flow = flow(vec![http("orders"), sql("daily", Materialization::Full, &["orders"]), view, over]);
    let views = |flow: &Flow| {
        let rows = flow.hops(&[]);
        (state_of(&rows, "recent"), state_of(&rows, "newest"))
    };
    assert_eq!(views(&flow), ("never".to_owned(), "never".to_owned()));
    // A run that found nothing to write has no commit.
    let run = Run { commit: None, ..committed("daily", RunKind::Transform, NOW - 10) };
    flow.standings = vec![stands("daily", RunKind::Transform, run.clone(), Some(run))];
    assert_eq!(state_of(&flow.hops(&[]), "daily"), "ok");
    assert_eq!(views(&flow), ("ok".to_owned(), "ok".to_owned()));
}

#[test]
fn a_failed_run_shows_until_one_succeeds_and_a_replay_does_not_hide_it() {
    let mut flow = flow(vec![http("orders")]);
    let good = committed("orders", RunKind::Land, NOW - 20);
    let bad = failed(landing("orders", 10, 20, NOW - 10));
    let replay = committed("orders", RunKind::Replay, NOW - 5);
    flow.standings = vec![
        stands("orders", RunKind::Land, bad.clone(), Some(good.clone())),
        stands("orders", RunKind::Replay, replay.clone(), Some(replay)),
    ];
    let row = &flow.hops(&[])[0];
    assert_eq!(
        (row.state.as_str(), row.last_error_kind.as_deref(), row.failures),
        ("failed", Some("denied"), 1)
    );
    assert_eq!((row.failing_since, row.last_run_id.clone()), (bad.finished_at, Some(bad.id.to_string())));
    assert_eq!(row.last_committed_at, Some(at(NOW - 5)), "a replay changes rows");

    // A retry under way is not a success yet; the error stays.
    let retry = Standing { newest: running(landing("orders", 10, 20, NOW)), ..flow.standings[0].clone() };
    flow.standings[0] = retry;
    let row = &flow.hops(&[])[0];
    assert_eq!((row.state.as_str(), row.running, row.last_error.is_some()), ("failed", true, true));

    let again = committed("orders", RunKind::Land, NOW);
    flow.standings[0] = stands("orders", RunKind::Land, again.clone(), Some(again));
    let row = &flow.hops(&[])[0];
    assert_eq!((row.state.as_str(), row.last_error.clone(), row.failures), ("ok", None, 0));
}

#[test]
fn clocks_that_disagree_make_no_negative_age() {
    let mut flow = flow(vec![http("orders")]);
    let run = committed("orders", RunKind::Land, NOW + 50);
    flow.standings = vec![stands("orders", RunKind::Land, run.clone(), Some(run))];
    assert_eq!(flow.hops(&[])[0].freshness_seconds, Some(0));
}

#[test]
fn the_slow_hop_is_the_last_one_that_has_input_and_is_not_held_back() {
    let mut flow = flow(vec![http("orders"), sql("totals", Materialization::Stream, &["orders"])]);
    let full = LogPartition {
        waiting_bytes: 600,
        waiting_bytes_max: 1_000,
        oldest_waiting_at: Some(at(NOW - 3)),
        ..partition("orders", 0, 70)
    };
    flow.partitions = Some(vec![full]);
    let rows = flow.hops(&[]);
    let slow = rows[0].slow.as_deref().unwrap();
    assert!(slow.contains("70 records wait in the log (600 of 1000 bytes"), "{slow}");
    assert_eq!((&rows[1].slow, &rows[0].held_back), (&None, &None));
    let held = Held { by: dataset("totals"), rows: 90, rows_max: 50 };
    flow.held.insert(dataset("orders"), held);
    let rows = flow.hops(&[]);
    assert_eq!(rows[0].slow, None, "it waits for another");
    assert!(rows[0].held_back.as_deref().unwrap().contains("90 rows wait for `shop.totals`"));
    let slow = rows[1].slow.as_deref().unwrap();
    assert!(
        slow.contains("90 rows wait, and 50 may") && slow.contains("`shop.orders` is not landed"),
        "{slow}"
    );
}
