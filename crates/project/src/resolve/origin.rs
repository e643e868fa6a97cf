//! Where the rows of a dataset come from, and what goes with that and what does not.

use std::time::Duration;

use flowline_model::{
    DatasetName, Emit, FileFormat, FilesOrigin, HttpOrigin, KafkaFormat, KafkaOrigin, KafkaStart,
    Materialization, Origin, SchemaRegistry, SqlOrigin, Validation,
};

use super::columns::Columns;
use super::dataset::DatasetScope;
use super::{default_of, storage_url};
use crate::defaults;
use crate::diagnostic::Code;
use crate::files::{
    self, DatasetFile, EmitWord, FormatWord, KafkaFormatWord, MaterializeWord, ModeWord, StartWord,
    ValidateWord,
};
use crate::sources::{Problem, Report, SourceFile};
use crate::value::{DurationText, GlobText, LakeUrl, Lexical, RegistryText, Variable, Written, has_variable};
use crate::yaml::{Data, Place};

/// The query of a dataset: path and text of the file beside, and the text within.
#[derive(Clone, Copy)]
pub(super) struct SqlText<'a> {
    pub beside: Option<&'a (String, String)>,
    pub inline: Option<&'a str>,
}

/// Resolves where the rows come from; none when that is not known.
pub(super) fn resolve_origin(
    scope: &DatasetScope<'_>,
    name: &DatasetName,
    file: &SourceFile,
    content: &DatasetFile,
    columns: &Columns<'_>,
    sql: SqlText<'_>,
    report: &mut Report,
) -> Option<Origin> {
    match content.from.as_ref()? {
        files::Origin::Http { partitions, partition_key, validate } => {
            check_landed(file, content, sql, "http", report);
            let validation = match validate.unwrap_or(ValidateWord::AtLanding) {
                ValidateWord::AtLanding => Validation::AtLanding,
                ValidateWord::AtGateway => Validation::AtGateway,
            };
            Some(Origin::Http(HttpOrigin {
                partitions: partitions.unwrap_or(defaults::PARTITIONS),
                partition_key: columns.partition_key(partition_key, report),
                validation,
            }))
        }
        files::Origin::Files { location, pattern, format, poll_every, follow_links } => {
            check_landed(file, content, sql, "files", report);
            let (location, pattern) = folder(scope, file, location, pattern.as_ref(), report)?;
            let poll_every = duration(poll_every.as_ref(), defaults::POLL_EVERY);
            check_positive(file, "/from/poll_every", poll_every, report);
            Some(Origin::Files(FilesOrigin {
                location,
                pattern,
                format: format.map(file_format),
                poll_every,
                follow_links: follow_links.unwrap_or(false),
            }))
        }
        files::Origin::Kafka { topic, group, format, registry, start, partition_key } => {
            check_landed(file, content, sql, "kafka", report);
            check_cluster(scope, file, report);
            let format = kafka_format(format.unwrap_or(KafkaFormatWord::Json));
            let registry = registry_of(scope, file, registry.as_ref(), format, report)?;
            let topic = expanded(scope, file, "/from/topic", topic, report)?;
            let group = match group {
                Some(group) => expanded(scope, file, "/from/group", group, report)?,
                None => format!("flowline.{name}"),
            };
            let start = match start.unwrap_or(StartWord::Earliest) {
                StartWord::Earliest => KafkaStart::Earliest,
                StartWord::Latest => KafkaStart::Latest,
            };
            let partition_key = columns.partition_key(partition_key, report);
            Some(Origin::Kafka(KafkaOrigin { topic, group, format, registry, start, partition_key }))
        }
        files::Origin::Sql { timeout, attempts_max, lag_rows_max } => {
            let timeout = duration(timeout.as_ref(), defaults::TIMEOUT);
            check_positive(file, "/from/timeout", timeout, report);
            check_query(file, content, report);
            if lag_rows_max.is_some() && materialization(content) == Materialization::View {
                let problem = Problem::error(Code::Conflict, "`lag_rows_max` has no meaning for a view");
                report.at_key(
                    file,
                    "/from/lag_rows_max",
                    problem.hint("a view reads its inputs when it is asked; remove it"),
                );
            }
            let (path, text, line, indent) = query(file, sql, report)?;
            Some(Origin::Sql(SqlOrigin {
                text,
                file: path,
                line,
                indent,
                materialization: materialization(content),
                emit: match content.emit {
                    Some(EmitWord::OnChange) => Emit::OnChange,
                    Some(EmitWord::OnClose) | None => Emit::OnClose,
                },
                state_limit: content.state.as_ref().map(|state| state.limit.0),
                divided: content.divided == Some(true) && scope.kafka_log,
                timeout,
                attempts_max: attempts_max.unwrap_or(defaults::ATTEMPTS_MAX),
                lag_rows_max: lag_rows_max.filter(|_| materialization(content) != Materialization::View),
            }))
        }
    }
}

/// Somebody must say where the topics are.
fn check_cluster(scope: &DatasetScope<'_>, file: &SourceFile, report: &mut Report) {
    if !scope.kafka {
        let problem = Problem::error(Code::MissingKey, "the environment names no Kafka cluster to read from");
        let hint = "declare `kafka: { brokers: [\"host:9092\"] }` under the environment in flowline.yaml";
        report.at_value(file, "/from/source", problem.hint(hint));
    }
}

fn kafka_format(word: KafkaFormatWord) -> KafkaFormat {
    match word {
        KafkaFormatWord::Json => KafkaFormat::Json,
        KafkaFormatWord::Avro => KafkaFormat::Avro,
        KafkaFormatWord::Protobuf => KafkaFormat::Protobuf,
    }
}

/// Who knows the schemas of the records; the outer none when that is not to be known.
fn registry_of(
    scope: &DatasetScope<'_>,
    file: &SourceFile,
    written: Option<&Variable<RegistryText>>,
    format: KafkaFormat,
    report: &mut Report,
) -> Option<Option<SchemaRegistry>> {
    let Some(written) = written else {
        return Some((format != KafkaFormat::Json).then_some(SchemaRegistry::Own));
    };
    let registry = expanded(scope, file, "/from/registry", written, report)?;
    if let SchemaRegistry::At { password: Some(_), .. } = &registry
        && !has_variable(&written.text)
    {
        let problem = Problem::error(Code::InvalidValue, "the password stands in the file");
        let hint = "take it from an environment variable: `https://user:${REGISTRY_PASSWORD}@host`";
        report.at_value(file, "/from/registry", problem.hint(hint));
        return None;
    }
    Some(Some(registry))
}

/// What a value means once its variables are replaced.
fn expanded<T: Lexical>(
    scope: &DatasetScope<'_>,
    file: &SourceFile,
    pointer: &str,
    value: &Variable<T>,
    report: &mut Report,
) -> Option<T::Meaning> {
    let text = match scope.variables.expand(&value.text) {
        Ok(text) => text,
        Err(problem) => {
            report.at_value(file, pointer, problem);
            return None;
        }
    };
    let read = T::read(&text).map_err(|unreadable| unreadable.explain::<T>(&text));
    read.map_err(|(message, hint)| {
        let mut problem = Problem::error(Code::InvalidValue, message);
        problem.hint = hint;
        report.at_value(file, pointer, problem);
    })
    .ok()
}

fn duration(written: Option<&Written<DurationText>>, default: &str) -> Duration {
    written.map_or_else(|| default_of::<DurationText>(default), |text| text.0)
}

fn check_positive(file: &SourceFile, pointer: &str, duration: Duration, report: &mut Report) {
    const MIN: Duration = Duration::from_millis(100);
    if duration < MIN {
        report.at_value(file, pointer, Problem::error(Code::InvalidValue, "this must be at least 100ms"));
    }
}

/// What a dataset that is landed must have and must not have.
fn check_landed(
    file: &SourceFile,
    content: &DatasetFile,
    sql: SqlText<'_>,
    source: &str,
    report: &mut Report,
) {
    let has_columns = !matches!(&file.root.nearest_to("/columns").1.data, Data::Map(_) | Data::Null);
    if content.columns.0.is_empty() && !has_columns {
        let problem = Problem::error(
            Code::MissingKey,
            format!("`columns` is missing: what comes by {source} needs a contract"),
        );
        report.at_value(file, "/columns", problem.hint("name at least one: `- { name: id, type: string }`"));
    }
    let for_sql = "it belongs to `source: sql`";
    if content.materialize.is_some() {
        let problem =
            Problem::error(Code::Conflict, format!("`materialize` has no meaning for `source: {source}`"));
        report.at_key(file, "/materialize", problem.hint(for_sql));
    }
    let given = [
        ("mode", content.mode.is_some()),
        ("emit", content.emit.is_some()),
        ("state", content.state.is_some()),
        ("divided", content.divided.is_some()),
    ];
    for (key, given) in given {
        if given {
            let message = format!("`{key}` has no meaning for `source: {source}`");
            let problem = Problem::error(Code::Conflict, message);
            report.at_key(file, &format!("/{key}"), problem.hint(for_sql));
        }
    }
    if sql.inline.is_some() {
        let problem = Problem::error(Code::Conflict, format!("`sql` has no meaning for `source: {source}`"));
        report.at_key(file, "/sql", problem.hint(for_sql));
    }
    if let Some((path, _)) = sql.beside {
        let message = format!("`{}` says `source: {source}`, so this query is never run", file.path);
        report.add(
            path,
            Place::start(),
            Problem::error(Code::Conflict, message).hint("remove it, or write `source: sql`"),
        );
    }
}

/// What goes with each way to keep the table of a query.
fn check_query(file: &SourceFile, content: &DatasetFile, report: &mut Report) {
    check_landing_of_query(file, content, report);
    if content.mode == Some(ModeWord::Stream) {
        check_stream(file, content, report);
        return;
    }
    let given = [
        ("emit", content.emit.is_some()),
        ("state", content.state.is_some()),
        ("divided", content.divided.is_some()),
    ];
    for (key, given) in given {
        if given {
            let message = format!("`{key}` has no meaning without `mode: stream`");
            let hint = "remove it, or add `mode: stream`";
            report.at_key(file, &format!("/{key}"), Problem::error(Code::Conflict, message).hint(hint));
        }
    }
    match content.materialize.unwrap_or(MaterializeWord::View) {
        MaterializeWord::Merge if content.key.0.is_empty() => {
            let problem = Problem::error(Code::MissingKey, "`materialize: merge` needs `key`");
            report.at_value(
                file,
                "/materialize",
                problem.hint("name the columns that say which row is replaced: `key: [order_id]`"),
            );
        }
        MaterializeWord::Partition if content.partition_by.0.is_empty() => {
            let problem = Problem::error(Code::MissingKey, "`materialize: partition` needs `partition_by`");
            report.at_value(
                file,
                "/materialize",
                problem.hint("name what the table is split by: `partition_by: [day(ts)]`"),
            );
        }
        MaterializeWord::View if !content.partition_by.0.is_empty() => {
            let problem = Problem::error(Code::Conflict, "a view has no table that could be split");
            report.at_key(
                file,
                "/partition_by",
                problem.hint("remove `partition_by`, or choose another `materialize`"),
            );
        }
        _ => {}
    }
}

/// Nothing is landed by a query, but its rows can go to quarantine where it has a table.
fn check_landing_of_query(file: &SourceFile, content: &DatasetFile, report: &mut Report) {
    let Some(landing) = &content.landing else { return };
    let of_landing = "it belongs to `source: http`, `source: files` and `source: kafka`";
    let of_the_log = "it belongs to `source: http` and `source: kafka`";
    let keys = [
        ("flush_bytes", landing.flush_bytes.is_some(), of_landing),
        ("flush_after", landing.flush_after.is_some(), of_landing),
        ("keep", landing.keep.is_some(), of_the_log),
    ];
    for (key, given, belongs) in keys {
        if given {
            let message = format!("`landing.{key}` has no meaning for `source: sql`");
            let problem = Problem::error(Code::Conflict, message).hint(belongs);
            report.at_key(file, &format!("/landing/{key}"), problem);
        }
    }
    if landing.quarantine_retain_for.is_some() && materialization(content) == Materialization::View {
        let message = "`landing.quarantine_retain_for` has no meaning for a view";
        let hint = "a view has no rows of its own that could be set aside; remove it";
        let problem = Problem::error(Code::Conflict, message).hint(hint);
        report.at_key(file, "/landing/quarantine_retain_for", problem);
    }
}

/// With less memory, a run could not even hold the batches that it works on.
const STATE_LIMIT_MIN: u64 = 16 << 20;

/// What goes with a stream.
fn check_stream(file: &SourceFile, content: &DatasetFile, report: &mut Report) {
    if content.materialize.is_some() {
        let problem = Problem::error(Code::Conflict, "`materialize` has no meaning for `mode: stream`");
        report.at_key(file, "/materialize", problem.hint("remove it: a stream writes rows as `emit` says"));
    }
    if content.state.as_ref().is_some_and(|state| state.limit.0 < STATE_LIMIT_MIN) {
        let problem = Problem::error(Code::InvalidValue, "this must be at least 16MiB");
        report.at_value(
            file,
            "/state/limit",
            problem.hint("a run holds some batches of rows whatever it computes"),
        );
    }
    if content.event_time.is_none() {
        let problem = Problem::error(Code::MissingKey, "`mode: stream` needs `event_time`");
        report.at_value(
            file,
            "/mode",
            problem.hint(
                "say which column of the inputs is the time: `event_time: { column: ts, watermark: 10s }`",
            ),
        );
    }
}

/// Path, text, line and indentation of the query.
fn query(file: &SourceFile, sql: SqlText<'_>, report: &mut Report) -> Option<(String, String, u32, u32)> {
    let found = match (sql.beside, sql.inline) {
        (Some((path, _)), Some(_)) => {
            let problem = Problem::error(Code::Conflict, format!("the query stands here and in `{path}`"));
            report.at_key(file, "/sql", problem.hint("keep one of them"));
            return None;
        }
        (None, None) => {
            let beside = file.path.strip_suffix(".yaml").unwrap_or(&file.path);
            let problem = Problem::error(Code::MissingKey, "`source: sql` needs a query");
            report.at_value(
                file,
                "/from",
                problem.hint(format!("write it in {beside}.sql, or here under `sql:`")),
            );
            return None;
        }
        (Some((path, text)), None) => (path.clone(), text.clone(), 1, 0),
        (None, Some(text)) => {
            let (line, indent) = inline_place(file, text, &report.sources.text_of(&file.path));
            (file.path.clone(), text.to_owned(), line, indent)
        }
    };
    if found.1.trim().is_empty() {
        let place = if sql.inline.is_some() { file.key_at("/sql") } else { Place::start() };
        report.add(&found.0, place, Problem::error(Code::InvalidValue, "the query is empty"));
        return None;
    }
    Some(found)
}

/// The line on which inline SQL starts, and by how many columns its lines are indented. For a block (`sql: |`) both
/// are exact for every line; for a text on the line of its key they are for that line.
fn inline_place(file: &SourceFile, text: &str, source: &str) -> (u32, u32) {
    let place = file.root.nearest_to("/sql").1.place;
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let leading = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let key_line = file.key_at("/sql").line;
    let lines: Vec<&str> = source.lines().collect();
    let header = lines.get(key_line as usize - 1).copied().unwrap_or_default();
    let is_block = header
        .split_once("sql")
        .is_some_and(|(_, rest)| rest.trim_start_matches([':', ' ', '"', '\'']).starts_with(['|', '>']));
    if is_block {
        let below = lines.iter().skip(key_line as usize).find(|line| !line.trim().is_empty());
        let indent = below.map_or(0, |line| leading(line).saturating_sub(leading(first)));
        return (key_line + 1, indent as u32);
    }
    let quoted = lines
        .get(place.line as usize - 1)
        .and_then(|line| line.chars().nth(place.column as usize - 1))
        .is_some_and(|c| c == '"' || c == '\'');
    (place.line, place.column - 1 + u32::from(quoted))
}

/// How the table follows the query. What lacks its key or partition was reported; it counts as `full`, so that whoever
/// looks at the SQL does not find it again.
pub(super) fn materialization(content: &DatasetFile) -> Materialization {
    if content.mode == Some(ModeWord::Stream) {
        return Materialization::Stream;
    }
    match content.materialize.unwrap_or(MaterializeWord::View) {
        MaterializeWord::View => Materialization::View,
        MaterializeWord::Append => Materialization::Append,
        MaterializeWord::Partition if !content.partition_by.0.is_empty() => Materialization::Partition,
        MaterializeWord::Merge if !content.key.0.is_empty() => Materialization::Merge,
        MaterializeWord::Full | MaterializeWord::Partition | MaterializeWord::Merge => Materialization::Full,
    }
}

fn file_format(word: FormatWord) -> FileFormat {
    match word {
        FormatWord::Csv => FileFormat::Csv,
        FormatWord::Json => FileFormat::Json,
        FormatWord::Ndjson => FileFormat::Ndjson,
        FormatWord::Parquet => FileFormat::Parquet,
        FormatWord::Arrow => FileFormat::Arrow,
    }
}

/// The folder that files appear in, and the pattern below it.
fn folder(
    scope: &DatasetScope<'_>,
    file: &SourceFile,
    location: &Variable<LakeUrl>,
    pattern: Option<&Written<GlobText>>,
    report: &mut Report,
) -> Option<(String, String)> {
    let pointer = "/from/location";
    let expanded = match scope.variables.expand(&location.text) {
        Ok(expanded) => expanded,
        Err(problem) => {
            report.at_value(file, pointer, problem);
            return None;
        }
    };
    let (folder, glob) = split_glob(&expanded);
    let pattern = match (glob, pattern) {
        (Some(_), Some(_)) => {
            let problem =
                Problem::error(Code::Conflict, "`location` ends in a pattern, and there is `pattern` too");
            report.at_value(file, pointer, problem.hint("keep one of them"));
            return None;
        }
        (Some(glob), None) => glob.to_owned(),
        (None, Some(pattern)) => pattern.0.clone(),
        (None, None) => defaults::PATTERN.to_owned(),
    };
    for read in [
        LakeUrl::read(folder).map_err(|why| why.explain::<LakeUrl>(folder)),
        GlobText::read(&pattern).map_err(|why| why.explain::<GlobText>(&pattern)),
    ] {
        if let Err((message, hint)) = read {
            let mut problem = Problem::error(Code::InvalidValue, message);
            problem.hint = hint;
            report.at_value(file, pointer, problem);
            return None;
        }
    }
    if !folder.contains("://") && !super::absolute(scope.dir, folder).is_dir() {
        let problem = Problem::warning(Code::MissingFile, format!("there is no folder `{folder}` yet"));
        report.at_value(file, pointer, problem.hint("files are landed once it exists"));
    }
    Some((storage_url(scope.dir, folder), pattern))
}

/// Splits a location at the first part that has a pattern.
fn split_glob(location: &str) -> (&str, Option<&str>) {
    let start = location.find("://").map_or(0, |index| index + 3);
    let Some(special) = location[start..].find(['*', '?', '[', '{']) else { return (location, None) };
    match location[..start + special].rfind('/') {
        Some(slash) if slash >= start => (&location[..slash], Some(&location[slash + 1..])),
        _ => (".", Some(location)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_split_at_its_pattern() {
        assert_eq!(split_glob("inbox/customers"), ("inbox/customers", None));
        assert_eq!(split_glob("inbox/**/*.csv"), ("inbox", Some("**/*.csv")));
        assert_eq!(split_glob("*.csv"), (".", Some("*.csv")));
        assert_eq!(split_glob("s3://bucket/in/*.csv"), ("s3://bucket/in", Some("*.csv")));
    }
}
