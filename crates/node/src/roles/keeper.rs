//! Lets the log go of rows that stay in it, once all who read them have read them.
//!
//! Every node that lands looks for itself, in the lake: transforms may run elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use flowline_base::chain;
use flowline_lake::{Table, TableId};
use flowline_land::{KeptInLog, LandContext, read_kept};
use flowline_model::{Dataset, DatasetName, Origin, Plan};
use flowline_process::Transformer;
use tokio_util::sync::CancellationToken;

use crate::storage::Storage;
use crate::tasks::{TaskKind, Tasks};

/// How often it is looked who has read what, when nothing is committed here.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same while commits follow each other: what was read should not take memory any longer.
const GATHER: Duration = Duration::from_millis(20);

/// Lets this process read the rows of the plan that stay in the log.
pub fn read_kept_of(plan: &Plan, context: &LandContext) -> anyhow::Result<()> {
    for dataset in plan.datasets.iter().filter(|dataset| dataset.kept_in_log()) {
        let cluster = plan.environment.kafka_of_sources().cloned();
        read_kept(context, &Arc::new(dataset.clone()), cluster)?;
    }
    Ok(())
}

/// Starts to look, where rows stay in the log.
pub fn start(tasks: &Tasks, storage: &Storage, transformer: Transformer, context: &LandContext) {
    if !storage.plan.datasets.iter().any(Dataset::kept_in_log) {
        return;
    }
    let (storage, context) = (storage.clone(), context.clone());
    tasks.start(TaskKind::Keeper, "", move |shutdown| {
        let keeper = Keeper::new(&storage, &transformer, &context);
        async move { keeper.run(&shutdown).await }
    });
}

struct Keeper {
    storage: Storage,
    transformer: Transformer,
    kept: Vec<Reading>,
}

impl Keeper {
    fn new(storage: &Storage, transformer: &Transformer, context: &LandContext) -> Self {
        let kept = storage.plan.datasets.iter().filter(|dataset| dataset.kept_in_log());
        let kept = kept.filter_map(|dataset| {
            let readers = readers(&storage.plan, transformer, &dataset.name);
            let table = storage.lake.table(TableId::of(dataset));
            let rows = context.kept.of(&dataset.name)?;
            Some(Reading { dataset: dataset.name.clone(), table, rows, readers, landed: Landed::default() })
        });
        Self { storage: storage.clone(), transformer: transformer.clone(), kept: kept.collect() }
    }

    async fn run(mut self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let mut commits = self.storage.lake.commits();
        loop {
            for reading in &mut self.kept {
                if let Err(error) = reading.look(&self.transformer).await {
                    // Nothing is let go of that may not have been read; the log fills, and says so.
                    tracing::warn!(dataset = %reading.dataset, error = chain(error.as_ref()), "who has read the rows that stay in the log is not known");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(LOOK_EVERY) => {}
                Ok(()) = commits.changed() => tokio::time::sleep(GATHER).await,
            }
        }
    }
}

/// The transforms that read a dataset's table.
fn readers(plan: &Plan, transformer: &Transformer, dataset: &DatasetName) -> Vec<DatasetName> {
    let written = |other: &&Dataset| matches!(other.origin, Origin::Sql(_)) && other.materialized();
    let names = plan.datasets.iter().filter(written).map(|other| other.name.clone());
    names.filter(|name| transformer.reads(name).contains(dataset)).collect()
}

/// One dataset whose rows stay in the log.
struct Reading {
    dataset: DatasetName,
    table: Table,
    rows: Arc<KeptInLog>,
    readers: Vec<DatasetName>,
    landed: Landed,
}

impl Reading {
    async fn look(&mut self, transformer: &Transformer) -> anyhow::Result<()> {
        let Some(version) = self.table.refresh().await? else { return Ok(()) };
        let Some(read) = self.read(transformer, version).await? else { return Ok(()) };
        let seen = self.landed.seen.unwrap_or(read);
        if seen < version {
            let changes = self.table.changes(Some(seen), version).await?;
            let ranges = changes.appended.iter().filter_map(|file| file.offsets());
            self.landed.add(version, ranges.map(|range| (range.partition, range.from, range.to)));
        }
        self.landed.seen = Some(seen.max(version));
        for (partition, offset) in self.landed.pass(read) {
            // Neither is negative: they are those of a log.
            self.rows.release(partition as u32, offset as u64).await?;
        }
        Ok(())
    }

    /// The version that all readers have read; none while one has read nothing.
    async fn read(&self, transformer: &Transformer, version: i64) -> anyhow::Result<Option<i64>> {
        let mut least = version;
        for reader in &self.readers {
            match transformer.consumed(reader).await?.get(&self.dataset) {
                Some(read) => least = least.min(*read),
                None => return Ok(None),
            }
        }
        Ok(Some(least))
    }
}

/// What was landed, as far as not all have read it.
#[derive(Debug, Default)]
struct Landed {
    /// The last version that was looked at.
    seen: Option<i64>,
    /// `(version, partition, from, to)`: offsets that were landed up to a version.
    ranges: VecDeque<(i64, i32, i64, i64)>,
    /// Where each partition begins that nobody has to read, as far as the log was told.
    told: BTreeMap<i32, i64>,
}

impl Landed {
    fn add(&mut self, version: i64, ranges: impl IntoIterator<Item = (i32, i64, i64)>) {
        self.ranges.extend(ranges.into_iter().map(|(partition, from, to)| (version, partition, from, to)));
    }

    /// Everything up to this version was read: how far the log may let go of each partition, where that is news.
    fn pass(&mut self, read: i64) -> Vec<(i32, i64)> {
        let mut passed = BTreeMap::new();
        while let Some((_, partition, _, to)) = self.ranges.pop_front_if(|(version, ..)| *version <= read) {
            passed.insert(partition, to);
        }
        for (_, partition, from, _) in &self.ranges {
            // Before what is first to be read, nothing is to be read.
            passed.entry(*partition).or_insert(*from);
        }
        passed.retain(|partition, offset| self.told.get(partition).is_none_or(|told| *told < *offset));
        self.told.extend(passed.iter().map(|(partition, offset)| (*partition, *offset)));
        passed.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_lets_go_of_what_all_have_read() {
        let mut landed = Landed::default();
        landed.add(4, [(0, 10, 20), (1, 7, 9)]);
        assert_eq!(landed.pass(3), [(0, 10), (1, 7)], "what lies before it was read");
        landed.add(6, [(0, 20, 50)]);
        assert_eq!(landed.pass(3), []);
        assert_eq!(landed.pass(5), [(0, 20), (1, 9)]);
        assert_eq!(landed.pass(6), [(0, 50)]);
        assert_eq!(landed.pass(9), []);
    }
}
