//! Facts: what happened. The ledger keeps them, `flowline-view` shows them.

use chrono::{DateTime, Utc};
use flowline_base::{ChangeId, ErrorKind, RunId};
use serde::{Deserialize, Serialize};

use crate::DatasetName;

/// A version of a project that was put to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// [`crate::Plan::version`].
    pub version: String,
    /// The environment.
    pub environment: String,
    /// When.
    pub deployed_at: DateTime<Utc>,
}

/// What kind of hop a run executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunKind {
    /// Log or files → table.
    Land,
    /// Tables → table.
    Transform,
    /// Quarantined rows → table.
    Replay,
    /// Small files → fewer files; no row changes.
    Compact,
    /// Quarantined rows → nothing.
    Discard,
}

impl RunKind {
    /// The word in facts and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Land => "land",
            Self::Transform => "transform",
            Self::Replay => "replay",
            Self::Compact => "compact",
            Self::Discard => "discard",
        }
    }
}

/// How a run or an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Under way.
    Running,
    /// Committed, or found that there was nothing to do.
    Succeeded,
    /// Given up; nothing of it is in the table.
    Failed,
    /// Not wanted any more before its commit, since its node was told to end or its part went to another node; no failure,
    /// and nothing of it is in the table. Whoever goes on does it again.
    Cancelled,
}

impl Outcome {
    /// The word in facts and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One input of a run and how far of it the run read: `[from, to)` in log offsets, or `(from, to]` in table versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRange {
    /// `log/0` for a log partition, a dataset's name for a table, the path for a file, `quarantine` for a replay.
    pub input: String,
    /// Where the run began.
    pub from: i64,
    /// Where the next run begins.
    pub to: i64,
}

/// How many records of a run went where. All that were read are in exactly one of the others, unless the hop
/// reshapes (aggregates, joins), and then `reshaped` says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records read from the inputs.
    pub read: u64,
    /// Rows written to the table.
    pub written: u64,
    /// Records that went to quarantine.
    pub quarantined: u64,
    /// Records whose key was seen before.
    pub duplicate: u64,
    /// Records behind the watermark that were not written.
    pub late: u64,
    /// Records that the SQL's own conditions left out.
    pub filtered: u64,
    /// The SQL makes other rows out of the rows it reads, so that rows in and rows out cannot be set against each other.
    pub reshaped: bool,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes of the files written.
    pub bytes_written: u64,
}

/// Whether every record that was read is accounted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "missing")]
pub enum Balance {
    /// `read = written + quarantined + duplicate + late + filtered`.
    Balanced,
    /// So many records were read and are nowhere (negative: are somewhere and were never read).
    Unbalanced(i64),
    /// The hop reshapes; the equation does not apply.
    Reshaped,
}

impl Counts {
    /// Holds the counts against the equation.
    pub fn balance(&self) -> Balance {
        if self.reshaped {
            return Balance::Reshaped;
        }
        let known = self.written + self.quarantined + self.duplicate + self.late + self.filtered;
        match self.read as i64 - known as i64 {
            0 => Balance::Balanced,
            missing => Balance::Unbalanced(missing),
        }
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.written += other.written;
        self.quarantined += other.quarantined;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.filtered += other.filtered;
        self.reshaped |= other.reshaped;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
    }
}

/// One execution of a hop over a known input range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its identifier; sorts by start.
    pub id: RunId,
    /// The dataset that the hop writes; hops are named after it.
    pub hop: DatasetName,
    /// What kind of hop.
    pub kind: RunKind,
    /// How it stands.
    pub outcome: Outcome,
    /// Why it was started: `new-records`, `new-version`, `replay`, `first-run`, `sql-changed` …
    pub trigger: String,
    /// What it read.
    pub inputs: Vec<InputRange>,
    /// How many records went where.
    pub counts: Counts,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The attempt that ended it, from 1.
    pub attempts: u32,
    /// What it committed, when it committed.
    pub commit: Option<Commit>,
    /// Why it failed.
    pub error: Option<RunError>,
    /// The trace that led to it: the first request whose records it landed.
    pub trace_id: Option<String>,
}

/// A commit to a dataset's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The dataset.
    pub dataset: DatasetName,
    /// The table's version after it.
    pub version: i64,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// Time from the start of the commit until it was durable, microseconds.
    pub latency_us: u64,
    /// The newest event time among its rows.
    pub event_time_max: Option<DateTime<Utc>>,
    /// The oldest receipt among its records; commit time less this is the latency of landing.
    pub received_at_min: Option<DateTime<Utc>>,
}

/// Why a run or an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// What to do about it.
    pub kind: ErrorKind,
    /// What happened and where, the whole chain.
    pub message: String,
}

/// One try of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The run.
    pub run: RunId,
    /// From 1.
    pub number: u32,
    /// How it stands.
    pub outcome: Outcome,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error: Option<RunError>,
}

/// How far a hop has read one of its inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The hop.
    pub hop: DatasetName,
    /// See [`InputRange::input`].
    pub input: String,
    /// Where the first run began.
    pub first: i64,
    /// Where the next run begins.
    pub next: i64,
    /// What its runs read of it together: the sum of `to - from`. Less than `next - first` when some of it was
    /// skipped, more when some of it was read twice.
    #[serde(default)]
    pub covered: i64,
    /// When it last moved.
    pub moved_at: DateTime<Utc>,
}

impl Position {
    /// Whether the input is a partition of the log: then every offset is one record, and a gap is a loss.
    pub fn of_log(&self) -> bool {
        self.input.starts_with("log/")
    }

    /// Offsets of a log partition that no run read (negative: that were read twice); zero for other inputs, whose
    /// versions need not all be read.
    pub fn gap(&self) -> i64 {
        if self.of_log() { self.next - self.first - self.covered } else { 0 }
    }
}

/// Everything a hop has counted since its first run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The hop.
    pub hop: DatasetName,
    /// The sums.
    pub counts: Counts,
    /// Of `counts.read`, the records that landings read from the log.
    #[serde(default)]
    pub read_from_log: u64,
    /// The offsets that its positions in the log have passed (`next - first`, summed): what `read_from_log` must be.
    #[serde(default)]
    pub log_span: i64,
    /// Of `counts.read`, the records that replays took out of quarantine.
    #[serde(default)]
    pub replayed: u64,
    /// Runs that are in them.
    pub runs: u64,
    /// When a run last added to them.
    pub updated_at: DateTime<Utc>,
}

impl Totals {
    /// Records whose positions were passed and that no landing counted as read (negative: counted twice).
    pub fn gap(&self) -> i64 {
        self.log_span - self.read_from_log as i64
    }

    /// The sums with every record counted once: what a replay takes out of quarantine was read before and stands where
    /// it went then, so `quarantined` is what lies there now.
    pub fn counted_once(&self) -> Counts {
        Counts {
            read: self.counts.read.saturating_sub(self.replayed),
            quarantined: self.counts.quarantined.saturating_sub(self.replayed),
            ..self.counts
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warning,
    /// Data is missing or wrong.
    Error,
}

impl Severity {
    /// The word in facts and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A record lacks a required column.
    Missing,
    /// A value is not of the column's type.
    WrongType,
    /// A value breaks a check.
    FailedRule,
    /// A record cannot be read at all.
    Unparsable,
    /// A row of a stream came when everything that it counts towards was closed.
    Late,
    /// A file has no bytes or no rows.
    EmptyFile,
    /// A file cannot be read.
    UnreadableFile,
    /// A file lies in the folder and matches no pattern.
    UnmatchedFile,
    /// A field is not in the contract.
    UnknownField,
    /// Records lack a field that those before them had, and that they may lack.
    MissingField,
    /// More values are null than were.
    NullShare,
    /// Values come as another type and are converted.
    CoercedType,
    /// Numbers are all larger or smaller by one factor than they were, or by about the same.
    ChangedUnit,
    /// Over days numbers or the share of nulls have moved, however little from one hour to the next.
    SlowChange,
    /// Texts are none of the few that a column had.
    ChangedValues,
    /// Records were read that are in none of the counts.
    Imbalance,
    /// Positions were skipped.
    Gap,
    /// Stored bytes are not what was written.
    Corruption,
    /// A check of the dataset failed.
    FailedCheck,
    /// A check could not be evaluated.
    CheckFailedToRun,
    /// Keys were forgotten before their horizon, for want of memory: duplicates of them are not found.
    KeysForgotten,
    /// A partition of a topic cannot be read now.
    PartitionDown,
    /// Partitions of a topic are gone that were landed.
    PartitionsLost,
    /// Another topic has taken the place of the one that was landed.
    TopicReplaced,
    /// Rows came behind the watermark of a stream.
    BehindWatermark,
    /// Rows have times ahead of the clock.
    AheadOfClock,
}

impl FindingKind {
    /// Why records are in quarantine: the words of `_reason`. Those of drift can have become something else as well
    /// ([`Drift::fate`]).
    pub const REASONS: [Self; 11] = [
        Self::Missing,
        Self::WrongType,
        Self::FailedRule,
        Self::Unparsable,
        Self::Late,
        Self::UnknownField,
        Self::MissingField,
        Self::NullShare,
        Self::CoercedType,
        Self::ChangedUnit,
        Self::ChangedValues,
    ];

    /// The reason of this word in `_reason`.
    ///
    /// # Errors
    /// What to say of a word that is none.
    pub fn reason(word: &str) -> Result<Self, String> {
        let known = Self::REASONS.into_iter().find(|reason| reason.as_str() == word);
        known.ok_or_else(|| {
            let words = Self::REASONS.map(|reason| format!("`{}`", reason.as_str())).join(", ");
            format!("`{word}` is no reason of the quarantine: use one of {words}")
        })
    }

    /// The word in facts and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::WrongType => "wrong-type",
            Self::FailedRule => "failed-rule",
            Self::Unparsable => "unparsable",
            Self::Late => "late",
            Self::EmptyFile => "empty-file",
            Self::UnreadableFile => "unreadable-file",
            Self::UnmatchedFile => "unmatched-file",
            Self::UnknownField => "unknown-field",
            Self::MissingField => "missing-field",
            Self::NullShare => "null-share",
            Self::CoercedType => "coerced-type",
            Self::ChangedUnit => "changed-unit",
            Self::SlowChange => "slow-change",
            Self::ChangedValues => "changed-values",
            Self::Imbalance => "imbalance",
            Self::Gap => "gap",
            Self::Corruption => "corruption",
            Self::FailedCheck => "failed-check",
            Self::CheckFailedToRun => "check-failed-to-run",
            Self::KeysForgotten => "keys-forgotten",
            Self::PartitionDown => "partition-down",
            Self::PartitionsLost => "partitions-lost",
            Self::TopicReplaced => "topic-replaced",
            Self::BehindWatermark => "behind-watermark",
            Self::AheadOfClock => "ahead-of-clock",
        }
    }
}

/// One thing that was found about a dataset. The same kind and subject again updates the one that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The dataset.
    pub dataset: DatasetName,
    /// What.
    pub kind: FindingKind,
    /// How bad.
    pub severity: Severity,
    /// What it is about: a column, a file, a partition.
    pub subject: String,
    /// What happened, and what to do next.
    pub message: String,
    /// Records or files concerned.
    pub count: u64,
    /// `log/0@17`: the first record concerned.
    pub first_position: Option<String>,
    /// The last record concerned.
    pub last_position: Option<String>,
    /// The run that found it.
    pub run: Option<RunId>,
    /// When it was found.
    pub found_at: DateTime<Utc>,
    /// Of drift: who sends it, what it looks like, and what became of the records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Box<Drift>>,
}

/// How records depart from their contract, or from the records before them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Where the records come from: `http`, `kafka`, the path of a file; and the trace of the request that brought the
    /// first of them, where there was one.
    pub producer: String,
    /// Some of the values; only their shape where they may be personal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// What became of the records.
    pub fate: Fate,
    /// The version of the contract that the records fit best, where it is another one than the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closest_version: Option<u32>,
    /// The column or field that is suspected to be the same under another name, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed: Option<Rename>,
}

/// Two names that are suspected to be of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    /// The field that records had.
    pub from: String,
    /// The field that they have.
    pub to: String,
    /// What speaks for it: `all 120 values are of its type, 96% of them were seen in it`.
    pub because: String,
}

/// What became of records that drifted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// They are in the table.
    #[default]
    Accepted,
    /// They are in the table, and what the contract does not know of them is in `_extra`.
    KeptInExtra,
    /// They are in the table, their values converted.
    Coerced,
    /// They are in quarantine because of it.
    Quarantined,
    /// They are in quarantine for another reason: they break a rule of the contract as well.
    Rejected,
    /// They wait where they came from; nothing is landed behind them.
    Held,
}

impl Fate {
    /// The word in facts and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::KeptInExtra => "kept-in-extra",
            Self::Coerced => "coerced",
            Self::Quarantined => "quarantined",
            Self::Rejected => "rejected",
            Self::Held => "held",
        }
    }
}

/// One change of the schema registry, as it is stored. Together they are the registry; each is also the record of who
/// did what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryChange {
    /// Its place: 1 for the first one, then one more each.
    pub revision: i64,
    /// What tells it from others that were to have the same place.
    pub id: ChangeId,
    /// When.
    pub changed_at: DateTime<Utc>,
    /// Whose token it was; empty where none is asked for.
    pub actor: String,
    /// The subject it is about; empty when all.
    pub subject: String,
    /// What was done, in a word: `registered`, `deleted`, `configured` …
    pub kind: String,
    /// The change itself, as JSON.
    pub document: String,
}
