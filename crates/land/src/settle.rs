//! The second half of landing, in the order of the records: what was seen before, and what is written where.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use flowline_lake::arrow_types;
use flowline_model::{Dataset, Drift, Fate, FindingKind};
use flowline_quality::RowVerdicts;

use crate::decode::{Decoded, Place, Rejected};
use crate::drift::{SetAside, Watched};
use crate::examine::Compared;
use crate::findings::{Findings, rejected_message};
use crate::keys::{Journal, KeyVerdict, Keys};
use crate::parcel::Parcel;
use crate::quarantine::{self, RejectedRecord};
use crate::stamp::{self, Stamp};

/// What became of a parcel.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Rows for the data table.
    pub(crate) rows: Vec<RecordBatch>,
    /// Where each row came from; only of use to a replay.
    pub(crate) places: Vec<Place>,
    /// Rows for the quarantine table.
    pub(crate) rejected: Option<RecordBatch>,
    /// Where the duplicates stood.
    pub(crate) duplicates: Vec<Place>,
    /// What the keys took in.
    pub(crate) journal: Journal,
    /// The newest event time among the rows, microseconds.
    pub(crate) event_time_max: Option<i64>,
}

/// Finds duplicates, stamps rows and writes down what was rejected. Busy for the whole time: belongs on a blocking
/// thread.
pub(crate) fn settle(
    dataset: &Dataset,
    compared: Compared,
    keys: &mut Keys,
    stamp: &mut Stamp,
    findings: &mut Findings,
) -> Result<Settled, ArrowError> {
    let Compared { parcel, decoded, watched, .. } = compared;
    let mut settled = Settled::default();
    let mut rejected: Vec<RejectedRecord<'_>> = Vec::new();
    for (index, (decoded, verdicts)) in decoded.iter().enumerate() {
        let aside = watched.aside.get(index).map(Vec::as_slice).unwrap_or_default();
        let fates = fates(decoded, verdicts, aside, keys, stamp, &mut settled)?;
        settle_rows(dataset, &parcel, decoded, &fates.passed, stamp, &mut settled)?;
        let arrow = decoded.arrow.as_ref();
        rejected.extend(fates.rejected.into_iter().map(|rejected| RejectedRecord { rejected, arrow }));
        rejected
            .extend(decoded.rejected.iter().map(|found| RejectedRecord { rejected: found.clone(), arrow }));
    }
    for (constraint, keys) in keys.tidy(seconds(stamp)) {
        findings.add_count(FindingKind::KeysForgotten, &constraint, keys, || {
            format!("there are more keys of `{constraint}` within the horizon than are remembered: the oldest were forgotten, and a duplicate of them is landed again; shorten `dedupe_horizon`")
        });
    }
    if !rejected.is_empty() {
        rejected.sort_by_key(|record| record.rejected.place);
        note(dataset, &parcel, &rejected, &watched, findings);
        settled.rejected = Some(quarantine::rows(&parcel, rejected, stamp)?);
    }
    for found in watched.found {
        findings.found(found);
    }
    Ok(settled)
}

/// What becomes of the rows of one batch; the duplicates are noted where they are found.
struct Fates {
    passed: Vec<bool>,
    rejected: Vec<Rejected>,
}

/// A row that fails a rule leaves no key behind.
fn fates(
    decoded: &Decoded,
    verdicts: &RowVerdicts,
    aside: &[SetAside],
    keys: &mut Keys,
    stamp: &Stamp,
    settled: &mut Settled,
) -> Result<Fates, ArrowError> {
    let mut fates = Fates { passed: vec![true; decoded.places.len()], rejected: Vec::new() };
    for (row, failure) in verdicts.failures() {
        fates.passed[row] = false;
        fates.rejected.push(Rejected {
            place: decoded.places[row],
            reason: failure.reason,
            column: failure.column,
            message: failure.message,
        });
    }
    for set in aside.iter().filter(|set| set.row < decoded.places.len()) {
        // A row that fails a rule is in quarantine for that.
        if std::mem::replace(&mut fates.passed[set.row], false) {
            fates.rejected.push(Rejected {
                place: decoded.places[set.row],
                reason: set.kind,
                column: set.column.clone(),
                message: set.message.clone(),
            });
        }
    }
    if keys.is_empty() {
        return Ok(fates);
    }
    let (seen, added) = keys.look(&decoded.rows, |row| fates.passed[row], seconds(stamp))?;
    settled.journal.extend(added);
    for (row, seen) in seen.into_iter().enumerate().filter(|(_, seen)| *seen != KeyVerdict::New) {
        fates.passed[row] = false;
        match seen {
            KeyVerdict::New => {}
            KeyVerdict::Duplicate => settled.duplicates.push(decoded.places[row]),
            KeyVerdict::Repeated(number) => {
                let column = keys.unique_column(number).to_owned();
                fates.rejected.push(Rejected {
                    place: decoded.places[row],
                    reason: FindingKind::FailedRule,
                    message: format!("the value of `{column}` must be unique and was seen before"),
                    column: Some(column),
                });
            }
        }
    }
    Ok(fates)
}

fn seconds(stamp: &Stamp) -> u32 {
    u32::try_from(stamp.ingested_at / 1_000_000).unwrap_or(0)
}

/// The rows that pass, in the shape of the table.
fn settle_rows(
    dataset: &Dataset,
    parcel: &Parcel,
    decoded: &Decoded,
    passed: &[bool],
    stamp: &mut Stamp,
    settled: &mut Settled,
) -> Result<(), ArrowError> {
    let all = passed.iter().all(|passed| *passed);
    let (rows, places) = if all {
        (decoded.rows.clone(), decoded.places.clone())
    } else {
        let rows = filter_record_batch(&decoded.rows, &BooleanArray::from(passed.to_vec()))?;
        let kept = decoded.places.iter().zip(passed).filter(|(_, passed)| **passed);
        (rows, kept.map(|(place, _)| *place).collect())
    };
    if places.is_empty() {
        return Ok(());
    }
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    let newest = stamp::event_time_max(dataset, &columns);
    settled.event_time_max = settled.event_time_max.max(newest);
    let partitions = stamp::partition_columns(dataset, rows.columns());
    columns.extend(stamp.columns(parcel, &places));
    columns.extend(partitions);
    settled.rows.push(RecordBatch::try_new(Arc::clone(&arrow_types::landed_schema(dataset)), columns)?);
    settled.places.extend(places);
    Ok(())
}

fn note(
    dataset: &Dataset,
    parcel: &Parcel,
    rejected: &[RejectedRecord<'_>],
    watched: &Watched,
    findings: &mut Findings,
) {
    for RejectedRecord { rejected, .. } in rejected {
        // What is set aside because of drift has its finding already.
        if is_drift(rejected.reason) {
            continue;
        }
        let column = rejected.column.as_deref();
        let position = parcel.position(stamp::offset(parcel, rejected.place));
        findings.add(rejected.reason, column.unwrap_or("record"), position, || {
            rejected_message(dataset, rejected.reason, column)
        });
        if rejected.reason == FindingKind::Missing {
            findings.explain(rejected.reason, column.unwrap_or("record"), || Drift {
                producer: parcel.source.to_string(),
                examples: Vec::new(),
                fate: Fate::Quarantined,
                closest_version: watched.closest,
                renamed: column.and_then(|column| watched.renames.get(column)).cloned(),
            });
        } else if rejected.reason == FindingKind::WrongType {
            findings.explain(rejected.reason, column.unwrap_or("record"), || Drift {
                producer: parcel.source.to_string(),
                fate: Fate::Quarantined,
                ..Drift::default()
            });
        }
    }
}

/// Whether records are in quarantine for not being like others.
pub(crate) fn is_drift(reason: FindingKind) -> bool {
    matches!(
        reason,
        FindingKind::UnknownField
            | FindingKind::MissingField
            | FindingKind::NullShare
            | FindingKind::CoercedType
            | FindingKind::ChangedUnit
            | FindingKind::ChangedValues
    )
}
