//! Lists and structs, element by element and field by field.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use flowline_lake::arrow_types;
use flowline_model::ColumnType;

use super::convert::{Column, convert};
use crate::decode::time::TimeFormat;

pub(super) fn list(
    array: &ArrayRef,
    item: &ColumnType,
    format: &Arc<TimeFormat>,
) -> Result<Column, ArrowError> {
    let list = array.as_list::<i32>();
    let elements = convert(list.values(), item, format)?;
    let mut wrong = BTreeMap::new();
    if !elements.wrong.is_empty() {
        for (row, ends) in list.offsets().windows(2).enumerate() {
            let range = ends[0] as usize..ends[1] as usize;
            if list.is_valid(row)
                && let Some((_, message)) = elements.wrong.range(range).next()
            {
                wrong.insert(row, format!("in the list: {message}"));
            }
        }
    }
    let field = Arc::new(Field::new("element", arrow_types::data_type(item), true));
    let array = ListArray::try_new(field, list.offsets().clone(), elements.array, list.nulls().cloned())?;
    Ok(Column { array: Arc::new(array), wrong, unknown: elements.unknown })
}

pub(super) fn structure(
    array: &ArrayRef,
    fields: &[(String, ColumnType)],
    format: &Arc<TimeFormat>,
) -> Result<Column, ArrowError> {
    let structs = array.as_struct();
    let mut wrong = BTreeMap::new();
    let mut unknown = None;
    for (field, column) in structs.fields().iter().zip(structs.columns()) {
        if !fields.iter().any(|(name, _)| name == field.name()) && column.logical_null_count() < column.len()
        {
            unknown.get_or_insert_with(|| field.name().clone());
        }
    }
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(fields.len());
    for (name, kind) in fields {
        let Some(child) = structs.column_by_name(name) else {
            columns.push(new_null_array(&arrow_types::data_type(kind), structs.len()));
            continue;
        };
        let child = convert(child, kind, format)?;
        for (row, message) in child.wrong.into_iter().filter(|(row, _)| structs.is_valid(*row)) {
            wrong.entry(row).or_insert_with(|| format!("in `{name}`: {message}"));
        }
        if let Some(path) = child.unknown {
            unknown.get_or_insert_with(|| format!("{name}.{path}"));
        }
        columns.push(child.array);
    }
    let nulls = structs.nulls().cloned();
    let array: ArrayRef = match arrow_types::data_type(&ColumnType::Struct(fields.to_vec())) {
        DataType::Struct(arrow) if !columns.is_empty() => {
            Arc::new(StructArray::try_new(arrow, columns, nulls)?)
        }
        _ => Arc::new(StructArray::new_empty_fields(structs.len(), nulls)),
    };
    Ok(Column { array, wrong, unknown })
}
