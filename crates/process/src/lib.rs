//! Batch SQL.
