//! The whole way from a folder to a plan: find, parse, check, resolve.

use std::collections::BTreeSet;
use std::path::Path;

use flowline_model::{Consumer, Dataset, DatasetName, Plan};

use crate::Reading;
use crate::check::{Checked, check};
use crate::diagnostic::{Code, Diagnostic};
use crate::files::{CONSUMER, DATASET, DatasetFile, FileKind, PROJECT, TESTS};
use crate::folder::{self, DatasetTexts, Folder, PROJECT_FILE};
use crate::resolve::{self, ConsumerScope, DatasetScope, Resolved, TestScope, Variables};
use crate::sources::{Problem, Report, SourceFile};
use crate::test_case::TestCase;
use crate::yaml::{self, Place};

/// Reads what can be read of a project; variables are taken from `value_of`.
pub(crate) fn read(
    dir: &Path,
    environment: Option<&str>,
    value_of: &dyn Fn(&str) -> Option<String>,
) -> Reading {
    let variables = Variables { value_of };
    let mut report = Report::default();
    let mut folder = folder::open(dir, &mut report);
    let resolved = project(&folder, environment, variables, &mut report);
    let mut unreadable = std::mem::take(&mut folder.unreadable);
    let datasets = datasets(&folder, resolved.as_ref(), variables, &mut unreadable, &mut report);
    let teams_known =
        resolved.as_ref().map(|project| project.teams.iter().map(|team| team.name.clone()).collect());
    let consumers = consumers(&folder, teams_known, &datasets, &unreadable, &mut report);
    let (name, teams, environment) = match resolved {
        Some(resolved) => (resolved.name, resolved.teams, resolved.environment),
        None => (String::new(), Vec::new(), None),
    };
    let environment = environment.unwrap_or_else(|| resolve::standard_environment("", &folder.dir));
    let plan = Plan { project: name, version: folder.version, environment, teams, datasets, consumers };
    let scope = TestScope { dir: &folder.dir, plan: &plan, unreadable: &unreadable };
    let tests = tests(&scope, &folder.tests, &mut report);
    finish(plan, tests, unreadable, report)
}

/// Reads the files of tests.
fn tests(scope: &TestScope<'_>, files: &[(String, String)], report: &mut Report) -> Vec<TestCase> {
    let mut tests = Vec::new();
    for (path, text) in files {
        let Some(file) = parse(path, text, &TESTS, report) else { continue };
        let Some(content) = check(&file, &TESTS, report).content else { continue };
        tests.extend(resolve::resolve_tests(scope, &file, content, report));
    }
    tests
}

fn finish(plan: Plan, tests: Vec<TestCase>, unreadable: BTreeSet<DatasetName>, report: Report) -> Reading {
    let Report { sources, mut diagnostics, .. } = report;
    diagnostics.sort_by(|left, right| {
        let order = |diagnostic: &Diagnostic| (diagnostic.line, diagnostic.column, diagnostic.code);
        let files = (left.file != PROJECT_FILE, &left.file).cmp(&(right.file != PROJECT_FILE, &right.file));
        files.then_with(|| order(left).cmp(&order(right)))
    });
    Reading { plan, tests, diagnostics, unreadable, sources }
}

/// Reads `flowline.yaml`.
fn project(
    folder: &Folder,
    environment: Option<&str>,
    variables: Variables<'_>,
    report: &mut Report,
) -> Option<Resolved> {
    let text = folder.project.as_ref()?;
    let file = parse(PROJECT_FILE, text, &PROJECT, report)?;
    let content = check(&file, &PROJECT, report).content?;
    Some(resolve::resolve_project(&file, content, &folder.dir, environment, variables, report))
}

fn datasets(
    folder: &Folder,
    project: Option<&Resolved>,
    variables: Variables<'_>,
    unreadable: &mut BTreeSet<DatasetName>,
    report: &mut Report,
) -> Vec<Dataset> {
    let defaults = resolve::standard_landing();
    let scope = DatasetScope {
        dir: &folder.dir,
        variables,
        teams: project.map(|project| project.team_names.iter().map(String::as_str).collect()),
        runbooks: &folder.runbooks,
        landing: project.map_or(defaults.0, |project| project.landing),
        dedupe_horizon: project.map_or(defaults.1, |project| project.dedupe_horizon),
        kafka: project
            .and_then(|project| project.environment.as_ref())
            .is_none_or(|environment| environment.kafka_of_sources().is_some()),
        kafka_log: project
            .and_then(|project| project.environment.as_ref())
            .is_some_and(|environment| environment.log.kafka.is_some()),
    };
    let mut datasets = Vec::new();
    for (name, texts) in &folder.datasets {
        match dataset(&scope, name, texts, report) {
            Some(dataset) => datasets.push(dataset),
            None => {
                unreadable.insert(name.clone());
            }
        }
    }
    datasets
}

/// Reads the files of one dataset; none when too little of it is left to say anything about it.
fn dataset(
    scope: &DatasetScope<'_>,
    name: &DatasetName,
    texts: &DatasetTexts,
    report: &mut Report,
) -> Option<Dataset> {
    let Some((path, text)) = &texts.yaml else {
        if let Some((path, _)) = &texts.sql {
            let beside = path.replace(".sql", ".yaml");
            let problem =
                Problem::error(Code::MissingFile, format!("there is no `{beside}` beside this query"));
            report.add(
                path,
                Place::start(),
                problem.hint("declare the dataset there: its owner, its zone, `source: sql`"),
            );
        }
        return None;
    };
    let file = parse(path, text, &DATASET, report)?;
    let Checked { content, columns_lost } = check::<DatasetFile>(&file, &DATASET, report);
    let dataset =
        resolve::resolve_dataset(scope, name, &file, content?, texts.sql.as_ref(), columns_lost, report);
    dataset.filter(|_| !columns_lost)
}

/// Reads the files of consumers.
fn consumers(
    folder: &Folder,
    teams: Option<Vec<String>>,
    datasets: &[Dataset],
    unreadable: &BTreeSet<DatasetName>,
    report: &mut Report,
) -> Vec<Consumer> {
    let scope = ConsumerScope { teams: teams.as_deref(), datasets, unreadable };
    let mut consumers = Vec::new();
    for (name, (path, text)) in &folder.consumers {
        let Some(file) = parse(path, text, &CONSUMER, report) else { continue };
        let Some(content) = check(&file, &CONSUMER, report).content else { continue };
        consumers.push(resolve::resolve_consumer(&scope, name, &file, content, report));
    }
    consumers
}

/// Reads a text as YAML and reports what is wrong with it.
fn parse(path: &str, text: &str, kind: &FileKind, report: &mut Report) -> Option<SourceFile> {
    let parsed = yaml::parse(text);
    for problem in parsed.problems {
        let place = problem.place;
        let (code, message, hint) = (problem.code, problem.message, problem.hint);
        report.add(path, place, Problem { hint, ..Problem::error(code, message) });
    }
    match parsed.root {
        Some(root) => Some(SourceFile { path: path.to_owned(), root }),
        None if report.diagnostics.iter().any(|diagnostic| diagnostic.file == path) => None,
        None => {
            report.add(path, Place::start(), crate::check::empty_file(kind));
            None
        }
    }
}

/// Reads one text as a file of its kind, for tests and fuzzing: nothing on disk is touched.
#[doc(hidden)]
pub fn read_text(path: &str, text: &str) -> Vec<Diagnostic> {
    let value_of = |_: &str| None;
    let variables = Variables { value_of: &value_of };
    let mut report = Report::default();
    let text = &*folder::line_feeds(text);
    report.sources.keep(path, text);
    let dir = Path::new("/project");
    if path == PROJECT_FILE {
        if let Some(file) = parse(path, text, &PROJECT, &mut report)
            && let Some(content) = check(&file, &PROJECT, &mut report).content
        {
            resolve::resolve_project(&file, content, dir, None, variables, &mut report);
        }
    } else if let Ok(name) = DatasetName::new("domain", "name") {
        let (landing, dedupe_horizon) = resolve::standard_landing();
        let runbooks = BTreeSet::new();
        let scope = DatasetScope {
            dir,
            variables,
            teams: None,
            runbooks: &runbooks,
            landing,
            dedupe_horizon,
            kafka: true,
            kafka_log: false,
        };
        let texts = DatasetTexts { yaml: Some((path.to_owned(), text.to_owned())), sql: None };
        dataset(&scope, &name, &texts, &mut report);
    }
    report.diagnostics
}
