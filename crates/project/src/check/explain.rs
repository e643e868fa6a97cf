//! Violations of a schema in the words of the user's file.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use crate::diagnostic::Code;
use crate::files::FileKind;
use crate::nearest::{nearest, suggestion};
use crate::sources::Problem;
use crate::value::{format_named, shown};

/// One violation.
pub(super) struct Violation {
    /// What it is about.
    pub pointer: String,
    /// Which part of that to point at.
    pub spot: Spot,
    /// What to take out so that the rest holds.
    pub prune: String,
    /// What to say.
    pub problem: Problem,
}

/// Which part of an entry a problem is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    Key,
    Value,
}

impl Violation {
    fn new(spot: Spot, pointer: String, problem: Problem) -> Self {
        Self { prune: pointer.clone(), pointer, spot, problem }
    }

    /// Whether it is of this kind.
    pub fn code_is(&self, code: Code) -> bool {
        self.problem.code == code
    }

    /// The same for a key that is there and has no value.
    pub fn as_empty(&self) -> Problem {
        let mut problem = self.problem.clone();
        problem.message = format!("`{}` has no value", last(&self.pointer));
        problem
    }
}

/// Everything in which a value breaks the schema of its kind.
pub(super) fn explain(value: &Value, kind: &FileKind) -> Vec<Violation> {
    let mut violations = Vec::new();
    for error in kind.validator.iter_errors(value) {
        explain_error(&error, kind, &mut violations);
    }
    drop_what_follows(&mut violations);
    violations
}

/// A key that is missing because it is misspelled is told once.
fn drop_what_follows(violations: &mut Vec<Violation>) {
    let misspelled: Vec<(String, String)> = violations
        .iter()
        .filter(|violation| violation.code_is(Code::UnknownKey))
        .map(|violation| (parent(&violation.pointer).to_owned(), last(&violation.pointer)))
        .collect();
    for violation in violations.iter_mut().filter(|violation| violation.code_is(Code::MissingKey)) {
        let (parent, missing) = (parent(&violation.pointer).to_owned(), last(&violation.pointer));
        let by =
            misspelled.iter().any(|(at, word)| *at == parent && nearest(word, [missing.as_str()]).is_some());
        if by {
            violation.problem.message.clear();
        }
    }
    violations.retain(|violation| !violation.problem.message.is_empty());
}

fn explain_error(error: &ValidationError<'_>, kind: &FileKind, violations: &mut Vec<Violation>) {
    let pointer = error.instance_path().as_str().to_owned();
    let keyword = error.schema_path().as_str();
    let schema = kind.schema.pointer(parent(keyword)).unwrap_or(&Value::Null);
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            for key in unexpected {
                violations.push(unknown_key(&pointer, key, schema, kind));
            }
        }
        Kind::Required { property } => violations.push(missing_key(&pointer, property, schema)),
        Kind::Type { kind: expected } => {
            violations.push(wrong_type(&pointer, error.instance(), expected, schema))
        }
        Kind::Format { format } => violations.push(wrong_format(&pointer, error.instance(), format)),
        Kind::OneOfNotValid { context } | Kind::AnyOf { context } => {
            explain_choice(&pointer, error.instance(), schema, context, kind, violations);
        }
        other => violations.push(out_of_bounds(&pointer, error, other)),
    }
}

fn unknown_key(parent: &str, key: &str, schema: &Value, kind: &FileKind) -> Violation {
    let known: Vec<&str> =
        schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    let pointer = join(parent, key);
    let problem = if kind.later.contains(&key) {
        not_supported(format!("`{key}` is not supported by this version"), &known)
    } else {
        Problem::error(Code::UnknownKey, format!("unknown key `{key}`")).hint(suggestion(key, &known))
    };
    Violation::new(Spot::Key, pointer, problem)
}

fn not_supported(message: String, possible: &[&str]) -> Problem {
    Problem::error(Code::NotSupported, message).hint(format!("possible here: {}", possible.join(", ")))
}

fn missing_key(parent: &str, property: &Value, schema: &Value) -> Violation {
    let key = property.as_str().unwrap_or_default();
    let problem = Problem::error(Code::MissingKey, format!("`{key}` is missing"));
    let described = &schema["properties"][key];
    let problem = match described["description"].as_str() {
        Some(text) => problem.hint(format!("add `{key}:` – {}", first_sentence(text))),
        None => problem.hint(format!("add `{key}:`")),
    };
    Violation { prune: parent.to_owned(), ..Violation::new(Spot::Value, join(parent, key), problem) }
}

fn wrong_type(pointer: &str, found: &Value, expected: &TypeKind, schema: &Value) -> Violation {
    let expected = match expected {
        TypeKind::Single(kind) => noun(&kind.to_string()).to_owned(),
        TypeKind::Multiple(kinds) => {
            kinds.iter().map(|kind| noun(&kind.to_string()).to_owned()).collect::<Vec<_>>().join(" or ")
        }
    };
    let (name, found_noun) = (name_of(pointer), noun(type_of(found)));
    let message = format!("{name} must be {expected}, but this is {found_noun}");
    let mut problem = Problem::error(Code::WrongType, message);
    let scalar = !found.is_object() && !found.is_array();
    if let Some(format) = schema["format"].as_str().and_then(format_named) {
        problem = problem.hint(format!("write {}", format.how));
    } else if expected == "a text" && scalar {
        problem = problem.hint(format!("put it in quotes: \"{}\"", shown(found)));
    } else if expected == "a list" && schema["items"]["type"] == "object" {
        problem = problem
            .hint(format!("write a list of mappings, each with the keys {}", keys_of(&schema["items"])));
    } else if expected == "a list" && scalar {
        problem = problem.hint(format!("put it in brackets: [{}]", shown(found)));
    } else if schema["properties"].is_object() {
        problem = problem.hint(format!("write a mapping with the keys {}", keys_of(schema)));
    }
    Violation::new(Spot::Value, pointer.to_owned(), problem)
}

/// The keys of a mapping, those that must be there first, as far as a line goes.
fn keys_of(schema: &Value) -> String {
    const KEYS_MAX: usize = 6;
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let all = schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    let others = all.filter(|key| !required.contains(key));
    let keys: Vec<&str> = required.iter().copied().chain(others).collect();
    let more = if keys.len() > KEYS_MAX { " …" } else { "" };
    format!("{}{more}", keys[..keys.len().min(KEYS_MAX)].join(", "))
}

fn wrong_format(pointer: &str, found: &Value, format: &str) -> Violation {
    let text = found.as_str().unwrap_or_default();
    let (message, hint) = format_named(format)
        .and_then(|format| (format.explain)(text))
        .unwrap_or_else(|| (format!("`{}` is not possible here", shown(found)), None));
    let mut problem = Problem::error(Code::InvalidValue, message);
    problem.hint = hint;
    Violation::new(Spot::Value, pointer.to_owned(), problem)
}

/// A value that is none of several: words of which one must be chosen, or mappings told apart by their first key.
fn explain_choice(
    pointer: &str,
    found: &Value,
    schema: &Value,
    context: &[Vec<ValidationError<'static>>],
    kind: &FileKind,
    violations: &mut Vec<Violation>,
) {
    let branches: &[Value] = schema["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    let words: Vec<&str> = branches.iter().filter_map(|branch| branch["const"].as_str()).collect();
    if !words.is_empty() {
        violations.push(wrong_word(pointer, found, &words, kind));
        return;
    }
    let Some(tag) = branches.iter().find_map(tag_of) else {
        violations.push(Violation::new(
            Spot::Value,
            pointer.to_owned(),
            Problem::error(Code::InvalidValue, "this is not possible here"),
        ));
        return;
    };
    let words: Vec<&str> =
        branches.iter().filter_map(|branch| branch["properties"][tag]["const"].as_str()).collect();
    let Value::Object(map) = found else {
        violations.push(not_a_mapping(pointer, found, tag, &words));
        return;
    };
    match map.get(tag) {
        None => {
            let problem = Problem::error(Code::MissingKey, format!("`{tag}` is missing"));
            let problem = problem.hint(format!("possible here: {}", words.join(", ")));
            violations.push(Violation {
                prune: pointer.to_owned(),
                ..Violation::new(Spot::Value, join(pointer, tag), problem)
            });
        }
        Some(word) => match words.iter().position(|known| word == known) {
            Some(index) => context
                .get(index)
                .into_iter()
                .flatten()
                .for_each(|error| explain_error(error, kind, violations)),
            None => {
                let violation = wrong_word(&join(pointer, tag), word, &words, kind);
                violations.push(Violation { prune: pointer.to_owned(), ..violation });
            }
        },
    }
}

/// The key of a branch that has one possible value.
fn tag_of(branch: &Value) -> Option<&str> {
    let properties = branch["properties"].as_object()?;
    properties.iter().find(|(_, schema)| schema.get("const").is_some()).map(|(key, _)| key.as_str())
}

fn wrong_word(pointer: &str, found: &Value, words: &[&str], kind: &FileKind) -> Violation {
    let word = shown(found);
    let problem = if kind.later.contains(&word.as_str()) {
        not_supported(format!("`{}: {word}` is not supported by this version", last(pointer)), words)
    } else {
        let message = format!("`{word}` is not possible for {}", name_of(pointer));
        Problem::error(Code::InvalidValue, message).hint(suggestion(&word, words))
    };
    Violation::new(Spot::Value, pointer.to_owned(), problem)
}

fn not_a_mapping(pointer: &str, found: &Value, tag: &str, words: &[&str]) -> Violation {
    let message = format!("{} must be a mapping, but this is {}", name_of(pointer), noun(type_of(found)));
    let word =
        found.as_str().filter(|word| words.contains(word)).or(words.first().copied()).unwrap_or_default();
    let problem = Problem::error(Code::WrongType, message)
        .hint(format!("write `{}: {{ {tag}: {word} }}`", last(pointer)));
    Violation::new(Spot::Value, pointer.to_owned(), problem)
}

fn out_of_bounds(pointer: &str, error: &ValidationError<'_>, kind: &Kind) -> Violation {
    let (name, value) = (name_of(pointer), shown(error.instance()));
    let message = match kind {
        Kind::Minimum { limit } => format!("{name} must be at least {limit}, but this is {value}"),
        Kind::Maximum { limit } => format!("{name} must be at most {limit}, but this is {value}"),
        Kind::MinLength { .. } => format!("{name} is empty"),
        _ => error.to_string(),
    };
    Violation::new(Spot::Value, pointer.to_owned(), Problem::error(Code::InvalidValue, message))
}

/// What a JSON type is called in YAML's terms.
fn noun(kind: &str) -> &str {
    match kind {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a mapping",
        "null" => "nothing",
        other => other,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The value at a pointer, as messages call it.
fn name_of(pointer: &str) -> String {
    let name = last(pointer);
    match name.parse::<usize>() {
        Ok(index) => format!("item {} of `{}`", index + 1, last(parent(pointer))),
        Err(_) if name.is_empty() => "the file".to_owned(),
        Err(_) => format!("`{name}`"),
    }
}

fn first_sentence(text: &str) -> String {
    let text = text.replace('\n', " ");
    let end = text.find(". ").or_else(|| text.find(": ")).unwrap_or(text.len());
    let sentence = text[..end].trim_end_matches('.');
    let mut characters = sentence.chars();
    let first = characters.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    format!("{first}{}", characters.as_str())
}

/// The pointer to an entry of what `parent` points to.
pub(crate) fn join(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn parent(pointer: &str) -> &str {
    pointer.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn last(pointer: &str) -> String {
    let segment = pointer.rsplit_once('/').map_or(pointer, |(_, last)| last);
    segment.replace("~1", "/").replace("~0", "~")
}
