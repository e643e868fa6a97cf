//! Rules about data, evaluated.
//!
//! Owns: what the rules of a contract and the checks of a dataset mean: for single rows ([`RowRules`]), for numbers
//! that were measured of a table ([`outcome`]), for distributions ([`distribution`]) and histories ([`anomaly`]); what
//! rows look like ([`Profiler`]), and how rejected records are mended by expressions ([`Mending`]). Pure: batches or facts in, verdicts out; no I/O, no clock, no task. A rule that
//! looks at the clock or at other rows is refused when it is compiled.
//! Does not own: types (decoding in `flowline-land` makes them or rejects the record), how a table is measured
//! (`flowline-process`), what becomes of a rejected row.

// Rules that one row alone decides.
mod bounds;
mod compile;
pub mod drift;
mod error;
mod evaluate;
mod mend;
mod pattern;
mod physical;
mod rules;
mod texts;
mod typed;

// Numbers of a table, and what is made of them.
pub mod anomaly;
pub mod distribution;
pub mod outcome;
mod profile;
pub mod statistics;
pub mod volume;

#[cfg(test)]
mod tests;

pub use error::RuleError;
pub use mend::{MendError, Mending, Record};
pub use outcome::{Circumstances, Outcome};
pub use profile::{Profiler, QUANTILES};
pub use rules::{RowFailure, RowRule, RowRules, RowTally, RowVerdicts, RuleTally, Which};
