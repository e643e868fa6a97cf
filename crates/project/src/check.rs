//! A file held against the schema of its kind: every problem at once, and what is left when they are taken out.
//!
//! Owns: how violations of a schema are told to the user, and the pruning that lets the rest of a faulty file still
//! be read. Does not own: the schemas (`files`), rules between keys (`resolve`).

mod explain;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::diagnostic::Code;
use crate::files::FileKind;
use crate::sources::{Problem, Report, SourceFile};
pub(crate) use explain::join;
use explain::{Spot, explain};

/// A file as far as it holds.
pub(crate) struct Checked<T> {
    /// Its content without what is wrong; absent when nothing sensible is left.
    pub content: Option<T>,
    /// Whether columns had to be taken out, so that nothing can be said of names that are missing.
    pub columns_lost: bool,
}

/// How often what is left of a file is held against the schema again: taking one thing out may leave another without
/// what it needs.
const ROUNDS_MAX: usize = 8;

/// Reports everything in which the file breaks the schema of its kind, and reads the rest.
pub(crate) fn check<T: DeserializeOwned>(
    file: &SourceFile,
    kind: &FileKind,
    report: &mut Report,
) -> Checked<T> {
    let mut value = file.root.to_value();
    drop_nulls(&mut value);
    if value.is_null() {
        report.at_value(file, "", empty_file(kind));
        return Checked { content: None, columns_lost: true };
    }
    let mut columns_lost = false;
    for round in 0..ROUNDS_MAX {
        let violations = explain(&value, kind);
        if violations.is_empty() {
            break;
        }
        if round == 0 {
            for violation in &violations {
                if report.is_full(&file.path) {
                    break;
                }
                let empty = violation.code_is(Code::MissingKey) && file.is_empty_at(&violation.pointer);
                let problem = if empty { violation.as_empty() } else { violation.problem.clone() };
                match violation.spot {
                    Spot::Key => report.at_key(file, &violation.pointer, problem),
                    Spot::Value => report.at_value(file, &violation.pointer, problem),
                }
            }
        }
        for violation in &violations {
            columns_lost |= violation.prune.starts_with("/columns");
            prune(&mut value, &violation.prune);
        }
        drop_nulls(&mut value);
    }
    let content = match serde_json::from_value(value) {
        Ok(content) => Some(content),
        Err(error) => {
            report.at_value(file, "", Problem::error(Code::InvalidValue, error.to_string()));
            None
        }
    };
    Checked { content, columns_lost }
}

/// What to say of a file in which nothing stands.
pub(crate) fn empty_file(kind: &FileKind) -> Problem {
    let required = kind.schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
    Problem::error(Code::MissingKey, "the file is empty")
        .hint(format!("it needs at least {}", names.join(", ")))
}

/// Puts null in the place of what is wrong; an item of a list keeps its place, so that the others keep their index.
fn prune(value: &mut Value, pointer: &str) {
    if let Some(part) = value.pointer_mut(pointer)
        && !pointer.is_empty()
    {
        *part = Value::Null;
    }
}

/// Takes out the keys without a value.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
