//! Where the schemas of records come from, and what is remembered of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flowline_base::{Classify, ErrorKind, SharedClock};
use parking_lot::Mutex;

use crate::{Guid, KnownFields, SchemaKey, WriterSchema};

/// Schemas that are remembered; beyond that all are asked for again.
const REMEMBERED_MAX: usize = 10_000;

/// Unknown numbers that are asked for at once. Records with more of them than that are not what they say they are.
const UNKNOWN_MAX: usize = 100;

/// Why a registry could not be asked. A schema that it does not have is no error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SchemaError {
    /// What to do about it.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
}

impl SchemaError {
    /// The same error, for those who ask for schemas.
    pub fn of(error: &(impl Classify + std::fmt::Display)) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

impl Classify for SchemaError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// A schema that was found; or why it cannot be used.
pub type FoundSchema = Result<Arc<WriterSchema>, String>;

/// Something that knows schemas by their numbers and GUIDs, and subjects.
#[async_trait]
pub trait SchemaSource: Send + Sync + std::fmt::Debug {
    /// The schema of a number: none when there is none, and the reason when it cannot be used.
    ///
    /// # Errors
    /// [`SchemaError`] when it cannot be told.
    async fn writer(&self, id: u32) -> Result<Option<FoundSchema>, SchemaError>;

    /// The same for a GUID.
    ///
    /// # Errors
    /// [`SchemaError`] when it cannot be told.
    async fn writer_of_guid(&self, guid: Guid) -> Result<Option<FoundSchema>, SchemaError>;

    /// The latest version of a subject with its number; none when there is no such subject.
    ///
    /// # Errors
    /// [`SchemaError`] when it cannot be told.
    async fn latest(&self, subject: &str) -> Result<Option<(u32, FoundSchema)>, SchemaError>;

    /// How long the latest version of a subject is taken for that, while no new schema turns up.
    fn latest_holds_for(&self) -> Duration;
}

/// Schemas by what records say of them, each asked for once: the schema of a number or a GUID never changes. They come ready to be read by the
/// latest version of their subject: `<topic>-value`, else `<topic>-<record>`, else `<record>`, the names that serializers
/// register under.
#[derive(Debug)]
pub struct WriterSchemas {
    source: Arc<dyn SchemaSource>,
    clock: SharedClock,
    topic: String,
    fields: KnownFields,
    known: Mutex<HashMap<SchemaKey, Arc<WriterSchema>>>,
    latest: Mutex<HashMap<String, Latest>>,
    /// What was found of a pair: the older schema as the newer one reads it, if it does.
    pairs: Mutex<Pairs>,
}

type Pairs = HashMap<(SchemaKey, u32), Option<Arc<WriterSchema>>>;

/// What a subject had when it was asked for.
#[derive(Debug, Clone)]
struct Latest {
    asked_at: DateTime<Utc>,
    found: Option<(u32, Arc<WriterSchema>)>,
}

impl WriterSchemas {
    /// Those of this registry, for the records of a topic of which these fields are asked for.
    pub fn new(source: Arc<dyn SchemaSource>, clock: SharedClock, topic: &str, fields: KnownFields) -> Self {
        let (known, latest, pairs) = Default::default();
        Self { source, clock, topic: topic.to_owned(), fields, known, latest, pairs }
    }

    /// The schemas of these records, or the reasons why they cannot be read.
    ///
    /// # Errors
    /// [`SchemaError`] when it cannot be told now.
    pub async fn resolve(
        &self,
        keys: &BTreeSet<SchemaKey>,
    ) -> Result<HashMap<SchemaKey, FoundSchema>, SchemaError> {
        // Who has a new schema may have a new version.
        if keys.iter().any(|key| !self.known.lock().contains_key(key)) {
            self.latest.lock().clear();
        }
        let mut found = self.written(keys).await?;
        for (key, schema) in &mut found {
            if let Ok(written) = schema {
                *schema = Ok(self.read_by_latest(*key, written).await?);
            }
        }
        Ok(found)
    }

    /// The schemas as they were written.
    async fn written(
        &self,
        keys: &BTreeSet<SchemaKey>,
    ) -> Result<HashMap<SchemaKey, FoundSchema>, SchemaError> {
        let mut found = HashMap::new();
        let mut unknown = 0;
        for key in keys {
            let known = self.known.lock().get(key).cloned();
            if let Some(schema) = known {
                found.insert(*key, Ok(schema));
                continue;
            }
            if unknown >= UNKNOWN_MAX {
                let reason = format!(
                    "schema {key} was not asked for, because {UNKNOWN_MAX} others read with it are unknown"
                );
                found.insert(*key, Err(reason));
                continue;
            }
            let asked = match key {
                SchemaKey::Id(id) => self.source.writer(*id).await?,
                SchemaKey::Guid(guid) => self.source.writer_of_guid(*guid).await?,
            };
            match asked {
                Some(Ok(schema)) => {
                    remember(&self.known, *key, Arc::clone(&schema));
                    found.insert(*key, Ok(schema));
                }
                Some(Err(reason)) => {
                    found.insert(*key, Err(format!("schema {key} cannot be used: {reason}")));
                }
                None => {
                    unknown += 1;
                    found.insert(*key, Err(format!("schema {key} is not in the registry")));
                }
            }
        }
        Ok(found)
    }

    /// A schema as the latest version of its subject reads it; as it is where there is none, or none that can read it.
    async fn read_by_latest(
        &self,
        key: SchemaKey,
        written: &Arc<WriterSchema>,
    ) -> Result<Arc<WriterSchema>, SchemaError> {
        let mut subjects = vec![format!("{}-value", self.topic)];
        if let Some(name) = written.name() {
            subjects.extend([format!("{}-{name}", self.topic), name]);
        }
        for subject in subjects {
            let Some((newer, latest)) = self.latest(&subject).await? else { continue };
            // Its own defaults are none for Avro and Protobuf: whoever wrote a record wrote all of its fields.
            if key == SchemaKey::Id(newer) && written.kind() != crate::SchemaKind::Json {
                break;
            }
            let known = self.pairs.lock().get(&(key, newer)).cloned();
            let pair = known.unwrap_or_else(|| {
                let pair = written.read_by(&latest, &self.fields).map(Arc::new);
                remember(&self.pairs, (key, newer), pair.clone());
                pair
            });
            if let Some(pair) = pair {
                return Ok(pair);
            }
        }
        Ok(Arc::clone(written))
    }

    /// The latest version of a subject, if it can be used. What was known holds while the registry cannot be asked.
    async fn latest(&self, subject: &str) -> Result<Option<(u32, Arc<WriterSchema>)>, SchemaError> {
        let known = self.latest.lock().get(subject).cloned();
        if let Some(known) = &known
            && self.clock.since(known.asked_at) < self.source.latest_holds_for()
        {
            return Ok(known.found.clone());
        }
        let found = match (self.source.latest(subject).await, known) {
            (Ok(found), _) => found.and_then(|(id, schema)| Some((id, schema.ok()?))),
            // Who may ask for schemas and not for subjects reads records as they were written.
            (Err(error), _) if matches!(error.kind, ErrorKind::Denied | ErrorKind::Input) => None,
            (Err(_), Some(known)) => return Ok(known.found),
            (Err(error), None) => return Err(error),
        };
        let asked = Latest { asked_at: self.clock.now(), found: found.clone() };
        remember(&self.latest, subject.to_owned(), asked);
        Ok(found)
    }
}

fn remember<K: Eq + std::hash::Hash, V>(known: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut known = known.lock();
    if known.len() >= REMEMBERED_MAX {
        known.clear();
    }
    known.insert(key, value);
}
