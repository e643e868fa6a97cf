//! Projects in a few lines.

pub mod kept_log;
pub mod world;

use std::time::Duration;

use flowline_model::{
    Check, CheckRule, CheckSeverity, Column, Dataset, Emit, EventTime, HttpOrigin, LandingSettings,
    LatePolicy, LogSettings, Materialization, Origin, PartitionField, PartitionTransform, Plan, Slo,
    SqlOrigin, Validation, Zone,
};

/// A check that only warns.
pub fn check(name: &str, rule: CheckRule) -> Check {
    Check {
        name: name.to_owned(),
        description: None,
        owner: "team".to_owned(),
        severity: CheckSeverity::Warn,
        tolerance: 0.0,
        rule,
    }
}

/// Names of columns, as rules have them.
pub fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A dataset that is landed, with columns written `name type, name type!` (`!` for required).
pub fn landed(name: &str, columns: &str) -> Dataset {
    let origin = Origin::Http(HttpOrigin {
        partitions: 1,
        partition_key: Vec::new(),
        validation: Validation::AtLanding,
    });
    dataset(name, Zone::Raw, origin, columns)
}

/// A dataset of SQL without declared columns.
pub fn sql(name: &str, materialization: Materialization, text: &str) -> Dataset {
    let origin = Origin::Sql(SqlOrigin {
        text: text.to_owned(),
        file: format!("datasets/{}.sql", name.replace('.', "/")),
        line: 1,
        indent: 0,
        materialization,
        emit: Default::default(),
        state_limit: None,
        divided: false,
        timeout: Duration::from_secs(60),
        attempts_max: 3,
        lag_rows_max: None,
    });
    dataset(name, Zone::Trusted, origin, "")
}

fn dataset(name: &str, zone: Zone, origin: Origin, columns: &str) -> Dataset {
    Dataset {
        name: name.parse().unwrap(),
        description: String::new(),
        owner: "team".to_owned(),
        zone,
        origin,
        columns: self::columns(columns),
        key: Vec::new(),
        dedupe_horizon: Duration::ZERO,
        event_time: None,
        partition_by: Vec::new(),
        compatibility: None,
        checks: Vec::new(),
        slo: Slo::default(),
        runbook: None,
        on_drift: Default::default(),
        landing: LandingSettings::default(),
        declared_in: format!("datasets/{}.yaml", name.replace('.', "/")),
    }
}

/// A stream over event time `ts`, with this much disorder waited for.
pub fn stream(name: &str, delay: Duration, late: LatePolicy, text: &str) -> Dataset {
    let mut dataset = sql(name, Materialization::Stream, text);
    dataset.event_time =
        Some(EventTime { column: "ts".to_owned(), watermark: delay, idle_after: None, late });
    dataset
}

/// The same stream, with the rows of a window written whenever they change.
pub fn on_change(mut dataset: Dataset) -> Dataset {
    if let Origin::Sql(sql) = &mut dataset.origin {
        sql.emit = Emit::OnChange;
    }
    dataset
}

/// The same stream, with this much memory declared for its runs.
pub fn limited(mut dataset: Dataset, bytes: u64) -> Dataset {
    if let Origin::Sql(sql) = &mut dataset.origin {
        sql.state_limit = Some(bytes);
    }
    dataset
}

/// Columns written `name type, name type!`.
pub fn columns(text: &str) -> Vec<Column> {
    let mut parts: Vec<String> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match parts.last_mut() {
            Some(open) if open.matches(['(', '<']).count() > open.matches([')', '>']).count() => {
                open.push(',');
                open.push_str(part);
            }
            _ => parts.push(part.to_owned()),
        }
    }
    let column = |part: &String| {
        let (name, kind) = part.split_once(' ').unwrap();
        let required = kind.ends_with('!');
        let mut column = Column::new(name, kind.trim_end_matches('!').parse().unwrap());
        column.required = required;
        column
    };
    parts.iter().map(column).collect()
}

/// What tests add to a dataset.
pub trait Declare {
    /// Declares columns.
    fn with_columns(self, columns: &str) -> Self;
    /// Declares the key.
    fn with_key(self, key: &[&str]) -> Self;
    /// Declares partitions: `day(ts)`, `region`.
    fn with_partitions(self, partitions: &[&str]) -> Self;
    /// Declares the event time.
    fn with_event_time(self, column: &str) -> Self;
    /// Puts the SQL at a place of a file.
    fn at(self, file: &str, line: u32, indent: u32) -> Self;
}

impl Declare for Dataset {
    fn with_columns(mut self, columns: &str) -> Self {
        self.columns = self::columns(columns);
        self
    }

    fn with_key(mut self, key: &[&str]) -> Self {
        self.key = key.iter().map(ToString::to_string).collect();
        self
    }

    fn with_partitions(mut self, partitions: &[&str]) -> Self {
        let field = |text: &&str| {
            let (transform, column) = match text.split_once('(') {
                Some(("day", rest)) => (PartitionTransform::Day, rest.trim_end_matches(')')),
                Some(("month", rest)) => (PartitionTransform::Month, rest.trim_end_matches(')')),
                Some(("year", rest)) => (PartitionTransform::Year, rest.trim_end_matches(')')),
                _ => (PartitionTransform::Identity, *text),
            };
            PartitionField { column: column.to_owned(), transform }
        };
        self.partition_by = partitions.iter().map(field).collect();
        self
    }

    fn with_event_time(mut self, column: &str) -> Self {
        self.event_time = Some(EventTime {
            column: column.to_owned(),
            watermark: Duration::ZERO,
            idle_after: None,
            late: LatePolicy::Reopen,
        });
        self
    }

    fn at(mut self, file: &str, line: u32, indent: u32) -> Self {
        if let Origin::Sql(origin) = &mut self.origin {
            (origin.file, origin.line, origin.indent) = (file.to_owned(), line, indent);
        }
        self
    }
}

/// A plan of these datasets.
pub fn plan(datasets: impl IntoIterator<Item = Dataset>) -> Plan {
    plan_in(std::path::Path::new("/nonexistent"), datasets)
}

/// A plan of these datasets that runs in a folder.
pub fn plan_in(folder: &std::path::Path, datasets: impl IntoIterator<Item = Dataset>) -> Plan {
    let mut datasets: Vec<Dataset> = datasets.into_iter().collect();
    datasets.sort_by(|one, other| one.name.cmp(&other.name));
    Plan {
        project: "test".to_owned(),
        version: "0".to_owned(),
        environment: flowline_model::Environment {
            name: "test".to_owned(),
            data_dir: folder.to_owned(),
            lake: format!("file://{}", folder.join("lake").display()),
            storage_options: Default::default(),
            ledger: format!("sqlite://{}", folder.join("ledger.db").display()),
            kafka: None,
            log: LogSettings::default(),
            http: ([127, 0, 0, 1], 0).into(),
            postgres: None,
            tokens: Vec::new(),
            body_bytes_max: 1 << 20,
            concurrency: 2,
            query_memory_bytes: 256 << 20,
        },
        teams: Vec::new(),
        datasets,
        consumers: Vec::new(),
    }
}
