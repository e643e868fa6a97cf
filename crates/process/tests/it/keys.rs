//! Checks of keys: the answer that is moved on is that of the whole table, and costs what is new.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::logical_expr::{col, lit};
use flowline_lake::CompactOptions;
use flowline_lake::faults::{Fault, FaultInjector, StoreOp};
use flowline_model::{CheckResult, CheckRule, Dataset};
use flowline_process::audit::Scope;
use flowline_process::{Auditor, sweep_check_state};
use metrics_exporter_prometheus::PrometheusBuilder;
use proptest::prelude::*;

use crate::support::world::World;
use crate::support::{Declare, check, landed, names};

fn refers(column: &str) -> CheckRule {
    let (to, to_columns) = ("shop.customers".parse().unwrap(), names(&["id"]));
    CheckRule::Referential { columns: names(&[column]), to, to_columns }
}

/// Orders that name customers by a number that is wider there.
fn datasets() -> [Dataset; 2] {
    let orders = Dataset {
        checks: vec![
            check("unique", CheckRule::Unique { columns: names(&["id"]) }),
            check("pairs", CheckRule::Unique { columns: names(&["id", "customer"]) }),
            check("duplicates", CheckRule::Duplicates { columns: names(&["id", "customer"]) }),
            check("whole", CheckRule::Duplicates { columns: Vec::new() }),
            check("refers", refers("customer")),
            check(
                "sums",
                CheckRule::Reconcile {
                    column: Some("customer".to_owned()),
                    with: "shop.customers".parse().unwrap(),
                    with_column: Some("id".to_owned()),
                },
            ),
        ],
        ..landed("shop.orders", "id string, customer int32").with_key(&["id"])
    };
    [orders, landed("shop.customers", "id int64")]
}

async fn audited(world: &World) -> Vec<CheckResult> {
    let auditor = Auditor::new(world.engine.clone(), Arc::clone(&world.ledger));
    auditor.run(&"shop.orders".parse().unwrap(), Scope::All).await.unwrap()
}

/// What a query over the whole table says fails, check by check.
async fn expected(world: &World) -> Vec<u64> {
    let orders = "shop.orders";
    let shared = |list: &str, present: &str, failing: &str| {
        format!(
            "select coalesce(sum({failing}), 0) from (select count(*) as n from {orders} where {present} group by {list} having count(*) > 1) as grouped"
        )
    };
    let queries = [
        shared("id", "id is not null", "n"),
        shared("id, customer", "id is not null and customer is not null", "n"),
        shared("id, customer", "true", "n - 1"),
        shared("id, customer", "true", "n - 1"),
        format!(
            "select count(*) from {orders} o where o.customer is not null and o.customer not in (select id from shop.customers where id is not null)"
        ),
    ];
    let mut all = Vec::new();
    for query in queries {
        all.push(world.rows(&query).await.parse().unwrap());
    }
    all
}

fn failed(results: &[CheckResult]) -> Vec<u64> {
    let keys = results.iter().filter(|result| result.check != "sums");
    keys.map(|result| result.rows_failed).collect()
}

/// The sums that were held against each other, as they are and as the whole tables have them.
async fn sums(world: &World, results: &[CheckResult]) -> [(Option<f64>, String); 2] {
    let result = results.iter().find(|result| result.check == "sums").unwrap();
    let own = world.rows("select coalesce(sum(customer), 0) from shop.orders").await;
    let other = world.rows("select coalesce(sum(id), 0) from shop.customers").await;
    [(result.metric, own), (result.upper, other)]
}

/// What happens to the tables.
#[derive(Debug, Clone)]
enum Step {
    Land(Vec<(Option<u8>, Option<u8>)>),
    Merge(BTreeSet<u8>, u8),
    DeleteOrder(u8),
    Customers(Vec<Option<u8>>),
    DeleteCustomer(u8),
    Compact,
    Audit,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop::option::weighted(0.9, 0u8..12);
    prop_oneof![
        3 => prop::collection::vec((key(), key()), 1..6).prop_map(Step::Land),
        1 => (prop::collection::btree_set(0u8..12, 1..4), 0u8..12).prop_map(|(ids, to)| Step::Merge(ids, to)),
        1 => (0u8..12).prop_map(Step::DeleteOrder),
        2 => prop::collection::vec(key(), 1..4).prop_map(Step::Customers),
        1 => (0u8..12).prop_map(Step::DeleteCustomer),
        1 => Just(Step::Compact),
        3 => Just(Step::Audit),
    ]
}

fn value(value: &Option<u8>, kind: &str) -> String {
    match (value, kind) {
        (None, kind) => format!("cast(null as {kind})"),
        (Some(value), "varchar") => format!("'k{value}'"),
        (Some(value), kind) => format!("cast({value} as {kind})"),
    }
}

async fn take(world: &World, step: &Step) {
    match step {
        Step::Land(rows) => {
            let row = |(id, customer): &(Option<u8>, Option<u8>)| {
                format!("({}, {})", value(id, "varchar"), value(customer, "int"))
            };
            let rows: Vec<String> = rows.iter().map(row).collect();
            world.land("shop.orders", &rows.join(", ")).await;
        }
        Step::Merge(ids, customer) => {
            let rows: Vec<String> =
                ids.iter().map(|id| format!("('k{id}', cast({customer} as int))")).collect();
            world.merge("shop.orders", &["id"], &rows.join(", ")).await;
        }
        Step::DeleteOrder(id) => {
            world.delete("shop.orders", col("id").eq(lit(format!("k{id}")))).await;
        }
        Step::Customers(ids) => {
            let rows: Vec<String> = ids.iter().map(|id| format!("({})", value(id, "bigint"))).collect();
            world.land("shop.customers", &rows.join(", ")).await;
        }
        Step::DeleteCustomer(id) => {
            world.delete("shop.customers", col("id").eq(lit(i64::from(*id)))).await;
        }
        Step::Compact => {
            let options = || CompactOptions { files_min: 2, ..CompactOptions::default() };
            world.table("shop.orders").compact(options()).await.unwrap();
            world.table("shop.customers").compact(options()).await.unwrap();
        }
        Step::Audit => {
            let results = audited(world).await;
            assert_eq!(failed(&results), expected(world).await);
            for (found, expected) in sums(world, &results).await {
                assert_eq!(found, expected.parse().ok());
            }
            for result in results.iter().filter(|result| result.check != "sums") {
                let shown = (result.rows_failed == 0) == result.examples.is_empty();
                assert!(shown, "{} of {} fail: {:?}", result.rows_failed, result.check, result.examples);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 64, ..ProptestConfig::default() })]

    /// Whatever is appended, merged, deleted and compacted between audits: each says what the whole table does.
    #[test]
    fn the_answer_is_that_of_the_whole_table(steps in prop::collection::vec(step(), 4..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new(datasets()).await;
            // Both tables are there from the beginning; how they are not is for the tests of every kind.
            take(&world, &Step::Land(vec![(Some(1), Some(1))])).await;
            take(&world, &Step::Customers(vec![Some(1)])).await;
            for step in steps.iter().chain([&Step::Audit, &Step::Audit]) {
                take(&world, step).await;
            }
        });
    }
}

/// The data files that are read.
#[derive(Debug, Default)]
struct Reads(Mutex<BTreeSet<String>>);

impl FaultInjector for Reads {
    fn fault(&self, op: StoreOp, path: &str) -> Option<Fault> {
        if op == StoreOp::Get && path.ends_with(".parquet") {
            self.0.lock().unwrap().insert(path.to_owned());
        }
        None
    }
}

async fn land(world: &World, keys: std::ops::Range<i64>) {
    let ids: StringArray = keys.clone().map(|key| Some(format!("k{key}"))).collect();
    let customers: Int64Array = keys.map(|key| key % 1_000).collect();
    let columns = [("id", Arc::new(ids) as ArrayRef), ("customer", Arc::new(customers) as ArrayRef)];
    world.land_batch("shop.orders", 0, RecordBatch::try_from_iter(columns).unwrap()).await;
}

/// The value of a counter.
fn counter(rendered: &str, name: &str) -> u64 {
    let line = rendered.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or(0)
}

#[tokio::test]
async fn an_audit_reads_what_is_new() {
    const STATE_BYTES: &str = "flowline_check_state_read_bytes_total";
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let bytes = || counter(&recorder.handle().render(), STATE_BYTES);
    let reads = Arc::new(Reads::default());
    let injector: Arc<dyn FaultInjector> = Arc::<Reads>::clone(&reads);
    let mut datasets = datasets();
    // Each of the others costs the same again.
    datasets[0].checks.retain(|check| ["unique", "refers", "sums"].contains(&check.name.as_str()));
    let world = World::with_faults(datasets, Some(injector)).await;
    world
        .land(
            "shop.customers",
            &(0..1_000).map(|id| format!("(cast({id} as bigint))")).collect::<Vec<_>>().join(", "),
        )
        .await;
    let (mut costs, mut known) = (Vec::new(), 0);
    for files in [1, 3] {
        for _ in 0..files {
            land(&world, known..known + 50_000).await;
            known += 50_000;
        }
        assert_eq!(failed(&audited(&world).await), [0, 0]);
        land(&world, known..known + 20).await;
        known += 20;
        reads.0.lock().unwrap().clear();
        let before = bytes();
        assert_eq!(failed(&audited(&world).await), [0, 0]);
        costs.push(bytes() - before);
        assert_eq!(reads.0.lock().unwrap().len(), 1, "only the file that came is read");
        reads.0.lock().unwrap().clear();
        let before = bytes();
        assert_eq!(failed(&audited(&world).await), [0, 0]);
        assert_eq!((bytes() - before, reads.0.lock().unwrap().len()), (0, 0), "nothing came");
    }
    // Four times the keys are 3.6 MB more of counts.
    assert!(costs.iter().all(|cost| *cost > 0), "{costs:?}");
    assert!(costs[1] < costs[0] + 300_000 && costs[1] < 700_000, "{costs:?}");
    // A key of long ago that comes again.
    land(&world, 17..18).await;
    let results = audited(&world).await;
    assert_eq!((failed(&results), results[0].examples.as_slice()), (vec![2, 0], &["k17".to_owned()][..]));
}

#[tokio::test]
async fn what_is_kept_is_mended_and_let_go_of() {
    let world = World::new(datasets()).await;
    world.land("shop.customers", "(cast(1 as bigint))").await;
    for round in 0..5 {
        world.land("shop.orders", &format!("('a{round}', 1), ('b', 2)")).await;
        audited(&world).await;
    }
    let table = world.table("shop.orders");
    let kept =
        |files: Vec<String>| files.into_iter().filter(|file| file.contains("/keys/")).collect::<Vec<_>>();
    let files = kept(table.list_beside("_checks").await.unwrap());
    let notes = files.iter().filter(|file| file.ends_with(".json")).count();
    // `duplicates` and `whole` count the same columns, each for itself.
    assert_eq!(notes, 5, "{files:?}");
    assert!(files.len() <= 5 + 6 * 2, "{files:?}");
    // Counts that are gone, or are cut off, are counted again.
    let broken: Vec<String> = files.iter().filter(|file| file.ends_with(".keys")).cloned().collect();
    table.delete_beside(&broken).await.unwrap();
    world.land("shop.orders", "('a0', 3)").await;
    assert_eq!(failed(&audited(&world).await), expected(&world).await);
    let folder = world.folder.path();
    for file in walk(folder).filter(|path| {
        path.extension().is_some_and(|end| end == "json") && path.to_string_lossy().contains("/keys/")
    }) {
        std::fs::write(file, "{}").unwrap();
    }
    world.land("shop.orders", "('a1', 3)").await;
    assert_eq!(failed(&audited(&world).await), expected(&world).await);
    // What a check kept goes when the check does.
    let [mut orders, customers] = datasets();
    orders.checks.truncate(1);
    let world = world.restarted(Some(vec![orders, customers])).await;
    world.land("shop.orders", "('a2', 3)").await;
    audited(&world).await;
    let files = kept(world.table("shop.orders").list_beside("_checks").await.unwrap());
    assert!(files.iter().all(|file| file.split('/').nth(2) == files[0].split('/').nth(2)), "{files:?}");
}

#[tokio::test]
async fn what_no_check_asks_for_is_swept() {
    let world = World::new(datasets()).await;
    world.land("shop.customers", "(cast(1 as bigint))").await;
    world.land("shop.orders", "('a', 1)").await;
    audited(&world).await;
    let folders = async |world: &World| -> BTreeSet<String> {
        let files = world.table("shop.orders").list_beside("_checks").await.unwrap();
        files.iter().map(|file| file.rsplit_once('/').unwrap().0.to_owned()).collect()
    };
    let all = folders(&world).await;
    assert_eq!(all.len(), 7, "a tally, a sum of the other table, and five of keys: {all:?}");
    assert_eq!(sweep_check_state(&world.lake, world.dataset("shop.orders")).await.unwrap(), 0);
    let [mut orders, customers] = datasets();
    orders.checks.retain(|check| check.name == "unique");
    let world = world.restarted(Some(vec![orders.clone(), customers.clone()])).await;
    assert!(sweep_check_state(&world.lake, world.dataset("shop.orders")).await.unwrap() >= 6);
    let left = folders(&world).await;
    assert!(left.len() == 1 && left.is_subset(&all), "{left:?}");
    orders.checks.clear();
    let world = world.restarted(Some(vec![orders, customers])).await;
    assert!(sweep_check_state(&world.lake, world.dataset("shop.orders")).await.unwrap() >= 1);
    assert_eq!(folders(&world).await, BTreeSet::new());
}

/// The files below a folder.
fn walk(folder: &std::path::Path) -> Box<dyn Iterator<Item = std::path::PathBuf>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    Box::new(
        entries.flat_map(|path| if path.is_dir() { walk(&path) } else { Box::new(std::iter::once(path)) }),
    )
}

#[tokio::test]
async fn a_table_that_is_made_again_is_counted_again() {
    let world = World::new(datasets()).await;
    world.land("shop.orders", "('a', 1), ('b', 2)").await;
    world.land("shop.customers", "(cast(1 as bigint)), (cast(2 as bigint))").await;
    assert_eq!(failed(&audited(&world).await), [0, 0, 0, 0, 0]);
    let folder = walk(world.folder.path())
        .find(|path| path.to_string_lossy().contains("customers/_delta_log"))
        .unwrap();
    std::fs::remove_dir_all(folder.parent().unwrap().parent().unwrap()).unwrap();
    let world = world.restarted(None).await;
    world.land("shop.customers", "(cast(1 as bigint))").await;
    assert_eq!(failed(&audited(&world).await), expected(&world).await);
}
