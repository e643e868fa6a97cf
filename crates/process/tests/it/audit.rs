//! Checks over tables: one scan, exact when it is taken up again, blocking and setting aside before a commit.

use std::sync::Arc;
use std::time::Duration;

use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use flowline_ledger::{CheckFilter, FindingFilter, ProfileFilter};
use flowline_model::{
    Anomaly, AnomalyMetric, Check, CheckResult, CheckRule, CheckSeverity, Completeness, Dataset,
    DistributionMethod, Materialization, Season, Verdict,
};
use flowline_process::Auditor;
use flowline_process::audit::{Scan, Scope};
use flowline_process::engine::SessionOptions;

use crate::support::world::World;
use crate::support::{Declare, check, landed, on_change, sql, stream};

fn text(text: &str) -> String {
    text.to_owned()
}

fn range(column: &str, min: &str) -> CheckRule {
    CheckRule::Range { column: text(column), min: Some(text(min)), max: None }
}

fn sales(checks: Vec<Check>) -> Dataset {
    Dataset {
        checks,
        ..landed("shop.sales", "id string!, customer string, amount int64, day date, ts timestamp")
            .with_partitions(&["day(ts)"])
    }
}

const ROWS: &str = "('a', 'x', 1, '2025-10-09', '2025-10-09T08:00:00Z'), ('b', 'y', -2, '2025-10-09', '2025-10-09T09:00:00Z'), ('b', null, 3, '2025-10-08', '2025-10-08T09:00:00Z')";

async fn audited(world: &World, dataset: &str) -> Vec<CheckResult> {
    let auditor = Auditor::new(world.engine.clone(), Arc::clone(&world.ledger));
    auditor.run(&dataset.parse().unwrap(), Scope::All).await.unwrap()
}

fn told(results: &[CheckResult]) -> Vec<String> {
    results.iter().map(|result| format!("{} {}: {}", result.check, result.verdict, result.message)).collect()
}

fn every_kind() -> Vec<Check> {
    let column = |name: &str| vec![text(name)];
    vec![
        check("required", CheckRule::Required { column: text("customer") }),
        check("range", range("amount", "0")),
        check("length", CheckRule::Length { column: text("id"), min: Some(1), max: Some(1) }),
        check("pattern", CheckRule::Pattern { column: text("id"), pattern: text("^[a-z]$") }),
        check("accepted", CheckRule::AcceptedValues { column: text("customer"), values: vec![text("x")] }),
        check("type", CheckRule::Type { column: text("id"), data_type: "int64".parse().unwrap() }),
        check(
            "condition",
            CheckRule::Condition { expression: text("amount < 100 and day = cast(ts as date)") },
        ),
        check("unique", CheckRule::Unique { columns: column("id") }),
        check("duplicates", CheckRule::Duplicates { columns: column("day") }),
        check("row_count", CheckRule::RowCount { min: Some(1), max: Some(2) }),
        check("fresh", CheckRule::Freshness { column: None, within: Duration::from_secs(60) }),
        check("recent", CheckRule::Freshness { column: Some(text("ts")), within: Duration::from_secs(60) }),
        check(
            "complete",
            CheckRule::Completeness(Completeness::Partitions {
                column: text("ts_day"),
                after: Duration::ZERO,
                periods: 31,
            }),
        ),
        check("expected", CheckRule::Completeness(Completeness::Count { query: text("select 4") })),
        check(
            "refers",
            CheckRule::Referential {
                columns: column("customer"),
                to: "shop.customers".parse().unwrap(),
                to_columns: column("id"),
            },
        ),
        check(
            "shift",
            CheckRule::Distribution {
                column: text("amount"),
                method: DistributionMethod::Psi,
                limit: 0.1,
                window: 7,
            },
        ),
        check(
            "volume",
            CheckRule::Anomaly(Anomaly {
                metric: AnomalyMetric::Rows,
                column: None,
                by: None,
                every: Duration::from_secs(3600),
                season: Season::None,
                sensitivity: 4.0,
                history_min: 5,
                floor: 0.0,
            }),
        ),
        check("sql", CheckRule::Sql { query: text("select * from shop.sales where amount < 0;") }),
        check("broken", CheckRule::Sql { query: text("select nope from shop.sales") }),
        check(
            "reconcile",
            CheckRule::Reconcile { column: None, with: "shop.customers".parse().unwrap(), with_column: None },
        ),
        check(
            "sums",
            CheckRule::Reconcile {
                column: Some(text("amount")),
                with: "shop.customers".parse().unwrap(),
                with_column: Some(text("spent")),
            },
        ),
    ]
}

#[tokio::test]
async fn every_kind_says_what_it_should() {
    let world = World::new([sales(every_kind()), landed("shop.customers", "id string!, spent int64")]).await;
    world.land("shop.sales", ROWS).await;
    world.land("shop.customers", "('x', 2)").await;
    let results = audited(&world, "shop.sales").await;
    expect_test::expect![[r#"
        required failed: 1 of 3 rows fail
        range failed: 1 of 3 rows fail
        length passed: none of 3 rows fail
        pattern passed: none of 3 rows fail
        accepted failed: 1 of 3 rows fail
        type failed: 3 of 3 rows fail
        condition passed: none of 3 rows fail
        unique failed: 2 of 3 rows share `id` with others
        duplicates failed: 1 of 3 rows repeat others
        row_count failed: there are 3 rows, 1 to 2 are expected
        fresh passed: the newest row is of 2025-10-09T08:53:21Z and 1 s old, 60 s are allowed
        recent passed: the newest row is of 2025-10-09T09:00:00Z and -398 s old, 60 s are allowed
        complete passed: all of 2 partitions are there
        expected failed: there are 3 rows of 4 that are expected
        refers failed: 1 of 3 rows refer to what is not in `shop.customers`
        shift not_evaluated: no version has a profile yet
        volume not_evaluated: no period is over yet
        sql failed: the query returns a row, and should return none
        broken not_evaluated: there is no column `nope` here
        reconcile failed: the number of rows is 3 here and 1 there
        sums passed: the sum of `amount` is 2 here and 2 there"#]]
    .assert_eq(&told(&results).join("\n"));
    let recorded =
        world.ledger.checks(&CheckFilter { latest: true, ..CheckFilter::default() }).await.unwrap();
    assert_eq!(recorded.len(), results.len());
    let open = world.ledger.findings(&FindingFilter::default()).await.unwrap();
    let wrong = results.iter().filter(|result| result.verdict != Verdict::Passed).count();
    assert_eq!(open.len(), wrong, "what is not passed is a finding");
}

/// The columns of a view are those of its query: their types may be none that a table has.
#[tokio::test]
async fn the_rows_of_a_view_are_looked_at_whatever_their_types() {
    let query = "select arrow_cast(ts, 'Timestamp(Nanosecond, Some(\"UTC\"))') as ts, \
                 arrow_cast(amount + 5, 'UInt64') as amount, arrow_cast(id, 'LargeUtf8') as id from shop.sales";
    let mut view = sql("shop.seen", Materialization::View, query);
    let before = |time: &str| CheckRule::Range { column: text("ts"), min: None, max: Some(text(time)) };
    view.checks = vec![
        check("late", before("2025-10-09T08:30:00Z")),
        check("soon", before("2025-10-10T00:00:00Z")),
        check("amount", range("amount", "6")),
        check("length", CheckRule::Length { column: text("id"), min: Some(2), max: None }),
        check("same", CheckRule::Condition { expression: text("amount < 100") }),
    ];
    let world = World::new([sales(Vec::new()), view]).await;
    world.land("shop.sales", ROWS).await;
    expect_test::expect![[r#"
        late failed: 1 of 3 rows fail
        soon passed: none of 3 rows fail
        amount failed: 1 of 3 rows fail
        length failed: 3 of 3 rows fail
        same passed: none of 3 rows fail"#]]
    .assert_eq(&told(&audited(&world, "shop.seen").await).join("\n"));
}

#[tokio::test]
async fn an_empty_table_and_one_of_nulls() {
    let customers = landed("shop.customers", "id string!, spent int64");
    let world = World::new([sales(every_kind()), customers]).await;
    let empty = audited(&world, "shop.sales").await;
    expect_test::expect![[r#"
        required passed: there are no rows
        range passed: there are no rows
        length passed: there are no rows
        pattern passed: there are no rows
        accepted passed: there are no rows
        type passed: there are no rows
        condition passed: there are no rows
        unique passed: there are no rows
        duplicates passed: there are no rows
        row_count failed: there are 0 rows, 1 to 2 are expected
        fresh not_evaluated: reading the history of `shop.sales` failed: the table does not exist in `raw/shop/sales`
        recent failed: there is no row that says when it happened
        complete failed: there is no partition
        expected failed: there are 0 rows of 4 that are expected
        refers passed: there are no rows
        shift not_evaluated: no version has a profile yet
        volume not_evaluated: no period is over yet
        sql passed: the query returns no row
        broken not_evaluated: there is no column `nope` here
        reconcile passed: the number of rows is 0 here and 0 there
        sums passed: the sum of `amount` is 0 here and 0 there"#]].assert_eq(&told(&empty).join("\n"));
    world
        .land(
            "shop.sales",
            "('a', cast(null as varchar), cast(null as bigint), cast(null as date), cast(null as timestamp))",
        )
        .await;
    let nulls = audited(&world, "shop.sales").await;
    expect_test::expect![[r#"
        required failed: 1 of 1 rows fail
        range passed: none of 1 rows fail
        length passed: none of 1 rows fail
        pattern passed: none of 1 rows fail
        accepted passed: none of 1 rows fail
        type failed: 1 of 1 rows fail
        condition passed: none of 1 rows fail
        unique passed: none of 1 rows share `id` with others
        duplicates passed: none of 1 rows repeat others
        row_count passed: there are 1 rows, 1 to 2 are expected
        fresh passed: the newest row is of 2025-10-09T08:53:21Z and 0 s old, 60 s are allowed
        recent failed: there is no row that says when it happened
        complete failed: there is no partition
        expected failed: there are 1 rows of 4 that are expected
        refers passed: none of 1 rows refer to what is not in `shop.customers`
        shift not_evaluated: no version has a profile yet
        volume not_evaluated: no period is over yet
        sql passed: the query returns no row
        broken not_evaluated: there is no column `nope` here
        reconcile failed: the number of rows is 1 here and 0 there
        sums passed: the sum of `amount` is 0 here and 0 there"#]]
    .assert_eq(&told(&nulls).join("\n"));
}

#[tokio::test]
async fn all_that_rows_decide_is_one_scan_of_the_columns_that_are_needed() {
    let world = World::new([sales(every_kind()), landed("shop.customers", "id string!, spent int64")]).await;
    world.land("shop.sales", ROWS).await;
    let dataset = world.dataset("shop.sales");
    let (scan, problems) = Scan::compile(dataset, &dataset.columns);
    assert!(problems.is_empty(), "{problems:?}");
    let state = world.engine.session(&SessionOptions::default()).await.unwrap().state();
    let table = world.table("shop.sales").provider(Default::default()).await.unwrap();
    let plan = scan.plan(&state, table).await.unwrap();
    fn leaves(plan: &Arc<dyn ExecutionPlan>) -> usize {
        if plan.children().is_empty() { 1 } else { plan.children().into_iter().map(leaves).sum() }
    }
    let shown = displayable(plan.as_ref()).indent(false).to_string();
    assert_eq!(leaves(&plan), 1, "{shown}");
    assert!(shown.contains("DataSourceExec"), "{shown}");
    assert_eq!(scan.columns(), ["id", "customer", "amount", "day", "ts"]);
    assert_eq!(plan.schema().fields().len(), 5);
    // Thirteen checks, one scan.
    let tally = scan.run(&state, world.table("shop.sales").provider(Default::default()).await.unwrap());
    assert_eq!(tally.await.unwrap().rows.rows, 3);
}

#[tokio::test]
async fn what_was_counted_before_is_not_read_again_and_the_answer_is_that_of_a_whole_scan() {
    let checks = vec![
        check("range", range("amount", "0")),
        check("recent", CheckRule::Freshness { column: Some(text("ts")), within: Duration::from_secs(60) }),
        check("required", CheckRule::Required { column: text("customer") }),
    ];
    let world = World::new([sales(checks)]).await;
    for round in 0..6 {
        world.land("shop.sales", ROWS).await;
        if round == 3 {
            // Rows that go are no rows that come: the table is counted anew.
            let gone = datafusion::logical_expr::col("id").eq(datafusion::logical_expr::lit("a"));
            let commit = flowline_lake::TableCommit::append(flowline_lake::StagedFiles::none());
            world.table("shop.sales").delete_where(gone, commit).await.unwrap();
        }
        let kept = audited(&world, "shop.sales").await;
        let table = world.table("shop.sales");
        let counted = table.list_beside("_checks").await.unwrap();
        assert_eq!(counted.len(), 1, "{counted:?}");
        table.delete_beside(&counted).await.unwrap();
        let whole = audited(&world, "shop.sales").await;
        assert_eq!(told(&kept), told(&whole));
        assert!(kept.iter().zip(&whole).all(|(kept, whole)| kept.rows_failed == whole.rows_failed));
    }
}

/// What comes when is known from the log of the table: not a file of rows is left when these are evaluated.
#[tokio::test]
async fn volume_sizes_and_pauses_are_told_from_the_log_alone_and_by_dimension() {
    let of = |metric, by: Option<&str>, floor| {
        CheckRule::Anomaly(Anomaly {
            metric,
            column: None,
            by: by.map(str::to_owned),
            every: Duration::from_secs(3_600),
            season: Season::None,
            sensitivity: 4.0,
            history_min: 5,
            floor,
        })
    };
    let visits = landed("shop.visits", "id int64, country string").with_partitions(&["country"]);
    let checks = vec![
        check("rows", of(AnomalyMetric::Rows, Some("country"), 3.0)),
        check("all rows", of(AnomalyMetric::Rows, None, 3.0)),
        check("sizes", of(AnomalyMetric::FileBytes, None, 1e6)),
        check("pauses", of(AnomalyMetric::CommitInterval, None, 600.0)),
    ];
    let world = World::new([Dataset { checks, ..visits }]).await;
    let hour = Duration::from_secs(3_599);
    // The last hour, `de` all but stops; `at` comes three times as often, which is two rows more.
    for (de, at) in std::iter::repeat_n((20, 1), 7).chain([(2, 3)]) {
        let rows = |country: &str, count: i64| {
            (0..count).map(|id| format!("({id}, '{country}')")).collect::<Vec<_>>().join(", ")
        };
        world.land("shop.visits", &format!("{}, {}", rows("de", de), rows("at", at))).await;
        world.clock.advance(hour);
    }
    let data = world.folder.path().join("lake");
    let mut folders = vec![data];
    let mut removed = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() && !entry.ends_with("_delta_log") {
                folders.push(entry);
            } else if entry.extension().is_some_and(|kind| kind == "parquet") {
                std::fs::remove_file(entry).unwrap();
                removed += 1;
            }
        }
    }
    assert_eq!(removed, 16);
    let said = async || {
        let mut said: Vec<String> = audited(&world, "shop.visits")
            .await
            .iter()
            .map(|result| {
                let message = result.message.split(';').next().unwrap_or_default();
                // How large a file is follows from how it is written.
                let message = if result.check == "sizes" { "" } else { message };
                format!("{} {} {}: {message}", result.check, result.dimension, result.verdict)
            })
            .collect();
        said.sort();
        said.join("\n")
    };
    expect_test::expect![[r#"
        all rows  failed: `rows` is 5
        pauses  passed: `commit_interval` is 3599
        rows country=at passed: `rows` is 3
        rows country=de failed: `rows` is 2
        sizes  passed: "#]]
    .assert_eq(&said().await);
    // And when nothing comes any more.
    world.clock.advance(Duration::from_secs(2 * 3_600));
    expect_test::expect![[r#"
        all rows  failed: `rows` is 0
        pauses  failed: `commit_interval` is 10799
        rows country=at passed: `rows` is 0
        rows country=de failed: `rows` is 0
        sizes  passed: "#]]
    .assert_eq(&said().await);
}

fn severe(name: &str, rule: CheckRule, severity: CheckSeverity) -> Check {
    Check { severity, ..check(name, rule) }
}

#[tokio::test]
async fn a_check_that_blocks_leaves_the_last_good_version() {
    let unique = CheckRule::Unique { columns: vec![text("id")] };
    let positive = CheckRule::Range { column: text("amount"), min: Some(text("0")), max: None };
    for (materialization, rule) in [
        (Materialization::Full, unique.clone()),
        (Materialization::Append, unique.clone()),
        (Materialization::Merge, CheckRule::RowCount { min: None, max: Some(1) }),
        (Materialization::Full, positive.clone()),
        (Materialization::Append, positive),
        (
            Materialization::Full,
            CheckRule::Sql { query: text("select id from shop.out group by id having count(*) > 1") },
        ),
        (Materialization::Full, CheckRule::Sql { query: text("select nope from shop.out") }),
    ] {
        let broken = matches!(&rule, CheckRule::Sql { query } if query.contains("nope"));
        let mut out =
            sql("shop.out", materialization, "select id, amount, ts from shop.sales").with_key(&["id"]);
        out.checks = vec![severe("guard", rule, CheckSeverity::Block)];
        let world = World::new([sales(Vec::new()), out]).await;
        world.land("shop.sales", "('a', 'x', 1, '2025-10-09', '2025-10-09T08:00:00Z')").await;
        let first = world.try_run("shop.out").await;
        assert_eq!(first.error.is_some(), broken, "{materialization:?} {first:?}");
        let before = world.table("shop.out").refresh().await.unwrap();
        let rows = if materialization == Materialization::Merge { "('b'" } else { "('a'" };
        world.land("shop.sales", &format!("{rows}, 'x', -1, '2025-10-09', '2025-10-09T08:00:00Z')")).await;
        let run = world.try_run("shop.out").await;
        let error = run.error.expect("it is blocked");
        assert!(error.message.contains("check `guard` of `shop.out` blocks the commit"), "{}", error.message);
        assert_eq!(world.table("shop.out").refresh().await.unwrap(), before, "{materialization:?}");
        let findings = world.ledger.findings(&FindingFilter::default()).await.unwrap();
        let guard = findings.iter().find(|found| found.finding.subject == "guard").unwrap();
        assert!(guard.closed_at.is_none());
    }
}

#[tokio::test]
async fn rows_that_fail_are_set_aside_and_the_ledger_balances() {
    for materialization in [Materialization::Full, Materialization::Append] {
        let mut out = sql("shop.out", materialization, "select id, amount, ts from shop.sales");
        let rule = CheckRule::Range { column: text("amount"), min: Some(text("0")), max: None };
        out.checks = vec![severe("positive", rule, CheckSeverity::QuarantineRows)];
        let world = World::new([sales(Vec::new()), out]).await;
        world.land("shop.sales", ROWS).await;
        let run = world.run("shop.out").await;
        let counts = run.counts;
        assert_eq!((counts.read, counts.written, counts.quarantined), (3, 2, 1), "{materialization:?}");
        assert_eq!(counts.balance(), flowline_model::Balance::Balanced);
        let quarantine = world.lake.table(flowline_lake::TableId::quarantine("shop.out".parse().unwrap()));
        let context = datafusion::prelude::SessionContext::new();
        let rows = context.read_table(quarantine.provider(Default::default()).await.unwrap()).unwrap();
        let rows = rows.select_columns(&["_reason", "_column", "_message", "_record"]).unwrap();
        let shown = pretty_format_batches(&rows.collect().await.unwrap()).unwrap().to_string();
        assert!(
            shown.contains("failed-rule") && shown.contains("`amount` is less than 0 (check `positive`)"),
            "{shown}"
        );
        assert!(shown.contains(r#""id":"b","amount":-2"#), "{shown}");
        let results = world.ledger.checks(&CheckFilter::default()).await.unwrap();
        assert_eq!(results.len(), 1);
        let result = &results[0];
        assert_eq!((result.verdict, result.rows_checked, result.rows_failed), (Verdict::Failed, 3, 1));
        assert_eq!(
            (result.version, result.examples.as_slice()),
            (run.commit.map(|commit| commit.version), &["-2".to_owned()][..])
        );
        let profiles = world.ledger.profiles(&ProfileFilter::default()).await.unwrap();
        assert_eq!(profiles.iter().map(|recorded| recorded.profile.rows).sum::<u64>(), 2);
    }
}

/// The sales that meet a condition, and of these set aside what is below zero.
fn positive(materialization: Materialization, condition: &str) -> Vec<Dataset> {
    let text = format!("select id, amount, ts from shop.sales where {condition}");
    let mut out = sql("shop.out", materialization, &text);
    out.checks = vec![severe("positive", range("amount", "0"), CheckSeverity::QuarantineRows)];
    vec![sales(Vec::new()), out]
}

#[tokio::test]
async fn a_run_that_computes_everything_sets_aside_anew() {
    for materialization in [Materialization::Full, Materialization::Append] {
        let amounts = async |world: &World| {
            let records = world.quarantined("shop.out", "_record").await;
            records
                .lines()
                .map(|record| record.split([':', ',']).nth(3).unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let world = World::new(positive(materialization, "amount < 10")).await;
        world.land("shop.sales", ROWS).await;
        world.run("shop.out").await;
        assert_eq!(amounts(&world).await, ["-2"]);
        world.land("shop.sales", "('c', 'x', -5, '2025-10-10', '2025-10-10T08:00:00Z')").await;
        world.run("shop.out").await;
        assert_eq!(amounts(&world).await, ["-2", "-5"], "{materialization:?}");
        // Another query: everything is computed again, however it is materialized.
        let world = world.restarted(Some(positive(materialization, "amount <> -2"))).await;
        world.run("shop.out").await;
        assert_eq!(amounts(&world).await, ["-5"], "{materialization:?}");
        let world = world.restarted(Some(positive(materialization, "amount > 0"))).await;
        let run = world.run("shop.out").await;
        assert_eq!((run.counts.written, run.counts.quarantined), (2, 0), "{materialization:?}");
        assert_eq!(amounts(&world).await, [""; 0], "nothing fails any more");
    }
}

/// What lies in the quarantine of `shop.out`, and what is in the table.
async fn told_of(world: &World, column: &str) -> String {
    let records = world.quarantined("shop.out", "_record").await;
    let rows = world.rows(&format!("select {column} from shop.out")).await;
    format!("{} | {}", records.replace('"', "").replace('\n', " "), rows.replace('\n', " "))
}

#[tokio::test]
async fn keys_that_are_computed_anew_are_set_aside_anew() {
    let text = "select customer, sum(amount) as total from shop.sales group by customer";
    let mut out = sql("shop.out", Materialization::Merge, text).with_key(&["customer"]);
    out.checks = vec![severe("positive", range("total", "0"), CheckSeverity::QuarantineRows)];
    let world = World::new([landed("shop.sales", "customer string, amount int64!"), out]).await;
    let mut told = Vec::new();
    for rows in [
        "('x', -5), (null, -1), ('y', 1)",
        "('x', -2)",
        "('z', -3)",
        "('x', 20), (null, -4)",
        "('y', -8)",
        "('z', 1), ('y', 7)",
    ] {
        world.land("shop.sales", rows).await;
        world.run("shop.out").await;
        told.push(told_of(&world, "customer, total").await);
    }
    expect_test::expect![[r#"
        {customer:x,total:-5} {total:-1} | y 1
        {customer:x,total:-7} {total:-1} | y 1
        {customer:x,total:-7} {customer:z,total:-3} {total:-1} | y 1
        {customer:z,total:-3} {total:-5} | x 13 y 1
        {customer:y,total:-7} {customer:z,total:-3} {total:-5} | x 13
        {customer:z,total:-2} {total:-5} | x 13 y 0"#]]
    .assert_eq(&told.join("\n"));
    let commits = world.lake.table(flowline_lake::TableId::quarantine("shop.out".parse().unwrap()));
    let version = commits.refresh().await.unwrap();
    world.land("shop.sales", "('w', 1)").await;
    world.run("shop.out").await;
    assert_eq!(commits.refresh().await.unwrap(), version, "nothing was to be replaced");
}

#[tokio::test]
async fn partitions_and_windows_that_are_computed_anew_are_set_aside_anew() {
    let by_day =
        "select id, sum(amount) as total, date_trunc('day', ts) as ts from shop.sales group by id, 3";
    let by_day = sql("shop.out", Materialization::Partition, by_day).with_partitions(&["day(ts)"]);
    let windows = "select id, window_end as ts, sum(amount) as total from tumble(table shop.sales, descriptor(ts), interval '1' day) group by id, window_start, window_end";
    let late = flowline_model::LatePolicy::Reopen;
    let reopened = stream("shop.out", Duration::ZERO, late, windows);
    let changed = on_change(stream("shop.out", Duration::ZERO, late, windows));
    for mut out in [by_day, reopened, changed] {
        out.checks = vec![severe("positive", range("total", "0"), CheckSeverity::QuarantineRows)];
        let world = World::new([landed("shop.sales", "id string!, amount int64!, ts timestamp"), out]).await;
        for (rows, failing) in [
            (
                "('a', -1, '2025-10-01T08:00:00Z'), ('b', 1, '2025-10-01T09:00:00Z'), ('a', -2, '2025-10-02T09:00:00Z'), ('c', 1, '2025-10-05T09:00:00Z')",
                ["-1", "-2"].as_slice(),
            ),
            ("('a', -4, '2025-10-01T10:00:00Z')", &["-2", "-5"]),
            ("('d', 1, '2025-10-02T10:00:00Z')", &["-2", "-5"]),
            ("('a', 9, '2025-10-01T10:00:00Z')", &["-2"]),
            ("('a', 9, '2025-10-02T10:00:00Z')", &[]),
        ] {
            world.land("shop.sales", rows).await;
            world.run("shop.out").await;
            let records = world.quarantined("shop.out", "_record").await;
            let totals = records.lines().map(|record| record.split("\"total\":").nth(1).unwrap());
            let mut totals: Vec<&str> = totals.map(|total| total.split([',', '}']).next().unwrap()).collect();
            totals.sort_unstable();
            assert_eq!(totals, failing, "{}", world.how("shop.out").await);
        }
        let all = world.rows("select sum(total) as n from shop.out").await;
        assert!(all == "13" || all == "14", "{all}: what failed for a while is there");
    }
}
