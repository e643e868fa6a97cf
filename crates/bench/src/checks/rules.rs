//! Checks of the load's columns, as a dataset declares them, as conditions in SQL, and as data for peers.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One check.
#[derive(Debug, Clone)]
pub struct Rule {
    /// As it stands in a dataset's file, without its name.
    written: String,
    /// The rows that fail it, for any engine.
    pub fails: String,
    /// The same for peers that have rules of their own: `kind`, `column` and the bounds.
    about: Value,
}

impl Rule {
    /// What a peer is told of it.
    pub fn asked(&self, name: &str) -> Value {
        let mut about = self.about.clone();
        about["name"] = json!(name);
        about["fails"] = json!(self.fails);
        about
    }
}

/// So many checks, all different; a few of them fail for some rows.
pub fn rules(count: usize) -> Vec<Rule> {
    (0..count).map(|number| rule(number % 10, number / 10)).collect()
}

/// What the check with this number is called.
pub fn name(number: usize) -> String {
    format!("rule_{number}")
}

fn rule(kind: usize, round: usize) -> Rule {
    match kind {
        0 => required(["event_id", "user_id", "kind", "amount", "url", "ts"][round % 6]),
        1 => range("user_id", &(100_002 - round).to_string()),
        2 => range("amount", &format!("{}.99", 499 - round)),
        3 => length("event_id", Some(20 - round % 20), 20),
        4 => length("url", None, 100 + round),
        5 => accepted(&["purchase", "refund", &format!("other{round}")]),
        6 => pattern(&format!("^[0-9]{{{},20}}$", 1 + round % 20)),
        7 => since(&format!("20{:02}-01-01T00:00:00", round % 26)),
        8 => condition(&format!("user_id + {round} >= {round}")),
        _ => condition(&format!("amount >= 0 or user_id > {round}")),
    }
}

fn required(column: &str) -> Rule {
    Rule {
        written: format!("kind: required, column: {column}"),
        fails: format!("{column} is null"),
        about: json!({ "kind": "required", "column": column }),
    }
}

fn range(column: &str, max: &str) -> Rule {
    Rule {
        written: format!("kind: range, column: {column}, min: 0, max: {max}"),
        fails: format!("{column} < 0 or {column} > {max}"),
        about: json!({ "kind": "range", "column": column, "min": 0, "max": max.parse::<f64>().unwrap_or(0.0) }),
    }
}

fn length(column: &str, min: Option<usize>, max: usize) -> Rule {
    let written = min.map(|min| format!("min: {min}, ")).unwrap_or_default();
    let short = min.map(|min| format!("length({column}) < {min} or ")).unwrap_or_default();
    let mut about = json!({ "kind": "length", "column": column, "max": max });
    if let Some(min) = min {
        about["min"] = json!(min);
    }
    Rule {
        written: format!("kind: length, column: {column}, {written}max: {max}"),
        fails: format!("{short}length({column}) > {max}"),
        about,
    }
}

fn accepted(values: &[&str]) -> Rule {
    Rule {
        written: format!("kind: accepted_values, column: kind, values: [{}]", values.join(", ")),
        fails: format!("kind not in ('{}')", values.join("', '")),
        about: json!({ "kind": "accepted_values", "column": "kind", "values": values }),
    }
}

fn pattern(pattern: &str) -> Rule {
    Rule {
        written: format!("kind: pattern, column: event_id, pattern: \"{pattern}\""),
        fails: format!("not regexp_matches(event_id, '{pattern}')"),
        about: json!({ "kind": "pattern", "column": "event_id", "pattern": pattern }),
    }
}

fn since(time: &str) -> Rule {
    Rule {
        written: format!("kind: range, column: ts, min: \"{time}Z\""),
        fails: format!("ts < timestamptz '{time}Z'"),
        about: json!({ "kind": "since", "column": "ts", "min": format!("{time}+00:00") }),
    }
}

fn condition(holds: &str) -> Rule {
    Rule {
        written: format!("kind: condition, expression: \"{holds}\""),
        fails: format!("not ({holds})"),
        about: json!({ "kind": "condition", "holds": holds }),
    }
}

/// The key `checks` of a dataset's file.
pub fn yaml(rules: &[Rule]) -> String {
    let mut text = String::new();
    if !rules.is_empty() {
        text.push_str("checks:\n");
    }
    for (number, rule) in rules.iter().enumerate() {
        let _ = writeln!(text, "  - {{ {}, name: {} }}", rule.written, name(number));
    }
    text
}
