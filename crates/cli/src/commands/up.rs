//! `flowline up`.

use std::process::ExitCode;

use anyhow::Context;
use flowline_base::system_clock;
use flowline_node::{Node, NodeOptions, Role};
use serde_json::json;

use super::check;
use crate::args::Up;
use crate::output::{FAINT, GOOD, Printer, STRONG};
use crate::progress;

/// Runs the project until SIGINT or SIGTERM.
pub async fn run(up: &Up, printer: &Printer) -> anyhow::Result<ExitCode> {
    let clock = system_clock();
    let started = clock.instant();
    let Some(mut plan) = check::load(&up.project.project, up.project.environment.as_deref(), printer).await?
    else {
        return Ok(ExitCode::from(super::FOUND_WRONG));
    };
    if let Some(http) = up.http {
        plan.environment.http = http;
    }
    if let Some(postgres) = up.postgres {
        plan.environment.postgres = Some(postgres);
    }
    let roles = if up.roles.is_empty() { Role::ALL.to_vec() } else { up.roles.clone() };
    let file_progress = Some(progress::of_files(printer));
    let node = Node::start(NodeOptions { plan, roles, clock: clock.clone(), file_progress }).await?;
    greet(&node, started.elapsed().as_millis(), printer)?;
    until_told(&node).await?;
    printer.remark(format!(
        "{FAINT}ending: what was acknowledged is in the log and lands at the next start{FAINT:#}"
    ));
    end(node, printer).await
}

/// Ends the node; a failure that ended it is the exit code.
pub async fn end(node: Node, printer: &Printer) -> anyhow::Result<ExitCode> {
    match node.stop().await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            printer.error(&error);
            Ok(ExitCode::from(3))
        }
    }
}

fn greet(node: &Node, ready_ms: u128, printer: &Printer) -> anyhow::Result<()> {
    if printer.json_wanted() {
        // One line, so that whoever started the node can wait for it.
        anstream::println!(
            "{}",
            json!({
                "project": node.plan().project, "version": node.plan().version,
                "environment": node.plan().environment.name,
                "http": node.http_address(), "postgres": node.postgres_address(), "ready_ms": ready_ms as u64,
            })
        );
        return Ok(());
    }
    let plan = node.plan();
    printer.line(format!(
        "{GOOD}flowline{GOOD:#} runs {STRONG}{}{STRONG:#} {} in {} with {} datasets, ready after {ready_ms} ms",
        plan.project,
        plan.version,
        plan.environment.name,
        plan.datasets.len(),
    ));
    printer.line(format!("  pages and HTTP  http://{}", node.http_address()));
    if let Some(postgres) = node.postgres_address() {
        printer.line(format!(
            "  Postgres wire   psql -h {} -p {} {}",
            postgres.ip(),
            postgres.port(),
            plan.project
        ));
    }
    Ok(())
}

/// Returns when the process is told to end, or the node ends by itself.
pub async fn until_told(node: &Node) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("listening for ctrl-c")?,
        _ = terminate.recv() => {}
        () = node.ended() => {}
    }
    Ok(())
}
