//! How fast records are split, decoded and landed on this machine.
//!
//! ```text
//! cargo run --release -p flowline-land --example decode_speed -- [records]
//! ```
//! Prints one line a step: records and megabytes a second. Steps above `land` use one core; `land` reads from a log and
//! writes to a lake in a temporary folder, without and with a key. Not a test: nothing is asserted but counts.

use std::sync::Arc;
use std::time::Duration;

use flowline_base::{SharedClock, system_clock};
use flowline_lake::{Lake, LakeSettings};
use flowline_land::decode::Decoder;
use flowline_land::{Contract, LandContext, LogLander};
use flowline_log::{Batch, PartitionId, SegmentLog, SegmentLogOptions, StdDisk};
use flowline_model::{Check, CheckRule, CheckSeverity, Dataset, LogSettings};
use flowline_source::http::{HttpBody, Limits, receive};
use flowline_testkit::http_dataset;

/// Records of one request.
const BATCH_RECORDS: usize = 1_000;

#[tokio::main]
async fn main() {
    let records: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let batches = records.div_ceil(BATCH_RECORDS);
    let clock = system_clock();
    let ndjson: Vec<String> = (0..batches).map(|batch| body(batch, "\n")).collect();
    let bytes: usize = ndjson.iter().map(String::len).sum();
    println!("{} records of {} bytes", batches * BATCH_RECORDS, bytes / (batches * BATCH_RECORDS));

    let split = step(&clock, "split ndjson", bytes, || posted("application/x-ndjson", &ndjson));
    let arrays: Vec<String> = (0..batches).map(|batch| format!("[{}]", body(batch, ","))).collect();
    step(&clock, "split json array", bytes, || posted("application/json", &arrays));
    let csv: Vec<String> = (0..batches).map(csv).collect();
    let csv_bytes = csv.iter().map(String::len).sum();
    let rows = step(&clock, "split csv", csv_bytes, || posted("text/csv", &csv));

    let decoder = Decoder::compile(&dataset()).expect("the contract is sound");
    step(&clock, "decode json", bytes, || decode(&decoder, &split));
    step(&clock, "decode csv", csv_bytes, || decode(&decoder, &rows));
    let fewer = http_dataset("bench.events", &[("order_id", "string"), ("ts", "timestamp")]);
    let fewer = Decoder::compile(&fewer).expect("the contract is sound");
    step(&clock, "decode json, most of it unknown", bytes, || decode(&fewer, &split));
    let mut checked = dataset();
    checked.columns[2].check = Some("amount >= 0".to_owned());
    let contract = Contract::compile(Arc::new(checked)).expect("the contract is sound");
    step(&clock, "decode json and check", bytes, || {
        let errors: usize =
            split.iter().map(|batch| contract.validate(batch, &Default::default()).len()).sum();
        assert_eq!(errors, 0, "every record fits");
        split.len() * BATCH_RECORDS
    });

    land(&clock, "land", dataset(), &split, bytes).await;
    let mut checked = dataset();
    checked.checks = row_checks();
    land(&clock, "land with twenty row checks", checked, &split, bytes).await;
    let mut keyed = dataset();
    keyed.key = vec!["order_id".to_owned()];
    land(&clock, "land with a key", keyed, &split, bytes).await;
}

fn dataset() -> Dataset {
    let columns = [
        ("order_id!", "string"),
        ("customer", "string"),
        ("amount", "decimal(12,2)"),
        ("quantity", "int32"),
        ("price", "float64"),
        ("ts!", "timestamp"),
        ("paid", "boolean"),
        ("country", "string"),
    ];
    http_dataset("bench.events", &columns)
}

/// Twenty checks that every record passes: of each kind that one row alone decides.
fn row_checks() -> Vec<Check> {
    let range = |column: &str, min: &str, max: &str| CheckRule::Range {
        column: column.to_owned(),
        min: Some(min.to_owned()),
        max: Some(max.to_owned()),
    };
    let length =
        |column: &str, max| CheckRule::Length { column: column.to_owned(), min: Some(1), max: Some(max) };
    let pattern = |column: &str, pattern: &str| CheckRule::Pattern {
        column: column.to_owned(),
        pattern: pattern.to_owned(),
    };
    let required = |column: &str| CheckRule::Required { column: column.to_owned() };
    let condition = |text: &str| CheckRule::Condition { expression: text.to_owned() };
    let countries = ["DE", "FR", "IT"].map(str::to_owned).to_vec();
    let rules = vec![
        required("customer"),
        required("amount"),
        required("quantity"),
        required("price"),
        required("paid"),
        required("country"),
        range("amount", "0", "100000"),
        range("quantity", "0", "10"),
        range("price", "0", "1000"),
        range("ts", "2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z"),
        range("country", "AA", "ZZ"),
        length("order_id", 20),
        length("customer", 20),
        length("country", 2),
        pattern("country", "^[A-Z]{2}$"),
        pattern("order_id", "^order-[0-9]{12}$"),
        CheckRule::AcceptedValues { column: "country".to_owned(), values: countries },
        condition("amount >= 0 and quantity < 100"),
        condition("price * quantity < 100000"),
        condition("paid or amount >= 0"),
    ];
    let check = |(number, rule): (usize, CheckRule)| Check {
        name: format!("check_{number}"),
        description: None,
        owner: "bench".to_owned(),
        severity: CheckSeverity::QuarantineRows,
        tolerance: 0.0,
        rule,
    };
    rules.into_iter().enumerate().map(check).collect()
}

/// About 190 bytes a record.
fn body(batch: usize, separator: &str) -> String {
    let record = |row: usize| {
        let number = batch * BATCH_RECORDS + row;
        format!(
            "{{\"order_id\":\"order-{number:012}\",\"customer\":\"customer-{:06}\",\"amount\":{}.{:02},\"quantity\":{},\
             \"price\":{}.25,\"ts\":\"2026-01-05T08:{:02}:{:02}.{:03}Z\",\"paid\":{},\"country\":\"DE\"}}",
            number % 100_000,
            number % 1_000,
            number % 100,
            number % 10,
            number % 500,
            number / 60 % 60,
            number % 60,
            number % 1_000,
            number.is_multiple_of(2),
        )
    };
    (0..BATCH_RECORDS).map(record).collect::<Vec<_>>().join(separator)
}

fn csv(batch: usize) -> String {
    let mut text = "order_id,customer,amount,quantity,price,ts,paid,country\n".to_owned();
    for row in 0..BATCH_RECORDS {
        let number = batch * BATCH_RECORDS + row;
        text.push_str(&format!(
            "order-{number:012},customer-{:06},{}.{:02},{},{}.25,2026-01-05T08:{:02}:{:02}.{:03}Z,{},DE\n",
            number % 100_000,
            number % 1_000,
            number % 100,
            number % 10,
            number % 500,
            number / 60 % 60,
            number % 60,
            number % 1_000,
            number.is_multiple_of(2),
        ));
    }
    text
}

fn posted(content_type: &str, bodies: &[String]) -> Vec<Batch> {
    let receive = |text: &String| {
        let bytes = bytes::Bytes::copy_from_slice(text.as_bytes());
        let body = HttpBody { content_type: Some(content_type.to_owned()), ce_headers: Vec::new(), bytes };
        receive(body, &Limits::default()).expect("the body is sound").into_batch(None, 0, None)
    };
    bodies.iter().map(receive).collect()
}

/// As a lander does it: some megabytes at a time.
fn decode(decoder: &Decoder, batches: &[Batch]) -> usize {
    let mut rows = 0;
    for batches in batches.chunks(40) {
        let mut decoding = decoder.start(batches.len() * BATCH_RECORDS);
        for (number, batch) in (0..).zip(batches) {
            decoding.push(number, batch, 0..batch.records as usize);
        }
        rows += decoding.finish().iter().map(|decoded| decoded.rows.num_rows()).sum::<usize>();
    }
    assert_eq!(rows, batches.len() * BATCH_RECORDS, "every record is a row");
    rows
}

/// What a step makes, with how many records it was.
trait Counted {
    fn records(&self) -> usize;
}

impl Counted for usize {
    fn records(&self) -> usize {
        *self
    }
}

impl Counted for Vec<Batch> {
    fn records(&self) -> usize {
        self.iter().map(|batch| batch.records as usize).sum()
    }
}

fn step<T: Counted>(clock: &SharedClock, name: &str, bytes: usize, work: impl FnOnce() -> T) -> T {
    let started = clock.instant();
    let done = work();
    print(name, done.records(), bytes, clock.instant() - started);
    done
}

fn print(name: &str, records: usize, bytes: usize, took: Duration) {
    let seconds = took.as_secs_f64();
    println!(
        "{name:<34} {:>12.0} records/s {:>8.1} MB/s   {seconds:.3} s",
        records as f64 / seconds,
        bytes as f64 / seconds / 1e6
    );
}

async fn land(clock: &SharedClock, name: &str, dataset: Dataset, batches: &[Batch], bytes: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let log = SegmentLog::open(SegmentLogOptions {
        dir: folder.path().join("log"),
        settings: LogSettings::default(),
        clock: Arc::clone(clock),
        disk: Arc::new(StdDisk),
    });
    let lake = Lake::open(LakeSettings {
        url: folder.path().join("lake").display().to_string(),
        storage_options: Default::default(),
        clock: Arc::clone(clock),
        faults: None,
    });
    let ledger = flowline_ledger::connect("sqlite::memory:").await.expect("the ledger opens");
    let context = LandContext {
        log: log.expect("the log opens"),
        lake: lake.await.expect("the lake opens"),
        ledger,
        clock: Arc::clone(clock),
        node: None,
        brake: flowline_land::Brake::default(),
        kept: flowline_land::KeptRows::default(),
    };
    let partition = PartitionId::new(dataset.name.clone(), 0);
    for batch in batches {
        context.log.append(&partition, batch.clone()).await.expect("the log takes it");
    }
    let mut lander = LogLander::open(context, Arc::new(dataset)).await.expect("the lander opens");
    let started = clock.instant();
    let runs = lander.land_available().await.expect("everything lands");
    let written: u64 = runs.iter().map(|run| run.counts.written).sum();
    print(name, written as usize, bytes, clock.instant() - started);
}
