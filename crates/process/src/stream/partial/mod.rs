//! Aggregates of windows whose partial results are kept between runs, so that a row is read once, whatever the windows
//! that it lies in.
//!
//! Rows are aggregated by the bin that all their windows are made of (a tumbling window is one bin, a hopping one as many
//! as it has slides), with the partial results that DataFusion's own aggregates have. What is kept is merged with what
//! new rows give; when a window closes, its bins are put together. The rest of the query runs over the aggregates of the
//! windows that close.
//!
//! The kept results are Arrow files beside the table, in layers that runs add to and that are merged now and then
//! (`layers`); a run reads those with the bins that close, a batch at a time. What does not fit into the memory that the
//! stream may hold goes to disk. The files are written before the commit that names them, so after a crash the last
//! commit names those that are whole. What they hold means something to one version of DataFusion only: those of another
//! version, or that are gone, are computed again from the rows of the inputs.

mod held;
mod layers;
mod reader;
mod shape;
mod work;
mod writer;

pub(super) use held::Held;
pub(crate) use layers::{Layer, Layers, Segment};
pub(super) use reader::{Bins, Stored};
pub(super) use shape::{Kept, kept, with_results};
pub(super) use work::{Partials, Source};
pub(super) use writer::{STATE_FOLDER, write};
