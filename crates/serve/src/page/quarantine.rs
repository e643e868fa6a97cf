//! What lies in quarantine as HTML: one part that opens for each dataset, with its reasons and what can be done.

use askama::Template;
use chrono::{DateTime, Utc};
use flowline_view::QuarantineRow;

use super::render::Ago;
use super::text::{count, plural};

#[derive(Template)]
#[template(path = "quarantine.html")]
struct QuarantineRegion<'a> {
    summary: String,
    datasets: Vec<Part<'a>>,
}

struct Part<'a> {
    id: String,
    name: &'a str,
    words: String,
    reasons: Vec<Reason<'a>>,
}

struct Reason<'a> {
    reason: &'a str,
    columns: String,
    records: String,
    message: &'a str,
    positions: String,
    age: Option<Ago>,
}

/// The region of all records that lie in quarantine. `rows` stand in the order of the datasets.
pub(super) fn render(rows: &[QuarantineRow], now: Option<DateTime<Utc>>) -> askama::Result<String> {
    let there: Vec<&QuarantineRow> = rows.iter().filter(|row| listed(row)).collect();
    let datasets = there.chunk_by(|one, other| one.dataset == other.dataset).map(|rows| Part {
        id: id(&rows[0].dataset),
        name: &rows[0].dataset,
        words: words(rows),
        reasons: rows.iter().map(|row| reason(row, now)).collect(),
    });
    QuarantineRegion { summary: words(&there), datasets: datasets.collect() }.render()
}

/// Whether there is a part for it: what was replayed or discarded has none.
pub(super) fn listed(row: &QuarantineRow) -> bool {
    waiting(row) > 0
}

/// The id of the part of a dataset. Names of datasets hold no `-`.
pub(super) fn id(dataset: &str) -> String {
    format!("quarantine-{}", dataset.replace('.', "-"))
}

/// The records that lie there; those that were ever sent there where nobody can count them now.
fn waiting(row: &QuarantineRow) -> u64 {
    row.rows.unwrap_or(row.quarantined)
}

fn words(rows: &[&QuarantineRow]) -> String {
    let records = rows.iter().map(|row| waiting(row)).sum();
    format!("{} for {}", plural(records, "record"), plural(rows.len() as u64, "reason"))
}

fn reason(row: &QuarantineRow, now: Option<DateTime<Utc>>) -> Reason<'_> {
    // What to do about them is said once, below.
    let message = row.message.split("; see `flowline quarantine").next().unwrap_or_default();
    let positions = match (&row.first_position, &row.last_position) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (first, last) => first.as_ref().or(last.as_ref()).cloned().unwrap_or_default(),
    };
    Reason {
        reason: &row.reason,
        columns: row.columns.join(", "),
        records: count(waiting(row)),
        message,
        positions,
        age: Ago::of(Some(row.last_quarantined_at), now),
    }
}
