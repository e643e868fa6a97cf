//! SQL as text: parsed, with the place of every word kept.
//!
//! Owns: the dialect, what one statement is and how deep it may be, which names it refers to and where they stand,
//! and nearest names.
//! Does not own: whether those names exist (`graph`), or what the statement means (`infer`).

mod as_of;
mod depth;
mod distinct;
mod nearest;
mod parse;
mod references;
mod state;
mod windows;

pub(crate) use as_of::Edition;
pub(crate) use depth::bounded_depth;
pub use depth::{OnLargeStack, on_large_stack};
pub use nearest::nearest;
pub(crate) use parse::{DEPTH_MAX, DIALECT, parse_query, place_of, syntax_fault, tokens};
pub use parse::{bounded_tree, bounded_words, words_of};
pub(crate) use references::{Reference, references, references_of_statement};

#[cfg(test)]
mod tests;
