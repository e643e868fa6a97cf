//! The metrics recorder of the process.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::tasks::{TaskKind, Tasks};

/// Upper bounds of the buckets of durations, seconds: from a cached append to a stuck commit.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// How often histograms are drained, so that what nobody scrapes does not grow.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The recorder that `/metrics` renders; one for the process, however many nodes it starts.
pub fn recorder(tasks: &Tasks) -> anyhow::Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    let handle = match HANDLE.get() {
        Some(handle) => handle.clone(),
        None => {
            let builder = PrometheusBuilder::new().set_buckets(&SECONDS)?;
            let handle = builder.install_recorder().context("installing the metrics recorder")?;
            HANDLE.get_or_init(|| handle).clone()
        }
    };
    let upkeep = handle.clone();
    tasks.start(TaskKind::Metrics, "", move |shutdown| {
        let upkeep = upkeep.clone();
        async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(UPKEEP_EVERY) => upkeep.run_upkeep(),
                    () = shutdown.cancelled() => return Ok(()),
                }
            }
        }
    });
    Ok(handle)
}
