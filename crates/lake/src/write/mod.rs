//! Rows become Parquet files that a commit can take up.

mod conform;
mod encoder;
mod encoding;
mod file;
mod flat;
mod sink;
mod split;
mod staged;
mod upload;
mod writer;

pub(crate) use conform::conform;
pub use flat::extremes;
pub use staged::StagedFiles;
pub use writer::StagedWriter;
