use flowline_log::RecordFormat;
use flowline_testkit::http_dataset;

use super::{batch, outcome};

fn events(records: &[&str]) -> Vec<String> {
    let dataset = http_dataset(
        "test.events",
        &[("ce_id", "string"), ("ce_time", "timestamp"), ("rows", "int32"), ("data", "string")],
    );
    let bytes: Vec<&[u8]> = records.iter().map(|record| record.as_bytes()).collect();
    outcome(&dataset, &batch(RecordFormat::CloudEvent, "", &bytes))
}

#[test]
fn fields_come_from_the_data_and_attributes_beside_them() {
    let found = events(&[
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2026-01-05T08:00:00Z","data":{"rows":7,"x":1}}"#,
        r#"{"data":{"rows":8},"type":"t","source":"/s","id":"2","specversion":"1.0","subject":null}"#,
    ]);
    assert_eq!(
        found,
        [
            r#"1|2026-01-05T08:00:00Z|7|-|{"ce_source":"/s","ce_type":"t","x":1}"#,
            r#"2|-|8|-|{"ce_type":"t","ce_source":"/s"}"#,
        ]
    );
}

#[test]
fn data_may_be_anything() {
    let envelope = r#""specversion":"1.0","id":"1","source":"/s","type":"t""#;
    let found = events(&[
        &format!("{{{envelope}}}"),
        &format!("{{{envelope},\"data\":null}}"),
        &format!("{{{envelope},\"data\":\"text\"}}"),
        &format!("{{{envelope},\"data\":[1]}}"),
        &format!("{{{envelope},\"data_base64\":\"AAE=\"}}"),
        &format!(
            "{{{envelope},\"datacontenttype\":\"application/json\",\"data_base64\":\"eyJyb3dzIjo1fQ==\"}}"
        ),
        &format!("{{{envelope},\"datacontenttype\":\"application/json\",\"data_base64\":\"eyJyb3dz\"}}"),
        &format!("{{{envelope},\"data\":{{}},\"data_base64\":\"AAE=\"}}"),
        &format!("{{{envelope},\"data\":{{\"rows\":\"x\"}}}}"),
    ]);
    let rest = r#"{"ce_source":"/s","ce_type":"t"}"#;
    assert_eq!(found[0], format!("1|-|-|-|{rest}"));
    assert_eq!(found[1], format!("1|-|-|-|{rest}"));
    assert_eq!(found[2], format!("1|-|-|text|{rest}"));
    assert_eq!(found[3], "wrong-type data: expected text, found a list");
    assert_eq!(found[4], r#"1|-|-|-|{"ce_source":"/s","ce_type":"t","data_base64":"AAE="}"#);
    assert_eq!(
        found[5],
        r#"1|-|5|-|{"ce_source":"/s","ce_type":"t","ce_datacontenttype":"application/json"}"#
    );
    assert!(found[6].starts_with("unparsable: the data is not JSON: "), "{}", found[6]);
    assert_eq!(found[7], "unparsable: the event has both `data` and `data_base64`");
    assert_eq!(found[8], "wrong-type rows: `x` is not a number");
}

#[test]
fn what_every_event_has_must_be_there() {
    let found = events(&[
        r#"{"specversion":"1.0","source":"/s","type":"t"}"#,
        r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#,
        r#"{"id":"1","source":"/s","type":"t"}"#,
        r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#,
        "[]",
    ]);
    assert_eq!(
        found,
        [
            "missing ce_id: the event has no `id`",
            "missing ce_id: the event has no `id`",
            "missing ce_specversion: the event has no `specversion`",
            "unparsable: specversion `0.3` is not understood, `1.0` is",
            "unparsable: the record is not a CloudEvent: an event is an object",
        ]
    );
}
