//! Measurements, with the machine's facts beside them: `cargo run --release -p flowline-bench -- <name>`.
//!
//! Owns: load, clocks around it, peers in the same run, JSON of the results. Does not own: any bar; a measurement
//! that falls short is printed like any other.

mod checks;
mod ingest;
mod land;
mod load;
mod machine;
mod nexmark;
mod node;
mod peers;
mod start;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Parser)]
#[command(about = "Measures Flowline on this machine and prints JSON")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// Where the data folders are made; a disk, not memory, or `fdatasync` measures nothing.
    #[arg(long, global = true, default_value = "target/bench")]
    folder: PathBuf,
    /// How results are printed; there is only JSON.
    #[arg(long, global = true, default_value = "json")]
    output: String,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Durable acknowledgements of 200-byte JSON records in batches of 1,000 from 8 connections.
    Ingest(load::LoadOptions),
    /// Ingest and landing together, until everything is in the table.
    Land(load::LoadOptions),
    /// Row checks over a landed table, and the same rules as one scan of DuckDB.
    Checks(checks::CheckOptions),
    /// From exec to ready, and idle memory.
    Start {
        /// How often.
        #[arg(long, default_value_t = 10)]
        times: u32,
    },
    /// SIGKILL with unlanded log, then from exec to ready.
    Recover {
        /// Unlanded log, bytes.
        #[arg(long, default_value_t = 1 << 30)]
        bytes: u64,
    },
    /// The queries of NEXMark from the log to a table, and on Flink and Spark.
    Nexmark(nexmark::NexmarkOptions),
    /// From the acknowledgement of a bid to its row in the table of a stream.
    NexmarkLatency(nexmark::LatencyOptions),
    /// What a query of NEXMark costs after so many millions of bids.
    History(nexmark::HistoryOptions),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    anyhow::ensure!(arguments.output == "json", "there is only `--output json`");
    std::fs::create_dir_all(&arguments.folder)?;
    let folder = arguments.folder.canonicalize()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let name =
        format!("{:?}", arguments.bench).split([' ', '(', '{']).next().unwrap_or_default().to_lowercase();
    let result: Value = runtime.block_on(async {
        match arguments.bench {
            Bench::Ingest(options) => ingest::run(&folder, &options).await,
            Bench::Land(options) => land::run(&folder, &options).await,
            Bench::Checks(options) => checks::run(&folder, &options).await,
            Bench::Start { times } => start::start(&folder, times).await,
            Bench::Recover { bytes } => start::recover(&folder, bytes).await,
            Bench::Nexmark(options) => nexmark::run(&folder, &options).await,
            Bench::History(options) => nexmark::run_history(&folder, &options).await,
            Bench::NexmarkLatency(options) => nexmark::run_latency(&folder, &options).await,
        }
    })?;
    let document = json!({ "bench": name, "machine": machine::facts(&folder)?, "result": result });
    println!("{}", serde_json::to_string_pretty(&document).context("printing the result")?);
    Ok(())
}
