//! What checks said, the findings that open and close with it, and profiles.

use std::sync::Arc;

use flowline_model::{
    Check, CheckResult, CheckRule, CheckSeverity, ColumnProfile, Deployment, FindingKind, Profile,
    RecordedProfile, Verdict,
};

use super::facts::declared;
use super::samples::{at, dataset, finding};
use crate::{CheckFilter, FindingFilter, Ledger, ProfileFilter};

const FINE: &str = "the ledger answers";

fn result(check: &str, verdict: Verdict, second: i64) -> CheckResult {
    CheckResult {
        dataset: dataset("orders"),
        check: check.to_owned(),
        kind: "range".to_owned(),
        dimension: String::new(),
        verdict,
        message: "3 of 10 rows fail".to_owned(),
        severity: CheckSeverity::Block,
        owner: "team-shop".to_owned(),
        metric: Some(0.3),
        lower: None,
        upper: Some(0.0),
        rows_checked: 10,
        new_rows: false,
        rows_failed: 3,
        examples: vec!["-1".to_owned(), "\0".to_owned().replace('\0', "x")],
        version: Some(second),
        run: None,
        evaluated_at: at(second),
        duration_us: 1_234,
    }
}

pub async fn check_results_read_back_newest_first(ledger: Arc<dyn Ledger>) {
    let results =
        [result("a", Verdict::Failed, 1), result("b", Verdict::Passed, 1), result("a", Verdict::Passed, 2)];
    ledger.record_checks(&results).await.expect(FINE);
    ledger.record_checks(&results[..1]).await.expect(FINE);
    let all = ledger.checks(&CheckFilter::default()).await.expect(FINE);
    assert_eq!(all, [results[2].clone(), results[0].clone(), results[1].clone()]);
    let latest = CheckFilter { latest: true, dataset: Some(dataset("orders")), ..CheckFilter::default() };
    let latest = ledger.checks(&latest).await.expect(FINE);
    assert_eq!(latest, [results[2].clone(), results[1].clone()]);
    let one = CheckFilter { check: Some("a".to_owned()), limit: Some(1), ..CheckFilter::default() };
    assert_eq!(ledger.checks(&one).await.expect(FINE), [results[2].clone()]);
}

pub async fn findings_open_and_close_with_their_check(ledger: Arc<dyn Ledger>) {
    let open = async || {
        let found = ledger.findings(&FindingFilter::default()).await.expect(FINE);
        let open = found.into_iter().filter(|recorded| recorded.closed_at.is_none());
        open.map(|recorded| recorded.finding.kind).collect::<Vec<_>>()
    };
    ledger.record_checks(&[result("a", Verdict::NotEvaluated, 1)]).await.expect(FINE);
    assert_eq!(open().await, [FindingKind::CheckFailedToRun]);
    ledger.record_checks(&[result("a", Verdict::Failed, 2)]).await.expect(FINE);
    assert_eq!(open().await, [FindingKind::FailedCheck]);
    ledger.record_checks(&[result("a", Verdict::Passed, 3)]).await.expect(FINE);
    assert!(open().await.is_empty());
    ledger.record_checks(&[result("a", Verdict::Failed, 4)]).await.expect(FINE);
    assert_eq!(open().await, [FindingKind::FailedCheck]);
    let nothing_due = result("a", Verdict::NotDue, 5);
    ledger.record_checks(std::slice::from_ref(&nothing_due)).await.expect(FINE);
    assert!(open().await.is_empty());
    assert_eq!(ledger.checks(&CheckFilter::default()).await.expect(FINE)[0], nothing_due);
}

/// How many records the open finding of a check that fails is said to concern.
async fn concerned(ledger: &Arc<dyn Ledger>) -> u64 {
    let found = ledger.findings(&FindingFilter::default()).await.expect(FINE);
    found.iter().find(|recorded| recorded.closed_at.is_none()).expect("it is open").finding.count
}

pub async fn rows_that_fail_are_counted_once(ledger: Arc<dyn Ledger>) {
    let of = |verdict, second, new_rows, rows_failed| CheckResult {
        new_rows,
        rows_failed,
        ..result("a", verdict, second)
    };
    let failed = |second, new_rows, rows| of(Verdict::Failed, second, new_rows, rows);
    for (result, expected) in [
        // All rows, again and again: as many fail as failed last.
        (failed(1, false, 3), 3),
        (failed(2, false, 3), 3),
        (failed(3, false, 5), 5),
        (failed(4, false, 2), 2),
        // Rows that come add to those that are there.
        (failed(5, true, 4), 6),
        (failed(6, true, 1), 7),
        (failed(7, false, 7), 7),
    ] {
        ledger.record_checks(&[result.clone(), result]).await.expect(FINE);
        assert_eq!(concerned(&ledger).await, expected);
    }
    // What was before it held is over.
    ledger.record_checks(&[of(Verdict::Passed, 8, true, 0), failed(9, true, 2)]).await.expect(FINE);
    assert_eq!(concerned(&ledger).await, 2);
    let newest = CheckFilter { latest: true, ..CheckFilter::default() };
    assert_eq!(ledger.checks(&newest).await.expect(FINE), [failed(9, true, 2)]);
}

/// A deployment of some datasets, each with the names of its checks.
async fn deploy(ledger: &Arc<dyn Ledger>, second: i64, datasets: &[(&str, &[&str])]) {
    let check = |name: &&str| Check {
        name: (*name).to_owned(),
        description: None,
        owner: "team-shop".to_owned(),
        severity: CheckSeverity::Warn,
        tolerance: 0.0,
        rule: CheckRule::RowCount { min: Some(1), max: None },
    };
    let declared = datasets.iter().map(|(name, checks)| {
        let mut declared = declared(name, "team-shop");
        declared.dataset.checks = checks.iter().map(check).collect();
        declared
    });
    let deployment =
        Deployment { version: format!("v{second}"), environment: "dev".to_owned(), deployed_at: at(second) };
    ledger.record_deployment(&deployment, &declared.collect::<Vec<_>>()).await.expect(FINE);
}

/// The checks whose newest result is asked for, with the part of the dataset.
async fn latest(ledger: &Arc<dyn Ledger>, limit: Option<u32>) -> Vec<String> {
    let filter = CheckFilter { latest: true, limit, ..CheckFilter::default() };
    let results = ledger.checks(&filter).await.expect(FINE);
    let shown = |result: &CheckResult| format!("{}.{} {}", result.dataset, result.check, result.dimension);
    results.iter().map(|result| shown(result).trim_end().to_owned()).collect()
}

async fn open_subjects(ledger: &Arc<dyn Ledger>) -> Vec<String> {
    let found = ledger.findings(&FindingFilter::default()).await.expect(FINE);
    let open = found.into_iter().filter(|recorded| recorded.closed_at.is_none());
    let mut subjects: Vec<String> =
        open.map(|recorded| format!("{} {}", recorded.finding.dataset, recorded.finding.subject)).collect();
    subjects.sort_unstable();
    subjects
}

pub async fn what_is_not_declared_any_more_is_closed_and_not_latest(ledger: Arc<dyn Ledger>) {
    let of = |name: &str, result: CheckResult| CheckResult { dataset: dataset(name), ..result };
    let part = |check: &str| CheckResult {
        dimension: "country=de/at".to_owned(),
        ..result(check, Verdict::Failed, 2)
    };
    let results = [
        result("kept", Verdict::Failed, 5),
        part("kept_parts"),
        part("gone_parts"),
        result("gone", Verdict::Failed, 3),
        result("gone_unevaluated", Verdict::NotEvaluated, 4),
        of("airports", result("kept", Verdict::Failed, 1)),
    ];
    ledger.record_checks(&results).await.expect(FINE);
    ledger.record_findings(&[finding("orders", 1, 1, 1)]).await.expect(FINE);
    assert_eq!(latest(&ledger, None).await.len(), results.len(), "before a deployment all are");

    let orders: &[&str] = &["kept", "kept_parts", "gone_parts", "gone", "gone_unevaluated"];
    deploy(&ledger, 10, &[("orders", orders), ("airports", &["kept"])]).await;
    assert_eq!(latest(&ledger, None).await.len(), results.len());
    assert_eq!(open_subjects(&ledger).await.len(), results.len() + 1, "what is declared stays as it is");

    deploy(&ledger, 20, &[("orders", &["kept", "kept_parts"])]).await;
    assert_eq!(latest(&ledger, None).await, ["shop.orders.kept", "shop.orders.kept_parts country=de/at"]);
    assert_eq!(latest(&ledger, Some(2)).await.len(), 2, "what is left out does not count towards the limit");
    let open = ["shop.orders amount", "shop.orders kept", "shop.orders kept_parts/country=de/at"];
    assert_eq!(open_subjects(&ledger).await, open);
    let findings = ledger.findings(&FindingFilter::default()).await.expect(FINE);
    let closed: Vec<_> = findings.iter().filter_map(|recorded| recorded.closed_at).collect();
    assert_eq!(closed, [at(20); 4]);
    let all = ledger.checks(&CheckFilter::default()).await.expect(FINE);
    assert_eq!(all.len(), results.len(), "the history stays");

    // The same name again is the same check.
    deploy(&ledger, 30, &[("orders", &["kept", "gone"])]).await;
    assert_eq!(latest(&ledger, None).await, ["shop.orders.kept", "shop.orders.gone"]);
}

pub async fn profiles_are_paged_newest_first(ledger: Arc<dyn Ledger>) {
    let recorded = |name: &str, version: i64, second: i64, partition: &str| RecordedProfile {
        dataset: dataset(name),
        version,
        profiled_at: at(second),
        profile: Profile { partition: partition.to_owned(), rows: 1, columns: Vec::new() },
    };
    // Newest first; several of one time, of one version, and of two datasets.
    let all = [
        recorded("orders", 9, 8, ""),
        recorded("airports", 7, 5, "d=1"),
        recorded("airports", 7, 5, "d=2"),
        recorded("orders", 7, 5, ""),
        recorded("airports", 6, 5, ""),
        recorded("orders", 2, 3, "d=1"),
        recorded("orders", 2, 3, "d=2"),
        recorded("orders", 1, 2, ""),
    ];
    ledger.record_profiles(&all).await.expect(FINE);
    for name in [None, Some(dataset("orders")), Some(dataset("airports"))] {
        let wanted: Vec<_> =
            all.iter().filter(|one| name.as_ref().is_none_or(|name| *name == one.dataset)).cloned().collect();
        for limit in 1..4 {
            let filter =
                ProfileFilter { dataset: name.clone(), limit: Some(limit), ..ProfileFilter::default() };
            assert_eq!(paged(&ledger, filter).await, wanted, "{name:?} by {limit}");
        }
    }
}

async fn paged(ledger: &Arc<dyn Ledger>, mut filter: ProfileFilter) -> Vec<RecordedProfile> {
    let mut read = Vec::new();
    loop {
        let page = ledger.profiles(&filter).await.expect(FINE);
        let Some(last) = page.last() else { return read };
        filter.behind = Some(last.into());
        read.extend(page);
    }
}

pub async fn profiles_read_back_by_version(ledger: Arc<dyn Ledger>) {
    let recorded = |version: i64, partition: &str| RecordedProfile {
        dataset: dataset("orders"),
        version,
        profiled_at: at(version),
        profile: Profile {
            partition: partition.to_owned(),
            rows: 7,
            columns: vec![ColumnProfile {
                column: "amount".to_owned(),
                distinct: 3,
                mean: Some(0.1),
                quantiles: vec![1.5, -2.0],
                top: vec![("1".to_owned(), 0.5)],
                ..ColumnProfile::default()
            }],
        },
    };
    let all = [recorded(3, "d=1"), recorded(3, "d=2"), recorded(2, ""), recorded(1, "")];
    ledger.record_profiles(&all).await.expect(FINE);
    ledger.record_profiles(&all[..1]).await.expect(FINE);
    assert_eq!(ledger.profiles(&ProfileFilter::default()).await.expect(FINE), all);
    let filter =
        ProfileFilter { dataset: Some(dataset("orders")), versions: Some(2), ..ProfileFilter::default() };
    assert_eq!(ledger.profiles(&filter).await.expect(FINE), all[..3]);
    let orders = ProfileFilter { dataset: Some(dataset("orders")), ..ProfileFilter::default() };
    let of =
        |versions: Option<u32>, version: Option<i64>| ProfileFilter { versions, version, ..orders.clone() };
    for (filter, expected) in [
        (of(None, None), &all[..]),
        (of(Some(9), None), &all[..]),
        (of(Some(1), None), &all[..2]),
        (of(Some(0), None), &[]),
        (of(None, Some(2)), &all[2..3]),
        (of(None, Some(3)), &all[..2]),
        (of(None, Some(4)), &[]),
        (of(Some(1), Some(2)), &[]),
    ] {
        assert_eq!(ledger.profiles(&filter).await.expect(FINE), expected, "{filter:?}");
    }
    let none =
        ProfileFilter { dataset: Some(dataset("airports")), versions: Some(2), ..ProfileFilter::default() };
    assert_eq!(ledger.profiles(&none).await.expect(FINE), []);
}

pub async fn pruning_keeps_the_newest_result_of_each_check(ledger: Arc<dyn Ledger>) {
    let results: Vec<CheckResult> = (0..3).map(|second| result("a", Verdict::Passed, second)).collect();
    ledger.record_checks(&results).await.expect(FINE);
    ledger.prune(at(100)).await.expect(FINE);
    assert_eq!(ledger.checks(&CheckFilter::default()).await.expect(FINE), results[2..]);
}
