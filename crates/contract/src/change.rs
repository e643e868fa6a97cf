//! One difference between two contracts, and in which directions it is compatible.

use std::fmt;

use serde::Serialize;

/// One difference between two contracts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What changed.
    pub kind: ChangeKind,
    /// The column, or the path of a field within one (`address.street`); none when it is about the rows as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// How it was, as it is written in a contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The same in a sentence.
    pub message: String,
    /// Whoever reads with the new contract can read rows of the old one.
    pub backward: bool,
    /// Whoever reads with the old contract can read rows of the new one.
    pub forward: bool,
    /// Records that landed under the old contract land under the new one.
    pub producers: bool,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// There is a dataset that was not.
    DatasetAdded,
    /// A dataset is gone.
    DatasetRemoved,
    /// There is a column that was not.
    ColumnAdded,
    /// A column is gone.
    ColumnRemoved,
    /// The type of a column.
    Type,
    /// Whether a column may be null.
    Required,
    /// Whether values of a column may repeat.
    Unique,
    /// The condition that values of a column meet, or a check of the dataset.
    Check,
    /// The class of personal data of a column.
    Pii,
    /// The name of a column in the received record.
    Field,
    /// How dates are written in the received record.
    Format,
    /// What is said of a column for people.
    Description,
    /// The columns stand in another order.
    Order,
    /// What identifies a record.
    Key,
    /// The rule that changes must follow.
    Compatibility,
    /// What readers may rely on over time.
    Slo,
}

/// In which directions a change is compatible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compatibility {
    /// In both.
    Full,
    /// New readers read old rows; old readers do not read new ones.
    Backward,
    /// Old readers read new rows; new readers do not read old ones.
    Forward,
    /// In neither.
    Breaking,
}

impl Compatibility {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Breaking => "breaking",
        }
    }

    /// The compatibility of two directions.
    pub fn of(backward: bool, forward: bool) -> Self {
        match (backward, forward) {
            (true, true) => Self::Full,
            (true, false) => Self::Backward,
            (false, true) => Self::Forward,
            (false, false) => Self::Breaking,
        }
    }

    /// Whether a rule (`none`, `backward`, `forward`, `full`) lets it pass; without a rule anything does.
    pub fn allowed_by(self, rule: Option<&str>) -> bool {
        match rule {
            Some("backward") => matches!(self, Self::Full | Self::Backward),
            Some("forward") => matches!(self, Self::Full | Self::Forward),
            Some("full") => self == Self::Full,
            _ => true,
        }
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Change {
    /// In which directions it is compatible.
    pub fn compatibility(&self) -> Compatibility {
        Compatibility::of(self.backward, self.forward)
    }

    /// A change that is compatible in every respect.
    pub(crate) fn new(kind: ChangeKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            column: None,
            before: None,
            after: None,
            message: message.into(),
            backward: true,
            forward: true,
            producers: true,
        }
    }

    pub(crate) fn column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }

    pub(crate) fn values(mut self, before: Option<String>, after: Option<String>) -> Self {
        (self.before, self.after) = (before, after);
        self
    }

    /// What was promised of rows is promised no longer: old readers cannot rely on it.
    pub(crate) fn loosens(mut self) -> Self {
        self.forward = false;
        self
    }

    /// More is promised of rows: those that are there already, and records that are sent as before, may not keep it.
    pub(crate) fn tightens(mut self) -> Self {
        (self.backward, self.producers) = (false, false);
        self
    }
}
