//! `system.state`: what streams remember between their runs, beside the versions that they have read.

use chrono::{DateTime, Utc};
use futures::FutureExt;

use crate::ViewError;
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// Event time in one partition of one input of a stream.
    "state" => StateRow {
        /// The dataset that the stream writes.
        dataset: String,
        /// The input.
        input: String,
        /// The partition of the log that the input's rows came from.
        partition: i64,
        /// The newest event time.
        newest_at: DateTime<Utc>,
        /// When rows of it came last.
        seen_at: DateTime<Utc>,
        /// It is no longer waited for.
        idle: bool,
    }
}

/// `system.state`.
#[derive(Debug)]
pub(crate) struct State;

impl SystemTable for State {
    type Row = StateRow;

    fn read(sources: Sources, request: Request) -> Pages<StateRow> {
        page(async move { read(&sources, &request).await }.boxed())
    }
}

async fn read(sources: &Sources, request: &Request) -> Result<Vec<StateRow>, ViewError> {
    let streams = sources.live.streams(request.dataset.as_ref()).await.unwrap_or_default();
    let rows = streams.into_iter().flat_map(|stream| {
        let dataset = stream.dataset.to_string();
        stream.clocks.into_iter().map(move |clock| StateRow {
            dataset: dataset.clone(),
            input: clock.input.to_string(),
            partition: i64::from(clock.partition),
            newest_at: clock.newest_at,
            seen_at: clock.seen_at,
            idle: clock.idle,
        })
    });
    Ok(rows.collect())
}
