//! What a transform is, in one short text: when it is another, what was computed before no longer counts.

use flowline_model::{Check, CheckSeverity, Column, Dataset, DatasetName, Materialization, Origin, Plan};
use sha2::{Digest, Sha256};

use crate::Graph;
use crate::stream::shared_inputs;

/// Counted up when Flowline itself comes to compute the same SQL otherwise, so that tables are computed again.
const SEMANTICS: u32 = 1;

/// The fingerprint of a transform: its SQL and that of the views in it, its materialization, its columns, its key,
/// its partitions and its event time. 16 hexadecimal characters.
pub(super) fn definition(plan: &Plan, graph: &Graph, dataset: &Dataset, columns: &[Column]) -> String {
    let mut hasher = Sha256::new();
    let mut add = |what: &str, value: &str| {
        hasher.update(what);
        hasher.update((value.len() as u64).to_le_bytes());
        hasher.update(value);
    };
    add("semantics", &SEMANTICS.to_string());
    if dataset.divided() {
        let shared = shared_inputs(plan, dataset, &graph.inputs(&dataset.name).tables);
        for input in shared.into_iter().filter_map(|input| plan.dataset(input)) {
            let key = input.partition_key().join(",");
            match &input.origin {
                Origin::Http(origin) => add("divided", &format!("{} {key}", origin.partitions)),
                _ => add("divided by topic", &key),
            }
        }
    }
    if let Origin::Sql(sql) = &dataset.origin {
        add("sql", &sql.text);
        add("materialization", sql.materialization.as_str());
        if sql.materialization == Materialization::Stream {
            add("emit", sql.emit.as_str());
            if !dataset.dedupe_horizon.is_zero() {
                add("horizon", &dataset.dedupe_horizon.as_micros().to_string());
            }
        }
        // Rows that were set aside are not in the table, so that nothing can be added to them later.
        if matches!(sql.materialization, Materialization::Merge | Materialization::Stream)
            && sets_aside(dataset)
        {
            add("sets aside", "rows");
        }
    }
    for view in
        graph.upstream(&dataset.name).iter().filter_map(|name| in_between(plan, graph, &dataset.name, name))
    {
        add("view", &view);
    }
    for column in columns {
        add("column", &format!("{} {} {}", column.name, column.data_type, column.required));
    }
    add("key", &dataset.key.join(","));
    for field in &dataset.partition_by {
        add("partition", &field.partition_column());
    }
    add("event time", dataset.event_time.as_ref().map_or("", |event_time| &event_time.column));
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether rows that fail a check go to quarantine.
fn sets_aside(dataset: &Dataset) -> bool {
    let quarantines = |check: &Check| check.rule.by_row() && check.severity == CheckSeverity::QuarantineRows;
    dataset.checks.iter().any(quarantines) || dataset.columns.iter().any(|column| column.check.is_some())
}

/// The SQL of an upstream dataset when it is a view that the hop reads without a table between them.
fn in_between(plan: &Plan, graph: &Graph, hop: &DatasetName, upstream: &DatasetName) -> Option<String> {
    let view = |name: &DatasetName| match plan
        .dataset(name)
        .map(|dataset| (dataset.materialized(), &dataset.origin))
    {
        Some((false, Origin::Sql(sql))) => Some(sql.text.as_str()),
        _ => None,
    };
    let text = view(upstream)?;
    let mut waiting: Vec<&DatasetName> = graph.inputs(hop).named.iter().collect();
    while let Some(name) = waiting.pop() {
        if name == upstream {
            return Some(format!("{upstream} {text}"));
        }
        if view(name).is_some() {
            waiting.extend(&graph.inputs(name).named);
        }
    }
    None
}
