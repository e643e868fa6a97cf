//! `flowline check`, and the loading of a project that every command shares.

use std::path::Path;
use std::process::ExitCode;

use flowline_model::Plan;
use flowline_project::Diagnostic;
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
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(ExitCode::from(super::FOUND_WRONG)),
    }
}

/// The plan of a project that is to be used; its problems are printed, and there is no plan when one is an error.
pub async fn load(folder: &Path, environment: Option<&str>, printer: &Printer) -> anyhow::Result<Option<Plan>> {
    let (plan, problems) = examine(folder, environment).await;
    if plan.is_none() {
        printer.json(&json!({ "valid": false, "diagnostics": problems }))?;
    }
    print(&problems, printer);
    Ok(plan)
}

/// The plan where there are no errors, and every problem of files and SQL.
async fn examine(folder: &Path, environment: Option<&str>) -> (Option<Plan>, Vec<Diagnostic>) {
    match flowline_project::load(folder, environment) {
        Err(problems) => (None, problems),
        Ok(loaded) => {
            let mut problems = loaded.warnings;
            let sql = flowline_process::check(&loaded.plan).await;
            let valid = sql.is_empty();
            problems.extend(sql.into_iter().map(|problem| {
                Diagnostic::from_sql(folder, &problem.file, problem.line, problem.column, problem.message, problem.hint)
            }));
            (valid.then_some(loaded.plan), problems)
        }
    }
}

fn print(problems: &[Diagnostic], printer: &Printer) {
    if !problems.is_empty() {
        printer.remark(flowline_project::render(problems));
    }
}
