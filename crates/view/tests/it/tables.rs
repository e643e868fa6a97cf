//! What each table says.

use flowline_ledger::contract::samples::finding;
use flowline_model::{Drift, Fate, Finding, FindingKind};
use flowline_view::{
    AttemptRow, ColumnRow, CommitRow, CountRow, DatasetRow, FindingRow, HopRow, PositionRow, QuarantineRow,
    RunRow, SystemRow, rows,
};

use crate::support::{check, empty, query, session, shop};

#[tokio::test]
async fn datasets_and_columns_are_what_was_deployed() {
    let (_ledger, session) = shop().await;
    check(
        &session,
        "select dataset, zone, owner, origin, materialization, inputs, key, columns, version, rows \
         from system.datasets",
        &[
            "| dataset       | zone    | owner      | origin | materialization | inputs        | key        | columns | version | rows |",
            "| shop.daily    | trusted | team-sales | sql    | full            | [shop.orders] | []         | 1       | 5       |      |",
            "| shop.orders   | raw     | team-shop  | http   |                 | []            | [order_id] | 3       | 2       |      |",
            "| shop.overview | trusted | team-sales | sql    | view            | [shop.daily]  | []         | 1       |         |      |",
        ],
    )
    .await;
    check(
        &session,
        "select ordinal, name, type, required, unique_values, in_key, pii, rule from system.columns \
         where dataset = 'shop.orders'",
        &[
            "| ordinal | name     | type          | required | unique_values | in_key | pii   | rule        |",
            "| 1       | order_id | string        | true     | true          | true   |       |             |",
            "| 2       | email    | string        | false    | false         | false  | email |             |",
            "| 3       | amount   | decimal(12,2) | false    | false         | false  |       | amount >= 0 |",
        ],
    )
    .await;
}

#[tokio::test]
async fn hops_say_where_the_flow_stopped() {
    let (_ledger, session) = shop().await;
    check(
        &session,
        "select dataset, kind, state, last_outcome, last_error_kind, failures, failing_since, lag_versions, \
         freshness_seconds as age, freshness_within_seconds as allowed from system.hops",
        &[
            "| dataset       | kind | state  | last_outcome | last_error_kind | failures | failing_since               | lag_versions | age | allowed |",
            "| shop.daily    | sql  | waiting | succeeded    |                 | 0        |                             | 1            | 94  |         |",
            "| shop.orders   | http | failed | failed       | denied          | 1        | 2026-01-01T00:00:09.000250Z |              | 97  | 60      |",
            "| shop.overview | view | ok     |              |                 | 0        |                             |              | 94  |         |",
        ],
    )
    .await;
    check(
        &session,
        "select dataset, read, written, quarantined, duplicate, balance, missing, gap from system.hops \
         where dataset = 'shop.orders'",
        &[
            "| dataset     | read | written | quarantined | duplicate | balance    | missing | gap |",
            "| shop.orders | 15   | 10      | 3           | 1         | unbalanced | 1       | 0   |",
        ],
    )
    .await;
}

#[tokio::test]
async fn counts_balance_or_say_by_how_much_they_do_not() {
    let (_ledger, session) = shop().await;
    check(
        &session,
        "select dataset, runs, read, written, quarantined, duplicate, balance, missing, gap \
         from system.counts order by dataset",
        &[
            "| dataset     | runs | read | written | quarantined | duplicate | balance    | missing | gap |",
            "| shop.daily  | 1    | 6    | 2       | 0           | 0         | reshaped   | 0       |     |",
            "| shop.orders | 2    | 15   | 10      | 3           | 1         | unbalanced | 1       | 0   |",
        ],
    )
    .await;
}

#[tokio::test]
async fn runs_attempts_and_commits_are_the_history() {
    let (_ledger, session) = shop().await;
    check(
        &session,
        "select dataset, kind, outcome, trigger, inputs, balance, missing, version, error_kind from system.runs",
        &[
            "| dataset     | kind      | outcome   | trigger     | inputs               | balance    | missing | version | error_kind |",
            "| shop.orders | land      | failed    | new-records | [log/0@15..20]       | balanced   | 0       |         | denied     |",
            "| shop.daily  | transform | succeeded | new-version | [shop.orders@-1..1]  | reshaped   | 0       | 5       |            |",
            "| shop.orders | land      | succeeded | new-records | [log/0@10..15]       | unbalanced | 1       | 2       |            |",
            "| shop.orders | land      | succeeded | new-records | [log/0@0..10]        | balanced   | 0       | 1       |            |",
        ],
    )
    .await;
    check(
        &session,
        "select a.number, a.outcome, a.error_kind from system.attempts a join system.runs r using (run_id) \
         where r.dataset = 'shop.orders' order by a.number",
        &[
            "| number | outcome | error_kind |",
            "| 1      | failed  | denied     |",
            "| 2      | failed  | denied     |",
        ],
    )
    .await;
    check(
        &session,
        "select version, committed_at, kind, written, latency_us from system.commits where dataset = 'shop.orders'",
        &[
            "| version | committed_at                | kind | written | latency_us |",
            "| 2       | 2026-01-01T00:00:03.000250Z | land | 4       | 1500       |",
            "| 1       | 2026-01-01T00:00:02.000250Z | land | 6       | 1500       |",
        ],
    )
    .await;
}

#[tokio::test]
async fn findings_and_quarantine_say_what_was_wrong() {
    let (_ledger, session) = shop().await;
    check(
        &session,
        "select kind, severity, subject, records, first_position, last_position from system.findings",
        &[
            "| kind        | severity | subject | records | first_position | last_position |",
            "| failed-rule | error    | amount  | 3       | log/0@1        | log/0@13      |",
            "| missing     | error    | email   | 1       | log/0@4        | log/0@5       |",
        ],
    )
    .await;
    check(
        &session,
        "select reason, rows, quarantined, columns, first_position, last_position from system.quarantine",
        &[
            "| reason      | rows | quarantined | columns  | first_position | last_position |",
            "| failed-rule | 3    | 3           | [amount] | log/0@1        | log/0@13      |",
            "| missing     | 1    | 1           | [email]  | log/0@4        | log/0@5       |",
        ],
    )
    .await;
}

#[tokio::test]
async fn every_reason_is_listed_and_what_drifted_only_where_it_was_set_aside() {
    let (ledger, session) = shop().await;
    let drifted = |fate: Fate| Some(Box::new(Drift { fate, ..Drift::default() }));
    let found = FindingKind::REASONS.into_iter().flat_map(|kind| {
        let of = |count: i64, subject: &str, drift| Finding {
            kind,
            subject: subject.to_owned(),
            drift,
            ..finding("daily", count as u64, count, 9)
        };
        [
            of(1, "aside", drifted(Fate::Quarantined)),
            of(2, "accepted", drifted(Fate::Accepted)),
            of(4, "rejected", drifted(Fate::Rejected)),
        ]
    });
    ledger.record_findings(&found.collect::<Vec<_>>()).await.unwrap();
    let sql = "select reason, quarantined, columns from system.quarantine where dataset = 'shop.daily'";
    let rows: Vec<serde_json::Value> = rows(&query(&session, sql).await).unwrap();
    let mut listed: Vec<&str> = rows.iter().map(|row| row["reason"].as_str().unwrap()).collect();
    listed.sort_unstable();
    let mut known = FindingKind::REASONS.map(FindingKind::as_str);
    known.sort_unstable();
    assert_eq!(listed, known);
    assert!(rows.iter().all(|row| row["quarantined"] == 1), "{rows:?}");
    assert!(rows.iter().all(|row| row["columns"] == serde_json::json!(["aside"])), "{rows:?}");
}

#[tokio::test]
async fn a_whole_record_is_no_column() {
    let (ledger, session) = shop().await;
    let found = [
        (FindingKind::Unparsable, "record"),
        (FindingKind::Unparsable, "n"),
        (FindingKind::Missing, "record"),
    ]
    .map(|(kind, subject)| Finding { kind, subject: subject.to_owned(), ..finding("daily", 1, 1, 9) });
    ledger.record_findings(&found).await.unwrap();
    check(
        &session,
        "select reason, quarantined, columns from system.quarantine where dataset = 'shop.daily' order by reason",
        &[
            "| reason     | quarantined | columns  |",
            "| missing    | 1           | [record] |",
            "| unparsable | 2           | [n]      |",
        ],
    )
    .await;
}

#[tokio::test]
async fn positions_say_how_far() {
    let (_ledger, session) = shop().await;
    check(
        &session,
        "select dataset, input, first, next, covered, gap, newest, lag from system.positions",
        &[
            "| dataset     | input       | first | next | covered | gap | newest | lag |",
            "| shop.daily  | shop.orders | -1    | 1    | 2       |     | 2      | 1   |",
            "| shop.orders | log/0       | 0     | 15   | 15      | 0   |        |     |",
        ],
    )
    .await;
}

/// Every table: empty and filled, whole and back as structs, every column by its bare name, and the row count alone.
#[tokio::test]
async fn every_table_reads_back_as_rows() {
    async fn round_trip<R: SystemRow + PartialEq + std::fmt::Debug>(filled: usize) {
        let (_ledger, shop) = shop().await;
        let empty = session(&empty().await, std::sync::Arc::new(flowline_view::OfflineStatus));
        let names: Vec<_> = R::schema().fields().iter().map(|field| field.name().clone()).collect();
        let by_name = format!("select {} from system.{}", names.join(", "), R::TABLE);
        let all = format!("select * from system.{}", R::TABLE);
        assert_eq!(rows::<R>(&query(&empty, &all).await).unwrap(), []);
        let found: Vec<R> = rows(&query(&shop, &all).await).unwrap();
        assert_eq!(found.len(), filled, "{}", R::TABLE);
        assert_eq!(rows::<R>(&query(&shop, &by_name).await).unwrap(), found);
        let count = query(&shop, &format!("select count(*) as n from system.{}", R::TABLE)).await;
        let counted: Vec<serde_json::Value> = rows(&count).unwrap();
        assert_eq!(counted[0]["n"], filled);
        // As the HTTP API sends them.
        let json: Vec<serde_json::Value> = rows(&query(&shop, &all).await).unwrap();
        assert_eq!(serde_json::from_value::<Vec<R>>(json.into()).unwrap(), found);
    }
    round_trip::<DatasetRow>(3).await;
    round_trip::<ColumnRow>(5).await;
    round_trip::<HopRow>(3).await;
    round_trip::<RunRow>(4).await;
    round_trip::<AttemptRow>(2).await;
    round_trip::<PositionRow>(2).await;
    round_trip::<CountRow>(2).await;
    round_trip::<FindingRow>(2).await;
    round_trip::<QuarantineRow>(2).await;
    round_trip::<CommitRow>(3).await;
}

#[tokio::test]
async fn names_keep_the_rules() {
    let (_ledger, session) = shop().await;
    let columns = query(
        &session,
        "select table_name, column_name, data_type from information_schema.columns where table_schema = 'system'",
    )
    .await;
    let columns: Vec<serde_json::Value> = rows(&columns).unwrap();
    assert!(columns.len() > 100);
    for column in columns {
        let (name, kind) = (column["column_name"].as_str().unwrap(), column["data_type"].as_str().unwrap());
        let place = format!("{}.{name} {kind}", column["table_name"]);
        let at =
            name.ends_with("_at") || ["failing_since", "event_time_max", "received_at_min"].contains(&name);
        assert_eq!(kind.starts_with("Timestamp"), at, "{place}");
        assert!(!name.starts_with("is_") && name == name.to_lowercase(), "{place}");
    }
}

#[tokio::test]
async fn tables_cannot_be_written() {
    let (_ledger, session) = shop().await;
    for statement in ["delete from system.runs", "insert into system.counts select * from system.counts"] {
        let outcome = match session.sql(statement).await {
            Ok(frame) => frame.collect().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(outcome.is_err(), "{statement}");
    }
}

#[tokio::test]
async fn contracts_say_what_each_version_changed_and_lineage_where_columns_come_from() {
    let (ledger, session) = shop().await;
    let mut catalog = ledger.catalog().await.unwrap();
    let orders = catalog.iter_mut().find(|dataset| dataset.dataset.name.name() == "orders").unwrap();
    orders.columns.retain(|column| column.name != "email");
    let before = ledger.deployment().await.unwrap().unwrap();
    let deployed_at = before.deployed_at + chrono::Duration::seconds(60);
    let deployment = flowline_model::Deployment { version: "newer".to_owned(), deployed_at, ..before };
    ledger.record_deployment(&deployment, &catalog).await.unwrap();
    check(
        &session,
        "select version, deployment = 'newer' as newer, compatibility, changes from system.contracts \
         where dataset = 'shop.orders' order by version",
        &[
            "| version | newer | compatibility | changes                     |",
            "| 1       | false |               | []                          |",
            "| 2       | true  | backward      | [`email` (string) is gone] |",
        ],
    )
    .await;
    check(
        &session,
        "select \"column\", from_dataset, from_column from system.lineage where dataset = 'shop.orders'",
        &["| column | from_dataset | from_column |", "| iata   | shop.input   | code        |"],
    )
    .await;
}
