//! Desired plan against recorded facts → the runs to start now.
//!
//! Owns: the decision that a hop runs ([`due`]), when to look again ([`wake_at`]), and how long a hop that failed or
//! whose inputs are about to change is held back. Pure: facts and the time in, decisions out; the only crate that
//! decides that something runs.
//! Does not own: where the facts come from, or how a run is started (`flowline-node`).

mod decide;
mod pending;
mod state;

pub use decide::{due, wake_at};
pub use pending::Pending;
pub use state::{Due, HopState, InputState, Settings, Trigger};
