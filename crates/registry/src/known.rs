//! The fields that whoever reads the records asks for.

use std::collections::BTreeMap;

use flowline_model::{Column, ColumnType};

/// Which fields are asked for. Newer names and defaults of fields count only where they are; what nobody asks for stays
/// as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownFields {
    /// Whatever there is.
    All,
    /// These, each with what is asked for in it.
    Named(BTreeMap<String, KnownFields>),
}

static NONE: KnownFields = KnownFields::Named(BTreeMap::new());

/// What is asked for where everything is.
pub(crate) static ALL: KnownFields = KnownFields::All;

impl KnownFields {
    /// What a contract asks for.
    pub fn of_columns(columns: &[Column]) -> Self {
        let fields = columns.iter().map(|column| {
            let inside = Self::of_type(&column.data_type);
            (column.field_name().to_owned(), inside)
        });
        Self::Named(fields.collect())
    }

    fn of_type(kind: &ColumnType) -> Self {
        match kind {
            ColumnType::List(items) => Self::of_type(items),
            ColumnType::Struct(fields) => {
                Self::Named(fields.iter().map(|(name, kind)| (name.clone(), Self::of_type(kind))).collect())
            }
            _ => Self::All,
        }
    }

    /// Whether a field is asked for.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(fields) => fields.contains_key(name),
        }
    }

    /// What is asked for in a field.
    pub(crate) fn inside(&self, name: &str) -> &Self {
        match self {
            Self::All => self,
            Self::Named(fields) => fields.get(name).unwrap_or(&NONE),
        }
    }

    /// What a field is called that has a newer name: the one that is asked for, the newer one when neither is.
    pub(crate) fn choose<'a>(&self, newer: &'a str, older: &'a str) -> &'a str {
        if !self.has(newer) && self.has(older) { older } else { newer }
    }
}
