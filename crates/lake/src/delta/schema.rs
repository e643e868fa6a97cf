//! Delta schemas as Arrow schemas, and back.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use deltalake_core::kernel::StructType;
use deltalake_core::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};

/// The Arrow schema of a `schemaString`.
pub(crate) fn parse(schema_string: &str) -> Result<SchemaRef, String> {
    let delta: StructType = serde_json::from_str(schema_string).map_err(|error| error.to_string())?;
    let arrow: Schema = (&delta).try_into_arrow().map_err(|error| error.to_string())?;
    Ok(Arc::new(arrow))
}

/// The `schemaString` of an Arrow schema.
pub(crate) fn format(schema: &Schema) -> Result<String, String> {
    let delta: StructType = schema.try_into_kernel().map_err(|error| error.to_string())?;
    serde_json::to_string(&delta).map_err(|error| error.to_string())
}

/// The schema as the table will have it: the types that Delta keeps, without metadata.
///
/// # Errors
/// The column that no Delta table can hold, and why.
pub(crate) fn normal(schema: &Schema) -> Result<SchemaRef, (String, String)> {
    let mut fields: Vec<Field> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let fails = |reason: &str| (field.name().clone(), reason.to_owned());
        if field.name().is_empty()
            || field.name().contains([' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='])
        {
            return Err(fails(
                "the name is empty, or has a space or one of `,;{}()=`, which Delta tables cannot hold",
            ));
        }
        if fields.iter().any(|other| other.name().eq_ignore_ascii_case(field.name())) {
            return Err(fails(
                "another column has the same name; Delta tables do not tell upper from lower case",
            ));
        }
        let kind = crate::arrow_types::data_type(&crate::arrow_types::column_type(field.data_type()));
        fields.push(Field::new(field.name(), kind, field.is_nullable()));
    }
    let schema = Schema::new(fields);
    match format(&schema).and_then(|text| parse(&text)) {
        Ok(schema) => Ok(schema),
        Err(reason) => Err((String::new(), reason)),
    }
}

/// Whether a table can be split by a column of this type.
pub(crate) fn partitionable(kind: &DataType) -> bool {
    kind.is_integer()
        || matches!(
            kind,
            DataType::Utf8
                | DataType::Boolean
                | DataType::Date32
                | DataType::Timestamp(_, _)
                | DataType::Decimal128(_, _)
        )
}
