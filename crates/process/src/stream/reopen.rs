//! What late rows reach of that which is closed: the joined rows within whose stretch of time they lie, and the
//! sessions that they touch.
//!
//! What a row of a join by time changes follows from its own time. A session is found by looking at the rows around:
//! as far as the longest of those sessions that are concerned reaches, whatever the length of the history.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;

use super::analyze::StreamQuery;
use super::clock::StreamState;
use super::closing::Closing;
use super::restrict::{Again, Wanted};
use super::run::{StreamRun, reading};
use super::sessions::{Around, Keys, Looking, Sessions, sessions_of};
use super::step::News;
use crate::ProcessError;

/// How many gaps around late rows are looked at first.
const GAPS_AT_FIRST: i64 = 4;

impl StreamQuery {
    /// Whether what late rows change can be told and replaced: the answer says of its rows when they close, and sessions
    /// stand by themselves.
    pub(super) fn reopens_in_part(&self) -> bool {
        let kinds = || self.scans.iter().filter_map(|scan| scan.closing.as_ref());
        let sessions = kinds().filter(|closing| matches!(closing, Closing::Sessions(_))).count();
        self.closing_column.is_some() && (sessions == 0 || sessions == kinds().count())
    }
}

impl StreamRun<'_> {
    /// What is wanted, and what late rows reach of that which was closed before.
    pub(super) async fn with_reached(
        &self,
        mut wanted: Wanted,
        before: &StreamState,
        news: &News,
    ) -> Result<Wanted, ProcessError> {
        let Some(watermark) = before.watermark else { return Ok(wanted) };
        for (first, last) in news.joined.iter() {
            let until = last.saturating_add(1).min(watermark);
            if first < until {
                wanted.again.push(Again { from: first, until, rows_from: first });
            }
        }
        if news.in_sessions.iter().next().is_some() {
            self.reach_sessions(&mut wanted, watermark, news).await?;
        }
        Ok(wanted)
    }

    async fn reach_sessions(
        &self,
        wanted: &mut Wanted,
        watermark: i64,
        news: &News,
    ) -> Result<(), ProcessError> {
        let all = sessions_of(&self.query.plan)?;
        let (tables, fresh) = (self.tables().await?, self.fresh_tables().await?);
        let looking = Looking { state: self.state, scans: &self.query.scans, tables: &tables };
        let among_new = Looking { tables: &fresh, ..looking };
        let gap = all.iter().map(|sessions| sessions.gap).max().unwrap_or_default();
        for stretch in news.in_sessions.iter() {
            let (mut from, mut end) = stretch;
            for sessions in &all {
                let keys = sessions.keys_of(&among_new, stretch).await?;
                if let Some(found) = around(&looking, sessions, keys.as_ref(), stretch, watermark).await? {
                    (from, end) = (from.min(found.start), end.max(found.end));
                }
            }
            if end >= watermark {
                // A closed one may have become part of one that is open.
                wanted.sessions_from = wanted.sessions_from.map(|known| known.min(from));
            }
            let until = end.saturating_add(1).min(watermark);
            let mut rows_from = from.saturating_sub(gap);
            for sessions in &all {
                let found = first_ending(&looking, sessions, (from, until)).await?;
                rows_from = found.map_or(rows_from, |start| rows_from.min(start));
            }
            wanted.again.push(Again { from, until, rows_from });
        }
        Ok(())
    }

    /// A table for each scan: of what the rows that are new are in, those alone.
    async fn fresh_tables(&self) -> Result<Vec<Arc<dyn TableProvider>>, ProcessError> {
        let mut tables = self.tables().await?;
        for (table, scan) in
            tables.iter_mut().zip(&self.query.scans).filter(|(_, scan)| scan.closing.is_some())
        {
            let changed =
                self.attempt.input(&scan.dataset).and_then(|input| Some((input, input.changes.as_ref()?)));
            *table = match changed {
                Some((input, changes)) if !changes.appended.is_empty() => {
                    input.table.provider_of(changes).await.map_err(reading(&scan.dataset))?
                }
                _ => Arc::new(EmptyTable::new(table.schema())),
            };
        }
        Ok(tables)
    }
}

/// From where to where those sessions reach that have a row in a stretch of time.
async fn around(
    looking: &Looking<'_>,
    sessions: &Sessions,
    keys: Option<&Keys>,
    (first, last): (i64, i64),
    watermark: i64,
) -> Result<Option<Around>, ProcessError> {
    let mut pad = sessions.gap.saturating_mul(GAPS_AT_FIRST);
    loop {
        let (from, until) = (first.saturating_sub(pad), last.saturating_add(pad).min(watermark));
        let rows = Wanted::of_rows(from, until);
        let Some(found) = sessions.over(looking, (first, last), keys, &rows).await? else { return Ok(None) };
        let begun = from == i64::MIN || found.start > from.saturating_add(sessions.gap);
        let ended = until == watermark || found.end <= until;
        if begun && ended {
            return Ok(Some(found));
        }
        pad = pad.saturating_mul(2);
    }
}

/// The start of the first one of the sessions that end from one time on and before another.
async fn first_ending(
    looking: &Looking<'_>,
    sessions: &Sessions,
    (from, until): (i64, i64),
) -> Result<Option<i64>, ProcessError> {
    let mut pad = sessions.gap.saturating_mul(GAPS_AT_FIRST);
    loop {
        let rows_from = from.saturating_sub(pad);
        let found = sessions.ending(looking, (from, until), &Wanted::of_rows(rows_from, until)).await?;
        let begun = |found: &Around| found.start > rows_from.saturating_add(sessions.gap);
        if rows_from == i64::MIN || found.as_ref().is_none_or(begun) {
            return Ok(found.map(|found| found.start));
        }
        pad = pad.saturating_mul(2);
    }
}
