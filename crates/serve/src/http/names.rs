//! Finding what a path names, or what it may have meant.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use flowline_model::{Dataset, Origin, Plan};

use super::problem::Problem;

/// How alike two names must be, from 0 to 1, for one to be offered for the other.
const SIMILARITY_MIN: f64 = 0.7;
/// The most names that are offered.
const NEAREST_MAX: usize = 3;

/// The dataset of this name that comes from outside.
///
/// # Errors
/// 404 with the nearest names, or saying why a dataset of this name is not one that is landed.
pub(crate) fn landed_dataset(
    plan: &Plan,
    name: Result<Path<String>, PathRejection>,
) -> Result<&Dataset, Problem> {
    let refused = |dataset: &Dataset| {
        let name = &dataset.name;
        let detail = format!(
            "`{name}` is made by SQL, so that none of its records can be landed again; mend its input or its SQL, and its rows are made again"
        );
        Problem::new(StatusCode::NOT_FOUND, "not-landed", detail)
    };
    one_of(plan, name, Dataset::landed, refused)
}

/// The dataset of this name that may have rows in quarantine.
///
/// # Errors
/// 404 with the nearest names, or saying why a dataset of this name has no quarantine.
pub(crate) fn quarantined_dataset(
    plan: &Plan,
    name: Result<Path<String>, PathRejection>,
) -> Result<&Dataset, Problem> {
    let refused = |dataset: &Dataset| {
        let name = &dataset.name;
        let detail = format!(
            "`{name}` is made by SQL and sets no row aside, so that it has no quarantine; see the datasets it reads"
        );
        Problem::new(StatusCode::NOT_FOUND, "no-quarantine", detail)
    };
    one_of(plan, name, Dataset::sets_aside, refused)
}

fn one_of(
    plan: &Plan,
    name: Result<Path<String>, PathRejection>,
    allowed: fn(&Dataset) -> bool,
    refused: impl FnOnce(&Dataset) -> Problem,
) -> Result<&Dataset, Problem> {
    let name = path_name(name)?;
    match find(plan, &name) {
        Some(dataset) if allowed(dataset) => Ok(dataset),
        Some(dataset) => Err(refused(dataset)),
        None => {
            Err(unknown("dataset", "unknown-dataset", &name, plan.datasets.iter().filter(|one| allowed(one))))
        }
    }
}

/// The stream of this name.
///
/// # Errors
/// 404 with the nearest names, or saying that a dataset of this name is no stream.
pub(crate) fn stream(plan: &Plan, name: Result<Path<String>, PathRejection>) -> Result<&Dataset, Problem> {
    let name = path_name(name)?;
    match find(plan, &name) {
        Some(dataset) if dataset.streams() => Ok(dataset),
        Some(dataset) => {
            let detail = format!("`{}` is no stream: it has no `mode: stream`", dataset.name);
            Err(Problem::new(StatusCode::NOT_FOUND, "no-stream", detail))
        }
        None => {
            Err(unknown("stream", "unknown-dataset", &name, plan.datasets.iter().filter(|one| one.streams())))
        }
    }
}

/// 404 for a dataset that is not in the project, with the nearest names.
pub(crate) fn unknown_dataset(plan: &Plan, name: &str) -> Problem {
    unknown("dataset", "unknown-dataset", name, plan.datasets.iter())
}

/// The dataset of this name that records are posted to.
///
/// # Errors
/// 404 with the nearest names, or saying where a dataset of this name comes from instead.
pub(crate) fn http_source(
    plan: &Plan,
    name: Result<Path<String>, PathRejection>,
) -> Result<(&Dataset, &flowline_model::HttpOrigin), Problem> {
    let name = path_name(name)?;
    let sources = plan.datasets.iter().filter(|one| matches!(one.origin, Origin::Http(_)));
    match find(plan, &name) {
        Some(dataset) => match &dataset.origin {
            Origin::Http(origin) => Ok((dataset, origin)),
            other => Err(Problem::new(
                StatusCode::NOT_FOUND,
                "unknown-source",
                format!("`{}` takes no records over HTTP: its origin is `{}`", dataset.name, other.kind()),
            )),
        },
        None => Err(unknown("source", "unknown-source", &name, sources)),
    }
}

fn path_name(name: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    name.map(|Path(name)| name).map_err(|rejection| Problem::bad_request(rejection.body_text()))
}

fn find<'p>(plan: &'p Plan, name: &str) -> Option<&'p Dataset> {
    plan.dataset(&name.parse().ok()?)
}

fn unknown<'p>(
    what: &str,
    code: &'static str,
    name: &str,
    candidates: impl Iterator<Item = &'p Dataset>,
) -> Problem {
    let nearest = nearest(name, candidates);
    let detail = match nearest.first() {
        Some(first) => format!("there is no {what} `{name}`; did you mean `{first}`?"),
        None => format!("there is no {what} `{name}`"),
    };
    Problem::new(StatusCode::NOT_FOUND, code, detail).with("nearest", nearest)
}

/// The names most like this one, best first; all of them (up to the limit) when there are no more anyway.
fn nearest<'p>(name: &str, candidates: impl Iterator<Item = &'p Dataset>) -> Vec<String> {
    let mut scored: Vec<(f64, String)> = candidates
        .map(|dataset| dataset.name.to_string())
        .map(|candidate| {
            let short = candidate.split('.').next_back().unwrap_or_default();
            let score = strsim::jaro_winkler(name, &candidate).max(strsim::jaro_winkler(name, short));
            (score, candidate)
        })
        .collect();
    if scored.len() > NEAREST_MAX {
        scored.retain(|(score, _)| *score >= SIMILARITY_MIN);
    }
    scored.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
    scored.into_iter().take(NEAREST_MAX).map(|(_, candidate)| candidate).collect()
}
