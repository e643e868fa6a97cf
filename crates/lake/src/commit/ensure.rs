//! Creating a table, and letting it grow columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use flowline_base::FileId;

use super::info;
use super::intent::{Change, Intent, run};
use super::put::{Put, put};
use crate::delta::actions::{Commit, Format, Metadata};
use crate::delta::snapshot::Snapshot;
use crate::delta::{protocol, schema};
use crate::table::Shared;
use crate::{LakeError, TableSpec};

/// What a new table asks of whoever keeps it. Log and removed files are kept for a week, as long as one can travel back
/// in time: a table that commits every two seconds has 300,000 versions by then.
const CONFIGURATION: [(&str, &str); 4] = [
    ("delta.checkpointInterval", "20"),
    ("delta.enableExpiredLogCleanup", "true"),
    ("delta.logRetentionDuration", "interval 7 days"),
    ("delta.deletedFileRetentionDuration", "interval 7 days"),
];

/// Creates the table or brings it to the spec.
pub(crate) async fn ensure(table: &Arc<Shared>, spec: &TableSpec) -> Result<(), LakeError> {
    let wanted = schema_of(table, spec)?;
    check_partitions(table, &wanted, &spec.partition_columns)?;
    let snapshot = match table.newest().await? {
        Some(snapshot) => snapshot,
        None => match create(table, spec, &wanted).await? {
            Some(()) => return Ok(()),
            None => table.newest().await?.ok_or_else(|| table.no_table())?,
        },
    };
    if grown(table, &snapshot, spec, &wanted)?.is_none() {
        return Ok(());
    }
    let intent = intent("ADD COLUMNS");
    run(table, &intent, |snapshot| {
        let grown = grown(table, snapshot, spec, &wanted)?;
        Ok(Change {
            metadata: Some(grown.unwrap_or_else(|| snapshot.metadata.as_ref().clone())),
            ..Change::default()
        })
    })
    .await
    .map(drop)
}

/// The columns of the spec as the table has them.
pub(super) fn schema_of(table: &Shared, spec: &TableSpec) -> Result<SchemaRef, LakeError> {
    schema::normal(&spec.schema).map_err(|(column, reason)| table.schema_error(column, reason))
}

/// The metadata of a table whose rows and columns are all replaced.
pub(super) fn replaced(table: &Shared, snapshot: &Snapshot, spec: &TableSpec) -> Result<Metadata, LakeError> {
    let wanted = schema_of(table, spec)?;
    check_partitions(table, &wanted, &spec.partition_columns)?;
    Ok(Metadata {
        schema_string: schema_string(table, &wanted)?,
        partition_columns: spec.partition_columns.clone(),
        description: Some(spec.description.clone()),
        ..snapshot.metadata.as_ref().clone()
    })
}

/// Writes the first version; none when another writer did.
async fn create(table: &Arc<Shared>, spec: &TableSpec, wanted: &SchemaRef) -> Result<Option<()>, LakeError> {
    let now = table.lake.settings.clock.now().timestamp_millis();
    let configuration: BTreeMap<_, _> =
        CONFIGURATION.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect();
    let change = Change {
        protocol: Some(protocol::of_new_tables()),
        metadata: Some(Metadata {
            id: FileId::generate().to_string(),
            name: Some(table.id.dataset.to_string()),
            description: Some(spec.description.clone()),
            format: Format::default(),
            schema_string: schema_string(table, wanted)?,
            partition_columns: spec.partition_columns.clone(),
            created_time: Some(now),
            configuration,
        }),
        ..Change::default()
    };
    let intent = intent("CREATE TABLE");
    let commit_id = FileId::generate().to_string();
    let info = info::of(&intent, &change, None, now, commit_id, &table.lake.writer);
    let commit = Commit { info, protocol: change.protocol, metadata: change.metadata, ..Commit::default() };
    let _turn = table.turn.lock().await;
    match put(table, 0, &commit).await? {
        Put::Done(commit) => {
            table.keep(Snapshot::first(&table.name, 0, *commit, false)?);
            Ok(Some(()))
        }
        Put::Lost => Ok(None),
    }
}

fn intent(operation: &'static str) -> Intent {
    Intent {
        operation,
        mode: "ErrorIfExists",
        blind: true,
        transaction: None,
        expected: None,
        info: serde_json::Value::Null,
        elsewhere: Vec::new(),
    }
}

/// The metadata with what the spec has and the table lacks; none when it lacks nothing.
fn grown(
    table: &Shared,
    snapshot: &Snapshot,
    spec: &TableSpec,
    wanted: &SchemaRef,
) -> Result<Option<Metadata>, LakeError> {
    if snapshot.partition_columns() != spec.partition_columns {
        let (is, wanted) = (snapshot.partition_columns(), &spec.partition_columns);
        let reason = format!(
            "the table is split by {is:?} and cannot be split by {wanted:?} now; write a new dataset, or replace all rows"
        );
        return Err(table.schema_error(wanted.first().or(is.first()).cloned().unwrap_or_default(), reason));
    }
    let mut fields: Vec<Field> = Vec::new();
    for field in snapshot.schema.fields() {
        let other = wanted.fields().iter().find(|other| other.name().eq_ignore_ascii_case(field.name()));
        if let Some(other) = other
            && (other.name() != field.name() || !same_type(other, field))
        {
            let reason = format!(
                "it is `{}` of type {} in the table and `{}` of type {} now; give the new one another name, or replace all rows",
                field.name(),
                field.data_type(),
                other.name(),
                other.data_type()
            );
            return Err(table.schema_error(field.name(), reason));
        }
        // What the spec lacks or does not require may be null from now on; what is null already stays so.
        let nullable = field.is_nullable() || other.is_none_or(|other| other.is_nullable());
        fields.push(field.as_ref().clone().with_nullable(nullable));
    }
    for field in wanted.fields().iter().filter(|field| snapshot.schema.index_of(field.name()).is_err()) {
        fields.push(field.as_ref().clone().with_nullable(true));
    }
    let schema = Schema::new(fields);
    if schema.fields() == snapshot.schema.fields() {
        return Ok(None);
    }
    Ok(Some(Metadata { schema_string: schema_string(table, &schema)?, ..snapshot.metadata.as_ref().clone() }))
}

fn same_type(one: &Field, other: &Field) -> bool {
    one.data_type().equals_datatype(other.data_type())
}

fn schema_string(table: &Shared, schema: &Schema) -> Result<String, LakeError> {
    schema::format(schema).map_err(|reason| table.schema_error("", reason))
}

fn check_partitions(table: &Shared, schema: &SchemaRef, columns: &[String]) -> Result<(), LakeError> {
    for name in columns {
        let field = schema
            .field_with_name(name)
            .map_err(|_| table.schema_error(name, "the table is split by it and has no such column"))?;
        if !schema::partitionable(field.data_type()) {
            return Err(table.schema_error(
                name,
                format!("a table cannot be split by values of type {}", field.data_type()),
            ));
        }
    }
    if columns.len() >= schema.fields().len() {
        return Err(table.schema_error(
            columns.first().cloned().unwrap_or_default(),
            "a table needs a column that it is not split by",
        ));
    }
    Ok(())
}
