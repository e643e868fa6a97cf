//! Whether a stream can be divided by the partitions of the log or topic that its inputs are landed from.
//!
//! It can where each part of it, run over the rows of one partition, gives just its part of the answer: where rows are
//! taken one by one, and where whatever is put together (a window's group, two streams that are joined) has one value of the
//! key that the records are partitioned by. The rows that come out must show that key, so that it can be traced through the
//! query from there. Streams that are read together must be partitioned alike. Tables that are looked things up in are read
//! whole by each part; so no row may come out that is made of them alone, or each part would write it.

use datafusion::common::Column as ColumnRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};
use flowline_lake::arrow_types::PARTITION;
use flowline_model::{Column, ColumnType, Dataset, DatasetName, Origin, Plan};

use super::StreamPlan;
use super::analyze::time_column;
use crate::upkeep::{Obstacle, Refusal, Upkeep, number, number_of, scans_below, trace, unaliased};

const WHOLE: &str = "leave `divided` out: then one elected node runs the stream, whatever its keys";

/// The inputs of a divided stream of which each part reads one partition: those that have its event time. The others are
/// tables, which each part reads whole.
pub(crate) fn shared_inputs<'a>(
    plan: &Plan,
    dataset: &Dataset,
    inputs: impl IntoIterator<Item = &'a DatasetName>,
) -> Vec<&'a DatasetName> {
    let shared = |name: &&DatasetName| {
        plan.dataset(name).is_some_and(|input| partitioned(input) && has_time(dataset, input))
    };
    inputs.into_iter().filter(shared).collect()
}

fn partitioned(input: &Dataset) -> bool {
    matches!(input.origin, Origin::Http(_) | Origin::Kafka(_))
}

fn has_time(dataset: &Dataset, input: &Dataset) -> bool {
    time_column(dataset, Some(input), |name| input.column(name).is_some()).is_some()
}

/// Says why the query of a divided stream does not follow the partitions of its inputs; nothing where it does.
pub(super) fn refuse<'a>(
    dataset: &Dataset,
    decided: &StreamPlan,
    plan: &LogicalPlan,
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> datafusion::error::Result<Option<Refusal>> {
    let (plan, scans) = number(plan.clone())?;
    let times = times(dataset, &plan, &scans, input);
    let query = Query { dataset, plan: &plan, scans: &scans, times };
    let asked = || {
        let streams = query.streams(input)?;
        query.no_row_of_tables_alone()?;
        let by_row = matches!(decided, StreamPlan::Followed(hop) if hop.upkeep == Upkeep::Append);
        if by_row && !query.puts_streams_together() {
            return Ok(());
        }
        let keyed = !by_row && matches!(decided, StreamPlan::Followed(_));
        streams.iter().try_for_each(|stream| has_key(stream))?;
        query.follows(&streams, keyed)
    };
    Ok(asked().err().map(|refusal: Refusal| refusal.or_hint(WHOLE.to_owned())))
}

/// Of each scan, by number, whether its rows have the event time of the stream; a table's have not.
fn times<'a>(
    dataset: &Dataset,
    plan: &LogicalPlan,
    scans: &[DatasetName],
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> Vec<bool> {
    let mut times = vec![false; scans.len()];
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(number) = number_of(scan)
        {
            let has = |name: &str| scan.source.schema().field_with_name(name).is_ok();
            times[number] = time_column(dataset, input(&scans[number]), has).is_some();
        }
        Ok(TreeNodeRecursion::Continue)
    });
    times
}

fn refused(message: impl Into<String>) -> Refusal {
    Refusal::new(message.into())
}

/// A query that is asked whether it can be divided.
struct Query<'a> {
    dataset: &'a Dataset,
    plan: &'a LogicalPlan,
    scans: &'a [DatasetName],
    /// Of each scan, by number, whether it is of a stream.
    times: Vec<bool>,
}

impl Query<'_> {
    /// The streams that it reads, all partitioned alike.
    fn streams<'b>(
        &self,
        input: &dyn Fn(&DatasetName) -> Option<&'b Dataset>,
    ) -> Result<Vec<&'b Dataset>, Refusal> {
        let mut streams: Vec<&Dataset> = Vec::new();
        for (name, _) in self.scans.iter().zip(&self.times).filter(|(_, time)| **time) {
            let landed = input(name).filter(|declared| partitioned(declared));
            let landed = landed.ok_or_else(|| {
                refused(format!(
                    "a divided stream reads what is landed from the log or from a topic, and `{name}` is not"
                ))
            })?;
            if !streams.iter().any(|other| other.name == *name) {
                streams.push(landed);
            }
        }
        let first = *streams.first().ok_or_else(|| refused("a divided stream reads a stream"))?;
        streams.iter().skip(1).try_for_each(|other| alike(first, other))?;
        if self.plan.schema().fields().iter().any(|field| field.name() == PARTITION) {
            return Err(refused(format!(
                "the table of a divided stream has a column `{PARTITION}` of its own"
            )));
        }
        Ok(streams)
    }

    /// A row that no row of a stream is part of would be written by each part.
    fn no_row_of_tables_alone(&self) -> Result<(), Refusal> {
        self.with_stream(self.plan).map(drop)
    }

    /// Whether the rows of a node are made of rows of a stream; those of a table are not.
    fn with_stream(&self, plan: &LogicalPlan) -> Result<bool, Refusal> {
        let alone = |what: &str, hint: &str| {
            let place = Obstacle::at("", plan).place;
            Err(refused(format!("{what}, so each part of the stream would write it"))
                .or_hint(hint.to_owned())
                .at(place))
        };
        let inputs = plan.inputs().into_iter().map(|input| self.with_stream(input));
        let inputs = inputs.collect::<Result<Vec<bool>, Refusal>>()?;
        match (plan, inputs.as_slice()) {
            (LogicalPlan::TableScan(scan), _) => Ok(number_of(scan).is_some_and(|number| self.times[number])),
            (LogicalPlan::Join(join), [left, right]) if left != right => {
                let keeps = if *left { keeps_left(join.join_type) } else { keeps_right(join.join_type) };
                match keeps {
                    true => Ok(true),
                    false => alone(
                        "a row of a table that no row of the stream meets comes out by itself",
                        "put the stream on the left of a LEFT JOIN",
                    ),
                }
            }
            (LogicalPlan::Union(_), inputs) if inputs.contains(&true) && inputs.contains(&false) => {
                alone("a branch of UNION has rows of a table alone", "read the table in a dataset of its own")
            }
            (_, inputs) => Ok(inputs.contains(&true)),
        }
    }

    /// Whether rows of streams meet each other: in a join, or in a subquery.
    fn puts_streams_together(&self) -> bool {
        let reads = |plan: &LogicalPlan| scans_below(plan).into_iter().any(|number| self.times[number]);
        let mut found = false;
        let _ = self.plan.apply_with_subqueries(|node| {
            let _ = node.apply_subqueries(|subquery| {
                found |= reads(subquery);
                Ok(TreeNodeRecursion::Continue)
            });
            found |= matches!(node, LogicalPlan::Join(join) if reads(&join.left) && reads(&join.right));
            Ok(TreeNodeRecursion::Continue)
        });
        found
    }

    /// Holds that what is put together has one value of the key of each stream, which the rows that come out show.
    fn follows(&self, streams: &[&Dataset], keyed: bool) -> Result<(), Refusal> {
        for stream in streams {
            for (place, name) in stream.partition_key().iter().enumerate() {
                if !self.shows(streams, place, keyed) {
                    let by =
                        if keyed { "`key`" } else { "what it selects and groups, joins or partitions by" };
                    return Err(refused(format!(
                        "its rows do not follow the partitions of `{}`: `{name}`, by which records are partitioned, is not in {by}",
                        stream.name
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether a column of the answer is the key of every stream at this place, in every scan of it.
    fn shows(&self, streams: &[&Dataset], place: usize, keyed: bool) -> bool {
        let schema = self.plan.schema();
        let key_of = |name: &DatasetName| {
            let stream = streams.iter().find(|stream| stream.name == *name)?;
            stream.partition_key().get(place)
        };
        (0..schema.fields().len()).any(|index| {
            let column = Expr::Column(ColumnRef::from(schema.qualified_field(index)));
            let told = !keyed || self.dataset.key.contains(schema.field(index).name());
            let traced = trace(self.plan, &[column], self.scans.len());
            told && (0..self.scans.len()).filter(|scan| self.times[*scan]).all(|scan| {
                let (Ok(terms), Some(key)) = (&traced[scan], key_of(&self.scans[scan])) else { return false };
                terms.iter().all(|term| is_column(term, key))
            })
        })
    }
}

/// Joins that give no row without one of the left side.
fn keeps_left(kind: JoinType) -> bool {
    use JoinType as J;
    matches!(kind, J::Inner | J::Left | J::LeftSemi | J::LeftAnti | J::LeftMark)
}

/// The same of the right side.
fn keeps_right(kind: JoinType) -> bool {
    use JoinType as J;
    matches!(kind, J::Inner | J::Right | J::RightSemi | J::RightAnti | J::RightMark)
}

/// Whether records of both with one value of the key are in partitions of one number.
fn alike(one: &Dataset, other: &Dataset) -> Result<(), Refusal> {
    let (Origin::Http(first), Origin::Http(second)) = (&one.origin, &other.origin) else {
        return Err(refused(format!(
            "`{}` and `{}` are read together, and of topics that others write it is not known that they are partitioned alike",
            one.name, other.name
        )));
    };
    if first.partitions != second.partitions {
        return Err(refused(format!(
            "`{}` and `{}` are read together, and have {} and {} partitions",
            one.name, other.name, first.partitions, second.partitions
        ))
        .or_hint("give both the same `partitions`, under `from`".to_owned()));
    }
    let (key, other_key) = (one.partition_key(), other.partition_key());
    if key.len() != other_key.len() {
        return Err(refused(format!(
            "`{}` and `{}` are read together, and are partitioned by {} and {} columns",
            one.name,
            other.name,
            key.len(),
            other_key.len()
        ))
        .or_hint("declare a `partition_key` of the same columns for both, under `from`".to_owned()));
    }
    Ok(())
}

/// Holds that a stream is partitioned by a key, one value of which is always one text.
fn has_key(stream: &Dataset) -> Result<(), Refusal> {
    let (name, key) = (&stream.name, stream.partition_key());
    if key.is_empty() {
        return Err(refused(format!(
            "records of `{name}` are not partitioned by a key; declare `partition_key` there, under `from`"
        )));
    }
    let several = |name: &&String| !stream.column(name).is_some_and(one_text);
    match key.iter().find(several) {
        None => Ok(()),
        Some(column) => Err(refused(format!(
            "records of `{name}` are partitioned by the text of `{column}`, and one value of it has several; declare a `partition_key` of required texts and whole numbers there, under `from`"
        ))),
    }
}

/// Whether a value of the column is always one text when records are partitioned by it.
fn one_text(column: &Column) -> bool {
    let kind = matches!(column.data_type, ColumnType::String | ColumnType::Int32 | ColumnType::Int64);
    kind && column.required
}

fn is_column(term: &Expr, name: &str) -> bool {
    matches!(unaliased(term), Expr::Column(column) if column.name == name)
}
