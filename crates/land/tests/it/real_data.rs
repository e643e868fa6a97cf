//! Files that nobody here made, where they are at hand.

use std::sync::Arc;
use std::time::Duration;

use flowline_land::FileLander;
use flowline_model::{Column, Dataset, FilesOrigin, Origin};
use flowline_testkit::{http_dataset, real_data};

use crate::world::World;

/// The bytes of a file; none, and the test says so, where it is absent.
fn file(name: &str) -> Option<Vec<u8>> {
    let bytes = real_data().and_then(|folder| std::fs::read(folder.join(name)).ok());
    if bytes.is_none() {
        eprintln!("skipped: {name} is not there; set FLOWLINE_TEST_DATA to its folder");
    }
    bytes
}

fn with_format(mut dataset: Dataset, column: &str, format: &str) -> Dataset {
    let found = dataset.columns.iter_mut().find(|found: &&mut Column| found.name == column).unwrap();
    found.format = Some(format.into());
    dataset
}

/// Every record was written, and the ledger says so.
async fn all_written(world: &World, records: u64) {
    let totals = world.totals().await;
    assert_eq!((totals.read, totals.written), (records, records), "{totals:?}");
    assert_eq!(world.query("select count(*) from t where _extra is not null").await, ["0"]);
}

async fn from_files(columns: Vec<Column>, name: &str, bytes: &[u8]) -> World {
    let mut world = World::new(http_dataset("air.real", &[])).await;
    let inbox = world.folder.path().join("inbox");
    std::fs::create_dir_all(&inbox).unwrap();
    std::fs::write(inbox.join(name), bytes).unwrap();
    let origin = Origin::Files(FilesOrigin {
        location: inbox.display().to_string(),
        pattern: "*".into(),
        format: None,
        poll_every: Duration::from_secs(1),
        follow_links: false,
    });
    world.dataset = Arc::new(Dataset { origin, columns, ..(*world.dataset).clone() });
    for runs in [1, 0] {
        let mut lander = FileLander::open(world.context.clone(), Arc::clone(&world.dataset)).await.unwrap();
        assert_eq!(lander.land_available().await.unwrap().len(), runs, "the second time nothing is new");
    }
    world
}

fn flights() -> Dataset {
    let columns = [
        ("date!", "timestamp"),
        ("delay!", "int16"),
        ("distance!", "int32"),
        ("origin!", "string"),
        ("destination!", "string"),
    ];
    with_format(http_dataset("air.flights", &columns), "date", "%Y/%m/%d %H:%M")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flights_posted_as_one_array() {
    let Some(bytes) = file("flights-20k.json") else { return };
    let world = World::new(flights()).await;
    world.post("application/json", bytes).await;
    world.land().await;
    all_written(&world, 20_000).await;
    assert_eq!(
        world.query("select sum(delay), min(date), max(date), min(delay), max(distance) from t").await,
        [FLIGHTS]
    );
}

/// Counted by another tool over the same file.
const FLIGHTS: &str = "154078|2001-01-01T00:47:00Z|2001-03-31T22:27:00Z|-59|4475";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flights_posted_as_an_arrow_stream_and_landed_as_an_arrow_file() {
    let Some(bytes) = file("flights-200k.arrow") else { return };
    let columns = [("delay!", "int32"), ("distance!", "int16"), ("time!", "float64")];
    let dataset = http_dataset("air.flights", &columns);
    let reader = arrow::ipc::reader::FileReader::try_new(std::io::Cursor::new(&bytes), None).unwrap();
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &reader.schema()).unwrap();
    for rows in reader {
        writer.write(&rows.unwrap()).unwrap();
    }
    let world = World::new(dataset.clone()).await;
    world.post("application/vnd.apache.arrow.stream", writer.into_inner().unwrap()).await;
    world.land().await;
    all_written(&world, 200_000).await;
    let as_file = from_files(dataset.columns, "flights-200k.arrow", &bytes).await;
    all_written(&as_file, 200_000).await;
    let sums = "select sum(delay), sum(distance), round(sum(time), 3), count(distinct _offset) from t";
    assert_eq!(world.query(sums).await, as_file.query(sums).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn airports_landed_as_csv() {
    let Some(bytes) = file("airports.csv") else { return };
    let columns = [
        ("iata!", "string"),
        ("name", "string"),
        ("city", "string"),
        ("state", "string"),
        ("country", "string"),
        ("latitude", "float64"),
        ("longitude", "decimal(11,8)"),
    ];
    let world = from_files(http_dataset("air.airports", &columns).columns, "airports.csv", &bytes).await;
    all_written(&world, 3_376).await;
    assert_eq!(
        world.query("select count(distinct iata), round(sum(latitude), 4) from t").await,
        ["3376|135077.8415"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bird_strikes_landed_as_untidy_csv() {
    let Some(bytes) = file("birdstrikes.csv") else { return };
    let columns = [
        ("Airport Name", "string"),
        ("Aircraft Make Model", "string"),
        ("Effect Amount of damage", "string"),
        ("Flight Date", "date"),
        ("Aircraft Airline Operator", "string"),
        ("Origin State", "string"),
        ("Phase of flight", "string"),
        ("Wildlife Size", "string"),
        ("Wildlife Species", "string"),
        ("Time of day", "string"),
        ("Cost Other", "int32"),
        ("Cost Repair", "int64"),
        ("Cost Total $", "decimal(12,2)"),
        ("Speed IAS in knots", "int16"),
    ];
    let mut columns = http_dataset("air.strikes", &columns).columns;
    for column in &mut columns {
        column.field = Some(column.name.clone());
        column.name = column.name.to_lowercase().replace(' ', "_").replace("_$", "_usd");
    }
    let world = from_files(columns, "birdstrikes.csv", &bytes).await;
    all_written(&world, 10_000).await;
    let found = world
        .query("select sum(cost_total_usd), min(flight_date), max(flight_date), sum(speed_ias_in_knots), count(speed_ias_in_knots) from t")
        .await;
    assert_eq!(found, ["40545276.00|1990-01-08|2002-07-25|1099926|7164"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn earthquakes_landed_as_one_document_and_as_one_record_each() {
    let Some(bytes) = file("earthquakes.json") else { return };
    let document = http_dataset(
        "geo.quakes",
        &[("type", "string"), ("metadata", "json"), ("features", "json"), ("bbox", "list<float64>")],
    );
    let world = from_files(document.columns, "earthquakes.json", &bytes).await;
    all_written(&world, 1).await;
    let whole: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let features = world.query("select features from t").await.remove(0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&features).unwrap(), whole["features"]);

    let each = [
        ("type", "string"),
        ("properties", "json"),
        ("geometry", "struct<type: string, coordinates: list<float64>>"),
        ("id!", "string"),
    ];
    let mut dataset = http_dataset("geo.quakes", &each);
    dataset.key = vec!["id".into()];
    let world = World::new(dataset).await;
    world.post("application/json", serde_json::to_vec(&whole["features"]).unwrap()).await;
    world.land().await;
    all_written(&world, 1_707).await;
}
