use flowline_log::RecordFormat;
use flowline_model::Dataset;
use flowline_testkit::http_dataset;

use super::{batch, json_value, json_value_with, outcome, with};

fn orders() -> Dataset {
    http_dataset("shop.orders", &[("id", "string"), ("amount", "decimal(6,2)"), ("n", "int16")])
}

fn records(dataset: &Dataset, records: &[&str]) -> Vec<String> {
    let bytes: Vec<&[u8]> = records.iter().map(|record| record.as_bytes()).collect();
    outcome(dataset, &batch(RecordFormat::Json, "", &bytes))
}

#[test]
fn each_record_is_a_row_or_a_rejection() {
    let found = records(
        &orders(),
        &[
            r#"{"id":"a","amount":1.5,"n":7}"#,
            r#"{"n":1}"#,
            r#"{"id":"b","amount":"x","n":1}"#,
            r#"{"id":"c" "n":1}"#,
            r#"{"n":8,"id":"d","amount":null}"#,
            r#"{}"#,
        ],
    );
    assert_eq!(found[0], "a|1.50|7|-");
    assert_eq!(found[1], "-|-|1|-");
    assert_eq!(found[2], "wrong-type amount: `x` is not a number");
    assert!(found[3].starts_with("unparsable: the record is not JSON: "), "{}", found[3]);
    assert_eq!(found[4], "d|-|8|-");
    assert_eq!(found[5], "-|-|-|-");
}

#[test]
fn fields_that_the_contract_does_not_know_are_kept() {
    let found = records(
        &orders(),
        &[r#"{"id":"a","colour":"r\u00e9d","size":[1, 2]}"#, r#"{"id":"b"}"#, r#"{"a \"b\"":1,"id":"c"}"#],
    );
    assert_eq!(found[0], r#"a|-|-|{"colour":"r\u00e9d","size":[1, 2]}"#);
    assert_eq!(found[1], "b|-|-|-");
    assert_eq!(found[2], r#"c|-|-|{"a \"b\"":1}"#);
}

#[test]
fn records_that_cannot_be_read_say_why() {
    let found = records(
        &orders(),
        &[
            "",
            "  ",
            "42",
            "[1]",
            "null",
            r#"{"id":"a"} x"#,
            r#"{"id":"a","id":"b"}"#,
            r#"{"id":"\ud800"}"#,
            "{",
        ],
    );
    assert_eq!(found[0], "unparsable: the record is empty");
    assert_eq!(found[1], "unparsable: the record is empty");
    assert_eq!(
        records(&orders(), &[r#"{"n":"x","n":1}"#, r#"{"n":1,"n":"x"}"#]),
        ["unparsable n: the field `n` stands twice"; 2]
    );
    assert_eq!(found[2], "unparsable: the record is a number and not an object");
    assert_eq!(found[3], "unparsable: the record is a list and not an object");
    assert_eq!(found[4], "unparsable: the record is null and not an object");
    assert_eq!(found[6], "unparsable id: the field `id` stands twice");
    for line in [&found[5], &found[7], &found[8]] {
        assert!(line.starts_with("unparsable: the record is not JSON"), "{line}");
    }
}

#[test]
fn a_record_that_is_not_utf8_is_rejected_alone() {
    let found = outcome(
        &orders(),
        &batch(
            RecordFormat::Json,
            "",
            &[b"{\"id\":\"a\"}", b"{\"id\":\"\xff\"}", "{\"id\":\"é\"}".as_bytes()],
        ),
    );
    assert_eq!(found, ["a|-|-|-", "unparsable: the record is not UTF-8 from byte 7 on", "é|-|-|-"]);
}

#[test]
fn whole_numbers_are_exact() {
    assert_eq!(json_value("int16", "32767"), "32767");
    assert_eq!(json_value("int16", "32768"), "wrong-type v: `32768` is out of range");
    assert_eq!(json_value("int64", "-9223372036854775808"), "-9223372036854775808");
    assert_eq!(
        json_value("int64", "9223372036854775808"),
        "wrong-type v: `9223372036854775808` is out of range"
    );
    assert_eq!(
        json_value("int32", "1.7"),
        "wrong-type v: `1.7` has more digits behind the point than are kept"
    );
    assert_eq!(json_value("int32", "7.0"), "7");
    assert_eq!(json_value("int32", "1.2e3"), "1200");
    assert_eq!(json_value("int32", "1e999999999999"), "wrong-type v: `1e999999999999` is out of range");
    assert_eq!(json_value("int64", r#""9007199254740993""#), "9007199254740993");
    assert_eq!(json_value("int32", "true"), "wrong-type v: expected a whole number of 32 bits, found `true`");
    assert_eq!(json_value("int8", "[1]"), "wrong-type v: expected a whole number of 8 bits, found a list");
}

#[test]
fn decimals_are_exact() {
    assert_eq!(json_value("decimal(12,2)", "0.1"), "0.10");
    assert_eq!(json_value("decimal(12,2)", "-19.99"), "-19.99");
    assert_eq!(json_value("decimal(12,2)", "1.10000"), "1.10");
    assert_eq!(
        json_value("decimal(12,2)", "1.005"),
        "wrong-type v: `1.005` has more digits behind the point than are kept"
    );
    assert_eq!(json_value("decimal(4,2)", "100"), "wrong-type v: `100` is out of range");
    let digits = "12345678901234567890123456789012345.678";
    assert_eq!(json_value("decimal(38,3)", digits), digits);
    assert_eq!(json_value("decimal(38,3)", &format!("\"{digits}\"")), digits);
    assert_eq!(json_value("decimal(3,0)", "1.5e1"), "15");
    assert_eq!(json_value("decimal(3,3)", "5e-3"), "0.005");
    assert_eq!(json_value("decimal(3,0)", "0e99999999999"), "0");
}

#[test]
fn floats_are_the_nearest() {
    assert_eq!(json_value("float64", "0.1"), "0.1");
    assert_eq!(json_value("float64", "1"), "1.0");
    assert_eq!(json_value("float64", "1e999"), "wrong-type v: `1e999` is out of range");
    assert_eq!(json_value("float32", "1e39"), "wrong-type v: `1e39` is out of range");
    assert_eq!(json_value("float64", r#""NaN""#), "NaN");
    assert_eq!(json_value("float64", r#""abc""#), "wrong-type v: `abc` is not a number");
}

#[test]
fn text_is_text_only() {
    assert_eq!(json_value("string", r#""a\tb\u20ac""#), "a\tb€");
    assert_eq!(json_value("string", r#""""#), "");
    assert_eq!(json_value("string", "42"), "wrong-type v: expected text, found the number 42");
    assert_eq!(json_value("boolean", "true"), "true");
    assert_eq!(
        json_value("boolean", r#""true""#),
        "wrong-type v: expected true or false, found the text `true`"
    );
    assert_eq!(json_value("binary", r#""aGk=""#), "6869");
    assert_eq!(json_value("binary", r#""aGk""#), "6869");
    assert_eq!(json_value("binary", r#""?""#), "wrong-type v: `?` is not base64");
}

#[test]
fn times_are_utc_unless_they_say_otherwise() {
    let noon = "2026-01-05T12:00:00Z";
    for text in [
        "2026-01-05T12:00:00Z",
        "2026-01-05T13:00:00+01:00",
        "2026-01-05 12:00:00",
        "2026-01-05T12:00:00.000000999",
        "2026-01-05T12:00",
    ] {
        assert_eq!(json_value("timestamp", &format!("\"{text}\"")), noon, "{text}");
    }
    assert_eq!(json_value("timestamp", r#""2026-01-05""#), "2026-01-05T00:00:00Z");
    assert_eq!(json_value("timestamp", r#""yesterday""#), "wrong-type v: `yesterday` is not a timestamp");
    assert_eq!(
        json_value("timestamp", "1700000000"),
        "wrong-type v: expected a timestamp, found the number 1700000000"
    );
    assert_eq!(json_value("date", r#""2024-02-29""#), "2024-02-29");
    assert_eq!(json_value("date", r#""2023-02-29""#), "wrong-type v: `2023-02-29` is not a date");
    assert_eq!(
        json_value("date", r#""2023-02-01T10:00:00Z""#),
        "wrong-type v: `2023-02-01T10:00:00Z` is not a date"
    );
}

#[test]
fn a_format_says_how_times_are_written() {
    let column = |data_type: &str, format: &str| {
        let format = Some(format.to_owned());
        with(http_dataset("test.values", &[("v", data_type)]), "v", |column| column.format = format)
    };
    let flights = column("timestamp", "%Y/%m/%d %H:%M");
    assert_eq!(json_value_with(&flights, r#""2001/01/01 00:47""#), "2001-01-01T00:47:00Z");
    assert_eq!(
        json_value_with(&flights, r#""2001/01/01 00:47x""#),
        "wrong-type v: `2001/01/01 00:47x` is not a timestamp"
    );
    assert_eq!(json_value_with(&column("timestamp", "%d.%m.%Y"), r#""31.12.1999""#), "1999-12-31T00:00:00Z");
    assert_eq!(
        json_value_with(&column("timestamp", "%Y-%m-%dT%H:%M:%S%z"), r#""1999-12-31T23:00:00-0100""#),
        "2000-01-01T00:00:00Z"
    );
    assert_eq!(json_value_with(&column("date", "%d.%m.%Y"), r#""31.12.1999""#), "1999-12-31");
    for (format, value) in [
        ("epoch_s", "1500000000"),
        ("epoch_ms", "1500000000000"),
        ("epoch_us", "1500000000000000"),
        ("epoch_ns", "1500000000000000000"),
        ("epoch_s", "1500000000.0000009"),
        ("epoch_s", r#""1500000000""#),
    ] {
        assert_eq!(
            json_value_with(&column("timestamp", format), value),
            "2017-07-14T02:40:00Z",
            "{format} {value}"
        );
    }
    assert_eq!(json_value_with(&column("timestamp", "epoch_ms"), "-1"), "1969-12-31T23:59:59.999Z");
    let error = super::Decoder::compile(&column("timestamp", "%Q")).unwrap_err().to_string();
    assert!(error.contains("`%Q` is not a strftime format"), "{error}");
}

#[test]
fn json_columns_keep_the_text() {
    for value in [r#"{"b": 1,  "a":[1.0, "\u00e9"]}"#, "1.10", r#""x""#, "true", "[]"] {
        assert_eq!(json_value("json", value), value);
    }
    assert_eq!(json_value("json", "null"), "-");
}

#[test]
fn nested_values_are_read_to_the_bottom() {
    let kind = "struct<street: string, points: list<struct<x: int32, y: decimal(4,1)>>>";
    assert_eq!(
        json_value(kind, r#"{"points":[{"y":1.5,"x":1},null,{"x":2}],"street":"s"}"#),
        "{street: s, points: [{x: 1, y: 1.5}, -, {x: 2, y: -}]}"
    );
    assert_eq!(json_value(kind, "{}"), "{street: -, points: -}");
    assert_eq!(
        json_value(kind, r#"{"points":[{"x":1.5}]}"#),
        "wrong-type v: in `points`: in the list: in `x`: `1.5` has more digits behind the point than are kept"
    );
    assert_eq!(json_value(kind, "[1]"), "wrong-type v: expected an object, found a list");
    assert_eq!(json_value("list<int32>", "[1,null,3]"), "[1, -, 3]");
    assert_eq!(json_value("list<int32>", "[]"), "[]");
}

#[test]
fn a_nested_field_that_the_contract_does_not_know_keeps_the_whole_value() {
    let kind = "struct<a: int32, b: struct<c: int32>>";
    let dataset = http_dataset("test.values", &[("v", kind)]);
    let record = br#"{"v":{"a":1,"b":{"c":2,"d":3}}}"#;
    let batch = batch(RecordFormat::Json, "", &[record]);
    assert_eq!(outcome(&dataset, &batch), [r#"{a: 1, b: {c: 2}}|{"v":{"a":1,"b":{"c":2,"d":3}}}"#]);
    let decoded = super::Decoder::compile(&dataset).unwrap().decode(&batch, 0..1);
    assert_eq!(decoded[0].departures.unknown.keys().collect::<Vec<_>>(), ["v.b.d"]);
}

#[test]
fn a_field_may_have_another_name_than_its_column() {
    let dataset = with(orders(), "amount", |column| column.field = Some("Cost Total $".into()));
    assert_eq!(records(&dataset, &[r#"{"Cost Total $": 3, "amount": 4}"#]), [r#"-|3.00|-|{"amount":4}"#]);
}

#[test]
fn a_field_that_two_columns_read_is_refused() {
    let dataset = with(orders(), "amount", |column| column.field = Some("id".into()));
    let error = super::Decoder::compile(&dataset).unwrap_err().to_string();
    assert_eq!(error, "column `amount` cannot be read: `id` reads the field `id` already");
}
