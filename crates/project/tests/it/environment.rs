//! Environments: variables, addresses, tokens, and which one is chosen.

use std::path::Path;
use std::time::Duration;

use expect_test::{Expect, expect};
use flowline_model::{LandingSettings, LogSettings};
use flowline_project::{load, read, render};

use crate::support::{PROJECT, check, project};

fn check_environment(text: &str, expected: Expect) {
    let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
    check(&[("flowline.yaml", &format!("{PROJECT}environments:\n  dev:\n{indented}"))], expected);
}

#[test]
fn a_project_without_environments_runs_here() {
    let dir = project(&[("flowline.yaml", PROJECT)]);
    let plan = load(dir.path(), None).unwrap().plan;
    let root = dir.path().canonicalize().unwrap();
    let environment = plan.environment;
    assert_eq!(environment.name, "dev");
    assert_eq!(environment.data_dir, root.join(".flowline"));
    assert_eq!(environment.lake, format!("file://{}/.flowline/lake", root.display()));
    assert_eq!(environment.ledger, format!("sqlite://{}/.flowline/ledger.db", root.display()));
    assert_eq!(environment.http.to_string(), "127.0.0.1:8200");
    assert_eq!(environment.postgres.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:5433"));
    assert_eq!(environment.log, LogSettings::default(), "the defaults of the file are those of the model");
}

#[test]
fn landing_defaults_are_those_of_the_model() {
    let declared = crate::support::dataset(crate::support::ORDERS);
    assert_eq!(declared.landing, LandingSettings::default());
    assert_eq!(declared.dedupe_horizon, Duration::from_secs(24 * 3_600));
}

#[test]
fn an_environment_becomes_what_it_says() {
    let text = "\
environments:
  prod:
    data_dir: /srv/data dir/../flowline
    lake: s3://bucket/lake/
    storage_options: { aws_region: eu-central-1, aws_allow_http: true, timeout: 30 }
    ledger: \"postgres://flowline:secret@db/flowline\"
    http: 0.0.0.0:80
    postgres: off
    tokens:
      - { name: ci, sha256: 9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08 }
    log: { sync_window: 1ms, segment_bytes: 1MiB, bytes_max: 1GiB, retain_for: 1h, retain_bytes: 0 }
    limits: { body_bytes_max: 1000000, concurrency: 8, query_memory_bytes: 2GiB }
";
    let dir = project(&[("flowline.yaml", &format!("{PROJECT}{text}"))]);
    let environment = load(dir.path(), Some("prod")).unwrap().plan.environment;
    expect![[r#"
        Environment {
            name: "prod",
            data_dir: "/srv/flowline",
            lake: "s3://bucket/lake",
            storage_options: {
                "aws_allow_http": "true",
                "aws_region": "eu-central-1",
                "timeout": "30",
            },
            ledger: "postgres://flowline:secret@db/flowline",
            log: LogSettings {
                sync_window: 1ms,
                segment_bytes: 1048576,
                bytes_max: 1073741824,
                retain_for: 3600s,
                retain_bytes: 0,
                kafka: None,
            },
            kafka: None,
            http: 0.0.0.0:80,
            postgres: None,
            tokens: [
                Token {
                    name: "ci",
                    sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                },
            ],
            body_bytes_max: 1000000,
            concurrency: 8,
            query_memory_bytes: 2147483648,
        }
    "#]]
    .assert_eq(&format!("{environment:#?}\n"));
}

#[test]
fn relative_places_begin_at_the_project() {
    let text =
        "environments: { dev: { data_dir: ../data, lake: ./lake, ledger: \"sqlite://x/l 100%.db\" } }\n";
    let dir = project(&[("shop/flowline.yaml", &format!("{PROJECT}{text}"))]);
    let environment = load(&dir.path().join("shop"), None).unwrap().plan.environment;
    let root = dir.path().canonicalize().unwrap();
    assert_eq!(environment.data_dir, root.join("data"));
    assert_eq!(environment.lake, format!("file://{}/shop/lake", root.display()));
    assert_eq!(environment.ledger, format!("sqlite://{}/shop/x/l 100%25.db", root.display()));
}

#[test]
fn nothing_is_open_without_tokens() {
    check_environment(
        "http: 0.0.0.0:8200\npostgres: \"[::]:5433\"\n",
        expect![[r#"
        error[no-authentication]: `0.0.0.0:8200` is open to the network, and no token is asked for
         --> flowline.yaml:5:11
          |
        5 |     http: 0.0.0.0:8200
          |           ^^^^^^^^^^^^
          |
          = help: declare `tokens:`, or listen on 127.0.0.1:8200

        error[no-authentication]: `[::]:5433` is open to the network, and no token is asked for
         --> flowline.yaml:6:15
          |
        6 |     postgres: "[::]:5433"
          |               ^^^^^^^^^^^
          |
          = help: declare `tokens:`, or listen on 127.0.0.1:5433

        2 errors
    "#]],
    );
    check_environment(
        "http: 127.0.0.1:5433\n",
        expect![[r#"
        error[conflict]: `http` and `postgres` both listen on port 5433
         --> flowline.yaml:5:11
          |
        5 |     http: 127.0.0.1:5433
          |           ^^^^^^^^^^^^^^
          |
          = help: give each a port of its own

        1 error
    "#]],
    );
    check_environment(
        "http: example.org:80\npostgres: 5433\n",
        expect![[r#"
        error[invalid-value]: `example.org:80` is not an address to listen on
         --> flowline.yaml:5:11
          |
        5 |     http: example.org:80
          |           ^^^^^^^^^^^^^^
          |
          = help: write an IP address and a port: `127.0.0.1:8200`, `0.0.0.0:8200`, `[::1]:8200`

        error[wrong-type]: `postgres` must be a text, but this is a whole number
         --> flowline.yaml:6:15
          |
        6 |     postgres: 5433
          |               ^^^^
          |
          = help: write an IP address and a port, `127.0.0.1:5433`, or `off`

        2 errors
    "#]],
    );
}

#[test]
fn variables_must_be_set_where_the_project_runs() {
    check_environment(
        "data_dir: ${NO_SUCH_VARIABLE}\nledger: \"postgres://u:${NO_SUCH_VARIABLE}@h/d\"\nhttp: 127.0.0.1:${NO_SUCH_VARIABLE:-9000}\nlake: ${A\n",
        expect![[r#"
        error[missing-variable]: the environment variable `NO_SUCH_VARIABLE` is not set
         --> flowline.yaml:5:15
          |
        5 |     data_dir: ${NO_SUCH_VARIABLE}
          |               ^^^^^^^^^^^^^^^^^^^
          |
          = help: set it, or give a default: `${NO_SUCH_VARIABLE:-…}`

        error[missing-variable]: the environment variable `NO_SUCH_VARIABLE` is not set
         --> flowline.yaml:6:13
          |
        6 |     ledger: "postgres://u:${NO_SUCH_VARIABLE}@h/d"
          |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: set it, or give a default: `${NO_SUCH_VARIABLE:-…}`

        error[invalid-value]: `${` has no `}`
         --> flowline.yaml:8:11
          |
        8 |     lake: ${A
          |           ^^^
          |
          = help: write `$${` for a plain `${`

        3 errors
    "#]],
    );
    let other = format!(
        "{PROJECT}environments:\n  dev: {{ http: 127.0.0.1:8200 }}\n  prod: {{ data_dir: \"${{NO_SUCH_VARIABLE}}\", http: 0.0.0.0:1 }}\n"
    );
    check(
        &[("flowline.yaml", &other)],
        expect![[r#"
        error[no-authentication]: `0.0.0.0:1` is open to the network, and no token is asked for
         --> flowline.yaml:5:50
          |
        5 |   prod: { data_dir: "${NO_SUCH_VARIABLE}", http: 0.0.0.0:1 }
          |                                                  ^^^^^^^^^
          |
          = help: declare `tokens:`, or listen on 127.0.0.1:1

        1 error
    "#]],
    );
}

#[test]
fn tokens_are_hashes_with_names() {
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    check_environment(
        &format!(
            "tokens:\n  - {{ name: a, sha256: secret }}\n  - {{ name: b, sha256: {hash} }}\n  - {{ name: b, sha256: {hash} }}\n  - {{ name: c }}\n  - plain\n"
        ),
        expect![[r#"
            error[invalid-value]: this is not a SHA-256 in hexadecimal
             --> flowline.yaml:6:28
              |
            6 |       - { name: a, sha256: secret }
              |                            ^^^^^^
              |
              = help: write the 64 digits that `printf %s "$TOKEN" | sha256sum` prints, never the token itself

            error[duplicate-name]: there are two tokens `b`
             --> flowline.yaml:8:17
              |
            8 |       - { name: b, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }
              |                 ^
              |
              = help: give each holder a name of its own

            error[missing-key]: `sha256` is missing
             --> flowline.yaml:9:9
              |
            9 |       - { name: c }
              |         ^^^^^^^^^^^
              |
              = help: add `sha256:` – the SHA-256 of the token, 64 hexadecimal digits: `printf %s "$TOKEN" | sha256sum`

            error[wrong-type]: item 5 of `tokens` must be a mapping, but this is a text
              --> flowline.yaml:10:9
               |
            10 |       - plain
               |         ^^^^^
               |
               = help: write a mapping with the keys name, sha256

            4 errors
        "#]],
    );
}

#[test]
fn bounds() {
    check_environment(
        "log: { sync_window: 5s, segment_bytes: 1KiB, bytes_max: 10 }\nlimits: { body_bytes_max: 2GiB, concurrency: 0, query_memory_bytes: -1 }\nengine: ballista\nlogs: {}\n",
        expect![[r#"
            error[invalid-value]: `sync_window` must be at most 1s
             --> flowline.yaml:5:25
              |
            5 |     log: { sync_window: 5s, segment_bytes: 1KiB, bytes_max: 10 }
              |                         ^^
              |
              = help: every request waits for it

            error[invalid-value]: `segment_bytes` must be at least 64KiB
             --> flowline.yaml:5:44
              |
            5 |     log: { sync_window: 5s, segment_bytes: 1KiB, bytes_max: 10 }
              |                                            ^^^^

            error[conflict]: `bytes_max` is smaller than `segment_bytes`
             --> flowline.yaml:5:61
              |
            5 |     log: { sync_window: 5s, segment_bytes: 1KiB, bytes_max: 10 }
              |                                                             ^^
              |
              = help: retention deletes whole segments: let several of them fit

            error[invalid-value]: `body_bytes_max` must be between 1 byte and 1GiB
             --> flowline.yaml:6:31
              |
            6 |     limits: { body_bytes_max: 2GiB, concurrency: 0, query_memory_bytes: -1 }
              |                               ^^^^
              |
              = help: larger inputs are better landed as files

            error[invalid-value]: `concurrency` must be at least 1, but this is 0
             --> flowline.yaml:6:50
              |
            6 |     limits: { body_bytes_max: 2GiB, concurrency: 0, query_memory_bytes: -1 }
              |                                                  ^

            error[invalid-value]: `query_memory_bytes` must be at least 0, but this is -1
             --> flowline.yaml:6:73
              |
            6 |     limits: { body_bytes_max: 2GiB, concurrency: 0, query_memory_bytes: -1 }
              |                                                                         ^^

            error[not-supported]: `engine` is not supported by this version
             --> flowline.yaml:7:5
              |
            7 |     engine: ballista
              |     ^^^^^^
              |
              = help: possible here: data_dir, lake, storage_options, ledger, log, kafka, http, postgres, tokens, limits

            error[unknown-key]: unknown key `logs`
             --> flowline.yaml:8:5
              |
            8 |     logs: {}
              |     ^^^^
              |
              = help: did you mean `log`?

            8 errors
        "#]],
    );
    check(
        &[(
            "flowline.yaml",
            &format!("{PROJECT}defaults: {{ landing: {{ flush_bytes: 1, flush_after: 0s }} }}\n"),
        )],
        expect![[r#"
        error[invalid-value]: `flush_bytes` must be between 4KiB and 4GiB
         --> flowline.yaml:3:37
          |
        3 | defaults: { landing: { flush_bytes: 1, flush_after: 0s } }
          |                                     ^

        error[invalid-value]: `flush_after` must be between 10ms and 24h
         --> flowline.yaml:3:53
          |
        3 | defaults: { landing: { flush_bytes: 1, flush_after: 0s } }
          |                                                     ^^

        2 errors
    "#]],
    );
}

#[test]
fn the_environment_that_is_asked_for_must_exist() {
    let text = format!("{PROJECT}environments:\n  staging: {{}}\n  prod: {{}}\n");
    let dir = project(&[("flowline.yaml", &text)]);
    let said = |wanted| render(&read(dir.path(), wanted).diagnostics, false);
    expect![[r#"
        error[unknown-name]: there is no environment `dev`
         --> flowline.yaml:3:1
          |
        3 | environments:
          | ^^^^^^^^^^^^
          |
          = help: name one with `--env`, or declare `dev`; there are: prod, staging

        1 error
    "#]]
    .assert_eq(&said(None));
    expect![[r#"
        error[unknown-name]: there is no environment `prdo`
         --> flowline.yaml:3:1
          |
        3 | environments:
          | ^^^^^^^^^^^^
          |
          = help: did you mean `prod`? possible here: prod, staging

        1 error
    "#]]
    .assert_eq(&said(Some("prdo")));
    assert_eq!(said(Some("staging")), "");
    assert!(load(Path::new("/nonexistent/project"), None).is_err());
}
