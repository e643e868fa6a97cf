//! What a commit says of itself.

use std::collections::HashMap;

use serde_json::Value;

use super::intent::{Change, Intent};
use crate::delta::actions::CommitInfo;
use crate::delta::snapshot::Snapshot;
use crate::delta::stats;

/// The commit's information. Parameters and metrics are texts, as every Delta writer has them.
pub(super) fn of(
    intent: &Intent,
    change: &Change,
    snapshot: Option<&Snapshot>,
    timestamp: i64,
    commit_id: String,
    writer: &str,
) -> CommitInfo {
    let text = |value: String| Value::from(value);
    let rows: u64 = change.adds.iter().filter_map(|add| stats::rows(add.stats.as_deref()?)).sum();
    let bytes: i64 = change.adds.iter().map(|add| add.size).sum();
    let columns = change.metadata.as_ref().map(|metadata| &metadata.partition_columns);
    let columns = columns.or(snapshot.map(|snapshot| &snapshot.metadata.partition_columns));
    let parameters = HashMap::from([
        ("mode".to_owned(), text(intent.mode.to_owned())),
        ("partitionBy".to_owned(), text(serde_json::json!(columns.cloned().unwrap_or_default()).to_string())),
    ]);
    let metrics = HashMap::from([
        ("numFiles".to_owned(), text(change.adds.len().to_string())),
        ("numOutputRows".to_owned(), text(rows.to_string())),
        ("numOutputBytes".to_owned(), text(bytes.to_string())),
        ("numRemovedFiles".to_owned(), text(change.removes.len().to_string())),
    ]);
    CommitInfo {
        timestamp: Some(timestamp),
        operation: Some(intent.operation.to_owned()),
        operation_parameters: Some(parameters),
        operation_metrics: Some(metrics),
        read_version: snapshot.map(|snapshot| snapshot.version),
        is_blind_append: Some(intent.blind),
        engine_info: Some(concat!("flowline/", env!("CARGO_PKG_VERSION")).to_owned()),
        txn_id: Some(commit_id),
        user_metadata: run_of(&intent.info).map(|run| format!("flowline run {run}")),
        flowline: (!intent.info.is_null()).then(|| intent.info.clone()),
        flowline_writer: Some(writer.to_owned()),
        flowline_elsewhere: intent.elsewhere.clone(),
        ..CommitInfo::default()
    }
}

/// The id that a writer gave its commit.
pub(super) fn run_of(info: &Value) -> Option<&str> {
    info.get("id")?.as_str()
}
