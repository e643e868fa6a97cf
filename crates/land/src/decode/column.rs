//! The values of one column while records are read: one value or null for each record, come what may.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBufferBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    Float32Builder, Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder, ListArray,
    NullBufferBuilder, StringBuilder, StructArray, TimestampMicrosecondBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use flowline_lake::arrow_types;
use flowline_model::ColumnType;
use flowline_source::number::Digits;

use super::time::TimeFormat;

/// Bytes of a text of which nothing is known.
pub(crate) const TEXT_BYTES: usize = 16;

/// Builds the array of one column, or of what is nested in one.
#[derive(Debug)]
pub(crate) enum ColumnBuilder {
    Text(StringBuilder),
    Json(StringBuilder),
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, Digits),
    Date(Date32Builder, Arc<TimeFormat>),
    Timestamp(TimestampMicrosecondBuilder, Arc<TimeFormat>),
    Binary(BinaryBuilder),
    List(Box<ListBuilder>),
    Struct(StructBuilder),
}

/// A list of any element.
#[derive(Debug)]
pub(crate) struct ListBuilder {
    pub(crate) element: ColumnBuilder,
    elements: usize,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    field: Arc<Field>,
}

/// Named fields.
#[derive(Debug)]
pub(crate) struct StructBuilder {
    pub(crate) fields: Vec<(String, ColumnBuilder)>,
    nulls: BooleanBufferBuilder,
    arrow: Fields,
}

impl ColumnBuilder {
    /// A builder with room for so many values, and for texts of the size that is usual.
    pub(crate) fn new(kind: &ColumnType, format: &Arc<TimeFormat>, rows: usize) -> Self {
        Self::with_room(kind, format, rows, rows * TEXT_BYTES)
    }

    /// The same with room for so many bytes of texts.
    pub(crate) fn with_room(
        kind: &ColumnType,
        format: &Arc<TimeFormat>,
        rows: usize,
        text_bytes: usize,
    ) -> Self {
        match kind {
            ColumnType::String => Self::Text(StringBuilder::with_capacity(rows, text_bytes)),
            ColumnType::Json => Self::Json(StringBuilder::with_capacity(rows, text_bytes)),
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            ColumnType::Int8 => Self::Int8(Int8Builder::with_capacity(rows)),
            ColumnType::Int16 => Self::Int16(Int16Builder::with_capacity(rows)),
            ColumnType::Int32 => Self::Int32(Int32Builder::with_capacity(rows)),
            ColumnType::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            ColumnType::Float32 => Self::Float32(Float32Builder::with_capacity(rows)),
            ColumnType::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            ColumnType::Decimal { precision, scale } => Self::Decimal(
                Decimal128Builder::with_capacity(rows).with_data_type(arrow_types::data_type(kind)),
                Digits::new(*precision, *scale),
            ),
            ColumnType::Date => Self::Date(Date32Builder::with_capacity(rows), Arc::clone(format)),
            ColumnType::Timestamp => Self::Timestamp(
                TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(arrow_types::timestamp()),
                Arc::clone(format),
            ),
            ColumnType::Binary => Self::Binary(BinaryBuilder::with_capacity(rows, rows * 16)),
            ColumnType::List(item) => Self::List(Box::new(ListBuilder {
                element: Self::new(item, format, rows),
                elements: 0,
                offsets: vec![0],
                nulls: NullBufferBuilder::new(rows),
                field: list_field(kind),
            })),
            ColumnType::Struct(fields) => Self::Struct(StructBuilder {
                fields: fields
                    .iter()
                    .map(|(name, kind)| (name.clone(), Self::new(kind, format, rows)))
                    .collect(),
                nulls: BooleanBufferBuilder::new(rows),
                arrow: struct_fields(kind),
            }),
        }
    }

    /// Appends a null.
    pub(crate) fn append_null(&mut self) {
        match self {
            Self::Text(builder) | Self::Json(builder) => builder.append_null(),
            Self::Boolean(builder) => builder.append_null(),
            Self::Int8(builder) => builder.append_null(),
            Self::Int16(builder) => builder.append_null(),
            Self::Int32(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::Float32(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Decimal(builder, _) => builder.append_null(),
            Self::Date(builder, _) => builder.append_null(),
            Self::Timestamp(builder, _) => builder.append_null(),
            Self::Binary(builder) => builder.append_null(),
            Self::List(builder) => builder.end(false),
            Self::Struct(builder) => {
                for (_, field) in &mut builder.fields {
                    field.append_null();
                }
                builder.end(false);
            }
        }
    }

    /// Whether it holds numbers that JSON has, so that a text in their place is another type.
    pub(crate) fn is_plain_number(&self) -> bool {
        use ColumnBuilder as B;
        matches!(self, B::Int8(_) | B::Int16(_) | B::Int32(_) | B::Int64(_) | B::Float32(_) | B::Float64(_))
    }

    /// The bytes of its texts so far, if it has texts.
    pub(crate) fn text_bytes(&self) -> Option<usize> {
        match self {
            Self::Text(builder) | Self::Json(builder) => Some(builder.values_slice().len()),
            _ => None,
        }
    }

    /// The array.
    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut builder) | Self::Json(mut builder) => Arc::new(builder.finish()),
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::Int8(mut builder) => Arc::new(builder.finish()),
            Self::Int16(mut builder) => Arc::new(builder.finish()),
            Self::Int32(mut builder) => Arc::new(builder.finish()),
            Self::Int64(mut builder) => Arc::new(builder.finish()),
            Self::Float32(mut builder) => Arc::new(builder.finish()),
            Self::Float64(mut builder) => Arc::new(builder.finish()),
            Self::Decimal(mut builder, _) => Arc::new(builder.finish()),
            Self::Date(mut builder, _) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder, _) => Arc::new(builder.finish()),
            Self::Binary(mut builder) => Arc::new(builder.finish()),
            Self::List(builder) => builder.finish(),
            Self::Struct(builder) => builder.finish(),
        }
    }
}

impl ListBuilder {
    /// An element was appended to [`ListBuilder::element`].
    pub(crate) fn element_appended(&mut self) {
        self.elements += 1;
    }

    /// Ends the list of one row; the elements appended since the last one are its own.
    pub(crate) fn end(&mut self, valid: bool) {
        // A chunk holds far fewer bytes than 31 bits count.
        self.offsets.push(self.elements as i32);
        self.nulls.append(valid);
    }

    fn finish(mut self) -> ArrayRef {
        let offsets = OffsetBuffer::new(self.offsets.into());
        Arc::new(ListArray::new(self.field, offsets, self.element.finish(), self.nulls.finish()))
    }
}

impl StructBuilder {
    /// Ends one row; every field has got its value or null.
    pub(crate) fn end(&mut self, valid: bool) {
        self.nulls.append(valid);
    }

    fn finish(mut self) -> ArrayRef {
        let rows = self.nulls.len();
        let nulls =
            Some(arrow::buffer::NullBuffer::new(self.nulls.finish())).filter(|nulls| nulls.null_count() > 0);
        let columns: Vec<ArrayRef> = self.fields.into_iter().map(|(_, field)| field.finish()).collect();
        if columns.is_empty() {
            return Arc::new(StructArray::new_empty_fields(rows, nulls));
        }
        Arc::new(StructArray::new(self.arrow, columns, nulls))
    }
}

fn list_field(kind: &ColumnType) -> Arc<Field> {
    match arrow_types::data_type(kind) {
        DataType::List(field) => field,
        other => Arc::new(Field::new("element", other, true)),
    }
}

fn struct_fields(kind: &ColumnType) -> Fields {
    match arrow_types::data_type(kind) {
        DataType::Struct(fields) => fields,
        _ => Fields::empty(),
    }
}
