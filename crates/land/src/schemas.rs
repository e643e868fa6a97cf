//! Schemas of records that say only the numbers of theirs: asked for before the records are decoded, because decoding
//! waits for nobody.
//!
//! Owns: which registry a dataset asks, and which numbers. Does not own: what a schema says (`flowline-registry`), how
//! others are asked (`flowline-source`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use flowline_base::SharedClock;
use flowline_log::{Batch, RecordFormat};
use flowline_model::{Dataset, Origin, SchemaRegistry};
use flowline_registry::{FoundSchema, Framed, KnownFields, Registry, SchemaKey, SchemaSource, WriterSchemas};
use flowline_source::registry::RemoteRegistry;

use crate::parcel::{Piece, Records};
use crate::{LandContext, LandError};

/// Schemas by what records say of them, or why records that say so cannot be read. Cheap to clone.
pub type FoundSchemas = Arc<HashMap<SchemaKey, FoundSchema>>;

/// The schemas of a dataset's records. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RecordSchemas {
    known: Arc<WriterSchemas>,
}

impl RecordSchemas {
    /// Those of the node's own registry, for the records of a dataset.
    pub fn own(registry: Registry, clock: SharedClock, dataset: &Dataset) -> Self {
        Self::of(Arc::new(registry), clock, dataset)
    }

    /// What is posted to a dataset is registered under its name, as if that were a topic.
    fn of(source: Arc<dyn SchemaSource>, clock: SharedClock, dataset: &Dataset) -> Self {
        let topic = match &dataset.origin {
            Origin::Kafka(origin) => origin.topic.clone(),
            _ => dataset.name.to_string(),
        };
        let fields = KnownFields::of_columns(&dataset.columns);
        Self { known: Arc::new(WriterSchemas::new(source, clock, &topic, fields)) }
    }

    /// Those that the origin of a dataset names.
    pub(crate) fn of_dataset(context: &LandContext, dataset: &Dataset) -> Result<Self, LandError> {
        let clock = context.clock.clone();
        if let Origin::Kafka(origin) = &dataset.origin
            && let Some(SchemaRegistry::At { url, user, password }) = &origin.registry
        {
            let remote = RemoteRegistry::new(url, user.clone(), password.clone())?;
            return Ok(Self::of(Arc::new(remote), clock, dataset));
        }
        Ok(Self::own(Registry::new(Arc::clone(&context.ledger), clock.clone()), clock, dataset))
    }

    /// The schemas of the records in a batch; none are asked for where records say what they are themselves.
    ///
    /// # Errors
    /// [`LandError::Schemas`] when they cannot be told now.
    pub async fn of_batch(&self, batch: &Batch) -> Result<FoundSchemas, LandError> {
        let mut keys = BTreeSet::new();
        collect(batch, 0, &mut keys);
        self.resolve(&keys).await
    }

    pub(crate) async fn of_pieces(&self, pieces: &[Piece]) -> Result<FoundSchemas, LandError> {
        let mut keys = BTreeSet::new();
        for piece in pieces {
            if let Records::Batch { batch, skip } = &piece.records {
                collect(batch, *skip as usize, &mut keys);
            }
        }
        self.resolve(&keys).await
    }

    async fn resolve(&self, keys: &BTreeSet<SchemaKey>) -> Result<FoundSchemas, LandError> {
        if keys.is_empty() {
            return Ok(FoundSchemas::default());
        }
        Ok(Arc::new(self.known.resolve(keys).await?))
    }
}

fn collect(batch: &Batch, skip: usize, keys: &mut BTreeSet<SchemaKey>) {
    if batch.format != RecordFormat::Registered {
        return;
    }
    let records = (skip..batch.records as usize).filter_map(|index| batch.record(index));
    keys.extend(records.filter_map(|record| Framed::parse(record).ok()).map(|framed| framed.schema));
}
