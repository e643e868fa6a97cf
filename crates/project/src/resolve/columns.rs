//! The columns of a contract, and what refers to them by name.

use std::collections::BTreeMap;

use flowline_model::{
    Column, ColumnType, EventTime, LatePolicy, Materialization, PartitionField, PartitionTransform,
};

use super::default_of;
use super::origin::materialization;
use crate::defaults;
use crate::diagnostic::Code;
use crate::files::{ColumnFile, DatasetFile, LateWord, ModeWord, Origin};
use crate::nearest::suggestion;
use crate::sources::{Problem, Report, SourceFile};
use crate::value::{ColumnName, DurationText, Items, Written};

/// The columns of a dataset as they are being resolved.
pub(super) struct Columns<'a> {
    file: &'a SourceFile,
    pub columns: Vec<Column>,
    /// Whether a name that is not among the columns is wrong: not when the SQL says what they are, and not when
    /// some could not be read.
    complete: bool,
}

impl<'a> Columns<'a> {
    /// The columns of the contract.
    pub fn resolve(file: &'a SourceFile, content: &DatasetFile, lost: bool, report: &mut Report) -> Self {
        let (mut names, mut fields) = (BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
        let mut columns = Vec::new();
        for (index, written) in &content.columns.0 {
            let column = column(written);
            let pointer = format!("/columns/{index}");
            if let Some(first) = names.insert(column.name.clone(), *index) {
                let line = file.value_at(&format!("/columns/{first}")).line;
                let problem =
                    Problem::error(Code::DuplicateName, format!("there are two columns `{}`", column.name));
                report.at_value(
                    file,
                    &format!("{pointer}/name"),
                    problem.hint(format!("the other is on line {line}")),
                );
                continue;
            }
            if let Some(first) = fields.insert(column.field_name().to_owned(), *index) {
                let line = file.value_at(&format!("/columns/{first}")).line;
                let message = format!("two columns take their values from `{}`", column.field_name());
                let part = if written.field.is_some() { "field" } else { "name" };
                let problem =
                    Problem::error(Code::DuplicateName, message).hint(format!("the other is on line {line}"));
                report.at_value(file, &format!("{pointer}/{part}"), problem);
            }
            if column.format.is_some() && !is_temporal(&column.data_type) {
                let message = format!(
                    "`format` is for dates and timestamps, and `{}` is {}",
                    column.name, column.data_type
                );
                report.at_key(file, &format!("{pointer}/format"), Problem::error(Code::Conflict, message));
            }
            if matches!(content.from, Some(Origin::Sql { .. })) {
                for_landing_only(file, &pointer, written, report);
                if written.check.is_some() && materialization(content) == Materialization::View {
                    check_of_view(file, &pointer, written, report);
                }
            }
            columns.push(column);
        }
        let complete = !lost && !columns.is_empty();
        Self { file, columns, complete }
    }

    /// A column that is referred to. What is wrong with the reference is reported.
    pub fn find(&self, pointer: &str, name: &str, report: &mut Report) -> Option<&Column> {
        let found = self.columns.iter().find(|column| column.name == name);
        if found.is_none() && self.complete {
            let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
            let problem = Problem::error(Code::UnknownName, format!("there is no column `{name}`"));
            report.at_value(self.file, pointer, problem.hint(suggestion(name, &names)));
        }
        found
    }

    /// The columns that identify a record.
    pub fn key(&mut self, content: &DatasetFile, report: &mut Report) -> Vec<String> {
        let mut key = Vec::<String>::new();
        for (index, name) in &content.key.0 {
            let (name, pointer) = (&name.0, format!("/key/{index}"));
            if key.contains(name) {
                report.at_value(
                    self.file,
                    &pointer,
                    Problem::error(Code::DuplicateName, format!("`{name}` stands twice in the key")),
                );
                continue;
            }
            key.push(name.clone());
            let Some(column) = self.find(&pointer, name, report) else { continue };
            if matches!(column.data_type, ColumnType::List(_) | ColumnType::Struct(_)) {
                let message = format!("a key cannot be of type {}", column.data_type);
                report.at_value(self.file, &pointer, Problem::error(Code::Conflict, message));
            } else if !column.required {
                let message = format!("`{name}` is part of the key and may be missing from a record");
                let problem = Problem::warning(Code::Conflict, message);
                report.at_value(
                    self.file,
                    &pointer,
                    problem.hint(format!("add `required: true` to the column `{name}`")),
                );
            }
        }
        key
    }

    /// The columns that say to which partition of the log a record goes. What is one value must be one text, or records
    /// that belong together would part.
    pub fn partition_key(&self, written: &Items<Written<ColumnName>>, report: &mut Report) -> Vec<String> {
        let mut key = Vec::<String>::new();
        for (index, name) in &written.0 {
            let (name, pointer) = (&name.0, format!("/from/partition_key/{index}"));
            if key.contains(name) {
                let problem = Problem::error(
                    Code::DuplicateName,
                    format!("`{name}` stands twice in the partition key"),
                );
                report.at_value(self.file, &pointer, problem);
                continue;
            }
            key.push(name.clone());
            let Some(column) = self.find(&pointer, name, report) else { continue };
            if !matches!(column.data_type, ColumnType::String | ColumnType::Int32 | ColumnType::Int64) {
                let message = format!("a partition key cannot be of type {}", column.data_type);
                let problem = Problem::error(Code::Conflict, message);
                report.at_value(self.file, &pointer, problem.hint("name texts and whole numbers"));
            } else if !column.required {
                let message =
                    format!("`{name}` is part of the partition key and may be missing from a record");
                let problem = Problem::error(Code::Conflict, message);
                let hint = format!("add `required: true` to the column `{name}`");
                report.at_value(self.file, &pointer, problem.hint(hint));
            }
        }
        key
    }

    /// How the table is split.
    pub fn partition_by(&mut self, content: &DatasetFile, report: &mut Report) -> Vec<PartitionField> {
        let mut fields = Vec::<PartitionField>::new();
        for (index, written) in &content.partition_by.0 {
            let (column, transform) = written.0.clone();
            let pointer = format!("/partition_by/{index}");
            let field = PartitionField { column, transform };
            if let Some(found) = self.find(&pointer, &field.column, report)
                && let Err(problem) = check_partition(&field, found)
            {
                report.at_value(self.file, &pointer, problem);
            }
            let derived = field.partition_column();
            let taken = transform != PartitionTransform::Identity
                && self.columns.iter().any(|column| column.name == derived);
            if taken || fields.iter().any(|other| other.partition_column() == derived) {
                let message = format!("this needs a column `{derived}`, and there is one already");
                report.at_value(self.file, &pointer, Problem::error(Code::DuplicateName, message));
            } else {
                fields.push(field);
            }
        }
        fields
    }

    /// When a record happened.
    pub fn event_time(&mut self, content: &DatasetFile, report: &mut Report) -> Option<EventTime> {
        let written = content.event_time.as_ref()?;
        let (name, pointer) = (&written.column.0, "/event_time/column");
        // Of a stream it is a column of the inputs, which are known when the SQL is looked at.
        let own = content.mode != Some(ModeWord::Stream);
        if own
            && let Some(column) = self.find(pointer, name, report)
            && !is_temporal(&column.data_type)
        {
            let message = format!("`{name}` is {} and cannot say when a record happened", column.data_type);
            report.at_value(
                self.file,
                pointer,
                Problem::error(Code::Conflict, message).hint("name a timestamp or a date"),
            );
        }
        if own && let Some(word) = written.late.filter(|word| *word != LateWord::Reopen) {
            let message = format!(
                "what is landed is written however late it comes, so `{}` has no effect",
                word.word()
            );
            let problem = Problem::error(Code::Conflict, message)
                .hint("leave `late` out, or write `reopen`; late records are landed and count as written");
            report.at_value(self.file, "/event_time/late", problem);
        }
        if own && written.idle_after.is_some() {
            let problem =
                Problem::error(Code::Conflict, "`idle_after` has no meaning without `mode: stream`");
            report.at_key(self.file, "/event_time/idle_after", problem.hint("remove it"));
        }
        Some(EventTime {
            column: name.clone(),
            watermark: written
                .watermark
                .as_ref()
                .map_or_else(|| default_of::<DurationText>(defaults::WATERMARK), |text| text.0),
            idle_after: written.idle_after.as_ref().map(|text| text.0),
            late: match written.late.unwrap_or(LateWord::Reopen) {
                LateWord::Reopen => LatePolicy::Reopen,
                LateWord::Quarantine => LatePolicy::Quarantine,
                LateWord::Drop => LatePolicy::Drop,
            },
        })
    }
}

/// Keys of a column that say something of received records mean nothing where a query makes the rows.
fn for_landing_only(file: &SourceFile, pointer: &str, written: &ColumnFile, report: &mut Report) {
    let keys = [
        ("field", written.field.is_some()),
        ("format", written.format.is_some()),
        ("unique", written.unique == Some(true)),
    ];
    for (key, _) in keys.into_iter().filter(|(_, given)| *given) {
        let message = format!("`{key}` is for received records, and these rows are made by a query");
        let hint = match key {
            "unique" => format!("write `checks: [{{ kind: unique, columns: [{}] }}]`", written.name.0),
            _ => "remove it".to_owned(),
        };
        report.at_key(file, &format!("{pointer}/{key}"), Problem::error(Code::Conflict, message).hint(hint));
    }
}

/// The rule of a column is held against each row when it is written, and rows of a view never are.
fn check_of_view(file: &SourceFile, pointer: &str, written: &ColumnFile, report: &mut Report) {
    let text = written.check.as_ref().map(|text| text.0.clone()).unwrap_or_default();
    let message =
        "`check` of a column is held against rows when they are written, and those of a view never are";
    let hint = format!(
        "write `checks: [{{ kind: condition, expression: \"{}\" }}]`, which is evaluated once a minute, or write the rows \
         to a table (`materialize: full`, or another way)",
        text.replace('\\', "\\\\").replace('"', "\\\"")
    );
    report.at_key(file, &format!("{pointer}/check"), Problem::error(Code::Conflict, message).hint(hint));
}

fn column(written: &ColumnFile) -> Column {
    Column {
        name: written.name.0.clone(),
        field: written.field.clone(),
        data_type: written.kind.0.clone(),
        required: written.required.unwrap_or(false),
        unique: written.unique.unwrap_or(false),
        pii: written.pii.clone(),
        check: written.check.as_ref().map(|text| text.0.clone()),
        format: written.format.as_ref().map(|text| text.0.clone()),
        description: written.description.clone(),
    }
}

fn is_temporal(kind: &ColumnType) -> bool {
    matches!(kind, ColumnType::Date | ColumnType::Timestamp)
}

fn check_partition(field: &PartitionField, column: &Column) -> Result<(), Problem> {
    let (name, kind) = (&column.name, &column.data_type);
    if field.transform != PartitionTransform::Identity {
        let problem =
            Problem::error(Code::Conflict, format!("`{name}` is {kind} and has no day, month or year"));
        return if is_temporal(kind) { Ok(()) } else { Err(problem.hint("name a timestamp or a date")) };
    }
    match kind {
        ColumnType::Timestamp => {
            let message = format!("splitting by the timestamp `{name}` makes a folder for each instant");
            Err(Problem::error(Code::Conflict, message).hint(format!("write `day({name})`")))
        }
        ColumnType::String | ColumnType::Boolean | ColumnType::Date => Ok(()),
        ColumnType::Int8 | ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => Ok(()),
        _ => Err(Problem::error(
            Code::Conflict,
            format!("a table cannot be split by `{name}`, which is {kind}"),
        )),
    }
}
