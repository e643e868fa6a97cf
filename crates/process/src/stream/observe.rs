//! What new rows say about time, read from their time column alone: how far each partition is, which windows they
//! touch, and which of them are late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_plan::execute_stream;
use flowline_lake::arrow_types::{OFFSET, PARTITION};
use futures::StreamExt;

use super::closing::Closing;
use super::disorder::{Disorder, SKEW_MIN};
use super::stretches::Stretches;
use crate::engine::MemoryShare;

/// More windows than this that new rows touch are not told one by one.
const BINS_MAX: usize = 50_000;

/// What is asked about new rows.
pub(super) struct Question<'a> {
    /// What the rows count towards, one for each mention of their dataset in the query.
    pub closings: Vec<&'a Closing>,
    /// The watermark before these rows.
    pub watermark: Option<i64>,
    /// The windows of all rows are wanted, not only those that are closed.
    pub every_window: bool,
    /// Later times do not count for the watermark.
    pub believed_until: i64,
    /// The time of the clock.
    pub now: DateTime<Utc>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// The rows.
    pub rows: u64,
    /// Those without a time: they are in no window.
    pub timeless: u64,
    /// Those that count towards nothing that is open.
    pub late: u64,
    /// Those that are too far ahead to be believed.
    pub ahead: u64,
    /// Whether a row changes something that is closed.
    pub touches_closed: bool,
    /// The newest time of each partition.
    pub newest: BTreeMap<i32, i64>,
    /// The rows of each partition that were behind the watermark or ahead of the clock, where there are any.
    pub disorder: BTreeMap<i32, Disorder>,
    /// The ends of the windows that were asked for; none when there are too many.
    pub ends: Option<BTreeSet<i64>>,
    /// When joined rows close that were asked for.
    pub joined: Stretches,
    /// The times of rows whose sessions were asked for.
    pub in_sessions: Stretches,
}

/// Looks at the rows of a table.
pub(super) async fn observe(
    state: &SessionState,
    rows: Arc<dyn TableProvider>,
    time: &str,
    question: &Question<'_>,
) -> Result<Observed> {
    let schema = rows.schema();
    let mut columns = vec![schema.index_of(time)?];
    columns.extend(schema.index_of(PARTITION).ok());
    columns.extend(schema.index_of(OFFSET).ok());
    let plan = LogicalPlanBuilder::scan("rows", provider_as_source(rows), Some(columns))?.build()?;
    let physical = state.create_physical_plan(&plan).await?;
    let mut stream = execute_stream(Arc::clone(&physical), state.task_ctx())?;
    let mut observer = Observer::new(question);
    while let Some(batch) = stream.next().await.transpose()? {
        observer.add(&batch, time)?;
    }
    MemoryShare::note_run(state, &physical, 0);
    Ok(observer.finish())
}

struct Observer<'a> {
    question: &'a Question<'a>,
    found: Observed,
    /// Rows before this time change something that is closed.
    touching_before: i64,
    /// Rows before this time count towards nothing that is open.
    late_before: i64,
    /// Rows behind this are ahead of the clock.
    ahead_of: i64,
    /// The bins of the rows whose windows are wanted, for each mention; none when there are too many.
    bins: Option<Vec<BTreeSet<i64>>>,
    last: Vec<Option<i64>>,
    /// The partition of the last row that was newer than all of it before, and the time of that row.
    newest: Option<(i32, i64)>,
}

impl<'a> Observer<'a> {
    fn new(question: &'a Question<'a>) -> Self {
        let closings = || question.closings.iter();
        let watermark = question.watermark;
        let bound = |of: fn(&Closing, i64) -> i64| {
            watermark.map(|watermark| closings().map(move |closing| of(closing, watermark)))
        };
        Self {
            question,
            found: Observed::default(),
            touching_before: bound(Closing::touching_before).and_then(Iterator::max).unwrap_or(i64::MIN),
            late_before: bound(Closing::late_before).and_then(Iterator::min).unwrap_or(i64::MIN),
            ahead_of: (question.now + SKEW_MIN).timestamp_micros(),
            bins: Some(vec![BTreeSet::new(); question.closings.len()]),
            last: vec![None; question.closings.len()],
            newest: None,
        }
    }

    fn add(&mut self, batch: &RecordBatch, time: &str) -> Result<()> {
        let wrong = || DataFusionError::Execution(format!("the event time `{time}` is no timestamp"));
        let times = batch
            .column_by_name(time)
            .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let times = times.ok_or_else(wrong)?;
        let partitions =
            batch.column_by_name(PARTITION).and_then(|column| column.as_primitive_opt::<Int32Type>());
        let offsets = batch.column_by_name(OFFSET).and_then(|column| column.as_primitive_opt::<Int64Type>());
        self.found.rows += batch.num_rows() as u64;
        self.found.timeless += times.null_count() as u64;
        for (row, time) in times.iter().enumerate() {
            let Some(time) = time else { continue };
            let partition = partitions.filter(|all| all.is_valid(row)).map_or(0, |all| all.value(row));
            self.see(time, partition);
            if time > self.ahead_of || self.question.watermark.is_some_and(|watermark| time < watermark) {
                let offset = offsets.filter(|all| all.is_valid(row)).map(|all| all.value(row));
                self.astray(time, partition, offset);
            }
        }
        Ok(())
    }

    /// Counts a row that is behind the watermark or ahead of the clock.
    fn astray(&mut self, time: i64, partition: i32, offset: Option<i64>) {
        let disorder = self.found.disorder.entry(partition).or_default();
        if let Some(behind) =
            self.question.watermark.map(|watermark| watermark.saturating_sub(time)).filter(|by| *by > 0)
        {
            disorder.behind.add(behind, offset);
        }
        if time > self.ahead_of {
            disorder.ahead.add(time.saturating_sub(self.question.now.timestamp_micros()), offset);
        }
    }

    fn see(&mut self, time: i64, partition: i32) {
        if time > self.question.believed_until {
            self.found.ahead += 1;
        } else if self.newest.is_none_or(|(of, newest)| of != partition || newest < time) {
            let newest = self.found.newest.entry(partition).or_insert(time);
            *newest = (*newest).max(time);
            self.newest = Some((partition, *newest));
        }
        let touching = time < self.touching_before;
        self.found.touches_closed |= touching;
        self.found.late += u64::from(time < self.late_before);
        if touching || self.question.every_window {
            self.want(time);
        }
    }

    /// Notes the windows of a time. Rows that follow each other mostly lie in the same bin.
    fn want(&mut self, time: i64) {
        let Some(bins) = &mut self.bins else { return };
        for (index, closing) in self.question.closings.iter().enumerate() {
            match closing {
                Closing::Sessions(gap) => self.found.in_sessions.add(time, time, *gap),
                Closing::Span { first, last } => {
                    let (first, last) = (time.saturating_add(*first), time.saturating_add(*last));
                    self.found.joined.add(first, last, 0);
                }
                Closing::Windows(_) => {}
            }
            let Some(bin) = closing.bin(time) else { continue };
            if self.last[index] != Some(bin) {
                self.last[index] = Some(bin);
                bins[index].insert(bin);
                if bins[index].len() > BINS_MAX {
                    self.bins = None;
                    return;
                }
            }
        }
    }

    fn finish(self) -> Observed {
        let Self { question, mut found, bins, .. } = self;
        found.ends = bins.and_then(|bins| {
            let mut ends = BTreeSet::new();
            let each = question.closings.iter().zip(&bins);
            let told = each
                .flat_map(|(closing, bins)| bins.iter().map(move |bin| (closing, *bin)))
                .all(|(closing, bin)| closing.add_ends(bin, &mut ends));
            told.then_some(ends)
        });
        found
    }
}
