//! Contracts held against records before they are appended, for sources that ask for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use flowline_base::{Classify as _, SharedClock};
use flowline_land::{Contract, RecordError, RecordSchemas};
use flowline_model::{Dataset, DatasetName, Origin, Plan, Validation};
use flowline_registry::Registry;
use flowline_source::http::Received;
use serde_json::{Value, json};

use super::problem::Problem;

/// Errors that one answer lists; the others are counted.
const ERRORS_MAX: usize = 10_000;

/// The contracts of the sources that validate at the gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gateways {
    doors: Arc<BTreeMap<DatasetName, Door>>,
}

/// What the records of one source are held against.
#[derive(Debug)]
struct Door {
    contract: Result<Contract, String>,
    schemas: RecordSchemas,
}

impl Gateways {
    /// Compiles the contracts of a plan. One that does not compile refuses its own source only.
    pub fn new(plan: &Plan, registry: &Registry, clock: &SharedClock) -> Self {
        let asks = |dataset: &&Dataset| matches!(&dataset.origin, Origin::Http(origin) if origin.validation == Validation::AtGateway);
        let compiled = plan.datasets.iter().filter(asks).map(|dataset| {
            let contract = Contract::compile(Arc::new(dataset.clone())).map_err(|error| error.to_string());
            let schemas = RecordSchemas::own(registry.clone(), clock.clone(), dataset);
            (dataset.name.clone(), Door { contract, schemas })
        });
        Self { doors: Arc::new(compiled.collect()) }
    }

    /// Refuses the request whole when one of its records does not fit. Costs what landing them costs.
    ///
    /// # Errors
    /// 422 with an error for each record that does not fit.
    pub async fn check(&self, dataset: &Dataset, received: &Received) -> Result<(), Problem> {
        let Some(door) = self.doors.get(&dataset.name) else { return Ok(()) };
        let contract = match &door.contract {
            Ok(contract) => contract.clone(),
            Err(error) => {
                let detail = format!("the contract of `{}` cannot be used: {error}", dataset.name);
                return Err(
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "broken-contract", detail).retry_after(60)
                );
            }
        };
        let batch = received.clone().into_batch(None, 0, None);
        let schemas = door.schemas.of_batch(&batch).await;
        let schemas = schemas.map_err(|error| Problem::of_kind(error.kind(), error.to_string()))?;
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
