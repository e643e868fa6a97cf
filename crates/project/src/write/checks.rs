//! Checks as they stand in the file of a dataset.

use flowline_model::{Anomaly, Check, CheckRule, CheckSeverity, Completeness, Season};
use serde_json::{Map, Value};

use super::{duration, share};

/// A check; `owner` is that of the dataset, which it need not name again.
pub(super) fn check(check: &Check, owner: &str) -> Value {
    let mut file = Map::new();
    file.insert("kind".to_owned(), check.rule.kind().into());
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            file.insert(key.to_owned(), value);
        }
    };
    rule(&check.rule, &mut set);
    set("tolerance", (check.tolerance > 0.0).then(|| share(check.tolerance)));
    set("severity", (check.severity != CheckSeverity::Warn).then(|| check.severity.as_str().into()));
    set("owner", (check.owner != owner).then(|| check.owner.clone().into()));
    set("name", Some(check.name.clone().into()));
    set("description", check.description.clone().map(Value::from));
    Value::Object(file)
}

fn rule(rule: &CheckRule, set: &mut impl FnMut(&str, Option<Value>)) {
    match rule {
        CheckRule::Required { column } => set("column", text(column)),
        CheckRule::Range { column, min, max } => {
            set("column", text(column));
            set("min", min.clone().map(Value::from));
            set("max", max.clone().map(Value::from));
        }
        CheckRule::Length { column, min, max } => {
            set("column", text(column));
            set("min", min.map(Value::from));
            set("max", max.map(Value::from));
        }
        CheckRule::Pattern { column, pattern } => {
            set("column", text(column));
            set("pattern", text(pattern));
        }
        CheckRule::AcceptedValues { column, values } => {
            set("column", text(column));
            set("values", Some(values.clone().into()));
        }
        CheckRule::Type { column, data_type } => {
            set("column", text(column));
            set("is", Some(data_type.to_string().into()));
        }
        CheckRule::Condition { expression } => set("expression", text(expression)),
        CheckRule::Unique { columns } => set("columns", Some(columns.clone().into())),
        CheckRule::Duplicates { columns } => {
            set("columns", (!columns.is_empty()).then(|| columns.clone().into()));
        }
        CheckRule::RowCount { min, max } => {
            set("min", min.map(Value::from));
            set("max", max.map(Value::from));
        }
        CheckRule::Freshness { column, within } => {
            set("within", Some(duration(*within)));
            set("column", column.clone().map(Value::from));
        }
        other => of_others(other, set),
    }
}

/// Rules about other datasets, and about history.
fn of_others(rule: &CheckRule, set: &mut impl FnMut(&str, Option<Value>)) {
    match rule {
        CheckRule::Completeness(Completeness::Partitions { column, after, periods }) => {
            set("partition", text(column));
            set("after", Some(duration(*after)));
            set("periods", Some((*periods).into()));
        }
        CheckRule::Completeness(Completeness::Count { query }) => set("expected_rows", text(query)),
        CheckRule::Referential { columns, to, to_columns } => {
            set("columns", Some(columns.clone().into()));
            set("to", Some(to.to_string().into()));
            set("to_columns", (to_columns != columns).then(|| to_columns.clone().into()));
        }
        CheckRule::Distribution { column, method, limit, window } => {
            set("column", text(column));
            set("method", Some(method.as_str().into()));
            set("limit", Some((*limit).into()));
            set("window", Some((*window).into()));
        }
        CheckRule::Anomaly(of) => anomaly(of, set),
        CheckRule::Sql { query } => set("query", text(query)),
        CheckRule::Reconcile { column, with, with_column } => {
            set("with", Some(with.to_string().into()));
            set("column", column.clone().map(Value::from));
            set("with_column", with_column.clone().map(Value::from));
        }
        _ => {}
    }
}

fn anomaly(anomaly: &Anomaly, set: &mut impl FnMut(&str, Option<Value>)) {
    let season = match anomaly.season {
        Season::None => "none",
        Season::HourOfDay => "hour_of_day",
        Season::DayOfWeek => "day_of_week",
    };
    set("metric", Some(anomaly.metric.as_str().into()));
    set("column", anomaly.column.clone().map(Value::from));
    set("by", anomaly.by.clone().map(Value::from));
    set("every", Some(duration(anomaly.every)));
    set("season", Some(season.into()));
    set("sensitivity", Some(anomaly.sensitivity.into()));
    set("history_min", Some(anomaly.history_min.into()));
    set("floor", Some(anomaly.floor.into()));
}

fn text(text: &str) -> Option<Value> {
    Some(text.into())
}
