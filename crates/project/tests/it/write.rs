//! What is written for users is read back as it was meant.

use flowline_model::Dataset;
use flowline_project::{dataset_yaml, from_yaml, load, template, to_yaml};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{ORDERS, dataset, project};

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z0-9 :#'\"~\\-.]{0,10}".prop_map(Value::from),
        prop::sample::select(vec!["no", "NULL", "1e3", "0x1f", "- a", "a: b", "2026-01-05", "", " x", "y"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z0-9 _:.-]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn values_come_back(value in values()) {
        let text = to_yaml(&value);
        prop_assert_eq!(from_yaml(&text).map_err(TestCaseError::fail)?, value, "{}", text);
    }
}

/// The same dataset, whichever file it stands in.
fn comparable(mut dataset: Dataset) -> Dataset {
    if let flowline_model::Origin::Sql(sql) = &mut dataset.origin {
        (sql.file, sql.line, sql.indent) = (String::new(), 0, 0);
        sql.text = sql.text.trim().to_owned();
    }
    dataset
}

#[test]
fn datasets_come_back() {
    let orders = dataset(ORDERS);
    assert_eq!(dataset(&dataset_yaml(&orders)), orders);

    let files = template("shop").unwrap();
    let texts: Vec<(&str, &str)> = files.iter().map(|file| (file.path, file.contents)).collect();
    let folder = project(&texts);
    let before = load(folder.path(), None).unwrap().plan;
    for dataset in &before.datasets {
        let path = folder.path().join(&dataset.declared_in);
        std::fs::write(&path, dataset_yaml(dataset)).unwrap();
        let _ = std::fs::remove_file(path.with_extension("sql"));
    }
    let after = load(folder.path(), None).map_err(|all| flowline_project::render(&all, false)).unwrap().plan;
    let of = |plan: flowline_model::Plan| plan.datasets.into_iter().map(comparable).collect::<Vec<_>>();
    assert_eq!(of(after), of(before));
}

const CHECKED: &str = r#"owner: team-shop
zone: clean
from: { source: http }
columns:
  - { name: id, type: string }
  - { name: amount, type: "decimal(12,2)" }
  - { name: ts, type: timestamp }
partition_by: [day(ts)]
checks:
  - { kind: required, column: id, tolerance: 0.5%, description: Each has one. }
  - { kind: range, column: amount, min: 0, max: 99.5, severity: quarantine_rows }
  - { kind: length, column: id, min: 3, max: 36, severity: block }
  - { kind: pattern, column: id, pattern: "^[a-z]+: '\"$" }
  - { kind: accepted_values, column: id, values: ["no", "7", a b] }
  - { kind: type, column: id, is: int64, name: numbers }
  - { kind: condition, expression: "amount > 0 or id is null" }
  - { kind: unique, columns: [id, ts] }
  - { kind: duplicates, tolerance: 3% }
  - { kind: duplicates, columns: [amount], name: twice }
  - { kind: row_count, min: 1 }
  - { kind: freshness, within: 90m }
  - { kind: freshness, within: 36h, column: ts, name: newest }
  - { kind: completeness, partition: ts_day, after: 2h, periods: 14 }
  - { kind: completeness, expected_rows: "select 7 as n", name: counted }
  - { kind: referential, columns: [id], to: shop.customers, to_columns: [customer] }
  - { kind: distribution, column: amount, method: jensen_shannon, window: 5 }
  - { kind: anomaly, metric: rows, by: ts_day, season: hour_of_day, every: 1h }
  - { kind: anomaly, metric: mean, column: amount, floor: 0.25, sensitivity: 5.5 }
  - { kind: sql, query: "select * from shop.orders where amount < 0" }
  - { kind: reconcile, with: shop.customers, column: amount, with_column: total, tolerance: 0.01% }
"#;

#[test]
fn checks_come_back() {
    let checked = dataset(CHECKED);
    let kinds: std::collections::BTreeSet<&str> =
        checked.checks.iter().map(|check| check.rule.kind()).collect();
    assert_eq!(kinds.len(), 17, "every kind is written: {kinds:?}");
    let text = dataset_yaml(&checked);
    assert_eq!(dataset(&text), checked, "{text}");
}
