//! Avro as libraries of others read it: Apache's says which schema reads which, fastavro makes records of generated schemas
//! and reads them with the ones that those became.

use std::path::Path;
use std::process::Command;

use flowline_registry::{Framed, KnownFields, SchemaKind, WriterSchema};
use serde_json::Value;

const PAIRS: &str = "1500";

#[test]
fn schemas_and_records_are_read_as_libraries_of_others_read_them() {
    let Some(python) = std::env::var_os("FLOWLINE_TEST_PYTHON") else {
        println!(
            "skipped: no Python packages (set FLOWLINE_TEST_PYTHON; `scripts/peers python` installs them)"
        );
        return;
    };
    // The same pairs each time; another seed is one variable away.
    let seed = std::env::var("FLOWLINE_TEST_SEED").unwrap_or_else(|_| "1".to_owned());
    println!("seed {seed} (set FLOWLINE_TEST_SEED to repeat)");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/avro_oracle.py");
    let output = Command::new(python).arg(script).args([&seed, PAIRS]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut read, mut refused, mut broken) = (0, 0, 0);
    let mut wrong = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let pair: Value = serde_json::from_str(line).unwrap();
        let [writer, reader] = ["writer", "reader"].map(|side| {
            WriterSchema::parse(SchemaKind::Avro, &pair[side].to_string(), &[])
                .unwrap_or_else(|reason| panic!("{side}: {reason}\n{line}"))
        });
        let resolved = writer.read_by(&reader, &KnownFields::All);
        if resolved.is_some() != pair["compatible"] {
            wrong.push(format!("compatible for Apache's library: {}\n{line}", pair["compatible"]));
        }
        refused += usize::from(resolved.is_none());
        for record in pair["records"].as_array().unwrap() {
            let bytes = from_hex(record["hex"].as_str().unwrap());
            for (schema, side) in [(Some(&writer), "written"), (resolved.as_ref(), "read")] {
                let Some(schema) = schema else { continue };
                match (json(schema, &bytes), record[side].get("value")) {
                    (Ok(ours), Some(theirs)) if same(&ours, theirs) => read += 1,
                    (Err(_), None) => broken += 1,
                    (ours, _) => {
                        wrong.push(format!("{side}: {ours:?}\nfor fastavro: {}\n{line}", record[side]))
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences, the first:\n{}", wrong.len(), wrong[0]);
    // What is generated must be worth the name.
    assert!(read > 5_000 && refused > 150 && broken > 10, "{read} read, {refused} refused, {broken} broken");
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn json(schema: &WriterSchema, payload: &[u8]) -> Result<Value, String> {
    let record = [&[0, 0, 0, 0, 9][..], payload].concat();
    let mut out = Vec::new();
    schema.write_json(&Framed::parse(&record).unwrap(), &mut out)?;
    Ok(serde_json::from_slice(&out).unwrap())
}

/// Objects have no order, and numbers no spelling.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, value)| theirs.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Number(ours), Value::Number(theirs)) => {
            ours == theirs || same_number(ours.as_f64().unwrap(), theirs.as_f64().unwrap())
        }
        _ => ours == theirs,
    }
}

/// A number of 32 bits is told by its shortest digits, and Python has none: there it is one of 64 bits, that was widened
/// from one of 32, or from a whole number without being rounded.
fn same_number(ours: f64, theirs: f64) -> bool {
    let single = f64::from(theirs as f32) == theirs || theirs.fract() == 0.0;
    ours == theirs || (single && ours as f32 == theirs as f32)
}
