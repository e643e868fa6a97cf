//! What is known of the rows that a part of a query gives: whether they belong to windows, and which columns tell.

use std::collections::BTreeSet;

use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;

use crate::windows::{WindowKind, WindowSpec};

/// What a column tells of the window that its row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Its end.
    End,
    /// Its last millisecond.
    Time,
    /// Its start; where all windows are as long as each other it tells the window as well.
    Start,
}

/// A column that tells the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carrier {
    pub column: usize,
    pub role: Role,
    pub spec: WindowSpec,
}

impl Carrier {
    /// Whether rows with the same value of the column belong to the same window.
    pub fn tells(&self) -> bool {
        self.role != Role::Start || matches!(self.spec.kind, WindowKind::Tumble | WindowKind::Hop)
    }

    /// How far before the end of the window the value of the column lies, microseconds.
    pub fn before_end(&self) -> i64 {
        match self.role {
            Role::End => 0,
            Role::Time => 1_000,
            Role::Start => self.spec.size,
        }
    }

    /// Whether the same value of both columns means windows of one end.
    pub fn agrees(&self, other: &Self) -> bool {
        self.tells()
            && other.tells()
            && self.role == other.role
            && (self.role != Role::Start || self.spec.size == other.spec.size)
    }
}

/// A column of a query's answer that says when its rows close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClosingColumn {
    pub name: String,
    /// How far before that time its value lies, microseconds.
    pub before: i64,
}

impl ClosingColumn {
    /// Its value in the rows that close at this time.
    pub fn at(&self, closing: i64) -> i64 {
        closing.saturating_sub(self.before)
    }
}

/// The rows that a part of a query gives.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Flow {
    /// Of tables that are looked things up in.
    Lookup,
    /// Of streams, one by one.
    Rows {
        /// The columns that are their event time.
        times: BTreeSet<usize>,
        /// The scans that they come from.
        scans: Vec<usize>,
    },
    /// Of windows: what is computed of one window depends on its rows alone.
    Windows {
        /// The columns that tell the window.
        carriers: Vec<Carrier>,
        /// The scans that they come from.
        scans: Vec<usize>,
    },
    /// Rows each of which is given once, when its time has come.
    Emitted {
        /// The columns that are the time of the row that it was made from; none when nothing tells it.
        times: BTreeSet<usize>,
        /// How long after that time it is given, microseconds.
        wait: i64,
    },
}

impl Flow {
    /// The same rows with their columns elsewhere: `place` says where a column is now, several times if it is.
    pub fn moved(self, place: impl Fn(usize) -> Vec<usize>) -> Self {
        match self {
            Self::Rows { times, scans } => {
                Self::Rows { times: times.into_iter().flat_map(place).collect(), scans }
            }
            Self::Windows { carriers, scans } => {
                let moved = carriers.into_iter().flat_map(|carrier| {
                    place(carrier.column).into_iter().map(move |column| Carrier { column, ..carrier })
                });
                Self::Windows { carriers: moved.collect(), scans }
            }
            Self::Emitted { times, wait } => {
                Self::Emitted { times: times.into_iter().flat_map(place).collect(), wait }
            }
            Self::Lookup => Self::Lookup,
        }
    }

    /// The carrier among these that an expression names.
    pub fn carrier<'a>(carriers: &'a [Carrier], expr: &Expr, schema: &DFSchema) -> Option<&'a Carrier> {
        let column = column_index(expr, schema)?;
        carriers.iter().find(|carrier| carrier.column == column)
    }
}

/// The column of a schema that an expression is, whatever it is called.
pub(super) fn column_index(expr: &Expr, schema: &DFSchema) -> Option<usize> {
    match expr {
        Expr::Alias(alias) => column_index(&alias.expr, schema),
        Expr::Column(column) => schema.maybe_index_of_column(column),
        _ => None,
    }
}
