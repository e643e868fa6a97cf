//! Statements that run often are held to find what they need by an index: their cost must not grow with history.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use flowline_base::RunId;
use flowline_model::{DatasetName, Outcome, RunKind};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

use crate::dialect::Dialect;
use crate::{RunFilter, migrations, profiles, runs, standings, upkeep};

/// How SQLite goes about a statement; parameters count as unknown.
async fn plan(statement: &str) -> String {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect("sqlite::memory:").await.unwrap();
    migrations::migrate(&mut connection, Dialect::Sqlite, "here", migrations::newest()).await.unwrap();
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows = sqlx::raw_sql(explain).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
}

async fn check(statement: &str) {
    let plan = plan(statement).await;
    for history in ["SCAN runs", "SCAN attempts\n", "SCAN landed_files", "USE TEMP B-TREE"] {
        let walks_an_index = plan.contains("SCAN runs USING INDEX runs_newest");
        assert!(walks_an_index || !plan.contains(history), "{statement}\n{plan}");
    }
}

#[tokio::test]
async fn recording_a_run_looks_nothing_up_by_reading_history() {
    check(runs::KNOWN).await;
}

#[tokio::test]
async fn every_filter_of_runs_is_served_by_an_index() {
    let any = RunFilter::default;
    let hop = Some(DatasetName::new("shop", "orders").unwrap());
    for filter in [
        any(),
        RunFilter { run: Some(RunId::generate()), ..any() },
        RunFilter { hop: hop.clone(), ..any() },
        RunFilter { hop: hop.clone(), kind: Some(RunKind::Land), ..any() },
        RunFilter { hop: hop.clone(), outcome: Some(Outcome::Failed), ..any() },
        RunFilter { outcome: Some(Outcome::Running), ..any() },
        RunFilter { outcome: Some(Outcome::Failed), before: Some(RunId::generate()), ..any() },
        RunFilter { before: Some(RunId::generate()), ..any() },
        RunFilter { hop, before: Some(RunId::generate()), started_from: Some(Default::default()), ..any() },
        RunFilter { committed: true, ..any() },
    ] {
        check(&runs::select(&filter).0).await;
    }
}

#[tokio::test]
async fn status_and_commits_do_not_read_history() {
    for statement in [runs::COMMITS_OF_DATASET, runs::COMMITS_OF_ALL, runs::FIRST_COMMIT_AFTER] {
        check(statement).await;
    }
    let plan = plan(standings::RUNS).await;
    assert!(plan.starts_with("SEARCH runs USING INDEX"), "{plan}");
}

#[tokio::test]
async fn pruning_finds_the_old_runs_by_their_time() {
    let plan = plan(upkeep::PRUNE_RUNS).await;
    assert!(plan.contains("SEARCH runs USING INDEX runs_newest (started_at<?)"), "{plan}");
    assert!(!plan.contains("SCAN runs"), "{plan}");
}

#[tokio::test]
async fn profiles_of_versions_are_found_by_their_key() {
    let of_versions = plan(profiles::OF_VERSIONS).await;
    let key =
        "SEARCH profiles USING INDEX sqlite_autoindex_profiles_1 (dataset=? AND version>? AND version<?)";
    assert!(of_versions.starts_with(key), "{of_versions}");
    // One walk down the key, which ends after so many versions.
    let from = plan(profiles::FROM_VERSION).await;
    assert!(
        from.contains("SEARCH profiles USING COVERING INDEX sqlite_autoindex_profiles_1 (dataset=?)"),
        "{from}"
    );
    assert!(!from.contains("TEMP B-TREE") && !from.contains("SCAN profiles"), "{from}");
}
