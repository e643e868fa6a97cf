//! Where the schemas of records come from, and what is remembered of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use flowline_base::{Classify, ErrorKind};
use parking_lot::Mutex;

use crate::WriterSchema;

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

/// Something that knows schemas by their numbers.
#[async_trait]
pub trait SchemaSource: Send + Sync + std::fmt::Debug {
    /// The schema of a number: none when there is none, and the reason when it cannot be used.
    ///
    /// # Errors
    /// [`SchemaError`] when it cannot be told.
    async fn writer(&self, id: u32) -> Result<Option<Result<Arc<WriterSchema>, String>>, SchemaError>;
}

/// Schemas by their numbers, each asked for once: the schema of a number never changes.
#[derive(Debug)]
pub struct WriterSchemas {
    source: Arc<dyn SchemaSource>,
    known: Mutex<HashMap<u32, Arc<WriterSchema>>>,
}

impl WriterSchemas {
    /// Those of this registry.
    pub fn new(source: Arc<dyn SchemaSource>) -> Self {
        Self { source, known: Mutex::default() }
    }

    /// The schemas of these numbers, or the reasons why records with them cannot be read.
    ///
    /// # Errors
    /// [`SchemaError`] when it cannot be told now.
    pub async fn resolve(
        &self,
        ids: &BTreeSet<u32>,
    ) -> Result<HashMap<u32, Result<Arc<WriterSchema>, String>>, SchemaError> {
        let mut found = HashMap::new();
        let mut unknown = 0;
        for id in ids {
            let known = self.known.lock().get(id).cloned();
            if let Some(schema) = known {
                found.insert(*id, Ok(schema));
                continue;
            }
            if unknown >= UNKNOWN_MAX {
                let reason = format!(
                    "schema {id} was not asked for, because {UNKNOWN_MAX} others read with it are unknown"
                );
                found.insert(*id, Err(reason));
                continue;
            }
            match self.source.writer(*id).await? {
                Some(Ok(schema)) => {
                    let mut known = self.known.lock();
                    if known.len() >= REMEMBERED_MAX {
                        known.clear();
                    }
                    known.insert(*id, Arc::clone(&schema));
                    found.insert(*id, Ok(schema));
                }
                Some(Err(reason)) => {
                    found.insert(*id, Err(format!("schema {id} cannot be used: {reason}")));
                }
                None => {
                    unknown += 1;
                    found.insert(*id, Err(format!("schema {id} is not in the registry")));
                }
            }
        }
        Ok(found)
    }
}
