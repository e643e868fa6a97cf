//! Datasets as a project would declare them, in one line each.

use std::time::Duration;

use flowline_model::{Column, Dataset, DatasetName, HttpOrigin, Origin, Slo, Validation, Zone};

/// A raw dataset with an HTTP origin and these columns, as `(name, type)`; `!` behind the name makes it required.
///
/// # Panics
/// When a name or type is not one: it is a test's own mistake.
pub fn http_dataset(name: &str, columns: &[(&str, &str)]) -> Dataset {
    let columns = columns.iter().map(|(name, data_type)| {
        let column =
            Column::new(name.trim_end_matches('!'), data_type.parse().expect("the test names a column type"));
        if name.ends_with('!') { column.required() } else { column }
    });
    Dataset {
        name: name.parse::<DatasetName>().expect("the test names a dataset"),
        description: String::new(),
        owner: "team-test".to_owned(),
        zone: Zone::Raw,
        origin: Origin::Http(HttpOrigin {
            partitions: 1,
            partition_key: Vec::new(),
            validation: Validation::AtLanding,
        }),
        columns: columns.collect(),
        key: Vec::new(),
        dedupe_horizon: Duration::from_secs(24 * 3600),
        event_time: None,
        partition_by: Vec::new(),
        compatibility: None,
        checks: Vec::new(),
        slo: Slo::default(),
        runbook: None,
        on_drift: Default::default(),
        landing: Default::default(),
        declared_in: String::new(),
    }
}
