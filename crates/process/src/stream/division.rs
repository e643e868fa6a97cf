//! Whether a stream can be divided by the partitions of the log that its input is landed from.
//!
//! It can where each part of it, run over the rows of one partition, gives just its part of the answer: where rows are
//! taken one by one, and where whatever is put together (a window's group, the sides of a join) has one value of the key
//! that the records are partitioned by. The rows that come out must show that key, so that it can be traced through the
//! query from there.

use datafusion::common::Column as ColumnRef;
use datafusion::logical_expr::{Expr, LogicalPlan};
use flowline_lake::arrow_types::PARTITION;
use flowline_model::{Column, ColumnType, Dataset, DatasetName, Origin};

use super::StreamPlan;
use crate::upkeep::{Refusal, Upkeep, number, trace, unaliased};

const WHOLE: &str = "leave `divided` out: then one elected node runs the stream, whatever its keys";

/// Says why the query of a divided stream does not follow the partitions of its input; nothing where it does.
pub(super) fn refuse<'a>(
    dataset: &Dataset,
    decided: &StreamPlan,
    plan: &LogicalPlan,
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> datafusion::error::Result<Option<Refusal>> {
    let refused = |message: String| Ok(Some(Refusal::new(message).or_hint(WHOLE.to_owned())));
    let (plan, scans) = number(plan.clone())?;
    let Some(first) = scans.first() else { return refused("a divided stream reads a dataset".to_owned()) };
    if let Some(other) = scans.iter().find(|scan| *scan != first) {
        return refused(format!(
            "a divided stream reads one dataset, and this reads `{first}` and `{other}`"
        ));
    }
    let posted = input(first).filter(|declared| matches!(declared.origin, Origin::Http(_)));
    let Some(posted) = posted else {
        return refused(format!("a divided stream reads what is landed from the log, and `{first}` is not"));
    };
    if plan.schema().fields().iter().any(|field| field.name() == PARTITION) {
        return refused(format!("the table of a divided stream has a column `{PARTITION}` of its own"));
    }
    let keyed = match decided {
        StreamPlan::Followed(hop) if hop.upkeep == Upkeep::Append => return Ok(None),
        StreamPlan::Followed(_) => true,
        StreamPlan::Windows(_) => false,
    };
    let key = posted.partition_key();
    if key.is_empty() {
        return refused(format!(
            "records of `{first}` are not partitioned by a key; declare `partition_key` there, under `from`"
        ));
    }
    let several = |name: &&String| !posted.column(name).is_some_and(one_text);
    if let Some(name) = key.iter().find(several) {
        return refused(format!(
            "records of `{first}` are partitioned by the text of `{name}`, and one value of it has several; declare a `partition_key` of required texts and whole numbers there, under `from`"
        ));
    }
    for name in key {
        let shown = (0..plan.schema().fields().len()).find(|index| {
            let column = Expr::Column(ColumnRef::from(plan.schema().qualified_field(*index)));
            let told = !keyed || dataset.key.contains(plan.schema().field(*index).name());
            told && trace(&plan, &[column], scans.len()).iter().all(|terms| {
                terms.as_deref().is_ok_and(|terms| terms.iter().all(|term| is_column(term, name)))
            })
        });
        if shown.is_none() {
            let by = if keyed { "`key`" } else { "what it selects and groups or partitions by" };
            return refused(format!(
                "its rows do not follow the partitions of `{first}`: `{name}`, by which records are partitioned, is not in {by}"
            ));
        }
    }
    Ok(None)
}

/// Whether a value of the column is always one text when records are partitioned by it.
fn one_text(column: &Column) -> bool {
    let kind = matches!(column.data_type, ColumnType::String | ColumnType::Int32 | ColumnType::Int64);
    kind && column.required
}

fn is_column(term: &Expr, name: &str) -> bool {
    matches!(unaliased(term), Expr::Column(column) if column.name == name)
}
