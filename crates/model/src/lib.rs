//! The words of Flowline as plain data.
//!
//! Owns: names, columns, datasets, environments, plans (what should be) and runs, counts, positions, findings
//! (what is). Does not own: how any of it is written in a user's file (`flowline-project`), stored
//! (`flowline-ledger`) or turned into Arrow (`flowline-lake` for tables, `flowline-view` for facts).

pub mod column;
pub mod dataset;
pub mod environment;
pub mod fact;
pub mod kafka;
pub mod name;
pub mod plan;
pub mod stream;

pub use column::{Column, ColumnType};
pub use dataset::{
    Dataset, Emit, EventTime, FileFormat, FilesOrigin, HttpOrigin, KafkaFormat, KafkaOrigin, KafkaStart,
    LandingSettings, LatePolicy, Materialization, Origin, PartitionField, PartitionTransform, Slo, SqlOrigin,
    Validation, Zone,
};
pub use environment::{Environment, LogSettings, Token};
pub use fact::{
    Attempt, Balance, Commit, Counts, Deployment, Finding, FindingKind, InputRange, Outcome, Position,
    RegistryChange, Run, RunError, RunKind, Severity, Totals,
};
pub use kafka::{KafkaCluster, KafkaLogSettings, KafkaSasl, KafkaTls, SaslMechanism, SchemaRegistry, Secret};
pub use name::{DatasetName, NameError};
pub use plan::{Plan, Team};
pub use stream::{StreamClock, StreamStatus};
