//! Records that are no longer as they were, on flights that nobody here made up.

use std::sync::Arc;

use flowline_lake::TableId;
use flowline_ledger::FindingFilter;
use flowline_model::{Column, Dataset, Fate, Finding, FindingKind, OnDrift};
use flowline_testkit::{http_dataset, real_data};
use serde_json::{Value, json};

use crate::world::World;

/// The flights as records, in the order of their dates; none, and the test says so, where the file is absent.
fn flights() -> Option<Vec<Value>> {
    let bytes = real_data().and_then(|folder| std::fs::read(folder.join("flights-20k.json")).ok());
    if bytes.is_none() {
        eprintln!("skipped: flights-20k.json is not there; set FLOWLINE_TEST_DATA to its folder");
    }
    let mut flights: Vec<Value> = serde_json::from_slice(&bytes?).unwrap();
    flights.sort_by(|one, other| one["date"].as_str().cmp(&other["date"].as_str()));
    Some(flights)
}

fn contract() -> Dataset {
    let columns = [
        ("date!", "timestamp"),
        ("delay", "int32"),
        ("distance", "int32"),
        ("origin!", "string"),
        ("destination", "string"),
    ];
    let mut dataset = http_dataset("air.flights", &columns);
    dataset.columns[0].format = Some("%Y/%m/%d %H:%M".to_owned());
    dataset
}

/// Posts records as requests of so many.
async fn post(world: &World, records: &[Value], size: usize) {
    for request in records.chunks(size) {
        let lines: Vec<String> = request.iter().map(Value::to_string).collect();
        world.post("application/x-ndjson", lines.join("\n")).await;
    }
}

async fn findings(world: &World) -> Vec<Finding> {
    let found = world.context.ledger.findings(&FindingFilter::default()).await.unwrap();
    found.into_iter().map(|found| found.finding).collect()
}

/// The replay of flights that change from record `at` on; what was found, with every record accounted for.
async fn replay(
    dataset: Dataset,
    flights: &[Value],
    at: usize,
    change: impl Fn(&mut Value, usize),
) -> (World, Vec<Finding>) {
    let mut records = flights.to_vec();
    records.iter_mut().enumerate().skip(at).for_each(|(index, record)| change(record, index));
    let world = World::new(dataset).await;
    post(&world, &records, 700).await;
    world.land().await;
    let totals = world.totals().await;
    assert_eq!(totals.read, flights.len() as u64);
    assert_eq!(totals.read, totals.written + totals.quarantined, "{totals:?}");
    let found = findings(&world).await;
    (world, found)
}

fn first(finding: &Finding) -> usize {
    let position = finding.first_position.as_deref().unwrap();
    position.strip_prefix("log/0@").unwrap().parse().unwrap()
}

fn rename(record: &mut Value, from: &str, to: &str) {
    let record = record.as_object_mut().unwrap();
    let value = record.remove(from).unwrap();
    record.insert(to.to_owned(), value);
}

type Change = fn(&mut Value, usize);

/// What is injected, where, and what must be found there: the kind, the subject, and how far off the position may be.
const INJECTED: [(&str, usize, Change, FindingKind, &str, usize); 12] = [
    ("a new field", 3_117, |record, _| record["gate"] = json!("B12"), FindingKind::UnknownField, "gate", 0),
    (
        "a field left out",
        7_403,
        |record, _| drop(record.as_object_mut().unwrap().remove("delay")),
        FindingKind::MissingField,
        "delay",
        0,
    ),
    (
        "numbers as text",
        5_250,
        |record, _| record["delay"] = json!(record["delay"].to_string()),
        FindingKind::CoercedType,
        "delay",
        0,
    ),
    (
        "text that is no number",
        9_999,
        |record, _| record["distance"] = json!("far"),
        FindingKind::WrongType,
        "distance",
        0,
    ),
    (
        "metres for miles",
        11_111,
        |record, _| record["distance"] = json!((record["distance"].as_f64().unwrap() * 1_609.344) as i64),
        FindingKind::ChangedUnit,
        "distance",
        3,
    ),
    (
        "kilometres for miles",
        8_001,
        |record, _| record["distance"] = json!((record["distance"].as_f64().unwrap() * 1.609_344) as i64),
        FindingKind::ChangedUnit,
        "distance",
        150,
    ),
    (
        "delays from another zero point",
        10_501,
        |record, _| record["delay"] = json!(record["delay"].as_i64().unwrap() + 90),
        FindingKind::ChangedUnit,
        "delay",
        20,
    ),
    (
        "small letters",
        12_345,
        |record, _| record["origin"] = json!(record["origin"].as_str().unwrap().to_lowercase()),
        FindingKind::ChangedValues,
        "origin",
        0,
    ),
    (
        "three in ten null",
        6_800,
        |record, index| {
            if index % 10 < 3 {
                record["delay"] = Value::Null
            }
        },
        FindingKind::NullShare,
        "delay",
        0,
    ),
    (
        "another name",
        4_321,
        |record, _| rename(record, "destination", "arrival"),
        FindingKind::UnknownField,
        "arrival",
        0,
    ),
    (
        "another name for what is required",
        13_579,
        |record, _| rename(record, "origin", "from_airport"),
        FindingKind::Missing,
        "origin",
        0,
    ),
    (
        "dates in another form",
        15_001,
        |record, _| record["date"] = json!(record["date"].as_str().unwrap().replace('/', ".")),
        FindingKind::WrongType,
        "date",
        0,
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_said_of_flights_as_they_are() {
    let Some(flights) = flights() else { return };
    let (_, found) = replay(contract(), &flights, 0, |_, _| {}).await;
    assert_eq!(found, []);
    // Nor of those of another lander, which knows them from the table.
    let world = World::new(contract()).await;
    for part in flights.chunks(4_000) {
        post(&world, part, 300).await;
        world.land().await;
    }
    assert_eq!(findings(&world).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_found_where_it_begins() {
    let Some(flights) = flights() else { return };
    for (what, at, change, kind, subject, off_by) in INJECTED {
        let (_, found) = replay(contract(), &flights, at, change).await;
        let finding = found.iter().find(|finding| finding.kind == kind && finding.subject == subject);
        let finding = finding.unwrap_or_else(|| panic!("{what}: not found among {found:#?}"));
        let off = first(finding).abs_diff(at);
        assert!(off <= off_by, "{what}: found at {} and not at {at}", first(finding));
        // Nothing else is found, but what follows from it.
        let follows = |other: &&Finding| {
            !matches!(
                other.kind,
                FindingKind::UnknownField | FindingKind::MissingField | FindingKind::Missing
            )
        };
        let others: Vec<_> = found.iter().filter(|other| *other != finding).filter(follows).collect();
        assert_eq!(others, Vec::<&Finding>::new(), "{what}");
        println!("{what}: {} ({:?})", finding.message, finding.drift);
    }
}

/// Flights of which 500 come every two hours, with delays that grow by so much with each flight from a place on; a new
/// lander for each so many requests.
async fn slowly(flights: &[Value], per_flight: f64, requests: usize) -> Vec<Finding> {
    let mut records = flights.to_vec();
    for (index, record) in records.iter_mut().enumerate().skip(8_000) {
        let delay = record["delay"].as_f64().unwrap() + (index - 8_000) as f64 * per_flight;
        record["delay"] = json!(delay.round() as i64);
    }
    let world = World::new(contract()).await;
    for requests in records.chunks(500 * requests) {
        for request in requests.chunks(500) {
            post(&world, request, 500).await;
            world.clock.advance(std::time::Duration::from_secs(2 * 3_600));
        }
        world.land().await;
    }
    let kept = world.context.lake.table(TableId::of(&world.dataset)).list_beside("_drift").await.unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    findings(&world).await
}

/// What moves by less than anyone would see from one hour to the next is found over days, and nothing where nothing does;
/// also by a process that is restarted more often than it has moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_change_is_found_over_days() {
    let Some(flights) = flights() else { return };
    for requests in [usize::MAX / 500, 7] {
        assert_eq!(slowly(&flights, 0.0, requests).await, []);
        let found = slowly(&flights, 1.0 / 250.0, requests).await;
        let told: Vec<_> = found.iter().map(|found| (found.kind, found.subject.as_str())).collect();
        assert_eq!(told, [(FindingKind::SlowChange, "delay")], "{found:#?}");
        assert!((8_000..=11_500).contains(&first(&found[0])), "{}", first(&found[0]));
        assert_eq!(found[0].drift.as_ref().unwrap().fate, Fate::Accepted);
        println!("{}", found[0].message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_is_suspected_by_its_values() {
    let Some(flights) = flights() else { return };
    let (_, found) =
        replay(contract(), &flights, 4_321, |record, _| rename(record, "destination", "arrival")).await;
    let of = |kind| {
        found.iter().find(|finding| finding.kind == kind).and_then(|finding| finding.drift.clone()).unwrap()
    };
    for kind in [FindingKind::UnknownField, FindingKind::MissingField] {
        let renamed = of(kind).renamed.unwrap();
        assert_eq!(
            (renamed.from.as_str(), renamed.to.as_str()),
            ("destination", "arrival"),
            "{}",
            renamed.because
        );
    }
    assert_eq!(of(FindingKind::UnknownField).fate, Fate::KeptInExtra);
    let (_, found) =
        replay(contract(), &flights, 13_579, |record, _| rename(record, "origin", "from_airport")).await;
    let missing = found.iter().find(|finding| finding.kind == FindingKind::Missing).unwrap();
    let renamed = missing.drift.as_ref().and_then(|drift| drift.renamed.clone()).unwrap();
    assert_eq!(renamed.to, "from_airport");
    // What is required and not there is in quarantine, whatever else is found in the same records.
    for kind in [FindingKind::UnknownField, FindingKind::MissingField] {
        let drift =
            found.iter().find(|finding| finding.kind == kind).and_then(|finding| finding.drift.clone());
        assert_eq!(drift.unwrap().fate, Fate::Rejected);
    }
    // A field that only comes along is none.
    let gate = |record: &mut Value, _| {
        record.as_object_mut().unwrap().remove("delay");
        record["gate"] = json!("B12");
    };
    let (_, found) = replay(contract(), &flights, 9_000, gate).await;
    assert!(
        found.iter().all(|finding| finding.drift.as_ref().is_none_or(|drift| drift.renamed.is_none())),
        "{found:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn examples_of_personal_data_show_only_their_shape() {
    let mut dataset = http_dataset("shop.people", &[("id!", "string"), ("age", "int32")]);
    dataset.columns[1].pii = Some("age".to_owned());
    let world = World::new(dataset).await;
    world.post_lines(&[r#"{"id":"a","age":"41","mail":"ann@example.org"}"#]).await;
    world.land().await;
    let mut found = findings(&world).await;
    found.sort_by_key(|finding| finding.kind);
    let examples: Vec<_> =
        found.iter().map(|finding| finding.drift.as_ref().unwrap().examples.clone()).collect();
    assert_eq!(examples, [["\"aaa@aaaaaaa.aaa\""], ["\"99\""]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_drifts_can_be_set_aside_and_replayed_with_a_newer_contract() {
    let Some(flights) = flights() else { return };
    let dataset = Dataset { on_drift: OnDrift::Quarantine, ..contract() };
    let lower = |record: &mut Value, index: usize| {
        if index < 9_000 { record["gate"] = json!("B12") } else { record["origin"] = json!("abc") }
    };
    let (mut world, found) = replay(dataset, &flights, 8_000, lower).await;
    let fates: Vec<_> =
        found.iter().map(|finding| (finding.kind, finding.drift.as_ref().unwrap().fate)).collect();
    assert!(fates.iter().all(|(_, fate)| *fate == Fate::Quarantined), "{fates:?}");
    let reasons = world.query("select _reason, count(*) from q group by 1 order by 1").await;
    assert_eq!(reasons[1], "unknown-field|1000");
    // The field that is no column is what `--column` asks for.
    assert_eq!(
        world.query("select _reason, count(*) from q where _column = 'gate' group by 1").await,
        ["unknown-field|1000"]
    );
    let strange: u64 = reasons[0].strip_prefix("changed-values|").unwrap().parse().unwrap();
    // The window in which they begin has told of them only when it was whole.
    assert!((10_300..=11_000).contains(&strange), "{reasons:?}");
    assert_eq!(world.query("select count(*) from t where _extra is not null").await, ["0"]);

    let mut columns = world.dataset.columns.clone();
    columns.push(Column::new("gate", "string".parse().unwrap()));
    world.dataset = Arc::new(Dataset { columns, ..(*world.dataset).clone() });
    let selection = flowline_land::ReplaySelection::default();
    flowline_land::replay_quarantine(&world.context, &world.dataset, &selection).await.unwrap();
    assert_eq!(world.query("select count(gate), count(*) from t").await, ["1000|20000"]);
    assert_eq!(world.totals().await.balance(), flowline_model::Balance::Balanced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn landing_can_be_held_up_and_nothing_is_lost() {
    let Some(flights) = flights() else { return };
    let mut records = flights[..10_000].to_vec();
    records[7_000..]
        .iter_mut()
        .for_each(|record| record["distance"] = json!(record["distance"].as_i64().unwrap() * 100));
    records[9_000..].iter_mut().for_each(|record| record["gate"] = json!(7));
    let mut world = World::new(Dataset { on_drift: OnDrift::Stop, ..contract() }).await;
    post(&world, &records, 100).await;
    for _ in 0..3 {
        let mut lander = world.lander().await;
        let error = lander.land_available().await.unwrap_err().to_string();
        assert!(error.contains("landing of `air.flights` is held up at log/0@70"), "{error}");
        assert_eq!(world.query("select count(*), max(_offset) from t").await, ["7000|6999"]);
    }
    let unit =
        findings(&world).await.into_iter().find(|finding| finding.kind == FindingKind::ChangedUnit).unwrap();
    assert_eq!((first(&unit), unit.drift.unwrap().fate), (7_000, Fate::Held));

    // Whoever has seen to it lets them in.
    world.dataset = Arc::new(Dataset { on_drift: OnDrift::AcceptNewFields, ..(*world.dataset).clone() });
    world.land().await;
    assert_eq!(
        world.query("select count(*), count(distinct _offset), count(_extra) from t").await,
        ["10000|10000|1000"]
    );
    let totals = world.totals().await;
    assert_eq!((totals.read, totals.written), (10_000, 10_000));
}
