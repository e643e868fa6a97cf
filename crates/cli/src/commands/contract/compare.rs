//! `flowline contract diff` and `flowline contract check`.

use std::process::ExitCode;

use anyhow::{Context, bail};
use flowline_contract::{JudgedChange, Report, State, Verdict, judge, markdown};
use flowline_model::{DatasetName, Plan};

use super::{states, versions};
use crate::args::ProjectArguments;
use crate::commands::{FOUND_WRONG, check as project_check};
use crate::connection::Connection;
use crate::output::{BAD, FAINT, GOOD, Printer, STRONG, WARN, harmless};

/// What the files of a project are called in reports.
const FILES: &str = "the project's files";

/// Which states of which contract are compared.
pub struct Diff<'a> {
    pub dataset: &'a str,
    pub from: Option<u32>,
    pub to: Option<u32>,
    pub git: Option<&'a str>,
}

/// Prints what changes in one contract. A change that would be refused is no failure here: nothing is being let in.
pub async fn diff(
    what: &Diff<'_>,
    as_markdown: bool,
    project: &ProjectArguments,
    printer: &Printer,
) -> anyhow::Result<ExitCode> {
    let dataset: DatasetName = what.dataset.parse()?;
    let Some(plan) = load(project, printer).await? else { return Ok(ExitCode::from(FOUND_WRONG)) };
    let files = || async { states::of_plan(FILES, &plan).await };
    let (mut from, mut to) = match what.git {
        Some(reference) => (
            states::of_commit(&project.project, project.environment.as_deref(), reference).await?,
            files().await,
        ),
        None => {
            let connection = Connection::open(project).await?;
            let versions = versions(&connection, Some(what.dataset)).await?;
            let newest = versions.first().map(|version| version.version);
            let from = what.from.or(newest).with_context(|| {
                format!(
                    "the contract of `{dataset}` was never deployed: run the project, or compare with `--git`"
                )
            })?;
            let to = match what.to {
                Some(to) => states::of_version(&versions, &dataset, to)?,
                None => files().await,
            };
            (states::of_version(&versions, &dataset, from)?, to)
        }
    };
    for state in [&mut from, &mut to] {
        state.contracts.retain(|name, _| *name == dataset);
    }
    if from.contracts.is_empty() && to.contracts.is_empty() {
        bail!("there is no dataset `{dataset}`, neither in {} nor in {}", from.name, to.name);
    }
    print(&judged(&plan, &from, &to).await, as_markdown, printer)?;
    Ok(ExitCode::SUCCESS)
}

/// Holds all contracts against those of a commit.
pub async fn check(
    reference: &str,
    as_markdown: bool,
    project: &ProjectArguments,
    printer: &Printer,
) -> anyhow::Result<ExitCode> {
    let Some(plan) = load(project, printer).await? else { return Ok(ExitCode::from(FOUND_WRONG)) };
    let from = states::of_commit(&project.project, project.environment.as_deref(), reference).await?;
    let to = states::of_plan(FILES, &plan).await;
    let report = judged(&plan, &from, &to).await;
    print(&report, as_markdown, printer)?;
    Ok(match report.verdict {
        Verdict::Allowed => ExitCode::SUCCESS,
        Verdict::Refused => ExitCode::from(FOUND_WRONG),
    })
}

async fn load(project: &ProjectArguments, printer: &Printer) -> anyhow::Result<Option<Plan>> {
    project_check::load(&project.project, project.environment.as_deref(), printer).await
}

async fn judged(plan: &Plan, from: &State, to: &State) -> Report {
    judge(from, to, &states::flow_of(plan).await, &states::origins_of(plan))
}

fn print(report: &Report, as_markdown: bool, printer: &Printer) -> anyhow::Result<()> {
    if as_markdown && !printer.json_wanted() {
        printer.line(markdown(report).trim_end());
        return Ok(());
    }
    printer.json(report)?;
    if report.datasets.is_empty() {
        printer.line(format!("{GOOD}no contract changes{GOOD:#} from {} to {}", report.from, report.to));
        return Ok(());
    }
    for dataset in &report.datasets {
        let rule =
            dataset.rule.as_deref().map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule}"));
        let verdict = match dataset.verdict {
            Verdict::Allowed => format!("{GOOD}allowed{GOOD:#}"),
            Verdict::Refused => format!("{BAD}refused{BAD:#}"),
        };
        printer.line(format!("{STRONG}{}{STRONG:#}  {verdict}  {FAINT}{rule}{FAINT:#}", dataset.dataset));
        for change in &dataset.changes {
            print_change(change, printer);
        }
    }
    match report.verdict {
        Verdict::Allowed => printer.line(format!("{GOOD}allowed{GOOD:#}: {} → {}", report.from, report.to)),
        Verdict::Refused => {
            printer.line(format!("{BAD}refused{BAD:#}: {} → {}", report.from, report.to));
            for reason in report.datasets.iter().flat_map(|dataset| &dataset.reasons) {
                printer.line(format!("  {}", harmless(reason)));
            }
        }
    }
    Ok(())
}

fn print_change(judged: &JudgedChange, printer: &Printer) {
    let compatibility = judged.compatibility.as_str();
    printer.line(format!("  {compatibility:<9} {}", harmless(&judged.change.message)));
    for hit in &judged.breaks {
        printer.line(format!("            {WARN}breaks{WARN:#} {hit}"));
    }
    for hit in &judged.affects {
        printer.line(format!("            {FAINT}affects {hit}{FAINT:#}"));
    }
}
