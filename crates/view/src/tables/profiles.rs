//! `system.profiles`: what the rows of commits look like, column by column.

use chrono::{DateTime, Utc};
use flowline_ledger::ProfileFilter;
use flowline_model::RecordedProfile;
use futures::stream::{self, StreamExt};

use crate::ViewError;
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable};

/// Profiles of the first page; each has a row a column.
const PAGE_FIRST: u32 = 50;
/// Profiles of a page: a profile of many columns with samples has tens of kilobytes.
const PAGE_MAX: u32 = 800;

system_row! {
    /// What the values of one column look like, of the rows that one commit added to one partition.
    "profiles" => ProfileRow {
        /// The dataset.
        dataset: String,
        /// The version of its table that added the rows; for a dataset that is landed all the time, the last of a minute.
        version: i64,
        /// The partition; empty for a table without partitions.
        partition: String,
        /// The column.
        name: String,
        /// Rows.
        rows: u64,
        /// Rows without a value.
        nulls: u64,
        /// Different values: exact up to about a thousand, estimated beyond.
        distinct: u64,
        /// The least value, as text; none for personal data.
        min: Option<String>,
        /// The greatest value, as text.
        max: Option<String>,
        /// The mean of numbers.
        mean: Option<f64>,
        /// Half of the numbers lie below, estimated from a sample.
        median: Option<f64>,
        /// 5 percent of the numbers lie below, estimated from a sample.
        p05: Option<f64>,
        /// 95 percent of the numbers lie below, estimated from a sample.
        p95: Option<f64>,
        /// The least length of texts, characters.
        length_min: Option<u64>,
        /// The greatest length of texts, characters.
        length_max: Option<u64>,
        /// The values that come most often, `EUR (72 %)`, estimated from a sample.
        top: Vec<String>,
        /// When the rows were committed.
        profiled_at: DateTime<Utc>,
    }
}

/// `system.profiles`.
#[derive(Debug)]
pub(crate) struct Profiles;

impl SystemTable for Profiles {
    type Row = ProfileRow;
    const NEWEST_FIRST_BY: Option<&'static str> = Some("profiled_at");

    fn read(sources: Sources, request: Request) -> Pages<ProfileRow> {
        let first = ProfileFilter {
            dataset: request.dataset,
            version: request.version,
            limit: Some(PAGE_FIRST),
            ..ProfileFilter::default()
        };
        stream::try_unfold((sources, Some(first)), |(sources, next)| async move {
            let Some(filter) = next else { return Ok(None) };
            let profiles = sources.ledger.profiles(&filter).await.map_err(ViewError::from)?;
            let limit = filter.limit.unwrap_or(PAGE_FIRST);
            let full = profiles.last().filter(|_| profiles.len() as u64 >= u64::from(limit));
            let next = full.map(|last| ProfileFilter {
                behind: Some(last.into()),
                limit: Some(limit.saturating_mul(4).min(PAGE_MAX)),
                ..filter.clone()
            });
            Ok(Some((profiles.iter().flat_map(rows).collect(), (sources, next))))
        })
        .boxed()
    }
}

fn rows(recorded: &RecordedProfile) -> Vec<ProfileRow> {
    let columns = recorded.profile.columns.iter().map(|column| {
        // The shares of `flowline_model::ColumnProfile::quantiles`.
        let [p05, median, p95] = [1, 3, 5].map(|index| column.quantiles.get(index).copied());
        ProfileRow {
            dataset: recorded.dataset.to_string(),
            version: recorded.version,
            partition: recorded.profile.partition.clone(),
            name: column.column.clone(),
            rows: recorded.profile.rows,
            nulls: column.nulls,
            distinct: column.distinct,
            min: column.min.clone(),
            max: column.max.clone(),
            mean: column.mean,
            median,
            p05,
            p95,
            length_min: column.lengths.map(|(least, _)| least),
            length_max: column.lengths.map(|(_, most)| most),
            top: column
                .top
                .iter()
                .map(|(value, share)| format!("{value} ({:.0} %)", share * 100.0))
                .collect(),
            profiled_at: recorded.profiled_at,
        }
    });
    columns.collect()
}
