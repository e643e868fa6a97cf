//! Puts the roles together.
//!
//! Owns: what a node opens and in which order ([`Node::start`]), its roles (one short file each in `roles`), the one
//! door through which long-running tasks are started ([`tasks`]), how another process finds a running node
//! ([`NodeFile`]), the same parts without any task for commands that run beside no node ([`Offline`]), and the tests of
//! a project ([`run_test`]).
//! Does not own: anything that a role does; each role calls the crate that has it.

mod live;
mod node;
mod node_file;
mod offline;
mod quarantine_schema;
mod query;
mod replay;
mod roles;
mod storage;
pub mod tasks;
mod telemetry;
mod test_run;

pub use flowline_land::FileProgress;
pub use node::{FileProgressFn, Node, NodeOptions};
pub use node_file::NodeFile;
pub use offline::Offline;
pub use query::QueryRows;
pub use roles::Role;
pub use test_run::run_test;
