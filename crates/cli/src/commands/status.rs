//! `flowline status`.

use std::process::ExitCode;

use flowline_view::{CheckRow, HopRow, StreamRow, rows};
use serde_json::json;

use super::FOUND_WRONG;
use super::quality::print_wrong;
use crate::args::Status;
use crate::connection::Connection;
use crate::output::{BAD, FAINT, GOOD, Printer, WARN, harmless, plain_table};

/// Prints every hop as it stands, the streams, and the checks that do not hold; exit code 1 when a hop has failed or is
/// stale, records are unaccounted for, or a check that keeps rows or commits back fails or could not be evaluated.
pub async fn run(status: &Status, printer: &Printer) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&status.project).await?;
    let hops: Vec<HopRow> =
        rows(&connection.rows("SELECT * FROM system.hops ORDER BY zone, dataset").await?)?;
    let streams: Vec<StreamRow> =
        rows(&connection.rows("SELECT * FROM system.streams ORDER BY dataset").await?)?;
    let wrong_checks = "SELECT * FROM system.checks WHERE latest AND verdict NOT IN ('passed', 'not_due') ORDER BY dataset, name";
    let checks: Vec<CheckRow> = rows(&connection.rows(wrong_checks).await?)?;
    printer.json(&json!({ "hops": hops, "streams": streams, "checks": checks }))?;
    if !printer.json_wanted() {
        print(&hops, matches!(connection, Connection::Node(_)), printer);
        print_streams(&streams, printer);
        print_wrong(&checks, printer);
    }
    let wrong =
        hops.iter().any(|hop| matches!(hop.state.as_str(), "failed" | "stale") || !hop.accounted_for());
    let held = checks.iter().any(|check| check.severity != "warn");
    Ok(if wrong || held { ExitCode::from(FOUND_WRONG) } else { ExitCode::SUCCESS })
}

fn print(hops: &[HopRow], running: bool, printer: &Printer) {
    let header =
        ["hop", "zone", "kind", "state", "fresh", "read", "written", "quarantined", "duplicate", "lag"];
    let mut table = plain_table(header.map(str::to_owned));
    for hop in hops {
        let style = match hop.state.as_str() {
            "ok" => GOOD,
            "failed" => BAD,
            "stale" => WARN,
            _ => FAINT,
        };
        table.add_row([
            hop.dataset.clone(),
            hop.zone.clone(),
            hop.kind.clone(),
            format!("{style}{}{style:#}", hop.state),
            hop.freshness_seconds.map_or_else(|| "–".to_owned(), age),
            hop.read.to_string(),
            hop.written.to_string(),
            hop.quarantined.to_string(),
            hop.duplicate.to_string(),
            lag(hop),
        ]);
    }
    printer.line(table);
    for hop in hops.iter().filter(|hop| hop.last_error.is_some() || hop.state == "stale") {
        explain(hop, printer);
    }
    for hop in hops {
        if let Some(slow) = &hop.slow {
            printer.line(format!(
                "{WARN}{}{WARN:#} is what the flow waits for: {}",
                hop.dataset,
                harmless(slow)
            ));
        }
        if let Some(held) = &hop.held_back {
            printer.line(format!("{WARN}{}{WARN:#} is not landed now: {}", hop.dataset, harmless(held)));
        }
    }
    if !running {
        printer.remark(format!("{FAINT}no node runs this project: lag in the log is unknown{FAINT:#}"));
    }
}

/// The streams: how far event time is, what holds it back, what waits.
fn print_streams(streams: &[StreamRow], printer: &Printer) {
    if streams.is_empty() {
        return;
    }
    let header = ["stream", "watermark", "behind", "held back by", "waiting", "late", "state"];
    let mut table = plain_table(header.map(str::to_owned));
    let unknown = || "–".to_owned();
    for stream in streams {
        let held =
            stream.held_by_input.as_ref().map_or_else(unknown, |input| match stream.held_by_partition {
                Some(partition) => format!("{input}/{partition}"),
                None => format!("{input} (no rows yet)"),
            });
        let late = match stream.ahead {
            0 => stream.late.to_string(),
            ahead => format!("{} ({ahead} ahead of the clock)", stream.late),
        };
        table.add_row([
            stream.dataset.clone(),
            stream.watermark_at.map_or_else(unknown, |at| at.format("%Y-%m-%d %H:%M:%S%.3f").to_string()),
            stream.watermark_lag_seconds.map_or_else(unknown, age),
            held,
            stream.lag_records.map_or_else(unknown, |records| format!("{records} records")),
            late,
            state_of(stream),
        ]);
    }
    printer.line(table);
}

/// What a stream keeps, and how far its last run went beyond its memory.
fn state_of(stream: &StreamRow) -> String {
    let kept = format!("{} rows, {} bytes", stream.state_rows, stream.state_bytes);
    match stream.spilled_bytes {
        0 => kept,
        spilled => format!("{kept}, {spilled} bytes spilled"),
    }
}

fn explain(hop: &HopRow, printer: &Printer) {
    let since = hop.failing_since.map(|at| format!(" since {}", at.format("%H:%M:%S"))).unwrap_or_default();
    if let Some(error) = &hop.last_error {
        printer.line(format!("{BAD}{}{BAD:#} fails{since}: {}", hop.dataset, harmless(error)));
    } else if let (Some(fresh), Some(within)) = (hop.freshness_seconds, hop.freshness_within_seconds) {
        printer.line(format!(
            "{WARN}{}{WARN:#} is {} old and may be {}",
            hop.dataset,
            age(fresh),
            age(within)
        ));
    }
    if let Some(runbook) = &hop.runbook {
        printer.line(format!("  {FAINT}runbook:{FAINT:#} {runbook}"));
    }
}

fn lag(hop: &HopRow) -> String {
    match (hop.lag_records, hop.lag_versions) {
        (Some(records), _) => format!("{records} records"),
        (None, Some(versions)) => format!("{versions} versions"),
        (None, None) => "–".to_owned(),
    }
}

/// `7s`, `14m`, `3h`, `2d`.
fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}
