//! The columns that a dataset declares held against those that its SQL gives.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Query, SelectItem, SetExpr, Spanned};
use flowline_lake::arrow_types;
use flowline_model::{Column, ColumnType, Dataset, PartitionTransform};

use super::nullness::not_null;
use crate::problem::{Fault, Place};
use crate::sql::{nearest, place_of};

/// The columns of a SQL dataset: as declared, or of its SQL where none are; with what does not fit.
pub(super) fn columns(dataset: &Dataset, query: &Query, plan: &LogicalPlan) -> (Vec<Column>, Vec<Fault>) {
    let given = Given::of(query, plan);
    let mut faults = given.faults(dataset);
    if dataset.columns.is_empty() {
        faults.extend(named_columns(dataset, &given.columns));
        return (given.columns, faults);
    }
    for declared in &dataset.columns {
        match given.columns.iter().position(|column| column.name == declared.name) {
            Some(index) => faults.extend(compare(declared, &given.columns[index], given.place(index))),
            None => faults.push(not_given(declared, &given)),
        }
    }
    for (index, column) in given.columns.iter().enumerate() {
        if dataset.column(&column.name).is_none() {
            let fault = Fault::new(
                given.place(index),
                format!("the SQL gives a column `{}` that is not declared", column.name),
            );
            faults.push(fault.hint("declare it under `columns`, or leave it out of the SELECT"));
        }
    }
    (dataset.columns.clone(), faults)
}

/// The columns that the dataset's settings name must be among those that its SQL gives. (Where columns are declared,
/// the settings are held against those when the project is read.)
fn named_columns(dataset: &Dataset, columns: &[Column]) -> Vec<Fault> {
    let key = dataset.key.iter().map(|name| ("key", name));
    let partitions = dataset.partition_by.iter().map(|field| ("partition_by", &field.column));
    // Of a stream it is a column of the inputs.
    let own_time = dataset.event_time.as_ref().filter(|_| !dataset.streams());
    let event_time = own_time.iter().map(|event_time| ("event_time", &event_time.column));
    let mut faults = Vec::new();
    for (setting, name) in key.chain(partitions).chain(event_time) {
        if columns.iter().any(|column| column.name == *name) {
            continue;
        }
        let fault = Fault::new(
            Place::START,
            format!("`{setting}` names a column `{name}`, which the SQL does not give"),
        );
        faults.push(match nearest(name, columns.iter().map(|column| column.name.as_str())) {
            Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
            None => fault.hint("select it"),
        });
    }
    faults.extend(derived_columns(dataset, columns));
    faults
}

/// A partition column that is derived from a date or an instant needs one, and a name of its own.
fn derived_columns(dataset: &Dataset, columns: &[Column]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for field in dataset.partition_by.iter().filter(|field| field.transform != PartitionTransform::Identity) {
        let of = |name: &str| columns.iter().find(|column| column.name == name);
        let timed = |column: &Column| matches!(column.data_type, ColumnType::Date | ColumnType::Timestamp);
        if let Some(column) = of(&field.column).filter(|column| !timed(column)) {
            let message = format!(
                "`partition_by` needs a date or a timestamp, but `{}` is `{}`",
                column.name, column.data_type
            );
            faults.push(Fault::new(Place::START, message).hint("cast it in the SQL"));
        }
        if of(&field.partition_column()).is_some() {
            let message = format!(
                "the SQL gives a column `{}`, the name of the partition column",
                field.partition_column()
            );
            faults.push(
                Fault::new(Place::START, message).hint("give it another name, or partition by it directly"),
            );
        }
    }
    faults
}

/// The columns that the SQL gives, and where.
struct Given {
    columns: Vec<Column>,
    types: Vec<DataType>,
    /// Of each item of the SELECT, as long as each of them is one column.
    places: Vec<Place>,
}

impl Given {
    fn of(query: &Query, plan: &LogicalPlan) -> Self {
        let schema = plan.schema();
        let proven = not_null(plan);
        let columns = schema.fields().iter().zip(proven).map(|(field, proven)| {
            let mut column = arrow_types::column_of(field);
            column.required |= proven;
            column
        });
        let types = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        Self { columns: columns.collect(), types, places: places(query) }
    }

    fn place(&self, index: usize) -> Place {
        self.places.get(index).copied().unwrap_or(Place::START)
    }

    /// What keeps these from being the columns of a table, whatever is declared.
    fn faults(&self, dataset: &Dataset) -> Vec<Fault> {
        let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
        for (index, column) in self.columns.iter().enumerate() {
            let (name, place) = (&column.name, self.place(index));
            if !seen.insert(name) {
                let fault = Fault::new(place, format!("two columns are named `{name}`"));
                faults.push(fault.hint("give one of them another name with `as`"));
            } else if dataset.materialized() && !name_can_be_kept(name) {
                let fault = Fault::new(
                    place,
                    format!("column {} is named `{name}`, which no table can keep", index + 1),
                );
                faults.push(fault.hint("give it a name with `as`"));
            } else if !type_can_be_kept(&self.types[index]) {
                let fault = Fault::new(
                    place,
                    format!("column `{name}` is of the type {}, which no table can keep", self.types[index]),
                );
                faults.push(fault.hint("take it apart into columns, or cast it to text"));
            }
        }
        faults
    }
}

/// The characters that Parquet and Delta do not take in a column's name.
fn name_can_be_kept(name: &str) -> bool {
    !name.is_empty() && !name.contains([' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='])
}

fn type_can_be_kept(kind: &DataType) -> bool {
    match kind {
        DataType::Map(..) | DataType::Union(..) | DataType::Interval(_) => false,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            type_can_be_kept(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().all(|field| type_can_be_kept(field.data_type())),
        _ => true,
    }
}

/// Where each column of the outermost SELECT stands, up to the first wildcard.
fn places(query: &Query) -> Vec<Place> {
    let mut body = query.body.as_ref();
    let select = loop {
        match body {
            SetExpr::Select(select) => break select,
            SetExpr::Query(query) => body = query.body.as_ref(),
            SetExpr::SetOperation { left, .. } => body = left.as_ref(),
            _ => return Vec::new(),
        }
    };
    let one_column =
        |item: &&SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    select.projection.iter().take_while(one_column).map_while(|item| place_of(item.span())).collect()
}

fn not_given(declared: &Column, given: &Given) -> Fault {
    let name = &declared.name;
    let fault =
        Fault::new(Place::START, format!("column `{name}` is declared, but the SQL does not give it"));
    match nearest(name, given.columns.iter().map(|column| column.name.as_str())) {
        Some(like) => fault.hint(format!("it gives `{like}`: rename one of them")),
        None => fault.hint("select it, or remove it from `columns`"),
    }
}

fn compare(declared: &Column, given: &Column, place: Place) -> Option<Fault> {
    let name = &declared.name;
    if !fits(&given.data_type, &declared.data_type) {
        let (wanted, has) = (&declared.data_type, &given.data_type);
        let fault =
            Fault::new(place, format!("column `{name}` is declared `{wanted}`, but the SQL gives `{has}`"));
        return Some(fault.hint(format!("cast it in the SQL, or declare it `{has}`")));
    }
    (declared.required && !given.required).then(|| {
        Fault::new(place, format!("column `{name}` is declared required, but the SQL may give null"))
            .hint(format!("add `where {name} is not null`, use coalesce, or do not require it"))
    })
}

/// Whether every value of one type is a value of the other.
fn fits(from: &ColumnType, to: &ColumnType) -> bool {
    use ColumnType as T;
    let digits = |kind: &ColumnType| match kind {
        T::Int8 => Some((3, 0)),
        T::Int16 => Some((5, 0)),
        T::Int32 => Some((10, 0)),
        T::Int64 => Some((19, 0)),
        T::Decimal { precision, scale } => Some((precision - scale, *scale)),
        _ => None,
    };
    match (from, to) {
        (T::List(from), T::List(to)) => fits(from, to),
        (T::Struct(from), T::Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|((name, from), (wanted, to))| name == wanted && fits(from, to))
        }
        (T::String, T::Json) | (T::Json, T::String) | (T::Date, T::Timestamp) | (T::Float32, T::Float64) => {
            true
        }
        (T::Int8 | T::Int16, T::Float32) | (T::Int8 | T::Int16 | T::Int32, T::Float64) => true,
        (T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Decimal { .. }, T::Decimal { precision, scale }) => {
            digits(from).is_some_and(|(whole, behind)| whole <= precision - scale && behind <= *scale)
        }
        (T::Int8, T::Int16 | T::Int32 | T::Int64)
        | (T::Int16, T::Int32 | T::Int64)
        | (T::Int32, T::Int64) => true,
        (from, to) => from == to,
    }
}
