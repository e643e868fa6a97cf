//! Rejected records, mended by expressions before they are read again.
//!
//! Owns: what an expression sees of a record that does not fit its contract (each field as text, absent ones as null), and
//! how its result becomes the field. Does not own: which records those are, what becomes of them after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, DataFusionError, SchemaError};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use flowline_lake::json_rows;
use serde_json::value::RawValue;

use crate::compile::row_by_row;
use crate::physical::physical;

/// New values of fields, as SQL expressions over the fields of the record. All see the record as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mending {
    sets: Vec<(String, String)>,
    /// Those of the contract.
    fields: BTreeSet<String>,
    /// Those that records have, of which expressions may speak.
    seen: BTreeSet<String>,
}

/// A record: the JSON text of each field, so that what is not mended keeps every digit that it came with.
pub type Record = BTreeMap<String, Box<RawValue>>;

/// A field and what it is set to.
type Assignment = (String, Arc<dyn PhysicalExpr>);

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field} = {expression}` cannot be used: {message}")]
pub struct MendError {
    /// The field that it sets.
    pub field: String,
    /// The expression.
    pub expression: String,
    /// What is wrong with it.
    pub message: String,
}

impl Mending {
    /// Sets these fields to these expressions; `fields` are those of the contract, beside which records may have others.
    ///
    /// # Errors
    /// A field to set that is none of the contract: what it is set to would change nothing.
    pub fn new(
        sets: Vec<(String, String)>,
        fields: impl IntoIterator<Item = String>,
    ) -> Result<Self, MendError> {
        let fields: BTreeSet<String> = fields.into_iter().collect();
        match sets.iter().find(|(field, _)| !fields.contains(field)) {
            Some((field, expression)) => Err(MendError {
                field: field.clone(),
                expression: expression.clone(),
                message: format!("the contract has no field `{field}`; {}", nearest(field, &fields)),
            }),
            None => Ok(Self { sets, fields, seen: BTreeSet::new() }),
        }
    }

    /// Whether nothing is to be mended.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Takes note of a field that a record has: an expression may speak of it, also where other records lack it. Of fields that
    /// no expression names, some are kept, which may have been meant.
    pub fn see(&mut self, field: &str) {
        const UNNAMED_MAX: usize = 64;
        let named = |text: &str| text.to_lowercase().contains(&field.to_lowercase());
        let kept = || self.seen.len() < UNNAMED_MAX || self.sets.iter().any(|(_, text)| named(text));
        if !self.seen.contains(field) && kept() {
            self.seen.insert(field.to_owned());
        }
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
        let mut names: BTreeSet<String> = self.fields.union(&self.seen).cloned().collect();
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
            Ok((field.clone(), physical(&context, expression, schema).map_err(failed)?))
        });
        compiled.collect()
    }

    fn refused(&self, index: usize, error: &DataFusionError) -> MendError {
        let (field, expression) = self.sets.get(index).cloned().unwrap_or_default();
        let message = match error.find_root() {
            DataFusionError::SchemaError(unknown, _) => match unknown.as_ref() {
                SchemaError::FieldNotFound { field, .. } => {
                    let known: BTreeSet<String> = self.fields.union(&self.seen).cloned().collect();
                    let name = &field.name;
                    format!(
                        "neither the contract nor a record has a field `{name}`; {}",
                        nearest(name, &known)
                    )
                }
                other => other.to_string(),
            },
            other => {
                format!("{}; every field is text here: cast it to compute with it", other.strip_backtrace())
            }
        };
        MendError { field, expression, message }
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

/// The names that may have been meant, the most alike first; some of all where none is alike.
fn nearest(wrong: &str, names: &BTreeSet<String>) -> String {
    const SHOWN_MAX: usize = 3;
    let alike = |name: &&String| strsim::jaro_winkler(&wrong.to_lowercase(), &name.to_lowercase());
    let mut likely: Vec<&String> = names.iter().filter(|name| alike(name) >= 0.8).collect();
    likely.sort_by(|left, right| alike(right).total_cmp(&alike(left)));
    let listed = |names: &[&String]| {
        let quoted: Vec<String> = names.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect();
        quoted.join(", ")
    };
    match (likely.is_empty(), names.len() > SHOWN_MAX) {
        (false, _) => format!("did you mean {}?", listed(&likely)),
        (true, false) => format!("it has {}", listed(&names.iter().collect::<Vec<_>>())),
        (true, true) => {
            format!(
                "it has {} and {} more",
                listed(&names.iter().collect::<Vec<_>>()),
                names.len() - SHOWN_MAX
            )
        }
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
        let mending = mending.map_err(|error| error.to_string())?;
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
    fn a_field_that_other_records_have_is_null() {
        let sets = vec![("amount".to_owned(), "coalesce(amount, Price)".to_owned())];
        let mut mending = Mending::new(sets, ["amount".to_owned()]).unwrap();
        let records =
            || -> Vec<Record> { serde_json::from_str(r#"[{"amount":"7"},{"amount":null,"id":1}]"#).unwrap() };
        let refused = mending.apply(&mut records()).unwrap_err();
        assert_eq!(refused.message, "neither the contract nor a record has a field `price`; it has `amount`");
        (0..99).for_each(|number| mending.see(&format!("unrelated_{number}")));
        mending.see("price");
        let mut mended = records();
        mending.apply(&mut mended).unwrap();
        assert_eq!(serde_json::to_string(&mended).unwrap(), r#"[{"amount":"7"},{"amount":null,"id":1}]"#);
        assert_eq!(mending.seen.len(), 65);
    }

    #[test]
    fn every_digit_is_kept_of_what_is_mended_and_of_what_is_not() {
        let mending = Mending::new(vec![("a".into(), "cast(a as decimal(38,2))".into())], ["a".into()]);
        let mending = mending.unwrap();
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
    fn a_field_that_is_none_of_the_contract_is_not_set() {
        let refused = |field: &str| mended(&[(field, "'1'")], json!([{ "id": 1, "extra": 2 }])).unwrap_err();
        assert_eq!(
            refused("amuont"),
            "`amuont = '1'` cannot be used: the contract has no field `amuont`; did you mean `amount`?"
        );
        assert_eq!(
            refused("extra"),
            "`extra = '1'` cannot be used: the contract has no field `extra`; it has `amount`, `id`"
        );
        let many = ["order_id", "orders_id", "amount", "email"].map(str::to_owned);
        let refused =
            |field: &str| Mending::new(vec![(field.into(), "1".into())], many.clone()).unwrap_err().message;
        let (near, far) = (refused("order_ids"), refused("zzz"));
        assert_eq!(near, "the contract has no field `order_ids`; did you mean `order_id`, `orders_id`?");
        assert_eq!(far, "the contract has no field `zzz`; it has `amount`, `email`, `order_id` and 1 more");
    }

    #[test]
    fn what_cannot_hold_for_any_record_is_refused_also_when_there_is_none() {
        for expression in ["nothing + 1", "sum(amount)", "random()", "amount +"] {
            let refused = mended(&[("amount", expression)], json!([]));
            assert!(refused.as_ref().is_err_and(|message| message.contains("cannot be used")), "{refused:?}");
        }
    }
}
