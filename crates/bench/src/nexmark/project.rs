//! The project that is measured: the streams that one query reads, and the query.

use std::fmt::Write as _;
use std::path::Path;

use super::queries::{Emits, Query};

/// The dataset that the query writes.
pub const OUT: &str = "nex.out";

/// What differs between measurements.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Keys of the log.
    pub log: &'a str,
    /// How long landing waits for more; its default without.
    pub flush_after: Option<&'a str>,
    /// Rows stay in the log; the query reads each of them once.
    pub keep_in_log: bool,
    /// Rows that may wait for the query before landing pauses; without, as many as there are.
    pub lag_rows_max: Option<u64>,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self { log: "bytes_max: 1024GiB", flush_after: None, keep_in_log: false, lag_rows_max: None }
    }
}

/// Writes the project of one query into a folder.
pub fn write(folder: &Path, query: &Query, settings: Settings<'_>) -> anyhow::Result<()> {
    let datasets = folder.join("datasets/nex");
    std::fs::create_dir_all(&datasets)?;
    std::fs::write(
        folder.join("flowline.yaml"),
        format!(
            "name: nexmark\nteams:\n  team-bench: {{ contact: bench@example.org }}\nenvironments:\n  dev:\n    log: {{ {} }}\n",
            settings.log
        ),
    )?;
    for stream in query.streams {
        let mut text = "owner: team-bench\nzone: raw\nfrom: { source: http }\n".to_owned();
        let flush_after = settings.flush_after.map(|time| format!("flush_after: {time}"));
        let keep = settings.keep_in_log.then(|| "keep: log".to_owned());
        let landing: Vec<String> = flush_after.into_iter().chain(keep).collect();
        if !landing.is_empty() {
            let _ = writeln!(text, "landing: {{ {} }}", landing.join(", "));
        }
        text.push_str("columns:\n");
        for (column, kind, _) in stream.columns() {
            let _ = writeln!(text, "  - {{ name: {column}, type: {kind}, required: true }}");
        }
        std::fs::write(datasets.join(format!("{}.yaml", stream.name())), text)?;
    }
    std::fs::write(datasets.join("out.yaml"), out(query, settings))?;
    Ok(())
}

fn out(query: &Query, settings: Settings<'_>) -> String {
    // Windows that reopen would read their rows again.
    let windows = query.emits == Emits::OnClose;
    let late = if settings.keep_in_log && windows { "quarantine" } else { "reopen" };
    let waits = settings.lag_rows_max.map(|rows| format!(", lag_rows_max: {rows}")).unwrap_or_default();
    let mut text = format!(
        "owner: team-bench\nzone: trusted\nfrom: {{ source: sql{waits} }}\nmode: stream\nevent_time: {{ column: ts, watermark: 4s, late: {late} }}\n"
    );
    match query.emits {
        Emits::Newest(key) => {
            let _ = writeln!(text, "emit: on_change\nkey: [{key}]");
        }
        Emits::AtOnce | Emits::OnClose => text.push_str("emit: on_close\n"),
    }
    // A join that nothing bounds runs within a limit that is declared.
    if matches!(query.emits, Emits::AtOnce) && query.streams.len() > 1 {
        text.push_str("state: { limit: 512MiB }\n");
    }
    let _ = writeln!(text, "sql: |\n  {}", query.over(|stream| format!("nex.{}", stream.name())));
    text
}
