//! Checks of the load's columns, as a dataset declares them and as conditions in SQL.

use std::fmt::Write as _;

/// One check.
#[derive(Debug, Clone)]
pub struct Rule {
    /// As it stands in a dataset's file, without its name.
    written: String,
    /// The rows that fail it, for any engine.
    pub fails: String,
}

/// So many checks, all different; a few of them fail for some rows.
pub fn rules(count: usize) -> Vec<Rule> {
    (0..count).map(|number| rule(number % 10, number / 10)).collect()
}

fn rule(kind: usize, round: usize) -> Rule {
    let of = |written: String, fails: String| Rule { written, fails };
    match kind {
        0 => {
            let column = ["event_id", "user_id", "kind", "amount", "url", "ts"][round % 6];
            of(format!("kind: required, column: {column}"), format!("{column} is null"))
        }
        1 => {
            let max = 100_002 - round;
            of(
                format!("kind: range, column: user_id, min: 0, max: {max}"),
                format!("user_id < 0 or user_id > {max}"),
            )
        }
        2 => {
            let max = 499 - round;
            of(
                format!("kind: range, column: amount, min: 0, max: {max}.99"),
                format!("amount < 0 or amount > {max}.99"),
            )
        }
        3 => {
            let min = 20 - round % 20;
            of(
                format!("kind: length, column: event_id, min: {min}, max: 20"),
                format!("length(event_id) < {min} or length(event_id) > 20"),
            )
        }
        4 => {
            let max = 100 + round;
            of(format!("kind: length, column: url, max: {max}"), format!("length(url) > {max}"))
        }
        5 => of(
            format!("kind: accepted_values, column: kind, values: [purchase, refund, other{round}]"),
            format!("kind not in ('purchase', 'refund', 'other{round}')"),
        ),
        6 => {
            let digits = 1 + round % 20;
            of(
                format!("kind: pattern, column: event_id, pattern: \"^[0-9]{{{digits},20}}$\""),
                format!("not regexp_matches(event_id, '^[0-9]{{{digits},20}}$')"),
            )
        }
        7 => of(
            format!("kind: range, column: ts, min: \"20{:02}-01-01T00:00:00Z\"", round % 26),
            format!("ts < timestamptz '20{:02}-01-01T00:00:00Z'", round % 26),
        ),
        8 => {
            let condition = format!("user_id + {round} >= {round}");
            of(format!("kind: condition, expression: \"{condition}\""), format!("not ({condition})"))
        }
        _ => {
            let condition = format!("amount >= 0 or user_id > {round}");
            of(format!("kind: condition, expression: \"{condition}\""), format!("not ({condition})"))
        }
    }
}

/// The key `checks` of a dataset's file.
pub fn yaml(rules: &[Rule]) -> String {
    let mut text = String::new();
    if !rules.is_empty() {
        text.push_str("checks:\n");
    }
    for (number, rule) in rules.iter().enumerate() {
        let _ = writeln!(text, "  - {{ {}, name: rule_{number} }}", rule.written);
    }
    text
}
