//! What is asked of records before they are appended: whether they fit the contract, for sources that want it, and
//! what those say whose schema is registered, where their key decides on the partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use flowline_base::{Classify as _, SharedClock};
use flowline_land::{Contract, FoundSchemas, RecordError, RecordSchemas};
use flowline_log::RecordFormat;
use flowline_model::{Dataset, DatasetName, Origin, Plan, Validation};
use flowline_registry::Registry;
use flowline_source::http::Received;
use serde_json::{Value, json};

use super::problem::Problem;

/// Errors that one answer lists; the others are counted.
const ERRORS_MAX: usize = 10_000;

/// The sources whose records are looked into before they are appended. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gateways {
    doors: Arc<BTreeMap<DatasetName, Door>>,
}

/// What the records of one source are held against.
#[derive(Debug)]
struct Door {
    /// None where records are taken as they come.
    contract: Option<Result<Contract, String>>,
    schemas: RecordSchemas,
}

impl Gateways {
    /// Compiles the contracts of a plan. One that does not compile refuses its own source only.
    pub fn new(plan: &Plan, registry: &Registry, clock: &SharedClock) -> Self {
        let mut doors = BTreeMap::new();
        for dataset in &plan.datasets {
            let Origin::Http(origin) = &dataset.origin else { continue };
            let validates = origin.validation == Validation::AtGateway;
            if validates || (origin.partitions > 1 && !dataset.partition_key().is_empty()) {
                let compile = || Contract::compile(Arc::new(dataset.clone()));
                let contract = validates.then(|| compile().map_err(|error| error.to_string()));
                let schemas = RecordSchemas::own(registry.clone(), clock.clone(), dataset);
                doors.insert(dataset.name.clone(), Door { contract, schemas });
            }
        }
        Self { doors: Arc::new(doors) }
    }

    /// The schemas of records that say only the numbers of theirs.
    ///
    /// # Errors
    /// 503 when they cannot be told now.
    pub async fn schemas(&self, dataset: &Dataset, received: &Received) -> Result<FoundSchemas, Problem> {
        match self.doors.get(&dataset.name).filter(|_| received.format == RecordFormat::Registered) {
            None => Ok(FoundSchemas::default()),
            Some(door) => {
                let schemas = door.schemas.of_batch(&received.clone().into_batch(None, 0, None)).await;
                schemas.map_err(|error| Problem::of_kind(error.kind(), error.to_string()))
            }
        }
    }

    /// Refuses the request whole when one of its records does not fit. Costs what landing them costs.
    ///
    /// # Errors
    /// 422 with an error for each record that does not fit.
    pub async fn check(
        &self,
        dataset: &Dataset,
        received: &Received,
        schemas: &FoundSchemas,
    ) -> Result<(), Problem> {
        let door = self.doors.get(&dataset.name);
        let Some(contract) = door.and_then(|door| door.contract.as_ref()) else { return Ok(()) };
        let contract = match contract {
            Ok(contract) => contract.clone(),
            Err(error) => {
                let detail = format!("the contract of `{}` cannot be used: {error}", dataset.name);
                return Err(
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "broken-contract", detail).retry_after(60)
                );
            }
        };
        let batch = received.clone().into_batch(None, 0, None);
        let schemas = FoundSchemas::clone(schemas);
        let validated = tokio::task::spawn_blocking(move || contract.validate(&batch, &schemas)).await;
        let errors = validated.map_err(|error| Problem::internal(format!("validating failed: {error}")))?;
        if errors.is_empty() { Ok(()) } else { Err(invalid(&errors, received.records)) }
    }
}

fn invalid(errors: &[RecordError], records: u32) -> Problem {
    let detail =
        format!("{} of {records} records do not fit the contract; nothing was appended", errors.len());
    let listed: Vec<Value> = errors
        .iter()
        .take(ERRORS_MAX)
        .map(|error| {
            json!({
                "record": error.index, "reason": error.reason.as_str(), "column": error.column,
                "message": error.message,
            })
        })
        .collect();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-records", detail)
        .with("errors", listed)
        .with("errors_omitted", errors.len().saturating_sub(ERRORS_MAX))
}
