//! `flowline.yaml`: its teams, its environments and which of them is chosen.

use std::path::Path;
use std::time::Duration;

use flowline_model::{Environment, Keep, LandingSettings, Team};

use super::environment::{resolve_environment, standard_environment};
use super::{Variables, default_of};
use crate::check::join;
use crate::defaults;
use crate::diagnostic::Code;
use crate::files::{KeepWord, LandingFile, ProjectFile};
use crate::nearest::suggestion;
use crate::sources::{Problem, Report, SourceFile};
use crate::value::{DurationText, SizeText, is_name};
use crate::yaml::{Data, Node};

/// What `flowline.yaml` declares.
pub(crate) struct Resolved {
    pub name: String,
    pub teams: Vec<Team>,
    /// The names of all teams that stand there, also of those that are declared wrongly.
    pub team_names: Vec<String>,
    /// Absent when the one that was asked for does not exist or does not hold.
    pub environment: Option<Environment>,
    pub landing: LandingSettings,
    pub dedupe_horizon: Duration,
}

/// Resolves `flowline.yaml` for the environment that is asked for.
pub(crate) fn resolve_project(
    file: &SourceFile,
    content: ProjectFile,
    dir: &Path,
    wanted: Option<&str>,
    variables: Variables<'_>,
    report: &mut Report,
) -> Resolved {
    let teams = teams(file, &content, report);
    let environment = environment(file, &content, dir, wanted, variables, report);
    let mut defaults = content.defaults;
    let written = defaults.as_mut().and_then(|defaults| defaults.landing.as_mut());
    keep_of_datasets(file, written, report);
    let landing = landing_settings(defaults.as_ref().and_then(|defaults| defaults.landing.as_ref()), None);
    let horizon = defaults.and_then(|defaults| defaults.dedupe_horizon);
    check_landing(file, "/defaults/landing", &landing, report);
    Resolved {
        name: content.name.map(|name| name.0).unwrap_or_default(),
        teams,
        team_names: team_names(file),
        environment,
        landing,
        dedupe_horizon: horizon
            .map_or_else(|| default_of::<DurationText>(defaults::DEDUPE_HORIZON), |text| text.0),
    }
}

/// Where rows lie decides what may be made of a dataset, so that it stands with the dataset.
fn keep_of_datasets(file: &SourceFile, landing: Option<&mut LandingFile>, report: &mut Report) {
    if landing.and_then(|landing| landing.keep.take()).is_some() {
        let message = "where the rows of a dataset lie is said by that dataset, not for all of them";
        let problem = Problem::error(Code::Conflict, message);
        let hint = "write `landing: { keep: log }` in the file of each dataset that needs no table";
        report.at_key(file, "/defaults/landing/keep", problem.hint(hint));
    }
}

fn team_names(file: &SourceFile) -> Vec<String> {
    match file.root.nearest_to("/teams") {
        (Some(key), Node { data: Data::Map(entries), .. }) if key.name == "teams" => {
            entries.iter().map(|(key, _)| key.name.clone()).collect()
        }
        _ => Vec::new(),
    }
}

fn teams(file: &SourceFile, content: &ProjectFile, report: &mut Report) -> Vec<Team> {
    for name in content.teams.keys().filter(|name| !is_name(name, "_-")) {
        report.at_key(file, &join("/teams", name), invalid_name("team", name));
    }
    let team = |(name, team): (&String, &crate::files::TeamFile)| Team {
        name: name.clone(),
        description: team.description.clone().unwrap_or_default(),
        contact: team.contact.clone(),
    };
    content.teams.iter().map(team).collect()
}

fn invalid_name(what: &str, name: &str) -> Problem {
    Problem::error(
        Code::InvalidName,
        format!("`{}` is not the name of a {what}", crate::value::shorten(name)),
    )
    .hint("write lower-case letters, digits, `_` and `-`, first a letter")
}

fn environment(
    file: &SourceFile,
    content: &ProjectFile,
    dir: &Path,
    wanted: Option<&str>,
    variables: Variables<'_>,
    report: &mut Report,
) -> Option<Environment> {
    let chosen = wanted.unwrap_or(defaults::ENVIRONMENT);
    let mut found = None;
    for (name, environment) in &content.environments {
        if !is_name(name, "_-") {
            report.at_key(file, &join("/environments", name), invalid_name("environment", name));
        }
        let selected = name == chosen;
        let resolved = resolve_environment(file, name, environment, dir, variables, selected, report);
        if selected {
            found = Some(resolved);
        }
    }
    if found.is_some() {
        return found;
    }
    if content.environments.is_empty() && chosen == defaults::ENVIRONMENT {
        return Some(standard_environment(chosen, dir));
    }
    let names: Vec<&str> = content.environments.keys().map(String::as_str).collect();
    let problem = Problem::error(Code::UnknownName, format!("there is no environment `{chosen}`"));
    let problem = match wanted {
        Some(_) => problem.hint(suggestion(chosen, &names)),
        None => problem
            .hint(format!("name one with `--env`, or declare `{chosen}`; there are: {}", names.join(", "))),
    };
    report.at_key(file, "/environments", problem);
    None
}

/// The landing settings of a file, over those that hold otherwise.
pub(super) fn landing_settings(
    file: Option<&LandingFile>,
    otherwise: Option<LandingSettings>,
) -> LandingSettings {
    let otherwise = otherwise.unwrap_or_else(|| LandingSettings {
        flush_bytes: default_of::<SizeText>(defaults::FLUSH_BYTES),
        flush_after: default_of::<DurationText>(defaults::FLUSH_AFTER),
        quarantine_retain_for: None,
        keep: Keep::Table,
    });
    let Some(file) = file else { return otherwise };
    let keep = match file.keep {
        Some(KeepWord::Table) => Keep::Table,
        Some(KeepWord::Log) => Keep::Log,
        None => otherwise.keep,
    };
    // Rows that no file takes wait in memory, and what is said for all datasets is meant for files.
    let flush_bytes = match keep {
        Keep::Table => otherwise.flush_bytes,
        Keep::Log => otherwise.flush_bytes.min(default_of::<SizeText>(defaults::FLUSH_BYTES_KEPT_IN_LOG)),
    };
    LandingSettings {
        flush_bytes: file.flush_bytes.as_ref().map_or(flush_bytes, |text| text.0),
        flush_after: file.flush_after.as_ref().map_or(otherwise.flush_after, |text| text.0),
        quarantine_retain_for: file
            .quarantine_retain_for
            .as_ref()
            .map_or(otherwise.quarantine_retain_for, |text| Some(text.0)),
        keep,
    }
}

/// Landing must flush at some time, and not for each record.
pub(super) fn check_landing(
    file: &SourceFile,
    pointer: &str,
    landing: &LandingSettings,
    report: &mut Report,
) {
    const BYTES_MIN: u64 = 4 << 10;
    const BYTES_MAX: u64 = 4 << 30;
    const AFTER_MIN: Duration = Duration::from_millis(10);
    const AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);
    if !(BYTES_MIN..=BYTES_MAX).contains(&landing.flush_bytes) {
        let problem = Problem::error(Code::InvalidValue, "`flush_bytes` must be between 4KiB and 4GiB");
        report.at_value(file, &join(pointer, "flush_bytes"), problem);
    }
    if !(AFTER_MIN..=AFTER_MAX).contains(&landing.flush_after) {
        let problem = Problem::error(Code::InvalidValue, "`flush_after` must be between 10ms and 24h");
        report.at_value(file, &join(pointer, "flush_after"), problem);
    }
}

/// Reports a team that nobody declared.
pub(super) fn check_owner(
    teams: Option<&[&str]>,
    file: &SourceFile,
    pointer: &str,
    owner: &str,
    report: &mut Report,
) {
    let Some(teams) = teams else { return };
    if teams.contains(&owner) {
        return;
    }
    let problem =
        Problem::error(Code::UnknownName, format!("no team `{}` is declared", crate::value::shorten(owner)));
    let problem = match teams {
        [] => problem.hint("declare it under `teams` in flowline.yaml"),
        teams => problem.hint(crate::nearest::suggestion(owner, teams)),
    };
    report.at_value(file, pointer, problem);
}
