//! `flowline demo`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use flowline_base::{SharedClock, system_clock};
use flowline_node::{Node, NodeOptions, Role};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{check, init, ledger, up};
use crate::args::Demo;
use crate::demo::{Traffic, TrafficCounts};
use crate::output::{FAINT, Printer, STRONG};
use crate::progress;

/// How long the node may take to land and transform what was sent, once the customers have left.
const SETTLE: Duration = Duration::from_secs(60);

/// Runs the simulated shop, for a while or until ctrl-c, and holds the ledger against what was acknowledged.
pub async fn run(demo: &Demo, printer: &Printer) -> anyhow::Result<ExitCode> {
    valid_rate(demo.rate)?;
    let clock = system_clock();
    let temporary = tempfile::tempdir().context("making a temporary folder")?;
    let folder = demo.folder.clone().unwrap_or_else(|| temporary.path().join("shop"));
    let is_project = folder.join("flowline.yaml").is_file();
    if !is_project {
        init::write("shop", &folder)?;
    }
    let mut told = up::Told::listen()?;
    let node = start(demo, &folder, &clock, printer).await?;
    let traffic = Traffic::new(format!("http://{}", node.http_address()), demo.seed, clock.clone())?;
    let sent = keep_busy(demo, &node, &mut told, traffic, printer).await?;
    let settled = settle(&node, printer).await;
    let balance = ledger::read(&node.rows("SELECT * FROM system.counts ORDER BY dataset").await?, None)?;
    report(&sent, &balance, settled, printer)?;
    let complete = balance.balanced() && settled;
    up::end(node, told, printer).await?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(super::FOUND_WRONG) })
}

async fn start(demo: &Demo, folder: &Path, clock: &SharedClock, printer: &Printer) -> anyhow::Result<Node> {
    let plan = check::load(folder, None, printer).await?;
    let mut plan = plan.with_context(|| format!("the project in `{}` has errors", folder.display()))?;
    plan.environment.http = demo.http;
    plan.environment.postgres = Some(demo.postgres);
    let started = clock.instant();
    let (roles, file_progress) = (Role::ALL.to_vec(), Some(progress::of_files(printer)));
    let node = Node::start(NodeOptions { plan, roles, clock: clock.clone(), file_progress }).await?;
    let (http, ready) = (node.http_address(), started.elapsed().as_millis());
    printer.remark(format!(
        "{STRONG}a simulated shop is open{STRONG:#} (seed {}, ready after {ready} ms)",
        demo.seed
    ));
    printer.remark(format!("  pages          http://{http}"));
    if let Some(postgres) = node.postgres_address() {
        printer.remark(format!("  Postgres wire  psql -h {} -p {} shop", postgres.ip(), postgres.port()));
    }
    printer.remark(format!("  status         flowline status --project {}", folder.display()));
    printer.remark(format!("{FAINT}  ctrl-c closes it and prints a summary{FAINT:#}"));
    Ok(node)
}

async fn keep_busy(
    demo: &Demo,
    node: &Node,
    told: &mut up::Told,
    traffic: Traffic,
    printer: &Printer,
) -> anyhow::Result<TrafficCounts> {
    let stop = CancellationToken::new();
    let bar = progress::spinner(printer)?;
    let running = traffic.run(demo.rate, stop.clone(), |counts| {
        bar.set_message(format!("{} visits, {} records acknowledged", counts.visits, counts.acknowledged));
        bar.tick();
    });
    let until = async {
        match demo.duration {
            Some(duration) => {
                tokio::select! {
                    () = tokio::time::sleep(duration) => {}
                    () = told.ends(node) => {}
                }
            }
            None => told.ends(node).await,
        }
    };
    tokio::pin!(running, until);
    let sent = tokio::select! {
        sent = &mut running => sent?,
        () = &mut until => {
            stop.cancel();
            running.await?
        }
    };
    bar.finish_and_clear();
    Ok(sent)
}

/// Waits until nothing is left to land or to transform.
async fn settle(node: &Node, printer: &Printer) -> bool {
    printer
        .remark(format!("{FAINT}the customers have left; what they sent is landed and transformed{FAINT:#}"));
    let idle = async {
        while !node.idle().await {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(SETTLE, idle).await.is_ok()
}

fn report(
    sent: &TrafficCounts,
    balance: &ledger::LedgerReport,
    settled: bool,
    printer: &Printer,
) -> anyhow::Result<()> {
    printer.json(
        &json!({ "sent": sent, "ledger": balance.rows, "balanced": balance.balanced(), "settled": settled }),
    )?;
    if printer.json_wanted() {
        return Ok(());
    }
    printer.line(format!(
        "{} visits; {} records acknowledged; {} requests repeated with the same key",
        sent.visits, sent.acknowledged, sent.requests_repeated
    ));
    printer.line(format!(
        "made on purpose: {} duplicate orders, {} broken, {} with an unknown field, {} that came late (and are written)",
        sent.mistakes.duplicates, sent.mistakes.broken, sent.mistakes.unknown_fields, sent.mistakes.late
    ));
    balance.print(printer);
    if !settled {
        printer.line("not everything was landed and transformed in time");
    }
    Ok(())
}

/// Refuses a rate that makes no sense.
fn valid_rate(rate: f64) -> anyhow::Result<()> {
    ensure!(rate.is_finite() && rate > 0.0 && rate <= 100_000.0, "`--rate` must lie between 0 and 100000");
    Ok(())
}
