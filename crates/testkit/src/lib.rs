//! What tests share.
//!
//! Owns: the real binary as a process, deterministic inputs, doubles of what a crate builds on. Does not own: anything
//! that runs outside of tests; nothing but tests and the bench crate depends on it.

mod datasets;
mod flowline_process;
mod kafka_broker;
mod limited;
pub mod nexmark;

pub use datasets::http_dataset;
pub use flowline_process::{FlowlineOptions, FlowlineProcess, real_data};
pub use kafka_broker::KafkaBroker;
pub use limited::{http_client, output_of};
