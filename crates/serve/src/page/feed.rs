//! The flow map for everyone who looks: read at most once a second, whoever asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use flowline_view::QuarantineRow;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::checks::Checks;
use super::flow::Flow;
use super::render::{self, Regions};
use crate::ServeContext;
use crate::http::facts;
use crate::http::problem::Problem;

/// How old a map may be that is shown again; far below what a person notices.
const AGE_MAX: Duration = Duration::from_millis(900);

/// How old it may be what the page says of quarantine while nothing was put there: tables are read for it.
const QUARANTINE_AGE_MAX: Duration = Duration::from_secs(15);

/// A map with its regions.
pub(super) struct Snapshot {
    /// The map.
    pub flow: Flow,
    /// The regions, with ages as of `read_at`.
    pub regions: Regions,
    /// The regions without ages: two of the same hold the same facts.
    pub keys: Regions,
    /// What stands where: pages of another structure must be loaded again.
    pub structure: String,
    /// When the facts were read.
    pub read_at: DateTime<Utc>,
}

impl Snapshot {
    /// The map with its regions, as of this time.
    pub fn new(flow: Flow, project: &str, read_at: DateTime<Utc>) -> askama::Result<Self> {
        let regions = render::regions(&flow, project, Some(read_at))?;
        let keys = render::regions(&flow, project, None)?;
        Ok(Self { structure: structure(&flow), regions, keys, read_at, flow })
    }
}

/// Reads the map. Cheap to clone; clones share what was read.
#[derive(Clone)]
pub(super) struct Feed {
    context: ServeContext,
    newest: Arc<Mutex<Option<Newest>>>,
}

/// What was read last, and when.
struct Newest {
    at: Instant,
    snapshot: Arc<Snapshot>,
    quarantine: Quarantine,
}

/// What lies in quarantine, and how many records the hops said when it was read: telling why reads the tables.
#[derive(Clone, Default)]
struct Quarantine {
    records: Vec<(String, u64)>,
    read_at: Option<Instant>,
    rows: Arc<Vec<QuarantineRow>>,
}

impl Feed {
    /// A feed that has read nothing yet.
    pub fn new(context: ServeContext) -> Self {
        Self { context, newest: Arc::default() }
    }

    /// The map as it stands, at most [`AGE_MAX`] old. Those who ask at the same time wait for one reading.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, Problem> {
        let mut newest = self.newest.lock().await;
        if let Some(Newest { at, snapshot, .. }) = newest.as_ref()
            && self.context.clock.instant().duration_since(*at) < AGE_MAX
        {
            return Ok(snapshot.clone());
        }
        let flow = Flow::new(facts::read(&self.context, "order by dataset").await?);
        let declared = self.context.plan.datasets.iter().any(|dataset| !dataset.checks.is_empty());
        let flow = match declared {
            true => {
                let results = facts::read(&self.context, "where latest order by dataset, name").await?;
                flow.with_checks(Checks::new(&self.context.plan, results))
            }
            false => flow,
        };
        let known = newest.as_ref().map(|newest| newest.quarantine.clone()).unwrap_or_default();
        let quarantine = self.quarantine(&flow, known).await?;
        let flow = flow.with_quarantine(quarantine.rows.clone());
        let read_at = self.context.clock.now();
        let snapshot = Snapshot::new(flow, &self.context.plan.project, read_at);
        let snapshot = Arc::new(snapshot.map_err(|error| Problem::internal(format!("the page: {error}")))?);
        let at = self.context.clock.instant();
        *newest = Some(Newest { at, snapshot: snapshot.clone(), quarantine });
        Ok(snapshot)
    }

    /// What lies in quarantine: read when there is more of it, or less, than is known. What is discarded changes no
    /// count, so that what lies there is read again now and then.
    async fn quarantine(&self, flow: &Flow, known: Quarantine) -> Result<Quarantine, Problem> {
        let waiting = flow.hops.iter().filter(|hop| hop.quarantined > 0);
        let records: Vec<_> = waiting.map(|hop| (hop.dataset.clone(), hop.quarantined)).collect();
        let now = self.context.clock.instant();
        let fresh = known.read_at.is_some_and(|at| now.duration_since(at) < QUARANTINE_AGE_MAX);
        if records == known.records && (fresh || records.is_empty()) {
            return Ok(known);
        }
        let rows = match records.is_empty() {
            true => Vec::new(),
            false => facts::read(&self.context, "order by dataset, reason").await?,
        };
        Ok(Quarantine { records, read_at: Some(now), rows: Arc::new(rows) })
    }
}

/// A short name for what stands where.
fn structure(flow: &Flow) -> String {
    let places = render::places(flow);
    let ids: Vec<String> = (0..flow.nodes.len()).map(|node| render::node_id(flow, node)).collect();
    let digest = Sha256::digest(format!("{places}{ids:?}"));
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
