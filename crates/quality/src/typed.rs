//! The columns of a batch as values of the types that rules were compiled for.
//!
//! Owns: what becomes of a column of another type, which a view has whose columns are those of its query (a timestamp in
//! nanoseconds, an unsigned number): it is cast where every value stays what it is, and else the rule is not evaluated.
//! Does not own: what rules say of the values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;

/// The columns of a batch with the types that they should have.
pub(crate) struct TypedColumns<'a> {
    batch: &'a RecordBatch,
    types: &'a [DataType],
    /// The columns of the contract alone: expressions know their columns by place.
    own: RecordBatch,
    /// Some column has another type than it should.
    differs: bool,
}

/// A column in the type of its rule.
pub(crate) struct TypedColumn {
    pub values: ArrayRef,
    /// The rows with a value that the type does not have: it is null in `values`.
    pub unlike: Option<BooleanBuffer>,
}

impl<'a> TypedColumns<'a> {
    pub fn new(batch: &'a RecordBatch, types: &'a [DataType]) -> Self {
        let columns: Vec<usize> = (0..types.len().min(batch.num_columns())).collect();
        let own = if columns.len() < batch.num_columns() { batch.project(&columns).ok() } else { None };
        let own = own.unwrap_or_else(|| batch.clone());
        let differs = batch.columns().iter().zip(types).any(|(column, kind)| column.data_type() != kind);
        Self { batch, types, own, differs }
    }

    /// A column as it is.
    ///
    /// # Errors
    /// That there is none.
    pub fn as_it_is(&self, index: usize) -> Result<&ArrayRef, String> {
        let column = self.batch.columns().get(index);
        column.ok_or_else(|| {
            format!("the rows have {} columns, and it reads another", self.batch.num_columns())
        })
    }

    /// A column in its type.
    ///
    /// # Errors
    /// Why it cannot be read as that.
    pub fn column(&self, index: usize) -> Result<TypedColumn, String> {
        let column = self.as_it_is(index)?;
        match self.types.get(index).filter(|kind| *kind != column.data_type()) {
            Some(kind) => typed(column, kind),
            None => Ok(TypedColumn { values: Arc::clone(column), unlike: None }),
        }
    }

    /// A column of texts in whichever way they are stored.
    ///
    /// # Errors
    /// Why it cannot be read as texts.
    pub fn texts(&self, index: usize) -> Result<TypedColumn, String> {
        let column = self.as_it_is(index)?;
        match column.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Ok(TypedColumn { values: Arc::clone(column), unlike: None })
            }
            _ => self.column(index),
        }
    }

    /// The contract's columns for an expression, those that it reads in their types, and the rows with a value in one
    /// of them that its type does not have.
    ///
    /// # Errors
    /// Why one of them cannot be read as its type.
    pub fn of(
        &self,
        expression: &Arc<dyn PhysicalExpr>,
    ) -> Result<(RecordBatch, Option<BooleanBuffer>), String> {
        if !self.differs {
            return Ok((self.own.clone(), None));
        }
        let mut fields: Vec<Arc<Field>> = self.own.schema().fields().iter().cloned().collect();
        let mut columns = self.own.columns().to_vec();
        let mut unlike = None;
        for index in collect_columns(expression).iter().map(|column| column.index()) {
            let typed = self.column(index)?;
            let field = fields[index].as_ref().clone();
            fields[index] =
                Arc::new(field.with_data_type(typed.values.data_type().clone()).with_nullable(true));
            columns[index] = typed.values;
            unlike = either(unlike, typed.unlike);
        }
        let typed = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
        Ok((typed.map_err(|error| error.to_string())?, unlike))
    }
}

/// The rows of one or the other.
pub(crate) fn either(one: Option<BooleanBuffer>, other: Option<BooleanBuffer>) -> Option<BooleanBuffer> {
    match (one, other) {
        (Some(one), Some(other)) => Some(&one | &other),
        (one, other) => one.or(other),
    }
}

fn typed(column: &ArrayRef, kind: &DataType) -> Result<TypedColumn, String> {
    let refused =
        || format!("its column is of type {}, which cannot be read as {kind}; cast it", column.data_type());
    if !keeps_fractions(column.data_type(), kind) {
        return Err(refused());
    }
    let values = cast(column, kind).map_err(|_| refused())?;
    let (before, after) = (column.logical_nulls(), values.logical_nulls());
    let lost =
        after.filter(|after| after.null_count() > before.as_ref().map_or(0, |before| before.null_count()));
    let unlike = lost.map(|after| match before {
        Some(before) => before.inner() & &!after.inner(),
        None => !after.inner(),
    });
    Ok(TypedColumn { values, unlike })
}

/// Whether numbers keep what they have behind the point; a cast cuts it off without a word.
fn keeps_fractions(from: &DataType, to: &DataType) -> bool {
    let digits = |kind: &DataType| match kind {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(*scale),
        kind if kind.is_integer() => Some(0),
        _ => None,
    };
    match (digits(from), digits(to)) {
        (Some(from), Some(to)) => from <= to,
        (None, Some(_)) => !from.is_floating(),
        _ => true,
    }
}
