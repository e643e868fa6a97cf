//! Whatever stands in a project file, it is read without a panic, and what is said of it points into it.

use flowline_project::{read, read_text, render, schemas, template};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::write;

/// Whether each diagnostic lies within the text and can be printed.
fn holds(path: &str, text: &str) -> Result<(), TestCaseError> {
    let diagnostics = read_text(path, text);
    // A carriage return ends a line of YAML, too.
    let lines = text.replace("\r\n", "\n").replace('\r', "\n").lines().count().max(1) as u32;
    for diagnostic in &diagnostics {
        prop_assert!(diagnostic.line >= 1 && diagnostic.line <= lines + 1, "{diagnostic:?} in {text:?}");
        prop_assert!(
            diagnostic.column >= 1 && diagnostic.end_column >= diagnostic.column,
            "{diagnostic:?} in {text:?}"
        );
        prop_assert!(!diagnostic.message.is_empty(), "{diagnostic:?}");
    }
    render(&diagnostics, true);
    Ok(())
}

/// Every word that a schema knows: keys, choices, examples.
fn words() -> Vec<String> {
    fn collect(value: &Value, words: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match key.as_str() {
                        "properties" => words.extend(value.as_object().unwrap().keys().cloned()),
                        "const" => words.extend(value.as_str().map(str::to_owned)),
                        "examples" => words.extend(
                            value.as_array().unwrap().iter().filter_map(Value::as_str).map(str::to_owned),
                        ),
                        _ => {}
                    }
                    collect(value, words);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
            _ => {}
        }
    }
    let mut words = Vec::new();
    for (_, schema) in schemas() {
        collect(&schema, &mut words);
    }
    words
}

/// YAML that is well formed and made of words that mean something, somewhere.
fn plausible() -> impl Strategy<Value = Value> {
    let word = proptest::sample::select(words());
    let leaf = prop_oneof![
        3 => word.clone().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => proptest::collection::vec((word.clone(), inner), 0..8).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// However much is wrong with a file, it is told within bounds.
#[test]
fn many_mistakes_are_told_within_bounds() {
    let keys: String = (0..5_000).map(|number| format!("k{number}: 1\n")).collect();
    let again = "owner: x\n".repeat(5_000);
    let columns = format!("columns: [{}]\n", "{},".repeat(3_000));
    for text in [keys, again, columns] {
        for path in ["flowline.yaml", "datasets/domain/name.yaml"] {
            assert!((1..=101).contains(&read_text(path, &text).len()), "{path}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text(text in "(?s).{0,200}") {
        holds("flowline.yaml", &text)?;
        holds("datasets/domain/name.yaml", &text)?;
    }

    #[test]
    fn any_yaml_like_text(text in "([a-z]{1,3}|[-:,#&*!|>'\"%@`{}\\[\\]?]|[ \t\n]|[0-9]|\u{fc}){0,120}") {
        holds("flowline.yaml", &text)?;
        holds("datasets/domain/name.yaml", &text)?;
    }

    #[test]
    fn any_values_in_right_places(value in plausible()) {
        // JSON is YAML.
        let text = value.to_string();
        holds("flowline.yaml", &text)?;
        holds("datasets/domain/name.yaml", &text)?;
    }

    /// A file of the template with one stretch replaced by another.
    #[test]
    fn any_change_of_a_right_file(file in 0usize..24, at in any::<proptest::sample::Index>(), length in 0usize..12, patch in "(?s).{0,6}") {
        let files = template("shop").unwrap();
        let file = files[file % files.len()];
        let mut characters: Vec<char> = file.contents.chars().collect();
        let start = at.index(characters.len());
        let end = (start + length).min(characters.len());
        characters.splice(start..end, patch.chars());
        holds(file.path, &characters.into_iter().collect::<String>())?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_bytes_on_disk(project in proptest::collection::vec(any::<u8>(), 0..200), dataset in proptest::collection::vec(any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "flowline.yaml", &project);
        write(dir.path(), "datasets/shop/orders.yaml", &dataset);
        write(dir.path(), "datasets/shop/orders.sql", &dataset);
        let reading = read(dir.path(), Some("prod"));
        prop_assert!(reading.diagnostics.iter().any(|diagnostic| diagnostic.is_error()));
        render(&reading.diagnostics, false);
    }
}
