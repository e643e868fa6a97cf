//! Checks before a commit: they say what the whole table will, and read what is new.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datafusion::logical_expr::{col, lit};
use flowline_lake::CompactOptions;
use flowline_lake::faults::{Fault, FaultInjector, StoreOp};
use flowline_ledger::CheckFilter;
use flowline_model::{Check, CheckResult, CheckRule, CheckSeverity, Dataset, Materialization, Run};
use flowline_process::Auditor;
use flowline_process::audit::Scope;
use proptest::prelude::*;

use crate::support::world::World;
use crate::support::{Declare, check, landed, names, sql};

/// Blocks, but lets everything pass that has a share.
fn blocking(name: &str, rule: CheckRule) -> Check {
    Check { severity: CheckSeverity::Block, tolerance: 1.0, ..check(name, rule) }
}

fn refers(to: &str, column: &str) -> CheckRule {
    let (columns, to_columns) = (names(&["customer"]), names(&[column]));
    CheckRule::Referential { columns, to: to.parse().unwrap(), to_columns }
}

/// What the rows of the table are held against: each other, another table, and themselves.
fn checks() -> Vec<Check> {
    let amounts = CheckRule::Reconcile {
        column: Some("amount".to_owned()),
        with: "shop.out".parse().unwrap(),
        with_column: Some("amount".to_owned()),
    };
    let recent =
        CheckRule::Freshness { column: Some("ts".to_owned()), within: Duration::from_secs(86_400 * 36_500) };
    vec![
        blocking("unique", CheckRule::Unique { columns: names(&["customer", "amount"]) }),
        blocking("duplicates", CheckRule::Duplicates { columns: names(&["customer"]) }),
        blocking("refers", refers("shop.customers", "id")),
        blocking("within", refers("shop.out", "amount")),
        Check { tolerance: 0.0, ..blocking("sums", amounts) },
        blocking("recent", recent),
        blocking("rows", CheckRule::RowCount { min: Some(0), max: None }),
    ]
}

/// Each way in which a commit changes a table: rows come, partitions are replaced, keys are, keys go.
#[derive(Debug, Clone, Copy)]
enum Way {
    Append,
    Partition,
    Merge,
    Grouped,
}

impl Way {
    fn dataset(self) -> Dataset {
        let all = "select id, customer, amount, day, ts from shop.sales";
        let of = |mode, text| Dataset { checks: checks(), ..sql("shop.out", mode, text) };
        match self {
            Self::Append => of(Materialization::Append, all),
            Self::Partition => of(Materialization::Partition, all).with_partitions(&["day"]),
            Self::Merge => of(Materialization::Merge, all).with_key(&["id"]).with_event_time("ts"),
            Self::Grouped => of(
                Materialization::Merge,
                "select id, max(customer) as customer, sum(amount) as amount, max(ts) as ts from shop.sales group by id having sum(amount) > 2",
            )
            .with_key(&["id"]),
        }
    }
}

fn datasets(way: Way) -> [Dataset; 3] {
    let sales = landed("shop.sales", "id int32!, customer int32, amount int64, day date!, ts timestamp!");
    [sales, landed("shop.customers", "id int64"), way.dataset()]
}

/// What the checks of these names must say, by queries over the whole table: numbers of rows, of which the last is all.
async fn expected(world: &World) -> Vec<u64> {
    let shared = |list: &str, present: &str, failing: &str| {
        format!(
            "select coalesce(sum({failing}), 0) from (select count(*) as n from shop.out where {present} group by {list} having count(*) > 1) as grouped"
        )
    };
    let missing = |column: &str, to: &str| {
        format!(
            "select count(*) from shop.out where customer is not null and customer not in (select {column} from {to} where {column} is not null)"
        )
    };
    let queries = [
        shared("customer, amount", "customer is not null and amount is not null", "n"),
        shared("customer", "true", "n - 1"),
        missing("id", "shop.customers"),
        missing("amount", "shop.out"),
    ];
    let mut all = Vec::new();
    for query in queries {
        all.push(world.rows(&query).await.parse().unwrap());
    }
    all
}

async fn hold(world: &World, results: &[CheckResult]) {
    let of = |name: &str| results.iter().find(|result| result.check == name).unwrap();
    let failed: Vec<u64> =
        ["unique", "duplicates", "refers", "within"].map(|name| of(name).rows_failed).to_vec();
    assert_eq!(failed, expected(world).await, "{results:?}");
    for name in ["unique", "duplicates", "refers", "within"] {
        assert_eq!(of(name).rows_failed == 0, of(name).examples.is_empty(), "{:?}", of(name));
    }
    let rows = world.rows("select count(*) from shop.out").await.parse::<f64>().ok();
    assert_eq!(of("rows").metric, rows);
    let sum = world.rows("select coalesce(sum(amount), 0) from shop.out").await.parse::<f64>().ok();
    assert_eq!((of("sums").metric, of("sums").upper), (sum, sum));
    let newest = world.rows("select date_format(max(ts), '%Y-%m-%dT%H:%M:%SZ') from shop.out").await;
    assert!(of("recent").message.contains(&newest), "{}: {newest}", of("recent").message);
}

/// What the checks said before the commit of a run.
async fn of_run(world: &World, run: &Run) -> Vec<CheckResult> {
    let results = world.ledger.checks(&CheckFilter::default()).await.unwrap();
    results.into_iter().filter(|result| result.run == Some(run.id)).collect()
}

/// What happens to the tables.
#[derive(Debug, Clone)]
enum Step {
    Land(Vec<(u8, Option<u8>, u8)>),
    Change(BTreeSet<u8>, u8),
    Delete(u8),
    Customers(Vec<u8>),
    Compact,
    Audit,
    Run,
}

fn step() -> impl Strategy<Value = Step> {
    let row = || (0u8..10, prop::option::weighted(0.9, 0u8..8), 0u8..8);
    prop_oneof![
        4 => prop::collection::vec(row(), 1..5).prop_map(Step::Land),
        1 => (prop::collection::btree_set(0u8..10, 1..3), 0u8..8).prop_map(|(ids, to)| Step::Change(ids, to)),
        1 => (0u8..10).prop_map(Step::Delete),
        2 => prop::collection::vec(0u8..8, 1..3).prop_map(Step::Customers),
        1 => Just(Step::Compact),
        1 => Just(Step::Audit),
        5 => Just(Step::Run),
    ]
}

/// A row of sales, whose day and time follow from the rest.
fn row(id: u8, customer: Option<u8>, amount: u8) -> String {
    let customer = customer.map_or("null".to_owned(), |customer| customer.to_string());
    let (day, minute) = (id % 3 + 1, amount);
    format!(
        "({id}, cast({customer} as int), {amount}, date '2025-10-0{day}', timestamp '2025-10-0{day} 08:0{minute}:00')"
    )
}

fn rows(rows: &[(u8, Option<u8>, u8)]) -> String {
    rows.iter().map(|(id, customer, amount)| row(*id, *customer, *amount)).collect::<Vec<_>>().join(", ")
}

async fn take(world: &World, step: &Step) {
    match step {
        Step::Land(landed) => {
            world.land("shop.sales", &rows(landed)).await;
        }
        Step::Change(ids, customer) => {
            let changed: Vec<_> = ids.iter().map(|id| (*id, Some(*customer), *customer)).collect();
            // The rows of a key must be one for it to be replaced.
            world
                .delete(
                    "shop.sales",
                    col("id").in_list(ids.iter().map(|id| lit(i32::from(*id))).collect(), false),
                )
                .await;
            world.land("shop.sales", &rows(&changed)).await;
        }
        Step::Delete(id) => {
            world.delete("shop.sales", col("id").eq(lit(i32::from(*id)))).await;
        }
        Step::Customers(ids) => {
            let ids: Vec<String> = ids.iter().map(|id| format!("(cast({id} as bigint))")).collect();
            world.land("shop.customers", &ids.join(", ")).await;
        }
        Step::Compact => {
            let options = CompactOptions { files_min: 2, ..CompactOptions::default() };
            world.table("shop.out").compact(options).await.unwrap();
        }
        Step::Audit => {
            let auditor = Auditor::new(world.engine.clone(), Arc::clone(&world.ledger));
            hold(world, &auditor.run(&"shop.out".parse().unwrap(), Scope::BeyondRows).await.unwrap()).await;
        }
        Step::Run => {
            let run = world.run("shop.out").await;
            if run.commit.is_some() {
                hold(world, &of_run(world, &run).await).await;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 64, ..ProptestConfig::default() })]

    /// However a commit changes the table, what is said before it is what the whole table says after it.
    #[test]
    fn what_is_said_before_a_commit_holds_after_it(
        way in prop::sample::select(vec![Way::Append, Way::Partition, Way::Merge, Way::Grouped]),
        steps in prop::collection::vec(step(), 4..16),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new(datasets(way)).await;
            take(&world, &Step::Customers(vec![1])).await;
            // A row that stays, so that there is a newest one.
            take(&world, &Step::Land(vec![(100, Some(1), 7)])).await;
            for step in [Step::Run].iter().chain(&steps).chain([&Step::Run, &Step::Audit]) {
                take(&world, step).await;
            }
        });
    }
}

/// The data files of the table that are read.
#[derive(Debug, Default)]
struct Reads(Mutex<BTreeSet<String>>);

impl FaultInjector for Reads {
    fn fault(&self, op: StoreOp, path: &str) -> Option<Fault> {
        if op == StoreOp::Get && path.contains("shop/out/part-") {
            self.0.lock().unwrap().insert(path.to_owned());
        }
        None
    }
}

impl Reads {
    fn taken(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// However many commits the table has: a check that blocks reads the files of the one that is to come.
#[tokio::test]
async fn a_check_that_blocks_reads_what_is_new() {
    for (way, commits) in [(Way::Append, 100), (Way::Merge, 30)] {
        let [sales, customers, out] = datasets(way);
        let unchecked = Dataset { checks: Vec::new(), ..out.clone() };
        let mut world = World::new([sales.clone(), customers.clone(), unchecked]).await;
        world.land("shop.customers", "(cast(1 as bigint))").await;
        let reads = Arc::new(Reads::default());
        for number in 0..commits + 3 {
            if number == commits {
                let injector: Arc<dyn FaultInjector> = Arc::<Reads>::clone(&reads);
                let checked = vec![sales.clone(), customers.clone(), out.clone()];
                world = world.restarted_with(Some(checked), Some(injector)).await;
            }
            let time = format!("2025-10-01 08:{:02}:{:02}", number / 60, number % 60);
            let row = format!("({number}, 1, {number}, date '2025-10-01', timestamp '{time}')");
            world.land("shop.sales", &row).await;
            reads.taken();
            let run = world.run("shop.out").await;
            assert_eq!(run.commit.unwrap().version, i64::from(number) + 1);
            let (read, all) = (reads.taken(), number as usize + 1);
            // The first commit that is checked counts what is there.
            let expected = if number == commits { all } else { 1 };
            assert!(number < commits || read.len() == expected, "{way:?}, commit {number}: {read:?}");
        }
        let auditor = Auditor::new(world.engine.clone(), Arc::clone(&world.ledger));
        let results = auditor.run(&"shop.out".parse().unwrap(), Scope::BeyondRows).await.unwrap();
        assert!(reads.taken().is_empty(), "an audit after the commit finds what was counted before it");
        hold(&world, &results).await;
    }
}

/// What was counted of rows that did not come to be committed is not kept, and does not pile up.
#[tokio::test]
async fn what_was_counted_of_a_blocked_commit_is_let_go_of() {
    let mut strict = datasets(Way::Append);
    strict[2].checks =
        vec![Check { tolerance: 0.0, ..blocking("unique", CheckRule::Unique { columns: names(&["id"]) }) }];
    let world = World::new(strict).await;
    world.land("shop.sales", &rows(&[(1, None, 1)])).await;
    world.run("shop.out").await;
    let files = async || world.table("shop.out").list_beside("_checks").await.unwrap();
    world.land("shop.sales", &rows(&[(1, None, 2)])).await;
    world.try_run("shop.out").await.error.expect("it is blocked");
    let before = files().await;
    assert!(!before.is_empty());
    for _ in 0..3 {
        let error = world.try_run("shop.out").await.error.expect("it is blocked");
        assert!(error.message.contains("2 of 2 rows share `id`"), "{}", error.message);
    }
    assert_eq!(files().await, before);
}
