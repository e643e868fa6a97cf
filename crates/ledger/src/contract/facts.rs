//! Findings, attempts, deployments.

use std::sync::Arc;

use flowline_base::{ErrorKind, RunId};
use flowline_model::{
    Attempt, Column, ColumnLineage, ColumnRef, ColumnType, Contract, Dataset, Deployment, Drift, Fate,
    FilesOrigin, Finding, FindingKind, LandingSettings, Origin, Outcome, Rename, RunError, Severity, Slo,
    Zone,
};

use super::samples::{at, dataset, finding, landing};
use crate::{CatalogDataset, FindingFilter, Ledger, RunFilter};

const FINE: &str = "the ledger answers";

pub async fn findings_of_one_subject_are_one_row(ledger: Arc<dyn Ledger>) {
    let run = landing("orders", 0, 10, 0);
    let first = Finding { run: Some(run.id), ..finding("orders", 2, 10, 1) };
    ledger.record_run(&run, &[], &[first]).await.expect(FINE);
    let again = Finding { severity: Severity::Warning, ..finding("orders", 3, 50, 9) };
    let other = Finding { kind: FindingKind::Missing, ..finding("orders", 1, 4, 5) };
    let foreign = finding("events", 1, 4, 7);
    ledger.record_findings(&[again.clone(), other.clone(), foreign.clone()]).await.expect(FINE);
    // Nothing is found twice when the same run is offered again.
    ledger.record_run(&run, &[], &[finding("orders", 2, 10, 1)]).await.expect(FINE);

    let found =
        ledger.findings(&FindingFilter { dataset: Some(dataset("orders")), limit: None }).await.expect(FINE);
    let grown = Finding { count: 5, first_position: Some("log/0@10".to_owned()), ..again };
    let facts: Vec<_> = found.iter().map(|found| (found.finding.clone(), found.first_found_at)).collect();
    assert_eq!(facts, [(grown.clone(), at(1)), (other, at(5))]);

    let all = ledger.findings(&FindingFilter { dataset: None, limit: Some(2) }).await.expect(FINE);
    assert_eq!(all.into_iter().map(|found| found.finding).collect::<Vec<_>>(), [grown, foreign]);
}

pub async fn the_same_finding_again_is_the_same_fact(ledger: Arc<dyn Ledger>) {
    let found = [finding("orders", 2, 10, 1)];
    ledger.record_findings(&found).await.expect(FINE);
    ledger.record_findings(&found).await.expect(FINE);
    let stored = ledger.findings(&FindingFilter::default()).await.expect(FINE);
    assert_eq!(stored.into_iter().map(|found| found.finding).collect::<Vec<_>>(), found);
}

pub async fn a_finding_of_drift_keeps_what_was_seen(ledger: Arc<dyn Ledger>) {
    let drift = Drift {
        producer: "http".to_owned(),
        examples: vec!["\"9.5\"".to_owned(), "odd \0 ' text".to_owned()],
        fate: Fate::KeptInExtra,
        closest_version: Some(3),
        renamed: Some(Rename {
            from: "cost".to_owned(),
            to: "price".to_owned(),
            because: "its values fit".to_owned(),
        }),
    };
    let plain = finding("orders", 1, 10, 1);
    ledger.record_findings(std::slice::from_ref(&plain)).await.expect(FINE);
    let drifted = Finding { drift: Some(Box::new(drift)), found_at: at(2), ..plain };
    ledger.record_findings(std::slice::from_ref(&drifted)).await.expect(FINE);
    let found = ledger.findings(&FindingFilter::default()).await.expect(FINE);
    assert_eq!(found[0].finding.drift, drifted.drift, "the newest is kept");
}

pub async fn texts_of_any_kind_are_kept(ledger: Arc<dyn Ledger>) {
    let odd = "quote ' \" \\ percent % line\nüñí ☃ $1 ?";
    let mut run = landing("orders", 0, 10, 0);
    run.trigger = odd.to_owned();
    run.outcome = Outcome::Failed;
    run.commit = None;
    run.error = Some(RunError { kind: ErrorKind::Input, message: format!("{odd}\0{odd}") });
    let long = "ü".repeat(4_000);
    let found = [Finding { subject: long.clone(), message: "a\0b".to_owned(), ..finding("orders", 1, 0, 0) }];
    ledger.record_run(&run, &[], &found).await.expect(FINE);

    let stored = ledger.runs(&RunFilter::default()).await.expect(FINE);
    assert_eq!(stored[0].trigger, odd);
    let message = stored[0].error.as_ref().map(|error| error.message.clone());
    assert_eq!(message, Some(format!("{odd}\u{fffd}{odd}")), "a NUL is shown as what it is: not a text");
    let stored = ledger.findings(&FindingFilter::default()).await.expect(FINE);
    assert_eq!(stored[0].finding.message, "a\u{fffd}b");
    assert!(stored[0].finding.subject.len() <= 1_000 && long.starts_with(&stored[0].finding.subject));
}

pub async fn attempts_end_once(ledger: Arc<dyn Ledger>) {
    let (run, other) = (RunId::generate(), RunId::generate());
    let attempt = |run, number, outcome| Attempt {
        run,
        number,
        outcome,
        started_at: at(i64::from(number)),
        finished_at: (outcome != Outcome::Running).then(|| at(i64::from(number) + 1)),
        error: (outcome == Outcome::Failed)
            .then(|| RunError { kind: ErrorKind::Transient, message: "timed out".to_owned() }),
    };
    let first = attempt(run, 1, Outcome::Failed);
    let second = attempt(run, 2, Outcome::Succeeded);
    let third = attempt(other, 1, Outcome::Running);
    let started = [attempt(run, 1, Outcome::Running), attempt(run, 2, Outcome::Running)];
    for attempt in [&started[0], &first, &started[1], &second, &started[0], &third] {
        ledger.record_attempt(attempt).await.expect(FINE);
    }
    assert_eq!(ledger.attempts(Some(run)).await.expect(FINE), [first.clone(), second.clone()]);
    assert_eq!(ledger.attempts(None).await.expect(FINE), [third, second, first]);
}

/// A dataset as a deployment declares it.
pub fn declared(name: &str, owner: &str) -> CatalogDataset {
    let columns = vec![Column::new("iata", ColumnType::String).required()];
    let origin = Origin::Files(FilesOrigin {
        location: "file:///data/in".to_owned(),
        pattern: "*.csv".to_owned(),
        format: None,
        poll_every: std::time::Duration::from_millis(1_500),
        follow_links: false,
    });
    let declaration = Dataset {
        name: dataset(name),
        description: "What's \"in\" it".to_owned(),
        owner: owner.to_owned(),
        zone: Zone::Raw,
        origin,
        columns: columns.clone(),
        key: vec!["iata".to_owned()],
        dedupe_horizon: std::time::Duration::from_secs(86_400),
        event_time: None,
        partition_by: Vec::new(),
        compatibility: Some("backward".to_owned()),
        checks: Vec::new(),
        slo: Slo { freshness_target: Some(0.99), ..Slo::default() },
        runbook: None,
        on_drift: Default::default(),
        landing: LandingSettings::default(),
        declared_in: format!("datasets/shop/{name}.yaml"),
    };
    let source = ColumnRef { dataset: dataset("input"), column: "code".to_owned() };
    let lineage = vec![ColumnLineage { column: Some("iata".to_owned()), from: vec![source] }];
    CatalogDataset { dataset: declaration, inputs: vec![dataset("input")], columns, lineage }
}

pub async fn the_last_deployment_is_the_catalog(ledger: Arc<dyn Ledger>) {
    let deployment = |version: &str, seconds| Deployment {
        version: version.to_owned(),
        environment: "dev".to_owned(),
        deployed_at: at(seconds),
    };
    let first = [declared("orders", "team-shop"), declared("airports", "team-shop")];
    ledger.record_deployment(&deployment("aaa", 1), &first).await.expect(FINE);
    assert_eq!(ledger.deployment().await.expect(FINE), Some(deployment("aaa", 1)));
    assert_eq!(ledger.catalog().await.expect(FINE), [first[1].clone(), first[0].clone()]);

    // One is gone, one has changed, one is new; the same deployment again is the same fact.
    let second = [declared("carriers", "team-air"), declared("orders", "team-orders")];
    for _ in 0..2 {
        ledger.record_deployment(&deployment("bbb", 2), &second).await.expect(FINE);
    }
    assert_eq!(ledger.deployment().await.expect(FINE), Some(deployment("bbb", 2)));
    assert_eq!(ledger.catalog().await.expect(FINE), second);

    // What was retired can come back.
    ledger.record_deployment(&deployment("aaa", 3), &first).await.expect(FINE);
    assert_eq!(ledger.catalog().await.expect(FINE), [first[1].clone(), first[0].clone()]);
}

pub async fn a_contract_gets_a_version_when_it_changes(ledger: Arc<dyn Ledger>) {
    let deploy = async |version: &str, seconds, datasets: &[CatalogDataset]| {
        let deployment = Deployment {
            version: version.to_owned(),
            environment: "dev".to_owned(),
            deployed_at: at(seconds),
        };
        ledger.record_deployment(&deployment, datasets).await.expect(FINE);
    };
    assert_eq!(ledger.contracts(None).await.expect(FINE), []);
    let (first, other) = (declared("orders", "team-shop"), declared("airports", "team-air"));
    let mut changed = first.clone();
    changed.columns.push(Column::new("name", ColumnType::String));
    deploy("aaa", 1, &[first.clone(), other.clone()]).await;
    // Who owns it and where its records lie is no part of the contract.
    deploy("bbb", 2, &[declared("orders", "team-other"), other.clone()]).await;
    deploy("ccc", 3, &[changed.clone()]).await;
    deploy("ddd", 4, &[changed.clone(), other.clone()]).await;
    deploy("eee", 5, &[first.clone(), other]).await;

    let versions = ledger.contracts(Some(&dataset("orders"))).await.expect(FINE);
    let facts: Vec<_> = versions.iter().map(|v| (v.version, v.deployment.as_str(), v.recorded_at)).collect();
    assert_eq!(facts, [(3, "eee", at(5)), (2, "ccc", at(3)), (1, "aaa", at(1))]);
    let of = |dataset: &CatalogDataset| Contract::of(&dataset.dataset, &dataset.columns);
    assert_eq!(versions[1].contract, of(&changed));
    assert_eq!((&versions[0].contract, &versions[2].contract), (&of(&first), &of(&first)));
    let all = ledger.contracts(None).await.expect(FINE);
    let names: Vec<_> = all.iter().map(|v| (v.dataset.name(), v.version)).collect();
    assert_eq!(names, [("airports", 1), ("orders", 3), ("orders", 2), ("orders", 1)]);
}
