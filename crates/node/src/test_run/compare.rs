//! Rows as a person wrote them against rows as a table holds them.

use std::collections::BTreeMap;

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use chrono::{DateTime, NaiveDateTime};
use flowline_lake::json_rows;
use flowline_model::DatasetName;
use flowline_process::nearest;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// So many rows of each kind are shown; the others are counted.
const SHOWN_MAX: usize = 10;

/// Says when a number is not the one that was expected.
pub fn number(dataset: &DatasetName, what: &str, wanted: u64, found: u64) -> Option<String> {
    (wanted != found).then(|| format!("{dataset} has {found} {what}, not {wanted}"))
}

/// Compares all rows in any order, by the columns that the expected ones name.
pub fn rows(
    dataset: &DatasetName,
    expected: &[Map<String, Value>],
    found: &[RecordBatch],
) -> anyhow::Result<Option<String>> {
    let schema = found.first().context("the query gives no columns")?.schema();
    let columns = match columns(dataset, expected, &schema) {
        Ok(columns) => columns,
        Err(unknown) => return Ok(Some(unknown)),
    };
    // How often each row is expected (less how often it is there), by what is compared of it.
    let mut surplus: BTreeMap<String, i64> = BTreeMap::new();
    for row in expected {
        let row = row.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        *surplus.entry(text(&columns, &row)).or_default() += 1;
    }
    for row in json_rows(found)? {
        let row: BTreeMap<String, Box<RawValue>> = serde_json::from_str(row.get())?;
        let row = row.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect();
        *surplus.entry(text(&columns, &row)).or_default() -= 1;
    }
    let side = |sign: i64, mark: char| -> Vec<String> {
        let rows = surplus.iter().filter(|(_, count)| **count * sign > 0);
        rows.flat_map(|(row, count)| {
            std::iter::repeat_n(format!("{mark} {row}"), count.unsigned_abs() as usize)
        })
        .collect()
    };
    let (missing, unexpected) = (side(1, '-'), side(-1, '+'));
    if missing.is_empty() && unexpected.is_empty() {
        return Ok(None);
    }
    let mut difference = format!(
        "{dataset}: of {} rows that were expected {} are missing, and {} others are there",
        expected.len(),
        missing.len(),
        unexpected.len()
    );
    for rows in [missing, unexpected] {
        for row in rows.iter().take(SHOWN_MAX) {
            difference.push_str(&format!("\n  {row}"));
        }
        if rows.len() > SHOWN_MAX {
            difference.push_str(&format!("\n  … and {} more", rows.len() - SHOWN_MAX));
        }
    }
    Ok(Some(difference))
}

/// The columns that are compared, with their types.
fn columns<'a>(
    dataset: &DatasetName,
    expected: &[Map<String, Value>],
    schema: &'a Schema,
) -> Result<BTreeMap<String, &'a DataType>, String> {
    if expected.is_empty() {
        let own = schema.fields().iter().filter(|field| !field.name().starts_with('_'));
        return Ok(own.map(|field| (field.name().clone(), field.data_type())).collect());
    }
    let mut columns = BTreeMap::new();
    for name in expected.iter().flat_map(Map::keys) {
        let Ok(field) = schema.field_with_name(name) else {
            let mut unknown = format!("{dataset} has no column `{name}`");
            if let Some(near) = nearest(name, schema.fields().iter().map(|field| field.name().as_str())) {
                unknown.push_str(&format!("; did you mean `{near}`?"));
            }
            return Err(unknown);
        };
        columns.insert(name.clone(), field.data_type());
    }
    Ok(columns)
}

/// One row, its values as JSON texts, as it is compared and shown.
fn text(columns: &BTreeMap<String, &DataType>, row: &BTreeMap<String, String>) -> String {
    let cells = columns.iter().map(|(name, data_type)| {
        format!("{name}: {}", canonical(row.get(name).map_or("null", String::as_str), data_type))
    });
    format!("{{ {} }}", cells.collect::<Vec<_>>().join(", "))
}

/// A JSON text in the one form that its type has: `10`, `10.0` and `"10.00"` are one decimal, `…T08:00:00Z` and
/// `… 09:00:00+01:00` one instant. Floats are compared by 12 digits, decimals by all.
fn canonical(json: &str, data_type: &DataType) -> String {
    let plain = serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned());
    match data_type {
        _ if json == "null" => plain,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            plain.parse::<f64>().map_or(plain, |number| shortest(&format!("{number:.11e}")))
        }
        DataType::Decimal128(..) | DataType::Decimal256(..) => decimal(&plain),
        number if number.is_integer() => decimal(&plain),
        DataType::Timestamp(..) => instant(&plain).unwrap_or(plain),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Value::String(plain).to_string(),
        // What is nested is written in one way, its keys in one order.
        _ => serde_json::from_str::<Value>(json).map_or(plain, |mut value| {
            value.sort_all_objects();
            value.to_string()
        }),
    }
}

fn shortest(scientific: &str) -> String {
    scientific.parse::<f64>().map_or_else(|_| scientific.to_owned(), |number| number.to_string())
}

/// A decimal without the zeros at its end.
fn decimal(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
        }
        _ => text.to_owned(),
    }
}

fn instant(text: &str) -> Option<String> {
    let instant = DateTime::parse_from_rfc3339(text).map(|instant| instant.to_utc());
    let instant = instant.or_else(|_| {
        let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f"));
        naive.map(|naive| naive.and_utc())
    });
    Some(instant.ok()?.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, StringArray, TimestampMicrosecondArray};
    use serde_json::json;

    use super::*;

    fn found() -> RecordBatch {
        let amounts = Decimal128Array::from(vec![Some(1000), None]).with_precision_and_scale(12, 2).unwrap();
        let columns: [(&str, ArrayRef); 4] = [
            ("id", Arc::new(StringArray::from(vec!["a", "b"]))),
            ("amount", Arc::new(amounts)),
            ("mean", Arc::new(Float64Array::from(vec![0.1 + 0.2, 1.0]))),
            ("ts", Arc::new(TimestampMicrosecondArray::from(vec![0, 1_000_000]).with_timezone("UTC"))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    fn check(expected: Value) -> Option<String> {
        let expected: Vec<Map<String, Value>> = serde_json::from_value(expected).unwrap();
        rows(&"shop.orders".parse().unwrap(), &expected, &[found()]).unwrap()
    }

    #[test]
    fn values_are_equal_however_they_are_written() {
        let expected = json!([
            { "id": "b", "amount": null, "mean": 1, "ts": "1970-01-01 00:00:01" },
            { "id": "a", "amount": "10.0", "mean": 0.3, "ts": "1970-01-01T01:00:00+01:00" },
        ]);
        assert_eq!(check(expected), None);
        assert_eq!(
            check(json!([{ "id": "a" }, { "id": "b" }])),
            None,
            "columns that are not named do not count"
        );
    }

    #[test]
    fn decimals_are_compared_by_every_digit() {
        let amounts = Decimal128Array::from(vec![12_345_678_901_234_567_890_i128]);
        let amounts = Arc::new(amounts.with_precision_and_scale(38, 2).unwrap()) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("amount", amounts)]).unwrap();
        let difference = |text: &str| {
            let expected: Vec<Map<String, Value>> =
                serde_json::from_value(json!([{ "amount": text }])).unwrap();
            rows(&"shop.orders".parse().unwrap(), &expected, std::slice::from_ref(&batch)).unwrap()
        };
        assert_eq!(difference("123456789012345678.9"), None);
        assert!(difference("123456789012345678.91").is_some());
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_shown() {
        let difference = check(json!([{ "id": "a" }, { "id": "a" }])).unwrap();
        assert_eq!(
            difference,
            "shop.orders: of 2 rows that were expected 1 are missing, and 1 others are there\n  \
             - { id: \"a\" }\n  + { id: \"b\" }"
        );
        assert!(check(json!([])).unwrap().contains("2 others"), "rows that nobody expected are a difference");
        assert!(check(json!([{ "ids": "a" }])).unwrap().contains("did you mean `id`?"));
    }
}
