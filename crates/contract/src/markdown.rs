//! The report as Markdown, for a pull request.

use std::fmt::Write;

use crate::flow::{Hit, HitKind};
use crate::judge::{DatasetReport, JudgedChange, Report, Verdict};

/// So many hits of one change are named; the others are counted.
const HITS_MAX: usize = 8;

/// The report as GitHub-flavoured Markdown.
pub fn markdown(report: &Report) -> String {
    let mut text = format!("## Contracts: {} → {}\n\n", code(&report.from), code(&report.to));
    let changes: usize = report.datasets.iter().map(|dataset| dataset.changes.len()).sum();
    let refused = report.datasets.iter().filter(|dataset| dataset.verdict == Verdict::Refused).count();
    match (changes, refused) {
        (0, _) => text.push_str("No contract changes.\n"),
        (_, 0) => {
            let _ = writeln!(
                text,
                "**Allowed**: {} in {}.",
                counted(changes, "change"),
                counted(report.datasets.len(), "dataset")
            );
        }
        _ => {
            let _ = writeln!(
                text,
                "**Refused**: {} in {}, {refused} of them refused.",
                counted(changes, "change"),
                counted(report.datasets.len(), "dataset")
            );
        }
    }
    for dataset in &report.datasets {
        of_dataset(&mut text, dataset);
    }
    text
}

fn of_dataset(text: &mut String, dataset: &DatasetReport) {
    let mark = if dataset.verdict == Verdict::Refused { "❌" } else { "✅" };
    let rule = dataset.rule.as_deref().map_or_else(|| "no rule".to_owned(), |rule| format!("rule `{rule}`"));
    let owner =
        dataset.owner.as_deref().map(|owner| format!(", owner {}", escaped(owner))).unwrap_or_default();
    let _ = writeln!(text, "\n### {mark} `{}` ({rule}{owner})\n", dataset.dataset);
    text.push_str("| change | compatible | breaks | also affects |\n|---|---|---|---|\n");
    for judged in &dataset.changes {
        let JudgedChange { change, compatibility, breaks, affects } = judged;
        let _ = writeln!(
            text,
            "| {} | {compatibility} | {} | {} |",
            escaped(&change.message),
            hits(breaks),
            hits(affects)
        );
    }
    if !dataset.reasons.is_empty() {
        text.push_str("\nRefused because:\n\n");
        for reason in &dataset.reasons {
            let _ = writeln!(text, "- {}", escaped(reason));
        }
    }
}

fn hits(hits: &[Hit]) -> String {
    let mut shown: Vec<String> = hits.iter().take(HITS_MAX).map(|hit| escaped(&hit.to_string())).collect();
    if hits.len() > HITS_MAX {
        shown.push(format!("and {} more", hits.len() - HITS_MAX));
    }
    shown.join("<br>")
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'"))
}

/// Text in a cell: no line ends, no cell ends, no markup that would be run.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace(['\n', '\r'], " ")
}

impl std::fmt::Display for Hit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, name, owner, column, through } = self;
        match kind {
            HitKind::Consumer => write!(f, "consumer {name}")?,
            HitKind::Dataset => {
                write!(f, "{name}{}", column.as_ref().map(|column| format!(".{column}")).unwrap_or_default())?
            }
            HitKind::Producers => write!(f, "those who send records by {name}")?,
            HitKind::StoredRows => write!(f, "rows that are stored already")?,
        }
        if let Some(owner) = owner {
            write!(f, " ({owner})")?;
        }
        match through {
            Some(through) => write!(f, " through {through}"),
            None => Ok(()),
        }
    }
}
