//! `flowline check`, and the loading of a project that every command shares.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use flowline_land::Contract;
use flowline_model::Plan;
use flowline_process::SqlProblem;
use flowline_project::{Code, Diagnostic};
use serde_json::json;

use crate::args::Check;
use crate::output::{GOOD, Printer};

/// Validates files and SQL and prints every problem.
pub async fn run(check: &Check, printer: &Printer) -> anyhow::Result<ExitCode> {
    let (plan, problems) = examine(&check.folder, check.environment.as_deref()).await;
    let valid = plan.is_some();
    printer.json(&json!({ "valid": valid, "diagnostics": problems }))?;
    print(&problems, printer);
    match plan {
        Some(plan) => {
            printer.line(format!(
                "{GOOD}ok{GOOD:#} {} {}: {} datasets, {} teams, environment `{}`",
                plan.project,
                plan.version,
                plan.datasets.len(),
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
    let (plan, problems) = examine(folder, environment).await;
    if plan.is_none() {
        printer.json(&json!({ "valid": false, "diagnostics": problems }))?;
    }
    print(&problems, printer);
    Ok(plan)
}

/// The plan where there are no errors, and every problem of files, contracts and SQL.
async fn examine(folder: &Path, environment: Option<&str>) -> (Option<Plan>, Vec<Diagnostic>) {
    let mut reading = flowline_project::read(folder, environment);
    let mut problems = std::mem::take(&mut reading.diagnostics);
    for dataset in reading.plan.datasets.iter().filter(|dataset| dataset.landed()) {
        if let Err(error) = Contract::compile(Arc::new(dataset.clone())) {
            let column = error.column();
            problems.push(reading.sources.column_problem(&dataset.declared_in, column, error.to_string()));
        }
    }
    for problem in flowline_process::check(&reading.plan).await {
        if !reading.is_consequence(&problem.message) {
            let SqlProblem { file, line, column, message, hint, .. } = problem;
            problems.push(reading.sources.problem(Code::Sql, &file, line, column, message, hint));
        }
    }
    let valid = !problems.iter().any(Diagnostic::is_error);
    (valid.then_some(reading.plan), problems)
}

fn print(problems: &[Diagnostic], printer: &Printer) {
    if !problems.is_empty() {
        printer.remark(flowline_project::render(problems, true));
    }
}
