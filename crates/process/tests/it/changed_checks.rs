//! Checks of single rows that change while rows are there that were never held against them.

use std::sync::Arc;

use expect_test::expect;
use flowline_model::Materialization::Append;
use flowline_model::{CheckRule, CheckSeverity, Dataset};
use flowline_process::Auditor;

use crate::support::world::World;
use crate::support::{check, landed, sql};

/// `shop.out` with a check that amounts are at least this.
fn datasets(min: &str, severity: CheckSeverity) -> Option<Vec<Dataset>> {
    let mut out = sql("shop.out", Append, "select id, amount from shop.sales");
    let rule = CheckRule::Range { column: "amount".to_owned(), min: Some(min.to_owned()), max: None };
    let mut check = check("enough", rule);
    check.severity = severity;
    out.checks = vec![check];
    Some(vec![landed("shop.sales", "id string!, amount int64"), out])
}

/// What the audit of changed checks says.
async fn told(world: &World) -> String {
    let auditor = Auditor::new(world.engine.clone(), Arc::clone(&world.ledger));
    let Some(results) = auditor.run_changed(&"shop.out".parse().unwrap()).await.unwrap() else {
        return "no table".to_owned();
    };
    let result = |result: &flowline_model::CheckResult| {
        let (version, failed, rows) = (result.version.unwrap(), result.rows_failed, result.rows_checked);
        format!("{} at {version}: {failed} of {rows}", result.verdict.as_str())
    };
    results.iter().map(result).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_is_there_is_held_against_a_check_that_changed_once() {
    let world = World::new(datasets("0", CheckSeverity::Warn).unwrap()).await;
    expect!["no table"].assert_eq(&told(&world).await);
    world.land("shop.sales", "('a', 1), ('b', 5)").await;
    world.run("shop.out").await;
    expect!["passed at 1: 0 of 2"].assert_eq(&told(&world).await);
    expect![""].assert_eq(&told(&world).await);
    let world = world.restarted(datasets("3", CheckSeverity::Warn)).await;
    expect!["failed at 1: 1 of 2"].assert_eq(&told(&world).await);
    let open = |world: &World| {
        let ledger = Arc::clone(&world.ledger);
        async move { ledger.findings(&flowline_ledger::FindingFilter::default()).await.unwrap().len() }
    };
    assert_eq!(open(&world).await, 1, "it is a finding");
    let world = world.restarted(None).await;
    expect![""].assert_eq(&told(&world).await);
    let world = world.restarted(datasets("3", CheckSeverity::QuarantineRows)).await;
    expect!["failed at 1: 1 of 2"].assert_eq(&told(&world).await);
    world.land("shop.sales", "('c', 2), ('d', 7)").await;
    world.run("shop.out").await;
    expect![[r#"
        a 1
        b 5
        d 7"#]]
    .assert_eq(&world.rows("select * from shop.out").await);
    let world = world.restarted(datasets("0", CheckSeverity::Warn)).await;
    expect!["passed at 2: 0 of 3"].assert_eq(&told(&world).await);
}
