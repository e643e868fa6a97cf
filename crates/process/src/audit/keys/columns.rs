//! Which columns are a key, and the number that stands for its values.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, Schema};
use arrow::row::{RowConverter, SortField};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, exec_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast, col, lit,
};
use datafusion::physical_plan::execute_stream;
use datafusion::scalar::ScalarValue;
use xxhash_rust::xxh3::xxh3_128;

use super::counts::Counted;
use crate::transform::named;

/// The number that stands for a key. Two of a billion keys meet with a chance below one in 10^19.
pub(super) type KeyHash = u128;

/// So many bits of a hash are kept: what has them is a decimal of 38 digits, which the engine groups and sorts natively.
const HASH_BITS: u32 = 126;
const HASH_TYPE: DataType = DataType::Decimal128(38, 0);
/// The columns of what is counted.
const KEY: &str = "flowline_key";
const ROWS: &str = "flowline_rows";

/// Columns whose values together are a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeyColumns {
    names: Vec<String>,
    /// What values are made before they are compared.
    types: Vec<DataType>,
    /// Rows with a null in the key count as well.
    nulls: bool,
}

impl KeyColumns {
    /// The key of a table; none when there is no such column, or one whose values are the same without being equal bit
    /// by bit.
    pub fn of(schema: &Schema, names: &[String], nulls: bool) -> Option<Self> {
        let types = names.iter().map(|name| canonical(schema.field_with_name(name).ok()?.data_type()));
        Some(Self { names: names.to_vec(), types: types.collect::<Option<_>>()?, nulls })
    }

    /// Keys of two tables as values that can be held against each other; rows with a null in the key are left out.
    pub fn pair(own: (&Schema, &[String]), other: (&Schema, &[String])) -> Option<(Self, Self)> {
        let mut types = Vec::new();
        for (own_name, other_name) in own.1.iter().zip(other.1) {
            let own_type = own.0.field_with_name(own_name).ok()?.data_type();
            let other_type = other.0.field_with_name(other_name).ok()?.data_type();
            let common = match own_type == other_type {
                true => own_type.clone(),
                false => comparison_coercion(own_type, other_type)?,
            };
            types.push(canonical(&common)?);
        }
        let key = |names: &[String]| Self { names: names.to_vec(), types: types.clone(), nulls: false };
        (own.1.len() == other.1.len()).then(|| (key(own.1), key(other.1)))
    }

    /// What a state is kept for; another text, another state.
    pub fn fingerprint(&self) -> String {
        format!("{:?} {:?} {}", self.names, self.types, self.nulls)
    }

    /// How often each key is among the rows, in the order of their hashes. Goes to disk with what memory does not hold.
    pub async fn counted(
        &self,
        state: &SessionState,
        rows: Arc<dyn TableProvider>,
    ) -> Result<SendableRecordBatchStream> {
        let plan = self.rows(rows)?.project(vec![self.hash().alias(KEY)])?;
        let plan = plan.aggregate(vec![col(KEY)], vec![count(lit(1i64)).alias(ROWS)])?;
        let plan = plan.sort(vec![col(KEY).sort(true, false)])?.build()?;
        let physical = state.create_physical_plan(&plan).await?;
        execute_stream(physical, state.task_ctx())
    }

    /// The key of rows with one of these hashes: each key once or more often, its hash before its values as they are.
    pub async fn values(
        &self,
        state: &SessionState,
        rows: Arc<dyn TableProvider>,
        hashes: &[KeyHash],
    ) -> Result<SendableRecordBatchStream> {
        let hashes =
            hashes.iter().map(|hash| lit(ScalarValue::Decimal128(i128::try_from(*hash).ok(), 38, 0)));
        let mut columns = vec![self.hash().alias(KEY)];
        columns.extend(self.names.iter().map(|name| named(name)));
        let plan = self.rows(rows)?.project(columns)?;
        let plan = plan.filter(col(KEY).in_list(hashes.collect(), false))?.build()?;
        let physical = state.create_physical_plan(&plan).await?;
        execute_stream(physical, state.task_ctx())
    }

    /// The rows that have a key.
    fn rows(&self, rows: Arc<dyn TableProvider>) -> Result<LogicalPlanBuilder> {
        let schema = rows.schema();
        let mut places: Vec<usize> =
            self.names.iter().map(|name| Ok(schema.index_of(name)?)).collect::<Result<_>>()?;
        places.sort_unstable();
        places.dedup();
        let plan = LogicalPlanBuilder::scan("keyed", provider_as_source(rows), Some(places))?;
        let present = self.names.iter().map(|name| named(name).is_not_null()).reduce(Expr::and);
        match present.filter(|_| !self.nulls) {
            Some(present) => plan.filter(present),
            None => Ok(plan),
        }
    }

    fn hash(&self) -> Expr {
        let values = self.names.iter().zip(&self.types).map(|(name, kind)| cast(named(name), kind.clone()));
        ScalarUDF::from(KeyHashing::default()).call(values.collect())
    }
}

/// The hashes and counts of a batch of [`KeyColumns::counted`].
pub(super) fn read_counts(batch: &RecordBatch) -> Result<Vec<Counted>> {
    let counts = batch.column(1).as_primitive::<Int64Type>();
    let hashes = hashes(batch)?;
    Ok(hashes.zip(counts.values()).map(|(hash, rows)| Counted { hash, rows: *rows }).collect())
}

/// The hashes of a batch of [`KeyColumns::counted`] or [`KeyColumns::values`].
pub(super) fn hashes(batch: &RecordBatch) -> Result<impl Iterator<Item = KeyHash> + '_> {
    match batch.column(0).as_primitive_opt::<Decimal128Type>() {
        Some(hashes) => Ok(hashes.values().iter().map(|hash| hash.unsigned_abs())),
        None => exec_err!("hashes of keys are {}", batch.column(0).data_type()),
    }
}

/// The type in which values of a type are hashed; none where values that are equal may differ in their bits (floating
/// point numbers), or that have parts.
fn canonical(kind: &DataType) -> Option<DataType> {
    Some(match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        kind if kind.is_integer() => kind.clone(),
        DataType::Boolean
        | DataType::Date32
        | DataType::Date64
        | DataType::Timestamp(..)
        | DataType::Decimal128(..) => kind.clone(),
        _ => return None,
    })
}

/// The function that makes a key one number.
#[derive(Debug, PartialEq, Eq, Hash)]
struct KeyHashing {
    signature: Signature,
}

impl Default for KeyHashing {
    fn default() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for KeyHashing {
    fn name(&self) -> &str {
        "flowline_key_hash"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(HASH_TYPE)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays: Vec<ArrayRef> = arguments
            .args
            .iter()
            .map(|value| value.to_array(arguments.number_rows))
            .collect::<Result<_>>()?;
        let fields = arrays.iter().map(|array| SortField::new(array.data_type().clone())).collect();
        let encoded = RowConverter::new(fields)?.convert_columns(&arrays)?;
        let hash = |row: &[u8]| (xxh3_128(row) >> (128 - HASH_BITS)) as i128;
        let hashes: Decimal128Array = encoded.iter().map(|row| Some(hash(row.as_ref()))).collect();
        Ok(ColumnarValue::Array(Arc::new(hashes.with_data_type(HASH_TYPE))))
    }
}
