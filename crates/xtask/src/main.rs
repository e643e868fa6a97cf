//! Checks of the repository itself: `cargo xtask tidy`.
//!
//! Owns: the rules that hold the architecture (layers, "the only crate that", sizes, licences), as data in
//! [`policy`]. Does not own: style (`rustfmt`) and what single calls are allowed (`clippy.toml`).

mod policy;
mod report;
mod rules;
mod sizes;
mod source;
#[cfg(test)]
mod tests;
mod workspace;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};

/// Checks of the repository itself.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Crate layers, "the only crate that", sizes, headers, licences, words that must not stand anywhere
    Tidy {
        /// How to tell what was found
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> anyhow::Result<ExitCode> {
    let Command::Tidy { output } = Arguments::parse().command;
    let workspace = workspace::read()?;
    let report = rules::run(&workspace);
    let text = match output {
        Output::Text => report.to_string(),
        Output::Json => serde_json::to_string_pretty(&report)? + "\n",
    };
    std::io::stdout().write_all(text.as_bytes()).context("writing the report")?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
