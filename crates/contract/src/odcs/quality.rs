//! Rules of columns as rules of the standard, and back.

use serde_json::{Value, json};

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
