//! Each kind of check of a table over rows that hold, that do not, none, nulls alone, and the largest and smallest values
//! there are.

use std::sync::Arc;
use std::time::Duration;

use flowline_model::{Check, CheckRule, Completeness, Dataset};
use flowline_process::Auditor;
use flowline_process::audit::Scope;

use crate::support::world::World;
use crate::support::{Declare, check, landed, names};

const COLUMNS: &str =
    "id string, n int64, d decimal(38,0), x decimal(38,37), f float64, day date, ts timestamp";
const LEAST: &str = "-9223372036854775808";
const MOST: &str = "9223372036854775807";
const NINES: &str = "99999999999999999999999999999999999999";

fn unique(name: &str) -> Check {
    check(&format!("unique {name}"), CheckRule::Unique { columns: names(&[name]) })
}

fn refers(name: &str) -> Check {
    let (to, to_columns) = ("shop.others".parse().unwrap(), names(&[name]));
    check(&format!("refers {name}"), CheckRule::Referential { columns: names(&[name]), to, to_columns })
}

fn sums(name: &str, with: &str) -> Check {
    let (column, with_column) = (Some(name.to_owned()), None);
    check(
        &format!("sums {name} with {with}"),
        CheckRule::Reconcile { column, with: with.parse().unwrap(), with_column },
    )
}

/// Every kind that is about more than one row and needs no history.
fn every_check() -> Vec<Check> {
    let mut checks: Vec<Check> = ["id", "n", "d", "f", "day", "ts"].into_iter().map(unique).collect();
    checks.push(check("duplicates", CheckRule::Duplicates { columns: Vec::new() }));
    checks.extend(["id", "n", "d", "ts"].into_iter().map(refers));
    for name in ["n", "d", "x", "f"] {
        checks.extend([sums(name, "shop.others"), sums(name, "shop.same")]);
    }
    let with = "shop.others".parse().unwrap();
    checks.push(check("counts", CheckRule::Reconcile { column: None, with, with_column: None }));
    checks.push(check("rows", CheckRule::RowCount { min: Some(2), max: Some(3) }));
    let within = Duration::from_secs(3600);
    checks.push(check("fresh", CheckRule::Freshness { column: Some("ts".to_owned()), within }));
    let query = "select 2".to_owned();
    checks.push(check("complete", CheckRule::Completeness(Completeness::Count { query })));
    let partitions =
        Completeness::Partitions { column: "ts_day".to_owned(), after: Duration::ZERO, periods: 5 };
    checks.push(check("partitions", CheckRule::Completeness(partitions)));
    let query = "select * from shop.rows where n < 0 or f > 1e300".to_owned();
    checks.push(check("sql", CheckRule::Sql { query }));
    checks
}

/// A row of these values; `null` is one of the column's type.
fn row(values: [&str; 7]) -> String {
    let types = ["varchar", "bigint", "decimal(38,0)", "decimal(38,37)", "double", "varchar", "varchar"];
    let value = |(value, kind): (&str, &str)| match value {
        "null" => format!("cast(null as {kind})"),
        value => format!("cast('{value}' as {kind})"),
    };
    format!("({})", values.into_iter().zip(types).map(value).collect::<Vec<_>>().join(", "))
}

async fn said(rows: &[[&str; 7]], others: &[[&str; 7]]) -> String {
    let table = |name: &str| landed(name, COLUMNS).with_partitions(&["day(ts)"]);
    let rows_of = Dataset { checks: every_check(), ..table("shop.rows") };
    let view =
        crate::support::sql("shop.same", flowline_model::Materialization::View, "select * from shop.others");
    let world = World::new([rows_of, table("shop.others"), view]).await;
    for (name, rows) in [("shop.rows", rows), ("shop.others", others)] {
        if !rows.is_empty() {
            let rows: Vec<String> = rows.iter().map(|values| row(*values)).collect();
            world.land(name, &rows.join(", ")).await;
        }
    }
    let auditor = Auditor::new(world.engine.clone(), Arc::clone(&world.ledger));
    let audit = async || auditor.run(&"shop.rows".parse().unwrap(), Scope::All).await.unwrap();
    let (first, again) = (audit().await, audit().await);
    let told = |results: &[flowline_model::CheckResult]| {
        let line = |result: &flowline_model::CheckResult| {
            let message: String = result.message.chars().take(160).collect();
            format!("{} {}: {message}", result.check, result.verdict)
        };
        results.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(told(&first), told(&again), "what is kept says the same");
    for result in &first {
        assert!(result.message.len() < 400, "{}", result.message);
    }
    told(&first).join("\n")
}

const USUAL: [&str; 7] = ["a", "1", "2", "0.5", "1.5", "2025-10-09", "2025-10-09T08:50:00Z"];
const OTHER: [&str; 7] = ["b", "2", "3", "0.25", "2.5", "2025-10-08", "2025-10-08T08:50:00Z"];
const NULLS: [&str; 7] = ["null"; 7];

#[tokio::test]
async fn rows_that_hold() {
    expect_test::expect![[r#"
        unique id passed: none of 2 rows share `id` with others
        unique n passed: none of 2 rows share `n` with others
        unique d passed: none of 2 rows share `d` with others
        unique f passed: none of 2 rows share `f` with others
        unique day passed: none of 2 rows share `day` with others
        unique ts passed: none of 2 rows share `ts` with others
        duplicates passed: none of 2 rows repeat others
        refers id passed: none of 2 rows refer to what is not in `shop.others`
        refers n passed: none of 2 rows refer to what is not in `shop.others`
        refers d passed: none of 2 rows refer to what is not in `shop.others`
        refers ts passed: none of 2 rows refer to what is not in `shop.others`
        sums n with shop.others passed: the sum of `n` is 3 here and 3 there
        sums n with shop.same passed: the sum of `n` is 3 here and 3 there
        sums d with shop.others passed: the sum of `d` is 5 here and 5 there
        sums d with shop.same passed: the sum of `d` is 5 here and 5 there
        sums x with shop.others passed: the sum of `x` is 0.75 here and 0.75 there
        sums x with shop.same passed: the sum of `x` is 0.75 here and 0.75 there
        sums f with shop.others passed: the sum of `f` is 4 here and 4 there
        sums f with shop.same passed: the sum of `f` is 4 here and 4 there
        counts passed: the number of rows is 2 here and 2 there
        rows passed: there are 2 rows, 2 to 3 are expected
        fresh passed: the newest row is of 2025-10-09T08:50:00Z and 202 s old, 3600 s are allowed
        complete passed: there are 2 rows of 2 that are expected
        partitions passed: all of 2 partitions are there
        sql passed: the query returns no row"#]]
    .assert_eq(&said(&[USUAL, OTHER], &[OTHER, USUAL]).await);
}

#[tokio::test]
async fn rows_that_do_not() {
    let mut bad = USUAL;
    (bad[1], bad[6]) = ("-7", "2025-10-05T08:50:00Z");
    expect_test::expect![[r#"
        unique id failed: 4 of 4 rows share `id` with others
        unique n failed: 4 of 4 rows share `n` with others
        unique d failed: 4 of 4 rows share `d` with others
        unique f failed: 4 of 4 rows share `f` with others
        unique day failed: 4 of 4 rows share `day` with others
        unique ts failed: 4 of 4 rows share `ts` with others
        duplicates failed: 2 of 4 rows repeat others
        refers id failed: 4 of 4 rows refer to what is not in `shop.others`
        refers n failed: 4 of 4 rows refer to what is not in `shop.others`
        refers d failed: 4 of 4 rows refer to what is not in `shop.others`
        refers ts failed: 4 of 4 rows refer to what is not in `shop.others`
        sums n with shop.others failed: the sum of `n` is -12 here and 2 there
        sums n with shop.same failed: the sum of `n` is -12 here and 2 there
        sums d with shop.others failed: the sum of `d` is 8 here and 3 there
        sums d with shop.same failed: the sum of `d` is 8 here and 3 there
        sums x with shop.others failed: the sum of `x` is 2 here and 0.25 there
        sums x with shop.same failed: the sum of `x` is 2 here and 0.25 there
        sums f with shop.others failed: the sum of `f` is 6 here and 2.5 there
        sums f with shop.same failed: the sum of `f` is 6 here and 2.5 there
        counts failed: the number of rows is 4 here and 1 there
        rows failed: there are 4 rows, 2 to 3 are expected
        fresh passed: the newest row is of 2025-10-09T08:50:00Z and 202 s old, 3600 s are allowed
        complete passed: there are 4 rows of 2 that are expected
        partitions failed: 3 of 5 partitions are missing, the first of them 2025-10-06
        sql failed: the query returns 2 rows, and should return none"#]]
    .assert_eq(&said(&[USUAL, USUAL, bad, bad], &[OTHER]).await);
}

#[tokio::test]
async fn no_rows() {
    expect_test::expect![[r#"
        unique id passed: there are no rows
        unique n passed: there are no rows
        unique d passed: there are no rows
        unique f passed: there are no rows
        unique day passed: there are no rows
        unique ts passed: there are no rows
        duplicates passed: there are no rows
        refers id passed: there are no rows
        refers n passed: there are no rows
        refers d passed: there are no rows
        refers ts passed: there are no rows
        sums n with shop.others passed: the sum of `n` is 0 here and 0 there
        sums n with shop.same passed: the sum of `n` is 0 here and 0 there
        sums d with shop.others passed: the sum of `d` is 0 here and 0 there
        sums d with shop.same passed: the sum of `d` is 0 here and 0 there
        sums x with shop.others passed: the sum of `x` is 0 here and 0 there
        sums x with shop.same passed: the sum of `x` is 0 here and 0 there
        sums f with shop.others passed: the sum of `f` is 0 here and 0 there
        sums f with shop.same passed: the sum of `f` is 0 here and 0 there
        counts passed: the number of rows is 0 here and 0 there
        rows failed: there are 0 rows, 2 to 3 are expected
        fresh failed: there is no row that says when it happened
        complete failed: there are 0 rows of 2 that are expected
        partitions failed: there is no partition
        sql passed: the query returns no row"#]]
    .assert_eq(&said(&[], &[]).await);
    expect_test::expect![[r#"
        unique id passed: there are no rows
        unique n passed: there are no rows
        unique d passed: there are no rows
        unique f passed: there are no rows
        unique day passed: there are no rows
        unique ts passed: there are no rows
        duplicates passed: there are no rows
        refers id passed: there are no rows
        refers n passed: there are no rows
        refers d passed: there are no rows
        refers ts passed: there are no rows
        sums n with shop.others failed: the sum of `n` is 0 here and 1 there
        sums n with shop.same failed: the sum of `n` is 0 here and 1 there
        sums d with shop.others failed: the sum of `d` is 0 here and 2 there
        sums d with shop.same failed: the sum of `d` is 0 here and 2 there
        sums x with shop.others failed: the sum of `x` is 0 here and 0.5 there
        sums x with shop.same failed: the sum of `x` is 0 here and 0.5 there
        sums f with shop.others failed: the sum of `f` is 0 here and 1.5 there
        sums f with shop.same failed: the sum of `f` is 0 here and 1.5 there
        counts failed: the number of rows is 0 here and 1 there
        rows failed: there are 0 rows, 2 to 3 are expected
        fresh failed: there is no row that says when it happened
        complete failed: there are 0 rows of 2 that are expected
        partitions failed: there is no partition
        sql passed: the query returns no row"#]]
    .assert_eq(&said(&[], &[USUAL]).await);
}

#[tokio::test]
async fn nulls_alone() {
    expect_test::expect![[r#"
        unique id passed: none of 2 rows share `id` with others
        unique n passed: none of 2 rows share `n` with others
        unique d passed: none of 2 rows share `d` with others
        unique f passed: none of 2 rows share `f` with others
        unique day passed: none of 2 rows share `day` with others
        unique ts passed: none of 2 rows share `ts` with others
        duplicates failed: 1 of 2 rows repeat others
        refers id passed: none of 2 rows refer to what is not in `shop.others`
        refers n passed: none of 2 rows refer to what is not in `shop.others`
        refers d passed: none of 2 rows refer to what is not in `shop.others`
        refers ts passed: none of 2 rows refer to what is not in `shop.others`
        sums n with shop.others passed: the sum of `n` is 0 here and 0 there
        sums n with shop.same passed: the sum of `n` is 0 here and 0 there
        sums d with shop.others passed: the sum of `d` is 0 here and 0 there
        sums d with shop.same passed: the sum of `d` is 0 here and 0 there
        sums x with shop.others passed: the sum of `x` is 0 here and 0 there
        sums x with shop.same passed: the sum of `x` is 0 here and 0 there
        sums f with shop.others passed: the sum of `f` is 0 here and 0 there
        sums f with shop.same passed: the sum of `f` is 0 here and 0 there
        counts failed: the number of rows is 2 here and 1 there
        rows passed: there are 2 rows, 2 to 3 are expected
        fresh failed: there is no row that says when it happened
        complete passed: there are 2 rows of 2 that are expected
        partitions failed: there is no partition
        sql passed: the query returns no row"#]]
    .assert_eq(&said(&[NULLS, NULLS], &[NULLS]).await);
}

#[tokio::test]
async fn the_largest_and_the_smallest_values() {
    let long = "x".repeat(100_000);
    let longer = format!("{long}y");
    let x = "9.9999999999999999999999999999999999999";
    let most =
        [long.as_str(), MOST, NINES, x, "1.7976931348623157e308", "9999-12-31", "9999-12-31T23:59:59Z"];
    let less = [
        longer.as_str(),
        "9223372036854775806",
        &NINES[1..],
        "9.9",
        "-1.7976931348623157e308",
        "0001-01-01",
        "0001-01-01T00:00:00Z",
    ];
    let least = ["", LEAST, "-1", "-9.9", "-inf", "1969-12-31", "1969-12-31T23:59:59Z"];
    let infinite = ["z", "0", "0", "0", "inf", "1970-01-01", "1970-01-01T00:00:00Z"];
    let none = ["w", "5", "5", "5", "nan", "1970-01-02", "1970-01-02T00:00:00Z"];
    // They are told apart, and sums that differ by one in the last digit are no equal ones.
    let all = [most, less, least, infinite, none];
    expect_test::expect![[r#"
        unique id passed: none of 5 rows share `id` with others
        unique n passed: none of 5 rows share `n` with others
        unique d passed: none of 5 rows share `d` with others
        unique f passed: none of 5 rows share `f` with others
        unique day passed: none of 5 rows share `day` with others
        unique ts passed: none of 5 rows share `ts` with others
        duplicates passed: none of 5 rows repeat others
        refers id failed: 2 of 5 rows refer to what is not in `shop.others`
        refers n failed: 2 of 5 rows refer to what is not in `shop.others`
        refers d failed: 2 of 5 rows refer to what is not in `shop.others`
        refers ts failed: 2 of 5 rows refer to what is not in `shop.others`
        sums n with shop.others failed: the sum of `n` is 9223372036854775810 here and 9223372036854775805 there
        sums n with shop.same failed: the sum of `n` is 9223372036854775810 here and 9223372036854775805 there
        sums d with shop.others failed: the sum of `d` is 110000000000000000000000000000000000002 here and 109999999999999999999999999999999999997 there
        sums d with shop.same failed: the sum of `d` is 110000000000000000000000000000000000002 here and 109999999999999999999999999999999999997 there
        sums x with shop.others failed: the sum of `x` is 14.9999999999999999999999999999999999999 here and 9.9999999999999999999999999999999999999 there
        sums x with shop.same failed: the sum of `x` is 14.9999999999999999999999999999999999999 here and 9.9999999999999999999999999999999999999 there
        sums f with shop.others not_evaluated: the sum of `f` is NaN here and -inf there
        sums f with shop.same not_evaluated: the sum of `f` is NaN here and -inf there
        counts failed: the number of rows is 5 here and 3 there
        rows failed: there are 5 rows, 2 to 3 are expected
        fresh passed: the newest row is of 9999-12-31T23:59:59Z and -251642300797 s old, 3600 s are allowed
        complete passed: there are 5 rows of 2 that are expected
        partitions failed: 5 of 5 partitions are missing, the first of them 2025-10-05
        sql failed: the query returns 4 rows, and should return none"#]].assert_eq(&said(&all, &[most, less, least]).await);
    let mut nearly = most;
    nearly[1] = "9223372036854775806";
    nearly[2] = "99999999999999999999999999999999999998";
    nearly[3] = "9.9999999999999999999999999999999999998";
    expect_test::expect![[r#"
        unique id passed: none of 1 rows share `id` with others
        unique n passed: none of 1 rows share `n` with others
        unique d passed: none of 1 rows share `d` with others
        unique f passed: none of 1 rows share `f` with others
        unique day passed: none of 1 rows share `day` with others
        unique ts passed: none of 1 rows share `ts` with others
        duplicates passed: none of 1 rows repeat others
        refers id passed: none of 1 rows refer to what is not in `shop.others`
        refers n failed: 1 of 1 rows refer to what is not in `shop.others`
        refers d failed: 1 of 1 rows refer to what is not in `shop.others`
        refers ts passed: none of 1 rows refer to what is not in `shop.others`
        sums n with shop.others failed: the sum of `n` is 9223372036854775807 here and 9223372036854775806 there
        sums n with shop.same failed: the sum of `n` is 9223372036854775807 here and 9223372036854775806 there
        sums d with shop.others failed: the sum of `d` is 99999999999999999999999999999999999999 here and 99999999999999999999999999999999999998 there
        sums d with shop.same failed: the sum of `d` is 99999999999999999999999999999999999999 here and 99999999999999999999999999999999999998 there
        sums x with shop.others failed: the sum of `x` is 9.9999999999999999999999999999999999999 here and 9.9999999999999999999999999999999999998 there
        sums x with shop.same failed: the sum of `x` is 9.9999999999999999999999999999999999999 here and 9.9999999999999999999999999999999999998 there
        sums f with shop.others passed: the sum of `f` is 1.7977e308 here and 1.7977e308 there
        sums f with shop.same passed: the sum of `f` is 1.7977e308 here and 1.7977e308 there
        counts passed: the number of rows is 1 here and 1 there
        rows failed: there are 1 rows, 2 to 3 are expected
        fresh passed: the newest row is of 9999-12-31T23:59:59Z and -251642300797 s old, 3600 s are allowed
        complete failed: there are 1 rows of 2 that are expected
        partitions not_due: no partition was looked at: the oldest, 9999-12-31, is not due yet
        sql failed: the query returns a row, and should return none"#]].assert_eq(&said(&[most], &[nearly]).await);
    expect_test::expect![[r#"
        unique id failed: 2 of 2 rows share `id` with others
        unique n failed: 2 of 2 rows share `n` with others
        unique d failed: 2 of 2 rows share `d` with others
        unique f failed: 2 of 2 rows share `f` with others
        unique day failed: 2 of 2 rows share `day` with others
        unique ts failed: 2 of 2 rows share `ts` with others
        duplicates failed: 1 of 2 rows repeat others
        refers id passed: none of 2 rows refer to what is not in `shop.others`
        refers n passed: none of 2 rows refer to what is not in `shop.others`
        refers d passed: none of 2 rows refer to what is not in `shop.others`
        refers ts passed: none of 2 rows refer to what is not in `shop.others`
        sums n with shop.others passed: the sum of `n` is 18446744073709551614 here and 18446744073709551614 there
        sums n with shop.same passed: the sum of `n` is 18446744073709551614 here and 18446744073709551614 there
        sums d with shop.others passed: the sum of `d` is 2.0000e38 here and 2.0000e38 there
        sums d with shop.same passed: the sum of `d` is 2.0000e38 here and 2.0000e38 there
        sums x with shop.others passed: the sum of `x` is 20 here and 20 there
        sums x with shop.same passed: the sum of `x` is 20 here and 20 there
        sums f with shop.others not_evaluated: the sum of `f` is inf here and inf there
        sums f with shop.same not_evaluated: the sum of `f` is inf here and inf there
        counts passed: the number of rows is 2 here and 2 there
        rows passed: there are 2 rows, 2 to 3 are expected
        fresh passed: the newest row is of 9999-12-31T23:59:59Z and -251642300797 s old, 3600 s are allowed
        complete passed: there are 2 rows of 2 that are expected
        partitions not_due: no partition was looked at: the oldest, 9999-12-31, is not due yet
        sql failed: the query returns 2 rows, and should return none"#]].assert_eq(&said(&[most, most], &[most, most]).await);
}
