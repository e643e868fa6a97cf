//! Log → raw table, contract enforcement, quarantine.
//!
//! Owns: what a received record becomes (a row, a rejected record with its reason, or a duplicate), and the one commit
//! in which rows and the position they came from become visible (`commit`, which also completes the ledger after a
//! crash). Does not own: how producers write (`flowline-source`), the rules of a contract (`flowline-quality`), how a
//! commit is made (`flowline-lake`).

mod ahead;
mod audit;
mod brake;
mod commit;
mod committing;
mod context;
mod contract;
pub mod decode;
mod discard;
mod drift;
mod error;
mod examine;
mod failures;
mod feed;
mod file_lander;
mod findings;
mod kept;
mod keys;
mod lane;
mod log_lander;
mod meter;
mod parcel;
mod quarantine;
mod replay;
mod reservation;
mod schemas;
mod settle;
mod share;
mod staging;
mod stamp;
mod tables;

pub use brake::Brake;
pub use context::LandContext;
pub use contract::{Contract, RecordError, validate};
pub use decode::registered_json;
pub use discard::{Discard, discard_quarantine, expire_quarantine};
pub use error::{ContractError, LandError};
pub use feed::log_input;
pub use file_lander::{FileLander, FileProgress, ProgressFn};
pub use kept::{KeptInLog, KeptRows, read_kept};
pub use log_lander::{LogLander, release_landed};
pub use replay::{ReplaySelection, replay_quarantine};
pub use schemas::{FoundSchemas, RecordSchemas};
