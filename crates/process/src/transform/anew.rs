//! Which rows of a quarantine a run takes the place of: those that are records of rows that it computes anew.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::row::{RowConverter, SortField};
use datafusion::common::{DFSchema, exec_err, internal_datafusion_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, col,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use flowline_lake::arrow_types::BATCH;

use crate::stream::OF_CHECKS;

/// The column of a quarantine with the record as text.
const RECORD: &str = "_record";

/// The rows of a table that a run computes anew.
#[derive(Debug, Clone)]
pub(crate) enum Anew {
    /// Those that meet a condition over the table's columns.
    Meeting(Expr),
    /// Those that have one of these values in these columns: a column of values for each.
    With(Vec<String>, Vec<RecordBatch>),
}

impl Anew {
    /// The condition that rows of the quarantine meet which failed checks and are records of such rows of a table with
    /// these columns.
    pub fn of_records(self, table: &Schema) -> Result<Expr> {
        let names: Vec<String> = match &self {
            Self::Meeting(condition) => {
                let columns: HashSet<_> =
                    condition.column_refs().into_iter().map(|column| column.name.clone()).collect();
                columns.into_iter().collect()
            }
            Self::With(names, _) => names.clone(),
        };
        let field =
            |name: &String| -> Result<Field> { Ok(table.field_with_name(name)?.clone().with_nullable(true)) };
        let columns: Vec<Field> = names.iter().map(field).collect::<Result<_>>()?;
        let columns = Arc::new(Schema::new(columns));
        let test = match self {
            Self::Meeting(condition) => {
                let schema = DFSchema::try_from(Arc::clone(&columns))?;
                Test::Condition(SessionContext::new().create_physical_expr(condition, &schema)?)
            }
            Self::With(_, values) => Test::values(&columns, &values)?,
        };
        let signature = Signature::any(2, Volatility::Immutable);
        let function = OfRecords { columns, test: Arc::new(test), signature };
        Ok(ScalarUDF::from(function).call(vec![col(RECORD), col(BATCH)]))
    }
}

/// What tells the rows.
#[derive(Debug)]
enum Test {
    Condition(Arc<dyn PhysicalExpr>),
    Values { converter: RowConverter, values: HashSet<Box<[u8]>> },
}

impl Test {
    fn values(columns: &Schema, batches: &[RecordBatch]) -> Result<Self> {
        let kinds = columns.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(kinds.collect())?;
        let mut values = HashSet::new();
        for batch in batches {
            let typed = columns.fields().iter().zip(batch.columns());
            let typed = typed.map(|(field, column)| cast(column, field.data_type()));
            let rows = converter.convert_columns(&typed.collect::<std::result::Result<Vec<_>, _>>()?)?;
            values.extend(rows.iter().map(|row| Box::<[u8]>::from(row.as_ref())));
        }
        Ok(Self::Values { converter, values })
    }

    fn passes(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        match self {
            Self::Condition(condition) => {
                let passes = condition.evaluate(rows)?.into_array(rows.num_rows())?;
                let passes = passes.as_boolean_opt().cloned();
                passes.ok_or_else(|| internal_datafusion_err!("`{condition}` is not a condition"))
            }
            Self::Values { converter, values } => {
                let rows = converter.convert_columns(rows.columns())?;
                Ok(rows.iter().map(|row| Some(values.contains(row.as_ref()))).collect())
            }
        }
    }
}

/// `(record, batch)`: whether a row of the quarantine failed checks and is the record of a row that is computed anew.
#[derive(Debug)]
struct OfRecords {
    /// The columns of records that are looked at.
    columns: SchemaRef,
    test: Arc<Test>,
    signature: Signature,
}

impl PartialEq for OfRecords {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.test, &other.test)
    }
}

impl Eq for OfRecords {}

impl Hash for OfRecords {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.test).hash(state);
    }
}

impl ScalarUDFImpl for OfRecords {
    fn name(&self) -> &str {
        "flowline_computed_anew"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = arguments.args.iter().map(|argument| -> Result<ArrayRef> {
            let texts: ArrayRef = argument.to_array(arguments.number_rows)?;
            Ok(cast(&texts, &DataType::Utf8)?)
        });
        let texts: Vec<ArrayRef> = texts.collect::<Result<_>>()?;
        let [records, batches] = texts.as_slice() else {
            return exec_err!("a record and a batch are needed");
        };
        let (records, batches) = (records.as_string::<i32>(), batches.as_string::<i32>());
        let of_checks = batches.iter().map(|batch| batch.is_some_and(|batch| batch.ends_with(OF_CHECKS)));
        let asked: Vec<usize> =
            of_checks.enumerate().filter_map(|(row, asked)| asked.then_some(row)).collect();
        let mut answer = vec![false; records.len()];
        match self.test_of(records, &asked) {
            Ok(found) => {
                asked.iter().zip(found.iter()).for_each(|(row, found)| answer[*row] = found == Some(true))
            }
            // One of them is no record of such a table any more: each is looked at by itself.
            Err(_) => {
                for row in asked {
                    answer[row] = self.test_of(records, &[row]).is_ok_and(|found| found.true_count() > 0);
                }
            }
        }
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(answer))))
    }
}

impl OfRecords {
    /// Whether these of the records are wanted.
    ///
    /// # Errors
    /// One of them is not what the columns say.
    fn test_of(&self, records: &StringArray, rows: &[usize]) -> Result<BooleanArray> {
        if rows.is_empty() {
            return Ok(BooleanArray::from(Vec::<bool>::new()));
        }
        let builder = ReaderBuilder::new(Arc::clone(&self.columns)).with_batch_size(rows.len());
        let mut decoder = builder.build_decoder()?;
        for row in rows {
            decoder.decode(records.value(*row).as_bytes())?;
            decoder.decode(b"\n")?;
        }
        match decoder.flush()? {
            Some(decoded) if decoded.num_rows() == rows.len() => self.test.passes(&decoded),
            _ => exec_err!("a record is no object"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use arrow::array::Int64Array;
    use datafusion::logical_expr::lit;
    use flowline_lake::arrow_types::timestamp;

    use super::*;

    async fn found(anew: Anew) -> Vec<bool> {
        let table = Schema::new(vec![
            Field::new("k", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
            Field::new("ts", timestamp(), true),
        ]);
        let records = [
            (r#"{"k":"a","n":1,"ts":"2025-01-01T10:00:00Z"}"#, "shop.out/1/checks"),
            (r#"{"k":"a","n":1,"ts":"2025-01-01T10:00:00Z"}"#, "shop.out/1"),
            (r#"{"k":"b","n":"no number"}"#, "shop.out/1/checks"),
            (r#"{"n":2,"ts":"2025-01-01T11:00:00Z"}"#, "shop.out/2/everything/checks"),
            ("no record", "shop.out/2/checks"),
        ];
        let text = |all: Vec<&str>| Arc::new(StringArray::from(all)) as ArrayRef;
        let columns = [
            (RECORD, text(records.iter().map(|record| record.0).collect())),
            (BATCH, text(records.iter().map(|record| record.1).collect())),
        ];
        let context = SessionContext::new();
        context.register_batch("q", RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        let condition = anew.of_records(&table).unwrap();
        let answer = context.table("q").await.unwrap().select(vec![condition.alias("is")]).unwrap();
        let answer = answer.collect().await.unwrap();
        answer
            .iter()
            .flat_map(|batch| batch.column(0).as_boolean().iter().map(Option::unwrap).collect::<Vec<_>>())
            .collect()
    }

    #[tokio::test]
    async fn records_of_rows_that_are_computed_anew() {
        let micros = |seconds: i64| {
            lit(datafusion::scalar::ScalarValue::TimestampMicrosecond(
                Some(seconds * 1_000_000),
                Some("UTC".into()),
            ))
        };
        let behind = col("ts").gt(micros(1_735_725_600));
        assert_eq!(found(Anew::Meeting(behind)).await, [false, false, false, true, false]);
        let keys = |keys: Vec<Option<&str>>, numbers: Vec<i64>| {
            let columns: [(&str, ArrayRef); 2] =
                [("0", Arc::new(StringArray::from(keys))), ("1", Arc::new(Int64Array::from(numbers)))];
            Anew::With(
                vec!["k".to_owned(), "n".to_owned()],
                vec![RecordBatch::try_from_iter(columns).unwrap()],
            )
        };
        assert_eq!(
            found(keys(vec![Some("a"), Some("b")], vec![1, 2])).await,
            [true, false, false, false, false]
        );
        assert_eq!(
            found(keys(vec![None], vec![2])).await,
            [false, false, false, true, false],
            "null is a key"
        );
        let all = Anew::With(
            vec!["k".to_owned()],
            vec![
                RecordBatch::try_from_iter([("0", Arc::new(StringArray::from(vec!["b"])) as ArrayRef)])
                    .unwrap(),
            ],
        );
        assert_eq!(
            found(all).await,
            [false, false, true, false, false],
            "what is not asked for may be anything"
        );
    }
}
