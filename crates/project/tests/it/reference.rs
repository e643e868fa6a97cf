//! `docs/reference/project-files.md` and the JSON Schemas beside it are derived from the code.
//!
//! `FLOWLINE_UPDATE_DOCS=1` writes them again.

use std::fmt::Write;
use std::path::Path;

use flowline_project::{Code, schemas};
use serde_json::Value;

/// Compares a document with what the code says, or writes it.
fn keep_true(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    if std::env::var_os("FLOWLINE_UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "docs/reference/{name} is not what the code says: FLOWLINE_UPDATE_DOCS=1 writes it again"
    );
}

#[test]
fn the_schemas_are_those_of_the_code() {
    for (name, schema) in schemas() {
        keep_true(name, &format!("{}\n", serde_json::to_string_pretty(&schema).unwrap()));
    }
}

#[test]
fn the_reference_is_that_of_the_code() {
    keep_true("project-files.md", &reference());
}

fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (name, schema) in schemas() {
        let title = schema["title"].as_str().unwrap();
        let _ = write!(text, "\n## `{title}`\n\n{}\n", one_line(&schema["description"]));
        let _ = writeln!(text, "\nJSON Schema: [{name}]({name})");
        mapping(&mut text, "", &schema);
    }
    text.push_str("\n## Codes of problems\n\n| code | means |\n|---|---|\n");
    for (code, means) in Code::ALL {
        let _ = writeln!(text, "| `{code}` | {} |", means.trim());
    }
    text
}

const INTRODUCTION: &str = "\
# The files of a project

<!-- Derived from the code by crates/project/tests/it/reference.rs; FLOWLINE_UPDATE_DOCS=1 writes it again. -->

A project is a folder:

```
flowline.yaml                     its name, teams, environments and defaults
datasets/<domain>/<name>.yaml     one file a dataset, which is named `<domain>.<name>` after it
datasets/<domain>/<name>.sql      the query of a dataset with `source: sql`, unless it stands inline
tests/*.yaml                      given records, expected rows
runbooks/*.md                     what to do when a dataset breaks
```

Names of domains, datasets and columns are lower-case letters, digits and `_`, begin with a letter and have at most 63
characters. `flowline check` reports everything that is wrong at once, with file, line and column; with `--output json`
for editors. For completion in an editor with a YAML language server, `flowline schema` prints the JSON Schemas; refer to
one in the first line of a file: `# yaml-language-server: $schema=…`.

Files are YAML 1.2, at most 1 MiB each, nested at most 32 deep. A key may stand only once. Tags are not read; anchors
and aliases are.
";

/// The keys of a mapping as a table, then the mappings within.
fn mapping(text: &mut String, path: &str, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    text.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
    for (key, property) in properties {
        let must = if required.contains(&key.as_str()) { "**required**" } else { "" };
        let default = match &property["default"] {
            Value::Null => must.to_owned(),
            Value::String(default) => format!("`{default}`"),
            other => format!("`{other}`"),
        };
        let _ = writeln!(
            text,
            "| `{key}` | {} | {default} | {} |",
            value(property),
            one_line(&property["description"])
        );
    }
    for (key, property) in properties {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        within(text, &path, property);
    }
}

/// The mappings within a property, each under its own heading.
fn within(text: &mut String, path: &str, property: &Value) {
    let inner = [&property["items"], &property["additionalProperties"], property];
    if let Some(inner) = inner.into_iter().find(|inner| inner["properties"].is_object()) {
        let (path, hint) = match inner {
            inner if *inner == property["items"] => (format!("{path}[]"), "Each is a mapping. "),
            inner if *inner == property["additionalProperties"] => (format!("{path}.<name>"), ""),
            _ => (path.to_owned(), ""),
        };
        let _ = write!(text, "\n### `{path}`\n\n{hint}{}\n", one_line(&inner["description"]));
        mapping(text, &path, inner);
    }
    for branch in property["oneOf"].as_array().into_iter().flatten() {
        let Some(properties) = branch["properties"].as_object() else { continue };
        let tag = properties.iter().find(|(_, schema)| schema["const"].is_string());
        let (key, word) = tag.map(|(key, schema)| (key.as_str(), schema["const"].as_str().unwrap())).unwrap();
        let _ = write!(text, "\n### `{path}: {{ {key}: {word} }}`\n\n{}\n", one_line(&branch["description"]));
        mapping(text, path, branch);
    }
}

/// What a key takes.
fn value(schema: &Value) -> String {
    if let Some(word) = schema["const"].as_str() {
        return format!("`{word}`");
    }
    if let Some(branches) = schema["oneOf"].as_array() {
        let words: Vec<String> = branches
            .iter()
            .filter_map(|branch| {
                Some(format!("`{}`: {}", branch["const"].as_str()?, one_line(&branch["description"])))
            })
            .collect();
        return if words.is_empty() { "mapping, see below".to_owned() } else { words.join("<br>") };
    }
    let examples: Vec<String> = schema["examples"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|text| format!("`{text}`"))
        .collect();
    match schema["type"].as_str() {
        _ if !examples.is_empty() => examples.join(", "),
        Some("array") => format!("list of {}", value(&schema["items"])),
        Some("object")
            if schema["additionalProperties"]["type"].is_string()
                || schema["additionalProperties"]["type"].is_array() =>
        {
            "mapping by name".to_owned()
        }
        Some("object") => "mapping".to_owned(),
        Some("string") => "text".to_owned(),
        Some("integer") => match (&schema["minimum"], &schema["maximum"]) {
            (Value::Number(least), Value::Number(most)) => format!("{least} to {most}"),
            _ => "whole number".to_owned(),
        },
        Some("boolean") => "`true` or `false`".to_owned(),
        _ => "value".to_owned(),
    }
}

fn one_line(text: &Value) -> String {
    text.as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}
