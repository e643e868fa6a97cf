//! What is said of a dataset's file, and what it becomes.

use expect_test::expect;
use flowline_model::{Origin, PartitionTransform};

use crate::support::{ORDERS, check, check_dataset, dataset};

#[test]
fn unknown_keys_come_with_the_nearest_right_one() {
    check_dataset(
        "onwer: team-shop\nzone: clean\nfrom: { source: http, partitons: 2 }\ncolumns:\n  - { nmae: id, type: string }\nkeys: [id]\npartitionBy: [id]\nzebra: 1\n",
        expect![[r#"
            error[unknown-key]: unknown key `onwer`
             --> datasets/shop/orders.yaml:1:1
              |
            1 | onwer: team-shop
              | ^^^^^
              |
              = help: did you mean `owner`?

            error[unknown-key]: unknown key `partitons`
             --> datasets/shop/orders.yaml:3:23
              |
            3 | from: { source: http, partitons: 2 }
              |                       ^^^^^^^^^
              |
              = help: did you mean `partitions`? possible here: source, partitions, partition_key, validate

            error[unknown-key]: unknown key `nmae`
             --> datasets/shop/orders.yaml:5:7
              |
            5 |   - { nmae: id, type: string }
              |       ^^^^
              |
              = help: did you mean `name`?

            error[unknown-key]: unknown key `keys`
             --> datasets/shop/orders.yaml:6:1
              |
            6 | keys: [id]
              | ^^^^
              |
              = help: did you mean `key`?

            error[unknown-key]: unknown key `partitionBy`
             --> datasets/shop/orders.yaml:7:1
              |
            7 | partitionBy: [id]
              | ^^^^^^^^^^^
              |
              = help: did you mean `partition_by`?

            error[unknown-key]: unknown key `zebra`
             --> datasets/shop/orders.yaml:8:1
              |
            8 | zebra: 1
              | ^^^^^
              |
              = help: possible here: description, owner, zone, from, materialize, mode, emit, state, divided, sql, columns, key, dedupe_horizon, event_time, partition_by, checks, compatibility, on_drift, slo, runbook, landing

            6 errors
        "#]],
    );
}

#[test]
fn a_late_policy_that_nothing_keeps_is_refused() {
    check_dataset(
        "\
owner: team-shop
zone: raw
from: { source: http }
columns: [{ name: ts, type: timestamp, format: epoch_ms }]
event_time: { column: ts, late: drop }
",
        expect![[r#"
            error[conflict]: what is landed is written however late it comes, so `drop` has no effect
             --> datasets/shop/orders.yaml:5:33
              |
            5 | event_time: { column: ts, late: drop }
              |                                 ^^^^
              |
              = help: leave `late` out, or write `reopen`; late records are landed and count as written

            1 error
        "#]],
    );
}

#[test]
fn a_table_of_sql_says_how_long_its_quarantine_is_kept_and_nothing_else_of_landing() {
    let of = |how: &str, landing: &str| {
        format!(
            "owner: team-shop\nzone: trusted\nfrom: {{ source: sql }}\n{how}landing: {{ {landing} }}\nsql: select 1 as one\n"
        )
    };
    let stream = "mode: stream\nevent_time: { column: ts, late: quarantine }\n";
    for how in ["materialize: full\n", stream] {
        let found = dataset(&of(how, "quarantine_retain_for: 30d"));
        assert_eq!(found.landing.quarantine_retain_for, Some(std::time::Duration::from_secs(30 * 86_400)));
    }
    check_dataset(
        &of("", "quarantine_retain_for: 30d, flush_bytes: 1MiB"),
        expect![[r#"
            error[conflict]: `landing.quarantine_retain_for` has no meaning for a view
             --> datasets/shop/orders.yaml:4:12
              |
            4 | landing: { quarantine_retain_for: 30d, flush_bytes: 1MiB }
              |            ^^^^^^^^^^^^^^^^^^^^^
              |
              = help: a view has no rows of its own that could be set aside; remove it

            error[conflict]: `landing.flush_bytes` has no meaning for `source: sql`
             --> datasets/shop/orders.yaml:4:40
              |
            4 | landing: { quarantine_retain_for: 30d, flush_bytes: 1MiB }
              |                                        ^^^^^^^^^^^
              |
              = help: it belongs to `source: http`, `source: files` and `source: kafka`

            2 errors
        "#]],
    );
}

#[test]
fn all_that_is_missing_is_said() {
    check_dataset(
        "description: nothing else\n",
        expect![[r#"
        error[missing-key]: `owner` is missing
         --> datasets/shop/orders.yaml:1:1
          |
        1 | description: nothing else
          | ^^^^^^^^^^^
          |
          = help: add `owner:` – the team that answers for it, one of those under `teams` in flowline.yaml

        error[missing-key]: `zone` is missing
         --> datasets/shop/orders.yaml:1:1
          |
        1 | description: nothing else
          | ^^^^^^^^^^^
          |
          = help: add `zone:` – where it stands between received and trusted

        error[missing-key]: `from` is missing
         --> datasets/shop/orders.yaml:1:1
          |
        1 | description: nothing else
          | ^^^^^^^^^^^
          |
          = help: add `from:` – where its rows come from

        3 errors
    "#]],
    );
    check_dataset(
        "owner:\nzone: raw\nfrom: { }\n",
        expect![[r#"
        error[missing-key]: `owner` has no value
         --> datasets/shop/orders.yaml:1:1
          |
        1 | owner:
          | ^^^^^
          |
          = help: add `owner:` – the team that answers for it, one of those under `teams` in flowline.yaml

        error[missing-key]: `source` is missing
         --> datasets/shop/orders.yaml:3:7
          |
        3 | from: { }
          |       ^^^
          |
          = help: possible here: http, files, kafka, sql

        2 errors
    "#]],
    );
    check_dataset(
        "",
        expect![[r#"
        error[missing-key]: the file is empty
        --> datasets/shop/orders.yaml:1:1
         = help: it needs at least owner, zone, from

        1 error
    "#]],
    );
    check_dataset(
        "- a list\n",
        expect![[r#"
            error[wrong-type]: the file must be a mapping, but this is a list
             --> datasets/shop/orders.yaml:1:1
              |
            1 | - a list
              | ^^^^^^^^
              |
              = help: write a mapping with the keys owner, zone, from, description, materialize, mode …

            error[invalid-value]: invalid length 1, expected struct DatasetFile with 21 elements
             --> datasets/shop/orders.yaml:1:1
              |
            1 | - a list
              | ^^^^^^^^

            2 errors
        "#]],
    );
}

#[test]
fn wrong_words_and_types() {
    check_dataset(
        "owner: 7\nzone: clen\nfrom: http\ncolumns: order_id\nkey: order_id\nslo: { freshness: { within: 5 minutes, target: 99 } }\n",
        expect![[r#"
            error[wrong-type]: `owner` must be a text, but this is a whole number
             --> datasets/shop/orders.yaml:1:8
              |
            1 | owner: 7
              |        ^
              |
              = help: put it in quotes: "7"

            error[invalid-value]: `clen` is not possible for `zone`
             --> datasets/shop/orders.yaml:2:7
              |
            2 | zone: clen
              |       ^^^^
              |
              = help: did you mean `clean`? possible here: raw, clean, trusted

            error[wrong-type]: `from` must be a mapping, but this is a text
             --> datasets/shop/orders.yaml:3:7
              |
            3 | from: http
              |       ^^^^
              |
              = help: write `from: { source: http }`

            error[wrong-type]: `columns` must be a list, but this is a text
             --> datasets/shop/orders.yaml:4:10
              |
            4 | columns: order_id
              |          ^^^^^^^^
              |
              = help: write a list of mappings, each with the keys name, type, field, required, unique, pii …

            error[wrong-type]: `key` must be a list, but this is a text
             --> datasets/shop/orders.yaml:5:6
              |
            5 | key: order_id
              |      ^^^^^^^^
              |
              = help: put it in brackets: [order_id]

            error[invalid-value]: `5 minutes` is not a duration
             --> datasets/shop/orders.yaml:6:29
              |
            6 | slo: { freshness: { within: 5 minutes, target: 99 } }
              |                             ^^^^^^^^^
              |
              = help: write a number and a unit of us, ms, s, m, h, d or w: `250ms`, `10s`, `5m`, `1h 30m`, `7d`

            error[wrong-type]: `target` must be a text, but this is a whole number
             --> datasets/shop/orders.yaml:6:48
              |
            6 | slo: { freshness: { within: 5 minutes, target: 99 } }
              |                                                ^^
              |
              = help: write percents above 0 and up to 100: `99%`, `99.9%`

            7 errors
        "#]],
    );
}

#[test]
fn what_later_versions_bring_is_told_apart_from_mistakes() {
    check_dataset(
        "owner: team-shop\nzone: raw\nfrom: { source: mqtt }\n",
        expect![[r#"
        error[not-supported]: `source: mqtt` is not supported by this version
         --> datasets/shop/orders.yaml:3:17
          |
        3 | from: { source: mqtt }
          |                 ^^^^
          |
          = help: possible here: http, files, kafka, sql

        1 error
    "#]],
    );
    check_dataset(
        "owner: team-shop\nzone: raw\nfrom: { source: streem }\n",
        expect![[r#"
        error[invalid-value]: `streem` is not possible for `source`
         --> datasets/shop/orders.yaml:3:17
          |
        3 | from: { source: streem }
          |                 ^^^^^^
          |
          = help: possible here: http, files, kafka, sql

        1 error
    "#]],
    );
}

#[test]
fn what_does_not_go_together() {
    check_dataset(
        &format!("{ORDERS}materialize: full\nsql: select 1\n"),
        expect![[r#"
        error[conflict]: `materialize` has no meaning for `source: http`
         --> datasets/shop/orders.yaml:8:1
          |
        8 | materialize: full
          | ^^^^^^^^^^^
          |
          = help: it belongs to `source: sql`

        error[conflict]: `sql` has no meaning for `source: http`
         --> datasets/shop/orders.yaml:9:1
          |
        9 | sql: select 1
          | ^^^
          |
          = help: it belongs to `source: sql`

        2 errors
    "#]],
    );
    check(
        &[
            ("flowline.yaml", crate::support::PROJECT),
            ("datasets/shop/a.yaml", "owner: team-shop\nzone: trusted\nfrom: { source: sql }\n"),
            (
                "datasets/shop/b.yaml",
                "owner: team-shop\nzone: trusted\nfrom: { source: sql }\nsql: select 1\n",
            ),
            ("datasets/shop/b.sql", "select 2"),
            (
                "datasets/shop/c.yaml",
                "owner: team-shop\nzone: trusted\nfrom: { source: sql }\nmaterialize: merge\n",
            ),
            ("datasets/shop/c.sql", "  \n"),
            (
                "datasets/shop/d.yaml",
                "owner: team-shop\nzone: trusted\nfrom: { source: sql }\nmaterialize: partition\nlanding: { flush_after: 1s }\nsql: select 1\n",
            ),
            ("datasets/shop/e.sql", "select 1"),
            ("datasets/shop/f.yaml", "owner: team-shop\nzone: raw\nfrom: { source: http }\n"),
            ("datasets/shop/f.sql", "select 1"),
        ],
        expect![[r#"
            error[missing-key]: `source: sql` needs a query
             --> datasets/shop/a.yaml:3:7
              |
            3 | from: { source: sql }
              |       ^^^^^^^^^^^^^^^
              |
              = help: write it in datasets/shop/a.sql, or here under `sql:`

            error[conflict]: the query stands here and in `datasets/shop/b.sql`
             --> datasets/shop/b.yaml:4:1
              |
            4 | sql: select 1
              | ^^^
              |
              = help: keep one of them

            error[invalid-value]: the query is empty
            --> datasets/shop/c.sql:1:1

            error[missing-key]: `materialize: merge` needs `key`
             --> datasets/shop/c.yaml:4:14
              |
            4 | materialize: merge
              |              ^^^^^
              |
              = help: name the columns that say which row is replaced: `key: [order_id]`

            error[missing-key]: `materialize: partition` needs `partition_by`
             --> datasets/shop/d.yaml:4:14
              |
            4 | materialize: partition
              |              ^^^^^^^^^
              |
              = help: name what the table is split by: `partition_by: [day(ts)]`

            error[conflict]: `landing.flush_after` has no meaning for `source: sql`
             --> datasets/shop/d.yaml:5:12
              |
            5 | landing: { flush_after: 1s }
              |            ^^^^^^^^^^^
              |
              = help: it belongs to `source: http`, `source: files` and `source: kafka`

            error[missing-file]: there is no `datasets/shop/e.yaml` beside this query
             --> datasets/shop/e.sql:1:1
              |
            1 | select 1
              | ^
              |
              = help: declare the dataset there: its owner, its zone, `source: sql`

            error[conflict]: `datasets/shop/f.yaml` says `source: http`, so this query is never run
             --> datasets/shop/f.sql:1:1
              |
            1 | select 1
              | ^
              |
              = help: remove it, or write `source: sql`

            error[missing-key]: `columns` is missing: what comes by http needs a contract
             --> datasets/shop/f.yaml:1:1
              |
            1 | owner: team-shop
              | ^^^^^
              |
              = help: name at least one: `- { name: id, type: string }`

            9 errors
        "#]],
    );
}

#[test]
fn files_and_their_patterns() {
    let file = |from: &str| {
        format!(
            "owner: team-shop\nzone: raw\ncolumns: [{{ name: id, type: string }}]\nfrom: {{ source: files, {from} }}\n"
        )
    };
    check_dataset(
        &file("location: inbox"),
        expect![[r#"
        warning[missing-file]: there is no folder `inbox` yet
         --> datasets/shop/orders.yaml:4:34
          |
        4 | from: { source: files, location: inbox }
          |                                  ^^^^^
          |
          = help: files are landed once it exists

        1 warning
    "#]],
    );
    check_dataset(
        &file("location: \"s4://bucket\", format: xlsx, poll_every: 1ms"),
        expect![[r#"
            error[invalid-value]: no object store is reached by `s4://`
             --> datasets/shop/orders.yaml:4:34
              |
            4 | from: { source: files, location: "s4://bucket", format: xlsx, poll_every: 1ms }
              |                                  ^^^^^^^^^^^^^
              |
              = help: did you mean `s3`?

            error[invalid-value]: `xlsx` is not possible for `format`
             --> datasets/shop/orders.yaml:4:57
              |
            4 | from: { source: files, location: "s4://bucket", format: xlsx, poll_every: 1ms }
              |                                                         ^^^^
              |
              = help: possible here: csv, json, ndjson, parquet, arrow

            2 errors
        "#]],
    );
    check_dataset(
        &file("location: \"s3://bucket/in/*.csv\", pattern: \"[\""),
        expect![[r#"
        error[invalid-value]: this is not a pattern of paths: unclosed character class; missing ']'
         --> datasets/shop/orders.yaml:4:67
          |
        4 | from: { source: files, location: "s3://bucket/in/*.csv", pattern: "[" }
          |                                                                   ^^^^
          |
          = help: write a glob below the folder: `*.csv`, `**/*.json`, `{a,b}/*.parquet`

        1 error
    "#]],
    );
    check_dataset(
        &file("location: \"s3://${NO_SUCH_VARIABLE}/in\""),
        expect![[r#"
        error[missing-variable]: the environment variable `NO_SUCH_VARIABLE` is not set
         --> datasets/shop/orders.yaml:4:34
          |
        4 | from: { source: files, location: "s3://${NO_SUCH_VARIABLE}/in" }
          |                                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: set it, or give a default: `${NO_SUCH_VARIABLE:-…}`

        1 error
    "#]],
    );
    let found = dataset(&file("location: \"s3://bucket/in/**/*.csv\", poll_every: 1m"));
    let Origin::Files(files) = found.origin else { panic!("{found:?}") };
    assert_eq!((files.location.as_str(), files.pattern.as_str()), ("s3://bucket/in", "**/*.csv"));
    assert_eq!((files.poll_every.as_secs(), files.format), (60, None));
}

#[test]
fn owner_and_runbook_must_exist() {
    check_dataset(
        "owner: team-shpo\nzone: raw\nfrom: { source: http }\ncolumns: [{ name: id, type: string }]\nrunbook: runbooks/oders.md\n",
        expect![[r#"
        error[unknown-name]: no team `team-shpo` is declared
         --> datasets/shop/orders.yaml:1:8
          |
        1 | owner: team-shpo
          |        ^^^^^^^^^
          |
          = help: did you mean `team-shop`?

        error[missing-file]: there is no file `runbooks/oders.md` in the project
         --> datasets/shop/orders.yaml:5:10
          |
        5 | runbook: runbooks/oders.md
          |          ^^^^^^^^^^^^^^^^^
          |
          = help: write down there what to do when this dataset breaks

        2 errors
    "#]],
    );
}

#[test]
fn a_dataset_becomes_what_it_says() {
    let text = "\
description: One row an order.
owner: team-shop
zone: clean
from: { source: http, partitions: 4, validate: at_gateway }
columns:
  - { name: order_id, type: string, required: true, unique: true }
  - { name: cost, field: \"Cost Total $\", type: \"decimal(12,2)\", check: \"cost >= 0\" }
  - { name: email, type: string, pii: email }
  - { name: ts, type: timestamp, format: \"%m/%d/%Y\" }
key: [order_id]
dedupe_horizon: 1h
event_time: { column: ts, watermark: 1m, late: reopen }
partition_by: [day(ts), email]
compatibility: backward
slo: { freshness: { within: 5m, target: 99% }, completeness: { target: 99.9% } }
landing: { flush_bytes: 1MiB, flush_after: 500ms }
";
    let found = dataset(text);
    expect![[r#"
        {
          "name": "shop.orders",
          "description": "One row an order.",
          "owner": "team-shop",
          "zone": "clean",
          "origin": {
            "kind": "http",
            "partitions": 4,
            "validation": "at-gateway"
          },
          "columns": [
            {
              "name": "order_id",
              "type": "string",
              "required": true,
              "unique": true
            },
            {
              "name": "cost",
              "field": "Cost Total $",
              "type": "decimal(12,2)",
              "required": false,
              "unique": false,
              "check": "cost >= 0"
            },
            {
              "name": "email",
              "type": "string",
              "required": false,
              "unique": false,
              "pii": "email"
            },
            {
              "name": "ts",
              "type": "timestamp",
              "required": false,
              "unique": false,
              "format": "%m/%d/%Y"
            }
          ],
          "key": [
            "order_id"
          ],
          "dedupe_horizon": {
            "secs": 3600,
            "nanos": 0
          },
          "event_time": {
            "column": "ts",
            "watermark": {
              "secs": 60,
              "nanos": 0
            },
            "late": "reopen"
          },
          "partition_by": [
            {
              "column": "ts",
              "transform": "day"
            },
            {
              "column": "email",
              "transform": "identity"
            }
          ],
          "compatibility": "backward",
          "checks": [],
          "slo": {
            "freshness_within": {
              "secs": 300,
              "nanos": 0
            },
            "freshness_target": 0.99,
            "completeness_target": 0.999
          },
          "runbook": null,
          "on_drift": "accept_new_fields",
          "landing": {
            "flush_bytes": 1048576,
            "flush_after": {
              "secs": 0,
              "nanos": 500000000
            },
            "quarantine_retain_for": null,
            "keep": "table"
          },
          "declared_in": "datasets/shop/orders.yaml"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&found).unwrap());
    assert_eq!(found.partition_by[0].transform, PartitionTransform::Day);
}

/// The example by which the design introduces datasets.
#[test]
fn the_design_holds() {
    let text = "\
description: One row an order, deduplicated, typed.
owner: team-shop                       # a team declared in flowline.yaml, with its alert routes
zone: clean
from: { source: http }                 # or: sql (batch), stream (streaming SQL), files, kafka, postgres …
columns:
  - { name: order_id, type: string, required: true, unique: true }
  - { name: email,    type: string, pii: email }
  - { name: amount,   type: \"decimal(12,2)\", required: true, check: \"amount >= 0\" }
  - { name: ts,       type: timestamp, required: true }
key: [order_id]                        # idempotency: the same key again is a duplicate, counted
event_time: { column: ts, watermark: 10s, late: reopen }
partition_by: [day(ts)]
compatibility: backward
slo:
  freshness:    { within: 5m,  target: 99% }
  completeness: { target: 99.9% }
runbook: runbooks/orders.md
";
    let files = [
        ("flowline.yaml", crate::support::PROJECT),
        ("datasets/shop/orders.yaml", text),
        ("runbooks/orders.md", "call"),
    ];
    check(&files, expect![""]);
}

/// Where inline SQL stands decides where its errors point.
#[test]
fn inline_sql_knows_its_place() {
    for (text, line, indent, query) in [
        ("sql: |\n  select 1\n  from x\n", 4, 2, "select 1\nfrom x\n"),
        ("sql: >-\n\n    select 1\n      from x\n", 4, 4, "\nselect 1\n  from x"),
        ("sql: |2-\n    select 1\n", 4, 2, "  select 1"),
        ("sql: select 1\n", 3, 5, "select 1"),
        ("sql: \"select 1\"\n", 3, 6, "select 1"),
        ("\"sql\":   'select 1'\n", 3, 10, "select 1"),
    ] {
        let declared = dataset(&format!("owner: team-shop\nzone: trusted\n{text}from: {{ source: sql }}\n"));
        let Origin::Sql(sql) = declared.origin else { panic!("{declared:?}") };
        assert_eq!((sql.line, sql.indent, sql.text.as_str()), (line, indent, query), "{text}");
        assert_eq!(sql.file, "datasets/shop/orders.yaml");
    }
}

#[test]
fn what_goes_with_a_stream() {
    let base = "owner: team-shop\nzone: trusted\nfrom: { source: sql }\nsql: select ts from shop.orders\n";
    let out = |rest: &str| format!("{base}{rest}");
    let time = "event_time: { column: ts, watermark: 1m, idle_after: 30s, late: quarantine }\n";
    check(
        &[
            ("flowline.yaml", crate::support::PROJECT),
            ("datasets/shop/orders.yaml", ORDERS),
            ("datasets/shop/a.yaml", &out(&format!("mode: stream\nemit: on_change\n{time}"))),
            ("datasets/shop/b.yaml", &out("mode: stream\nmaterialize: full\n")),
            ("datasets/shop/c.yaml", &out(&format!("emit: on_close\n{time}"))),
            ("datasets/shop/d.yaml", &format!("{ORDERS}mode: stream\n")),
            ("datasets/shop/e.yaml", &out(&format!("mode: stream\nstate: {{ limit: 1MiB }}\n{time}"))),
            ("datasets/shop/f.yaml", &out(&format!("state: {{ limit: 64MiB }}\n{time}"))),
            ("datasets/shop/g.yaml", &out(&format!("mode: stream\nstate: {{ limit: 64MiB }}\n{time}"))),
        ],
        expect![[r#"
            error[missing-key]: `mode: stream` needs `event_time`
             --> datasets/shop/b.yaml:5:7
              |
            5 | mode: stream
              |       ^^^^^^
              |
              = help: say which column of the inputs is the time: `event_time: { column: ts, watermark: 10s }`

            error[conflict]: `materialize` has no meaning for `mode: stream`
             --> datasets/shop/b.yaml:6:1
              |
            6 | materialize: full
              | ^^^^^^^^^^^
              |
              = help: remove it: a stream writes rows as `emit` says

            error[conflict]: `emit` has no meaning without `mode: stream`
             --> datasets/shop/c.yaml:5:1
              |
            5 | emit: on_close
              | ^^^^
              |
              = help: remove it, or add `mode: stream`

            error[conflict]: `idle_after` has no meaning without `mode: stream`
             --> datasets/shop/c.yaml:6:42
              |
            6 | event_time: { column: ts, watermark: 1m, idle_after: 30s, late: quarantine }
              |                                          ^^^^^^^^^^
              |
              = help: remove it

            error[conflict]: what is landed is written however late it comes, so `quarantine` has no effect
             --> datasets/shop/c.yaml:6:65
              |
            6 | event_time: { column: ts, watermark: 1m, idle_after: 30s, late: quarantine }
              |                                                                 ^^^^^^^^^^
              |
              = help: leave `late` out, or write `reopen`; late records are landed and count as written

            error[conflict]: `mode` has no meaning for `source: http`
             --> datasets/shop/d.yaml:8:1
              |
            8 | mode: stream
              | ^^^^
              |
              = help: it belongs to `source: sql`

            error[invalid-value]: this must be at least 16MiB
             --> datasets/shop/e.yaml:6:17
              |
            6 | state: { limit: 1MiB }
              |                 ^^^^
              |
              = help: a run holds some batches of rows whatever it computes

            error[conflict]: `state` has no meaning without `mode: stream`
             --> datasets/shop/f.yaml:5:1
              |
            5 | state: { limit: 64MiB }
              | ^^^^^
              |
              = help: remove it, or add `mode: stream`

            error[conflict]: `idle_after` has no meaning without `mode: stream`
             --> datasets/shop/f.yaml:6:42
              |
            6 | event_time: { column: ts, watermark: 1m, idle_after: 30s, late: quarantine }
              |                                          ^^^^^^^^^^
              |
              = help: remove it

            error[conflict]: what is landed is written however late it comes, so `quarantine` has no effect
             --> datasets/shop/f.yaml:6:65
              |
            6 | event_time: { column: ts, watermark: 1m, idle_after: 30s, late: quarantine }
              |                                                                 ^^^^^^^^^^
              |
              = help: leave `late` out, or write `reopen`; late records are landed and count as written

            10 errors
        "#]],
    );
}
