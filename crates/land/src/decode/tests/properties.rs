//! Any bytes: no panic, and every record comes out exactly once. What a plain reader of JSON makes of a record is what
//! lands.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type};
use flowline_log::RecordFormat;
use flowline_model::Dataset;
use flowline_testkit::http_dataset;
use proptest::prelude::*;
use serde_json::Value;

use super::arrow::stream;
use super::{batch, lines};
use crate::decode::Decoder;

fn dataset() -> Dataset {
    http_dataset(
        "test.any",
        &[
            ("s", "string"),
            ("i", "int32"),
            ("f", "float64"),
            ("d", "decimal(9,3)"),
            ("b", "boolean"),
            ("t", "timestamp"),
            ("j", "json"),
            ("l", "list<int32>"),
            ("o", "struct<s: string, i: int32>"),
        ],
    )
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i32>().prop_map(|n| n.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        (any::<i32>(), 0u32..100_000).prop_map(|(whole, part)| format!("{whole}.{part}")),
        (-999i32..999, -30i32..30).prop_map(|(mantissa, exponent)| format!("{mantissa}e{exponent}")),
        Just("01".to_owned()),
        Just("-".to_owned()),
        Just("1.".to_owned()),
    ]
}

/// JSON values, some of them broken.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        number(),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("tru".to_owned()),
        ".{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("\"2026-01-05T08:00:00Z\"".to_owned()),
        Just("\"\\ud83d\\ude00\"".to_owned()),
        Just("\"\\ud83d\"".to_owned()),
        Just("\"a\tb\"".to_owned()),
    ];
    leaf.prop_recursive(2, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(("[is]", inner), 0..3).prop_map(|members| object(&members)),
        ]
    })
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!(" \"{name}\" : {value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn record() -> impl Strategy<Value = String> {
    prop::collection::vec(("[sifdbtjlox]", value()), 0..6).prop_map(|members| object(&members))
}

/// What a row of this dataset must hold, read by way of a document; none when the record is not an object, names a
/// field twice, or has a value of another type.
fn reference(text: &str) -> Option<Value> {
    let names: Vec<&str> = ["s", "i", "f", "d", "b", "t", "j", "l", "o"].to_vec();
    let Value::Object(members) = serde_json::from_str(text).ok()? else { return None };
    // The document keeps the last of several fields of one name; landing refuses them.
    let mut quotes = names.iter().map(|name| text.matches(&format!("\"{name}\" :")).count());
    let nested = members.values().any(|value| value.is_object() || value.is_array());
    if !nested && quotes.any(|count| count > 1) {
        return None;
    }
    Some(Value::Object(members))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_come_out_once(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 1..5),
        header in prop::collection::vec(any::<u8>(), 0..24),
        spans in prop::collection::vec((0u32..400, 0u32..400), 0..4),
    ) {
        let decoder = Decoder::compile(&dataset()).unwrap();
        for format in [RecordFormat::Json, RecordFormat::Csv, RecordFormat::CloudEvent, RecordFormat::ArrowStream] {
            let bytes: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            let mut batch = batch(format, "", &bytes);
            batch.schema = header.clone().into();
            batch.spans.extend(&spans);
            batch.records = batch.spans.len() as u32;
            if format == RecordFormat::ArrowStream {
                batch.spans.clear();
            }
            lines(&decoder.decode(&batch, 0..batch.records as usize), batch.records as usize);
        }
    }

    #[test]
    fn bits_flipped_in_a_stream_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6)) {
        let rows = super::arrow_rows();
        let mut batch = stream(&[rows.clone(), rows]);
        let mut bytes = batch.payload.to_vec();
        for (index, bit) in flips {
            let index = index.index(bytes.len());
            bytes[index] ^= 1 << bit;
        }
        batch.payload = bytes.into();
        let decoded = Decoder::compile(&dataset()).unwrap().decode(&batch, 0..batch.records as usize);
        lines(&decoded, batch.records as usize);
    }

    #[test]
    fn a_record_lands_as_a_document_reader_reads_it(records in prop::collection::vec(record(), 1..6)) {
        let decoder = Decoder::compile(&dataset()).unwrap();
        let bytes: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
        let decoded = decoder.decode(&batch(RecordFormat::Json, "", &bytes), 0..records.len());
        lines(&decoded, records.len());
        // Together or one by one: the same.
        for (index, record) in records.iter().enumerate() {
            let alone = decoder.decode(&batch(RecordFormat::Json, "", &[record.as_bytes()]), 0..1);
            prop_assert_eq!(&lines(&alone, 1)[0], &lines(&decoded, records.len())[index]);
        }
        for decoded in &decoded {
            for (row, place) in decoded.places.iter().enumerate() {
                let document = reference(&records[place.record as usize]);
                prop_assert!(document.is_some(), "landed: {}", records[place.record as usize]);
                check_row(&decoded.rows, row, &document.unwrap());
            }
            for rejected in &decoded.rejected {
                let record = &records[rejected.place.record as usize];
                let document = reference(record);
                let unparsable = rejected.reason == flowline_model::FindingKind::Unparsable;
                let twice = rejected.message.contains("twice");
                prop_assert!(twice || unparsable == document.is_none(), "{}: {}", record, rejected.message);
            }
        }
    }
}

fn check_row(rows: &arrow::array::RecordBatch, row: usize, document: &Value) {
    let value = |name: &str| document.get(name).filter(|value| !value.is_null());
    let column = |name: &str| rows.column_by_name(name).unwrap();
    for field in ["s", "i", "f", "d", "b", "t", "j", "l", "o"] {
        let lands = value(field).is_some();
        assert_eq!(column(field).is_valid(row), lands, "`{field}` of {document}");
    }
    if let Some(Value::String(text)) = value("s") {
        assert_eq!(column("s").as_string::<i32>().value(row), text);
    }
    if let Some(Value::Number(number)) = value("i") {
        assert_eq!(f64::from(column("i").as_primitive::<Int32Type>().value(row)), number.as_f64().unwrap());
    }
    if let Some(Value::Number(number)) = value("f") {
        let (found, expected) =
            (column("f").as_primitive::<Float64Type>().value(row), number.as_f64().unwrap());
        assert!((found - expected).abs() <= expected.abs() * 1e-15, "{found} {expected}");
    }
    if let Some(Value::Number(number)) = value("d") {
        let found = column("d").as_primitive::<Decimal128Type>().value(row) as f64 / 1000.0;
        assert!((found - number.as_f64().unwrap()).abs() < 1e-6, "{found} {number}");
    }
    if let Some(json) = value("j") {
        let text = column("j").as_string::<i32>().value(row);
        assert_eq!(&serde_json::from_str::<Value>(text).unwrap(), json);
    }
    if let Some(Value::Array(items)) = value("l") {
        assert_eq!(column("l").as_list::<i32>().value(row).len(), items.len());
    }
    let extra = rows.column_by_name("_extra").unwrap().as_string::<i32>();
    match (document.get("x"), extra.is_valid(row)) {
        (Some(x), true) => {
            let extra: Value = serde_json::from_str(extra.value(row)).unwrap();
            assert!(extra.get("x").is_some(), "{x}");
        }
        (Some(x), false) => panic!("`x` of {document} is lost: {x}"),
        (None, _) => {}
    }
}
