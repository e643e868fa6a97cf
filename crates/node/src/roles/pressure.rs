//! Backpressure from tables to producers: while too many rows wait for a transform that has a limit, what it is made of
//! is not landed; then the log fills, and the gateway answers 429.
//!
//! Every node that lands looks for itself, in the lake: transforms may run elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use flowline_base::chain;
use flowline_lake::TableId;
use flowline_land::Brake;
use flowline_model::{Dataset, DatasetName, Held, Origin};
use flowline_process::Transformer;
use tokio_util::sync::CancellationToken;

use crate::storage::Storage;
use crate::tasks::{TaskKind, Tasks};

/// How often the tables are looked at: two small reads for each transform that has a limit, and one more for each
/// version that is new.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Landing goes on when this share of the limit is left, so that it does not stop and go.
const LET_GO: f64 = 0.8;

/// Starts to look, where there is a transform with a limit.
pub fn start(tasks: &Tasks, storage: Storage, transformer: Transformer, brake: Brake) {
    if limits(&storage).next().is_none() {
        return;
    }
    tasks.start(TaskKind::Pressure, "", move |shutdown| {
        let (storage, transformer, brake) = (storage.clone(), transformer.clone(), brake.clone());
        async move { watch(&storage, &transformer, &brake, &shutdown).await }
    });
}

/// The transforms that have a limit.
fn limits(storage: &Storage) -> impl Iterator<Item = (&Dataset, u64)> {
    storage.plan.datasets.iter().filter_map(|dataset| match &dataset.origin {
        Origin::Sql(sql) => Some((dataset, sql.lag_rows_max?)),
        _ => None,
    })
}

async fn watch(
    storage: &Storage,
    transformer: &Transformer,
    brake: &Brake,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut backlogs = BTreeMap::<DatasetName, Backlog>::new();
    loop {
        let mut held = BTreeMap::new();
        for (dataset, limit) in limits(storage) {
            let backlog = backlogs.entry(dataset.name.clone()).or_default();
            match backlog.look(storage, transformer, &dataset.name).await {
                Ok(()) => {}
                // Nobody is held back by what cannot be known; the transform itself says what is wrong.
                Err(error) => {
                    tracing::warn!(hop = %dataset.name, error = chain(error.as_ref()), "what waits for it is not known");
                    continue;
                }
            }
            if !backlog.over(limit) {
                continue;
            }
            let reason = Held { by: dataset.name.clone(), rows: backlog.rows(), rows_max: limit };
            for source in transformer.made_of(&dataset.name) {
                held.insert(source, reason.clone());
            }
        }
        for name in
            storage.plan.datasets.iter().filter(|dataset| dataset.landed()).map(|dataset| &dataset.name)
        {
            let value = if held.contains_key(name) { 1.0 } else { 0.0 };
            metrics::gauge!("flowline_node_landing_held", "dataset" => name.to_string()).set(value);
        }
        brake.hold(held);
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

/// Rows that wait for one transform.
#[derive(Debug, Default)]
struct Backlog {
    inputs: BTreeMap<DatasetName, Waiting>,
    over: bool,
}

/// Rows that were added to one input.
#[derive(Debug, Default)]
struct Waiting {
    /// The last version that was looked at.
    seen: Option<i64>,
    /// `(version, rows)`: rows that were added up to a version, from the one before on.
    added: VecDeque<(i64, u64)>,
}

impl Backlog {
    async fn look(
        &mut self,
        storage: &Storage,
        transformer: &Transformer,
        hop: &DatasetName,
    ) -> anyhow::Result<()> {
        let consumed = transformer.consumed(hop).await?;
        for input in transformer.reads(hop) {
            let Some(dataset) = storage.plan.dataset(&input) else { continue };
            let table = storage.lake.table(TableId::of(dataset));
            let waiting = self.inputs.entry(input.clone()).or_default();
            let Some(version) = table.refresh().await? else { continue };
            let read = consumed.get(&input).copied();
            let after = waiting.seen.max(read);
            if after.is_none_or(|after| after < version) {
                let changes = table.changes(after, version).await?;
                let rows = changes.appended.iter().filter_map(|file| file.rows).sum();
                waiting.added.push_back((version, rows));
                waiting.seen = Some(version);
            }
            waiting.pass(read);
        }
        Ok(())
    }

    fn rows(&self) -> u64 {
        self.inputs.values().flat_map(|waiting| &waiting.added).map(|(_, rows)| rows).sum()
    }

    fn over(&mut self, limit: u64) -> bool {
        let rows = self.rows();
        self.over = rows > limit || self.over && rows as f64 > limit as f64 * LET_GO;
        self.over
    }
}

impl Waiting {
    /// Everything up to this version was read.
    fn pass(&mut self, read: Option<i64>) {
        while self.added.front().is_some_and(|(version, _)| read.is_some_and(|read| *version <= read)) {
            self.added.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_waits_no_more_and_the_limit_does_not_flutter() {
        let name: DatasetName = "shop.orders".parse().expect("it is a name");
        let mut backlog = Backlog::default();
        let waiting = backlog.inputs.entry(name.clone()).or_default();
        waiting.added.extend([(3, 50), (5, 40), (6, 20)]);
        assert!(backlog.over(100));
        let pass = |backlog: &mut Backlog, version| {
            backlog.inputs.entry(name.clone()).or_default().pass(version);
        };
        pass(&mut backlog, None);
        pass(&mut backlog, Some(2));
        assert_eq!(backlog.rows(), 110);
        backlog.inputs.entry(name.clone()).or_default().added.push_back((9, 30));
        // The version in the middle counts as a whole until it is passed.
        pass(&mut backlog, Some(4));
        assert_eq!((backlog.rows(), backlog.over(100)), (90, true), "90 is more than 80");
        pass(&mut backlog, Some(5));
        assert_eq!((backlog.rows(), backlog.over(100)), (50, false));
        assert!(!backlog.over(50));
    }
}
