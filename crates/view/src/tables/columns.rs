//! `system.columns`: the contract of every dataset.

use crate::row::system_row;

system_row! {
    /// One column of one dataset.
    "columns" => ColumnRow {
        /// The dataset.
        dataset: String,
        /// Its place among the columns, from 1.
        ordinal: u32,
        /// The name in SQL.
        name: String,
        /// The type, as in a contract.
        r#type: String,
        /// A record without it goes to quarantine.
        required: bool,
        /// No two rows share a value.
        unique_values: bool,
        /// It is part of the key.
        in_key: bool,
        /// The class of personal data.
        pii: Option<String>,
        /// The check that its values must pass.
        rule: Option<String>,
        /// Its name in the received record, where that differs.
        field: Option<String>,
        /// For people.
        description: Option<String>,
    }
}
