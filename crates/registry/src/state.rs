//! What all changes come to.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::change::Change;
use crate::kind::{Level, Mode, SchemaKind};
use crate::schema::{Reference, ResolvedReference, Schema};
use crate::subject;
use crate::wire::Guid;

/// How long a chain of references may be, and how many there may be in all.
const REFERENCES_MAX: usize = 200;

/// A schema as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredSchema {
    /// The language.
    #[serde(rename = "type")]
    pub kind: SchemaKind,
    /// The canonical text.
    pub text: String,
    /// What it refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// What clients have said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// Rules that clients apply; kept for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_set: Option<Value>,
}

impl StoredSchema {
    /// What names it in every registry: made of all that is stored of it, so that the same schema has the same one.
    pub fn guid(&self) -> Guid {
        let references = serde_json::to_vec(&self.references).unwrap_or_default();
        let said = |value: &Option<Value>| value.as_ref().map(Value::to_string).unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [
            self.kind.as_str().as_bytes(),
            self.text.as_bytes(),
            &references,
            said(&self.metadata).as_bytes(),
            said(&self.rule_set).as_bytes(),
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        // As RFC 9562 has it for what its maker chooses: version 8.
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Guid(bytes)
    }
}

/// What holds for a subject, or for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Which versions a new one must get along with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Whether schemas are normalized before they are compared and stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// Whether objects of JSON Schema are taken for closed where they say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lenient: Option<bool>,
}

/// A version of a subject.
#[derive(Debug, Clone)]
pub struct RegisteredSchema {
    /// The subject.
    pub subject: String,
    /// The version.
    pub version: i32,
    /// The number of the schema.
    pub id: u32,
    /// Whether it is hidden.
    pub deleted: bool,
    /// The schema.
    pub schema: Arc<StoredSchema>,
}

/// A schema with what it was parsed to.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) stored: Arc<StoredSchema>,
    parsed: OnceLock<Result<Arc<Schema>, String>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) id: u32,
    pub(crate) deleted: bool,
}

/// Versions of a subject, by their numbers.
pub(crate) type Versions = BTreeMap<i32, Entry>;

/// The registry at one revision.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) revision: i64,
    pub(crate) subjects: BTreeMap<String, Versions>,
    pub(crate) settings: BTreeMap<String, Settings>,
    pub(crate) modes: BTreeMap<String, Mode>,
    contexts: BTreeMap<String, Context>,
}

/// Identifiers of one context.
#[derive(Debug, Clone, Default)]
struct Context {
    schemas: BTreeMap<u32, Arc<Known>>,
    ids: HashMap<Arc<StoredSchema>, u32>,
    guids: HashMap<Guid, u32>,
    id_max: u32,
    /// How many versions have each.
    uses: HashMap<u32, usize>,
}

impl State {
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Registered { subject, version, id, schema } => {
                self.registered(subject, version, id, schema)
            }
            Change::Deleted { subject, versions, permanent, whole } => {
                for version in versions {
                    self.deleted(&subject, version, permanent);
                }
                if whole {
                    self.settings.remove(&subject);
                    self.modes.remove(&subject);
                }
                if self.subjects.get(&subject).is_some_and(BTreeMap::is_empty) {
                    self.subjects.remove(&subject);
                }
            }
            Change::Configured { scope, settings: Some(settings) } => {
                self.settings.insert(scope, settings);
            }
            Change::Configured { scope, settings: None } => {
                self.settings.remove(&scope);
            }
            Change::Moded { scope, mode: Some(mode) } => {
                self.modes.insert(scope, mode);
            }
            Change::Moded { scope, mode: None } => {
                self.modes.remove(&scope);
            }
        }
    }

    fn registered(&mut self, subject: String, version: i32, id: u32, schema: Option<StoredSchema>) {
        let context = self.contexts.entry(subject::context(&subject).to_owned()).or_default();
        if let Some(schema) = schema {
            let stored = Arc::new(schema);
            context.guids.insert(stored.guid(), id);
            context.ids.insert(Arc::clone(&stored), id);
            context.schemas.insert(id, Arc::new(Known { stored, parsed: OnceLock::new() }));
        }
        context.id_max = context.id_max.max(id);
        *context.uses.entry(id).or_default() += 1;
        self.subjects.entry(subject).or_default().insert(version, Entry { id, deleted: false });
    }

    fn deleted(&mut self, subject: &str, version: i32, permanent: bool) {
        let Some(versions) = self.subjects.get_mut(subject) else { return };
        if !permanent {
            if let Some(entry) = versions.get_mut(&version) {
                entry.deleted = true;
            }
            return;
        }
        let Some(entry) = versions.remove(&version) else { return };
        let Some(context) = self.contexts.get_mut(subject::context(subject)) else { return };
        let uses = context.uses.entry(entry.id).or_default();
        *uses = uses.saturating_sub(1);
        if *uses == 0 {
            context.uses.remove(&entry.id);
            if let Some(known) = context.schemas.remove(&entry.id) {
                context.ids.remove(&known.stored);
                context.guids.remove(&known.stored.guid());
            }
        }
    }

    /// The schema of this number.
    pub(crate) fn known(&self, context: &str, id: u32) -> Option<&Arc<Known>> {
        self.contexts.get(context)?.schemas.get(&id)
    }

    /// The number of this schema.
    pub(crate) fn id_of(&self, context: &str, schema: &StoredSchema) -> Option<u32> {
        self.contexts.get(context)?.ids.get(schema).copied()
    }

    /// The number of the schema of this GUID in each context that has it, the one without a name first.
    pub(crate) fn of_guid(&self, guid: Guid) -> Vec<(&str, u32)> {
        let contexts = self.contexts.iter();
        contexts.filter_map(|(name, context)| Some((name.as_str(), *context.guids.get(&guid)?))).collect()
    }

    /// The largest number that was ever given.
    pub(crate) fn id_max(&self, context: &str) -> u32 {
        self.contexts.get(context).map_or(0, |context| context.id_max)
    }

    /// The contexts that there are.
    pub(crate) fn contexts(&self) -> Vec<String> {
        let mut names: Vec<String> = self.contexts.keys().cloned().collect();
        if !names.iter().any(|name| name == subject::DEFAULT_CONTEXT) {
            names.insert(0, subject::DEFAULT_CONTEXT.to_owned());
        }
        names
    }

    /// The versions of a subject, hidden ones where they are asked for.
    pub(crate) fn versions(
        &self,
        subject: &str,
        deleted: bool,
    ) -> impl DoubleEndedIterator<Item = (i32, Entry)> + '_ {
        let versions = self.subjects.get(subject).into_iter().flatten();
        versions
            .filter(move |(_, entry)| deleted || !entry.deleted)
            .map(|(version, entry)| (*version, *entry))
    }

    /// One version with its schema.
    pub(crate) fn registered_schema(
        &self,
        subject: &str,
        version: i32,
        entry: Entry,
    ) -> Option<RegisteredSchema> {
        let known = self.known(subject::context(subject), entry.id)?;
        Some(RegisteredSchema {
            subject: subject.to_owned(),
            version,
            id: entry.id,
            deleted: entry.deleted,
            schema: Arc::clone(&known.stored),
        })
    }

    /// All versions that this number has in a context.
    pub(crate) fn uses(&self, context: &str, id: u32, deleted: bool) -> Vec<(String, i32)> {
        let subjects = self.subjects.iter().filter(|(name, _)| subject::context(name) == context);
        subjects
            .flat_map(|(name, versions)| {
                let found =
                    versions.iter().filter(|(_, entry)| entry.id == id && (deleted || !entry.deleted));
                found.map(|(version, _)| (name.clone(), *version)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// The numbers of the schemas that refer to a version.
    pub(crate) fn referrers(&self, target: &str, version: i32, deleted: bool) -> Vec<u32> {
        let mut ids = Vec::new();
        for (name, versions) in &self.subjects {
            for entry in versions.values().filter(|entry| deleted || !entry.deleted) {
                let Some(known) = self.known(subject::context(name), entry.id) else { continue };
                let refers = known.stored.references.iter().any(|reference| {
                    reference.version == version && subject::beside(name, &reference.subject) == target
                });
                if refers && !ids.contains(&entry.id) {
                    ids.push(entry.id);
                }
            }
        }
        ids.sort_unstable();
        ids
    }

    /// What a schema refers to, each behind what it refers to itself.
    pub(crate) fn resolve(
        &self,
        subject: &str,
        references: &[Reference],
    ) -> Result<Vec<ResolvedReference>, String> {
        let mut resolved = Vec::new();
        self.resolve_into(subject, references, 0, &mut resolved)?;
        Ok(resolved)
    }

    fn resolve_into(
        &self,
        from: &str,
        references: &[Reference],
        depth: usize,
        resolved: &mut Vec<ResolvedReference>,
    ) -> Result<(), String> {
        for reference in references {
            if resolved.iter().any(|known: &ResolvedReference| known.name == reference.name) {
                continue;
            }
            if depth > 32 || resolved.len() > REFERENCES_MAX {
                return Err(format!("more than {REFERENCES_MAX} schemas are referred to, or in a circle"));
            }
            let target = subject::beside(from, &reference.subject);
            let entry = self.subjects.get(&target).and_then(|versions| versions.get(&reference.version));
            let known = entry.and_then(|entry| self.known(subject::context(&target), entry.id));
            let known = known.ok_or_else(|| {
                format!(
                    "No schema reference found for subject \"{}\" and version {}",
                    reference.subject, reference.version
                )
            })?;
            self.resolve_into(&target, &known.stored.references, depth + 1, resolved)?;
            resolved
                .push(ResolvedReference { name: reference.name.clone(), text: known.stored.text.clone() });
        }
        Ok(())
    }

    /// The schema of this number, parsed; once, however often it is asked for.
    pub(crate) fn parsed(&self, subject: &str, id: u32) -> Option<Result<Arc<Schema>, String>> {
        let known = self.known(subject::context(subject), id)?;
        Some(
            known
                .parsed
                .get_or_init(|| {
                    let references = self.resolve(subject, &known.stored.references)?;
                    Schema::parse(known.stored.kind, &known.stored.text, &references).map(Arc::new)
                })
                .clone(),
        )
    }

    /// What holds for a subject: its own settings, then those of its context, then those for all.
    pub(crate) fn settings_of(&self, subject: &str) -> Settings {
        let scopes = [subject.to_owned(), subject::context_scope(subject), String::new()];
        let mut merged = Settings::default();
        for settings in scopes.iter().filter_map(|scope| self.settings.get(scope)) {
            merged.level = merged.level.or(settings.level);
            merged.normalize = merged.normalize.or(settings.normalize);
            merged.lenient = merged.lenient.or(settings.lenient);
        }
        merged.level = merged.level.or(Some(Level::Backward));
        merged
    }

    /// The mode of a subject. One that overrides wins.
    pub(crate) fn mode_of(&self, subject: &str) -> Mode {
        let global = self.modes.get("").copied();
        if global == Some(Mode::ReadOnlyOverride) {
            return Mode::ReadOnlyOverride;
        }
        let own =
            self.modes.get(subject).or_else(|| self.modes.get(&subject::context_scope(subject))).copied();
        own.or(global).unwrap_or(Mode::ReadWrite)
    }
}
