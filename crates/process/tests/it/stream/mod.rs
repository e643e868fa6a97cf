//! Streams: what is written when, and that it is what the batch query answers.

mod cases;
mod check;
mod differential;
mod late;
mod nexmark;
mod restart;
