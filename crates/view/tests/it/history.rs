//! A long history is read as far as it is asked for.

use std::sync::Arc;

use flowline_ledger::contract::samples::{failed, landing};
use flowline_view::{OfflineStatus, RunRow, rows};

use crate::support::{check, empty, query, session};

const RUNS: i64 = 700;

async fn long() -> (Arc<dyn flowline_ledger::Ledger>, datafusion::prelude::SessionContext) {
    let ledger = empty().await;
    for number in 0..RUNS {
        let run = landing(if number % 7 == 0 { "events" } else { "orders" }, number, number + 1, number);
        let run = if number % 100 == 0 { failed(run) } else { run };
        ledger.record_run(&run, &[], &[]).await.unwrap();
    }
    let session = session(&ledger, Arc::new(OfflineStatus));
    (ledger, session)
}

#[tokio::test]
async fn every_run_is_counted_once() {
    let (_ledger, session) = long().await;
    check(
        &session,
        "select dataset, outcome, count(*) as n, count(distinct run_id) as runs from system.runs \
         group by dataset, outcome order by dataset, outcome",
        &[
            "| dataset     | outcome   | n   | runs |",
            "| shop.events | failed    | 1   | 1    |",
            "| shop.events | succeeded | 99  | 99   |",
            "| shop.orders | failed    | 6   | 6    |",
            "| shop.orders | succeeded | 594 | 594  |",
        ],
    )
    .await;
    check(&session, "select count(*) as n from system.commits", &["| n   |", "| 693 |"]).await;
}

#[tokio::test]
async fn conditions_narrow_what_is_read_and_nothing_else() {
    let (_ledger, session) = long().await;
    for (condition, expected) in [
        ("dataset = 'shop.events'", 100),
        ("'shop.events' = dataset and outcome = 'failed'", 1),
        ("dataset = 'No Name'", 0),
        ("dataset = 'shop.nothing'", 0),
        ("outcome = 'nonsense'", 0),
        ("kind = 'compact'", 0),
        ("kind = 'land' and started_at >= timestamp '2026-01-01T00:11:00.000250Z'", 40),
        ("started_at > timestamp '2026-01-01T00:11:00.000250Z'", 39),
        ("started_at < timestamp '2026-01-01T00:00:10Z'", 10),
        ("dataset = 'shop.events' or outcome = 'failed'", 106),
        ("not dataset = 'shop.events'", 600),
    ] {
        let sql = format!("select count(*) as n from system.runs where {condition}");
        let counted: Vec<serde_json::Value> = rows(&query(&session, &sql).await).unwrap();
        assert_eq!(counted[0]["n"], expected, "{condition}");
    }
    let newest: Vec<RunRow> =
        rows(&query(&session, "select * from system.runs order by started_at desc limit 1").await).unwrap();
    let sql = format!("select * from system.runs where run_id = '{}'", newest[0].run_id);
    assert_eq!(rows::<RunRow>(&query(&session, &sql).await).unwrap(), newest);
}

#[tokio::test]
async fn the_newest_are_found_without_sorting() {
    let (_ledger, session) = long().await;
    let sql =
        "select version from system.runs where dataset = 'shop.orders' order by started_at desc limit 2";
    check(&session, sql, &["| version |", "| 699     |", "| 698     |"]).await;
    let plan: Vec<serde_json::Value> = rows(&query(&session, &format!("explain {sql}")).await).unwrap();
    let physical = plan.iter().find(|plan| plan["plan_type"] == "physical_plan").unwrap()["plan"].to_string();
    assert!(!physical.contains("Sort"), "{physical}");
    // The oldest can only be found by reading all.
    let sql = "select version from system.runs where version is not null order by started_at limit 1";
    check(&session, sql, &["| version |", "| 1       |"]).await;
}
