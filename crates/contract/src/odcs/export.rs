//! A dataset as a document of the standard.

use flowline_model::{Column, ColumnType, LatePolicy, OnDrift, PartitionTransform};
use serde_json::{Map, Value, json};

use super::{API_VERSION, ExportOptions, Exported, OWN, nested, quality, types};

/// The document of one dataset. Its keys stand in the order of the standard's own examples.
pub fn export(exported: Exported<'_>, options: &ExportOptions) -> Value {
    let dataset = exported.dataset;
    let mut document = Map::new();
    let mut set = |key: &str, value: Value| drop(document.insert(key.to_owned(), value));
    set("apiVersion", API_VERSION.into());
    set("kind", "DataContract".into());
    set("id", format!("{}.{}", options.project, dataset.name).into());
    set("name", dataset.name.to_string().into());
    set("version", format!("{}.0.0", options.version).into());
    set("status", if options.version == 0 { "draft" } else { "active" }.into());
    set("domain", dataset.name.domain().into());
    if !dataset.description.is_empty() {
        set("description", json!({ "purpose": dataset.description }));
    }
    if let Some(location) = &options.location {
        set("servers", json!([server(location, options.environment.as_deref())]));
    }
    set("schema", json!([object(exported)]));
    let slas = sla_properties(exported);
    if !slas.is_empty() {
        set("slaProperties", slas.into());
    }
    let mut team = json!({ "name": dataset.owner });
    if let Some(contact) = &options.contact {
        team["description"] = format!("reached at {contact}").into();
    }
    set("team", team);
    let mut own = vec![own("zone", dataset.zone.as_str())];
    own.extend(exported.contract.compatibility.as_deref().map(|rule| self::own("compatibility", rule)));
    if dataset.on_drift != OnDrift::default() {
        own.push(self::own("onDrift", dataset.on_drift.as_str()));
    }
    // The standard's links are URLs, and this is a file of the project.
    own.extend(dataset.runbook.as_deref().map(|path| self::own("runbook", path)));
    set("customProperties", own.into());
    Value::Object(document)
}

/// A table of Delta Lake where the standard has a place for it.
fn server(location: &str, environment: Option<&str>) -> Value {
    let mut server = match location.strip_prefix("file://") {
        Some(path) => json!({ "server": "lake", "type": "local", "path": path, "format": "delta" }),
        None if location.starts_with("s3://") => {
            json!({ "server": "lake", "type": "s3", "location": location, "format": "delta" })
        }
        None => json!({ "server": "lake", "type": "custom", "location": location, "format": "delta" }),
    };
    if let Some(environment) = environment {
        server["environment"] = environment.into();
    }
    server
}

fn own(name: &str, value: impl Into<Value>) -> Value {
    json!({ "property": format!("{OWN}{name}"), "value": value.into() })
}

fn object(exported: Exported<'_>) -> Value {
    let dataset = exported.dataset;
    let mut object = json!({
        "id": dataset.name.name(),
        "name": dataset.name.name(),
        "physicalType": "table",
        "logicalType": "object",
    });
    if !dataset.description.is_empty() {
        object["description"] = dataset.description.clone().into();
    }
    if let Some(event_time) = &dataset.event_time {
        let late = match event_time.late {
            LatePolicy::Reopen => "reopen",
            LatePolicy::Quarantine => "quarantine",
            LatePolicy::Drop => "drop",
        };
        let mut value = json!({
            "column": event_time.column,
            "watermarkMs": millis(event_time.watermark),
            "late": late,
        });
        if let Some(idle_after) = event_time.idle_after {
            value["idleAfterMs"] = millis(idle_after).into();
        }
        object["customProperties"] = json!([own("eventTime", value)]);
    }
    let checks = &exported.contract.checks;
    if !checks.is_empty() {
        object["quality"] = checks.iter().map(quality::of_dataset_check).collect();
    }
    let columns = exported.contract.columns.iter();
    object["properties"] = columns.map(|column| property(exported, column)).collect();
    object
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn property(exported: Exported<'_>, column: &Column) -> Value {
    let mut property = Map::new();
    let mut set = |key: &str, value: Value| drop(property.insert(key.to_owned(), value));
    set("name", column.name.clone().into());
    for (key, value) in types::describe(&column.data_type) {
        set(&key, value);
    }
    if let Some(description) = &column.description {
        set("description", description.clone().into());
    }
    if column.required {
        set("required", true.into());
    }
    if column.unique {
        set("unique", true.into());
    }
    let key = exported.contract.key.iter().position(|name| *name == column.name);
    if let Some(position) = key {
        set("primaryKey", true.into());
        set("primaryKeyPosition", (position + 1).into());
    }
    let mut own_words = Vec::new();
    let partitions = &exported.dataset.partition_by;
    if let Some(position) = partitions.iter().position(|field| field.column == column.name) {
        set("partitioned", true.into());
        set("partitionKeyPosition", (position + 1).into());
        let all: Vec<Value> = (1..)
            .zip(partitions)
            .filter(|(_, field)| field.column == column.name)
            .map(|(position, field)| json!({ "position": position, "by": by(field.transform) }))
            .collect();
        if all.len() > 1 || partitions[position].transform != PartitionTransform::Identity {
            own_words.push(own("partition", all));
        }
    }
    if let Some(pii) = &column.pii {
        set("classification", pii.clone().into());
    }
    if let Some(field) = &column.field {
        own_words.push(own("field", field.clone()));
    }
    if let Some(format) = &column.format {
        own_words.push(own("format", format.clone()));
    }
    if let Some(check) = &column.check {
        set("quality", json!([quality::of_check(check)]));
    }
    if nested(&column.data_type) && needs_own_type(&column.data_type) {
        own_words.push(own("type", column.data_type.to_string()));
    }
    if !own_words.is_empty() {
        set("customProperties", own_words.into());
    }
    Value::Object(property)
}

/// Whether the definitions within would be read back as another type: an empty struct is just an object there.
fn needs_own_type(kind: &ColumnType) -> bool {
    match kind {
        ColumnType::Struct(fields) => {
            fields.is_empty() || fields.iter().any(|(_, kind)| needs_own_type(kind))
        }
        ColumnType::List(item) => needs_own_type(item),
        _ => false,
    }
}

pub(super) fn by(transform: PartitionTransform) -> &'static str {
    match transform {
        PartitionTransform::Identity => "value",
        PartitionTransform::Day => "day",
        PartitionTransform::Month => "month",
        PartitionTransform::Year => "year",
    }
}

/// Service levels. Freshness is what the standard calls latency: the age of the newest row.
fn sla_properties(exported: Exported<'_>) -> Vec<Value> {
    let slo = &exported.contract.slo;
    let name = exported.dataset.name.name();
    let element = match &exported.dataset.event_time {
        Some(event_time) => format!("{name}.{}", event_time.column),
        None => name.to_owned(),
    };
    let mut slas = Vec::new();
    if let Some(within) = slo.freshness_within {
        let millis = millis(within);
        let (value, unit) = if millis.is_multiple_of(1_000) { (millis / 1_000, "s") } else { (millis, "ms") };
        slas.push(json!({ "id": "freshness", "property": "latency", "value": value, "unit": unit, "element": element }));
    }
    let share = |id: &str, share: f64| {
        let percent = (share * 100.0 * 1e9).round() / 1e9;
        json!({ "id": id, "property": id, "value": percent, "unit": "percent", "element": name })
    };
    slas.extend(slo.freshness_target.map(|target| share("freshnessTarget", target)));
    slas.extend(slo.completeness_target.map(|target| share("completenessTarget", target)));
    slas
}
