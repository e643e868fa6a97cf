//! SQL as text: parsed, with the place of every word kept.
//!
//! Owns: the dialect, what one statement is, which names it refers to and where they stand, and nearest names.
//! Does not own: whether those names exist (`graph`), or what the statement means (`infer`).

mod nearest;
mod parse;
mod references;

pub use nearest::nearest;
pub(crate) use parse::{DIALECT, parse_query, place_of, syntax_fault};
pub(crate) use references::{Reference, references, references_of_statement};

#[cfg(test)]
mod tests;
