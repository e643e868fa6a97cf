//! `system.positions`: how far every hop has read each of its inputs, and how far it could.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use flowline_model::{Commit, DatasetName, Position};
use futures::FutureExt;

use crate::ViewError;
use crate::facts::newest_commits;
use crate::live::LogPartition;
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// One input of one hop.
    "positions" => PositionRow {
        /// The dataset that the hop writes.
        dataset: String,
        /// `log/0` for a partition of the log (`log/<topic id>/0` of one in Kafka), `kafka/<topic id>/0` for one of a topic, a
        /// dataset's name for a table, and with `/0` behind it for the part of a divided stream that reads one partition.
        input: String,
        /// Where the first run began.
        first: i64,
        /// Where the next run begins.
        next: i64,
        /// What the runs read of it together.
        covered: i64,
        /// Offsets of the log that no run read (negative: read twice); null for tables and topics, whose numbers may have
        /// gaps.
        gap: Option<i64>,
        /// When it last moved.
        moved_at: DateTime<Utc>,
        /// The end of the partition, or the newest version of the table; null where nobody can tell.
        newest: Option<i64>,
        /// `newest` less `next`: records or versions that wait.
        lag: Option<i64>,
        /// The oldest offset that is kept.
        log_start: Option<u64>,
        /// Bytes of the partition on disk.
        log_bytes: Option<u64>,
        /// Appends that wait for their sync.
        log_queued: Option<u64>,
        /// When the newest record was received.
        last_received_at: Option<DateTime<Utc>>,
    }
}

/// `system.positions`.
#[derive(Debug)]
pub(crate) struct Positions;

impl SystemTable for Positions {
    type Row = PositionRow;

    fn read(sources: Sources, request: Request) -> Pages<PositionRow> {
        page(async move { read(&sources, &request).await }.boxed())
    }
}

async fn read(sources: &Sources, request: &Request) -> Result<Vec<PositionRow>, ViewError> {
    let positions = sources.ledger.positions(request.dataset.as_ref()).await?;
    let standings = sources.ledger.standings().await?;
    let commits = newest_commits(&standings);
    let partitions = sources.live.log_partitions().await.unwrap_or_default();
    Ok(positions.iter().map(|position| row(position, &partitions, &commits)).collect())
}

fn row(
    position: &Position,
    partitions: &[LogPartition],
    commits: &HashMap<DatasetName, &Commit>,
) -> PositionRow {
    let partition = partitions
        .iter()
        .find(|partition| partition.dataset == position.hop && partition.input == position.input);
    let dataset = position.input.split('/').next().unwrap_or_default();
    let table = dataset.parse().ok().and_then(|input: DatasetName| commits.get(&input));
    let end = partition.map(|partition| partition.end as i64);
    let newest = end.or_else(|| table.map(|commit| commit.version));
    PositionRow {
        dataset: position.hop.to_string(),
        input: position.input.clone(),
        first: position.first,
        next: position.next,
        covered: position.covered,
        gap: position.of_log().then(|| position.gap()),
        moved_at: position.moved_at,
        newest,
        lag: newest.map(|newest| (newest - position.next).max(0)),
        log_start: partition.map(|partition| partition.start),
        log_bytes: partition.map(|partition| partition.bytes),
        log_queued: partition.map(|partition| partition.queued),
        last_received_at: partition.and_then(|partition| partition.last_received_at),
    }
}
