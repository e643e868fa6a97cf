//! Rows behind the watermark, and partitions without rows.

use std::time::Duration;

use flowline_model::{Balance, Dataset, LatePolicy, Run};

use crate::support::world::World;
use crate::support::{landed, on_change, stream};

const SQL: &str = "select window_end, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by window_start, window_end";

fn datasets(late: LatePolicy) -> Vec<Dataset> {
    vec![
        landed("shop.sales", "id string!, ts timestamp"),
        stream("shop.out", Duration::from_secs(10), late, SQL),
    ]
}

/// Rows at these seconds after ten.
fn at(seconds: &[u32]) -> String {
    let row = |second: &u32| format!("('r{second}', '2025-01-01T10:{:02}:{:02}Z')", second / 60, second % 60);
    seconds.iter().map(row).collect::<Vec<_>>().join(", ")
}

async fn sell(world: &World, seconds: &[u32]) -> Run {
    world.land("shop.sales", &at(seconds)).await;
    world.run("shop.out").await
}

async fn written(world: &World) -> String {
    world.rows("select window_end, n from shop.out").await.replace("2025-01-01T10:", "").replace('\n', ", ")
}

#[tokio::test]
async fn a_window_is_written_when_the_watermark_has_passed_it() {
    let world = World::new(datasets(LatePolicy::Drop)).await;
    let run = sell(&world, &[5, 30, 65]).await;
    assert_eq!((run.counts.read, run.counts.written), (3, 0));
    assert_eq!(written(&world).await, "");
    sell(&world, &[69]).await;
    assert_eq!(written(&world).await, "", "a row 10 s behind may still come");
    sell(&world, &[70]).await;
    assert_eq!(written(&world).await, "01:00Z 2");
    let run = world.run("shop.out").await;
    assert!(run.commit.is_none(), "nothing new, nothing written");
}

#[tokio::test]
async fn late_rows_are_dropped_and_counted() {
    let world = World::new(datasets(LatePolicy::Drop)).await;
    sell(&world, &[5, 70]).await;
    let run = sell(&world, &[6, 59, 61, 75]).await;
    assert_eq!((run.counts.read, run.counts.late, run.counts.balance()), (4, 2, Balance::Reshaped));
    sell(&world, &[200]).await;
    assert_eq!(written(&world).await, "01:00Z 1, 02:00Z 3");
}

#[tokio::test]
async fn late_rows_reopen_their_windows() {
    let world = World::new(datasets(LatePolicy::Reopen)).await;
    sell(&world, &[5, 70]).await;
    assert_eq!(written(&world).await, "01:00Z 1");
    let run = sell(&world, &[6, 59]).await;
    assert_eq!(run.counts.late, 0);
    assert_eq!(written(&world).await, "01:00Z 3");
    assert_eq!(world.how("shop.out").await, "stream: nothing closed, 1 windows reopened, 2 rows late");
}

#[tokio::test]
async fn late_rows_go_to_quarantine() {
    let mut world = World::new(datasets(LatePolicy::Quarantine)).await;
    sell(&world, &[5, 70]).await;
    let run = sell(&world, &[6, 61]).await;
    assert_eq!((run.counts.read, run.counts.quarantined, run.counts.late), (2, 1, 0));
    world = world.restarted(None).await;
    let run = sell(&world, &[7, 200]).await;
    assert_eq!(run.counts.quarantined, 1);
    assert_eq!(written(&world).await, "01:00Z 1, 02:00Z 2");
    assert_eq!(
        world.quarantined("shop.out", "_reason, _column, _record, _offset").await,
        "late ts {\"id\":\"r6\",\"ts\":\"2025-01-01T10:00:06Z\"} 3\nlate ts {\"id\":\"r7\",\"ts\":\"2025-01-01T10:00:07Z\"} 5"
    );
    let late = findings(&world).await.into_iter().find(|found| found.starts_with("shop.out late")).unwrap();
    assert_eq!(late, "shop.out late ts 2 None None", "both runs together");
}

#[tokio::test]
async fn late_rows_change_nothing_where_changes_are_written_and_late_rows_dropped() {
    let [sales, out] = datasets(LatePolicy::Drop).try_into().unwrap();
    let world = World::new([sales, on_change(out)]).await;
    sell(&world, &[5, 70]).await;
    assert_eq!(written(&world).await, "01:00Z 1, 02:00Z 1");
    sell(&world, &[6, 71]).await;
    assert_eq!(written(&world).await, "01:00Z 1, 02:00Z 2");
}

#[tokio::test]
async fn a_partition_holds_the_watermark_until_it_is_idle() {
    let [sales, mut out] = datasets(LatePolicy::Reopen).try_into().unwrap();
    out.event_time.as_mut().unwrap().idle_after = Some(Duration::from_secs(60));
    let world = World::new([sales, out]).await;
    world.land_in("shop.sales", 0, &at(&[5, 300])).await;
    world.land_in("shop.sales", 1, &at(&[7])).await;
    world.run("shop.out").await;
    assert_eq!(written(&world).await, "");
    let facts = &world.transformer.facts().await.unwrap()[0];
    let wake_at = facts.wake_at.expect("partition 1 will be idle");
    world.clock.advance(Duration::from_secs(30));
    world.land_in("shop.sales", 0, &at(&[310])).await;
    world.run("shop.out").await;
    assert_eq!(written(&world).await, "");
    world.clock.advance((wake_at - world.now()).to_std().unwrap_or_default());
    world.run("shop.out").await;
    assert_eq!(written(&world).await, "01:00Z 2");
    assert_eq!(world.transformer.facts().await.unwrap()[0].wake_at, None);
}

#[tokio::test]
async fn a_clock_that_is_wrong_closes_nothing() {
    let world = World::new(datasets(LatePolicy::Drop)).await;
    world.land("shop.sales", "('a', '2025-01-01T10:00:05Z'), ('wrong', '2099-01-01T00:00:00Z')").await;
    world.run("shop.out").await;
    assert_eq!(written(&world).await, "");
    sell(&world, &[70]).await;
    assert_eq!(written(&world).await, "01:00Z 1");
}

async fn findings(world: &World) -> Vec<String> {
    let found = world.ledger.findings(&Default::default()).await.unwrap();
    let line = |recorded: &flowline_ledger::RecordedFinding| {
        let finding = &recorded.finding;
        let (first, last) = (&finding.first_position, &finding.last_position);
        format!(
            "{} {} {} {} {first:?} {last:?}",
            finding.dataset,
            finding.kind.as_str(),
            finding.subject,
            finding.count
        )
    };
    let mut lines: Vec<String> = found.iter().map(line).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn disorder_and_wrong_clocks_are_findings_that_are_told_once() {
    let mut world = World::new(datasets(LatePolicy::Drop)).await;
    sell(&world, &[5, 70]).await;
    assert!(findings(&world).await.is_empty());
    sell(&world, &[6, 59, 75]).await;
    let once = ["shop.out behind-watermark shop.sales/0 2 Some(\"log/0@3\") Some(\"log/0@4\")".to_owned()];
    assert_eq!(findings(&world).await, once);
    let found = world.ledger.findings(&Default::default()).await.unwrap();
    let message = &found[0].finding.message;
    assert!(
        message.contains(
            "2 rows of partition 0 of `shop.sales` came behind the watermark, the furthest by 54 s"
        ),
        "{message}"
    );
    sell(&world, &[50, 80]).await;
    world = world.restarted(None).await;
    sell(&world, &[51, 85]).await;
    assert_eq!(findings(&world).await, once, "as before");
    world.land_in("shop.sales", 3, "('wrong', '2099-01-01T00:00:00Z')").await;
    world.run("shop.out").await;
    let ahead = "shop.out ahead-of-clock shop.sales/3 1 Some(\"log/3@10\") Some(\"log/3@10\")".to_owned();
    assert_eq!(findings(&world).await, [ahead, once[0].clone()]);
    sell(&world, &[4, 300]).await;
    world.clock.advance(Duration::from_secs(3_700));
    sell(&world, &[200]).await;
    let behind = findings(&world).await.pop().unwrap();
    assert!(behind.starts_with("shop.out behind-watermark shop.sales/0 "), "{behind}");
    assert_ne!(behind, once[0], "it goes on");
}

#[tokio::test]
async fn positions_of_rows_that_are_late_are_called_after_the_topic_that_they_come_from() {
    let world = World::new(datasets(LatePolicy::Drop)).await;
    world.land_topic("shop.sales", "ab12", 1, &at(&[5, 70])).await;
    world.run("shop.out").await;
    world.land_topic("shop.sales", "ab12", 1, &at(&[6, 75])).await;
    world.run("shop.out").await;
    let of_first = "Some(\"kafka/ab12/1@3\") Some(\"kafka/ab12/1@3\")";
    assert_eq!(findings(&world).await, [format!("shop.out behind-watermark shop.sales/1 1 {of_first}")]);
    // The topic was made again.
    world.land_topic("shop.sales", "cd34", 1, &at(&[1, 80])).await;
    world.clock.advance(Duration::from_secs(3_700));
    world.run("shop.out").await;
    let of_second = "Some(\"kafka/ab12/1@3\") Some(\"kafka/cd34/1@5\")";
    assert_eq!(findings(&world).await, [format!("shop.out behind-watermark shop.sales/1 2 {of_second}")]);
}
