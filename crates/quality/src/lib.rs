//! Contract rules on record batches.
//!
//! Owns: what `required` and `check` of a contract mean for a row ([`RowRules`]), and how rejected
//! records are mended by expressions ([`Mending`]). Pure: batches in, verdicts out; no
//! I/O, no clock, no task. A check that looks at the clock or at other rows is refused when it is compiled.
//! Does not own: types (decoding in `flowline-land` makes them or rejects the record), what becomes of a rejected row.

mod compile;
mod error;
mod evaluate;
mod mend;
mod rules;
#[cfg(test)]
mod tests;

pub use error::RuleError;
pub use mend::{MendError, Mending};
pub use rules::{RowFailure, RowRules, RowVerdicts};
