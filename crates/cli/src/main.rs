//! `flowline`: the command line.
//!
//! Owns: `main`, flags, what is printed and the exit code. The only crate that exits the process and prints to
//! standard output. Does not own: any behaviour; every command calls the crate that has it.

mod args;
mod commands;
mod connection;
mod demo;
mod git;
mod output;
mod progress;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;
use crate::output::Printer;

/// Faster than the system's allocator on the many small buffers of decoding, and steadier in resident memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let printer = Printer::new(&arguments.global);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("flowline").build();
    let outcome = match runtime {
        Ok(runtime) => {
            telemetry::install(&arguments.global);
            let outcome = runtime.block_on(commands::run(arguments, &printer));
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            outcome
        }
        Err(error) => Err(anyhow::Error::new(error).context("the runtime cannot be started")),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            printer.error(&error);
            ExitCode::from(2)
        }
    }
}
