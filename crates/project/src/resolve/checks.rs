//! The checks of a dataset: defaults filled in, columns found, what cannot be said refused.

use std::collections::BTreeMap;

use flowline_model::{
    Anomaly, AnomalyMetric, Check, CheckRule, CheckSeverity, ColumnType, Completeness, DistributionMethod,
    Materialization, Season,
};

use super::columns::Columns;
use super::default_of;
use super::in_log::{check_of_table, kept_in_log};
use super::origin::materialization;
use super::project::check_owner;
use crate::defaults;
use crate::diagnostic::Code;
use crate::files::{CheckFile, DatasetFile, MethodWord, MetricWord, Origin, SeasonWord, SeverityWord};
use crate::sources::{Problem, Report, SourceFile};
use crate::value::{ColumnName, DurationText, Items, ScalarText, Written, is_name};

/// What checks are resolved with.
pub(super) struct ChecksScope<'a, 'c> {
    pub file: &'a SourceFile,
    pub columns: &'a Columns<'c>,
    pub teams: Option<&'a [&'a str]>,
    /// The owner of the dataset.
    pub owner: &'a str,
    /// The names of the columns that the table is split by.
    pub partitions: Vec<String>,
}

impl ChecksScope<'_, '_> {
    /// The checks that can be used; what is wrong with them is reported.
    pub fn resolve(&self, content: &DatasetFile, report: &mut Report) -> Vec<Check> {
        let mut names = BTreeMap::<String, usize>::new();
        let mut checks = Vec::new();
        for (index, written) in &content.checks.0 {
            let at = format!("/checks/{index}");
            let Some(rule) = self.rule(written, &at, report) else { continue };
            let common = written.common();
            if let Some(owner) = common.owner {
                check_owner(self.teams, self.file, &format!("{at}/owner"), owner, report);
            }
            if kept_in_log(content) && !rule.by_row() {
                let problem = check_of_table(&rule);
                report.at_value(self.file, &format!("{at}/kind"), problem);
            }
            let severity = self.severity(common.severity, &rule, content, &at, report);
            let name = common.name.map_or_else(|| name_of(&rule), str::to_owned);
            if !is_name(&name, "_") {
                let message = format!("`{}` is not a name for a check", crate::value::shorten(&name));
                let problem = Problem::error(Code::InvalidValue, message);
                let how = "lower-case letters, digits and `_`, first a letter, at most 63 characters";
                report.at_value(self.file, &format!("{at}/name"), problem.hint(format!("write {how}")));
                continue;
            }
            if let Some(first) = names.insert(name.clone(), *index) {
                let line = self.file.value_at(&format!("/checks/{first}")).line;
                let problem = Problem::error(Code::DuplicateName, format!("there are two checks `{name}`"));
                let hint = format!("the other is on line {line}; give this one another `name`");
                report.at_value(self.file, &format!("{at}/kind"), problem.hint(hint));
                continue;
            }
            checks.push(Check {
                name,
                description: common.description.map(str::to_owned),
                owner: common.owner.unwrap_or(self.owner).to_owned(),
                severity,
                tolerance: common.tolerance.unwrap_or(0.0),
                rule,
            });
        }
        checks
    }

    fn severity(
        &self,
        word: Option<SeverityWord>,
        rule: &CheckRule,
        content: &DatasetFile,
        at: &str,
        report: &mut Report,
    ) -> CheckSeverity {
        let pointer = format!("{at}/severity");
        let refuse = |message: String, hint: &str, report: &mut Report| {
            report.at_value(self.file, &pointer, Problem::error(Code::Conflict, message).hint(hint));
        };
        let computed = matches!(content.from, Some(Origin::Sql { .. }));
        let word = word.unwrap_or(SeverityWord::Warn);
        if computed && word != SeverityWord::Warn && materialization(content) == Materialization::View {
            let message = "nothing is written of a view, so that a check of it can keep nothing back";
            let hint = "write `warn`, or `materialize: full` (or another way) to write its rows to a table";
            refuse(message.to_owned(), hint, report);
            return CheckSeverity::Warn;
        }
        match word {
            SeverityWord::Warn => CheckSeverity::Warn,
            SeverityWord::QuarantineRows => {
                if !rule.by_row() {
                    let message = format!("a check of kind `{}` does not say which rows fail", rule.kind());
                    refuse(message, "write `warn` or `block`", report);
                }
                CheckSeverity::QuarantineRows
            }
            SeverityWord::Block => {
                if rule.over_time() {
                    let message = format!(
                        "a check of kind `{}` looks at what is committed and can block nothing",
                        rule.kind()
                    );
                    refuse(message, "write `warn`", report);
                } else if !rule.by_row() && !computed {
                    let message = format!(
                        "landing sees some records at a time, so that a check of kind `{}` of the whole table cannot block it",
                        rule.kind()
                    );
                    refuse(
                        message,
                        "write `warn`, or let a dataset with `source: sql` have this check",
                        report,
                    );
                }
                CheckSeverity::Block
            }
        }
    }

    fn rule(&self, written: &CheckFile, at: &str, report: &mut Report) -> Option<CheckRule> {
        let column = |written: &Written<ColumnName>, report: &mut Report| {
            self.columns.find(&format!("{at}/column"), &written.0, report);
            written.0.clone()
        };
        Some(match written {
            CheckFile::Required { column: name, .. } => CheckRule::Required { column: column(name, report) },
            CheckFile::Range { column: name, min, max, .. } => {
                self.ordered(at, min.is_some() || max.is_some(), report)?;
                let text = |bound: &Option<Written<ScalarText>>| bound.as_ref().map(|bound| bound.0.clone());
                CheckRule::Range { column: column(name, report), min: text(min), max: text(max) }
            }
            CheckFile::Length { column: name, min, max, .. } => {
                self.ordered(at, min.is_some() || max.is_some(), report)?;
                self.text(name, at, "length", report);
                CheckRule::Length { column: column(name, report), min: *min, max: *max }
            }
            CheckFile::Pattern { column: name, pattern, .. } => {
                self.text(name, at, "pattern", report);
                CheckRule::Pattern { column: column(name, report), pattern: pattern.0.clone() }
            }
            CheckFile::AcceptedValues { column: name, values, .. } => CheckRule::AcceptedValues {
                column: column(name, report),
                values: values.0.iter().map(|(_, value)| value.0.clone()).collect(),
            },
            CheckFile::Type { column: name, is, .. } => {
                self.text(name, at, "type", report);
                CheckRule::Type { column: column(name, report), data_type: is.0.clone() }
            }
            CheckFile::Condition { expression, .. } => {
                CheckRule::Condition { expression: expression.0.clone() }
            }
            CheckFile::Unique { columns, .. } => {
                CheckRule::Unique { columns: self.columns_of(columns, at, report) }
            }
            CheckFile::Duplicates { columns, .. } => {
                CheckRule::Duplicates { columns: self.columns_of(columns, at, report) }
            }
            CheckFile::RowCount { min, max, .. } => {
                self.ordered(at, min.is_some() || max.is_some(), report)?;
                CheckRule::RowCount { min: *min, max: *max }
            }
            CheckFile::Freshness { within, column: name, .. } => CheckRule::Freshness {
                column: name.as_ref().map(|name| column(name, report)),
                within: within.0,
            },
            other => return self.table_rule(other, at, report),
        })
    }

    fn table_rule(&self, written: &CheckFile, at: &str, report: &mut Report) -> Option<CheckRule> {
        let column = |written: &Written<ColumnName>, report: &mut Report| {
            self.columns.find(&format!("{at}/column"), &written.0, report);
            written.0.clone()
        };
        Some(match written {
            CheckFile::Completeness { partition, after, periods, expected_rows, .. } => {
                let partition = partition.as_ref().map(|name| name.0.as_str());
                self.completeness(partition, after.as_ref(), *periods, expected_rows.as_deref(), at, report)?
            }
            CheckFile::Referential { columns, to, to_columns, .. } => {
                let columns = self.columns_of(columns, at, report);
                let to_columns: Vec<String> = to_columns.0.iter().map(|(_, name)| name.0.clone()).collect();
                if !to_columns.is_empty() && to_columns.len() != columns.len() {
                    let message = format!("{} columns cannot refer to {}", columns.len(), to_columns.len());
                    let problem = Problem::error(Code::Conflict, message);
                    report.at_value(self.file, &format!("{at}/to_columns"), problem);
                }
                let to_columns = if to_columns.is_empty() { columns.clone() } else { to_columns };
                CheckRule::Referential { columns, to: to.0.clone(), to_columns }
            }
            CheckFile::Distribution { column: name, method, limit, window, .. } => {
                let method = distribution(*method);
                CheckRule::Distribution {
                    column: column(name, report),
                    method,
                    limit: limit.unwrap_or_else(|| method.limit_default()),
                    window: window.unwrap_or(defaults::DISTRIBUTION_WINDOW),
                }
            }
            CheckFile::Anomaly { .. } => self.anomaly(written, at, report)?,
            CheckFile::Sql { query, .. } => CheckRule::Sql { query: query.clone() },
            CheckFile::Reconcile { with, column: name, with_column, .. } => CheckRule::Reconcile {
                column: name.as_ref().map(|name| column(name, report)),
                with: with.0.clone(),
                with_column: with_column.as_ref().map(|name| name.0.clone()),
            },
            _ => return None,
        })
    }

    fn completeness(
        &self,
        partition: Option<&str>,
        after: Option<&Written<DurationText>>,
        periods: Option<u32>,
        expected_rows: Option<&str>,
        at: &str,
        report: &mut Report,
    ) -> Option<CheckRule> {
        match (partition, expected_rows) {
            (Some(column), None) => {
                self.partition(column, &format!("{at}/partition"), report);
                Some(CheckRule::Completeness(Completeness::Partitions {
                    column: column.to_owned(),
                    after: after
                        .map_or_else(|| default_of::<DurationText>(defaults::COMPLETE_AFTER), |text| text.0),
                    periods: periods.unwrap_or(defaults::COMPLETE_PERIODS),
                }))
            }
            (None, Some(query)) => {
                Some(CheckRule::Completeness(Completeness::Count { query: query.to_owned() }))
            }
            _ => {
                let problem =
                    Problem::error(Code::Conflict, "either `partition` or `expected_rows` must be there");
                report.at_value(
                    self.file,
                    &format!("{at}/kind"),
                    problem.hint("say which partitions there must be, or how many rows"),
                );
                None
            }
        }
    }

    fn anomaly(&self, written: &CheckFile, at: &str, report: &mut Report) -> Option<CheckRule> {
        let CheckFile::Anomaly { metric, column, by, every, season, sensitivity, history_min, floor, .. } =
            written
        else {
            return None;
        };
        let metric = anomaly_metric(*metric);
        if let Some(column) = column {
            self.columns.find(&format!("{at}/column"), &column.0, report);
        }
        if metric.of_column() != column.is_some() {
            let message = match metric.of_column() {
                true => format!("`{}` is measured of a column, and none is named", metric.as_str()),
                false => format!("`{}` is measured of the table and not of a column", metric.as_str()),
            };
            report.at_value(self.file, &format!("{at}/metric"), Problem::error(Code::Conflict, message));
            return None;
        }
        if let Some(by) = by {
            if metric.of_column() || metric == AnomalyMetric::CommitInterval {
                let message = format!("`by` has no meaning for `{}`", metric.as_str());
                let problem = Problem::error(Code::Conflict, message);
                report.at_key(self.file, &format!("{at}/by"), problem.hint("remove it"));
            }
            self.partition(&by.0, &format!("{at}/by"), report);
        }
        let standard = match metric {
            AnomalyMetric::NullShare => 0.01,
            AnomalyMetric::Mean => 0.0,
            _ => defaults::ANOMALY_FLOOR,
        };
        Some(CheckRule::Anomaly(Anomaly {
            metric,
            column: column.as_ref().map(|name| name.0.clone()),
            by: by.as_ref().map(|name| name.0.clone()),
            every: every
                .as_ref()
                .map_or_else(|| default_of::<DurationText>(defaults::ANOMALY_EVERY), |text| text.0),
            season: match season.unwrap_or(SeasonWord::None) {
                SeasonWord::None => Season::None,
                SeasonWord::HourOfDay => Season::HourOfDay,
                SeasonWord::DayOfWeek => Season::DayOfWeek,
            },
            sensitivity: sensitivity.unwrap_or(defaults::ANOMALY_SENSITIVITY),
            history_min: history_min.unwrap_or(defaults::ANOMALY_HISTORY_MIN),
            floor: floor.unwrap_or(standard),
        }))
    }

    fn columns_of(&self, written: &Items<Written<ColumnName>>, at: &str, report: &mut Report) -> Vec<String> {
        for (index, name) in &written.0 {
            self.columns.find(&format!("{at}/columns/{index}"), &name.0, report);
        }
        written.0.iter().map(|(_, name)| name.0.clone()).collect()
    }

    /// A rule with two bounds has one of them.
    fn ordered(&self, at: &str, bounded: bool, report: &mut Report) -> Option<()> {
        if !bounded {
            let problem = Problem::error(Code::MissingKey, "`min` or `max` is missing");
            report.at_value(self.file, &format!("{at}/kind"), problem.hint("write one of them, or both"));
        }
        bounded.then_some(())
    }

    fn text(&self, column: &Written<ColumnName>, at: &str, kind: &str, report: &mut Report) {
        let found = self.columns.columns.iter().find(|known| known.name == column.0);
        if let Some(found) =
            found.filter(|found| !matches!(found.data_type, ColumnType::String | ColumnType::Json))
        {
            let message =
                format!("a check of kind `{kind}` is for texts, and `{}` is {}", found.name, found.data_type);
            report.at_value(self.file, &format!("{at}/column"), Problem::error(Code::Conflict, message));
        }
    }

    fn partition(&self, column: &str, pointer: &str, report: &mut Report) {
        if self.partitions.iter().any(|known| known == column) {
            return;
        }
        let message = format!("the table is not split by `{column}`");
        let problem = Problem::error(Code::UnknownName, message);
        let problem = match self.partitions.as_slice() {
            [] => problem.hint("say under `partition_by` how it is split"),
            known => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                problem.hint(crate::nearest::suggestion(column, &known))
            }
        };
        report.at_value(self.file, pointer, problem);
    }
}

/// The name of a check that is given none: its kind, and what it is about.
fn name_of(rule: &CheckRule) -> String {
    let mut parts = vec![rule.kind()];
    match rule {
        CheckRule::Anomaly(anomaly) => parts.push(anomaly.metric.as_str()),
        CheckRule::Distribution { method, .. } => parts.push(method.as_str()),
        CheckRule::Referential { to, .. } | CheckRule::Reconcile { with: to, .. } => {
            parts.extend([to.domain(), to.name()]);
        }
        _ => {}
    }
    parts.extend(rule.columns());
    let mut name = parts.join("_");
    name.truncate(63);
    name
}

fn distribution(word: MethodWord) -> DistributionMethod {
    match word {
        MethodWord::Psi => DistributionMethod::Psi,
        MethodWord::Ks => DistributionMethod::Ks,
        MethodWord::JensenShannon => DistributionMethod::JensenShannon,
        MethodWord::Wasserstein => DistributionMethod::Wasserstein,
        MethodWord::ChiSquare => DistributionMethod::ChiSquare,
        MethodWord::NullShare => DistributionMethod::NullShare,
        MethodWord::Cardinality => DistributionMethod::Cardinality,
    }
}

fn anomaly_metric(word: MetricWord) -> AnomalyMetric {
    match word {
        MetricWord::Rows => AnomalyMetric::Rows,
        MetricWord::FileBytes => AnomalyMetric::FileBytes,
        MetricWord::CommitInterval => AnomalyMetric::CommitInterval,
        MetricWord::NullShare => AnomalyMetric::NullShare,
        MetricWord::Mean => AnomalyMetric::Mean,
        MetricWord::Distinct => AnomalyMetric::Distinct,
    }
}
