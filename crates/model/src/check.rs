//! Checks: rules about the data of a dataset, what evaluating them gave, and profiles of what was written.
//!
//! Owns: the kinds of checks with their parameters ([`CheckRule`]), verdicts ([`CheckResult`]) and profiles
//! ([`Profile`]). Does not own: how a check is written (`flowline-project`) or evaluated (`flowline-quality`,
//! `flowline-process`).

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use flowline_base::RunId;
use serde::{Deserialize, Serialize};

use crate::{ColumnType, DatasetName};

/// A rule about the data of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, one of a kind within the dataset: `range_amount`.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The team that answers for it; the owner of the dataset unless another is named.
    pub owner: String,
    /// What becomes of data that fails it.
    pub severity: CheckSeverity,
    /// The share of the rows that may fail: 0 to 1. Of meaning where the rule counts rows.
    #[serde(default)]
    pub tolerance: f64,
    /// What must hold.
    pub rule: CheckRule,
}

impl Check {
    /// The columns of the dataset that it reads, as far as they are named.
    pub fn columns(&self) -> Vec<&str> {
        self.rule.columns()
    }
}

/// What becomes of data that fails a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckSeverity {
    /// It is committed, and the failure is on record.
    #[default]
    Warn,
    /// The rows that fail go to quarantine, the others are committed.
    QuarantineRows,
    /// Nothing is committed: the last good version is served on.
    Block,
}

impl CheckSeverity {
    /// The word in files and facts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::QuarantineRows => "quarantine_rows",
            Self::Block => "block",
        }
    }
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CheckRule {
    /// The column has a value.
    Required {
        /// The column.
        column: String,
    },
    /// Values lie within bounds, both included. Null passes.
    Range {
        /// The column.
        column: String,
        /// The least value, as text of the column's type.
        min: Option<String>,
        /// The greatest value, as text of the column's type.
        max: Option<String>,
    },
    /// Texts have so many characters. Null passes.
    Length {
        /// The column.
        column: String,
        /// At least.
        min: Option<u64>,
        /// At most.
        max: Option<u64>,
    },
    /// Texts match a regular expression, anywhere in them unless it is anchored. Null passes.
    Pattern {
        /// The column.
        column: String,
        /// The regular expression.
        pattern: String,
    },
    /// Values are among these. Null passes.
    AcceptedValues {
        /// The column.
        column: String,
        /// The values, as text of the column's type.
        values: Vec<String>,
    },
    /// Texts can be read as a type. Null passes.
    Type {
        /// The column.
        column: String,
        /// The type.
        data_type: ColumnType,
    },
    /// A condition holds for each row. Null passes.
    Condition {
        /// The condition in SQL, over the columns of the row.
        expression: String,
    },
    /// No two rows share the values of these columns. Rows in which one of them is null do not count.
    Unique {
        /// The columns.
        columns: Vec<String>,
    },
    /// At most the tolerated share of the rows repeats another one in these columns, nulls included.
    Duplicates {
        /// The columns; all of the contract when empty.
        columns: Vec<String>,
    },
    /// The table has so many rows.
    RowCount {
        /// At least.
        min: Option<u64>,
        /// At most.
        max: Option<u64>,
    },
    /// The newest row is at most this old.
    Freshness {
        /// The column that says when; the time of the last commit that changed rows when absent.
        column: Option<String>,
        /// How old.
        within: Duration,
    },
    /// Every expected partition is there, or as many rows as the source says.
    Completeness(Completeness),
    /// The values of these columns are among those of another dataset. Rows in which one is null pass.
    Referential {
        /// The columns.
        columns: Vec<String>,
        /// The other dataset.
        to: DatasetName,
        /// Its columns, in the same order.
        to_columns: Vec<String>,
    },
    /// The values of a column are distributed as they were.
    Distribution {
        /// The column.
        column: String,
        /// How the two are compared.
        method: DistributionMethod,
        /// Where the comparison begins to fail.
        limit: f64,
        /// So many versions before the newest are what it is compared with.
        window: u32,
    },
    /// A metric of the table is where its own history lets expect it.
    Anomaly(Anomaly),
    /// A query returns no rows: each that it returns is a failure.
    Sql {
        /// The query; it may name any dataset.
        query: String,
    },
    /// A count or a sum equals that of another dataset.
    Reconcile {
        /// The column that is summed up; the rows are counted when absent.
        column: Option<String>,
        /// The other dataset.
        with: DatasetName,
        /// Its column; the same name when absent.
        with_column: Option<String>,
    },
}

/// Which parts of a dataset must be there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "expect", rename_all = "snake_case")]
pub enum Completeness {
    /// Each period from the first there is up to now has a partition.
    Partitions {
        /// The partition column: `ts_day`.
        column: String,
        /// How old a period is before its partition must be there.
        after: Duration,
        /// Periods before the newest that are looked at.
        periods: u32,
    },
    /// As many rows as a query counts.
    Count {
        /// A query that returns one number.
        query: String,
    },
}

/// How two distributions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DistributionMethod {
    /// Population stability index.
    Psi,
    /// The statistic of the Kolmogorov–Smirnov test for two samples.
    Ks,
    /// The Jensen–Shannon distance, base 2.
    JensenShannon,
    /// The Wasserstein distance in standard deviations of the history.
    Wasserstein,
    /// The p-value of the chi-square test of homogeneity; fails below the limit.
    ChiSquare,
    /// The change of the share of nulls.
    NullShare,
    /// The change of the number of different values, as a share of the history's.
    Cardinality,
}

impl DistributionMethod {
    /// The word in files and facts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Psi => "psi",
            Self::Ks => "ks",
            Self::JensenShannon => "jensen_shannon",
            Self::Wasserstein => "wasserstein",
            Self::ChiSquare => "chi_square",
            Self::NullShare => "null_share",
            Self::Cardinality => "cardinality",
        }
    }

    /// The limit that is meant when none is given.
    pub fn limit_default(self) -> f64 {
        match self {
            Self::Psi | Self::JensenShannon | Self::Ks | Self::Wasserstein => 0.1,
            Self::ChiSquare | Self::NullShare => 0.05,
            Self::Cardinality => 0.5,
        }
    }
}

/// A metric that is held against its own history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// What is measured.
    pub metric: AnomalyMetric,
    /// The column, for metrics of one.
    pub column: Option<String>,
    /// A partition column: each of its values has a history of its own.
    pub by: Option<String>,
    /// How long a period is that is measured at once.
    pub every: Duration,
    /// Which periods are like each other.
    pub season: Season,
    /// How many deviations (1.4826 times the median absolute deviation) from the median are still expected.
    pub sensitivity: f64,
    /// So many earlier periods must be known before it speaks.
    pub history_min: u32,
    /// A difference smaller than this is never an anomaly, so that small numbers do not alarm.
    pub floor: f64,
}

/// What an anomaly is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyMetric {
    /// Rows added in a period, from the log of the table.
    Rows,
    /// Bytes of an average file that was added, from the log of the table.
    FileBytes,
    /// Seconds between the last two commits that added rows, from the log of the table.
    CommitInterval,
    /// The share of nulls of a column in a version, from the profiles.
    NullShare,
    /// The mean of a column in a version, from the profiles.
    Mean,
    /// The number of different values of a column in a version, from the profiles.
    Distinct,
}

impl AnomalyMetric {
    /// The word in files and facts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::FileBytes => "file_bytes",
            Self::CommitInterval => "commit_interval",
            Self::NullShare => "null_share",
            Self::Mean => "mean",
            Self::Distinct => "distinct",
        }
    }

    /// Whether it is measured of one column.
    pub fn of_column(self) -> bool {
        matches!(self, Self::NullShare | Self::Mean | Self::Distinct)
    }
}

/// Which periods are like each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Season {
    /// All.
    #[default]
    None,
    /// Those of the same hour of the day.
    HourOfDay,
    /// Those of the same day of the week.
    DayOfWeek,
}

impl CheckRule {
    /// The word in files and facts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Required { .. } => "required",
            Self::Range { .. } => "range",
            Self::Length { .. } => "length",
            Self::Pattern { .. } => "pattern",
            Self::AcceptedValues { .. } => "accepted_values",
            Self::Type { .. } => "type",
            Self::Condition { .. } => "condition",
            Self::Unique { .. } => "unique",
            Self::Duplicates { .. } => "duplicates",
            Self::RowCount { .. } => "row_count",
            Self::Freshness { .. } => "freshness",
            Self::Completeness(_) => "completeness",
            Self::Referential { .. } => "referential",
            Self::Distribution { .. } => "distribution",
            Self::Anomaly(_) => "anomaly",
            Self::Sql { .. } => "sql",
            Self::Reconcile { .. } => "reconcile",
        }
    }

    /// Whether one row alone decides: such checks run while rows are landed, and their rows can go to quarantine.
    pub fn by_row(&self) -> bool {
        matches!(
            self,
            Self::Required { .. }
                | Self::Range { .. }
                | Self::Length { .. }
                | Self::Pattern { .. }
                | Self::AcceptedValues { .. }
                | Self::Type { .. }
                | Self::Condition { .. }
        )
    }

    /// Whether it is about time going by or about history, so that it means nothing of rows that are yet to be
    /// committed.
    pub fn over_time(&self) -> bool {
        matches!(
            self,
            Self::Freshness { .. } | Self::Completeness(_) | Self::Anomaly(_) | Self::Distribution { .. }
        )
    }

    /// The columns of the dataset that are named.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::Required { column }
            | Self::Range { column, .. }
            | Self::Length { column, .. }
            | Self::Pattern { column, .. }
            | Self::AcceptedValues { column, .. }
            | Self::Type { column, .. }
            | Self::Distribution { column, .. } => vec![column],
            Self::Freshness { column, .. } | Self::Reconcile { column, .. } => {
                column.as_deref().into_iter().collect()
            }
            Self::Anomaly(anomaly) => anomaly.column.as_deref().into_iter().collect(),
            Self::Unique { columns } | Self::Duplicates { columns } | Self::Referential { columns, .. } => {
                columns.iter().map(String::as_str).collect()
            }
            Self::Condition { .. } | Self::RowCount { .. } | Self::Completeness(_) | Self::Sql { .. } => {
                Vec::new()
            }
        }
    }
}

/// What evaluating a check gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not hold.
    Failed,
    /// It could not be told: a failure of its own kind.
    NotEvaluated,
    /// Nothing that it looks at had to be there yet: no failure, and no pass.
    NotDue,
}

impl Verdict {
    /// Whether something is wrong: with the data, or with the check.
    pub fn alarms(self) -> bool {
        matches!(self, Self::Failed | Self::NotEvaluated)
    }

    /// The word in facts and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotEvaluated => "not_evaluated",
            Self::NotDue => "not_due",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one check said of one state of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The dataset.
    pub dataset: DatasetName,
    /// The check's name.
    pub check: String,
    /// The word of its kind.
    pub kind: String,
    /// What part of the dataset, `country=de`; empty for all of it.
    pub dimension: String,
    /// What it said.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub message: String,
    /// What becomes of data that fails it.
    pub severity: CheckSeverity,
    /// The team that answers for it.
    pub owner: String,
    /// The number that was held against the bounds.
    pub metric: Option<f64>,
    /// The least that is expected.
    pub lower: Option<f64>,
    /// The most that is expected.
    pub upper: Option<f64>,
    /// Rows that were looked at.
    pub rows_checked: u64,
    /// Whether those were only rows that had just come, so that no other evaluation looks at them.
    #[serde(default)]
    pub new_rows: bool,
    /// Rows that fail.
    pub rows_failed: u64,
    /// Some of the values that fail; `***` for those of personal data.
    pub examples: Vec<String>,
    /// The version of the table; none for rows that were not committed.
    pub version: Option<i64>,
    /// The run whose rows were looked at.
    pub run: Option<RunId>,
    /// When.
    pub evaluated_at: DateTime<Utc>,
    /// How long it took, microseconds; checks of one scan share its time.
    pub duration_us: u64,
}

/// What the rows look like that one commit added to one partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The partition, `ts_day=2026-01-05`; empty for a table without partitions.
    pub partition: String,
    /// Its rows.
    pub rows: u64,
    /// Its columns, in the order of the table.
    pub columns: Vec<ColumnProfile>,
}

/// What the values of a column look like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    /// The column.
    pub column: String,
    /// Rows without a value.
    pub nulls: u64,
    /// Different values: exact up to about a thousand, within some percent beyond.
    pub distinct: u64,
    /// The least value, as text; none for personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// The greatest value, as text; none for personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// The mean of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Of numbers: 1, 5, 25, 50, 75, 95 and 99 percent lie below, estimated from a sample of the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<f64>,
    /// The least and the greatest length of texts, characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lengths: Option<(u64, u64)>,
    /// The values that come most often in the sample, each with its share of the rows; none for personal data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<(String, f64)>,
    /// A sample of the values, as numbers: kept where a check compares distributions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<f64>,
    /// How often values come in the sample: kept where a check compares distributions of texts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frequencies: Vec<(String, u64)>,
}

/// A profile with where it belongs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedProfile {
    /// The dataset.
    pub dataset: DatasetName,
    /// The version of its table that added the rows.
    pub version: i64,
    /// When that was.
    pub profiled_at: DateTime<Utc>,
    /// The profile.
    pub profile: Profile,
}
