//! The tests of a project: which datasets they give and expect, with the rows as they are written.

use std::collections::BTreeSet;
use std::path::Path;

use flowline_model::{DatasetName, Plan};
use serde_json::{Map, Value};

use crate::check::join;
use crate::diagnostic::Code;
use crate::files::{ExpectedFile, GivenFile, TestFile, TestsFile};
use crate::nearest::suggestion;
use crate::sources::{Problem, Report, SourceFile};
use crate::test_case::{Expected, Given, Records, TestCase};

/// What a test is resolved against.
pub(crate) struct TestScope<'a> {
    pub dir: &'a Path,
    pub plan: &'a Plan,
    /// Datasets that are declared and could not be read.
    pub unreadable: &'a BTreeSet<DatasetName>,
}

/// Resolves the tests of one file; those that do not hold are left out and reported.
pub(crate) fn resolve_tests(
    scope: &TestScope<'_>,
    file: &SourceFile,
    content: TestsFile,
    report: &mut Report,
) -> Vec<TestCase> {
    let tests = content.tests.unwrap_or_default().0;
    tests.into_iter().filter_map(|(index, test)| resolve_test(scope, file, index, test, report)).collect()
}

fn resolve_test(
    scope: &TestScope<'_>,
    file: &SourceFile,
    index: usize,
    test: TestFile,
    report: &mut Report,
) -> Option<TestCase> {
    let pointer = format!("/tests/{index}");
    let place = file.value_at(&pointer);
    let mut steps = Vec::new();
    for (step, given) in test.given.0 {
        let pointer = format!("{pointer}/given/{step}");
        let given = given.into_iter().filter_map(|(name, given)| {
            let pointer = join(&pointer, &name);
            let dataset = dataset(scope, file, &pointer, &name, report)?;
            Some(Given { dataset, records: records(scope, file, &pointer, &given, report)? })
        });
        steps.push(given.collect());
    }
    let mut expected = Vec::new();
    for (name, expect) in test.expect? {
        let pointer = join(&format!("{pointer}/expect"), &name);
        let dataset = dataset(scope, file, &pointer, &name, report)?;
        expected.push(expectation(file, &pointer, dataset, &expect, report)?);
    }
    Some(TestCase { name: test.name?, declared_in: file.path.clone(), line: place.line, steps, expected })
}

fn dataset(
    scope: &TestScope<'_>,
    file: &SourceFile,
    pointer: &str,
    name: &str,
    report: &mut Report,
) -> Option<DatasetName> {
    let parsed = name.parse::<DatasetName>().ok();
    if let Some(known) = parsed.filter(|parsed| scope.plan.dataset(parsed).is_some()) {
        return Some(known);
    }
    if name.parse().is_ok_and(|name: DatasetName| scope.unreadable.contains(&name)) {
        return None;
    }
    let all: Vec<String> = scope.plan.datasets.iter().map(|dataset| dataset.name.to_string()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let problem =
        Problem::error(Code::UnknownName, format!("there is no dataset `{}`", crate::value::shorten(name)));
    report.at_key(file, pointer, problem.hint(suggestion(name, &all)));
    None
}

fn records(
    scope: &TestScope<'_>,
    file: &SourceFile,
    pointer: &str,
    given: &GivenFile,
    report: &mut Report,
) -> Option<Records> {
    let Some(path) = &given.file else { return Some(Records::Rows(rows(file, &join(pointer, "rows")))) };
    let mut refuse = |code, message: String, hint: &str| {
        report.at_value(file, &join(pointer, "file"), Problem::error(code, message).hint(hint));
        None
    };
    if !given.rows.0.is_empty() {
        return refuse(Code::InvalidValue, "both `rows` and `file` are given".to_owned(), "keep one of them");
    }
    let path = &path.0;
    let Some(content_type) = content_type(path) else {
        let message = format!("`{path}` ends in nothing that says how it is written");
        return refuse(Code::InvalidValue, message, "name it .csv, .json, .ndjson or .arrow");
    };
    match scope.dir.join(path).is_file() {
        true => Some(Records::File { path: scope.dir.join(path), content_type }),
        false => refuse(
            Code::MissingFile,
            format!("there is no file `{path}` in the project"),
            "paths begin at the folder of flowline.yaml",
        ),
    }
}

fn content_type(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    match ending {
        "csv" => Some("text/csv"),
        "json" => Some("application/json"),
        "ndjson" | "jsonl" => Some("application/x-ndjson"),
        "arrow" | "arrows" => Some("application/vnd.apache.arrow.stream"),
        _ => None,
    }
}

fn expectation(
    file: &SourceFile,
    pointer: &str,
    dataset: DatasetName,
    expect: &ExpectedFile,
    report: &mut Report,
) -> Option<Expected> {
    let ExpectedFile { rows: listed, count, quarantined, duplicates } = expect;
    if listed.is_none() && [count, quarantined, duplicates].iter().all(|number| number.is_none()) {
        let problem = Problem::error(Code::MissingKey, "nothing is expected of this dataset");
        report.at_key(file, pointer, problem.hint("name `rows`, `count`, `quarantined` or `duplicates`"));
        return None;
    }
    let rows = listed.is_some().then(|| rows(file, &join(pointer, "rows")));
    Some(Expected { dataset, rows, count: *count, quarantined: *quarantined, duplicates: *duplicates })
}

/// The rows of a list in the document, nulls included.
fn rows(file: &SourceFile, pointer: &str) -> Vec<Map<String, Value>> {
    let (key, node) = file.root.nearest_to(pointer);
    let listed = key.filter(|key| key.name == "rows").map(|_| node.to_value());
    let items = listed.and_then(|value| match value {
        Value::Array(items) => Some(items),
        _ => None,
    });
    items
        .into_iter()
        .flatten()
        .filter_map(|item| match item {
            Value::Object(row) => Some(row),
            _ => None,
        })
        .collect()
}
