//! Each kind of change, in the directions that it keeps.

use std::time::Duration;

use expect_test::{Expect, expect};
use flowline_contract::diff;
use flowline_model::{Check, CheckRule, CheckSeverity, Column, Contract, Slo};
use proptest::prelude::*;

use crate::support::contract;

fn check(old: &Contract, new: &Contract, expected: Expect) {
    let lines: Vec<String> = diff(old, new)
        .iter()
        .map(|change| {
            let producers = if change.producers { "" } else { ", producers break" };
            format!("{}{producers}: {}", change.compatibility(), change.message)
        })
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

fn check_columns(old: &str, new: &str, expected: Expect) {
    check(&contract(old), &contract(new), expected);
}

#[test]
fn columns_come_and_go() {
    check_columns("a int32", "a int32", expect![""]);
    check_columns("a int32", "a int32; b string", expect!["full: `b` (string) is added"]);
    check_columns(
        "a int32",
        "a int32; b string!",
        expect!["forward, producers break: `b` (string) is added and required"],
    );
    check_columns("a int32; b string", "a int32", expect!["backward: `b` (string) is gone"]);
    check_columns(
        "a int32; b string",
        "b string; a int32",
        expect!["full: the columns stand in another order; readers name columns, so nothing breaks"],
    );
    check_columns(
        "a int32; cost int64",
        "a int32; price int64",
        expect![[r#"
            full: `price` (int64) is added; it looks like `cost` under another name
            backward: `cost` (int64) is gone; it looks like `price` under another name"#]],
    );
}

#[test]
fn types_change() {
    check_columns("a int32", "a int64", expect!["backward: `a` was int32 and is int64, which is wider"]);
    check_columns(
        "a int64",
        "a int32",
        expect!["forward, producers break: `a` was int64 and is int32, which is narrower"],
    );
    check_columns(
        "a int64",
        "a string",
        expect!["breaking, producers break: `a` was int64 and is string, which is another type"],
    );
    check_columns("a string", "a json", expect!["forward: `a` was string and is json, which is narrower"]);
    check_columns(
        "a struct<x: int32, y: string, z: list<struct<k: int8>>>",
        "a struct<x: int64, z: list<struct<k: int8, l: date>>, w: string>",
        expect![[r#"
            backward: `a.x` was int32 and is int64, which is wider
            full: `a.z[].l` (date) is added
            full: `a.w` (string) is added
            backward: `a.y` (string) is gone"#]],
    );
    check_columns(
        "a struct<x: int32, y: int8>",
        "a struct<y: int8, x: int32>",
        expect!["full: the fields of `a` stand in another order"],
    );
}

#[test]
fn rules_of_a_column_tighten_and_loosen() {
    check_columns("a int32", "a int32!", expect!["forward, producers break: `a` is required now"]);
    check_columns("a int32!", "a int32", expect!["backward: `a` may be null now"]);
    let with = |change: fn(&mut Column)| {
        let mut contract = contract("a timestamp");
        change(&mut contract.columns[0]);
        contract
    };
    let plain = contract("a timestamp");
    let unique = with(|column| column.unique = true);
    check(&plain, &unique, expect!["forward, producers break: `a` must be unique now"]);
    check(&unique, &plain, expect!["backward: `a` may have the same value in two rows now"]);
    let checked = with(|column| column.check = Some("a > 0".to_owned()));
    let otherwise = with(|column| column.check = Some("a > 1".to_owned()));
    check(&plain, &checked, expect!["forward, producers break: `a` must meet `a > 0` now"]);
    check(&checked, &plain, expect!["backward: `a` need not meet `a > 0` any more"]);
    check(
        &checked,
        &otherwise,
        expect!["breaking, producers break: `a` must meet `a > 1` and no longer `a > 0`"],
    );
    let personal = with(|column| column.pii = Some("email".to_owned()));
    check(&plain, &personal, expect!["full: `a` holds personal data now: email; readers may see it masked"]);
    check(
        &personal,
        &plain,
        expect!["full: `a` no longer counts as personal data (email); whoever may read it sees it unmasked"],
    );
    let field = with(|column| column.field = Some("A".to_owned()));
    check(
        &plain,
        &field,
        expect!["full, producers break: `a` is taken from the field `A`, no longer from `a`"],
    );
    let format = with(|column| column.format = Some("epoch_ms".to_owned()));
    check(
        &plain,
        &format,
        expect!["full, producers break: `a` is written as epoch_ms and no longer as ISO 8601"],
    );
    let described = with(|column| column.description = Some("when".to_owned()));
    check(&plain, &described, expect!["full: `a` is described in other words"]);
}

#[test]
fn checks_change() {
    let with = |checks: &[Check]| Contract { checks: checks.to_vec(), ..contract("a int64; b string") };
    let range = |min: &str, max: &str| CheckRule::Range {
        column: "a".to_owned(),
        min: Some(min.to_owned()),
        max: Some(max.to_owned()),
    };
    let check_of = |severity, rule| Check {
        name: "bounds".to_owned(),
        description: None,
        owner: "team-shop".to_owned(),
        severity,
        tolerance: 0.0,
        rule,
    };
    let kept = |min, max| with(&[check_of(CheckSeverity::QuarantineRows, range(min, max))]);
    let warned = |min, max| with(&[check_of(CheckSeverity::Warn, range(min, max))]);
    check(
        &with(&[]),
        &kept("0", "9"),
        expect!["forward, producers break: the check `bounds` (range, quarantine_rows) is added"],
    );
    check(
        &kept("0", "9"),
        &with(&[]),
        expect!["backward: the check `bounds` (range, quarantine_rows) is gone"],
    );
    check(&with(&[]), &warned("0", "9"), expect!["full: the check `bounds` (range, warn) is added"]);
    check(&kept("0", "9"), &kept("0", "10"), expect!["backward: the check `bounds` asks for something else"]);
    check(
        &kept("0", "10"),
        &kept("1", "10"),
        expect!["forward, producers break: the check `bounds` asks for something else"],
    );
    check(
        &kept("0", "10"),
        &kept("1", "11"),
        expect!["breaking, producers break: the check `bounds` asks for something else"],
    );
    check(
        &warned("0", "10"),
        &warned("1", "11"),
        expect!["full: the check `bounds` asks for something else"],
    );
    check(
        &warned("0", "9"),
        &kept("0", "9"),
        expect!["forward, producers break: the check `bounds` was warn and is quarantine_rows"],
    );
    let mut renamed = kept("0", "9");
    renamed.checks[0].name = "range_a".to_owned();
    check(&kept("0", "9"), &renamed, expect!["full: the check `range_a` was called `bounds`"]);
    let mut tolerant = kept("0", "9");
    tolerant.checks[0].tolerance = 0.01;
    check(&kept("0", "9"), &tolerant, expect!["backward: the check `bounds` tolerated 0% and tolerates 1%"]);
    let accepted = |values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        with(&[check_of(CheckSeverity::Block, CheckRule::AcceptedValues { column: "b".to_owned(), values })])
    };
    check(
        &accepted(&["new", "paid"]),
        &accepted(&["paid", "new", "sent"]),
        expect!["backward: the check `bounds` asks for something else"],
    );
}

#[test]
fn keys_levels_and_rules_change() {
    let keyed = |key: &[&str]| Contract {
        key: key.iter().map(|name| (*name).to_owned()).collect(),
        ..contract("a string; b string")
    };
    check(&keyed(&[]), &keyed(&["a"]), expect!["forward, producers break: the key was none and is a"]);
    check(&keyed(&["a"]), &keyed(&[]), expect!["backward: the key was a and is none"]);
    check(&keyed(&["a"]), &keyed(&["a", "b"]), expect!["backward: the key was a and is a, b"]);
    check(
        &keyed(&["a", "b"]),
        &keyed(&["b"]),
        expect!["forward, producers break: the key was a, b and is b"],
    );
    check(&keyed(&["a"]), &keyed(&["b"]), expect!["breaking, producers break: the key was a and is b"]);
    check(&keyed(&["a", "b"]), &keyed(&["b", "a"]), expect!["full: the key was a, b and is b, a"]);

    let promised = |seconds: u64, target: f64| Contract {
        slo: Slo {
            freshness_within: Some(Duration::from_secs(seconds)),
            freshness_target: Some(target),
            completeness_target: None,
        },
        ..contract("a string")
    };
    check(
        &promised(60, 0.999),
        &promised(300, 0.99),
        expect![[r#"
            backward: freshness was 60s and is 300s
            backward: the target of freshness was 99.9% and is 99%"#]],
    );
    check(&promised(300, 0.99), &promised(60, 0.99), expect!["full: freshness was 300s and is 60s"]);
    check(
        &promised(60, 0.99),
        &contract("a string"),
        expect![[r#"
            backward: freshness was 60s and is not promised
            backward: the target of freshness was 99% and is not promised"#]],
    );
    let ruled = Contract { compatibility: Some("full".to_owned()), ..contract("a string") };
    check(&contract("a string"), &ruled, expect!["full: the rule for changes was not set and is full"]);
}

fn any_contract() -> impl Strategy<Value = Contract> {
    let kind = prop::sample::select(vec![
        "int8",
        "int32",
        "int64",
        "float64",
        "string",
        "json",
        "date",
        "timestamp",
        "decimal(10,2)",
        "decimal(12,2)",
        "list<int32>",
        "list<int64>",
        "struct<x: int32>",
        "struct<x: int64, y: string>",
    ]);
    let column = (prop::sample::select(vec!["a", "b", "c", "d"]), kind, any::<bool>(), any::<bool>());
    prop::collection::vec(column, 0..4).prop_map(|columns| {
        let mut contract = Contract::default();
        for (name, kind, required, unique) in columns {
            if contract.column(name).is_none() {
                let column = Column::new(name, kind.parse().unwrap());
                contract.columns.push(Column { required, unique, ..column });
            }
        }
        contract
    })
}

proptest! {
    /// What is compatible backward is so forward the other way round, and the same contract does not change.
    #[test]
    fn directions_mirror(one in any_contract(), other in any_contract()) {
        prop_assert_eq!(diff(&one, &one), vec![]);
        let (there, back) = (diff(&one, &other), diff(&other, &one));
        let added_required = there.iter().chain(&back).any(|change| change.before.is_none() || change.after.is_none());
        if !added_required {
            prop_assert_eq!(there.iter().all(|c| c.backward), back.iter().all(|c| c.forward));
            prop_assert_eq!(there.iter().all(|c| c.forward), back.iter().all(|c| c.backward));
        }
        prop_assert_eq!(there.is_empty(), back.is_empty());
    }
}
