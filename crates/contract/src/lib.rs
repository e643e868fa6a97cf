//! What a change of a contract breaks and for whom, and contracts in the words of others.
//!
//! Owns: the classes of changes ([`diff`]), whom a change hits by lineage and by what consumers declare ([`Flow`]), the
//! judgement over all contracts of two states of a project ([`judge`]), and the mapping from and to the Open Data
//! Contract Standard ([`odcs`]). The only crate that says what a change breaks, and that knows that standard. Pure: no
//! file, no clock, no task.
//! Does not own: where two states come from (the ledger, Git: the command line), which column is made from which
//! (`flowline-process`), how YAML is read and written (`flowline-project`).

mod change;
mod checks;
mod diff;
mod flow;
mod judge;
mod markdown;
pub mod odcs;
mod types;

pub use change::{Change, ChangeKind, Compatibility};
pub use diff::diff;
pub use flow::{Flow, Hit, HitKind};
pub use judge::{DatasetReport, JudgedChange, Report, State, Verdict, judge};
pub use markdown::markdown;
