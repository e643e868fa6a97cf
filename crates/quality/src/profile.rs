//! Profiles: what rows look like, found in one pass while they are written.
//!
//! Owns: which numbers are kept of each column, and how. Numbers of all rows are exact (rows, nulls, bounds, means,
//! lengths); the different values are counted exactly up to a thousand and estimated beyond; quantiles and the values
//! that come most often are those of a sample of a thousand rows, drawn evenly and in the same way each time.
//! Does not own: where profiles are kept.

mod distinct;
mod sample;
mod texts;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, cast, lexsort_to_indices, partition, sum, take_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::Accumulator;
use flowline_lake::arrow_types;
use flowline_model::{CheckRule, Column, ColumnProfile, ColumnType, Dataset, Profile};

use crate::statistics::quantile;
use distinct::Distinct;
use sample::Sample;
use texts::Texts;

/// The shares of [`ColumnProfile::quantiles`].
pub const QUANTILES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
/// So many of the values that come most often are told.
const TOP: usize = 5;
/// So many partitions of one commit have a profile; the rows of others are not profiled.
const PARTITIONS_MAX: usize = 256;
/// A sample for distributions has so many different texts.
const FREQUENCIES_MAX: usize = 200;
/// Texts are cut to so many characters.
const TEXT_CHARACTERS_MAX: usize = 64;

/// What is looked at of a dataset's rows.
#[derive(Debug)]
struct Outline {
    columns: Vec<Outlined>,
    partitions: Vec<String>,
}

#[derive(Debug)]
struct Outlined {
    name: String,
    personal: bool,
    /// A check compares distributions of it, so that its sample is kept.
    compared: bool,
}

/// Takes in rows and says what they look like. Costs some 10 to 20 ns a value.
#[derive(Debug)]
pub struct Profiler {
    outline: Arc<Outline>,
    parts: BTreeMap<String, Part>,
}

#[derive(Debug, Default)]
struct Part {
    rows: u64,
    columns: Vec<Track>,
    sample: Sample,
}

#[derive(Debug, Default)]
struct Track {
    nulls: u64,
    distinct: Distinct,
    min: Option<ScalarValue>,
    max: Option<ScalarValue>,
    sum: Option<f64>,
    lengths: Option<(u64, u64)>,
}

impl Profiler {
    /// A profiler of the rows of a dataset with these columns; nested ones are not looked into.
    pub fn new(dataset: &Dataset, columns: &[Column]) -> Self {
        let compared = |name: &str| {
            dataset
                .checks
                .iter()
                .any(|check| matches!(&check.rule, CheckRule::Distribution { column, .. } if column == name))
        };
        let plain = |column: &&Column| {
            !matches!(
                column.data_type,
                ColumnType::List(_) | ColumnType::Struct(_) | ColumnType::Binary | ColumnType::Json
            )
        };
        let columns = columns.iter().filter(plain).map(|column| Outlined {
            name: column.name.clone(),
            personal: column.pii.is_some(),
            compared: compared(&column.name),
        });
        let outline =
            Outline { columns: columns.collect(), partitions: arrow_types::partition_columns(dataset) };
        Self { outline: Arc::new(outline), parts: BTreeMap::new() }
    }

    /// An empty one for rows of the same dataset.
    pub fn fresh(&self) -> Self {
        Self { outline: Arc::clone(&self.outline), parts: BTreeMap::new() }
    }

    /// Takes in rows. Columns are found by name; those that the batch lacks count as null.
    ///
    /// # Errors
    /// Only for types that no table has.
    pub fn update(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let keys: Vec<ArrayRef> =
            self.outline.partitions.iter().filter_map(|name| batch.column_by_name(name).cloned()).collect();
        if keys.is_empty() {
            return self.part(String::new(), batch);
        }
        let (batch, keys, ranges) = together(batch, keys)?;
        for range in ranges {
            let mut name = String::new();
            for (column, values) in self.outline.partitions.iter().zip(&keys) {
                let value = match values.is_null(range.start) {
                    true => "null".to_owned(),
                    false => array_value_to_string(values, range.start)?,
                };
                if !name.is_empty() {
                    name.push('/');
                }
                name.push_str(&format!("{column}={value}"));
            }
            self.part(name, &batch.slice(range.start, range.len()))?;
        }
        Ok(())
    }

    fn part(&mut self, name: String, batch: &RecordBatch) -> Result<(), ArrowError> {
        if self.parts.len() >= PARTITIONS_MAX && !self.parts.contains_key(&name) {
            return Ok(());
        }
        let part = self.parts.entry(name).or_default();
        part.columns.resize_with(self.outline.columns.len(), Track::default);
        part.rows += batch.num_rows() as u64;
        let mut present = Vec::with_capacity(part.columns.len());
        for (outlined, track) in self.outline.columns.iter().zip(&mut part.columns) {
            match batch.schema_ref().index_of(&outlined.name) {
                Ok(index) => {
                    track.update(batch.column(index))?;
                    present.push(index);
                }
                Err(_) => track.nulls += batch.num_rows() as u64,
            }
        }
        part.sample.update(&batch.project(&present)?)
    }

    /// The profiles of the rows so far, by partition.
    ///
    /// # Errors
    /// Only for types that no table has.
    pub fn finish(&self) -> Result<Vec<Profile>, ArrowError> {
        let profile = |(partition, part): (&String, &Part)| {
            let sample = part.sample.rows()?;
            let columns = self.outline.columns.iter().zip(&part.columns).map(|(outlined, track)| {
                let values = sample.as_ref().and_then(|sample| sample.column_by_name(&outlined.name));
                track.profile(outlined, values, part.rows)
            });
            let columns = columns.collect::<Result<_, ArrowError>>()?;
            Ok(Profile { partition: partition.clone(), rows: part.rows, columns })
        };
        self.parts.iter().map(profile).collect()
    }
}

type Ranged = (RecordBatch, Vec<ArrayRef>, Vec<std::ops::Range<usize>>);

/// The rows with those of one partition one behind the other, and where each partition lies.
fn together(batch: &RecordBatch, keys: Vec<ArrayRef>) -> Result<Ranged, ArrowError> {
    const RANGES_MAX: usize = 16;
    let ranges = partition(&keys)?.ranges();
    if ranges.len() <= RANGES_MAX {
        return Ok((batch.clone(), keys, ranges));
    }
    let columns: Vec<SortColumn> =
        keys.iter().map(|values| SortColumn { values: Arc::clone(values), options: None }).collect();
    let order: UInt32Array = lexsort_to_indices(&columns, None)?;
    let keys = keys.iter().map(|values| arrow::compute::take(values, &order, None));
    let keys: Vec<ArrayRef> = keys.collect::<Result<_, _>>()?;
    let ranges = partition(&keys)?.ranges();
    Ok((take_record_batch(batch, &order)?, keys, ranges))
}

impl Track {
    fn update(&mut self, values: &ArrayRef) -> Result<(), ArrowError> {
        self.nulls += values.null_count() as u64;
        if values.null_count() == values.len() {
            return Ok(());
        }
        self.distinct.update(values)?;
        let (least, greatest) = match values.as_string_opt::<i32>().and_then(Texts::of) {
            Some(texts) => {
                let (shortest, longest) = texts.lengths();
                let known = self.lengths.unwrap_or((shortest, longest));
                self.lengths = Some((known.0.min(shortest), known.1.max(longest)));
                texts.bounds()
            }
            None => bounds(values)?,
        };
        keep(&mut self.min, least, std::cmp::Ordering::Less);
        keep(&mut self.max, greatest, std::cmp::Ordering::Greater);
        if values.data_type().is_numeric() {
            self.sum = Some(self.sum.unwrap_or(0.0) + total(values)?);
        }
        Ok(())
    }

    fn profile(
        &self,
        outlined: &Outlined,
        sample: Option<&ArrayRef>,
        rows: u64,
    ) -> Result<ColumnProfile, ArrowError> {
        let shown = |value: &Option<ScalarValue>| {
            value.as_ref().filter(|_| !outlined.personal).map(|value| cut(&text_of(value)))
        };
        let mut profile = ColumnProfile {
            column: outlined.name.clone(),
            nulls: self.nulls,
            distinct: self.distinct.estimate(),
            min: shown(&self.min),
            max: shown(&self.max),
            mean: self.mean(rows).filter(|_| !outlined.personal),
            lengths: self.lengths,
            ..ColumnProfile::default()
        };
        let Some(sample) = sample else { return Ok(profile) };
        let numeric = sample.data_type().is_numeric();
        if numeric {
            let numbers = cast(sample, &DataType::Float64)?;
            let mut numbers: Vec<f64> = numbers
                .as_primitive::<Float64Type>()
                .iter()
                .flatten()
                .filter(|value| !value.is_nan())
                .collect();
            numbers.sort_by(f64::total_cmp);
            if !outlined.personal {
                profile.quantiles = QUANTILES.iter().filter_map(|share| quantile(&numbers, *share)).collect();
            }
            if outlined.compared && !outlined.personal {
                profile.sample = numbers;
            }
        }
        if !outlined.personal {
            let counts = counts(sample)?;
            let rows = sample.len().max(1) as f64;
            profile.top =
                counts.iter().take(TOP).map(|(value, count)| (value.clone(), *count as f64 / rows)).collect();
            if outlined.compared && !numeric {
                profile.frequencies = counts.into_iter().take(FREQUENCIES_MAX).collect();
            }
        }
        Ok(profile)
    }

    fn mean(&self, rows: u64) -> Option<f64> {
        let values = rows.saturating_sub(self.nulls);
        self.sum.filter(|sum| values > 0 && sum.is_finite()).map(|sum| sum / values as f64)
    }
}

/// The sum of numbers. Whole ones are not made an array of others first.
fn total(values: &ArrayRef) -> Result<f64, ArrowError> {
    if let Some(numbers) = values.as_primitive_opt::<Int64Type>().filter(|numbers| numbers.null_count() == 0)
    {
        return Ok(numbers.values().iter().map(|number| *number as f64).sum());
    }
    let numbers = cast(values, &DataType::Float64)?;
    Ok(sum(numbers.as_primitive::<Float64Type>()).unwrap_or(0.0))
}

/// A value as those of its column are written: a time by its date, and not by its number.
fn text_of(value: &ScalarValue) -> String {
    let written = value.to_array().ok().and_then(|value| array_value_to_string(&value, 0).ok());
    written.unwrap_or_else(|| value.to_string())
}

/// The least and the greatest value.
fn bounds(values: &ArrayRef) -> Result<(ScalarValue, ScalarValue), ArrowError> {
    let bound = |accumulator: &mut dyn Accumulator| {
        accumulator.update_batch(std::slice::from_ref(values))?;
        accumulator.evaluate()
    };
    let least = MinAccumulator::try_new(values.data_type()).and_then(|mut least| bound(&mut least));
    let greatest = MaxAccumulator::try_new(values.data_type()).and_then(|mut greatest| bound(&mut greatest));
    Ok((least.map_err(external)?, greatest.map_err(external)?))
}

fn keep(known: &mut Option<ScalarValue>, found: ScalarValue, wanted: std::cmp::Ordering) {
    if found.is_null() {
        return;
    }
    let better = known.as_ref().is_none_or(|known| found.partial_cmp(known) == Some(wanted));
    if better {
        *known = Some(found);
    }
}

fn external(error: datafusion::error::DataFusionError) -> ArrowError {
    ArrowError::ComputeError(error.strip_backtrace())
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARACTERS_MAX).collect()
}

/// The values with how often each comes, the most frequent first.
fn counts(sample: &ArrayRef) -> Result<Vec<(String, u64)>, ArrowError> {
    let mut counts = BTreeMap::<String, u64>::new();
    for row in (0..sample.len()).filter(|row| sample.is_valid(*row)) {
        *counts.entry(cut(&array_value_to_string(sample, row)?)).or_default() += 1;
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    Ok(counts)
}
