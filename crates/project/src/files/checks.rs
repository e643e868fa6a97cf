//! `checks:` of `datasets/<domain>/<name>.yaml`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::defaults;
use crate::value::{
    ColumnName, DatasetText, DurationText, Items, RegexText, ScalarText, ShareText, SqlExpression, TypeText,
    Written,
};

/// What every check has, whatever its kind.
pub(crate) struct CommonKeys<'a> {
    pub name: Option<&'a str>,
    pub description: Option<&'a str>,
    pub owner: Option<&'a str>,
    pub severity: Option<SeverityWord>,
    pub tolerance: Option<f64>,
}

/// Declares the kinds of checks: an enumeration told apart by `kind`, whose variants all have the common keys.
macro_rules! check_kinds {
    ($($(#[$meta:meta])* $kind:ident $(($tolerance:ident))? {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    })*) => {
        /// A rule about the data of the dataset.
        #[derive(Deserialize, JsonSchema)]
        #[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
        pub(crate) enum CheckFile {
            $($(#[$meta])* $kind {
                $($(#[$field_meta])* $field: $type,)*
                $(
                    /// The share of the rows that may fail.
                    #[schemars(extend("default" = "0%"))]
                    $tolerance: Option<Written<ShareText>>,
                )?
                /// What becomes of data that fails it.
                #[schemars(extend("default" = "warn"))]
                severity: Option<SeverityWord>,
                /// The team that answers for it; the owner of the dataset when absent.
                owner: Option<String>,
                /// What it is called in facts and findings; its kind and its columns when absent.
                #[schemars(length(min = 1))]
                name: Option<String>,
                /// Why it must hold.
                description: Option<String>,
            },)*
        }

        impl CheckFile {
            /// What every check has.
            pub fn common(&self) -> CommonKeys<'_> {
                match self {
                    $(Self::$kind { severity, owner, name, description, $($tolerance,)? .. } => CommonKeys {
                        name: name.as_deref(),
                        description: description.as_deref(),
                        owner: owner.as_deref(),
                        severity: *severity,
                        tolerance: check_kinds!(@tolerance $($tolerance)?),
                    },)*
                }
            }
        }
    };
    (@tolerance) => { None };
    (@tolerance $tolerance:ident) => { $tolerance.as_ref().map(|share| share.0) };
}

check_kinds! {
    /// The column has a value in every row.
    Required(tolerance) {
        /// The column.
        column: Written<ColumnName>,
    }
    /// The values lie within bounds, both included. A row without a value passes.
    Range(tolerance) {
        /// The column: numbers, dates, timestamps or texts.
        column: Written<ColumnName>,
        /// The least value.
        min: Option<Written<ScalarText>>,
        /// The greatest value.
        max: Option<Written<ScalarText>>,
    }
    /// The texts have so many characters. A row without a value passes.
    Length(tolerance) {
        /// The column, a string.
        column: Written<ColumnName>,
        /// At least so many.
        min: Option<u64>,
        /// At most so many.
        max: Option<u64>,
    }
    /// The texts match a regular expression. A row without a value passes.
    Pattern(tolerance) {
        /// The column, a string.
        column: Written<ColumnName>,
        /// The regular expression; it is looked for anywhere in the text unless it is anchored by `^` and `$`.
        pattern: Written<RegexText>,
    }
    /// The values are among those listed. A row without a value passes.
    AcceptedValues(tolerance) {
        /// The column.
        column: Written<ColumnName>,
        /// The values.
        #[schemars(length(min = 1))]
        values: Items<Written<ScalarText>>,
    }
    /// The texts can be read as a type. A row without a value passes.
    Type(tolerance) {
        /// The column, a string.
        column: Written<ColumnName>,
        /// The type.
        is: Written<TypeText>,
    }
    /// A condition holds for every row; a row for which it is null passes.
    Condition(tolerance) {
        /// The condition in SQL, over the columns of one row.
        expression: Written<SqlExpression>,
    }
    /// No two rows of the table share the values of these columns. A row that lacks one of them does not count.
    Unique {
        /// The columns.
        #[schemars(length(min = 1))]
        columns: Items<Written<ColumnName>>,
    }
    /// Rows do not repeat others, beyond the share that `tolerance` allows. No value counts as a value.
    Duplicates(tolerance) {
        /// The columns that make a row; all of the contract when absent.
        #[serde(default)]
        columns: Items<Written<ColumnName>>,
    }
    /// The table has so many rows. Read from its log, without a scan.
    RowCount {
        /// At least so many.
        min: Option<u64>,
        /// At most so many.
        max: Option<u64>,
    }
    /// The newest row is at most this old.
    Freshness {
        /// How old.
        within: Written<DurationText>,
        /// The timestamp or date that says when; the last commit that changed rows when absent, without a scan.
        column: Option<Written<ColumnName>>,
    }
    /// Nothing is missing: every expected partition is there, or as many rows as the source says. One of `partition`
    /// and `expected_rows` must be there.
    Completeness(tolerance) {
        /// The partition column of days, months or years (`ts_day` for `day(ts)`): each period between the oldest and
        /// now must have a partition. Read from the table's log, without a scan.
        partition: Option<Written<PartitionColumn>>,
        /// With `partition`: how old a period is before its partition must be there.
        #[schemars(extend("default" = defaults::COMPLETE_AFTER))]
        after: Option<Written<DurationText>>,
        /// With `partition`: so many periods before now are looked at.
        #[schemars(range(min = 1, max = 10_000), extend("default" = defaults::COMPLETE_PERIODS))]
        periods: Option<u32>,
        /// A query that returns one number: the rows that there should be, as the source counts them.
        expected_rows: Option<String>,
    }
    /// The values of these columns are among those of another dataset. A row that lacks one of them passes.
    Referential(tolerance) {
        /// The columns.
        #[schemars(length(min = 1))]
        columns: Items<Written<ColumnName>>,
        /// The other dataset.
        to: Written<DatasetText>,
        /// Its columns, in the same order; the same names when absent.
        #[serde(default)]
        to_columns: Items<Written<ColumnName>>,
    }
    /// The values that the newest version added are distributed as those of the versions before it. Compares profiles,
    /// without a scan.
    Distribution {
        /// The column.
        column: Written<ColumnName>,
        /// How the two are compared.
        method: MethodWord,
        /// Where it begins to fail: above this, or below it for the p-value of `chi_square`. Each method has its usual
        /// limit when absent.
        #[schemars(range(min = 0))]
        limit: Option<f64>,
        /// So many versions before the newest are what it is compared with.
        #[schemars(range(min = 1, max = 1_000), extend("default" = defaults::DISTRIBUTION_WINDOW))]
        window: Option<u32>,
    }
    /// A metric of the table is where its own history lets expect it: within so many deviations of the median of the
    /// periods that are like it.
    Anomaly {
        /// What is measured.
        metric: MetricWord,
        /// The column, for `null_share`, `mean` and `distinct`.
        column: Option<Written<ColumnName>>,
        /// A partition column: each of its values has a history of its own. For `rows` and `file_bytes`.
        by: Option<Written<PartitionColumn>>,
        /// How long a period is.
        #[schemars(extend("default" = defaults::ANOMALY_EVERY))]
        every: Option<Written<DurationText>>,
        /// Which periods are like each other.
        #[schemars(extend("default" = "none"))]
        season: Option<SeasonWord>,
        /// How many deviations (1.4826 times the median absolute deviation) are still expected.
        #[schemars(extend("default" = defaults::ANOMALY_SENSITIVITY))]
        sensitivity: Option<f64>,
        /// So many earlier periods that are like it must be known before it speaks; until then it is not evaluated.
        #[schemars(range(min = 3, max = 1_000), extend("default" = defaults::ANOMALY_HISTORY_MIN))]
        history_min: Option<u32>,
        /// A smaller difference from the median is never an anomaly, so that small numbers do not alarm: 100 when absent,
        /// 0.01 for `null_share`, 0 for `mean`.
        #[schemars(range(min = 0))]
        floor: Option<f64>,
    }
    /// A query returns no rows: each row that it returns is a failure.
    Sql {
        /// The query; it may name every dataset of the project.
        #[schemars(length(min = 1))]
        query: String,
    }
    /// The rows, or the sum of a column, equal those of another dataset, within `tolerance` of it.
    Reconcile(tolerance) {
        /// The other dataset.
        with: Written<DatasetText>,
        /// The column that is summed up; rows are counted when absent.
        column: Option<Written<ColumnName>>,
        /// The column of the other dataset; the same name when absent.
        with_column: Option<Written<ColumnName>>,
    }
}

/// The name of a partition column, which may be derived: `ts_day`.
pub(crate) type PartitionColumn = ColumnName;

/// What becomes of data that fails a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SeverityWord {
    /// It is committed, and the failure is on record.
    Warn,
    /// The rows that fail go to quarantine and the others are committed; for kinds that one row alone decides.
    QuarantineRows,
    /// Nothing is committed: the last good version is served on.
    Block,
}

/// How two distributions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MethodWord {
    /// Population stability index; the usual limit is 0.1.
    Psi,
    /// The statistic of Kolmogorov and Smirnov for two samples, of numbers; the usual limit is 0.1.
    Ks,
    /// The Jensen–Shannon distance, base 2; the usual limit is 0.1.
    JensenShannon,
    /// The Wasserstein distance in standard deviations of the history, of numbers; the usual limit is 0.1.
    Wasserstein,
    /// The p-value of the chi-square test; the usual limit is 0.05.
    ChiSquare,
    /// The change of the share of rows without a value; the usual limit is 0.05.
    NullShare,
    /// The change of the number of different values, as a share of what it was; the usual limit is 0.5.
    Cardinality,
}

/// What an anomaly is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MetricWord {
    /// Rows added in a period. From the table's log, without a scan.
    Rows,
    /// Bytes of an average file that was added in a period. From the table's log, without a scan.
    FileBytes,
    /// Seconds between commits that add rows. From the table's log, without a scan.
    CommitInterval,
    /// The share of rows without a value in a version. From the profiles.
    NullShare,
    /// The mean of a column in a version. From the profiles.
    Mean,
    /// The number of different values of a column in a version. From the profiles.
    Distinct,
}

/// Which periods are like each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SeasonWord {
    /// All.
    None,
    /// Those of the same hour of the day (UTC).
    HourOfDay,
    /// Those of the same day of the week (UTC).
    DayOfWeek,
}
