//! `flowline test`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use flowline_base::{SharedClock, system_clock};
use flowline_model::Plan;
use flowline_project::TestCase;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use quick_junit::{NonSuccessKind, Report, TestCase as JunitCase, TestCaseStatus, TestSuite};
use serde::Serialize;
use tokio::sync::mpsc;

use super::check;
use crate::args::Test;
use crate::output::{BAD, FAINT, GOOD, Printer, STRONG};
use crate::progress;

/// After the first change of a file this long is waited for more of them: editors write in several steps.
const QUIET: Duration = Duration::from_millis(150);

/// How one test went.
#[derive(Debug, Serialize)]
struct Outcome {
    name: String,
    file: String,
    line: u32,
    verdict: Verdict,
    /// Why it did not pass.
    details: Vec<String>,
    seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Passed,
    /// The rows are others than those that were expected.
    Failed,
    /// It could not be run to its end.
    Error,
}

/// Runs the tests of a project, once or whenever a file changes.
pub async fn run(test: &Test, printer: &Printer) -> anyhow::Result<ExitCode> {
    if !test.watch {
        return once(test, printer).await;
    }
    let (_watcher, mut changes) = changes(&test.project.project)?;
    loop {
        once(test, printer).await?;
        printer.remark(format!("{FAINT}waiting for changes; ctrl-c ends{FAINT:#}"));
        tokio::select! {
            ended = tokio::signal::ctrl_c() => {
                ended.context("listening for ctrl-c")?;
                return Ok(ExitCode::SUCCESS);
            }
            changed = changes.recv() => {
                changed.context("the folder is no longer watched")?;
                while tokio::time::timeout(QUIET, changes.recv()).await.is_ok_and(|more| more.is_some()) {}
            }
        }
    }
}

async fn once(test: &Test, printer: &Printer) -> anyhow::Result<ExitCode> {
    let environment = test.project.environment.as_deref();
    let Some((plan, cases)) = check::load_tests(&test.project.project, environment, printer).await? else {
        return Ok(ExitCode::from(super::FOUND_WRONG));
    };
    let wanted = |case: &&TestCase| {
        test.filter.as_ref().is_none_or(|filter| {
            case.name.contains(filter.as_str()) || case.declared_in.contains(filter.as_str())
        })
    };
    let all = cases.len();
    let cases: Vec<&TestCase> = cases.iter().filter(wanted).collect();
    let outcomes = run_all(&plan, &cases, printer).await?;
    report(&outcomes, printer)?;
    if let Some(path) = &test.junit {
        write_junit(path, &plan.project, &outcomes)?;
    }
    if outcomes.is_empty() {
        // Nobody who names a test wants none to run.
        if let Some(filter) = test.filter.as_ref().filter(|_| !test.watch) {
            bail!("no test was run: none of {all} has `{filter}` in its name or its file");
        }
        printer.remark("no test was run: tests stand in tests/*.yaml, see docs/testing.md");
    }
    let all_passed = outcomes.iter().all(|outcome| outcome.verdict == Verdict::Passed);
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::from(super::FOUND_WRONG) })
}

async fn run_all(plan: &Plan, cases: &[&TestCase], printer: &Printer) -> anyhow::Result<Vec<Outcome>> {
    let clock = system_clock();
    let bar = progress::spinner(printer)?;
    let mut outcomes = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        bar.set_message(format!("test {} of {}: {}", index + 1, cases.len(), case.name));
        bar.tick();
        outcomes.push(run_one(plan, case, &clock).await);
    }
    bar.finish_and_clear();
    Ok(outcomes)
}

async fn run_one(plan: &Plan, case: &TestCase, clock: &SharedClock) -> Outcome {
    let started = clock.instant();
    let (verdict, details) = match flowline_node::run_test(plan, case, clock.clone()).await {
        Ok(differences) if differences.is_empty() => (Verdict::Passed, differences),
        Ok(differences) => (Verdict::Failed, differences),
        Err(error) => (Verdict::Error, vec![flowline_base::chain(error.as_ref())]),
    };
    Outcome {
        name: case.name.clone(),
        file: case.declared_in.clone(),
        line: case.line,
        verdict,
        details,
        seconds: started.elapsed().as_secs_f64(),
    }
}

fn report(outcomes: &[Outcome], printer: &Printer) -> anyhow::Result<()> {
    let count = |verdict| outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
    let (passed, failed, errors) = (count(Verdict::Passed), count(Verdict::Failed), count(Verdict::Error));
    printer.json(&serde_json::json!({
        "passed": passed, "failed": failed, "errors": errors, "tests": outcomes,
    }))?;
    for outcome in outcomes {
        let word = match outcome.verdict {
            Verdict::Passed => format!("{GOOD}passed{GOOD:#}"),
            Verdict::Failed => format!("{BAD}failed{BAD:#}"),
            Verdict::Error => format!("{BAD}error{BAD:#} "),
        };
        let Outcome { name, file, line, seconds, .. } = outcome;
        printer
            .line(format!("{word} {STRONG}{name}{STRONG:#} {FAINT}{file}:{line}, {seconds:.2} s{FAINT:#}"));
        for line in outcome.details.iter().flat_map(|detail| detail.lines()) {
            printer.line(format!("       {}", crate::output::harmless(line)));
        }
    }
    printer.line(format!("{passed} passed, {failed} failed, {errors} could not be run"));
    Ok(())
}

/// JUnit XML: one suite a file.
fn write_junit(path: &Path, project: &str, outcomes: &[Outcome]) -> anyhow::Result<()> {
    let mut report = Report::new(project);
    for outcomes in outcomes.chunk_by(|left, right| left.file == right.file) {
        let mut suite = TestSuite::new(outcomes[0].file.as_str());
        for outcome in outcomes {
            let kind = match outcome.verdict {
                Verdict::Passed => None,
                Verdict::Failed => Some(NonSuccessKind::Failure),
                Verdict::Error => Some(NonSuccessKind::Error),
            };
            let status = kind.map_or_else(TestCaseStatus::success, |kind| {
                let mut status = TestCaseStatus::non_success(kind);
                status.set_description(outcome.details.join("\n"));
                status
            });
            let mut case = JunitCase::new(outcome.name.as_str(), status);
            case.set_classname(outcome.file.as_str());
            case.set_time(Duration::from_secs_f64(outcome.seconds));
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("creating `{}`", folder.display()))?;
    }
    let file = std::fs::File::create(path).with_context(|| format!("creating `{}`", path.display()))?;
    report.serialize(file).with_context(|| format!("writing `{}`", path.display()))
}

/// A message for each change below the project, but for what a node keeps there; for as long as the watcher lives.
fn changes(folder: &Path) -> anyhow::Result<(RecommendedWatcher, mpsc::Receiver<()>)> {
    let (sender, receiver) = mpsc::channel(1);
    let folder = folder.canonicalize().with_context(|| format!("finding `{}`", folder.display()))?;
    let root = folder.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let written = event.is_ok_and(|event| {
            let hidden = |path: &Path| {
                let below = path.strip_prefix(&root).unwrap_or(path);
                below.iter().any(|part| part.as_encoded_bytes().starts_with(b"."))
            };
            !event.kind.is_access() && event.paths.iter().any(|path| !hidden(path))
        });
        if written {
            // One that waits says as much as two.
            let _ = sender.try_send(());
        }
    })?;
    watcher
        .watch(&folder, RecursiveMode::Recursive)
        .with_context(|| format!("watching `{}`", folder.display()))?;
    Ok((watcher, receiver))
}
