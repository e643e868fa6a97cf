//! Whom changes hit, and whether they may be.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use flowline_contract::{Flow, State, Verdict, judge, markdown};
use flowline_model::{
    Check, CheckRule, CheckSeverity, ColumnLineage, ColumnRef, Consumer, ConsumerKind, ConsumerRead,
    Contract, DatasetName,
};

use crate::support::contract;

fn name(text: &str) -> DatasetName {
    text.parse().unwrap()
}

fn line(column: Option<&str>, from: &[&str]) -> ColumnLineage {
    let source = |text: &&str| {
        let (dataset, column) = text.rsplit_once('.').unwrap();
        ColumnRef { dataset: name(dataset), column: column.to_owned() }
    };
    ColumnLineage { column: column.map(str::to_owned), from: from.iter().map(source).collect() }
}

fn consumer(consumer: &str, dataset: &str, columns: &[&str]) -> Consumer {
    Consumer {
        name: consumer.to_owned(),
        description: String::new(),
        owner: "team-board".to_owned(),
        kind: ConsumerKind::Dashboard,
        reads: vec![ConsumerRead {
            dataset: name(dataset),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        }],
        declared_in: String::new(),
    }
}

/// Orders, what is earned a day, and a view of that: two boards read it, and one reads orders.
fn flow() -> Flow {
    let daily = vec![
        line(Some("day"), &["shop.orders.ts"]),
        line(Some("total"), &["shop.orders.amount"]),
        line(None, &["shop.orders.ts", "shop.orders.state"]),
    ];
    let view = vec![line(Some("sum"), &["shop.daily.total"])];
    Flow {
        lineage: BTreeMap::from([(name("shop.daily"), daily), (name("shop.view"), view)]),
        consumers: vec![
            consumer("export", "shop.orders", &["id"]),
            consumer("revenue", "shop.daily", &["total"]),
            consumer("sums", "shop.view", &[]),
        ],
        owners: BTreeMap::from([(name("shop.orders"), "team-shop".to_owned())]),
    }
}

fn check(rule: Option<&str>, old: &str, new: &str, refused: bool, expected: Expect) {
    let state = |text: &str, of: &str| State {
        name: of.to_owned(),
        contracts: BTreeMap::from([(
            name("shop.orders"),
            Contract { compatibility: rule.map(str::to_owned), ..contract(text) },
        )]),
    };
    let origins = BTreeMap::from([(name("shop.orders"), "http".to_owned())]);
    let report = judge(&state(old, "main"), &state(new, "the working tree"), &flow(), &origins);
    expected.assert_eq(&markdown(&report));
    assert_eq!(report.verdict == Verdict::Refused, refused);
}

#[test]
fn nothing_changes() {
    let expected = expect![[r#"
        ## Contracts: `main` → `the working tree`

        No contract changes.
    "#]];
    check(Some("full"), "id string", "id string", false, expected);
}

#[test]
fn what_the_rule_allows_passes() {
    let expected = expect![[r#"
        ## Contracts: `main` → `the working tree`

        **Allowed**: 1 change in 1 dataset.

        ### ✅ `shop.orders` (rule `backward`, owner team-shop)

        | change | compatible | breaks | also affects |
        |---|---|---|---|
        | `note` (string) is added | full |  |  |
    "#]];
    check(Some("backward"), "id string", "id string; note string", false, expected);
}

#[test]
fn a_wider_type_breaks_nobody_by_the_rule_and_is_told_to_those_behind_it() {
    let expected = expect![[r#"
        ## Contracts: `main` → `the working tree`

        **Allowed**: 1 change in 1 dataset.

        ### ✅ `shop.orders` (rule `backward`, owner team-shop)

        | change | compatible | breaks | also affects |
        |---|---|---|---|
        | `amount` was int32 and is int64, which is wider | backward |  | consumer revenue (team-board) through shop.daily.total<br>consumer sums (team-board) through shop.view.sum<br>shop.daily.total<br>shop.view.sum |
    "#]];
    check(Some("backward"), "amount int32", "amount int64", false, expected);
}

#[test]
fn a_consumer_that_reads_a_column_keeps_it_from_going() {
    let expected = expect![[r#"
        ## Contracts: `main` → `the working tree`

        **Refused**: 1 change in 1 dataset, 1 of them refused.

        ### ❌ `shop.orders` (rule `backward`, owner team-shop)

        | change | compatible | breaks | also affects |
        |---|---|---|---|
        | `id` (string) is gone | backward | consumer export (team-board) |  |

        Refused because:

        - `id` (string) is gone: `export` (team-board) reads it
    "#]];
    check(Some("backward"), "id string; state string", "state string", true, expected);
    let expected = expect![[r#"
        ## Contracts: `main` → `the working tree`

        **Allowed**: 1 change in 1 dataset.

        ### ✅ `shop.orders` (rule `none`, owner team-shop)

        | change | compatible | breaks | also affects |
        |---|---|---|---|
        | `id` (string) is gone | backward | consumer export (team-board) |  |
    "#]];
    check(Some("none"), "id string; state string", "state string", false, expected);
}

#[test]
fn the_rule_that_held_before_is_the_one_that_counts() {
    let state = |rule: &str, text: &str| State {
        name: rule.to_owned(),
        contracts: BTreeMap::from([(
            name("shop.orders"),
            Contract { compatibility: Some(rule.to_owned()), ..contract(text) },
        )]),
    };
    let (before, after) = (state("full", "state int32"), state("none", "state int64"));
    let report = judge(&before, &after, &flow(), &BTreeMap::new());
    assert_eq!(report.verdict, Verdict::Refused);
    assert_eq!(
        report.datasets[0].reasons,
        [
            "`state` was int32 and is int64, which is wider: the rule is `full`, and this is compatible backward only"
        ]
    );
    let affected: Vec<String> =
        report.datasets[0].changes[0].affects.iter().map(ToString::to_string).collect();
    assert_eq!(
        affected[..1],
        ["consumer revenue (team-board) through shop.daily"],
        "it decides which rows there are"
    );
}

#[test]
fn a_required_column_hits_producers_and_stored_rows() {
    let expected = expect![[r#"
        ## Contracts: `main` → `the working tree`

        **Refused**: 1 change in 1 dataset, 1 of them refused.

        ### ❌ `shop.orders` (rule `backward`, owner team-shop)

        | change | compatible | breaks | also affects |
        |---|---|---|---|
        | `country` (string) is added and required | forward | those who send records by http<br>rows that are stored already |  |

        Refused because:

        - `country` (string) is added and required: the rule is `backward`, and this is compatible forward only
    "#]];
    check(Some("backward"), "state string", "state string; country string!", true, expected);
}

#[test]
fn a_check_that_only_warns_affects_nobody() {
    let state = |checks: Vec<Check>| State {
        name: "x".to_owned(),
        contracts: BTreeMap::from([(name("shop.orders"), Contract { checks, ..contract("amount int32") })]),
    };
    for (severity, affects) in [(CheckSeverity::Warn, false), (CheckSeverity::QuarantineRows, true)] {
        let rule = CheckRule::Required { column: "amount".to_owned() };
        let (name, owner) = ("amount_is_there".to_owned(), "team-shop".to_owned());
        let check = Check { name, description: None, owner, severity, tolerance: 0.0, rule };
        for (from, to) in [(vec![], vec![check.clone()]), (vec![check.clone()], vec![])] {
            let report = judge(&state(from), &state(to), &flow(), &BTreeMap::new());
            let affected = &report.datasets[0].changes[0].affects;
            assert_eq!(!affected.is_empty(), affects, "{severity:?}: {affected:?}");
        }
    }
}

#[test]
fn a_dataset_that_goes_hits_all_who_read_it() {
    let state = |contracts: &[&str]| State {
        name: "x".to_owned(),
        contracts: contracts.iter().map(|dataset| (name(dataset), contract("id string"))).collect(),
    };
    let report =
        judge(&state(&["shop.orders", "shop.other"]), &state(&["shop.new"]), &flow(), &BTreeMap::new());
    let lines: Vec<String> =
        report.datasets.iter().map(|dataset| format!("{}: {:?}", dataset.dataset, dataset.reasons)).collect();
    assert_eq!(
        lines,
        [
            "shop.new: []",
            "shop.orders: [\"`shop.orders` is gone: `export` (team-board) reads it\"]",
            "shop.other: []",
        ]
    );
}
