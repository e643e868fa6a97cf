//! Which records of the log made no row when they were landed.
//!
//! A contract may be another one by the time when records are decoded again: what was rejected then, and is in quarantine
//! or was replayed from there, would be a row as well. So its offsets lie beside the table, in a small file for each flush
//! that rejected anything, written before the commit of the flush.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use bytes::Bytes;
use flowline_lake::{LakeError, OffsetRange, Table, arrow_types};
use parking_lot::Mutex;

/// The folder of the files: `_kept_aside/log.0/<from>-<to>-<run>`.
const FOLDER: &str = "_kept_aside";
/// So many files are written before it is looked whether older ones are of use still.
const TIDY_EVERY: usize = 256;

/// The offsets that made no row, as far as they were read.
#[derive(Debug, Default)]
pub(super) struct Asides {
    read: Mutex<HashMap<String, Offsets>>,
}

type Offsets = Arc<[Range<i64>]>;

/// A file by its name.
struct Named {
    path: String,
    from: i64,
    to: i64,
    run: String,
}

impl Asides {
    /// Puts down which offsets of a flush made no row. Whether there is cause to tidy.
    pub(super) async fn put(
        &self,
        table: &Table,
        range: &OffsetRange,
        offsets: &[i64],
    ) -> Result<bool, LakeError> {
        let run = range.run.as_deref().unwrap_or_default();
        let path = format!("{}/{:020}-{:020}-{run}", folder(&range.input), range.from, range.to);
        if offsets.is_empty() || self.read.lock().contains_key(&path) {
            return Ok(false);
        }
        let offsets = joined(offsets.iter().map(|offset| *offset..offset + 1).collect());
        let lines: String = offsets.iter().map(|part| format!("{}-{}\n", part.start, part.end)).collect();
        table.put_beside(&path, Bytes::from(lines)).await?;
        let mut read = self.read.lock();
        read.insert(path, offsets.into());
        Ok(read.len().is_multiple_of(TIDY_EVERY))
    }

    /// The offsets of a range that made no row, in their order. Lists a folder, unless every offset made one.
    pub(super) async fn of(&self, table: &Table, range: &OffsetRange) -> Result<Vec<Range<i64>>, LakeError> {
        if range.rows.and_then(|rows| i64::try_from(rows).ok()) == Some(range.to - range.from) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for named in listed(table, &range.input).await? {
            let same_run = range.run.as_ref().is_none_or(|run| *run == named.run);
            if same_run && named.from < range.to && named.to > range.from {
                found.extend(self.offsets(table, named.path).await?.iter().cloned());
            }
        }
        Ok(joined(found))
    }

    async fn offsets(&self, table: &Table, path: String) -> Result<Offsets, LakeError> {
        if let Some(known) = self.read.lock().get(&path) {
            return Ok(Arc::clone(known));
        }
        let bytes = table.read_beside(&path).await?;
        let parsed = std::str::from_utf8(&bytes).ok().and_then(parse);
        let offsets: Offsets = parsed
            .ok_or_else(|| LakeError::Corrupt {
                path: format!("{}/{path}", table.id().folder()),
                reason: "these are no offsets".to_owned(),
            })?
            .into();
        self.read.lock().insert(path, Arc::clone(&offsets));
        Ok(offsets)
    }

    /// Deletes what is of no use: of offsets that the log no longer holds, and, where landing begins, of flushes that were
    /// never committed.
    pub(super) async fn tidy(
        &self,
        table: &Table,
        input: &str,
        oldest: i64,
        landed: Option<i64>,
    ) -> Result<(), LakeError> {
        let of_no_use =
            |named: &Named| named.to <= oldest || landed.is_some_and(|landed| named.from >= landed);
        let gone: Vec<String> =
            listed(table, input).await?.into_iter().filter(of_no_use).map(|named| named.path).collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.read.lock().retain(|path, _| !gone.contains(path));
        table.delete_beside(&gone).await
    }
}

/// The rows whose offsets are in none of the ranges, which are in their order and apart.
pub(super) fn without(rows: &RecordBatch, aside: &[Range<i64>]) -> Result<RecordBatch, ArrowError> {
    let Some(offsets) = offsets_of(rows).filter(|_| !aside.is_empty()) else { return Ok(rows.clone()) };
    let stays: BooleanArray = offsets.iter().map(|offset| Some(!is_in(aside, *offset))).collect();
    filter_record_batch(rows, &stays)
}

/// The offsets of rows, or of records in quarantine.
pub(crate) fn offsets_of(rows: &RecordBatch) -> Option<&[i64]> {
    let offsets = rows.column_by_name(arrow_types::OFFSET)?;
    Some(offsets.as_primitive_opt::<Int64Type>()?.values())
}

pub(super) fn is_in(aside: &[Range<i64>], offset: i64) -> bool {
    let behind = aside.partition_point(|part| part.start <= offset);
    aside[..behind].last().is_some_and(|part| part.contains(&offset))
}

fn folder(input: &str) -> String {
    format!("{FOLDER}/{}", input.replace('/', "."))
}

async fn listed(table: &Table, input: &str) -> Result<Vec<Named>, LakeError> {
    let named = |path: String| {
        let mut parts = path.rsplit('/').next()?.splitn(3, '-').map(str::to_owned);
        let (from, to) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let run = parts.next()?;
        Some(Named { from, to, run, path })
    };
    Ok(table.list_beside(&folder(input)).await?.into_iter().filter_map(named).collect())
}

fn parse(text: &str) -> Option<Vec<Range<i64>>> {
    let part = |line: &str| {
        let (from, to) = line.split_once('-')?;
        Some(from.parse().ok()?..to.parse().ok()?)
    };
    text.lines().map(part).collect()
}

/// The ranges in their order, those that meet as one.
fn joined(mut found: Vec<Range<i64>>) -> Vec<Range<i64>> {
    found.sort_unstable_by_key(|part| part.start);
    let mut parts: Vec<Range<i64>> = Vec::new();
    for part in found {
        match parts.last_mut().filter(|last| last.end >= part.start) {
            Some(last) => last.end = last.end.max(part.end),
            None => parts.push(part),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn offsets_are_put_down_as_ranges() {
        let parts = joined(vec![7..8, 3..4, 4..6, 4..5, 9..10]);
        assert_eq!(parts, [3..6, 7..8, 9..10]);
        assert_eq!(parse("3-6\n7-8\n"), Some(vec![3..6, 7..8]));
        assert_eq!(parse("3-6\nx\n"), None);
        let aside: Vec<i64> = (0..12).filter(|offset| is_in(&parts, *offset)).collect();
        assert_eq!(aside, [3, 4, 5, 7, 9]);
        let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(2..10));
        let rows = RecordBatch::try_from_iter([(arrow_types::OFFSET, offsets)]).expect("one column");
        let left = without(&rows, &parts).expect("a filter");
        assert_eq!(offsets_of(&left), Some([2, 6, 8].as_slice()));
    }
}
