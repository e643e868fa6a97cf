//! What a request does to the registry: pure functions over its state.
//!
//! Owns: the rules, their error codes and their messages. Does not own: that a decision is stored before anyone else
//! decides otherwise (`registry`).

use std::sync::Arc;

use serde_json::Value;

use crate::RegistryError;
use crate::change::Change;
use crate::kind::{Level, Mode, SchemaKind};
use crate::schema::{Reference, Schema};
use crate::state::{Entry, RegisteredSchema, Settings, State, StoredSchema};
use crate::subject;

/// The largest schema, bytes.
const SCHEMA_BYTES_MAX: usize = 1 << 20;
/// How deep objects and arrays may lie in each other in what clients say about a schema. A stored change has them a few
/// levels deeper, and JSON is read back to level 127.
const NESTING_MAX: usize = 32;

/// A schema as a client sends it.
#[derive(Debug, Clone, Default)]
pub struct SchemaRequest {
    /// The word for its language; Avro when none.
    pub kind: Option<String>,
    /// Its text.
    pub text: String,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// What the client says about it.
    pub metadata: Option<Value>,
    /// Rules for clients.
    pub rule_set: Option<Value>,
}

/// A schema that is to be registered.
#[derive(Debug, Clone, Default)]
pub struct RegisterRequest {
    /// The schema.
    pub schema: SchemaRequest,
    /// The number that it is to have; only where schemas are imported.
    pub id: Option<u32>,
    /// The version that it is to have; only where schemas are imported.
    pub version: Option<i32>,
    /// Whether to normalize it; as configured when none.
    pub normalize: Option<bool>,
}

/// A schema that is looked for.
#[derive(Debug, Clone, Default)]
pub struct LookupRequest {
    /// The schema.
    pub schema: SchemaRequest,
    /// Whether to normalize it; as configured when none.
    pub normalize: Option<bool>,
    /// Whether hidden versions count.
    pub deleted: bool,
}

/// Settings that a client sends; what it does not say stays.
#[derive(Debug, Clone, Default)]
pub struct SettingsRequest {
    /// The word for a level.
    pub level: Option<String>,
    /// Whether schemas are normalized.
    pub normalize: Option<bool>,
    /// The word for a policy of JSON Schema, `STRICT` or `LENIENT`.
    pub policy: Option<String>,
}

/// Which version is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionChoice {
    /// The newest that is not hidden.
    Latest,
    /// This one.
    Number(i32),
}

impl VersionChoice {
    /// Reads a version as it stands in a path.
    ///
    /// # Errors
    /// Code 42202.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        if text.eq_ignore_ascii_case("latest") || text == "-1" {
            return Ok(Self::Latest);
        }
        match text.parse() {
            Ok(number @ 1..) => Ok(Self::Number(number)),
            _ => Err(RegistryError::refused(
                42202,
                format!(
                    "The specified version '{text}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
                ),
            )),
        }
    }
}

/// Whether a schema gets along with others, and what is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompatibilityAnswer {
    /// Whether it does.
    pub compatible: bool,
    /// What is in the way.
    pub messages: Vec<String>,
}

/// A schema in the form in which it is stored.
pub(crate) fn prepare(
    state: &State,
    subject: &str,
    request: &SchemaRequest,
    normalize: Option<bool>,
) -> Result<(Arc<Schema>, StoredSchema), RegistryError> {
    let word = request.kind.as_deref().filter(|word| !word.is_empty()).unwrap_or("AVRO");
    let kind: SchemaKind =
        word.parse().map_err(|()| RegistryError::refused(42201, format!("Invalid schema type {word}")))?;
    let invalid = |reason: String| {
        RegistryError::refused(42201, format!("Invalid schema of type {kind}, details: {reason}"))
    };
    if request.text.trim().is_empty() {
        return Err(RegistryError::refused(42201, "Empty schema"));
    }
    if request.text.len() > SCHEMA_BYTES_MAX {
        let message =
            format!("The schema has {} bytes, at most {SCHEMA_BYTES_MAX} are kept", request.text.len());
        return Err(RegistryError::refused(42209, message));
    }
    check_nesting("metadata", request.metadata.as_ref())?;
    check_nesting("ruleSet", request.rule_set.as_ref())?;
    let references = request.references.iter().map(|reference| settled(state, subject, reference));
    let references: Vec<Reference> = references.collect::<Result<_, String>>().map_err(invalid)?;
    let resolved = state.resolve(subject, &references).map_err(invalid)?;
    let schema = Schema::parse(kind, &request.text, &resolved).map_err(invalid)?;
    let normalize = normalize.or(state.settings_of(subject).normalize).unwrap_or(false);
    let stored = StoredSchema {
        kind,
        text: schema.canonical(normalize),
        references,
        metadata: request.metadata.clone(),
        rule_set: request.rule_set.clone(),
    };
    Ok((Arc::new(schema), stored))
}

/// Refuses what is nested so deep that it might be stored and never read again.
fn check_nesting(member: &str, value: Option<&Value>) -> Result<(), RegistryError> {
    if value.is_none_or(|value| is_nested_within(value, NESTING_MAX)) {
        return Ok(());
    }
    let message = format!(
        "Invalid {member}: objects and arrays lie in each other deeper than {NESTING_MAX} levels, flatten it"
    );
    Err(RegistryError::refused(42201, message))
}

/// Whether objects and arrays lie in each other at most so many levels deep. It looks no deeper than that.
fn is_nested_within(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|one| is_nested_within(one, levels - 1)),
        Value::Object(members) => levels > 0 && members.values().all(|one| is_nested_within(one, levels - 1)),
        _ => true,
    }
}

/// A reference to the latest version is one to the version that is the latest now.
fn settled(state: &State, subject: &str, reference: &Reference) -> Result<Reference, String> {
    if reference.version > 0 {
        return Ok(reference.clone());
    }
    let target = subject::beside(subject, &reference.subject);
    let latest = state.versions(&target, false).next_back();
    let (version, _) = latest.ok_or_else(|| {
        format!(
            "No schema reference found for subject \"{}\" and version {}",
            reference.subject, reference.version
        )
    })?;
    Ok(Reference { version, ..reference.clone() })
}

/// Registers a schema: the change that it takes, if it takes one, and what is registered then.
pub(crate) fn register(
    state: &State,
    subject: &str,
    request: &RegisterRequest,
) -> Result<(Option<Change>, RegisteredSchema), RegistryError> {
    subject::check(subject)?;
    let (schema, stored) = prepare(state, subject, &request.schema, request.normalize)?;
    let context = subject::context(subject);
    let known = state.id_of(context, &stored);
    if let Some(id) = known.filter(|id| request.id.is_none_or(|wanted| wanted == *id))
        && let Some((version, entry)) = state.versions(subject, false).rfind(|(_, entry)| entry.id == id)
        && let Some(found) = state.registered_schema(subject, version, entry)
    {
        return Ok((None, found));
    }
    check_mode(state, subject, request.id.is_some())?;
    let next = state.versions(subject, true).next_back().map_or(1, |(version, _)| version.saturating_add(1));
    let version = match request.version.filter(|_| request.id.is_some()) {
        Some(version) if version > 0 => version,
        _ => next,
    };
    if state.subjects.get(subject).is_some_and(|versions| versions.contains_key(&version)) {
        let message = format!("Overwrite version {version} of subject '{subject}' is not permitted.");
        return Err(RegistryError::refused(42205, message));
    }
    if request.id.is_none() {
        let others: Vec<(i32, Entry)> = state.versions(subject, false).collect();
        let messages = incompatibilities(state, subject, &schema, &others);
        if !messages.is_empty() {
            let details = messages.join(", ");
            let message = format!(
                "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: [{details}]"
            );
            return Err(RegistryError::refused(409, message));
        }
    }
    let id = choose_id(state, context, known, request.id)?;
    let new = state.known(context, id).is_none();
    let change =
        Change::Registered { subject: subject.to_owned(), version, id, schema: new.then(|| stored.clone()) };
    let registered = RegisteredSchema {
        subject: subject.to_owned(),
        version,
        id,
        deleted: false,
        schema: Arc::new(stored),
    };
    Ok((Some(change), registered))
}

fn choose_id(
    state: &State,
    context: &str,
    known: Option<u32>,
    wanted: Option<u32>,
) -> Result<u32, RegistryError> {
    let overwrites = |id: u32| {
        let message = format!("Overwrite new schema with id {id} in context {context} is not permitted.");
        RegistryError::refused(42207, message)
    };
    match (known, wanted) {
        (Some(id), None) => Ok(id),
        (Some(id), Some(wanted)) if id == wanted => Ok(id),
        (Some(_), Some(wanted)) => Err(overwrites(wanted)),
        (None, Some(wanted)) if state.known(context, wanted).is_some() => Err(overwrites(wanted)),
        (None, Some(wanted)) => Ok(wanted),
        (None, None) => {
            state.id_max(context).checked_add(1).filter(|id| *id <= i32::MAX as u32).ok_or_else(|| {
                RegistryError::refused(50001, format!("context {context} has no identifier left"))
            })
        }
    }
}

/// Whether a schema may be registered here now, with a number of its own choice or without.
fn check_mode(state: &State, subject: &str, with_id: bool) -> Result<(), RegistryError> {
    let context = subject::context(subject);
    let refused = |what: &str| {
        Err(RegistryError::refused(42205, format!("Subject {subject} in context {context} is {what}")))
    };
    match (state.mode_of(subject), with_id) {
        (Mode::ReadOnly | Mode::ReadOnlyOverride, _) => refused("in read-only mode"),
        (Mode::ReadWrite, true) => refused("not in import mode"),
        (Mode::Import, false) => refused("not in read-write mode"),
        (Mode::ReadWrite, false) | (Mode::Import, true) => Ok(()),
    }
}

fn check_writable(state: &State, subject: &str) -> Result<(), RegistryError> {
    match state.mode_of(subject) {
        Mode::ReadOnly | Mode::ReadOnlyOverride => check_mode(state, subject, false),
        Mode::ReadWrite | Mode::Import => Ok(()),
    }
}

/// What keeps a schema from getting along with these versions, by the level that holds for its subject.
fn incompatibilities(
    state: &State,
    subject: &str,
    schema: &Schema,
    versions: &[(i32, Entry)],
) -> Vec<String> {
    let settings = state.settings_of(subject);
    let level = settings.level.unwrap_or(Level::Backward);
    let lenient = settings.lenient.unwrap_or(false);
    if level == Level::None {
        return Vec::new();
    }
    let count = if level.transitive() { versions.len() } else { 1 };
    for (version, entry) in versions.iter().rev().take(count) {
        let mut messages = match state.parsed(subject, entry.id) {
            Some(Ok(existing)) => between(level, schema, &existing, lenient),
            Some(Err(reason)) => vec![format!("version {version} cannot be read: {reason}")],
            None => vec![format!("version {version} has no schema")],
        };
        if messages.is_empty() {
            continue;
        }
        messages.push(format!("{{oldSchemaVersion: {version}}}"));
        if let Some(known) = state.known(subject::context(subject), entry.id) {
            messages.push(format!("{{oldSchema: '{}'}}", known.stored.text));
        }
        messages.push(format!("{{validateFields: 'false', compatibility: '{level}'}}"));
        return messages;
    }
    Vec::new()
}

fn between(level: Level, schema: &Schema, existing: &Schema, lenient: bool) -> Vec<String> {
    if schema.kind() != existing.kind() {
        return vec!["Incompatible because of different schema type".to_owned()];
    }
    let mut messages = Vec::new();
    if level.backward() {
        let found = schema.cannot_read(existing, lenient);
        messages.extend(found.iter().map(|difference| difference.told("new", "old")));
    }
    if level.forward() {
        let found = existing.cannot_read(schema, lenient);
        messages.extend(found.iter().map(|difference| difference.told("old", "new")));
    }
    messages
}

/// Whether a schema could be registered, or gets along with one version.
pub(crate) fn check(
    state: &State,
    subject: &str,
    version: Option<VersionChoice>,
    request: &SchemaRequest,
    normalize: Option<bool>,
) -> Result<CompatibilityAnswer, RegistryError> {
    subject::check(subject)?;
    let (schema, _) = prepare(state, subject, request, normalize)?;
    let mut versions: Vec<(i32, Entry)> = state.versions(subject, false).collect();
    match version {
        None => {}
        Some(VersionChoice::Latest) => versions = versions.pop().into_iter().collect(),
        Some(VersionChoice::Number(number)) => {
            versions.retain(|(version, _)| *version == number);
            if versions.is_empty() {
                return Err(RegistryError::no_version(number));
            }
        }
    }
    let messages = incompatibilities(state, subject, &schema, &versions);
    Ok(CompatibilityAnswer { compatible: messages.is_empty(), messages })
}

/// The version of a subject that has this schema.
pub(crate) fn lookup(
    state: &State,
    subject: &str,
    request: &LookupRequest,
) -> Result<RegisteredSchema, RegistryError> {
    let (_, stored) = prepare(state, subject, &request.schema, request.normalize)?;
    if state.versions(subject, request.deleted).next().is_none() {
        return Err(RegistryError::no_subject(subject));
    }
    let id = state.id_of(subject::context(subject), &stored);
    let found = id.and_then(|id| state.versions(subject, request.deleted).rfind(|(_, entry)| entry.id == id));
    let found = found.and_then(|(version, entry)| state.registered_schema(subject, version, entry));
    found.ok_or_else(|| RegistryError::refused(40403, "Schema not found"))
}

/// The version that is meant.
pub(crate) fn version(
    state: &State,
    subject: &str,
    choice: VersionChoice,
    deleted: bool,
) -> Result<RegisteredSchema, RegistryError> {
    if state.versions(subject, deleted).next().is_none() {
        return Err(RegistryError::no_subject(subject));
    }
    let found = match choice {
        VersionChoice::Latest => state.versions(subject, deleted).next_back(),
        VersionChoice::Number(number) => {
            state.versions(subject, deleted).find(|(version, _)| *version == number)
        }
    };
    let missing = || match choice {
        VersionChoice::Latest => RegistryError::no_version("latest"),
        VersionChoice::Number(number) => RegistryError::no_version(number),
    };
    let (version, entry) = found.ok_or_else(missing)?;
    state.registered_schema(subject, version, entry).ok_or_else(missing)
}

/// Hides a version, or removes one that is hidden.
pub(crate) fn delete_version(
    state: &State,
    subject: &str,
    choice: VersionChoice,
    permanent: bool,
) -> Result<(Option<Change>, i32), RegistryError> {
    check_writable(state, subject)?;
    if state.versions(subject, true).next().is_none() {
        return Err(RegistryError::no_subject(subject));
    }
    let found = match choice {
        VersionChoice::Latest => state.versions(subject, permanent).next_back(),
        VersionChoice::Number(number) => {
            state.versions(subject, true).find(|(version, _)| *version == number)
        }
    };
    let (version, entry) = found.ok_or_else(|| match choice {
        VersionChoice::Latest => RegistryError::no_subject(subject),
        VersionChoice::Number(number) => RegistryError::no_version(number),
    })?;
    match (entry.deleted, permanent) {
        (true, false) => {
            let message = format!(
                "Subject '{subject}' Version {version} was soft deleted.Set permanent=true to delete permanently"
            );
            return Err(RegistryError::refused(40406, message));
        }
        (false, true) => {
            let message = format!(
                "Subject '{subject}' Version {version} was not deleted first before being permanently deleted"
            );
            return Err(RegistryError::refused(40407, message));
        }
        _ => {}
    }
    check_unreferenced(state, subject, version, permanent)?;
    let whole = !state.versions(subject, false).any(|(other, _)| other != version);
    let change = Change::Deleted { subject: subject.to_owned(), versions: vec![version], permanent, whole };
    Ok((Some(change), version))
}

/// Hides all versions of a subject, or removes those of one that is hidden.
pub(crate) fn delete_subject(
    state: &State,
    subject: &str,
    permanent: bool,
) -> Result<(Option<Change>, Vec<i32>), RegistryError> {
    check_writable(state, subject)?;
    let all: Vec<(i32, Entry)> = state.versions(subject, true).collect();
    if all.is_empty() {
        return Err(RegistryError::no_subject(subject));
    }
    let shown = all.iter().any(|(_, entry)| !entry.deleted);
    if !permanent && !shown {
        let message =
            format!("Subject '{subject}' was soft deleted.Set permanent=true to delete permanently");
        return Err(RegistryError::refused(40404, message));
    }
    if permanent && shown {
        let message = format!("Subject '{subject}' was not deleted first before being permanently deleted");
        return Err(RegistryError::refused(40405, message));
    }
    let versions: Vec<i32> =
        all.iter().filter(|(_, entry)| permanent || !entry.deleted).map(|(version, _)| *version).collect();
    for version in &versions {
        check_unreferenced(state, subject, *version, permanent)?;
    }
    let change =
        Change::Deleted { subject: subject.to_owned(), versions: versions.clone(), permanent, whole: true };
    Ok((Some(change), versions))
}

fn check_unreferenced(
    state: &State,
    subject: &str,
    version: i32,
    permanent: bool,
) -> Result<(), RegistryError> {
    if state.referrers(subject, version, permanent).is_empty() {
        return Ok(());
    }
    let message = format!(
        "One or more references exist to the schema {{magic=1,keytype=SCHEMA,subject={subject},version={version}}}."
    );
    Err(RegistryError::refused(42206, message))
}

/// Settings for a scope.
pub(crate) fn configure(
    state: &State,
    scope: &str,
    request: &SettingsRequest,
) -> Result<(Option<Change>, Settings), RegistryError> {
    if !scope.is_empty() {
        check_writable(state, scope)?;
    }
    let mut settings = state.settings.get(scope).cloned().unwrap_or_default();
    if let Some(word) = &request.level {
        let level = word.parse().map_err(|()| {
            RegistryError::refused(
                42203,
                "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive",
            )
        })?;
        settings.level = Some(level);
    }
    if let Some(word) = &request.policy {
        settings.lenient = Some(match word.to_ascii_uppercase().as_str() {
            "STRICT" => false,
            "LENIENT" => true,
            _ => {
                return Err(RegistryError::refused(
                    42203,
                    "Invalid compatibility policy. Valid values are STRICT and LENIENT",
                ));
            }
        });
    }
    settings.normalize = request.normalize.or(settings.normalize);
    let change = Change::Configured { scope: scope.to_owned(), settings: Some(settings.clone()) };
    Ok((Some(change), settings))
}

/// Takes the settings of a scope back.
pub(crate) fn unconfigure(state: &State, scope: &str) -> Result<(Option<Change>, Settings), RegistryError> {
    let Some(settings) = state.settings.get(scope) else {
        return match scope {
            "" => Ok((None, state.settings_of(""))),
            subject => Err(RegistryError::no_subject(subject)),
        };
    };
    if !scope.is_empty() {
        check_writable(state, scope)?;
    }
    Ok((Some(Change::Configured { scope: scope.to_owned(), settings: None }), settings.clone()))
}

/// The mode of a scope.
pub(crate) fn set_mode(
    state: &State,
    scope: &str,
    word: &str,
    force: bool,
) -> Result<(Option<Change>, Mode), RegistryError> {
    let mode: Mode = word.parse().map_err(|()| {
        RegistryError::refused(
            42204,
            "Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE, and IMPORT",
        )
    })?;
    if mode == Mode::Import && state.mode_of(scope) != Mode::Import && !force {
        let inside = |name: &str| {
            scope.is_empty() || name == scope || (scope.ends_with(':') && name.starts_with(scope))
        };
        let found =
            state.subjects.keys().any(|name| inside(name) && state.versions(name, false).next().is_some());
        if found {
            return Err(RegistryError::refused(42205, "Cannot import since found existing subjects"));
        }
    }
    Ok((Some(Change::Moded { scope: scope.to_owned(), mode: Some(mode) }), mode))
}

/// Takes the mode of a scope back.
pub(crate) fn unset_mode(state: &State, scope: &str) -> Result<(Option<Change>, Mode), RegistryError> {
    match state.modes.get(scope) {
        Some(mode) => Ok((Some(Change::Moded { scope: scope.to_owned(), mode: None }), *mode)),
        None if scope.is_empty() => Ok((None, Mode::ReadWrite)),
        None => Err(RegistryError::no_subject(scope)),
    }
}
