//! Datasets whose rows are kept in the log alone: what goes with that, and what is said where something does not.

use expect_test::{Expect, expect};
use flowline_model::Keep;
use flowline_project::load;

use crate::support::{PROJECT, check, check_dataset, dataset, project};

/// A dataset whose rows are kept in the log, with these lines besides.
fn kept(lines: &str) -> String {
    format!(
        "owner: team-shop\nzone: raw\nfrom: {{ source: http }}\nlanding: {{ keep: log }}\ncolumns:\n  - {{ name: id, type: string, required: true }}\n  - {{ name: amount, type: int64, check: \"amount >= 0\" }}\n  - {{ name: ts, type: timestamp }}\n{lines}"
    )
}

fn refused(lines: &str, expected: Expect) {
    check_dataset(&kept(lines), expected);
}

#[test]
fn rows_may_stay_in_the_log() {
    for lines in [
        "",
        "event_time: { column: ts }\nslo: { freshness: { within: 1m }, completeness: { target: 99% } }\n",
        "on_drift: accept_new_fields\n",
        "on_drift: stop\n",
        "checks:\n  - { kind: range, column: amount, max: 9, severity: block }\n  - { kind: required, column: ts, severity: quarantine_rows }\n  - { kind: condition, expression: amount < 7 }\n",
    ] {
        assert!(dataset(&kept(lines)).kept_in_log(), "{lines}");
    }
    let by_column = kept("").replace("source: http", "source: http, partition_key: [id], partitions: 3");
    assert!(dataset(&by_column).kept_in_log());
    assert!(!dataset(&kept("").replace("keep: log", "keep: table")).kept_in_log());
    let files =
        kept("").replace("source: http", "source: files, location: .").replace("keep: log", "keep: table");
    assert_eq!(dataset(&files).landing.keep, Keep::Table);
    let topic = "name: shop\nteams: { team-shop: { contact: shop@example.org } }\nenvironments: { dev: { kafka: { brokers: [\"kafka:9092\"] } } }\n";
    let orders = kept("").replace("source: http", "source: kafka, topic: orders");
    let dir = project(&[("flowline.yaml", topic), ("datasets/shop/orders.yaml", &orders)]);
    assert!(load(dir.path(), None).unwrap().plan.datasets[0].kept_in_log());
}

/// They wait in memory until they are committed.
#[test]
fn rows_that_stay_in_the_log_are_committed_sooner() {
    let bytes_of = |defaults: &str, landing: &str| {
        let orders = kept("").replace("keep: log", landing);
        let flowline = format!("{PROJECT}{defaults}");
        let dir = project(&[("flowline.yaml", &flowline), ("datasets/shop/orders.yaml", &orders)]);
        load(dir.path(), None).unwrap().plan.datasets[0].landing.flush_bytes >> 20
    };
    let of_all = |bytes: &str| format!("defaults: {{ landing: {{ flush_bytes: {bytes} }} }}\n");
    assert_eq!(bytes_of("", "keep: table"), 128);
    assert_eq!(bytes_of("", "keep: log"), 64);
    assert_eq!(bytes_of("", "keep: log, flush_bytes: 96MiB"), 96);
    assert_eq!(bytes_of(&of_all("256MiB"), "keep: log"), 64);
    assert_eq!(bytes_of(&of_all("8MiB"), "keep: log"), 8);
}

#[test]
fn where_there_is_no_log_nothing_is_kept_in_it() {
    check_dataset(
        &kept("").replace("source: http", "source: files, location: ."),
        expect![[r#"
        error[conflict]: `keep: log` has no meaning for `source: files`: files do not pass through the log
         --> datasets/shop/orders.yaml:4:18
          |
        4 | landing: { keep: log }
          |                  ^^^
          |
          = help: it belongs to `source: http` and `source: kafka`

        1 error
    "#]],
    );
    check_dataset(
        "owner: team-shop\nzone: raw\nfrom: { source: sql }\nmaterialize: full\nlanding: { keep: log }\nsql: select 1 as one\n",
        expect![[r#"
        error[conflict]: `landing.keep` has no meaning for `source: sql`
         --> datasets/shop/orders.yaml:5:12
          |
        5 | landing: { keep: log }
          |            ^^^^
          |
          = help: it belongs to `source: http` and `source: kafka`

        1 error
    "#]],
    );
    check_dataset(
        &kept("").replace("keep: log", "keep: logs"),
        expect![[r#"
        error[invalid-value]: `logs` is not possible for `keep`
         --> datasets/shop/orders.yaml:4:18
          |
        4 | landing: { keep: logs }
          |                  ^^^^
          |
          = help: did you mean `log`? possible here: table, log

        1 error
    "#]],
    );
}

#[test]
fn it_is_said_by_each_dataset() {
    let flowline = format!("{PROJECT}defaults: {{ landing: {{ flush_after: 1s, keep: log }} }}\n");
    check(
        &[("flowline.yaml", &flowline)],
        expect![[r#"
        error[conflict]: where the rows of a dataset lie is said by that dataset, not for all of them
         --> flowline.yaml:3:41
          |
        3 | defaults: { landing: { flush_after: 1s, keep: log } }
          |                                         ^^^^
          |
          = help: write `landing: { keep: log }` in the file of each dataset that needs no table

        1 error
    "#]],
    );
}

#[test]
fn what_is_found_in_the_table_cannot_be_found() {
    refused(
        "key: [id]\n",
        expect![[r#"
        error[conflict]: duplicates are found by what is read back from the table, and with `keep: log` no rows are in it
         --> datasets/shop/orders.yaml:9:1
          |
        9 | key: [id]
          | ^^^
          |
          = help: remove it, or write `keep: table`; how records are partitioned is said by `partition_key`, under `from`

        1 error
    "#]],
    );
    refused(
        "dedupe_horizon: 1h\npartition_by: [day(ts)]\n",
        expect![[r#"
        error[conflict]: duplicates are found by what is read back from the table, and with `keep: log` no rows are in it
         --> datasets/shop/orders.yaml:9:1
          |
        9 | dedupe_horizon: 1h
          | ^^^^^^^^^^^^^^
          |
          = help: remove it, or write `keep: table`

        error[conflict]: `partition_by` splits the files of a table, and with `keep: log` there are none
          --> datasets/shop/orders.yaml:10:1
           |
        10 | partition_by: [day(ts)]
           | ^^^^^^^^^^^^
           |
           = help: remove it, or write `keep: table`; the tables that are made of it may be split

        2 errors
    "#]],
    );
    check_dataset(
        &kept("").replace("required: true", "required: true, unique: true"),
        expect![[r#"
        error[conflict]: duplicates are found by what is read back from the table, and with `keep: log` no rows are in it
         --> datasets/shop/orders.yaml:6:47
          |
        6 |   - { name: id, type: string, required: true, unique: true }
          |                                               ^^^^^^
          |
          = help: remove it, or write `keep: table`

        1 error
    "#]],
    );
    refused(
        "on_drift: quarantine\n",
        expect![[r#"
        error[conflict]: which records were set aside for drift is not known when the log is read again
         --> datasets/shop/orders.yaml:9:11
          |
        9 | on_drift: quarantine
          |           ^^^^^^^^^^
          |
          = help: write `accept_new_fields` or `stop`, or `keep: table`

        1 error
    "#]],
    );
}

#[test]
fn checks_of_the_whole_table_stand_elsewhere() {
    let kinds = [
        "{ kind: unique, columns: [id] }",
        "{ kind: row_count, min: 1 }",
        "{ kind: freshness, within: 1h }",
        "{ kind: referential, columns: [id], to: shop.others }",
        "{ kind: anomaly, metric: rows }",
        "{ kind: sql, name: none, query: select 1 from shop.orders }",
    ];
    refused(
        &format!("checks:\n  - {}\n", kinds.join("\n  - ")),
        expect![[r#"
        error[conflict]: a check of kind `unique` is about the whole table, and with `keep: log` no rows are in it
          --> datasets/shop/orders.yaml:10:13
           |
        10 |   - { kind: unique, columns: [id] }
           |             ^^^^^^
           |
           = help: let a dataset that is made of it have this check, or write `keep: table`

        error[conflict]: a check of kind `row_count` is about the whole table, and with `keep: log` no rows are in it
          --> datasets/shop/orders.yaml:11:13
           |
        11 |   - { kind: row_count, min: 1 }
           |             ^^^^^^^^^
           |
           = help: let a dataset that is made of it have this check, or write `keep: table`

        error[conflict]: a check of kind `freshness` is about the whole table, and with `keep: log` no rows are in it
          --> datasets/shop/orders.yaml:12:13
           |
        12 |   - { kind: freshness, within: 1h }
           |             ^^^^^^^^^
           |
           = help: let a dataset that is made of it have this check, or write `keep: table`

        error[conflict]: a check of kind `referential` is about the whole table, and with `keep: log` no rows are in it
          --> datasets/shop/orders.yaml:13:13
           |
        13 |   - { kind: referential, columns: [id], to: shop.others }
           |             ^^^^^^^^^^^
           |
           = help: let a dataset that is made of it have this check, or write `keep: table`

        error[conflict]: a check of kind `anomaly` is about the whole table, and with `keep: log` no rows are in it
          --> datasets/shop/orders.yaml:14:13
           |
        14 |   - { kind: anomaly, metric: rows }
           |             ^^^^^^^
           |
           = help: let a dataset that is made of it have this check, or write `keep: table`

        error[conflict]: a check of kind `sql` is about the whole table, and with `keep: log` no rows are in it
          --> datasets/shop/orders.yaml:15:13
           |
        15 |   - { kind: sql, name: none, query: select 1 from shop.orders }
           |             ^^^
           |
           = help: let a dataset that is made of it have this check, or write `keep: table`

        6 errors
    "#]],
    );
}
