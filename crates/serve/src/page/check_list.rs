//! The checks as HTML: one part that opens for each dataset, open where a check does not hold.

use askama::Template;
use chrono::{DateTime, Utc};
use flowline_model::CheckSeverity;
use flowline_view::CheckRow;

use super::checks::{Checks, DatasetChecks, DeclaredCheck, Standing};
use super::render::Ago;
use super::text::plural;

#[derive(Template)]
#[template(path = "checks.html")]
struct ChecksRegion<'a> {
    summary: String,
    datasets: Vec<Part<'a>>,
}

struct Part<'a> {
    id: String,
    open: bool,
    state: &'a str,
    name: &'a str,
    words: String,
    lines: Vec<Line<'a>>,
}

struct Line<'a> {
    name: &'a str,
    kind: &'a str,
    state: &'a str,
    word: &'a str,
    message: String,
    examples: Option<String>,
    severity: &'a str,
    owner: &'a str,
    age: Option<Ago>,
}

/// The region of all checks.
pub(super) fn render(checks: &Checks, now: Option<DateTime<Utc>>) -> askama::Result<String> {
    let datasets = checks.datasets.iter().map(|dataset| Part {
        id: id(&dataset.dataset),
        open: matches!(dataset.worst(), Standing::Failed | Standing::CouldNotRun),
        state: dataset.worst().state(),
        name: &dataset.dataset,
        words: words(dataset),
        lines: dataset.checks.iter().flat_map(|check| lines(check, now)).collect(),
    });
    ChecksRegion { summary: summary(checks), datasets: datasets.collect() }.render()
}

/// The id of the part of a dataset. Names of datasets hold no `-`.
pub(super) fn id(dataset: &str) -> String {
    format!("checks-{}", dataset.replace('.', "-"))
}

/// What is said of the checks of a dataset in a few words.
pub(super) fn words(dataset: &DatasetChecks) -> String {
    let total = plural(dataset.checks.len() as u64, "check");
    let wrong = parts(|standing| dataset.count(standing));
    match wrong.is_empty() {
        true => total,
        false => format!("{total}, {}", wrong.join(", ")),
    }
}

fn parts(count: impl Fn(Standing) -> u64) -> Vec<String> {
    [Standing::Failed, Standing::CouldNotRun, Standing::NotYet, Standing::NotDue]
        .into_iter()
        .filter(|standing| count(*standing) > 0)
        .map(|standing| format!("{} {}", count(standing), standing.word()))
        .collect()
}

fn summary(checks: &Checks) -> String {
    let total: usize = checks.datasets.iter().map(|dataset| dataset.checks.len()).sum();
    let wrong = parts(|standing| checks.count(standing));
    match wrong.is_empty() {
        true => format!("all of {} hold", plural(total as u64, "check")),
        false => format!("{} of {}", wrong.join(", "), plural(total as u64, "check")),
    }
}

fn lines(check: &DeclaredCheck, now: Option<DateTime<Utc>>) -> Vec<Line<'_>> {
    let line = |state: Standing, message: String, examples, age| Line {
        name: &check.name,
        kind: check.kind,
        state: state.state(),
        word: state.word(),
        message,
        examples,
        severity: severity(check.severity),
        owner: &check.owner,
        age,
    };
    if check.results.is_empty() {
        return vec![line(Standing::NotYet, "nothing was looked at yet".to_owned(), None, None)];
    }
    let last = check.results.len() - 1;
    let of_result = |(index, result): (usize, &CheckRow)| {
        let mut message = match result.dimension.as_str() {
            "" => result.message.clone(),
            dimension => format!("{dimension}: {}", result.message),
        };
        if index == last && check.more > 0 {
            message.push_str(&format!(" (and {} of others)", plural(check.more as u64, "result")));
        }
        let failing = result.verdict == "failed" && !result.examples.is_empty();
        let examples = failing.then(|| format!("for example {}", result.examples.join(", ")));
        line(Standing::of(&result.verdict), message, examples, Ago::of(Some(result.evaluated_at), now))
    };
    check.results.iter().enumerate().map(of_result).collect()
}

fn severity(severity: CheckSeverity) -> &'static str {
    match severity {
        CheckSeverity::Warn => "warns",
        CheckSeverity::QuarantineRows => "rows go to quarantine",
        CheckSeverity::Block => "blocks the commit",
    }
}
