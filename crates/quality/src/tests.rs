//! What each rule says of small batches.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use flowline_lake::arrow_types;
use flowline_model::{Column, ColumnType, Dataset, DatasetName, HttpOrigin, Origin, Slo, Validation, Zone};

use crate::{RowRules, RuleError};

fn dataset(columns: Vec<Column>) -> Dataset {
    Dataset {
        name: DatasetName::new("shop", "orders").unwrap(),
        description: String::new(),
        owner: "team".into(),
        zone: Zone::Raw,
        origin: Origin::Http(HttpOrigin {
            partitions: 1,
            partition_key: Vec::new(),
            validation: Validation::AtLanding,
        }),
        columns,
        key: vec![],
        dedupe_horizon: Duration::from_secs(60),
        event_time: None,
        partition_by: vec![],
        compatibility: None,
        checks: Vec::new(),
        slo: Slo::default(),
        runbook: None,
        on_drift: Default::default(),
        landing: Default::default(),
        declared_in: String::new(),
    }
}

fn orders(check: &str) -> Dataset {
    let amount = Column { check: Some(check.into()), ..Column::new("amount", ColumnType::Int64) };
    dataset(vec![Column::new("id", ColumnType::String).required(), amount])
}

fn batch(dataset: &Dataset, rows: &[(Option<&str>, Option<i64>)]) -> RecordBatch {
    let mut fields: Vec<_> =
        dataset.columns.iter().map(|c| arrow_types::field(c).with_nullable(true)).collect();
    fields.push(arrow::datatypes::Field::new("_extra", arrow::datatypes::DataType::Utf8, true));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
        Arc::new(StringArray::new_null(rows.len())),
    ];
    RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap()
}

fn verdicts(check: &str, rows: &[(Option<&str>, Option<i64>)]) -> Vec<String> {
    let dataset = orders(check);
    let verdicts = RowRules::compile(&dataset).unwrap().evaluate(&batch(&dataset, rows));
    assert_eq!(
        verdicts.passed().iter().flatten().filter(|passed| !passed).count(),
        verdicts.failures().count()
    );
    verdicts
        .failures()
        .map(|(row, f)| format!("{row} {} {}: {}", f.reason.as_str(), f.column.unwrap(), f.message))
        .collect()
}

fn problem(check: &str) -> RuleError {
    RowRules::compile(&orders(check)).unwrap_err()
}

#[test]
fn functions_that_are_written_otherwise_in_queries_are_evaluated() {
    let rows = [(Some("a"), Some(1)), (Some("b"), None), (Some("c"), Some(-1))];
    for check in ["coalesce(amount, 0) >= 0", "nvl(amount, 0) >= 0"] {
        assert_eq!(verdicts(check, &rows), [format!("2 failed-rule amount: `{check}` does not hold")]);
    }
}

#[test]
fn the_first_failing_rule_of_each_row_counts() {
    let rows = [(Some("a"), Some(1)), (None, Some(-1)), (Some("c"), Some(-1)), (None, None)];
    assert_eq!(
        verdicts("amount >= 0", &rows),
        [
            "1 missing id: `id` is required and has no value",
            "2 failed-rule amount: `amount >= 0` does not hold",
            "3 missing id: `id` is required and has no value",
        ]
    );
}

#[test]
fn null_passes_a_check() {
    assert!(verdicts("amount > 0", &[(Some("a"), None)]).is_empty());
    assert!(verdicts("null", &[(Some("a"), Some(1))]).is_empty());
}

#[test]
fn a_row_that_cannot_be_evaluated_fails_alone() {
    let mut rows = vec![(Some("a"), Some(2)); 100];
    rows[37].1 = Some(0);
    rows[99].1 = Some(0);
    let found = verdicts("10 / amount > 1", &rows);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("37 failed-rule amount: `10 / amount > 1` cannot be evaluated:"),
        "{}",
        found[0]
    );
}

#[test]
fn other_columns_may_be_looked_at() {
    let rows = [(Some("abc"), Some(3)), (Some("abc"), Some(4))];
    assert_eq!(verdicts("length(id) = amount", &rows).len(), 1);
}

#[test]
fn a_rule_that_cannot_be_used_says_where() {
    let problem = problem("amount >= AND 1");
    assert_eq!(problem.column, "amount");
    assert!(problem.position.is_some(), "{problem:?}");
}

#[test]
fn unknown_columns_are_refused() {
    assert!(problem("amuont > 0").message.contains("amuont"));
    assert_eq!(problem("1 = 1 and amuont > 0").position, Some((1, 11)));
}

#[test]
fn what_is_not_decided_by_the_row_alone_is_refused() {
    for check in [
        "sum(amount) > 1",
        "random() > 0.5",
        "now() is not null",
        "amount in (select 1)",
        "amount + 1",
        "amount is distinct from 3 and amount > 1",
    ] {
        let problem = problem(check);
        assert!(!problem.message.is_empty(), "{check}");
    }
}

#[test]
fn all_problems_are_found_at_once() {
    let broken =
        |name: &str| Column { check: Some("nope > 1".into()), ..Column::new(name, ColumnType::Int64) };
    assert_eq!(RowRules::problems(&dataset(vec![broken("a"), broken("b")])).len(), 2);
}

#[test]
fn partitions_that_are_not_due_are_neither_there_nor_missing() {
    use crate::outcome::{Calendar, partitions};
    use flowline_model::Verdict;
    let day = |text: &str| text.parse::<chrono::NaiveDate>().unwrap();
    let until = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let of = |present: &[&str], now: &str| {
        let present: Vec<_> = present.iter().map(|text| day(text)).collect();
        partitions(&present, Calendar::Days, until(now), 30, 0.0)
    };
    let today = of(&["2026-01-05"], "2026-01-04T23:59:59Z");
    assert_eq!(today.verdict, Verdict::NotDue);
    assert_eq!(today.message, "no partition was looked at: the oldest, 2026-01-05, is not due yet");
    assert!(!today.verdict.alarms());
    assert_eq!(of(&["2026-01-05"], "2026-01-05T00:00:00Z").verdict, Verdict::Passed);
    assert_eq!(of(&["2026-01-05"], "2026-01-06T00:00:00Z").verdict, Verdict::Failed);
    assert_eq!(of(&[], "2026-01-06T00:00:00Z").verdict, Verdict::Failed);
}
