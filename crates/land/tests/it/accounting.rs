//! Runs, counts, positions and findings.

use flowline_ledger::FindingFilter;
use flowline_model::{Balance, Outcome};

use crate::world::{World, orders};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_is_in_one_of_the_counts() {
    let mut dataset = orders();
    dataset.key = vec!["id".into()];
    let world = World::new(dataset).await;
    world.post_lines(&[r#"{"id":"a"}"#, r#"{"id":"a"}"#, r#"{}"#, "x", r#"{"id":"b"}"#]).await;
    let runs = world.land().await;
    let [run] = runs.as_slice() else { panic!("{runs:?}") };
    assert_eq!(run.outcome, Outcome::Succeeded);
    let counts = run.counts;
    assert_eq!((counts.read, counts.written, counts.quarantined, counts.duplicate), (5, 2, 2, 1));
    assert_eq!(counts.balance(), Balance::Balanced);
    assert!(counts.bytes_read > 0 && counts.bytes_written > 0);
    assert_eq!((run.inputs[0].input.as_str(), run.inputs[0].from, run.inputs[0].to), ("log/0", 0, 5));
    let positions = world.context.ledger.positions(Some(&world.dataset.name)).await.unwrap();
    assert_eq!((positions[0].input.as_str(), positions[0].first, positions[0].next), ("log/0", 0, 5));
    assert_eq!(world.totals().await, counts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn findings_are_grouped_and_name_no_values() {
    let world = World::new(orders()).await;
    world
        .post_lines(&[
            "x",
            r#"{"id":"secret","amount":"geheim"}"#,
            r#"{"id":1}"#,
            "y",
            r#"{"id":"k","new":1}"#,
        ])
        .await;
    let run = world.land().await.remove(0).id;
    let found = world.context.ledger.findings(&FindingFilter::default()).await.unwrap();
    let mut lines: Vec<String> = found
        .iter()
        .map(|recorded| {
            let f = &recorded.finding;
            assert!(!f.message.contains("geheim") && f.run == Some(run), "{f:?}");
            let position = |p: &Option<String>| p.clone().unwrap_or_default();
            format!(
                "{} {} {} {}..{} {}",
                f.kind.as_str(),
                f.subject,
                f.count,
                position(&f.first_position),
                position(&f.last_position),
                f.severity.as_str()
            )
        })
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "unknown-field new 1 log/0@4..log/0@4 info",
            "unparsable record 2 log/0@0..log/0@3 warning",
            "wrong-type amount 1 log/0@1..log/0@1 warning",
            "wrong-type id 1 log/0@2..log/0@2 warning",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_is_released_from_the_log() {
    let world = World::new(orders()).await;
    world.post_lines(&[r#"{"id":"a"}"#, r#"{"id":"b"}"#]).await;
    world.land().await;
    assert_eq!(world.context.log.status()[0].released, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_all_rejected_move_the_position_too() {
    let world = World::new(orders()).await;
    world.post_lines(&["x"]).await;
    assert_eq!(world.land().await[0].counts.quarantined, 1);
    assert!(world.land().await.is_empty());
    assert_eq!(world.query("select count(*) from t").await, ["0"]);
}
