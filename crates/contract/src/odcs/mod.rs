//! Contracts in the words of the Open Data Contract Standard, version 3.1.0.
//!
//! Owns: what is said there of what we say, and back. What one side cannot say is listed ([`Imported::lost`]) or, where
//! only we can say it, stands under `customProperties` with names that begin with `flowline.`.
//! Does not own: YAML; a document is a JSON value here.

mod export;
mod import;
mod quality;
mod types;

#[cfg(test)]
mod tests;

use flowline_model::{ColumnType, Contract, Dataset, EventTime, OnDrift, PartitionField};

pub use export::export;
pub use import::{ImportError, import};

/// The version of the standard that is written.
pub const API_VERSION: &str = "v3.1.0";

/// What our own words are called in `customProperties`.
const OWN: &str = "flowline.";

/// What is exported besides the dataset itself.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// The project, the beginning of the document's id.
    pub project: String,
    /// The version of the contract in the ledger; 0 when it was never deployed.
    pub version: u32,
    /// Where the table lies, as a URL or a path; no server is named when absent.
    pub location: Option<String>,
    /// The environment, for the server.
    pub environment: Option<String>,
    /// How the owner is reached.
    pub contact: Option<String>,
}

/// One object of a document, as a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// `domain.name`, made of the names in the document.
    pub name: flowline_model::DatasetName,
    /// For people.
    pub description: String,
    /// The team, as a name that a project may have.
    pub owner: String,
    /// The zone, where the document was written by us.
    pub zone: Option<flowline_model::Zone>,
    /// The contract.
    pub contract: Contract,
    /// How the table is split.
    pub partition_by: Vec<PartitionField>,
    /// The column that says when.
    pub event_time: Option<EventTime>,
    /// What becomes of records that drift, where the document was written by us.
    pub on_drift: OnDrift,
    /// Path of the runbook in the project that the document was written of.
    pub runbook: Option<String>,
    /// What the document says and a dataset cannot, as JSON pointers, each with the reason.
    pub lost: Vec<String>,
}

/// The contract of a dataset with its columns as they are (of a query, as it gives them).
#[derive(Debug, Clone, Copy)]
pub struct Exported<'a> {
    /// The dataset.
    pub dataset: &'a Dataset,
    /// Its contract.
    pub contract: &'a Contract,
}

/// Whether a type is a list or a struct, which have definitions of their own within.
fn nested(kind: &ColumnType) -> bool {
    matches!(kind, ColumnType::List(_) | ColumnType::Struct(_))
}
