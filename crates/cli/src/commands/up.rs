//! `flowline up`.

use std::process::ExitCode;

use anyhow::Context;
use flowline_base::system_clock;
use flowline_node::{Node, NodeOptions, Role};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

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
    let mut told = Told::listen()?;
    let node = Node::start(NodeOptions { plan, roles, clock: clock.clone(), file_progress }).await?;
    greet(&node, started.elapsed().as_millis(), printer)?;
    told.ends(&node).await;
    printer.remark(format!(
        "{FAINT}ending: what was acknowledged is in the log and lands at the next start{FAINT:#}"
    ));
    end(node, told, printer).await
}

/// Ends the node; a failure that ended it is the exit code. Told a second time, it ends at once, as if it were killed.
pub async fn end(node: Node, mut told: Told, printer: &Printer) -> anyhow::Result<ExitCode> {
    let stopped = tokio::select! {
        stopped = node.stop() => stopped,
        () = told.again() => Err(anyhow::anyhow!("told to end at once; what was not committed is landed at the next start")),
    };
    match stopped {
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

/// What tells the process to end: SIGTERM and ctrl-c. Made before the node, so that none is missed.
#[derive(Debug)]
pub struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn listen() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("listening for ctrl-c")?;
        Ok(Self { terminate, interrupt })
    }

    /// Returns when the process is told to end, or the node ends by itself.
    pub async fn ends(&mut self, node: &Node) {
        tokio::select! {
            () = self.again() => {}
            () = node.ended() => {}
        }
    }

    /// Returns when the process is told to end once more.
    pub async fn again(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
