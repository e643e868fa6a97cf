//! Rejected records, mended by expressions before they are read again.
//!
//! Owns: what an expression sees of a record that does not fit its contract (each field as text, absent ones as null), and
//! how its result becomes the field. Does not own: which records those are, what becomes of them after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use flowline_lake::json_rows;
use serde_json::value::RawValue;

use crate::compile::row_by_row;

/// New values of fields, as SQL expressions over the fields of the record. All see the record as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mending {
    sets: Vec<(String, String)>,
    fields: BTreeSet<String>,
}

/// A record: the JSON text of each field, so that what is not mended keeps every digit that it came with.
pub type Record = BTreeMap<String, Box<RawValue>>;

/// A field and what it is set to.
type Assignment = (String, Arc<dyn PhysicalExpr>);

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{field} = {expression}` cannot be used: {message}; every field is text here: cast it to compute with it"
)]
pub struct MendError {
    /// The field that it sets.
    pub field: String,
    /// The expression.
    pub expression: String,
    /// What is wrong with it.
    pub message: String,
}

impl Mending {
    /// Sets these fields to these expressions; `fields` are those that records may have.
    pub fn new(sets: Vec<(String, String)>, fields: impl IntoIterator<Item = String>) -> Self {
        Self { sets, fields: fields.into_iter().collect() }
    }

    /// Whether nothing is to be mended.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Mends the records. One for which an expression fails stays as it is; what it fails of is known when it is read.
    ///
    /// # Errors
    /// An expression that holds for no record: unknown fields, several rows, functions that change.
    pub fn apply(&self, records: &mut [Record]) -> Result<(), MendError> {
        if records.is_empty() {
            return self.compile(&self.schema(records)?).map(drop);
        }
        let batch = self.batch(records)?;
        let expressions = self.compile(&self.schema(records)?)?;
        match evaluate(&expressions, &batch) {
            Ok(rows) => records.iter_mut().zip(rows).for_each(|(record, row)| record.extend(row)),
            Err(_) => {
                for (index, record) in records.iter_mut().enumerate() {
                    let rows = evaluate(&expressions, &batch.slice(index, 1)).unwrap_or_default();
                    rows.into_iter().for_each(|row| record.extend(row));
                }
            }
        }
        Ok(())
    }

    fn names(&self, records: &[Record]) -> BTreeSet<String> {
        let mut names = self.fields.clone();
        names.extend(records.iter().flat_map(Record::keys).cloned());
        names
    }

    fn schema(&self, records: &[Record]) -> Result<DFSchema, MendError> {
        let fields = self.names(records).into_iter().map(|name| Field::new(name, DataType::Utf8, true));
        DFSchema::try_from(Schema::new(fields.collect::<Vec<_>>())).map_err(|error| self.refused(0, &error))
    }

    fn batch(&self, records: &[Record]) -> Result<RecordBatch, MendError> {
        let columns = self.names(records).into_iter().map(|name| {
            let texts: StringArray =
                records.iter().map(|record| text(record.get(&name).map(AsRef::as_ref))).collect();
            (name, Arc::new(texts) as ArrayRef, true)
        });
        RecordBatch::try_from_iter_with_nullable(columns).map_err(|error| self.refused(0, &error.into()))
    }

    fn compile(&self, schema: &DFSchema) -> Result<Vec<Assignment>, MendError> {
        let context = SessionContext::new();
        let compiled = self.sets.iter().enumerate().map(|(index, (field, text))| {
            let failed = |error: DataFusionError| self.refused(index, &error);
            let expression = context.parse_sql_expr(text, schema).map_err(failed)?;
            if let Some(reason) = row_by_row(&expression).map_err(failed)? {
                return Err(self.refused(index, &DataFusionError::Plan(reason)));
            }
            Ok((field.clone(), context.create_physical_expr(expression, schema).map_err(failed)?))
        });
        compiled.collect()
    }

    fn refused(&self, index: usize, error: &DataFusionError) -> MendError {
        let (field, expression) = self.sets.get(index).cloned().unwrap_or_default();
        MendError { field, expression, message: error.strip_backtrace() }
    }
}

impl fmt::Display for Mending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (field, expression)) in self.sets.iter().enumerate() {
            write!(f, "{}{field} = {expression}", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// A value as an expression sees it: texts without their quotes, everything else as it is written.
fn text(value: Option<&RawValue>) -> Option<String> {
    match value?.get() {
        "null" => None,
        json => Some(serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())),
    }
}

/// The new values of each row, typed as the expressions are.
fn evaluate(expressions: &[Assignment], batch: &RecordBatch) -> Result<Vec<Record>, DataFusionError> {
    let mut columns = Vec::new();
    for (field, expression) in expressions {
        let values = expression.evaluate(batch)?.into_array(batch.num_rows())?;
        columns.push((field, values, true));
    }
    let values = RecordBatch::try_from_iter_with_nullable(columns)?;
    let rows = json_rows(&[values])?;
    let read = rows.iter().map(|row| serde_json::from_str(row.get()));
    read.map(|row| row.map_err(|error| DataFusionError::External(Box::new(error)))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn mended(sets: &[(&str, &str)], records: Value) -> Result<Value, String> {
        let sets = sets.iter().map(|(field, text)| ((*field).to_owned(), (*text).to_owned())).collect();
        let mending = Mending::new(sets, ["id".to_owned(), "amount".to_owned()]);
        let mut records: Vec<Record> =
            serde_json::from_str(&records.to_string()).map_err(|e| e.to_string())?;
        mending.apply(&mut records).map_err(|error| error.to_string())?;
        serde_json::to_value(records).map_err(|error| error.to_string())
    }

    #[test]
    fn fields_are_text_and_results_have_their_type() {
        let records = json!([{ "id": 1, "amount": "1,50" }, { "id": 2, "amount": null, "more": [1] }]);
        let sets = [("amount", "replace(amount, ',', '.')"), ("id", "cast(id as int) + 1")];
        let expected = json!([{ "id": 2, "amount": "1.50" }, { "id": 3, "amount": null, "more": [1] }]);
        assert_eq!(mended(&sets, records), Ok(expected));
    }

    #[test]
    fn every_digit_is_kept_of_what_is_mended_and_of_what_is_not() {
        let mending = Mending::new(vec![("a".into(), "cast(a as decimal(38,2))".into())], []);
        let text = r#"[{"a":"12345678901234567890.25","b":98765432109876543210.75}]"#;
        let mut records: Vec<Record> = serde_json::from_str(text).unwrap();
        mending.apply(&mut records).unwrap();
        assert_eq!(
            serde_json::to_string(&records).unwrap(),
            r#"[{"a":12345678901234567890.25,"b":98765432109876543210.75}]"#
        );
    }

    #[test]
    fn a_record_for_which_it_fails_stays_as_it_is() {
        let records = json!([{ "id": "x" }, { "id": "7" }]);
        let expected = json!([{ "id": "x" }, { "id": 7 }]);
        assert_eq!(mended(&[("id", "cast(id as int)")], records), Ok(expected));
    }

    #[test]
    fn what_cannot_hold_for_any_record_is_refused_also_when_there_is_none() {
        for expression in ["nothing + 1", "sum(amount)", "random()", "amount +"] {
            let refused = mended(&[("amount", expression)], json!([]));
            assert!(refused.as_ref().is_err_and(|message| message.contains("cannot be used")), "{refused:?}");
        }
    }
}
