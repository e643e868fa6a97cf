//! What checks said, the findings that open and close with it, and profiles.

use std::sync::Arc;

use flowline_model::{
    CheckResult, CheckSeverity, ColumnProfile, FindingKind, Profile, RecordedProfile, Verdict,
};

use super::samples::{at, dataset};
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
