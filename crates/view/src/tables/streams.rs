//! `system.streams`: how far event time is in each stream, and what holds it back.

use chrono::{DateTime, Utc};
use flowline_model::{StreamClock, StreamStatus};
use futures::FutureExt;

use crate::ViewError;
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// One stream that has run.
    "streams" => StreamRow {
        /// The dataset that it writes.
        dataset: String,
        /// Windows that end before this are closed; null before event time is known.
        watermark_at: Option<DateTime<Utc>>,
        /// How far the watermark is behind the clock.
        watermark_lag_seconds: Option<i64>,
        /// The newest event time that was read.
        newest_at: Option<DateTime<Utc>>,
        /// The input that keeps the watermark from being further; null when no input is waited for.
        held_by_input: Option<String>,
        /// The partition of that input; null when the input has no rows yet.
        held_by_partition: Option<i64>,
        /// The newest event time there.
        held_at: Option<DateTime<Utc>>,
        /// Rows of the inputs that are not read yet; null when that cannot be told.
        lag_records: Option<u64>,
        /// Rows that came behind the watermark since the table was last computed as a whole.
        late: u64,
        /// Rows whose time was so far ahead of the clock that they did not move the watermark.
        ahead: u64,
        /// The start of the oldest session that is open; null without sessions.
        oldest_open_at: Option<DateTime<Utc>>,
        /// Partial results of windows that are open.
        state_rows: u64,
        /// Bytes of its state.
        state_bytes: u64,
        /// Bytes of memory that its runs may hold, as `state.limit` declares; null when only the memory for queries limits
        /// them.
        state_limit_bytes: Option<u64>,
        /// The most memory that its last run held at once, bytes.
        memory_bytes_max: u64,
        /// What its last run put on disk since its memory did not hold it, bytes.
        spilled_bytes: u64,
        /// The rows that its last run read of its inputs: those that are new, and those that it needed again.
        rows_read: u64,
    }
}

/// `system.streams`.
#[derive(Debug)]
pub(crate) struct Streams;

impl SystemTable for Streams {
    type Row = StreamRow;

    fn read(sources: Sources, request: Request) -> Pages<StreamRow> {
        page(async move { read(&sources, &request).await }.boxed())
    }
}

async fn read(sources: &Sources, request: &Request) -> Result<Vec<StreamRow>, ViewError> {
    let now = sources.clock.now();
    let streams = sources.live.streams(request.dataset.as_ref()).await.unwrap_or_default();
    Ok(streams.into_iter().map(|stream| row(stream, now)).collect())
}

fn row(stream: StreamStatus, now: DateTime<Utc>) -> StreamRow {
    let held = stream.held_by.as_ref();
    StreamRow {
        dataset: stream.dataset.to_string(),
        watermark_at: stream.watermark,
        watermark_lag_seconds: stream.watermark.map(|watermark| (now - watermark).num_seconds()),
        newest_at: stream.clocks.iter().map(|clock| clock.newest_at).max(),
        held_by_input: held.map(|(input, _)| input.to_string()),
        held_by_partition: held.and_then(|(_, partition)| partition.map(i64::from)),
        held_at: held.and_then(|(input, partition)| {
            let clock = |clock: &&StreamClock| clock.input == *input && Some(clock.partition) == *partition;
            stream.clocks.iter().find(clock).map(|clock| clock.newest_at)
        }),
        lag_records: stream.lag_records,
        late: stream.late,
        ahead: stream.ahead,
        oldest_open_at: stream.open_since,
        state_rows: stream.state_rows,
        state_bytes: stream.state_bytes,
        state_limit_bytes: stream.state_limit,
        memory_bytes_max: stream.memory,
        spilled_bytes: stream.spilled,
        rows_read: stream.rows_read,
    }
}
