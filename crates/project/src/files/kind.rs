//! The kinds of files: each with the schema that is derived from its struct and the validator that is built from it.

use std::sync::LazyLock;

use jsonschema::Validator;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::{DatasetFile, ProjectFile, TestsFile};
use crate::value::{OR_VARIABLE, formats, has_variable};

/// A kind of file.
pub(crate) struct FileKind {
    /// The JSON Schema, without references.
    pub schema: Value,
    /// The same, ready to be held against a value.
    pub validator: Validator,
    /// Words of the design that this version does not know, as keys or values, and where they stand.
    pub later: &'static [&'static str],
}

/// `flowline.yaml`.
pub(crate) static PROJECT: LazyLock<FileKind> = LazyLock::new(|| {
    kind::<ProjectFile>(&["engine", "secrets", "routes", "alerts", "policies", "consumers"])
});

/// `datasets/<domain>/<name>.yaml`.
pub(crate) static DATASET: LazyLock<FileKind> =
    LazyLock::new(|| kind::<DatasetFile>(&["stream", "postgres", "mqtt", "api", "policies", "consumers"]));

/// `tests/*.yaml`.
pub(crate) static TESTS: LazyLock<FileKind> = LazyLock::new(|| kind::<TestsFile>(&[]));

fn kind<T: JsonSchema>(later: &'static [&'static str]) -> FileKind {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.with_transform(without_null).into_generator().into_root_schema_for::<T>();
    let schema = schema.to_value();
    let mut options = jsonschema::options().should_validate_formats(true);
    for format in formats() {
        options = options.with_format(format.name, move |text| (format.explain)(text).is_none());
        let variable = format!("{}{OR_VARIABLE}", format.name);
        options =
            options.with_format(variable, move |text| has_variable(text) || (format.explain)(text).is_none());
    }
    let validator = options.build(&schema).expect("a derived schema is a valid schema");
    FileKind { schema, validator, later }
}

/// Takes out the `null` that every optional field allows: in a file an absent value is an absent key.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            schema.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                if schema.get(&key).is_none() {
                    schema.insert(key, value);
                }
            }
        }
    }
    transform_subschemas(&mut without_null, schema);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_schema_allows_null_or_refers_elsewhere() {
        for kind in [&*PROJECT, &*DATASET, &*TESTS] {
            let text = kind.schema.to_string();
            assert!(
                !text.contains("\"null\"") && !text.contains("$ref") && !text.contains("anyOf"),
                "{text}"
            );
        }
    }
}
