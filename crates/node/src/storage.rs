//! What a node and an offline command open alike: ledger, lake, engine, and the log where it is needed.

use std::sync::Arc;

use anyhow::Context;
use flowline_base::SharedClock;
use flowline_lake::{Lake, LakeSettings};
use flowline_ledger::{CatalogDataset, Ledger};
use flowline_log::{EventLog, KafkaLog, KafkaLogOptions, SegmentLog, SegmentLogOptions};
use flowline_model::{Deployment, KafkaLogSettings, Origin, Plan};
use flowline_process::{QueryEngine, Transformer};
use flowline_view::LiveStatus;

use crate::quarantine_schema::QuarantineSchema;

/// Ledger, lake and engine of a plan. Cheap to clone.
#[derive(Clone)]
pub struct Storage {
    pub plan: Arc<Plan>,
    pub ledger: Arc<dyn Ledger>,
    pub lake: Lake,
    pub engine: QueryEngine,
    pub clock: SharedClock,
}

impl Storage {
    /// Opens what the environment names.
    pub async fn open(plan: Plan, clock: SharedClock) -> anyhow::Result<Self> {
        let environment = &plan.environment;
        std::fs::create_dir_all(&environment.data_dir)
            .with_context(|| format!("creating the data folder `{}`", environment.data_dir.display()))?;
        let ledger = flowline_ledger::connect(&environment.ledger).await?;
        let settings = LakeSettings {
            url: environment.lake.clone(),
            storage_options: environment.storage_options.clone(),
            clock: clock.clone(),
            faults: flowline_lake::faults::from_env()?,
        };
        let lake = Lake::open(settings).await?;
        let plan = Arc::new(plan);
        let engine = QueryEngine::new(Arc::clone(&plan), lake.clone(), clock.clone())?;
        Ok(Self { plan, ledger, lake, engine, clock })
    }

    /// What runs the transforms of the plan; one for each process, so that no hop runs twice at once.
    pub fn transformer(&self) -> Transformer {
        let (engine, lake, ledger) = (self.engine.clone(), self.lake.clone(), Arc::clone(&self.ledger));
        Transformer::new(engine, lake, ledger, self.clock.clone())
    }

    /// Adds the schemas that are not domains: `system` and `quarantine`.
    pub fn register_schemas(&self, live: Arc<dyn LiveStatus>) {
        let system = flowline_view::system_schema(Arc::clone(&self.ledger), live, self.clock.clone());
        self.engine.register_schema("system", system);
        self.engine
            .register_schema("quarantine", Arc::new(QuarantineSchema::new(&self.plan, self.lake.clone())));
    }

    /// Records in the ledger that this plan runs from now on.
    pub async fn record_deployment(&self) -> anyhow::Result<()> {
        let graph = flowline_process::graph(&self.plan)
            .map_err(|problems| anyhow::anyhow!("the SQL of the project has {} errors", problems.len()))?;
        let mut columns = flowline_process::columns_of(&self.plan).await;
        let mut lineage = flowline_process::lineage(&self.plan).await;
        let datasets: Vec<CatalogDataset> = self
            .plan
            .datasets
            .iter()
            .map(|dataset| CatalogDataset {
                inputs: graph.inputs(&dataset.name).named.clone(),
                columns: columns.remove(&dataset.name).unwrap_or_else(|| dataset.columns.clone()),
                lineage: lineage.remove(&dataset.name).unwrap_or_default(),
                dataset: dataset.clone(),
            })
            .collect();
        let deployment = Deployment {
            version: self.plan.version.clone(),
            environment: self.plan.environment.name.clone(),
            deployed_at: self.clock.now(),
        };
        self.ledger.record_deployment(&deployment, &datasets).await?;
        Ok(())
    }
}

/// Opens the durable log of the environment; on this machine only one process can, in Kafka several.
pub async fn open_log(plan: &Plan, clock: &SharedClock) -> anyhow::Result<Arc<dyn EventLog>> {
    if let Some(kafka) = &plan.environment.log.kafka {
        return open_kafka_log(plan, kafka.clone(), clock).await;
    }
    let options = SegmentLogOptions {
        dir: plan.environment.data_dir.join("log"),
        settings: plan.environment.log.clone(),
        clock: clock.clone(),
        disk: flowline_log::fault::disk_from_env()?,
    };
    let log = tokio::task::spawn_blocking(move || SegmentLog::open(options)).await??;
    Ok(log)
}

async fn open_kafka_log(
    plan: &Plan,
    kafka: KafkaLogSettings,
    clock: &SharedClock,
) -> anyhow::Result<Arc<dyn EventLog>> {
    let sources = plan.datasets.iter().filter_map(|dataset| match &dataset.origin {
        Origin::Http(origin) => Some((dataset.name.clone(), origin.partitions)),
        _ => None,
    });
    let options = KafkaLogOptions {
        kafka,
        settings: plan.environment.log.clone(),
        sources: sources.collect(),
        batch_bytes_max: plan.environment.body_bytes_max,
        keys_dir: Some(plan.environment.data_dir.join("kafka-keys")),
        clock: clock.clone(),
    };
    let log = KafkaLog::open(options).await.context("opening the log in Kafka")?;
    Ok(log)
}
