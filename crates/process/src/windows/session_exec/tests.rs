//! Sessions are the same whether the rows are sorted or not.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use arrow::array::{Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;

use super::super::register;
use super::*;

type Row = (Option<String>, Option<i64>, i64);

fn batch(rows: &[Row]) -> RecordBatch {
    let names: StringArray = rows.iter().map(|row| row.0.as_deref()).collect();
    let numbers: Int64Array = rows.iter().map(|row| row.1).collect();
    let times =
        TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.2)).with_timezone("UTC");
    let shares: Float64Array = rows.iter().map(|row| row.1.map(|number| number as f64)).collect();
    let columns: [(&str, ArrayRef, bool); 4] = [
        ("name", Arc::new(names), true),
        ("number", Arc::new(numbers), true),
        ("time", Arc::new(times), false),
        ("share", Arc::new(shares), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// A session over these parts of a table; with memory for so many bytes, if not for all.
fn session(parts: &[Vec<Row>], unsorted: bool, memory: Option<usize>) -> SessionContext {
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(bytes) = memory {
        runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
    }
    let mut builder = SessionStateBuilder::new()
        .with_config(
            SessionConfig::new()
                .with_target_partitions(2)
                .with_batch_size(64)
                .with_sort_spill_reservation_bytes(64 << 10),
        )
        .with_runtime_env(runtime.build_arc().unwrap())
        .with_default_features();
    if unsorted {
        builder = builder.with_physical_optimizer_rule(Arc::new(TellSessionsUnsorted));
    }
    let mut state = builder.build();
    register(&mut state);
    let parts: Vec<Vec<RecordBatch>> = parts.iter().map(|rows| vec![batch(rows)]).collect();
    let table = MemTable::try_new(parts[0][0].schema(), parts).unwrap();
    let context = SessionContext::new_with_state(state);
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

fn query(keys: &str) -> String {
    format!(
        "select *, {SESSION_START}(time, 10) over (partition by {keys} order by time) as s, \
         {SESSION_END}(time, 10) over (partition by {keys} order by time) as e from t"
    )
}

async fn plan(context: &SessionContext, query: &str) -> String {
    let plan = context.sql(query).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

async fn answer(context: &SessionContext, query: &str) -> String {
    let rows = context.sql(&format!("select * from ({query}) order by 1, 2, 3, 5, 6")).await.unwrap();
    pretty_format_batches(&rows.collect().await.unwrap()).unwrap().to_string()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let name = prop::option::weighted(0.9, prop_oneof![Just("a".to_owned()), Just("b".to_owned()), "[c-z]"]);
    let row = (name, prop::option::weighted(0.9, 0i64..3), prop_oneof![0i64..500, Just(i64::MAX - 5)]);
    prop::collection::vec(row, 1..200).prop_flat_map(|rows| {
        let mut sorted = rows.clone();
        sorted.sort_by_key(|row| row.2);
        prop_oneof![Just(rows), Just(sorted)]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn they_are_those_of_sorted_rows(parts in prop::collection::vec(rows(), 1..4), keys in prop_oneof![Just("name"), Just("number"), Just("name, number")]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (unsorted, sorted) = (session(&parts, true, None), session(&parts, false, None));
            let query = query(keys);
            let shown = plan(&unsorted, &query).await;
            prop_assert!(shown.contains("SessionExec") && !shown.contains("SortExec"), "{}", shown);
            prop_assert!(plan(&sorted, &query).await.contains("WindowAggExec"));
            prop_assert_eq!(answer(&unsorted, &query).await, answer(&sorted, &query).await);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn where_memory_does_not_hold_the_rows_they_are_sorted_on_disk() {
    let rows: Vec<Row> =
        (0..40_000).map(|n| (Some(format!("key {}", n % 1_000)), Some(n % 7), n / 300)).collect();
    let parts = [rows[..20_000].to_vec(), rows[20_000..].to_vec()];
    let query =
        format!("select name, s, e, count(*), min(number) from ({}) group by name, s, e", query("name"));
    let answer = |memory| {
        let query = format!("select count(*), sum(length(name)), min(s), max(e) from ({query})");
        let context = session(&parts, true, memory);
        async move { answer_of(&context, &query).await }
    };
    let (in_memory, on_disk) = (answer(None).await, answer(Some(1 << 20)).await);
    assert_eq!(in_memory.0, on_disk.0);
    assert_eq!((in_memory.1, on_disk.1), (0, 2), "sorts that ran");
}

/// The answer, and how many sorts were made after all.
async fn answer_of(context: &SessionContext, query: &str) -> (String, usize) {
    let plan = context.sql(query).await.unwrap().create_physical_plan().await.unwrap();
    let rows = datafusion::physical_plan::collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    let (mut sorts, mut spilled) = (0, 0);
    plan.apply(|node| {
        if let Some(sessions) = node.downcast_ref::<SessionExec>() {
            sorts += sessions.on_disk.lock().len();
            spilled += sessions.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or(0);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    assert_eq!(sorts > 0, spilled > 0, "what a sort puts on disk is counted");
    (pretty_format_batches(&rows).unwrap().to_string(), sorts)
}

#[tokio::test]
async fn other_windows_and_orders_that_are_relied_on_stay_as_they_were() {
    let parts = [vec![(Some("a".to_owned()), Some(1), 5)]];
    let context = session(&parts, true, None);
    let one = |over: &str| format!("select {SESSION_START}(time, 10) over ({over}) from t");
    for query in [
        one("order by time"),
        one("partition by share order by time"),
        one("partition by name order by time desc"),
        one("partition by name order by time, number"),
        "select row_number() over (partition by name order by time) from t".to_owned(),
    ] {
        let shown = plan(&context, &query).await;
        assert!(!shown.contains("SessionExec"), "{query}\n{shown}");
    }
}
