//! A dataset's contract, ready to be held against records.

use std::sync::Arc;

use flowline_log::Batch;
use flowline_model::{Dataset, FindingKind};
use flowline_quality::RowRules;

use crate::decode::Decoder;
use crate::drift::DriftWatch;
use crate::schemas::FoundSchemas;
use crate::{ContractError, LandError};

/// A dataset's contract, ready to be held against records. Compiling costs some milliseconds when there are checks, so
/// keep it; cloning is cheap.
#[derive(Debug, Clone)]
pub struct Contract {
    dataset: Arc<Dataset>,
    pub(crate) decoder: Decoder,
    pub(crate) rules: RowRules,
    /// What is remembered of the rows before; none where records are looked at one by one.
    pub(crate) watch: Option<Arc<DriftWatch>>,
}

/// What is wrong with one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// The record's number in its batch, from zero.
    pub index: usize,
    /// `missing`, `wrong-type`, `failed-rule` or `unparsable`.
    pub reason: FindingKind,
    /// The column concerned, when it is one.
    pub column: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl Contract {
    /// Compiles the contract of a dataset.
    ///
    /// # Errors
    /// [`ContractError`] names the column whose format or check cannot be used.
    pub fn compile(dataset: Arc<Dataset>) -> Result<Self, ContractError> {
        let decoder = Decoder::compile(&dataset)?;
        let rules = RowRules::compile(&dataset)?;
        Ok(Self { dataset, decoder, rules, watch: None })
    }

    /// The same for what lands, reads or replays the dataset's records.
    pub(crate) fn of(dataset: &Arc<Dataset>) -> Result<Self, LandError> {
        Self::compile(Arc::clone(dataset))
            .map_err(|error| LandError::Contract { dataset: dataset.name.clone(), reason: error.to_string() })
    }

    /// The same with a memory of the rows before, so that drift is found.
    pub(crate) fn watching(mut self, watch: Arc<DriftWatch>) -> Self {
        self.watch = Some(watch);
        self
    }

    /// The dataset whose contract it is.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// Every record of the batch that landing would quarantine by itself, in order. Whether a key was seen before is
    /// known only at landing. `schemas` are those of records that say only their numbers.
    pub fn validate(&self, batch: &Batch, schemas: &FoundSchemas) -> Vec<RecordError> {
        let mut errors = Vec::new();
        let records = batch.records as usize;
        let mut decoding = self.decoder.start(records).with_schemas(FoundSchemas::clone(schemas));
        decoding.push(0, batch, 0..records);
        for decoded in decoding.finish() {
            let verdicts = self.rules.evaluate(&decoded.rows);
            for (row, failure) in verdicts.failures() {
                errors.push(RecordError {
                    index: decoded.places.get(row).map_or(0, |place| place.record as usize),
                    reason: failure.reason,
                    column: failure.column,
                    message: failure.message,
                });
            }
            errors.extend(decoded.rejected.into_iter().map(|rejected| RecordError {
                index: rejected.place.record as usize,
                reason: rejected.reason,
                column: rejected.column,
                message: rejected.message,
            }));
        }
        errors.sort_by_key(|error| error.index);
        errors
    }
}

/// Like [`Contract::validate`], compiling the contract first. A contract that cannot be used is wrong with record zero.
pub fn validate(dataset: &Dataset, batch: &Batch) -> Vec<RecordError> {
    match Contract::compile(Arc::new(dataset.clone())) {
        Ok(contract) => contract.validate(batch, &FoundSchemas::default()),
        Err(error) => vec![RecordError {
            index: 0,
            reason: FindingKind::CheckFailedToRun,
            column: None,
            message: error.to_string(),
        }],
    }
}
