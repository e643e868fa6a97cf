//! A document of the standard as datasets.

use std::time::Duration;

use flowline_model::{
    Check, Column, ColumnType, Contract, DatasetName, EventTime, LatePolicy, OnDrift, PartitionField,
    PartitionTransform, Slo, Zone,
};
use serde_json::Value;

use super::quality::{self, Library};
use super::{Imported, OWN, types};

/// Why a document cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is none.
    #[error("this is no data contract: `kind` is {0} and not `DataContract`")]
    Kind(String),
    /// It is of a version that is read in another way.
    #[error("the version `{0}` of the standard is not read: convert the contract to v3 first")]
    Version(String),
    /// It describes nothing.
    #[error("the contract has no `schema`, so there is nothing to import")]
    Empty,
}

/// Reads a document; each object of its schema is a dataset.
///
/// # Errors
/// When it is no contract of version 3 of the standard, or describes no object.
pub fn import(document: &Value) -> Result<Vec<Imported>, ImportError> {
    let kind = &document["kind"];
    if kind.as_str() != Some("DataContract") {
        return Err(ImportError::Kind(kind.to_string()));
    }
    let version = document["apiVersion"].as_str().unwrap_or_default();
    if !version.starts_with("v3.") {
        return Err(ImportError::Version(version.to_owned()));
    }
    let objects = document["schema"].as_array().filter(|objects| !objects.is_empty());
    let objects = objects.ok_or(ImportError::Empty)?;
    let imported = (0..).zip(objects).map(|(index, object)| {
        let mut reader = Reader { document, object, pointer: format!("/schema/{index}"), lost: Vec::new() };
        reader.read(objects.len() == 1)
    });
    Ok(imported.collect())
}

/// Keys of a document that a project has elsewhere, or that say nothing of the data.
const ELSEWHERE: &[&str] = &[
    "apiVersion",
    "kind",
    "id",
    "version",
    "status",
    "name",
    "domain",
    "schema",
    "servers",
    "slaProperties",
    "team",
    "description",
    "customProperties",
];
const OBJECT_KEYS: &[&str] = &[
    "id",
    "name",
    "physicalType",
    "logicalType",
    "description",
    "properties",
    "customProperties",
    "quality",
];
const PROPERTY_KEYS: &[&str] = &[
    "id",
    "name",
    "logicalType",
    "physicalType",
    "description",
    "required",
    "unique",
    "primaryKey",
    "primaryKeyPosition",
    "partitioned",
    "partitionKeyPosition",
    "classification",
    "quality",
    "customProperties",
    "logicalTypeOptions",
    "items",
    "properties",
    "physicalName",
];

struct Reader<'a> {
    document: &'a Value,
    object: &'a Value,
    pointer: String,
    lost: Vec<String>,
}

impl Reader<'_> {
    fn lose(&mut self, pointer: &str, why: impl AsRef<str>) {
        self.lost.push(format!("{pointer}: {}", why.as_ref()));
    }

    fn read(&mut self, alone: bool) -> Imported {
        self.unknown_keys("", self.document, ELSEWHERE);
        let pointer = self.pointer.clone();
        self.unknown_keys(&pointer, self.object, OBJECT_KEYS);
        let (mut columns, mut key, mut partitions) = (Vec::<Column>::new(), Vec::new(), Vec::new());
        let properties = self.object["properties"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (index, property) in properties.iter().enumerate() {
            let pointer = format!("{}/properties/{index}", self.pointer);
            let Some(column) = self.column(&pointer, property) else { continue };
            if columns.iter().any(|known| known.name == column.name) {
                self.lose(&pointer, format!("there is a column `{}` already", column.name));
                continue;
            }
            if property["primaryKey"] == true {
                let position = property["primaryKeyPosition"].as_i64().filter(|position| *position > 0);
                key.push((position.unwrap_or(i64::MAX), column.name.clone()));
            }
            partitions.extend(self.partition(&pointer, property, &column));
            columns.push(column);
        }
        key.sort_by_key(|(position, _)| *position);
        partitions.sort_by_key(|(position, _)| *position);
        let checks = self.object_quality();
        let compatibility = own(self.document, "compatibility").and_then(Value::as_str).map(str::to_owned);
        let compatibility =
            compatibility.filter(|rule| ["none", "backward", "forward", "full"].contains(&rule.as_str()));
        let contract = Contract {
            columns,
            key: key.into_iter().map(|(_, name)| name).collect(),
            compatibility,
            slo: self.slo(),
            checks,
        };
        let event_time = self.event_time(&contract);
        Imported {
            name: self.name(),
            description: self.description(alone),
            owner: self.owner(),
            zone: own(self.document, "zone")
                .and_then(|zone| serde_json::from_value::<Zone>(zone.clone()).ok()),
            contract,
            partition_by: partitions.into_iter().map(|(_, field)| field).collect(),
            event_time,
            on_drift: self.on_drift(),
            runbook: own(self.document, "runbook").and_then(Value::as_str).map(str::to_owned),
            lost: std::mem::take(&mut self.lost),
        }
    }

    /// What stands there and is not read, with its pointer.
    fn unknown_keys(&mut self, pointer: &str, value: &Value, known: &[&str]) {
        let keys = value.as_object().into_iter().flat_map(|map| map.keys());
        for key in keys.filter(|key| !known.contains(&key.as_str())) {
            self.lose(&format!("{pointer}/{key}"), "a dataset has no place for it");
        }
    }

    fn name(&self) -> DatasetName {
        let domain =
            self.document["domain"].as_str().or(self.document["name"].as_str()).unwrap_or("imported");
        let name = self.object["name"].as_str().unwrap_or("imported");
        let (domain, name) = (word(domain, "imported"), word(name, "imported"));
        let domain =
            if DatasetName::RESERVED_DOMAINS.contains(&domain.as_str()) { "imported" } else { &domain };
        DatasetName::new(domain, &name).expect("a word is a part of a name")
    }

    fn description(&mut self, alone: bool) -> String {
        let of_object = self.object["description"].as_str().map(str::to_owned);
        let whole = &self.document["description"];
        let purpose = whole["purpose"].as_str().map(str::to_owned);
        for key in whole.as_object().into_iter().flat_map(|map| map.keys()).filter(|key| *key != "purpose") {
            self.lost.push(format!("/description/{key}: a dataset has one description"));
        }
        if let (Some(of_object), Some(purpose)) = (&of_object, &purpose)
            && alone
            && of_object != purpose
        {
            self.lost.push("/description/purpose: the description of the object is kept".to_owned());
        }
        of_object.or(purpose.filter(|_| alone)).unwrap_or_default()
    }

    fn owner(&mut self) -> String {
        let team = &self.document["team"];
        let members = team.as_array().or(team["members"].as_array());
        if members.is_some_and(|members| !members.is_empty()) {
            self.lost.push("/team/members: a project names teams, not people".to_owned());
        }
        team["name"].as_str().map_or_else(|| "imported".to_owned(), team_name)
    }

    fn column(&mut self, pointer: &str, property: &Value) -> Option<Column> {
        let Some(name) = property["name"].as_str() else {
            self.lose(pointer, "it has no name");
            return None;
        };
        self.unknown_keys(pointer, property, PROPERTY_KEYS);
        // The physical name is the one in the table; where both differ, that is what rows are read by.
        let table_name = property["physicalName"].as_str().unwrap_or(name);
        let column_name = word(table_name, "column");
        let data_type = own(property, "type").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let data_type = data_type.map_or_else(|| types::read(property, 0), Ok);
        let data_type = data_type.unwrap_or_else(|why| {
            self.lose(&format!("{pointer}/logicalType"), why);
            ColumnType::String
        });
        self.options(pointer, property);
        let text = |name: &str| own(property, name).and_then(Value::as_str).map(str::to_owned);
        let field = text("field").or_else(|| (column_name != table_name).then(|| table_name.to_owned()));
        let mut column = Column {
            field: field.filter(|field| *field != column_name),
            required: property["required"] == true,
            unique: property["unique"] == true,
            pii: property["classification"].as_str().map(str::to_owned).filter(|word| !is_open(word)),
            format: text("format").filter(|_| matches!(data_type, ColumnType::Date | ColumnType::Timestamp)),
            description: property["description"].as_str().map(str::to_owned),
            ..Column::new(column_name, data_type)
        };
        self.column_quality(pointer, property, &mut column);
        Some(column)
    }

    /// Bounds of a type become conditions nowhere here, except through `quality`: they are named as lost.
    fn options(&mut self, pointer: &str, property: &Value) {
        let options = property["logicalTypeOptions"].as_object();
        let widths = ["i8", "i16", "i32", "i64", "f32", "f64"];
        for (key, value) in options.into_iter().flatten() {
            let width = key == "format" && value.as_str().is_some_and(|format| widths.contains(&format));
            if !width {
                self.lose(&format!("{pointer}/logicalTypeOptions/{key}"), "write it as a `check`");
            }
        }
    }

    fn column_quality(&mut self, pointer: &str, property: &Value, column: &mut Column) {
        let mut checks: Vec<String> = Vec::new();
        for (index, rule) in property["quality"].as_array().into_iter().flatten().enumerate() {
            if let Some(check) = quality::check_of(rule) {
                checks.push(check.to_owned());
                continue;
            }
            match quality::library(rule, &column.name) {
                Library::Required => column.required = true,
                Library::Unique => column.unique = true,
                Library::Check(check) => checks.push(check),
                Library::Other => {
                    self.lose(
                        &format!("{pointer}/quality/{index}"),
                        "a rule of this kind is no condition of a column",
                    );
                }
            }
        }
        column.check = match checks.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            several => {
                Some(several.iter().map(|check| format!("({check})")).collect::<Vec<_>>().join(" and "))
            }
        };
    }

    fn object_quality(&mut self) -> Vec<Check> {
        let mut checks = Vec::new();
        for (index, rule) in self.object["quality"].as_array().into_iter().flatten().enumerate() {
            match quality::dataset_check(rule) {
                Some(check) => checks.push(check),
                None => {
                    let pointer = format!("{}/quality/{index}", self.pointer);
                    self.lose(&pointer, "write it under `checks`");
                }
            }
        }
        checks
    }

    fn partition(&mut self, pointer: &str, property: &Value, column: &Column) -> Vec<(i64, PartitionField)> {
        if property["partitioned"] != true {
            return Vec::new();
        }
        let field = |transform| PartitionField { column: column.name.clone(), transform };
        if let Some(all) = own(property, "partition").and_then(Value::as_array) {
            let read =
                |value: &Value| Some((value["position"].as_i64()?, field(transform(value["by"].as_str()?)?)));
            return all.iter().filter_map(read).collect();
        }
        let position = property["partitionKeyPosition"].as_i64().filter(|position| *position > 0);
        let by = match column.data_type {
            ColumnType::Timestamp => {
                self.lose(&format!("{pointer}/partitioned"), "a table is split by the day of a timestamp");
                PartitionTransform::Day
            }
            _ => PartitionTransform::Identity,
        };
        vec![(position.unwrap_or(i64::MAX), field(by))]
    }

    fn event_time(&mut self, contract: &Contract) -> Option<EventTime> {
        let value = own(self.object, "eventTime")?;
        let millis = |key: &str| value[key].as_u64().map(Duration::from_millis);
        let column = value["column"].as_str().filter(|name| contract.column(name).is_some())?;
        Some(EventTime {
            column: column.to_owned(),
            watermark: millis("watermarkMs")?,
            idle_after: millis("idleAfterMs"),
            late: match value["late"].as_str() {
                Some("quarantine") => LatePolicy::Quarantine,
                Some("drop") => LatePolicy::Drop,
                _ => LatePolicy::Reopen,
            },
        })
    }

    fn on_drift(&self) -> OnDrift {
        let word = own(self.document, "onDrift").and_then(Value::as_str);
        let known =
            [OnDrift::Quarantine, OnDrift::Stop].into_iter().find(|on_drift| word == Some(on_drift.as_str()));
        known.unwrap_or_default()
    }

    fn slo(&mut self) -> Slo {
        let mut slo = Slo::default();
        let slas = self.document["slaProperties"].as_array();
        for (index, sla) in slas.into_iter().flatten().enumerate() {
            let name = sla["property"].as_str().unwrap_or_default().to_ascii_lowercase();
            let here = sla["element"].as_str().is_none_or(|element| self.concerns(element));
            if !here {
                continue;
            }
            let share = || Some(round(sla["value"].as_f64()? / 100.0)).filter(|_| sla["unit"] == "percent");
            let read = match name.as_str() {
                "latency" | "ly" | "freshness" => {
                    duration(sla).map(|within| slo.freshness_within = Some(within))
                }
                "freshnesstarget" => share().map(|share| slo.freshness_target = Some(share)),
                "completenesstarget" => share().map(|share| slo.completeness_target = Some(share)),
                _ => None,
            };
            if read.is_none() {
                self.lose(&format!("/slaProperties/{index}"), format!("`{name}` is promised by no dataset"));
            }
        }
        slo
    }

    /// Whether an element (`orders`, `orders.ts`, several of them) is of this object.
    fn concerns(&self, element: &str) -> bool {
        let name = self.object["name"].as_str().unwrap_or_default();
        element.split(',').any(|part| part.trim().split('.').next() == Some(name))
    }
}

/// One of our own words.
fn own<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let properties = value["customProperties"].as_array()?;
    let wanted = format!("{OWN}{name}");
    properties
        .iter()
        .find(|property| property["property"] == wanted.as_str())
        .map(|property| &property["value"])
}

/// Classes of data that anybody may see.
fn is_open(classification: &str) -> bool {
    ["public", "internal", "open", "none", ""].contains(&classification.to_ascii_lowercase().as_str())
}

fn transform(word: &str) -> Option<PartitionTransform> {
    let all = [
        PartitionTransform::Identity,
        PartitionTransform::Day,
        PartitionTransform::Month,
        PartitionTransform::Year,
    ];
    all.into_iter().find(|transform| super::export::by(*transform) == word)
}

/// How long a level of service is.
fn duration(sla: &Value) -> Option<Duration> {
    let value = match &sla["value"] {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_f64()?,
    };
    let seconds = match sla["unit"].as_str().unwrap_or("d").trim().to_ascii_lowercase().as_str() {
        "ms" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        "y" | "yr" | "year" | "years" => 31_536_000.0,
        _ => return None,
    };
    let millis = (value * seconds * 1_000.0).round();
    (millis.is_finite() && (0.0..1e15).contains(&millis)).then(|| Duration::from_millis(millis as u64))
}

fn round(share: f64) -> f64 {
    (share * 1e12).round() / 1e12
}

/// A name as ours are: lower-case letters, digits and `_`, first a letter.
fn word(text: &str, otherwise: &str) -> String {
    named(text, otherwise, "_")
}

/// The same for a team, whose name may have `-` in it.
fn team_name(text: &str) -> String {
    named(text, "imported", "_-")
}

fn named(text: &str, otherwise: &str, extra: &str) -> String {
    const LENGTH_MAX: usize = 63;
    let fold = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || extra.contains(c) => c,
        _ => '_',
    };
    let folded: String = text.trim().chars().map(fold).collect();
    let folded = folded.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let folded: String = folded.chars().take(LENGTH_MAX).collect();
    if folded.is_empty() { otherwise.to_owned() } else { folded }
}
