use flowline_log::RecordFormat;
use flowline_model::Dataset;
use flowline_testkit::http_dataset;

use super::{batch, outcome};

fn strikes() -> Dataset {
    http_dataset(
        "air.strikes",
        &[("name", "string"), ("cost", "decimal(8,2)"), ("day", "date"), ("ok", "boolean")],
    )
}

fn rows(header: &str, rows: &[&str]) -> Vec<String> {
    let bytes: Vec<&[u8]> = rows.iter().map(|row| row.as_bytes()).collect();
    outcome(&strikes(), &batch(RecordFormat::Csv, header, &bytes))
}

#[test]
fn fields_are_found_by_the_header() {
    let found = rows("ok,cost,name,place", &["t,1.5,\"a, \"\"b\"\"\",x", "no, 2 ,c,", ",,,"]);
    assert_eq!(found, [r#"a, "b"|1.50|-|true|{"place":"x"}"#, "c|2.00|-|false|-", "-|-|-|-|-"]);
}

#[test]
fn rows_with_other_counts_are_rejected_alone() {
    let found = rows("name,cost", &["a,1", "b", "c,1,2", "d,2"]);
    assert_eq!(
        found,
        [
            "a|1.00|-|-|-",
            "unparsable: the row has 1 fields where the header has 2",
            "unparsable: the row has 3 fields where the header has 2",
            "d|2.00|-|-|-",
        ]
    );
}

#[test]
fn a_row_may_hold_line_ends_in_quotes_only() {
    let found = rows("name,cost", &["\"a\nb\",1", "\"a,1", "a,1\nb,2", "c,3", ""]);
    assert_eq!(
        found,
        [
            "a\nb|1.00|-|-|-",
            "unparsable: the row has a quote that is never closed",
            "unparsable: the row holds more than one line",
            "c|3.00|-|-|-",
            "unparsable: the row is empty",
        ]
    );
}

#[test]
fn values_that_do_not_fit_are_rejected() {
    let found = rows("name,cost,day,ok", &["a,x,,", "b,,1990-13-01,", "c,,,maybe", "d,,1990-01-08,Yes"]);
    assert_eq!(
        found,
        [
            "wrong-type cost: `x` is not a number",
            "wrong-type day: `1990-13-01` is not a date",
            "wrong-type ok: `maybe` is neither true nor false",
            "d|-|1990-01-08|true|-",
        ]
    );
}

#[test]
fn a_header_that_cannot_be_read_rejects_its_rows() {
    assert_eq!(rows("name,name", &["a,b"]), ["unparsable name: the header names `name` twice"]);
    assert_eq!(rows("", &["a,b"]), ["unparsable: the header is empty"]);
    assert_eq!(rows("\"name", &["a,b"]), ["unparsable: the header has a quote that is never closed"]);
}

#[test]
fn nested_columns_are_written_as_json() {
    let dataset = http_dataset("test.nested", &[("l", "list<int32>"), ("j", "json")]);
    let records: [&[u8]; 3] = [b"\"[1,2]\",\"{\"\"a\"\":1}\"", b"\"[1,x]\",", b"{},"];
    let found = outcome(&dataset, &batch(RecordFormat::Csv, "l,j", &records));
    assert_eq!(
        found,
        [r#"[1, 2]|{"a":1}|-"#, "wrong-type l: `[1,x]` is not a list", "wrong-type l: `{}` is not a list"]
    );
}
