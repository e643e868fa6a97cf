//! `flowline check`, and the loading of a project that every command shares.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use flowline_land::Contract;
use flowline_model::{DatasetName, Plan};
use flowline_process::SqlProblem;
use flowline_project::{Code, Diagnostic, Reading, TestCase};
use serde_json::json;

use crate::args::Check;
use crate::output::{GOOD, Printer};

/// Validates files and SQL and prints every problem.
pub async fn run(check: &Check, printer: &Printer) -> anyhow::Result<ExitCode> {
    let (project, problems) = examine(&check.folder, check.environment.as_deref()).await;
    let valid = project.is_some();
    printer.json(&json!({ "valid": valid, "diagnostics": problems }))?;
    print(&problems, printer);
    match project {
        Some((plan, tests)) => {
            printer.line(format!(
                "{GOOD}ok{GOOD:#} {} {}: {} datasets, {} tests, {} teams, environment `{}`",
                plan.project,
                plan.version,
                plan.datasets.len(),
                tests.len(),
                plan.teams.len(),
                plan.environment.name,
            ));
            if plan.datasets.is_empty() {
                printer.remark("nothing flows yet: declare a dataset in datasets/<domain>/<name>.yaml");
            }
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(ExitCode::from(super::FOUND_WRONG)),
    }
}

/// The plan of a project that is to be used; its problems are printed, and there is no plan when one is an error.
pub async fn load(
    folder: &Path,
    environment: Option<&str>,
    printer: &Printer,
) -> anyhow::Result<Option<Plan>> {
    Ok(load_tests(folder, environment, printer).await?.map(|(plan, _)| plan))
}

/// The same with the tests of the project.
pub async fn load_tests(
    folder: &Path,
    environment: Option<&str>,
    printer: &Printer,
) -> anyhow::Result<Option<(Plan, Vec<TestCase>)>> {
    let (project, problems) = examine(folder, environment).await;
    if project.is_none() {
        printer.json(&json!({ "valid": false, "diagnostics": problems }))?;
    }
    print(&problems, printer);
    Ok(project)
}

/// The plan and its tests where there are no errors, and every problem of files, contracts and SQL.
async fn examine(
    folder: &Path,
    environment: Option<&str>,
) -> (Option<(Plan, Vec<TestCase>)>, Vec<Diagnostic>) {
    let mut reading = flowline_project::read(folder, environment);
    let mut problems = std::mem::take(&mut reading.diagnostics);
    for dataset in reading.plan.datasets.iter().filter(|dataset| dataset.landed()) {
        if let Err(error) = Contract::compile(Arc::new(dataset.clone())) {
            let column = error.column();
            problems.push(reading.sources.column_problem(&dataset.declared_in, column, error.to_string()));
        }
    }
    let mut of_sql = Vec::new();
    for problem in flowline_process::check(&reading.plan).await {
        if !reading.is_consequence(&problem.message) {
            let SqlProblem { file, line, column, message, hint, within, .. } = problem;
            let (line, column) = match within {
                Some(text) => reading.sources.place_within(&file, &text, line, column),
                None => (line, column),
            };
            of_sql.push(reading.sources.problem(Code::Sql, &file, line, column, message, hint));
        }
    }
    // Those of queries within a file had places of their own.
    of_sql.sort_by(|one, other| {
        (&one.file, one.line, one.column).cmp(&(&other.file, other.line, other.column))
    });
    problems.extend(of_sql);
    problems.extend(unknown_columns(&reading).await);
    let valid = !problems.iter().any(Diagnostic::is_error);
    (valid.then_some((reading.plan, reading.tests)), problems)
}

/// Columns that consumers read of queries, which only planning knows.
async fn unknown_columns(reading: &Reading) -> Vec<Diagnostic> {
    let plan = &reading.plan;
    let planned = |name: &DatasetName| plan.dataset(name).is_some_and(|dataset| dataset.columns.is_empty());
    let reads =
        || plan.consumers.iter().flat_map(|consumer| consumer.reads.iter().map(move |read| (consumer, read)));
    if !reads().any(|(_, read)| planned(&read.dataset) && !read.columns.is_empty()) {
        return Vec::new();
    }
    let columns = flowline_process::columns_of(plan).await;
    let mut problems = Vec::new();
    for (consumer, read) in reads().filter(|(_, read)| planned(&read.dataset)) {
        // Of a query that does not hold nothing can be said.
        let Some(known) = columns.get(&read.dataset) else { continue };
        for name in read.columns.iter().filter(|name| !known.iter().any(|column| column.name == **name)) {
            let all: Vec<&str> = known.iter().map(|column| column.name.as_str()).collect();
            let message = format!("`{}` has no column `{name}`", read.dataset);
            let hint = format!("its query gives: {}", all.join(", "));
            problems.push(reading.sources.name_problem(&consumer.declared_in, name, message, Some(hint)));
        }
    }
    problems
}

fn print(problems: &[Diagnostic], printer: &Printer) {
    if !problems.is_empty() {
        printer.remark(flowline_project::render(problems, true));
    }
}
