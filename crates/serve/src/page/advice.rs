//! What to do next about a hop that is not well: one sentence, by the kind of its error or by its state.

use flowline_view::HopRow;

use super::text::{count, list};

/// The next step for whoever is on call.
pub(super) fn next_step(hop: &HopRow) -> String {
    match hop.state.as_str() {
        "failed" => after_failure(hop.last_error_kind.as_deref()).to_owned(),
        "stale" => stale(hop),
        _ if hop.slow.is_some() && hop.kind == "sql" => {
            "It needs more than it gets: look at how long its runs take, at its SQL, at `concurrency` and at the memory of queries.".to_owned()
        }
        _ => waiting(hop),
    }
}

fn after_failure(kind: Option<&str>) -> &'static str {
    match kind {
        Some("input") => {
            "Mend what the error names (SQL, contract or file) and deploy; the next run takes up where this one stopped."
        }
        Some("not-found") => "What it reads is gone or has another name: restore it, or change the project.",
        Some("denied") => {
            "A permission is missing or a credential has expired: grant or renew it. Runs are retried by themselves."
        }
        Some("transient") => {
            "This usually passes: it is retried with growing pauses. If it stays, look at the store or the network."
        }
        Some("overloaded") => {
            "It reached a limit: give queries more memory, or let it read less at once. It is retried by itself."
        }
        Some("storage-full") => {
            "Free space where the lake or the log lies. Nothing that was acknowledged is lost."
        }
        Some("corrupt") => {
            "Stored bytes are damaged: restore the file that the error names, or replay from the log."
        }
        Some("fenced") => "Another node writes this table: stop one of the two.",
        _ => "This should not happen: report it, with the error and the log of the node.",
    }
}

fn stale(hop: &HopRow) -> String {
    let behind = hop.lag_records.unwrap_or(0);
    match hop.kind.as_str() {
        _ if behind > 0 => waiting(hop),
        "http" => format!("Nothing new has been posted to {}: look at its producer.", hop.dataset),
        "kafka" => format!("Nothing new has come to the topic of {}: look at its producer.", hop.dataset),
        "files" => {
            "No new file has been found: look at what writes the folder, and at the findings about it."
                .to_owned()
        }
        _ if hop.lag_versions.unwrap_or(0) > 0 => {
            "Its inputs have moved on and it has not: look at the log of the node.".to_owned()
        }
        _ => format!("Its inputs have nothing new: look at what feeds {}.", list(&hop.inputs)),
    }
}

fn waiting(hop: &HopRow) -> String {
    match hop.lag_records {
        Some(records) if records > 0 => {
            let number = count(records);
            format!("{number} records wait in the log: more arrives than is landed, or landing stands still. They are safe; look at the load and at the log of the node.")
        }
        _ => "Its inputs have moved on and it has not been run: other runs may hold all places. Look at the log of the node.".to_owned(),
    }
}
