//! Contracts in one line each.

use flowline_model::{Column, Contract};

/// A contract of columns `name type`, `!` behind the type for required ones, separated by `;`.
pub fn contract(columns: &str) -> Contract {
    let column = |text: &str| {
        let (name, kind) = text.trim().split_once(' ').unwrap();
        let column = Column::new(name, kind.trim_end_matches('!').parse().unwrap());
        if kind.ends_with('!') { column.required() } else { column }
    };
    let columns = columns.split(';').filter(|text| !text.trim().is_empty()).map(column).collect();
    Contract { columns, ..Contract::default() }
}
