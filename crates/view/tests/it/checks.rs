//! What is told of checks.

use std::sync::Arc;

use flowline_ledger::Ledger;
use flowline_ledger::contract::declared;
use flowline_ledger::contract::samples::{at, dataset};
use flowline_model::{Check, CheckResult, CheckRule, CheckSeverity, Deployment, Verdict};
use flowline_view::OfflineStatus;

use crate::support::{check, empty, session};

fn result(name: &str, verdict: Verdict, second: i64) -> CheckResult {
    CheckResult {
        dataset: dataset("orders"),
        check: name.to_owned(),
        kind: "row_count".to_owned(),
        dimension: String::new(),
        verdict,
        message: "there are 0 rows, at least 1 are expected".to_owned(),
        severity: CheckSeverity::Warn,
        owner: "team-shop".to_owned(),
        metric: None,
        lower: None,
        upper: None,
        rows_checked: 0,
        new_rows: false,
        rows_failed: 0,
        examples: Vec::new(),
        version: None,
        run: None,
        evaluated_at: at(second),
        duration_us: 1,
    }
}

async fn deployed(ledger: &Arc<dyn Ledger>, check: &str) {
    let mut orders = declared("orders", "team-shop");
    orders.dataset.checks = vec![Check {
        name: check.to_owned(),
        description: None,
        owner: "team-shop".to_owned(),
        severity: CheckSeverity::Warn,
        tolerance: 0.0,
        rule: CheckRule::RowCount { min: Some(1), max: None },
    }];
    let deployment =
        Deployment { version: "aaa".to_owned(), environment: "dev".to_owned(), deployed_at: at(9) };
    ledger.record_deployment(&deployment, &[orders]).await.unwrap();
}

#[tokio::test]
async fn what_a_check_said_that_was_renamed_is_history() {
    let ledger = empty().await;
    let results = [
        result("before", Verdict::Failed, 1),
        result("after", Verdict::Failed, 2),
        result("after", Verdict::Passed, 3),
    ];
    ledger.record_checks(&results).await.unwrap();
    deployed(&ledger, "after").await;
    let session = session(&ledger, Arc::new(OfflineStatus));
    check(
        &session,
        "select name, verdict, latest from system.checks order by evaluated_at",
        &[
            "| name | verdict | latest |",
            "| before | failed | false |",
            "| after | failed | false |",
            "| after | passed | true |",
        ],
    )
    .await;
    check(
        &session,
        "select name, verdict from system.checks where latest",
        &["| name | verdict |", "| after | passed |"],
    )
    .await;
}
