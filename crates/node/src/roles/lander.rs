//! Log and files → tables, one task a dataset.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use flowline_base::chain;
use flowline_land::{FileLander, LandContext, LogLander, ProgressFn, release_landed};
use flowline_model::{Dataset, Origin, Plan};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::lease::{elected, lease_of};
use crate::node::FileProgressFn;
use crate::storage::Storage;
use crate::tasks::{TaskKind, Tasks};

/// How long a node that starts waits for its tables before it lets producers in regardless.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);
/// Tables that are looked at together.
const RELEASE_TOGETHER: usize = 16;

/// Tells the log what is landed, before producers are let in. A table that cannot be read in time keeps no producer
/// out: what arrives is durable, and its lander will say what is wrong.
pub async fn release_landed_of(plan: &Plan, context: &LandContext) {
    let datasets: Vec<_> = plan.datasets.iter().filter(|dataset| dataset.landed()).cloned().collect();
    let released = futures::stream::iter(datasets.into_iter().map(Arc::new))
        .map(|dataset| async move { (release_landed(context, &dataset).await, dataset.name.clone()) })
        .buffer_unordered(RELEASE_TOGETHER)
        .for_each(|(released, dataset)| async move {
            if let Err(error) = released {
                tracing::warn!(%dataset, error = chain(&error), "what is landed could not be told to the log");
            }
        });
    if tokio::time::timeout(RELEASE_PATIENCE, released).await.is_err() {
        tracing::warn!(waited = ?RELEASE_PATIENCE, "the tables could not be read in time; producers are let in");
    }
}

/// Starts a lander for each landed dataset of the plan. Partitions are shared among nodes by a group of Kafka; the files
/// of a dataset are landed by one node that is elected.
pub fn start(tasks: &Tasks, storage: &Storage, context: &LandContext, file_progress: Option<FileProgressFn>) {
    let environment = &storage.plan.environment;
    for dataset in storage.plan.datasets.iter().filter(|dataset| dataset.landed()) {
        let log = environment.log.kafka.clone();
        let (context, subject) = (context.clone(), dataset.name.to_string());
        let dataset = Arc::new(dataset.clone());
        let file_progress = file_progress.clone();
        match &dataset.origin {
            Origin::Http(_) => tasks.start(TaskKind::Lander, subject, move |shutdown| {
                let (context, dataset) = (context.clone(), Arc::clone(&dataset));
                let shared = log.clone();
                async move {
                    let lander = LogLander::open(context, dataset).await?;
                    let lander = match &shared {
                        Some(kafka) => lander.sharing(kafka)?,
                        None => lander,
                    };
                    Ok(lander.run(shutdown).await?)
                }
            }),
            Origin::Kafka(_) => {
                let cluster = environment.kafka_of_sources().cloned();
                tasks.start(TaskKind::Lander, subject, move |shutdown| {
                    let (context, dataset) = (context.clone(), Arc::clone(&dataset));
                    let cluster = cluster.clone();
                    async move {
                        let cluster = cluster.context("the environment names no Kafka cluster")?;
                        Ok(LogLander::open_topic(context, dataset, cluster).await?.run(shutdown).await?)
                    }
                });
            }
            Origin::Files(_) => {
                let what = format!("files.{}", dataset.name);
                let lease = lease_of(storage, &what);
                tasks.start(TaskKind::FileLander, subject, move |shutdown| {
                    let (context, dataset) = (context.clone(), Arc::clone(&dataset));
                    let (progress, lease, what) = (file_progress.clone(), lease(), what.clone());
                    async move {
                        let work =
                            |term| land_files(context.clone(), Arc::clone(&dataset), progress.clone(), term);
                        elected(lease?, &what, shutdown, work).await
                    }
                });
            }
            Origin::Sql(_) => {}
        }
    }
}

async fn land_files(
    context: LandContext,
    dataset: Arc<Dataset>,
    progress: Option<FileProgressFn>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let name = dataset.name.clone();
    let mut lander = FileLander::open(context, dataset).await?;
    if let Some(call) = progress {
        lander = lander.with_progress(ProgressFn::new(move |progress| call(&name, progress)));
    }
    Ok(lander.run(shutdown).await?)
}
