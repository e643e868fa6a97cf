//! `flowline test`: tests of a project that pass, that fail, and that cannot be run.

use serde_json::Value;

use crate::project::{project, run, run_well};

const FLOWLINE: &str = "name: tested\nteams:\n  team-tested: { contact: team-tested@example.org }\n";

const ORDERS: &str = "owner: team-tested
zone: clean
from: { source: http }
key: [id]
columns:
  - { name: id, type: string, required: true }
  - { name: country, type: string }
  - { name: amount, type: \"decimal(12,2)\", check: \"amount >= 0\" }
  - { name: ts, type: timestamp, required: true }
";

const BY_COUNTRY: &str = "owner: team-tested
zone: trusted
from: { source: sql }
materialize: full
sql: SELECT country, sum(amount) AS revenue FROM tested.orders GROUP BY country
";

const SHARE: &str = "owner: team-tested
zone: trusted
from: { source: sql }
materialize: view
sql: SELECT country, revenue / (SELECT sum(revenue) FROM tested.by_country) AS share FROM tested.by_country
";

const BY_MINUTE: &str = "owner: team-tested
zone: trusted
from: { source: sql }
mode: stream
event_time: { column: ts, watermark: 10s, late: reopen }
sql: |
  SELECT window_start, window_end, count(*) AS orders FROM TABLE(TUMBLE(TABLE tested.orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end
";

const TESTS: &str = "tests:
  - name: what is broken or sent twice does not count
    given:
      - tested.orders:
          rows:
            - { id: a, country: de, amount: 10.00, ts: 2026-01-05T08:00:00Z }
            - { id: a, country: de, amount: 10.00, ts: 2026-01-05T08:00:00Z }
            - { id: b, country: fr, amount: -1, ts: 2026-01-05T08:00:00Z }
            - { id: c, country: null, amount: 5, ts: 2026-01-05T08:00:00Z }
    expect:
      tested.orders: { count: 2, quarantined: 1, duplicates: 1 }
      tested.by_country:
        rows:
          - { country: null, revenue: 5 }
          - { country: de, revenue: \"10.00\" }
  - name: a dataset that SQL makes can be given
    given:
      - tested.by_country: { rows: [{ country: de, revenue: 3 }, { country: fr, revenue: 1 }] }
    expect:
      tested.share:
        rows: [{ country: de, share: 0.75 }, { country: fr, share: 0.25 }]
  - name: a late order opens its minute again
    given:
      - tested.orders: { file: fixtures/orders.csv }
      - tested.orders: { rows: [{ id: late, amount: 1, ts: 2026-01-05T08:00:59Z }] }
    expect:
      tested.by_minute:
        rows:
          - { window_start: 2026-01-05T08:00:00Z, orders: 3 }
          - { window_start: 2026-01-05T08:01:00Z, orders: 1 }
";

const FIXTURE: &str = "id,country,amount,ts
a,de,1,2026-01-05T08:00:01Z
b,de,1,2026-01-05T08:00:30Z
c,de,1,2026-01-05T08:01:30Z
d,de,1,2026-01-05T08:02:30Z
";

fn tested(tests: &str) -> tempfile::TempDir {
    project(&[
        ("flowline.yaml", FLOWLINE),
        ("datasets/tested/orders.yaml", ORDERS),
        ("datasets/tested/by_country.yaml", BY_COUNTRY),
        ("datasets/tested/share.yaml", SHARE),
        ("datasets/tested/by_minute.yaml", BY_MINUTE),
        ("fixtures/orders.csv", FIXTURE),
        ("tests/orders.yaml", tests),
    ])
}

#[test]
fn rows_that_come_through_as_expected_pass_for_batch_views_and_streams() {
    let folder = tested(TESTS);
    let path = folder.path().to_str().unwrap();
    let junit = folder.path().join("junit.xml");
    let output = run(&["test", "--project", path, "--output", "json", "--junit", junit.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{report:#}");
    assert_eq!((report["passed"].as_u64(), report["failed"].as_u64()), (Some(3), Some(0)));
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains(r#"tests="3""#) && junit.contains(r#"failures="0""#), "{junit}");
    assert!(!folder.path().join(".flowline").exists(), "tests leave nothing in the project");
    assert!(run_well(&["check", path]).contains("3 tests"));
}

#[test]
fn rows_that_are_not_there_and_rows_that_nobody_expected_fail_and_are_shown() {
    let folder = tested(&TESTS.replace("share: 0.75", "share: 0.5").replace("orders: 3 ", "orders: 2 "));
    let path = folder.path().to_str().unwrap();
    let output = run(&["test", "--project", path]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("1 passed, 2 failed, 0 could not be run"), "{text}");
    assert!(text.contains(r#"- { country: "de", share: 0.5 }"#), "{text}");
    assert!(text.contains(r#"+ { country: "de", share: 0.75 }"#), "{text}");
    let one = run(&["test", "can be given", "--project", path]);
    assert!(String::from_utf8(one.stdout).unwrap().contains("0 passed, 1 failed, 0 could not be run"));
}

#[test]
fn a_test_of_what_is_not_there_is_an_error_at_its_place() {
    let folder = tested(&TESTS.replace("tested.share", "tested.shares").replace("orders.csv", "order.csv"));
    let output = run(&["test", "--project", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("there is no dataset `tested.shares`") && text.contains("tests/orders.yaml:"),
        "{text}"
    );
    assert!(text.contains("there is no file `fixtures/order.csv`"), "{text}");
}
