//! Round trips, and documents that others wrote.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::time::Duration;

use flowline_model::{
    Anomaly, AnomalyMetric, Check, CheckRule, CheckSeverity, Column, ColumnType, Contract, Dataset,
    EventTime, HttpOrigin, LatePolicy, OnDrift, Origin, PartitionField, PartitionTransform, Season, Slo,
    Validation, Zone,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn dataset(contract: &Contract) -> Dataset {
    Dataset {
        name: "shop.orders".parse().unwrap(),
        description: "One row an order.".to_owned(),
        owner: "team-shop".to_owned(),
        zone: Zone::Clean,
        origin: Origin::Http(HttpOrigin {
            partitions: 1,
            partition_key: Vec::new(),
            validation: Validation::AtLanding,
        }),
        columns: contract.columns.clone(),
        key: contract.key.clone(),
        dedupe_horizon: Duration::from_secs(86_400),
        event_time: None,
        partition_by: Vec::new(),
        compatibility: contract.compatibility.clone(),
        checks: Vec::new(),
        slo: contract.slo.clone(),
        runbook: None,
        on_drift: Default::default(),
        landing: Default::default(),
        declared_in: String::new(),
    }
}

fn types() -> impl Strategy<Value = ColumnType> {
    let plain = prop_oneof![
        Just(ColumnType::String),
        Just(ColumnType::Boolean),
        Just(ColumnType::Int8),
        Just(ColumnType::Int16),
        Just(ColumnType::Int32),
        Just(ColumnType::Int64),
        Just(ColumnType::Float32),
        Just(ColumnType::Float64),
        (1u8..=38)
            .prop_flat_map(|precision| (Just(precision), 0..=precision))
            .prop_map(|(precision, scale)| ColumnType::Decimal { precision, scale }),
        Just(ColumnType::Date),
        Just(ColumnType::Timestamp),
        Just(ColumnType::Binary),
        Just(ColumnType::Json),
    ];
    plain.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|item| ColumnType::List(Box::new(item))),
            prop::collection::btree_map("[a-z][a-z_ .-]{0,5}[a-z]", inner, 1..4)
                .prop_map(|fields| ColumnType::Struct(fields.into_iter().collect())),
        ]
    })
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[ -~üß\\n'\"]{1,12}".prop_map(|text: String| text))
}

prop_compose! {
    fn columns()(names in prop::collection::btree_set("[a-z][a-z0-9_]{0,8}", 1..6))
        (columns in names.into_iter().map(|name| (
            (Just(name), types(), any::<bool>(), any::<bool>()),
            (text(), prop::option::of("[A-Z][a-z $]{0,6}[a-z]"), prop::option::of("[a-z]{3,8}"), text()),
        )).collect::<Vec<_>>()) -> Vec<Column> {
        columns.into_iter().map(|((name, data_type, required, unique), (description, field, pii, check))| {
            let temporal = matches!(data_type, ColumnType::Date | ColumnType::Timestamp);
            Column {
                field,
                required,
                unique,
                pii: pii.filter(|word| !["public", "internal", "open", "none"].contains(&word.as_str())),
                check: check.map(|check| check.trim_end_matches(';').to_owned()).filter(|check| !check.is_empty()),
                format: (temporal && unique).then(|| "%Y/%m/%d".to_owned()),
                description,
                ..Column::new(name, data_type)
            }
        }).collect()
    }
}

fn share() -> impl Strategy<Value = Option<f64>> {
    prop::option::of((0u32..=1_000_000).prop_map(|millionths| f64::from(millionths) / 1e6))
}

fn checks() -> impl Strategy<Value = Check> {
    let rules = prop_oneof![
        Just(CheckRule::Required { column: "a".into() }),
        (prop::option::of("[0-9]{1,4}"), text()).prop_map(|(min, max)| CheckRule::Range {
            column: "a".into(),
            min,
            max
        }),
        prop::collection::vec("[ -~üß\\n'\"]{0,8}", 1..4)
            .prop_map(|values| CheckRule::AcceptedValues { column: "a".into(), values }),
        types().prop_map(|data_type| CheckRule::Type { column: "a".into(), data_type }),
        (0u64..9_000_000)
            .prop_map(|millis| CheckRule::Freshness { column: None, within: Duration::from_millis(millis) }),
        "[ -~]{1,40}".prop_map(|query| CheckRule::Sql { query }),
        Just(CheckRule::Anomaly(Anomaly {
            metric: AnomalyMetric::NullShare,
            column: Some("a".into()),
            by: None,
            every: Duration::from_secs(86_400),
            season: Season::HourOfDay,
            sensitivity: 3.5,
            history_min: 7,
            floor: 0.01,
        })),
    ];
    let severities = [CheckSeverity::Warn, CheckSeverity::QuarantineRows, CheckSeverity::Block];
    let severities = prop::sample::select(severities.to_vec());
    ("[a-z][a-z_]{0,9}", text(), severities, share(), rules).prop_map(
        |(name, description, severity, tolerance, rule)| Check {
            name,
            description,
            owner: "team-shop".to_owned(),
            severity,
            tolerance: tolerance.unwrap_or(0.0),
            rule,
        },
    )
}

prop_compose! {
    fn contracts()(columns in columns())
        (key in prop::sample::subsequence(columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>(), 0..=columns.len()).prop_shuffle(),
         columns in Just(columns),
         rule in prop::option::of(prop::sample::select(vec!["none", "backward", "forward", "full"])),
         within in prop::option::of((0u64..10_000_000_000).prop_map(Duration::from_millis)),
         freshness_target in share(), completeness_target in share(),
         checks in prop::collection::vec(checks(), 0..4)) -> Contract {
        let slo = Slo { freshness_within: within, freshness_target, completeness_target };
        Contract { columns, key, compatibility: rule.map(str::to_owned), slo, checks }
    }
}

proptest! {
    #[test]
    fn a_contract_comes_back_as_it_was(contract in contracts(), version in 0u32..9, day in any::<bool>()) {
        let mut dataset = dataset(&contract);
        let temporal = contract.columns.iter().find(|column| column.data_type == ColumnType::Timestamp);
        if let Some(column) = temporal {
            dataset.event_time = Some(EventTime {
                column: column.name.clone(),
                watermark: Duration::from_secs(10),
                idle_after: day.then(|| Duration::from_secs(60)),
                late: LatePolicy::Reopen,
            });
            let field = |transform| PartitionField { column: column.name.clone(), transform };
            dataset.partition_by.push(field(PartitionTransform::Day));
            if day { dataset.partition_by.push(field(PartitionTransform::Year)); }
        }
        if day {
            dataset.runbook = Some("runbooks/orders.md".to_owned());
        }
        dataset.on_drift = [OnDrift::AcceptNewFields, OnDrift::Quarantine, OnDrift::Stop][version as usize % 3];
        if let Some(column) = contract.columns.iter().find(|column| column.data_type == ColumnType::String) {
            let transform = PartitionTransform::Identity;
            dataset.partition_by.push(PartitionField { column: column.name.clone(), transform });
        }
        let options = ExportOptions { project: "shop".into(), version, ..ExportOptions::default() };
        let document = export(Exported { dataset: &dataset, contract: &contract }, &options);
        let imported = import(&document).unwrap();
        prop_assert_eq!(imported.len(), 1);
        prop_assert_eq!(&imported[0].lost, &Vec::<String>::new());
        prop_assert_eq!(&imported[0].contract, &contract);
        prop_assert_eq!(&imported[0].partition_by, &dataset.partition_by);
        prop_assert_eq!(&imported[0].event_time, &dataset.event_time);
        prop_assert_eq!((&imported[0].runbook, imported[0].on_drift), (&dataset.runbook, dataset.on_drift));
        let Imported { name, description, owner, zone, .. } = &imported[0];
        prop_assert_eq!((name, description, owner, *zone), (&dataset.name, &dataset.description, &dataset.owner, Some(dataset.zone)));
    }
}

#[test]
fn a_document_of_somebody_else_says_what_it_can_and_names_the_rest() {
    let document = json!({
        "apiVersion": "v3.0.2", "kind": "DataContract", "id": "53581432", "version": "1.1.0", "status": "active",
        "domain": "Sales & More", "price": { "priceAmount": 9.95 },
        "description": { "purpose": "Orders.", "usage": "for reports" },
        "team": { "name": "Shop Data", "members": [{ "username": "ann@example.org" }] },
        "slaProperties": [
            { "property": "latency", "value": 4, "unit": "h", "element": "Orders.ts" },
            { "property": "retention", "value": 3, "unit": "y" },
            { "property": "latency", "value": 1, "unit": "d", "element": "other.ts" }
        ],
        "schema": [{
            "name": "Orders", "physicalName": "orders_v1",
            "quality": [{ "metric": "rowCount", "mustBeGreaterThan": 0 }],
            "properties": [
                { "name": "Line No", "logicalType": "integer", "physicalType": "smallint", "primaryKey": true, "primaryKeyPosition": 2 },
                { "name": "order_id", "logicalType": "string", "physicalType": "varchar(36)", "required": true, "primaryKey": true, "primaryKeyPosition": 1 },
                { "name": "state", "logicalType": "string",
                  "quality": [{ "metric": "invalidValues", "arguments": { "validValues": ["new", "it's"] }, "mustBe": 0 },
                              { "metric": "nullValues", "mustBe": 0 },
                              { "metric": "nullValues", "mustBeLessThan": 5, "unit": "percent" }] },
                { "name": "email", "logicalType": "string", "classification": "confidential", "logicalTypeOptions": { "maxLength": 100 } },
                { "name": "amount", "logicalType": "number", "physicalType": "NUMERIC(12,2)", "classification": "public" },
                { "name": "address", "logicalType": "object", "properties": [{ "name": "zip", "logicalType": "string" }] },
                { "name": "tags", "logicalType": "array", "items": { "logicalType": "string" } },
                { "name": "ts", "logicalType": "timestamp", "partitioned": true }
            ]
        }]
    });
    let imported = import(&document).unwrap().remove(0);
    assert_eq!(imported.name.to_string(), "sales___more.orders");
    assert_eq!(imported.owner, "shop_data");
    assert_eq!(imported.contract.key, ["order_id", "line_no"]);
    let shown: Vec<String> = imported
        .contract
        .columns
        .iter()
        .map(|column| {
            let Column { name, field, data_type, required, pii, check, .. } = column;
            format!("{name} {field:?} {data_type} {required} {pii:?} {check:?}")
        })
        .collect();
    expect_test::expect![[r#"
        line_no Some("Line No") int16 false None None
        order_id None string true None None
        state None string true None Some("state in ('new', 'it''s')")
        email None string false Some("confidential") None
        amount None decimal(12,2) false None None
        address None struct<zip: string> false None None
        tags None list<string> false None None
        ts None timestamp false None None"#]]
    .assert_eq(&shown.join("\n"));
    assert_eq!(imported.contract.slo.freshness_within, Some(Duration::from_secs(4 * 3_600)));
    expect_test::expect![[r#"
        /price: a dataset has no place for it
        /schema/0/physicalName: a dataset has no place for it
        /schema/0/properties/2/quality/2: a rule of this kind is no condition of a column
        /schema/0/properties/3/logicalTypeOptions/maxLength: write it as a `check`
        /schema/0/properties/7/partitioned: a table is split by the day of a timestamp
        /schema/0/quality/0: write it under `checks`
        /slaProperties/1: `retention` is promised by no dataset
        /description/usage: a dataset has one description
        /team/members: a project names teams, not people"#]]
    .assert_eq(&imported.lost.join("\n"));
}

#[test]
fn what_is_no_contract_of_version_3_is_refused() {
    let refused = |document: serde_json::Value| import(&document).unwrap_err().to_string();
    assert_eq!(refused(json!([])), "this is no data contract: `kind` is null and not `DataContract`");
    let old = json!({ "kind": "DataContract", "apiVersion": "v2.2.2", "dataset": [] });
    assert_eq!(
        refused(old),
        "the version `v2.2.2` of the standard is not read: convert the contract to v3 first"
    );
    let empty = json!({ "kind": "DataContract", "apiVersion": "v3.1.0" });
    assert_eq!(refused(empty), "the contract has no `schema`, so there is nothing to import");
}

proptest! {
    #[test]
    fn any_document_is_read_without_panic(text in "[\\[\\]{}\":,a-zA-Z0-9 .]{0,80}") {
        let wrapped = format!(r#"{{"kind":"DataContract","apiVersion":"v3.1.0","schema":[{{"name":"x","properties":[{text}]}}]}}"#);
        if let Ok(document) = serde_json::from_str(&wrapped) {
            let _ = import(&document);
        }
    }
}
