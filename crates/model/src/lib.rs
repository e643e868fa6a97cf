//! The words of Flowline as plain data.
//!
//! Owns: names, columns, datasets, environments, plans (what should be) and runs, counts, positions, findings
//! (what is). Does not own: how any of it is written in a user's file (`flowline-project`), stored
//! (`flowline-ledger`) or turned into Arrow (`flowline-lake` for tables, `flowline-view` for facts).

pub mod check;
pub mod column;
pub mod consumer;
pub mod contract;
pub mod dataset;
pub mod environment;
pub mod fact;
pub mod kafka;
pub mod name;
pub mod plan;
pub mod stream;

pub use check::{
    Anomaly, AnomalyMetric, Check, CheckResult, CheckRule, CheckSeverity, ColumnProfile, Completeness,
    DistributionMethod, Profile, RecordedProfile, Season, Verdict,
};
pub use column::{Column, ColumnType};
pub use consumer::{Consumer, ConsumerKind, ConsumerRead};
pub use contract::{ColumnLineage, ColumnRef, Contract, ContractVersion};
pub use dataset::{
    Dataset, Emit, EventTime, FileFormat, FilesOrigin, HttpOrigin, KafkaFormat, KafkaOrigin, KafkaStart,
    Keep, LandingSettings, LatePolicy, Materialization, OnDrift, Origin, PartitionField, PartitionTransform,
    Slo, SqlOrigin, Validation, Zone,
};
pub use environment::{Environment, LogSettings, Token};
pub use fact::{
    Attempt, Balance, Commit, Counts, Deployment, Drift, Fate, Finding, FindingKind, InputRange, Outcome,
    Position, RegistryChange, Rename, Run, RunError, RunKind, Severity, Totals,
};
pub use kafka::{KafkaCluster, KafkaLogSettings, KafkaSasl, KafkaTls, SaslMechanism, SchemaRegistry, Secret};
pub use name::{DatasetName, NameError};
pub use plan::{Plan, Team};
pub use stream::{Held, StreamClock, StreamStatus};
