//! What checks say of numbers, distributions and histories.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod anomalies;
mod distributions;
mod profiles;
mod rows;
mod statistics;

/// A dataset with these columns.
fn landed(name: &str, columns: Vec<flowline_model::Column>) -> flowline_model::Dataset {
    flowline_model::Dataset { columns, ..flowline_testkit::http_dataset(name, &[]) }
}
