//! Who this node is, and what it does only while no other node does it.
//!
//! Owns: the node's name over restarts, the claim of a segment log on its lake ([`LogOwner`]), and the election of
//! whoever runs transforms, lands files, watches and tidies ([`elected`]). Does not own: how a lease is kept (`flowline_lake::Lease`); safety, which is
//! with the commits.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use flowline_base::{FileId, chain};
use flowline_lake::{LEASE_BEAT_EVERY, LEASE_EXPIRES, Lease, LeaseHolder, LeaseStanding};
use flowline_log::EventLog;
use flowline_model::{Origin, Plan};
use tokio_util::sync::CancellationToken;

use crate::storage::Storage;

/// How long a node that starts tries to reach its lake; later, what it is told ends it.
const CLAIM_PATIENCE: Duration = Duration::from_secs(5);
/// Leases that cannot be read for this long keep nobody from trying: commits are fenced.
const BLIND_AFTER: Duration = LEASE_EXPIRES.saturating_mul(2);

/// Who we are, as other nodes see it: a name that stays with the data folder.
pub fn holder(storage: &Storage) -> anyhow::Result<LeaseHolder> {
    let data_dir = &storage.plan.environment.data_dir;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .unwrap_or_default();
    let host = if host.trim().is_empty() { "unknown" } else { host.trim() };
    Ok(LeaseHolder {
        id: node_id(data_dir)?,
        host: host.to_owned(),
        process_id: std::process::id(),
        data_dir: std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.clone()).display().to_string(),
        since: storage.clock.now(),
    })
}

/// What asks for the lease of this name on behalf of this node, anew for each start of a task.
pub fn lease_of(
    storage: &Storage,
    name: impl Into<String>,
) -> impl Fn() -> anyhow::Result<Lease> + Send + Sync + 'static {
    let (storage, name) = (storage.clone(), name.into());
    move || Ok(storage.lake.lease(&name, holder(&storage)?))
}

/// The name of the node with this data folder; made when it is asked for first.
pub fn node_id(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("node-id");
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("reading `{}`", path.display())),
    }
    let id = FileId::generate().to_string();
    let partial = path.with_extension("partial");
    std::fs::write(&partial, &id)
        .and_then(|()| std::fs::rename(&partial, &path))
        .with_context(|| format!("writing `{}`", path.display()))?;
    Ok(id)
}

/// The claim of a log on local disk on the lake that it is landed into: offsets of two logs would mean different
/// records, so that one lake is fed by one of them. A log in Kafka is one log however many nodes there are.
#[derive(Debug)]
pub struct LogOwner {
    lease: Lease,
    /// The lake and the log as they are shown.
    lake: String,
    log: String,
}

impl LogOwner {
    /// The claim; none where nothing is landed from a log on local disk.
    pub fn of(storage: &Storage) -> anyhow::Result<Option<Self>> {
        let plan: &Plan = &storage.plan;
        let posted = plan.datasets.iter().any(|dataset| matches!(dataset.origin, Origin::Http(_)));
        if plan.environment.log.kafka.is_some() || !posted {
            return Ok(None);
        }
        let lease = storage.lake.lease("log", holder(storage)?);
        let log = plan.environment.data_dir.join("log").display().to_string();
        Ok(Some(Self { lease, lake: storage.lake.location(), log }))
    }

    /// Claims the lake before anything is taken in or landed. Where another node has claimed it, it is looked at for
    /// as long as it takes to know whether that one is alive. A lake that cannot be read keeps nobody out.
    ///
    /// # Errors
    /// That another node has the lake, or that it had it since this log was landed from; nothing was changed then.
    pub async fn claim(&mut self, log: &dyn EventLog) -> anyhow::Result<()> {
        loop {
            let claimed = match tokio::time::timeout(CLAIM_PATIENCE, self.lease.claim()).await {
                Ok(Ok(standing)) => standing,
                Ok(Err(error)) => {
                    tracing::warn!(
                        lake = self.lake,
                        error = chain(&error),
                        "the lake does not say whether another node has it; this one goes on"
                    );
                    return Ok(());
                }
                Err(_) => return Ok(()),
            };
            match claimed {
                LeaseStanding::Held { before: None } => return Ok(()),
                LeaseStanding::Held { before: Some(before) } => return self.succeed(&before, log),
                LeaseStanding::Elsewhere { holder, alive: true } => bail!(
                    "another node lands into the lake `{}`: {holder}. Two nodes with a log each cannot: nothing was written by this one. \
                     Stop the other one, or start this one with another `lake`; several nodes share one lake when the log is kept in Kafka",
                    self.lake
                ),
                LeaseStanding::Elsewhere { holder, alive: false } => {
                    tracing::warn!(lake = self.lake, %holder, "another node had this lake; it is looked at whether it is alive");
                    tokio::time::sleep(LEASE_BEAT_EVERY).await;
                }
            }
        }
    }

    /// Another log was landed into the lake before. What waits in ours would be taken for what that one has landed.
    fn succeed(&self, before: &LeaseHolder, log: &dyn EventLog) -> anyhow::Result<()> {
        let waits =
            |bounds: &flowline_log::PartitionStatus| bounds.bounds.end.saturating_sub(bounds.released);
        let waiting: u64 = log.status().iter().map(waits).sum();
        if waiting > 0 {
            bail!(
                "the lake `{}` was fed by another node since this one: {before}. {waiting} records in the log `{}` were not landed as far \
                 as it knows, and their offsets belong to other records by now: move that folder to a safe place and start again; \
                 what was not landed has to be sent again",
                self.lake,
                self.log
            );
        }
        tracing::warn!(lake = self.lake, %before, "this node has taken over the lake from another one");
        Ok(())
    }

    /// Keeps the claim until the node ends.
    ///
    /// # Errors
    /// That another node has taken over: this one must end.
    pub async fn keep(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        while !wait(&shutdown).await {
            match self.lease.claim().await {
                Ok(LeaseStanding::Held { .. }) => {}
                Ok(LeaseStanding::Elsewhere { holder, .. }) => bail!(
                    "another node has taken over the lake `{}`: {holder}; this one ends. What it has acknowledged and not landed is in its log `{}`: \
                     stop the other node before this one is started again",
                    self.lake,
                    self.log
                ),
                Err(error) => {
                    tracing::warn!(
                        lake = self.lake,
                        error = chain(&error),
                        "the claim on the lake could not be renewed"
                    );
                }
            }
        }
        give_back(self.lease).await;
        Ok(())
    }
}

/// Runs the work whenever, of all nodes that share a lake, this one is elected to. The token of the work is cancelled
/// when another node was elected instead, or when this one ends. A node that dies is replaced after
/// [`LEASE_EXPIRES`] and the time between two looks; one that ends, at the next look.
pub async fn elected<F, Fut>(
    mut lease: Lease,
    what: &str,
    shutdown: CancellationToken,
    mut work: F,
) -> anyhow::Result<()>
where
    F: FnMut(CancellationToken) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let elected = metrics::gauge!("flowline_node_elected", "what" => what.to_owned());
    while await_election(&mut lease, what, &shutdown).await {
        elected.set(1.0);
        let term = shutdown.child_token();
        let working = async {
            let done = work(term.clone()).await;
            term.cancel();
            done
        };
        let (done, ()) = tokio::join!(working, keep(&mut lease, what, &term));
        elected.set(0.0);
        if done.is_err() {
            give_back(lease).await;
            return done;
        }
    }
    give_back(lease).await;
    Ok(())
}

/// Waits until we are elected; false when the node ends instead.
async fn await_election(lease: &mut Lease, what: &str, shutdown: &CancellationToken) -> bool {
    let (mut told, mut blind) = (None, Duration::ZERO);
    while !shutdown.is_cancelled() {
        match lease.claim().await {
            Ok(LeaseStanding::Held { before }) => {
                match before {
                    Some(before) => {
                        tracing::info!(what, %before, "this node is elected in the place of another")
                    }
                    None => tracing::debug!(what, "this node is elected"),
                }
                return true;
            }
            Ok(LeaseStanding::Elsewhere { holder, .. }) => {
                blind = Duration::ZERO;
                if told.as_ref() != Some(&holder) {
                    tracing::info!(what, %holder, "another node is elected; this one stands by");
                    told = Some(holder);
                }
            }
            Err(error) => {
                tracing::warn!(what, error = chain(&error), "the lake does not say who is elected");
                blind += LEASE_BEAT_EVERY;
                if blind >= BLIND_AFTER {
                    return true;
                }
            }
        }
        wait(shutdown).await;
    }
    false
}

/// Renews the lease until it is lost, or the term is over otherwise.
async fn keep(lease: &mut Lease, what: &str, term: &CancellationToken) {
    while !wait(term).await {
        match lease.claim().await {
            Ok(LeaseStanding::Held { .. }) => {}
            Ok(LeaseStanding::Elsewhere { holder, .. }) => {
                tracing::warn!(what, %holder, "another node was elected; this one stops, and what it had begun is done there");
                term.cancel();
            }
            Err(error) => tracing::warn!(what, error = chain(&error), "the election could not be renewed"),
        }
    }
}

/// Waits for the next beat; true when there is none.
async fn wait(shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(LEASE_BEAT_EVERY) => false,
        () = shutdown.cancelled() => true,
    }
}

/// Should that fail, others wait until the lease expires.
async fn give_back(lease: Lease) {
    if let Err(error) = lease.give_back().await {
        tracing::debug!(error = chain(&error), "a lease was not given back; it expires");
    }
}
