//! Values and datasets as YAML, for files that are written for users.
//!
//! Owns: that what is written is read back as the same value. Does not own: where it is written.

use std::time::Duration;

use flowline_model::{
    Column, Dataset, KafkaFormat, KafkaStart, LatePolicy, Materialization, OnDrift, Origin, PartitionField,
    PartitionTransform, SchemaRegistry, Validation,
};
use serde_json::{Map, Value, json};

use crate::yaml;

mod checks;

/// A value as YAML, two spaces a level; keys stay in their order.
pub fn to_yaml(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut text, map, 0),
        Value::Array(items) if !items.is_empty() => write_list(&mut text, items, 0),
        other => {
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
    text
}

/// The value of a YAML text, with the bounds that files of a project have.
///
/// # Errors
/// The first problem, with its line and column.
pub fn from_yaml(text: &str) -> Result<Value, String> {
    let parsed = yaml::parse(&crate::folder::line_feeds(text));
    if let Some(problem) = parsed.problems.first() {
        return Err(format!("{}:{}: {}", problem.place.line, problem.place.column, problem.message));
    }
    Ok(parsed.root.map_or(Value::Null, |root| root.to_value()))
}

fn indent(text: &mut String, depth: usize) {
    text.extend(std::iter::repeat_n("  ", depth));
}

fn write_map(text: &mut String, map: &Map<String, Value>, depth: usize) {
    for (index, (key, value)) in map.iter().enumerate() {
        // The first key stands where the map begins: behind the `- ` of a list.
        if index > 0 || !text.ends_with("- ") {
            indent(text, depth);
        }
        text.push_str(&scalar(&Value::String(key.clone())));
        text.push(':');
        write_value(text, value, depth);
    }
}

fn write_list(text: &mut String, items: &[Value], depth: usize) {
    for item in items {
        indent(text, depth);
        match item {
            Value::Object(map) if !map.is_empty() => {
                text.push_str("- ");
                write_map(text, map, depth + 1);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push_str("-\n");
                write_list(text, items, depth + 1);
            }
            other => {
                text.push_str("- ");
                text.push_str(&scalar(other));
                text.push('\n');
            }
        }
    }
}

/// The value behind a key.
fn write_value(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            write_map(text, map, depth + 1);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            write_list(text, items, depth + 1);
        }
        other => {
            text.push(' ');
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
}

/// A value on one line. A text stands plain where every reader of YAML takes it for a text, and else in double quotes,
/// as in JSON.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if stands_plain(text) => text.clone(),
        Value::String(text) => quoted(text),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// JSON's own quotes, with the characters that a reader of YAML may take for the end of a line, or refuse, written out.
fn quoted(text: &str) -> String {
    let json = Value::String(text.to_owned()).to_string();
    let odd = |c: char| {
        matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    if !json.contains(odd) {
        return json;
    }
    json.chars().map(|c| if odd(c) { format!("\\u{:04x}", c as u32) } else { c.to_string() }).collect()
}

fn stands_plain(text: &str) -> bool {
    // Words that the older YAML 1.1, which other tools still read, takes for truth values or nothing.
    const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"];
    let safe =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ' | '(' | ')' | '+');
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(' ')
        && text.chars().all(safe)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// A dataset as the text of the file that declares it. The query of a dataset of `source: sql` stands within.
pub fn dataset_yaml(dataset: &Dataset) -> String {
    let mut file = Map::new();
    let mut set = |key: &str, value: Value| drop(file.insert(key.to_owned(), value));
    if !dataset.description.is_empty() {
        set("description", dataset.description.clone().into());
    }
    set("owner", dataset.owner.clone().into());
    set("zone", dataset.zone.as_str().into());
    set("from", origin(&dataset.origin));
    if let Origin::Sql(sql) = &dataset.origin {
        match sql.materialization {
            Materialization::Stream => {
                set("mode", "stream".into());
                set("emit", sql.emit.as_str().into());
            }
            other => set("materialize", other.as_str().into()),
        }
        set("sql", sql.text.clone().into());
    }
    if !dataset.columns.is_empty() {
        set("columns", dataset.columns.iter().map(column).collect());
    }
    if !dataset.key.is_empty() {
        set("key", dataset.key.clone().into());
    }
    if dataset.landed() || dataset.streams() && !dataset.dedupe_horizon.is_zero() {
        set("dedupe_horizon", duration(dataset.dedupe_horizon));
    }
    if let Some(event_time) = &dataset.event_time {
        let mut value = json!({ "column": event_time.column, "watermark": duration(event_time.watermark) });
        if let Some(idle_after) = event_time.idle_after {
            value["idle_after"] = duration(idle_after);
        }
        value["late"] = match event_time.late {
            LatePolicy::Reopen => "reopen",
            LatePolicy::Quarantine => "quarantine",
            LatePolicy::Drop => "drop",
        }
        .into();
        set("event_time", value);
    }
    if !dataset.partition_by.is_empty() {
        set("partition_by", dataset.partition_by.iter().map(partition).collect());
    }
    if let Some(compatibility) = &dataset.compatibility {
        set("compatibility", compatibility.clone().into());
    }
    if dataset.on_drift != OnDrift::default() {
        set("on_drift", dataset.on_drift.as_str().into());
    }
    if !dataset.checks.is_empty() {
        let all = dataset.checks.iter().map(|check| checks::check(check, &dataset.owner));
        set("checks", all.collect());
    }
    if let Some(slo) = slo(dataset) {
        set("slo", slo);
    }
    if let Some(runbook) = &dataset.runbook {
        set("runbook", runbook.clone().into());
    }
    to_yaml(&Value::Object(file))
}

fn origin(origin: &Origin) -> Value {
    match origin {
        Origin::Http(http) => {
            let mut value = json!({ "source": "http", "partitions": http.partitions });
            if !http.partition_key.is_empty() {
                value["partition_key"] = json!(http.partition_key);
            }
            if http.validation == Validation::AtGateway {
                value["validate"] = "at_gateway".into();
            }
            value
        }
        Origin::Files(files) => {
            let mut value =
                json!({ "source": "files", "location": files.location, "pattern": files.pattern });
            if let Some(format) = files.format {
                value["format"] = json!(format);
            }
            value["poll_every"] = duration(files.poll_every);
            if files.follow_links {
                value["follow_links"] = true.into();
            }
            value
        }
        Origin::Kafka(kafka) => {
            let format = match kafka.format {
                KafkaFormat::Json => "json",
                KafkaFormat::Avro => "avro",
                KafkaFormat::Protobuf => "protobuf",
            };
            let start = match kafka.start {
                KafkaStart::Earliest => "earliest",
                KafkaStart::Latest => "latest",
            };
            let mut value = json!({
                "source": "kafka", "topic": kafka.topic, "group": kafka.group, "format": format, "start": start,
            });
            match &kafka.registry {
                None => {}
                Some(SchemaRegistry::Own) => value["registry"] = "own".into(),
                // Who we are there is no part of a file that is written for others.
                Some(SchemaRegistry::At { url, .. }) => value["registry"] = url.as_str().into(),
            }
            value
        }
        Origin::Sql(sql) => {
            json!({ "source": "sql", "timeout": duration(sql.timeout), "attempts_max": sql.attempts_max })
        }
    }
}

fn column(column: &Column) -> Value {
    let mut value = json!({ "name": column.name, "type": column.data_type.to_string() });
    let texts = [
        ("field", &column.field),
        ("pii", &column.pii),
        ("check", &column.check),
        ("format", &column.format),
        ("description", &column.description),
    ];
    for (key, flag) in [("required", column.required), ("unique", column.unique)] {
        if flag {
            value[key] = true.into();
        }
    }
    for (key, text) in texts {
        if let Some(text) = text {
            value[key] = text.clone().into();
        }
    }
    value
}

fn partition(field: &PartitionField) -> Value {
    let column = &field.column;
    match field.transform {
        PartitionTransform::Identity => column.clone(),
        PartitionTransform::Day => format!("day({column})"),
        PartitionTransform::Month => format!("month({column})"),
        PartitionTransform::Year => format!("year({column})"),
    }
    .into()
}

fn slo(dataset: &Dataset) -> Option<Value> {
    let slo = &dataset.slo;
    let mut value = Map::new();
    if let Some(within) = slo.freshness_within {
        let mut freshness = json!({ "within": duration(within) });
        if let Some(target) = slo.freshness_target {
            freshness["target"] = share(target);
        }
        value.insert("freshness".to_owned(), freshness);
    }
    if let Some(target) = slo.completeness_target {
        value.insert("completeness".to_owned(), json!({ "target": share(target) }));
    }
    (!value.is_empty()).then_some(Value::Object(value))
}

fn share(share: f64) -> Value {
    format!("{}%", (share * 100.0 * 1e9).round() / 1e9).into()
}

fn duration(duration: Duration) -> Value {
    let micros = duration.as_micros();
    let units =
        [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms")];
    let unit = units.into_iter().find(|(unit, _)| micros >= *unit && micros.is_multiple_of(*unit));
    let (unit, word) = unit.unwrap_or((1, "us"));
    format!("{}{word}", micros / unit).into()
}
