//! Upsert by key.
//!
//! The new rows are written once, as they stream in, and only a hash of each key stays in memory (128 bits: two keys
//! of a billion share one with a chance of 1 in 10²⁰). Then the table's files that may hold one of the keys are gone
//! over, one at a time. Nothing of the table is ever in memory but one batch, whatever the table's size.
//! Rows of keys that have none among the new rows can be let go of in the same pass.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use arrow::util::display::array_value_to_string;
use datafusion::common::Column;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use xxhash_rust::xxh3::xxh3_128;

use super::delete::discard;
use super::pass::{ATTEMPTS, Pass, commit_pass, pass};
use crate::delta::snapshot::Snapshot;
use crate::read::files_table;
use crate::store::{from_arrow, from_datafusion};
use crate::table::Shared;
use crate::write::conform;
use crate::{Committed, LakeError, StagedFiles, TableCommit, WriterOptions};

/// An upsert whose rows are staged.
#[derive(Debug)]
pub struct StagedMerge {
    staged: StagedFiles,
    key: Vec<String>,
    hashes: HashSet<u128>,
    /// Keys whose rows go, whether one of the new rows has them or not.
    gone: Vec<RecordBatch>,
    /// The smallest and largest value of each key column; none for a column in which a key is null.
    bounds: Vec<Option<(ScalarValue, ScalarValue)>>,
}

impl StagedMerge {
    /// Rows that will be inserted or will replace one of the same key.
    pub fn rows(&self) -> u64 {
        self.staged.rows()
    }

    /// Bytes of their files.
    pub fn bytes(&self) -> u64 {
        self.staged.bytes()
    }

    /// The files that they are staged in.
    pub fn staged(&self) -> &StagedFiles {
        &self.staged
    }

    /// Keys whose rows go, whether one of the new rows has them or not: the columns of the key, in its order.
    pub fn gone(&self) -> &[RecordBatch] {
        &self.gone
    }

    /// A condition that every row with one of the keys meets, and others may; none when there is none.
    pub fn condition(&self) -> Option<Expr> {
        let bounded = self.key.iter().zip(&self.bounds).filter_map(|(name, bounds)| {
            let (min, max) = bounds.as_ref()?;
            let column = col(Column::new_unqualified(name));
            Some(column.between(lit(min.clone()), lit(max.clone())))
        });
        bounded.reduce(Expr::and)
    }
}

/// Stages the rows of an upsert, and the keys whose rows go as well.
pub(crate) async fn stage_merge(
    table: &Arc<Shared>,
    mut rows: SendableRecordBatchStream,
    key: &[String],
    gone: &[RecordBatch],
) -> Result<StagedMerge, LakeError> {
    let snapshot = table.newest().await?.ok_or_else(|| table.no_table())?;
    let mut keys = Keys::new(table, &snapshot, key)?;
    let mut bounds = Bounds::new(table, &snapshot, key)?;
    let mut writer =
        table.writer(Arc::clone(&snapshot.schema), snapshot.partition_columns(), WriterOptions::default())?;
    let mut hashes = HashSet::new();
    while let Some(batch) = rows.next().await {
        let batch =
            batch.map_err(|error| from_datafusion("merging rows into", table.name.to_string(), &error))?;
        let batch = conform(&batch, &snapshot.schema, &table.name)?;
        for (row, hash) in keys.hash(&batch)?.into_iter().enumerate() {
            if !hashes.insert(hash) {
                let reason = format!(
                    "two of the rows to merge have the same key {}; make the query return one row for each",
                    shown(&batch, key, row)
                );
                return Err(table.input_error(reason));
            }
        }
        bounds.extend(&batch)?;
        writer.write(&batch).await?;
    }
    let staged = writer.finish().await?;
    let gone = gone.iter().map(|batch| as_keys(table, &snapshot, key, batch));
    let gone = gone.collect::<Result<Vec<_>, _>>()?;
    for batch in &gone {
        hashes.extend(keys.hash(batch)?);
        bounds.extend(batch)?;
    }
    Ok(StagedMerge { staged, key: key.to_vec(), hashes, gone, bounds: bounds.finish()? })
}

/// Commits an upsert.
pub(crate) async fn commit_merge(
    table: &Arc<Shared>,
    merge: StagedMerge,
    commit: TableCommit,
) -> Result<Committed, LakeError> {
    let mut attempt = 1;
    loop {
        let snapshot = table.newest().await?.ok_or_else(|| table.no_table())?;
        let pass = find(table, &snapshot, &merge).await?;
        let base = snapshot.version;
        drop(snapshot);
        match commit_pass(table, base, &pass, &[&merge.staged, &commit.staged], &commit).await {
            Err(LakeError::Conflict { .. }) if attempt < ATTEMPTS => {
                discard(table, pass).await;
                attempt += 1;
            }
            done => return done,
        }
    }
}

async fn find(table: &Shared, snapshot: &Snapshot, merge: &StagedMerge) -> Result<Pass, LakeError> {
    if merge.hashes.is_empty() {
        return Ok(Pass::default());
    }
    let whole = files_table(table, snapshot, snapshot.files_in_order());
    let candidates = match merge.condition() {
        Some(condition) => whole
            .pruned(condition)
            .map_err(|error| from_datafusion("merging into", table.name.to_string(), &error))?,
        None => whole,
    };
    let mut keys = Keys::new(table, snapshot, &merge.key)?;
    let mut matches = |batch: &RecordBatch| {
        let hashes = keys.hash(batch)?;
        Ok(hashes.iter().map(|hash| Some(merge.hashes.contains(hash))).collect::<BooleanArray>())
    };
    pass(table, snapshot, candidates.files, &merge.key, &mut matches).await
}

/// Keys as the table has them, of columns in the order of the key whatever they are called.
fn as_keys(
    table: &Shared,
    snapshot: &Snapshot,
    key: &[String],
    batch: &RecordBatch,
) -> Result<RecordBatch, LakeError> {
    let columns = key.iter().zip(batch.columns()).map(|(name, column)| {
        let field = snapshot.schema.field_with_name(name)?.clone().with_nullable(true);
        Ok((cast(column, field.data_type())?, field))
    });
    let typed = columns.collect::<Result<Vec<_>, ArrowError>>().and_then(|columns| {
        let (columns, fields): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    });
    typed.map_err(|error| from_arrow("reading keys of", table.name.to_string(), &error))
}

/// Hashes the keys of rows.
struct Keys {
    table: Arc<str>,
    names: Vec<String>,
    converter: RowConverter,
}

impl Keys {
    fn new(table: &Shared, snapshot: &Snapshot, names: &[String]) -> Result<Self, LakeError> {
        if names.is_empty() {
            return Err(table.input_error("a merge needs a key"));
        }
        let mut fields = Vec::with_capacity(names.len());
        for name in names {
            let field = snapshot
                .schema
                .field_with_name(name)
                .map_err(|_| table.schema_error(name, "the key has it and the table has not"))?;
            fields.push(SortField::new(field.data_type().clone()));
        }
        let converter = RowConverter::new(fields)
            .map_err(|error| from_arrow("reading keys of", table.name.to_string(), &error))?;
        Ok(Self { table: Arc::clone(&table.name), names: names.to_vec(), converter })
    }

    fn hash(&mut self, batch: &RecordBatch) -> Result<Vec<u128>, LakeError> {
        let broken = |error: ArrowError| from_arrow("reading keys of", self.table.to_string(), &error);
        let columns = key_columns(batch, &self.names).map_err(broken)?;
        let rows = self.converter.convert_columns(&columns).map_err(broken)?;
        Ok(rows.iter().map(|row| xxh3_128(row.as_ref())).collect())
    }
}

/// Finds the smallest and the largest value of each key column. Rows of one column compare as its values do.
struct Bounds {
    table: Arc<str>,
    columns: Vec<Bound>,
}

struct Bound {
    name: String,
    converter: RowConverter,
    range: Option<(OwnedRow, OwnedRow)>,
    null: bool,
}

impl Bounds {
    fn new(table: &Shared, snapshot: &Snapshot, names: &[String]) -> Result<Self, LakeError> {
        let broken = |error: ArrowError| from_arrow("reading keys of", table.name.to_string(), &error);
        let columns = names.iter().map(|name| {
            let kind = snapshot.schema.field_with_name(name)?.data_type().clone();
            let converter = RowConverter::new(vec![SortField::new(kind)])?;
            Ok(Bound { name: name.clone(), converter, range: None, null: false })
        });
        let columns = columns.collect::<Result<_, _>>().map_err(broken)?;
        Ok(Self { table: Arc::clone(&table.name), columns })
    }

    fn extend(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let table = Arc::clone(&self.table);
        let broken = |error: ArrowError| from_arrow("reading keys of", table.to_string(), &error);
        for bound in &mut self.columns {
            let column = key_columns(batch, std::slice::from_ref(&bound.name)).map_err(broken)?;
            bound.null |= column[0].null_count() > 0;
            let rows = bound.converter.convert_columns(&column).map_err(broken)?;
            let (Some(min), Some(max)) = (rows.iter().min(), rows.iter().max()) else { continue };
            bound.range = Some(match bound.range.take() {
                Some((low, high)) => (
                    if min < low.row() { min.owned() } else { low },
                    if max > high.row() { max.owned() } else { high },
                ),
                None => (min.owned(), max.owned()),
            });
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Option<(ScalarValue, ScalarValue)>>, LakeError> {
        let table = self.table;
        let value = |bound: &Bound, row: &OwnedRow| {
            let column = bound
                .converter
                .convert_rows([row.row()])
                .map_err(|error| from_arrow("reading keys of", table.to_string(), &error))?;
            ScalarValue::try_from_array(&column[0], 0)
                .map_err(|error| from_datafusion("reading keys of", table.to_string(), &error))
        };
        let each = |bound: &Bound| match &bound.range {
            Some((min, max)) if !bound.null => Ok(Some((value(bound, min)?, value(bound, max)?))),
            _ => Ok(None),
        };
        self.columns.iter().map(each).collect()
    }
}

fn key_columns(batch: &RecordBatch, names: &[String]) -> Result<Vec<ArrayRef>, ArrowError> {
    names.iter().map(|name| Ok(Arc::clone(batch.column(batch.schema_ref().index_of(name)?)))).collect()
}

/// The key of a row, for people.
fn shown(batch: &RecordBatch, key: &[String], row: usize) -> String {
    let value = |name: &String| {
        let column = batch.column_by_name(name)?;
        Some(format!("`{name}` = `{}`", array_value_to_string(column, row).ok()?))
    };
    key.iter().filter_map(value).collect::<Vec<_>>().join(", ")
}
