//! One file a command. A command returns its exit code; an error it returns is printed and ends with 2.

mod check;
mod contract;
mod demo;
mod init;
mod ledger;
mod profile;
mod quality;
mod quarantine;
mod query;
mod registry;
mod replay;
mod schema;
mod status;
mod test;
mod up;

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Arguments, Command};
use crate::output::Printer;

/// What was asked for was found wrong: a project with errors, a ledger that does not balance.
pub const FOUND_WRONG: u8 = 1;

/// Runs the command.
pub async fn run(arguments: Arguments, printer: &Printer) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Init(init) => init::run(&init, printer),
        Command::Check(check) => check::run(&check, printer).await,
        Command::Up(up) => up::run(&up, printer).await,
        Command::Query(query) => query::run(&query, printer).await,
        Command::Status(status) => status::run(&status, printer).await,
        Command::Ledger(ledger) => ledger::run(&ledger, printer).await,
        Command::Contract(contract) => contract::run(&contract, printer).await,
        Command::Quality(quality) => quality::run(&quality, printer).await,
        Command::Profile(profile) => profile::run(&profile, printer).await,
        Command::Quarantine(quarantine) => quarantine::run(&quarantine, printer).await,
        Command::Registry(registry) => registry::run(&registry, printer).await,
        Command::Replay(replay) => replay::run(&replay, printer).await,
        Command::Test(test) => test::run(&test, printer).await,
        Command::Demo(demo) => demo::run(&demo, printer).await,
        Command::Schema(schema) => schema::run(&schema, printer),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "flowline", &mut script);
            match std::io::stdout().write_all(&script) {
                // Whoever reads it has seen enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
                written => Ok(written.map(|()| ExitCode::SUCCESS)?),
            }
        }
    }
}
