//! Schemas of records that say only the numbers of theirs: asked for before the records are decoded, because decoding
//! waits for nobody.
//!
//! Owns: which registry a dataset asks, and which numbers. Does not own: what a schema says (`flowline-registry`), how
//! others are asked (`flowline-source`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use flowline_log::{Batch, RecordFormat};
use flowline_model::{Dataset, Origin, SchemaRegistry};
use flowline_registry::{Framed, Registry, SchemaSource, WriterSchema, WriterSchemas};
use flowline_source::registry::RemoteRegistry;

use crate::parcel::{Piece, Records};
use crate::{LandContext, LandError};

/// Schemas by their numbers, or why records with that number cannot be read. Cheap to clone.
pub type FoundSchemas = Arc<HashMap<u32, Result<Arc<WriterSchema>, String>>>;

/// The schemas of a dataset's records. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RecordSchemas {
    known: Arc<WriterSchemas>,
}

impl RecordSchemas {
    /// Those of the node's own registry.
    pub fn own(registry: Registry) -> Self {
        Self::of(Arc::new(registry))
    }

    fn of(source: Arc<dyn SchemaSource>) -> Self {
        Self { known: Arc::new(WriterSchemas::new(source)) }
    }

    /// Those that the origin of a dataset names.
    pub(crate) fn of_dataset(context: &LandContext, dataset: &Dataset) -> Result<Self, LandError> {
        if let Origin::Kafka(origin) = &dataset.origin
            && let Some(SchemaRegistry::At { url, user, password }) = &origin.registry
        {
            return Ok(Self::of(Arc::new(RemoteRegistry::new(url, user.clone(), password.clone())?)));
        }
        Ok(Self::own(Registry::new(Arc::clone(&context.ledger), context.clock.clone())))
    }

    /// The schemas of the records in a batch; none are asked for where records say what they are themselves.
    ///
    /// # Errors
    /// [`LandError::Schemas`] when they cannot be told now.
    pub async fn of_batch(&self, batch: &Batch) -> Result<FoundSchemas, LandError> {
        let mut ids = BTreeSet::new();
        collect(batch, 0, &mut ids);
        self.resolve(&ids).await
    }

    pub(crate) async fn of_pieces(&self, pieces: &[Piece]) -> Result<FoundSchemas, LandError> {
        let mut ids = BTreeSet::new();
        for piece in pieces {
            if let Records::Batch { batch, skip } = &piece.records {
                collect(batch, *skip as usize, &mut ids);
            }
        }
        self.resolve(&ids).await
    }

    async fn resolve(&self, ids: &BTreeSet<u32>) -> Result<FoundSchemas, LandError> {
        if ids.is_empty() {
            return Ok(FoundSchemas::default());
        }
        Ok(Arc::new(self.known.resolve(ids).await?))
    }
}

fn collect(batch: &Batch, skip: usize, ids: &mut BTreeSet<u32>) {
    if batch.format != RecordFormat::Registered {
        return;
    }
    let records = (skip..batch.records as usize).filter_map(|index| batch.record(index));
    ids.extend(records.filter_map(|record| Framed::parse(record).ok()).map(|framed| framed.id));
}
