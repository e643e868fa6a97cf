//! One consumer: who answers for it, and whether what it reads is there.

use std::collections::BTreeSet;

use flowline_model::{Consumer, ConsumerKind, ConsumerRead, Dataset, DatasetName};

use crate::diagnostic::Code;
use crate::files::{ConsumerFile, ConsumerWord};
use crate::nearest::suggestion;
use crate::sources::{Problem, Report, SourceFile};

/// What the consumers of a project share.
pub(crate) struct ConsumerScope<'a> {
    /// The names of the teams; absent when they could not be read.
    pub teams: Option<&'a [String]>,
    pub datasets: &'a [Dataset],
    /// Datasets of which nothing is known but that they are declared.
    pub unreadable: &'a BTreeSet<DatasetName>,
}

/// Resolves a consumer.
pub(crate) fn resolve_consumer(
    scope: &ConsumerScope<'_>,
    name: &str,
    file: &SourceFile,
    content: ConsumerFile,
    report: &mut Report,
) -> Consumer {
    let owner = content.owner.unwrap_or_default();
    check_owner(scope, file, &owner, report);
    let mut reads: Vec<ConsumerRead> = Vec::new();
    for (index, read) in content.reads.unwrap_or_default().0 {
        let pointer = format!("/reads/{index}");
        let dataset = read.dataset.0;
        if reads.iter().any(|known| known.dataset == dataset) {
            let problem = Problem::error(Code::DuplicateName, format!("`{dataset}` stands twice"));
            report.at_value(
                file,
                &format!("{pointer}/dataset"),
                problem.hint("name all its columns in one entry"),
            );
            continue;
        }
        let columns: Vec<(usize, String)> =
            read.columns.0.into_iter().map(|(index, column)| (index, column.0)).collect();
        check_read(scope, file, &pointer, &dataset, &columns, report);
        reads
            .push(ConsumerRead { dataset, columns: columns.into_iter().map(|(_, column)| column).collect() });
    }
    reads.sort_by(|one, other| one.dataset.cmp(&other.dataset));
    Consumer {
        name: name.to_owned(),
        description: content.description.unwrap_or_default(),
        owner,
        kind: content.kind.map_or(ConsumerKind::Dashboard, kind),
        reads,
        declared_in: file.path.clone(),
    }
}

fn check_owner(scope: &ConsumerScope<'_>, file: &SourceFile, owner: &str, report: &mut Report) {
    let Some(teams) = scope.teams else { return };
    if owner.is_empty() || teams.iter().any(|team| team == owner) {
        return;
    }
    let message = format!("no team `{}` is declared", crate::value::shorten(owner));
    let names: Vec<&str> = teams.iter().map(String::as_str).collect();
    let problem = Problem::error(Code::UnknownName, message);
    let problem = match names.as_slice() {
        [] => problem.hint("declare it under `teams` in flowline.yaml"),
        names => problem.hint(suggestion(owner, names)),
    };
    report.at_value(file, "/owner", problem);
}

/// The dataset must be declared, and so must the columns where the dataset says what it has; those of a query are
/// known when its SQL is looked at.
fn check_read(
    scope: &ConsumerScope<'_>,
    file: &SourceFile,
    pointer: &str,
    name: &DatasetName,
    columns: &[(usize, String)],
    report: &mut Report,
) {
    if scope.unreadable.contains(name) {
        return;
    }
    let Some(dataset) = scope.datasets.iter().find(|dataset| dataset.name == *name) else {
        let names: Vec<String> = scope.datasets.iter().map(|dataset| dataset.name.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let problem = Problem::error(Code::UnknownName, format!("there is no dataset `{name}`"));
        let problem =
            if names.is_empty() { problem } else { problem.hint(suggestion(&name.to_string(), &names)) };
        report.at_value(file, &format!("{pointer}/dataset"), problem);
        return;
    };
    if dataset.columns.is_empty() {
        return;
    }
    for (index, column) in columns.iter().filter(|(_, column)| dataset.column(column).is_none()) {
        let known: Vec<&str> = dataset.columns.iter().map(|column| column.name.as_str()).collect();
        let problem = Problem::error(Code::UnknownName, format!("`{name}` has no column `{column}`"));
        report.at_value(
            file,
            &format!("{pointer}/columns/{index}"),
            problem.hint(suggestion(column, &known)),
        );
    }
}

fn kind(word: ConsumerWord) -> ConsumerKind {
    match word {
        ConsumerWord::Dashboard => ConsumerKind::Dashboard,
        ConsumerWord::Api => ConsumerKind::Api,
        ConsumerWord::Model => ConsumerKind::Model,
        ConsumerWord::Agent => ConsumerKind::Agent,
    }
}
