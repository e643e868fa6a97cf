//! Streams: what is written when, and that it is what the batch query answers.

mod as_of;
mod cases;
mod check;
mod deduplicate;
mod differential;
mod divided;
mod divided_joins;
mod kept;
mod late;
mod nexmark;
mod reopen;
mod restart;
mod state;
