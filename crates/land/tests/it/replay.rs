//! Records that leave the quarantine.

use std::sync::Arc;
use std::time::Duration;

use flowline_land::{Discard, ReplaySelection, discard_quarantine, expire_quarantine, replay_quarantine};
use flowline_model::{Balance, ColumnType, Dataset, FindingKind, RunKind};
use tokio_util::sync::CancellationToken;

use crate::world::{World, orders};

/// Two records that fit once `amount` is text, one that never will, one whose key is there already.
async fn quarantined() -> World {
    let mut dataset = orders();
    dataset.key = vec!["id".into()];
    let world = World::new(dataset).await;
    world
        .post_lines(&[
            r#"{"id":"a","amount":"x"}"#,
            r#"{"id":"b","amount":"1"}"#,
            r#"{"id":"b","amount":"y"}"#,
            "broken",
            r#"{"id":"c","amount":"z"}"#,
        ])
        .await;
    world.post("text/csv", "id,amount\nd,\"a,b\"\n").await;
    world.land().await;
    world
}

fn as_text(dataset: &Dataset) -> Dataset {
    let mut dataset = dataset.clone();
    // The table has its type; the text is kept beside it.
    dataset.columns[1].field = Some("amount_was".into());
    dataset.columns.push(flowline_model::Column::new("note", ColumnType::String));
    dataset.columns[3].field = Some("amount".into());
    dataset
}

async fn replay(world: &World, selection: ReplaySelection) -> flowline_model::Run {
    replay_quarantine(&world.context, &world.dataset, &selection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fits_now_moves_to_the_table_and_the_rest_stays() {
    let mut world = quarantined().await;
    world.dataset = Arc::new(as_text(&world.dataset));
    let run = replay(&world, ReplaySelection::default()).await;
    let counts = run.counts;
    assert_eq!((counts.read, counts.written, counts.duplicate, counts.quarantined), (5, 3, 1, 1));
    assert_eq!((run.kind, counts.balance()), (RunKind::Replay, Balance::Balanced));
    assert_eq!(
        world.query("select id, note, _offset, _source from t order by id").await,
        ["a|x|0|http", "b|-|1|http", "c|z|4|http", "d|a,b|5|http"]
    );
    assert_eq!(world.query("select _record, _offset from q").await, ["broken|3"]);
    let totals = world.context.ledger.totals().await.unwrap().remove(0);
    assert_eq!(
        (totals.counted_once().quarantined, totals.gap(), totals.counts.balance()),
        (1, 0, Balance::Balanced)
    );
    // Again: nothing but the one that stays.
    let counts = replay(&world, ReplaySelection::default()).await.counts;
    assert_eq!((counts.read, counts.written, counts.quarantined), (1, 0, 1));
    let totals = world.context.ledger.totals().await.unwrap().remove(0);
    assert_eq!((totals.counted_once().quarantined, totals.gap()), (1, 0));
    assert_eq!(world.query("select count(*) from q").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_selected_is_replayed() {
    let mut world = quarantined().await;
    world.dataset = Arc::new(as_text(&world.dataset));
    let unparsable = ReplaySelection { reason: Some("unparsable".into()), ..Default::default() };
    assert_eq!(replay(&world, unparsable).await.counts.read, 1);
    let of_amount = ReplaySelection {
        reason: Some("wrong-type".into()),
        column: Some("amount".into()),
        ..Default::default()
    };
    assert_eq!(replay(&world, of_amount).await.counts.read, 4);
    let wrong = ReplaySelection { reason: Some("wrongtype".into()), ..Default::default() };
    let error = replay_quarantine(&world.context, &world.dataset, &wrong).await.unwrap_err().to_string();
    assert!(error.starts_with("`wrongtype` is no reason of the quarantine: use one of `missing`"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dataset_without_quarantine_has_nothing_to_replay() {
    let world = World::new(orders()).await;
    assert_eq!(replay(&world, ReplaySelection::default()).await.counts.read, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_interrupted_is_finished_by_the_next_to_come() {
    for landing_comes_first in [true, false] {
        let mut world = quarantined().await;
        world.dataset = Arc::new(as_text(&world.dataset));
        world.restart(Some("lake.put/quarantine=error-before:1.0")).await;
        assert!(
            replay_quarantine(&world.context, &world.dataset, &ReplaySelection::default()).await.is_err()
        );
        assert_eq!(world.query("select count(*) from t").await, ["4"]);
        assert_eq!(world.query("select count(*) from q").await, ["5"]);
        world.restart(None).await;
        if landing_comes_first {
            assert!(world.land().await.is_empty());
        } else {
            assert_eq!(replay(&world, ReplaySelection::default()).await.counts.read, 1);
        }
        assert_eq!(world.query("select _record from q").await, ["broken"]);
        assert_eq!(world.query("select id from t order by id").await, ["a", "b", "c", "d"]);
        let totals = world.context.ledger.totals().await.unwrap().remove(0);
        assert_eq!((totals.counted_once().quarantined, totals.gap()), (1, 0));
    }
}

/// Until the next records come, which may be never, a lander waits for a minute at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lander_that_waits_for_records_lets_a_replay_in_at_once() {
    let mut dataset = orders();
    dataset.key = vec!["id".into()];
    dataset.landing.flush_after = Duration::from_millis(50);
    let world = World::new(dataset).await;
    let shutdown = CancellationToken::new();
    let landing = tokio::spawn(world.lander().await.run(shutdown.clone()));
    for (rows, record) in [(1, r#"{"id":"a","amount":"1,5"}"#), (2, r#"{"id":"b","amount":"2,5"}"#)] {
        world.post_lines(&[record]).await;
        for _ in 0..500 {
            world.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
            if world.totals().await.quarantined == rows {
                break;
            }
        }
        assert_eq!(world.totals().await.quarantined, rows);
    }
    let mended = ReplaySelection {
        set: [("amount".to_owned(), "replace(amount, ',', '.')".to_owned())].into(),
        ..ReplaySelection::default()
    };
    let replayed = tokio::time::timeout(Duration::from_secs(15), replay(&world, mended)).await;
    assert_eq!(replayed.expect("the table is free").counts.written, 2);
    shutdown.cancel();
    landing.await.unwrap().unwrap();
}

/// Records of several requests, of which some have a field that the others lack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_mended_by_a_field_that_others_lack() {
    let world = World::new(orders()).await;
    for record in [r#"{"id":"a","amount":"x","price":"7"}"#, r#"{"id":"b","amount":"y"}"#, "broken"] {
        world.post_lines(&[record]).await;
        world.land().await;
    }
    let set = |expression: &str| ReplaySelection {
        set: [("amount".to_owned(), expression.to_owned())].into(),
        ..ReplaySelection::default()
    };
    let refused =
        replay_quarantine(&world.context, &world.dataset, &set("prise")).await.unwrap_err().to_string();
    let told = "neither the contract nor a record has a field `prise`; did you mean `price`?";
    assert!(refused.contains(told), "{refused}");
    assert_eq!(world.query("select count(*) from q").await, ["3"]);
    let counts = replay(&world, set("coalesce(price, amount)")).await.counts;
    assert_eq!((counts.read, counts.written, counts.quarantined), (3, 1, 2));
    assert_eq!(world.query("select id, amount from t").await, ["a|7.00"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_misspelt_is_refused_and_nothing_is_replayed() {
    let world = quarantined().await;
    let before = world.totals().await;
    let set = |field: &str| ReplaySelection {
        set: [(field.to_owned(), "'1'".to_owned())].into(),
        ..ReplaySelection::default()
    };
    let of = |column: &str| ReplaySelection { column: Some(column.to_owned()), ..ReplaySelection::default() };
    for (selection, told) in [
        (set("amuont"), "the contract has no field `amuont`; did you mean `amount`?"),
        (of("amuont"), "has no column `amuont`, and no record in its quarantine"),
    ] {
        let refused = flowline_land::replay_quarantine(&world.context, &world.dataset, &selection).await;
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(told), "{message}");
    }
    assert_eq!(world.totals().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lander_knows_the_keys_that_a_replay_wrote() {
    let mut world = quarantined().await;
    world.dataset = Arc::new(as_text(&world.dataset));
    let mut lander = world.lander().await;
    lander.land_available().await.unwrap();
    replay(&world, ReplaySelection::default()).await;
    world.post_lines(&[r#"{"id":"a"}"#, r#"{"id":"new"}"#]).await;
    let counts = lander.land_available().await.unwrap()[0].counts;
    assert_eq!((counts.written, counts.duplicate), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_text_and_arrow_rows_are_replayed_exactly() {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray};
    let mut world = World::new(orders()).await;
    let rows = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![7])) as ArrayRef),
        ("ts", Arc::new(TimestampNanosecondArray::from(vec![1_500_000_000_123_456_000])) as ArrayRef),
    ])
    .unwrap();
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), rows.schema_ref()).unwrap();
    writer.write(&rows).unwrap();
    world.post("application/vnd.apache.arrow.stream", writer.into_inner().unwrap()).await;
    world.post("application/x-ndjson", &b"{\"id\":\"\xff\"}"[..]).await;
    world.land().await;
    assert_eq!(
        world.query("select _format, _record, _record_base64 is not null from q order by _offset").await,
        [r#"arrow|{"id":7,"ts":"2017-07-14T02:40:00.123456"}|true"#, "json|{\"id\":\"\u{fffd}\"}|true"]
    );
    let mut dataset = orders();
    dataset.columns[0].field = Some("other".into());
    dataset.columns[0].required = false;
    dataset.columns.push(flowline_model::Column::new("number", ColumnType::Int64));
    dataset.columns[3].field = Some("id".into());
    world.dataset = Arc::new(dataset);
    let counts = replay(&world, ReplaySelection::default()).await.counts;
    assert_eq!((counts.written, counts.quarantined), (1, 1));
    assert_eq!(world.query("select number, ts from t").await, ["7|2017-07-14T02:40:00.123456Z"]);
    assert_eq!(world.query("select _record_base64 from q").await, ["eyJpZCI6Iv8ifQ=="]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_mended_on_their_way() {
    let world = quarantined().await;
    // All fields are text; what has no number in it stays what it was, and where it was.
    let set = [(
        "amount",
        "CASE WHEN amount = 'x' THEN '7' WHEN amount = 'a,b' THEN replace(amount, 'a,b', '8') ELSE amount END",
    )];
    let set = set.map(|(field, text)| (field.to_owned(), text.to_owned())).into_iter().collect();
    let run = replay(&world, ReplaySelection { set, ..ReplaySelection::default() }).await;
    assert_eq!((run.counts.written, run.counts.quarantined), (2, 3));
    assert!(run.trigger.starts_with("replay with amount = CASE"), "the audit says how: {}", run.trigger);
    assert_eq!(world.query("select id, amount from t order by id").await, ["a|7.00", "b|1.00", "d|8.00"]);
    assert_eq!(
        world.query("select _record from q order by _offset").await,
        [r#"{"id":"b","amount":"y"}"#, "broken", r#"{"id":"c","amount":"z"}"#],
        "what stays is as it was received"
    );
    let set = [("amount".to_owned(), "nothing + 1".to_owned())].into_iter().collect();
    let selection = ReplaySelection { set, ..ReplaySelection::default() };
    let refused = replay_quarantine(&world.context, &world.dataset, &selection).await.unwrap_err();
    assert!(refused.to_string().contains("`amount = nothing + 1` cannot be used"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_discarded_is_gone_and_still_counts_as_quarantined() {
    let world = quarantined().await;
    let selection = ReplaySelection { reason: Some("unparsable".into()), ..ReplaySelection::default() };
    let discard = Discard { selection, because: "a test of the producer".into(), before: None };
    let run = discard_quarantine(&world.context, &world.dataset, &discard).await.unwrap();
    assert_eq!((run.kind, run.inputs[0].to), (RunKind::Discard, 1));
    assert_eq!(run.trigger, "discard: a test of the producer");
    assert_eq!(
        world.query("select count(*), sum(case when _record = 'broken' then 1 else 0 end) from q").await,
        ["4|0"]
    );
    let totals = world.context.ledger.totals().await.unwrap().remove(0);
    assert_eq!((totals.counts.quarantined, totals.gap(), totals.counts.balance()), (5, 0, Balance::Balanced));
    let again = discard_quarantine(&world.context, &world.dataset, &discard).await.unwrap();
    assert_eq!(again.inputs[0].to, 0, "there is none any more");
    for reason in FindingKind::REASONS {
        let selection = ReplaySelection {
            reason: Some(reason.as_str().into()),
            column: Some("none".into()),
            ..Default::default()
        };
        let of_reason = Discard { selection, ..discard.clone() };
        let run = discard_quarantine(&world.context, &world.dataset, &of_reason).await.unwrap();
        assert_eq!(run.inputs[0].to, 0, "{reason:?}");
    }
    let why = Discard { because: " ".into(), ..discard };
    assert!(discard_quarantine(&world.context, &world.dataset, &why).await.is_err(), "without a reason");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quarantine_expires_when_its_dataset_says_so() {
    let world = quarantined().await;
    assert!(expire_quarantine(&world.context, &world.dataset).await.unwrap().is_none(), "it says nothing");
    let mut dataset = (*world.dataset).clone();
    dataset.landing.quarantine_retain_for = Some(Duration::from_secs(3600));
    assert!(expire_quarantine(&world.context, &dataset).await.unwrap().is_none(), "all are younger");
    dataset.landing.quarantine_retain_for = Some(Duration::from_secs(60));
    world.advance(Duration::from_secs(61));
    let run = expire_quarantine(&world.context, &dataset).await.unwrap().unwrap();
    assert_eq!((run.kind, run.inputs[0].to), (RunKind::Discard, 5));
    assert_eq!(world.query("select count(*) from q").await, ["0"]);
}
