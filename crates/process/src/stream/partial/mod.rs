//! Aggregates of windows whose partial results are kept between runs, so that a row is read once, whatever the windows
//! that it lies in.
//!
//! Rows are aggregated by the bin that all their windows are made of (a tumbling window is one bin, a hopping one as many
//! as it has slides), with the partial results that DataFusion's own aggregates have. What is kept is merged with what
//! new rows give; when a window closes, its bins are put together. The rest of the query runs over the aggregates of the
//! windows that close.
//!
//! The kept results are Arrow files beside the table. They are written before the commit that names them, so after a
//! crash the last commit names one that is whole. What they hold means something to one version of DataFusion only:
//! one of another version, or one that is gone, is computed again from the rows of the inputs.

mod files;
mod shape;
mod work;

pub(crate) use files::KeptFile;
pub(super) use files::STATE_FOLDER;
pub(super) use shape::{Kept, kept, with_results};
pub(super) use work::Partials;
