//! The checks of a dataset.

use crate::support::{PROJECT, check_dataset, dataset, project};
use expect_test::expect;
use flowline_project::{read, render};

#[test]
fn checks_are_read_with_their_defaults() {
    let read = dataset(
        "owner: team-shop\nzone: clean\nfrom: { source: http }\ncolumns:\n  - { name: id, type: string }\n  - { name: amount, type: \"decimal(12,2)\" }\n  - { name: ts, type: timestamp }\npartition_by: [day(ts)]\nchecks:\n  - { kind: range, column: amount, min: 0, max: 99.5, severity: quarantine_rows }\n  - { kind: pattern, column: id, pattern: \"^[a-z]+$\", tolerance: 1% }\n  - { kind: completeness, partition: ts_day }\n  - { kind: distribution, column: amount, method: psi, name: shift }\n  - { kind: anomaly, metric: rows, by: ts_day, season: hour_of_day }\n  - { kind: referential, columns: [id], to: shop.customers }\n",
    );
    let checks: Vec<String> = read
        .checks
        .iter()
        .map(|check| {
            format!("{} {} {} {}", check.name, check.severity.as_str(), check.tolerance, check.owner)
        })
        .collect();
    expect![[r#"
        range_amount quarantine_rows 0 team-shop
        pattern_id warn 0.01 team-shop
        completeness warn 0 team-shop
        shift warn 0 team-shop
        anomaly_rows warn 0 team-shop
        referential_shop_customers_id warn 0 team-shop"#]]
    .assert_eq(&checks.join("\n"));
    let bounds = flowline_model::CheckRule::Range {
        column: "amount".into(),
        min: Some("0".into()),
        max: Some("99.5".into()),
    };
    assert_eq!(read.checks[0].rule, bounds);
}

/// A rule that nothing would evaluate is refused, and not passed over.
#[test]
fn the_rule_of_a_column_of_a_view_is_refused_with_what_to_write_instead() {
    let of = |materialize: &str| {
        format!(
            "owner: team-shop\nzone: clean\nfrom: {{ source: sql }}\nmaterialize: {materialize}\nsql: select 1 as n\ncolumns:\n  - {{ name: n, type: int64, check: \"n > 0\" }}\n"
        )
    };
    check_dataset(
        &of("view"),
        expect![[r#"
        error[conflict]: `check` of a column is held against rows when they are written, and those of a view never are
         --> datasets/shop/orders.yaml:7:29
          |
        7 |   - { name: n, type: int64, check: "n > 0" }
          |                             ^^^^^
          |
          = help: write `checks: [{ kind: condition, expression: "n > 0" }]`, which is evaluated once a minute, or write the rows to a table (`materialize: full`, or another way)

        1 error
    "#]],
    );
    check_dataset(&of("full"), expect![[""]]);
}

#[test]
fn checks_that_cannot_be_are_refused() {
    check_dataset(
        "owner: team-shop\nzone: clean\nfrom: { source: http }\ncolumns:\n  - { name: id, type: string }\n  - { name: n, type: int64 }\nchecks:\n  - { kind: range, column: n, mim: 0, max: 1 }\n  - { kind: rnage, column: n }\n  - { kind: unique, columns: [idd] }\n  - { kind: unique, columns: [id], severity: quarantine_rows }\n  - { kind: row_count, min: 1, severity: block }\n  - { kind: length, column: n, min: 1 }\n  - { kind: range, column: n }\n  - { kind: completeness, partition: ts_day }\n  - { kind: freshness, within: 1h, severity: block }\n  - { kind: anomaly, metric: mean }\n",
        expect![[r#"
            error[unknown-key]: unknown key `mim`
             --> datasets/shop/orders.yaml:8:31
              |
            8 |   - { kind: range, column: n, mim: 0, max: 1 }
              |                               ^^^
              |
              = help: did you mean `min`?

            error[invalid-value]: `rnage` is not possible for `kind`
             --> datasets/shop/orders.yaml:9:13
              |
            9 |   - { kind: rnage, column: n }
              |             ^^^^^
              |
              = help: did you mean `range`?

            error[unknown-name]: there is no column `idd`
              --> datasets/shop/orders.yaml:10:31
               |
            10 |   - { kind: unique, columns: [idd] }
               |                               ^^^
               |
               = help: did you mean `id`? possible here: id, n

            error[conflict]: a check of kind `unique` does not say which rows fail
              --> datasets/shop/orders.yaml:11:46
               |
            11 |   - { kind: unique, columns: [id], severity: quarantine_rows }
               |                                              ^^^^^^^^^^^^^^^
               |
               = help: write `warn` or `block`

            error[conflict]: landing sees some records at a time, so that a check of kind `row_count` of the whole table cannot block it
              --> datasets/shop/orders.yaml:12:42
               |
            12 |   - { kind: row_count, min: 1, severity: block }
               |                                          ^^^^^
               |
               = help: write `warn`, or let a dataset with `source: sql` have this check

            error[conflict]: a check of kind `length` is for texts, and `n` is int64
              --> datasets/shop/orders.yaml:13:29
               |
            13 |   - { kind: length, column: n, min: 1 }
               |                             ^

            error[missing-key]: `min` or `max` is missing
              --> datasets/shop/orders.yaml:14:13
               |
            14 |   - { kind: range, column: n }
               |             ^^^^^
               |
               = help: write one of them, or both

            error[unknown-name]: the table is not split by `ts_day`
              --> datasets/shop/orders.yaml:15:38
               |
            15 |   - { kind: completeness, partition: ts_day }
               |                                      ^^^^^^
               |
               = help: say under `partition_by` how it is split

            error[conflict]: a check of kind `freshness` looks at what is committed and can block nothing
              --> datasets/shop/orders.yaml:16:46
               |
            16 |   - { kind: freshness, within: 1h, severity: block }
               |                                              ^^^^^
               |
               = help: write `warn`

            error[conflict]: `mean` is measured of a column, and none is named
              --> datasets/shop/orders.yaml:17:30
               |
            17 |   - { kind: anomaly, metric: mean }
               |                              ^^^^

            10 errors
        "#]],
    );
}

#[test]
fn a_view_keeps_nothing_back() {
    let view = |more: &str| {
        format!(
            "owner: team-shop\nzone: clean\nfrom: {{ source: sql }}\n{more}sql: select 1 as n\ncolumns:\n  - {{ name: n, type: int64 }}\nchecks:\n  - {{ kind: range, column: n, max: 1, severity: quarantine_rows }}\n  - {{ kind: row_count, min: 1, severity: block }}\n  - {{ kind: required, column: n }}\n"
        )
    };
    for written in ["", "materialize: view\n"] {
        let dir = project(&[("flowline.yaml", PROJECT), ("datasets/shop/orders.yaml", &view(written))]);
        let problems = read(dir.path(), None).diagnostics;
        let text = render(&problems, false);
        assert_eq!(text.matches("nothing is written of a view").count(), 2, "{text}");
        assert!(text.contains("help: write `warn`, or `materialize: full`"), "{text}");
        assert!(text.contains("2 errors"), "{text}");
    }
    let kept = dataset(&view("materialize: full\n"));
    let severities: Vec<_> = kept.checks.iter().map(|check| check.severity.as_str()).collect();
    assert_eq!(severities, ["quarantine_rows", "block", "warn"]);
}
