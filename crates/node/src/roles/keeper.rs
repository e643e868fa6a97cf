//! Lets the log go of rows that stay in it, once all who read them have read them.
//!
//! Every node that lands looks for itself, in the lake: transforms may run elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use flowline_base::chain;
use flowline_lake::{LakeError, Table, TableId};
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

/// Lets this process read the rows of the plan that stay in the log, also those of datasets that are kept in a table by now:
/// some of their readers may not have come to it.
pub fn read_kept_of(plan: &Plan, context: &LandContext) -> anyhow::Result<()> {
    let cluster = plan.environment.kafka_of_sources();
    let may_be = |dataset: &&Dataset| match dataset.origin {
        Origin::Http(_) => true,
        Origin::Kafka(_) => dataset.kept_in_log() || cluster.is_some(),
        _ => false,
    };
    for dataset in plan.datasets.iter().filter(may_be) {
        read_kept(context, &Arc::new(dataset.clone()), cluster.cloned())?;
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
        let seen = match self.landed.seen {
            Some(seen) => seen,
            None => {
                self.landed.add(read, self.inputs(self.positions(read).await?));
                read
            }
        };
        if seen < version {
            // Of commits that are no longer kept it is not known what they moved: a later one says it as well.
            for entry in self.table.history(Some(seen), usize::MAX).await?.into_iter().rev() {
                self.landed.add(entry.version, self.inputs(entry.transactions));
            }
        }
        self.landed.seen = Some(seen.max(version));
        self.landed.pass(read);
        while let Some((input, offset)) = self.landed.due.pop_first() {
            // Never negative: it is that of a log.
            if let Err(error) = self.rows.release(&input, offset as u64).await {
                self.landed.due.insert(input, offset);
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// How far everything was landed at a version, as far as that is still known.
    async fn positions(&self, version: i64) -> Result<Vec<(String, i64)>, LakeError> {
        match self.table.positions(version).await {
            Err(LakeError::NotFound { .. }) => Ok(Vec::new()),
            positions => positions,
        }
    }

    /// The positions by what the inputs are called.
    fn inputs(&self, positions: Vec<(String, i64)>) -> Vec<(String, i64)> {
        let prefix = format!("{}/", self.dataset);
        let input =
            |(app_id, offset): (String, i64)| Some((app_id.strip_prefix(&prefix)?.to_owned(), offset));
        positions.into_iter().filter_map(input).collect()
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

/// What was landed, as far as not all have read it: positions, and not the rows between them. Records that became none
/// (they were all rejected) are let go of as well.
#[derive(Debug, Default)]
struct Landed {
    /// The last version that was looked at.
    seen: Option<i64>,
    /// `(version, input, offset)`: how far an input was landed with a version.
    moved: VecDeque<(i64, String, i64)>,
    /// How far each input was read, as far as the log is still to be told.
    due: BTreeMap<String, i64>,
}

impl Landed {
    fn add(&mut self, version: i64, moved: Vec<(String, i64)>) {
        self.moved.extend(moved.into_iter().map(|(input, offset)| (version, input, offset)));
    }

    /// Everything up to this version was read.
    fn pass(&mut self, read: i64) {
        while let Some((_, input, offset)) = self.moved.pop_front_if(|(version, ..)| *version <= read) {
            self.due.insert(input, offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(positions: &[(&str, i64)]) -> Vec<(String, i64)> {
        positions.iter().map(|(input, offset)| ((*input).to_owned(), *offset)).collect()
    }

    #[test]
    fn the_log_lets_go_of_what_all_have_read() {
        let mut landed = Landed::default();
        landed.add(3, moved(&[("log/0", 10), ("log/1", 7)]));
        landed.add(4, moved(&[("log/0", 20)]));
        landed.add(5, moved(&[("log/1", 9)]));
        landed.add(6, moved(&[("log/0", 50)]));
        let mut passed = |read| {
            landed.pass(read);
            std::mem::take(&mut landed.due).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(passed(2), []);
        assert_eq!(passed(3), moved(&[("log/0", 10), ("log/1", 7)]), "what was read before");
        assert_eq!(passed(3), []);
        assert_eq!(passed(5), moved(&[("log/0", 20), ("log/1", 9)]));
        assert_eq!(passed(6), moved(&[("log/0", 50)]));
        assert_eq!(passed(9), []);
    }
}
