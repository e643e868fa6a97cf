//! Rules of columns, and checks, as rules of the standard, and back.

use flowline_model::{Check, CheckSeverity};
use serde_json::{Value, json};

/// The engine of checks that no other one can evaluate.
const ENGINE: &str = "flowline";

const BEFORE: &str = "SELECT COUNT(*) FROM {object} WHERE NOT (";
const AFTER: &str = ")";

/// A condition as a query that counts the rows that do not meet it. Rows for which it is null meet it, there as here.
pub(super) fn of_check(check: &str) -> Value {
    json!({
        "type": "sql",
        "description": format!("every row meets: {check}"),
        "dimension": "conformity",
        "severity": "error",
        "query": format!("{BEFORE}{check}{AFTER}"),
        "mustBe": 0,
    })
}

/// The condition of such a query.
pub(super) fn check_of(rule: &Value) -> Option<&str> {
    let zero = rule["mustBe"].as_f64() == Some(0.0);
    let query = rule["query"].as_str().filter(|_| rule["type"] == "sql" && zero)?;
    query.trim().trim_end_matches(';').strip_prefix(BEFORE)?.strip_suffix(AFTER)
}

/// A check as a rule of an engine of its own, with all that it says.
pub(super) fn of_dataset_check(check: &Check) -> Value {
    let severity = match check.severity {
        CheckSeverity::Warn => "warning",
        CheckSeverity::QuarantineRows | CheckSeverity::Block => "error",
    };
    let mut rule = json!({
        "name": check.name,
        "type": "custom",
        "engine": ENGINE,
        "dimension": dimension(check),
        "severity": severity,
        "implementation": check,
    });
    if let Some(description) = &check.description {
        rule["description"] = description.clone().into();
    }
    rule
}

/// The check of such a rule.
pub(super) fn dataset_check(rule: &Value) -> Option<Check> {
    let ours = rule["type"] == "custom" && rule["engine"] == ENGINE;
    serde_json::from_value(rule["implementation"].clone()).ok().filter(|_| ours)
}

/// The standard's word for what a check looks after.
fn dimension(check: &Check) -> &'static str {
    match check.rule.kind() {
        "required" | "row_count" | "completeness" => "completeness",
        "unique" | "duplicates" => "uniqueness",
        "freshness" => "timeliness",
        "referential" | "reconcile" => "consistency",
        "distribution" | "anomaly" | "sql" => "accuracy",
        _ => "conformity",
    }
}

/// What a library rule of a property says in our words.
#[derive(Debug, PartialEq)]
pub(super) enum Library {
    /// No null.
    Required,
    /// No value twice.
    Unique,
    /// A condition.
    Check(String),
    /// Something else.
    Other,
}

/// Reads a library rule that must hold for every row.
pub(super) fn library(rule: &Value, column: &str) -> Library {
    if rule.get("type").is_some_and(|kind| kind != "library") || rule["mustBe"].as_f64() != Some(0.0) {
        return Library::Other;
    }
    let metric = rule["metric"].as_str().or(rule["rule"].as_str());
    let arguments = &rule["arguments"];
    match metric {
        Some("nullValues") => Library::Required,
        Some("duplicateValues") if arguments.is_null() => Library::Unique,
        Some("invalidValues") => invalid(arguments, column),
        _ => Library::Other,
    }
}

fn invalid(arguments: &Value, column: &str) -> Library {
    let values = arguments["validValues"].as_array();
    match (values, arguments["pattern"].as_str()) {
        (Some(values), None) => {
            let literals: Option<Vec<String>> = values.iter().map(literal).collect();
            match literals {
                Some(literals) if !literals.is_empty() => {
                    Library::Check(format!("{column} in ({})", literals.join(", ")))
                }
                _ => Library::Other,
            }
        }
        (None, Some(pattern)) => Library::Check(format!("regexp_like({column}, {})", quoted(pattern))),
        _ => Library::Other,
    }
}

fn literal(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(quoted(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
