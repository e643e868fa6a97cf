//! A project with many mistakes: all of them at once, in order, and what still holds is still there.

use expect_test::expect;
use flowline_model::Severity;
use flowline_project::{Code, Diagnostic, load, read, render};

use crate::support::{ORDERS, PROJECT, project};

#[test]
fn everything_at_once() {
    let dir = project(&[
        (
            "flowline.yaml",
            "name: Shop\nteam: {}\nteams: { team-shop: { contact: x }, Bad Name: { contact: y }, empty: {} }\nname: again\n",
        ),
        ("datasets/shop/orders.yaml", &format!("{ORDERS}colour: red\n")),
        (
            "datasets/shop/broken.yaml",
            "owner: team-shop\nzone: raw\nfrom: { source: http }\ncolumns:\n  - { name: id, type: strng }\n",
        ),
        (
            "datasets/shop/other.yaml",
            "owner: team-other\nzone: raw\nfrom: { source: http }\ncolumns: [{ name: id, type: string }]\n",
        ),
    ]);
    let reading = read(dir.path(), None);
    expect![[r#"
        error[invalid-value]: `Shop` is not a name
         --> flowline.yaml:1:7
          |
        1 | name: Shop
          |       ^^^^
          |
          = help: write lower-case letters, digits, `_` and `-`, first a letter, at most 63 characters

        error[unknown-key]: unknown key `team`
         --> flowline.yaml:2:1
          |
        2 | team: {}
          | ^^^^
          |
          = help: did you mean `teams`? possible here: name, description, teams, environments, defaults

        error[invalid-name]: `Bad Name` is not the name of a team
         --> flowline.yaml:3:37
          |
        3 | teams: { team-shop: { contact: x }, Bad Name: { contact: y }, empty: {} }
          |                                     ^^^^^^^^
          |
          = help: write lower-case letters, digits, `_` and `-`, first a letter

        error[missing-key]: `contact` is missing
         --> flowline.yaml:3:70
          |
        3 | teams: { team-shop: { contact: x }, Bad Name: { contact: y }, empty: {} }
          |                                                                      ^^^
          |
          = help: add `contact:` – where the team is reached when its data breaks

        error[duplicate-key]: `name` stands here for the second time
         --> flowline.yaml:4:1
          |
        4 | name: again
          | ^^^^
          |
          = help: it first stands on line 1; keep one of them

        error[invalid-value]: unknown type `strng`
         --> datasets/shop/broken.yaml:5:23
          |
        5 |   - { name: id, type: strng }
          |                       ^^^^^
          |
          = help: did you mean `string`?

        error[unknown-key]: unknown key `colour`
         --> datasets/shop/orders.yaml:8:1
          |
        8 | colour: red
          | ^^^^^^
          |
          = help: possible here: description, owner, zone, from, materialize, mode, emit, state, divided, sql, columns, key, dedupe_horizon, event_time, partition_by, checks, compatibility, on_drift, slo, runbook, landing

        error[unknown-name]: no team `team-other` is declared
         --> datasets/shop/other.yaml:1:8
          |
        1 | owner: team-other
          |        ^^^^^^^^^^
          |
          = help: possible here: team-shop, Bad Name, empty

        8 errors
    "#]].assert_eq(&render(&reading.diagnostics, false));
    let names: Vec<String> = reading.plan.datasets.iter().map(|dataset| dataset.name.to_string()).collect();
    assert_eq!(names, ["shop.orders", "shop.other"], "a dataset without its columns is left out");
    assert!(reading.is_consequence("`shop.broken` is not known"));
    assert!(load(dir.path(), None).is_err());
}

#[test]
fn warnings_keep_nothing_from_running() {
    let dir = project(&[
        ("flowline.yaml", PROJECT),
        ("datasets/shop/orders.yaml", &format!("{ORDERS}key: [ts]\n")),
    ]);
    let loaded = load(dir.path(), None).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(loaded.warnings[0].severity, Severity::Warning);
    expect![[r#"
        warning[conflict]: `ts` is part of the key and may be missing from a record
         --> datasets/shop/orders.yaml:8:7
          |
        8 | key: [ts]
          |       ^^
          |
          = help: add `required: true` to the column `ts`

        1 warning
    "#]]
    .assert_eq(&render(&loaded.warnings, false));
    expect![[r#"
        [
          {
            "severity": "warning",
            "code": "conflict",
            "file": "datasets/shop/orders.yaml",
            "line": 8,
            "column": 7,
            "end_column": 9,
            "message": "`ts` is part of the key and may be missing from a record",
            "hint": "add `required: true` to the column `ts`",
            "snippet": "key: [ts]"
          }
        ]"#]]
    .assert_eq(&serde_json::to_string_pretty(&loaded.warnings).unwrap());
}

#[test]
fn problems_found_elsewhere_look_alike() {
    let dir = project(&[("flowline.yaml", PROJECT), ("datasets/shop/orders.yaml", ORDERS)]);
    let sources = load(dir.path(), None).unwrap().sources;
    let file = "datasets/shop/orders.yaml";
    let found = [
        sources.problem(
            Code::Sql,
            file,
            5,
            13,
            "no column `order_id`",
            Some("did you mean `id`?".to_owned()),
        ),
        sources.problem(Code::Sql, file, 99, 1, "behind the end", None),
        Diagnostic::from_sql(dir.path(), file, 6, 13, "no column `amount`", None).until(34),
        sources.problem(Code::Sql, "nowhere.sql", 1, 7, "a file that was not read", None),
    ];
    expect![[r#"
        error[sql]: no column `order_id`
         --> datasets/shop/orders.yaml:5:13
          |
        5 |   - { name: order_id, type: string, required: true }
          |             ^^^^^^^^
          |
          = help: did you mean `id`?

        error[sql]: behind the end
        --> datasets/shop/orders.yaml:99:1

        error[sql]: no column `amount`
         --> datasets/shop/orders.yaml:6:13
          |
        6 |   - { name: amount, type: "decimal(12,2)" }
          |             ^^^^^^^^^^^^^^^^^^^^^

        error[sql]: a file that was not read
        --> nowhere.sql:1:7

        4 errors
    "#]]
    .assert_eq(&render(&found, false));
}

#[test]
fn colours_are_added_when_asked_for() {
    let dir = project(&[]);
    let diagnostics = read(dir.path(), None).diagnostics;
    assert!(render(&diagnostics, true).contains("\u{1b}["));
    assert!(!render(&diagnostics, false).contains('\u{1b}'));
    assert_eq!(render(&[], true), "");
}
