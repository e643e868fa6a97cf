//! One dataset: its contract, its origin, its promises.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use flowline_model::{Dataset, DatasetName, LandingSettings, OnDrift, PartitionField, Slo, Zone};

use super::Variables;
use super::checks::ChecksScope;
use super::columns::Columns;
use super::in_log::check_kept_in_log;
use super::origin::{SqlText, resolve_origin};
use super::project::{check_landing, check_owner, landing_settings};
use crate::diagnostic::Code;
use crate::files::{CompatibilityWord, DatasetFile, ModeWord, OnDriftWord, Origin, SloFile, ZoneWord};
use crate::nearest::nearest;
use crate::sources::{Problem, Report, SourceFile};

/// What the datasets of a project share.
pub(crate) struct DatasetScope<'a> {
    pub dir: &'a Path,
    pub variables: Variables<'a>,
    /// The names of the teams; absent when they could not be read.
    pub teams: Option<Vec<&'a str>>,
    pub runbooks: &'a BTreeSet<String>,
    pub landing: LandingSettings,
    pub dedupe_horizon: Duration,
    /// Whether the environment names a Kafka cluster that sources can read from; true when that is not known.
    pub kafka: bool,
    /// Whether the environment keeps the log in Kafka.
    pub kafka_log: bool,
}

/// Resolves a dataset; none when what it comes from is not known.
pub(crate) fn resolve_dataset(
    scope: &DatasetScope<'_>,
    name: &DatasetName,
    file: &SourceFile,
    content: DatasetFile,
    sql: Option<&(String, String)>,
    columns_lost: bool,
    report: &mut Report,
) -> Option<Dataset> {
    if let Some(owner) = &content.owner {
        check_owner(scope.teams.as_deref(), file, "/owner", owner, report);
    }
    if let Some(runbook) = &content.runbook {
        check_runbook(scope, file, &runbook.0, report);
    }
    check_on_drift(file, &content, report);
    check_kept_in_log(file, &content, report);
    let mut columns = Columns::resolve(file, &content, columns_lost, report);
    let key = columns.key(&content, report);
    let partition_by = columns.partition_by(&content, report);
    let event_time = columns.event_time(&content, report);
    let checks = ChecksScope {
        file,
        columns: &columns,
        teams: scope.teams.as_deref(),
        owner: content.owner.as_deref().unwrap_or_default(),
        partitions: partition_by.iter().map(PartitionField::partition_column).collect(),
    };
    let checks = checks.resolve(&content, report);
    let text = SqlText { beside: sql, inline: content.sql.as_deref() };
    let origin = resolve_origin(scope, name, file, &content, &columns, text, report)?;
    let landing = landing_settings(content.landing.as_ref(), Some(scope.landing));
    if content.landing.is_some() {
        check_landing(file, "/landing", &landing, report);
    }
    let horizon = dedupe_horizon(scope, file, &content, report);
    Some(Dataset {
        name: name.clone(),
        description: content.description.unwrap_or_default(),
        owner: content.owner.unwrap_or_default(),
        zone: content.zone.map_or(Zone::Raw, zone),
        origin,
        columns: columns.columns,
        key,
        dedupe_horizon: horizon,
        event_time,
        partition_by,
        compatibility: content.compatibility.map(|word| compatibility(word).to_owned()),
        checks,
        slo: content.slo.as_ref().map(slo).unwrap_or_default(),
        runbook: content.runbook.map(|path| path.0),
        on_drift: content.on_drift.map(on_drift).unwrap_or_default(),
        landing,
        declared_in: file.path.clone(),
    })
}

fn check_runbook(scope: &DatasetScope<'_>, file: &SourceFile, path: &str, report: &mut Report) {
    if scope.runbooks.contains(path) || scope.dir.join(path).is_file() {
        return;
    }
    let problem = Problem::error(Code::MissingFile, format!("there is no file `{path}` in the project"));
    let problem = match nearest(path, scope.runbooks.iter().map(String::as_str)) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("write down there what to do when this dataset breaks"),
    };
    report.at_value(file, "/runbook", problem);
}

fn zone(word: ZoneWord) -> Zone {
    match word {
        ZoneWord::Raw => Zone::Raw,
        ZoneWord::Clean => Zone::Clean,
        ZoneWord::Trusted => Zone::Trusted,
    }
}

fn compatibility(word: CompatibilityWord) -> &'static str {
    match word {
        CompatibilityWord::None => "none",
        CompatibilityWord::Backward => "backward",
        CompatibilityWord::Forward => "forward",
        CompatibilityWord::Full => "full",
    }
}

fn on_drift(word: OnDriftWord) -> OnDrift {
    match word {
        OnDriftWord::AcceptNewFields => OnDrift::AcceptNewFields,
        OnDriftWord::Quarantine => OnDrift::Quarantine,
        OnDriftWord::Stop => OnDrift::Stop,
    }
}

/// Records that are made by SQL have no producer that could drift.
fn check_on_drift(file: &SourceFile, content: &DatasetFile, report: &mut Report) {
    if content.on_drift.is_some() && matches!(content.from, Some(Origin::Sql { .. })) {
        let problem =
            Problem::error(Code::Conflict, "`on_drift` is for what is landed, and this is made by SQL");
        report.at_key(file, "/on_drift", problem.hint("remove it; set it where the records come in"));
    }
}

fn slo(file: &SloFile) -> Slo {
    let freshness = file.freshness.as_ref();
    Slo {
        freshness_within: freshness.map(|freshness| freshness.within.0),
        freshness_target: freshness.and_then(|freshness| Some(freshness.target.as_ref()?.0)),
        completeness_target: file.completeness.as_ref().map(|completeness| completeness.target.0),
    }
}

/// How long a key is remembered: of what is received, and of a stream that picks the first or last row of each key.
fn dedupe_horizon(
    scope: &DatasetScope<'_>,
    file: &SourceFile,
    content: &DatasetFile,
    report: &mut Report,
) -> Duration {
    let stream = content.mode == Some(ModeWord::Stream);
    let by_query = matches!(content.from, Some(Origin::Sql { .. }));
    if content.dedupe_horizon.is_some() && by_query && !stream {
        let message =
            "`dedupe_horizon` is for received records and streams, and these rows are made by a query";
        let problem = Problem::error(Code::Conflict, message).hint("remove it");
        report.at_key(file, "/dedupe_horizon", problem);
    }
    let otherwise = if stream { Duration::ZERO } else { scope.dedupe_horizon };
    content.dedupe_horizon.as_ref().map_or(otherwise, |text| text.0)
}
