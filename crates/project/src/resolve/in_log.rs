//! What goes with rows that are kept in the log alone, and what does not.
//!
//! Such rows are read once on their way into memory and perhaps once more from the log. Whatever would look at them in a
//! table, or would not come to the same the second time, is refused.

use flowline_model::CheckRule;

use crate::diagnostic::Code;
use crate::files::{DatasetFile, KeepWord, OnDriftWord, Origin};
use crate::sources::{Problem, Report, SourceFile};

/// Whether a dataset that is landed from the log says that its rows stay there.
pub(super) fn kept_in_log(content: &DatasetFile) -> bool {
    says_log(content) && matches!(content.from, Some(Origin::Http { .. } | Origin::Kafka { .. }))
}

fn says_log(content: &DatasetFile) -> bool {
    content.landing.as_ref().is_some_and(|landing| landing.keep == Some(KeepWord::Log))
}

/// Reports what does not go with `keep: log`, but for checks. Of a query it has no meaning, which is told there.
pub(super) fn check_kept_in_log(file: &SourceFile, content: &DatasetFile, report: &mut Report) {
    if says_log(content) && matches!(content.from, Some(Origin::Files { .. })) {
        let problem =
            conflict("`keep: log` has no meaning for `source: files`: files do not pass through the log");
        report.at_value(
            file,
            "/landing/keep",
            problem.hint("it belongs to `source: http` and `source: kafka`"),
        );
    }
    if !kept_in_log(content) {
        return;
    }
    let by_keys =
        "duplicates are found by what is read back from the table, and with `keep: log` no rows are in it";
    let table = "remove it, or write `keep: table`";
    let partitioned = "remove it, or write `keep: table`; how records are partitioned is said by `partition_key`, under `from`";
    let given = [
        ("/key", !content.key.0.is_empty(), by_keys, partitioned),
        ("/dedupe_horizon", content.dedupe_horizon.is_some(), by_keys, table),
        (
            "/partition_by",
            !content.partition_by.0.is_empty(),
            "`partition_by` splits the files of a table, and with `keep: log` there are none",
            "remove it, or write `keep: table`; the tables that are made of it may be split",
        ),
    ];
    for (pointer, given, message, hint) in given {
        if given {
            report.at_key(file, pointer, conflict(message).hint(hint));
        }
    }
    for (index, column) in &content.columns.0 {
        if column.unique == Some(true) {
            report.at_key(file, &format!("/columns/{index}/unique"), conflict(by_keys).hint(table));
        }
    }
    if content.on_drift == Some(OnDriftWord::Quarantine) {
        let message = "which records were set aside for drift is not known when the log is read again";
        let hint = "write `accept_new_fields` or `stop`, or `keep: table`";
        report.at_value(file, "/on_drift", conflict(message).hint(hint));
    }
}

/// What is said of a check that more than one row decides.
pub(super) fn check_of_table(rule: &CheckRule) -> Problem {
    let message = format!(
        "a check of kind `{}` is about the whole table, and with `keep: log` no rows are in it",
        rule.kind()
    );
    conflict(message).hint("let a dataset that is made of it have this check, or write `keep: table`")
}

fn conflict(message: impl Into<String>) -> Problem {
    Problem::error(Code::Conflict, message)
}
