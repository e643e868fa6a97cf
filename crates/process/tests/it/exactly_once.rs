//! Runs that are cut short anywhere, and what is found afterwards.

use std::sync::Arc;
use std::time::Duration;

use flowline_lake::faults::{Fault, FaultInjector, StoreOp};
use flowline_model::Materialization::{Append, Full, Merge, Partition};
use flowline_model::{Check, CheckRule, CheckSeverity, Dataset, DatasetName, Origin, Outcome, RunKind};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::world::{World, counted};
use crate::support::{Declare, landed, sql};

/// Lets operations through until it is told to stop at one; that one never ends.
#[derive(Debug, Default)]
struct Stop {
    left: std::sync::Mutex<Option<u64>>,
    reached: Notify,
}

impl Stop {
    fn after(&self, operations: u64) {
        *self.left.lock().unwrap() = Some(operations);
    }
}

impl FaultInjector for Stop {
    fn fault(&self, _op: StoreOp, _path: &str) -> Option<Fault> {
        let mut left = self.left.lock().unwrap();
        match left.as_mut() {
            Some(0) => {
                self.reached.notify_one();
                Some(Fault::Slow(Duration::from_secs(3600)))
            }
            Some(more) => {
                *more -= 1;
                None
            }
            None => None,
        }
    }
}

/// Faults in the order in which they are to happen, each at the next operation on a path that has its text.
#[derive(Debug, Default)]
struct Faults(std::sync::Mutex<Vec<(StoreOp, &'static str, Fault)>>);

impl Faults {
    fn add(&self, op: StoreOp, path: &'static str, fault: Fault) {
        self.0.lock().unwrap().push((op, path, fault));
    }
}

impl FaultInjector for Faults {
    fn fault(&self, op: StoreOp, path: &str) -> Option<Fault> {
        let mut waiting = self.0.lock().unwrap();
        let found = waiting.iter().position(|(wanted, part, _)| *wanted == op && path.contains(part))?;
        Some(waiting.remove(found).2)
    }
}

fn sales() -> Dataset {
    landed("shop.sales", "id string!, amount int64!, day date!, ts timestamp!")
}

fn append() -> Dataset {
    sql("shop.out", Append, "select id, amount from shop.sales where amount > 0")
}

const FIRST: &str =
    "('a', 1, '2025-01-01', '2025-01-01T10:00:00Z'), ('b', 0, '2025-01-02', '2025-01-02T10:00:00Z')";
const SECOND: &str =
    "('c', 2, '2025-01-02', '2025-01-02T11:00:00Z'), ('a', 3, '2025-01-01', '2025-01-01T11:00:00Z')";

/// What the ledger has counted for the hop, and how far it says the hop has read.
async fn accounts(world: &World) -> (u64, u64, u64, i64) {
    let hop: DatasetName = "shop.out".parse().unwrap();
    let totals = world.ledger.totals().await.unwrap();
    let counts =
        totals.iter().find(|totals| totals.hop == hop).map(|totals| totals.counts).unwrap_or_default();
    let positions = world.ledger.positions(Some(&hop)).await.unwrap();
    (counts.read, counts.written, counts.filtered, positions.first().map_or(-1, |position| position.next))
}

/// Lands, runs, lands again, and cuts the second run off after so many operations on the storage; then starts anew.
/// False when the run came to its end before.
async fn cut_off_after(operations: u64, out: Dataset) -> bool {
    let stop = Arc::new(Stop::default());
    let datasets = vec![sales(), out];
    let injector: Arc<dyn FaultInjector> = Arc::<Stop>::clone(&stop);
    let world = World::with_faults(datasets.clone(), Some(injector)).await;
    world.land("shop.sales", FIRST).await;
    world.run("shop.out").await;
    world.land("shop.sales", SECOND).await;
    stop.after(operations);
    let ended = tokio::select! {
        run = world.try_run("shop.out") => { assert_eq!(run.error, None); true }
        () = stop.reached.notified() => false,
    };
    let world = world.restarted(Some(datasets)).await;
    world.ledger.close_abandoned_runs(world.now()).await.unwrap();
    world.transformer.recover().await.unwrap();
    let again = world.run("shop.out").await;
    let sql = match &world.dataset("shop.out").origin {
        Origin::Sql(sql) => sql.text.clone(),
        _ => unreachable!("it is SQL"),
    };
    assert_eq!(
        world.rows("select * from shop.out").await,
        world.rows(&sql).await,
        "after {operations} operations"
    );
    if !again.counts.reshaped && sql.contains("where amount > 0") {
        assert_eq!(accounts(&world).await, (4, 3, 1, 2), "after {operations} operations");
    }
    let consumed = &world.transformer.facts().await.unwrap()[0].inputs[0];
    assert_eq!(consumed.consumed, consumed.version);
    !ended
}

async fn cut_off_everywhere(out: Dataset) {
    let mut operations = 0;
    while cut_off_after(operations, out.clone()).await {
        operations += 1;
    }
    assert!(operations > 5, "a run of {operations} operations is no run");
}

#[tokio::test]
async fn append_is_cut_off_at_every_operation() {
    cut_off_everywhere(append()).await;
}

#[tokio::test]
async fn partition_is_cut_off_at_every_operation() {
    let out = sql("shop.out", Partition, "select day, sum(amount) as total from shop.sales group by day");
    cut_off_everywhere(out.with_partitions(&["day"])).await;
}

#[tokio::test]
async fn merge_is_cut_off_at_every_operation() {
    let out = sql("shop.out", Merge, "select id, sum(amount) as total from shop.sales group by id");
    cut_off_everywhere(out.with_key(&["id"])).await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_happens_once() {
    let faults = Arc::new(Faults::default());
    let injector: Arc<dyn FaultInjector> = Arc::<Faults>::clone(&faults);
    let world = World::with_faults([sales(), append()], Some(injector)).await;
    world.land("shop.sales", FIRST).await;
    world.run("shop.out").await;
    for fault in [Fault::ErrorAfter, Fault::ErrorBefore, Fault::ErrorDuring] {
        world.land("shop.sales", SECOND).await;
        faults.add(StoreOp::Put, "out/_delta_log", fault);
        world.run("shop.out").await;
        let (table, answer) = (
            world.rows("select * from shop.out").await,
            world.rows("select id, amount from shop.sales where amount > 0").await,
        );
        assert_eq!(table, answer, "{fault:?}");
    }
    assert_eq!(accounts(&world).await, (8, 7, 1, 4));
}

#[tokio::test]
async fn passing_faults_are_tried_again_and_lasting_ones_are_told() {
    let faults = Arc::new(Faults::default());
    let injector: Arc<dyn FaultInjector> = Arc::<Faults>::clone(&faults);
    let world = World::with_faults([sales(), append()], Some(injector)).await;
    world.land("shop.sales", FIRST).await;
    for _ in 0..8 {
        faults.add(StoreOp::Put, "shop/out/", Fault::ErrorBefore);
    }
    let hop: DatasetName = "shop.out".parse().unwrap();
    let run = world.try_run("shop.out").await;
    assert!(run.attempts > 1 || run.outcome == Outcome::Succeeded, "{run:?}");
    let attempts = world.ledger.attempts(Some(run.id)).await.unwrap();
    assert_eq!(attempts.len() as u32, run.attempts);
    faults.0.lock().unwrap().clear();
    world.run("shop.out").await;
    world.land("shop.sales", SECOND).await;
    for _ in 0..3 {
        faults.add(StoreOp::Put, "shop/out/", Fault::Denied);
    }
    let run = world.try_run("shop.out").await;
    assert_eq!((run.outcome, run.attempts), (Outcome::Failed, 1), "what is denied stays denied");
    let error = run.error.unwrap();
    assert_eq!(error.kind, flowline_base::ErrorKind::Denied);
    assert!(error.message.contains("shop.out"), "{}", error.message);
    let facts = world.transformer.facts().await.unwrap();
    assert_eq!((facts[0].hop.clone(), facts[0].failures), (hop, 1));
    faults.0.lock().unwrap().clear();
    world.run("shop.out").await;
    assert_eq!(world.transformer.facts().await.unwrap()[0].failures, 0);
}

#[tokio::test]
async fn a_ledger_that_was_lost_is_completed_from_the_tables() {
    let world = World::new([sales(), append()]).await;
    world.land("shop.sales", FIRST).await;
    world.run("shop.out").await;
    world.land("shop.sales", SECOND).await;
    world.run("shop.out").await;
    let before = accounts(&world).await;
    let world = world.with_new_ledger().await;
    let found = world.transformer.recover().await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|run| run.kind == RunKind::Transform && run.commit.is_some()));
    assert_eq!(accounts(&world).await, before);
    assert_eq!(world.transformer.recover().await.unwrap(), []);
    assert_eq!(counted(&world.run("shop.out").await), "read 0 written 0 filtered 0 duplicate 0, version -");
}

#[tokio::test]
async fn a_run_is_given_up_when_its_time_is_over_or_nobody_wants_it() {
    let faults = Arc::new(Faults::default());
    let mut out = append();
    if let Origin::Sql(sql) = &mut out.origin {
        sql.timeout = Duration::from_millis(200);
    }
    let injector: Arc<dyn FaultInjector> = Arc::<Faults>::clone(&faults);
    let world = World::with_faults([sales(), out], Some(injector)).await;
    world.land("shop.sales", FIRST).await;
    faults.add(StoreOp::Put, "shop/out/part", Fault::Slow(Duration::from_secs(3600)));
    faults.add(StoreOp::Put, "shop/out/", Fault::Slow(Duration::from_secs(3600)));
    let run = world.try_run("shop.out").await;
    assert_eq!(run.outcome, Outcome::Failed);
    assert!(run.error.as_ref().unwrap().message.contains("given up after 200ms"), "{run:?}");
    faults.0.lock().unwrap().clear();

    let cancel = CancellationToken::new();
    cancel.cancel();
    let run = world.transformer.run(&"shop.out".parse().unwrap(), "test", &cancel).await.unwrap();
    assert_eq!(run.outcome, Outcome::Cancelled);
    let said = "not wanted any more: its node was told to end, or its part went to another one";
    assert_eq!(run.error.unwrap().message, said);
    assert_eq!(
        world.transformer.facts().await.unwrap()[0].failures,
        1,
        "only the first one failed by itself"
    );
}

#[tokio::test]
async fn another_definition_computes_the_table_again() {
    let world = World::new([sales(), append()]).await;
    world.land("shop.sales", FIRST).await;
    world.run("shop.out").await;
    let other = sql("shop.out", Append, "select id, amount, day from shop.sales where amount >= 0");
    let world = world.restarted(Some(vec![sales(), other])).await;
    let facts = &world.transformer.facts().await.unwrap()[0];
    assert!(facts.definition_changed && !facts.first_run);
    world.run("shop.out").await;
    assert_eq!(world.how("shop.out").await, "rebuild: its definition changed");
    assert_eq!(world.rows("select * from shop.out").await, "a 1 2025-01-01\nb 0 2025-01-02");
    assert!(!world.transformer.facts().await.unwrap()[0].definition_changed);
    let merged = sql("shop.out", Merge, "select id, sum(amount) as total from shop.sales group by id")
        .with_key(&["id"]);
    let world = world.restarted(Some(vec![sales(), merged])).await;
    world.run("shop.out").await;
    assert_eq!(world.rows("select * from shop.out").await, "a 1\nb 0");
}

#[tokio::test]
async fn a_view_that_changes_computes_what_reads_it_again() {
    use flowline_model::Materialization::View;
    let datasets = |condition: &str| {
        let view = sql("shop.v", View, &format!("select id from shop.sales where {condition}"));
        vec![sales(), view, sql("shop.out", Append, "select id from shop.v")]
    };
    let world = World::new(datasets("amount > 0")).await;
    world.land("shop.sales", FIRST).await;
    world.run("shop.out").await;
    let world = world.restarted(Some(datasets("amount = 0"))).await;
    world.run("shop.out").await;
    assert_eq!(world.rows("select * from shop.out").await, "b");
}

#[tokio::test]
async fn columns_that_an_input_gets_are_followed() {
    let world = World::new([sales(), sql("shop.out", Append, "select id, amount from shop.sales")]).await;
    world.land("shop.sales", FIRST).await;
    world.run("shop.out").await;
    let wider = landed("shop.sales", "id string!, amount int64!, day date!, ts timestamp!, note string");
    let world = world
        .restarted(Some(vec![wider, sql("shop.out", Append, "select id, amount from shop.sales")]))
        .await;
    world.land("shop.sales", "('z', 9, '2025-01-02', '2025-01-02T11:00:00Z', 'new')").await;
    world.run("shop.out").await;
    assert_eq!(world.how("shop.out").await, "append");
    assert_eq!(world.rows("select * from shop.out").await, "a 1\nb 0\nz 9");
}

#[tokio::test]
async fn an_input_that_is_another_table_is_read_again() {
    let world = World::new([sales(), append()]).await;
    world.land("shop.sales", FIRST).await;
    world.land("shop.sales", FIRST).await;
    world.run("shop.out").await;
    std::fs::remove_dir_all(world.folder.path().join("lake/raw/shop/sales")).unwrap();
    let world = world.restarted(None).await;
    world.land("shop.sales", SECOND).await;
    world.run("shop.out").await;
    assert_eq!(world.how("shop.out").await, "rebuild: the table of `shop.sales` is another one");
    assert_eq!(world.rows("select * from shop.out").await, "a 3\nc 2");
}

#[tokio::test]
async fn data_that_does_not_fit_fails_the_run_and_leaves_the_table() {
    let out = sql("shop.out", Full, "select id, 10 / amount as share from shop.sales");
    let world = World::new([sales(), out]).await;
    world.land("shop.sales", "('a', 5, '2025-01-01', '2025-01-01T10:00:00Z')").await;
    world.run("shop.out").await;
    world.land("shop.sales", FIRST).await;
    let run = world.try_run("shop.out").await;
    assert_eq!((run.outcome, run.attempts), (Outcome::Failed, 1));
    assert_eq!(run.error.unwrap().message, "the query failed on its data: divide by zero error");
    assert_eq!(world.rows("select * from shop.out").await, "a 2");
}

#[tokio::test]
async fn what_a_run_that_is_cut_off_has_set_aside_is_not_set_aside_twice() {
    let mut out = sql("shop.out", Full, "select id, amount from shop.sales");
    out.checks = vec![Check {
        name: "positive".to_owned(),
        description: None,
        owner: "team".to_owned(),
        severity: CheckSeverity::QuarantineRows,
        tolerance: 0.0,
        rule: CheckRule::Range { column: "amount".to_owned(), min: Some("2".to_owned()), max: None },
    }];
    let faults = Arc::new(Faults::default());
    let injector: Arc<dyn FaultInjector> = Arc::<Faults>::clone(&faults);
    let world = World::with_faults([sales(), out], Some(injector)).await;
    world.land("shop.sales", FIRST).await;
    world.run("shop.out").await;
    let first = "{\"id\":\"a\",\"amount\":1}\n{\"id\":\"b\",\"amount\":0}";
    assert_eq!(world.quarantined("shop.out", "_record").await, first);
    world.land("shop.sales", "('c', 1, '2025-01-02', '2025-01-02T11:00:00Z')").await;
    faults.add(StoreOp::Put, "trusted/shop/out/_delta_log", Fault::Denied);
    let run = world.try_run("shop.out").await;
    assert!(run.error.is_some(), "the rows are not committed");
    let both = format!("{first}\n{{\"id\":\"c\",\"amount\":1}}");
    assert_eq!(world.quarantined("shop.out", "_record").await, both, "the quarantine comes first");
    let world = world.restarted(None).await;
    let run = world.run("shop.out").await;
    assert_eq!((run.counts.read, run.counts.quarantined), (3, 3));
    assert_eq!(world.quarantined("shop.out", "_record").await, both);
}
