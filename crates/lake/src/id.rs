//! Which table of a dataset, and where it lies in the lake.

use std::fmt;

use flowline_model::{Dataset, DatasetName, Zone};

/// One table of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId {
    /// The dataset.
    pub dataset: DatasetName,
    /// Which of its tables.
    pub kind: TableKind,
}

/// Which table of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableKind {
    /// The rows, in the folder of the zone.
    Data(Zone),
    /// The records that did not fit.
    Quarantine,
}

impl TableId {
    /// The table of a dataset's rows.
    pub fn data(dataset: DatasetName, zone: Zone) -> Self {
        Self { dataset, kind: TableKind::Data(zone) }
    }

    /// The table of a dataset's rejected records.
    pub fn quarantine(dataset: DatasetName) -> Self {
        Self { dataset, kind: TableKind::Quarantine }
    }

    /// The table of this dataset's rows.
    pub fn of(dataset: &Dataset) -> Self {
        Self::data(dataset.name.clone(), dataset.zone)
    }

    /// The folder below the lake: `<zone>/<domain>/<name>`, or `quarantine/<domain>/<name>`.
    pub fn folder(&self) -> String {
        let zone = match self.kind {
            TableKind::Data(zone) => zone.as_str(),
            TableKind::Quarantine => "quarantine",
        };
        format!("{zone}/{}/{}", self.dataset.domain(), self.dataset.name())
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.folder())
    }
}
