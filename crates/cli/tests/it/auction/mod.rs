//! The auction site of NEXMark on the real binary: its producers, its streams, and what these must be.

mod kept;
pub mod kills;
mod nodes;
mod pressure;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::DateTime;
use flowline_base::{Clock, Random, SystemClock};
use flowline_testkit::nexmark::{Event, Nexmark};
use flowline_testkit::{FlowlineProcess, http_client, output_of};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The start of flowline.yaml.
pub const FLOWLINE: &str = "name: auction\nteams:\n  team-auction: { contact: team-auction@example.org }\ndefaults:\n  landing: { flush_after: 300ms }\n";

/// Events in one request round of a producer; they are out of order among each other.
const CHUNK: u64 = 100;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// What is landed: the number of the event comes first, so that each one can be found again.
const SOURCES: [(&str, &str, u32, &str); 3] = [
    ("person", "nex.person", 1, "n int64, id int64, name string, ts timestamp"),
    ("auction", "nex.auction", 1, "n int64, id int64, seller int64, category int64, ts timestamp"),
    ("bid", "nex.bid", 2, "n int64, auction int64, bidder int64, price int64, ts timestamp"),
];

/// A stream of the site: name, what it adds to its file, and its query.
pub struct Stream {
    pub name: &'static str,
    settings: &'static str,
    sql: &'static str,
    /// Its rows are those of windows, so that only closed ones are compared.
    windowed: bool,
}

pub const STREAMS: [Stream; 4] = [
    Stream {
        name: "q5",
        settings: "emit: on_close",
        windowed: true,
        sql: "with c as (select auction, count(*) as num, window_start as ws, window_end as we from table(hop(table nex.bid, descriptor(ts), interval '2' second, interval '10' second)) group by auction, window_start, window_end), m as (select ws, we, max(num) as top from c group by ws, we) select c.auction, c.num, c.ws as window_start, c.we as window_end from c join m on c.ws = m.ws and c.we = m.we and c.num >= m.top",
    },
    Stream {
        name: "q8",
        settings: "emit: on_close",
        windowed: true,
        sql: "with np as (select distinct id, name, window_start as ws, window_end as we from table(tumble(table nex.person, descriptor(ts), interval '10' second))), na as (select distinct seller, window_start as ws, window_end as we from table(tumble(table nex.auction, descriptor(ts), interval '10' second))) select np.id, np.name, np.ws as window_start, np.we as window_end from np join na on na.seller = np.id and na.ws = np.ws and na.we = np.we",
    },
    Stream {
        name: "sales",
        settings: "emit: on_close",
        windowed: true,
        sql: "select window_start, window_end, count(*) as bids, sum(price) as volume, max(price) as top, count(distinct bidder) as bidders from table(tumble(table nex.bid, descriptor(ts), interval '10' second)) group by window_start, window_end",
    },
    Stream {
        name: "standing",
        settings: "emit: on_change\nkey: [auction]",
        windowed: false,
        sql: "select auction, count(*) as bids, sum(price) as volume, max(price) as top from nex.bid group by auction",
    },
];

/// The files of the project.
pub fn files(flowline: &str) -> Vec<(String, String)> {
    let mut files = vec![("flowline.yaml".to_owned(), flowline.to_owned())];
    for (_, dataset, partitions, columns) in SOURCES {
        let mut text = format!(
            "description: Events of the auction site.\nowner: team-auction\nzone: raw\nfrom: {{ source: http, partitions: {partitions} }}\ncolumns:\n"
        );
        for (name, kind) in columns.split(", ").filter_map(|column| column.split_once(' ')) {
            let _ = writeln!(text, "  - {{ name: {name}, type: {kind}, required: true }}");
        }
        files.push((format!("datasets/{}.yaml", dataset.replace('.', "/")), text));
    }
    for stream in &STREAMS {
        let text = format!(
            "description: A stream of the auction site.\nowner: team-auction\nzone: trusted\nfrom: {{ source: sql }}\nmode: stream\nevent_time: {{ column: ts, watermark: 4s, idle_after: 2s, late: reopen }}\n{}\nsql: |\n  {}\n",
            stream.settings, stream.sql
        );
        files.push((format!("datasets/nex/{}.yaml", stream.name), text));
    }
    files
}

/// The events, out of order, two hundred in a second of event time.
fn site(seed: u64) -> Nexmark {
    Nexmark { events_per_second: 200, out_of_order_group: CHUNK, ..Nexmark::seeded(seed) }
}

/// A request that is sent until it is acknowledged.
#[derive(Debug, Clone)]
struct Request {
    dataset: &'static str,
    key: String,
    body: String,
}

/// Producers that share the events of one site out among each other.
#[derive(Debug, Clone)]
pub struct Load {
    seed: u64,
    /// The next chunk of events that nobody has taken.
    next: Arc<AtomicU64>,
    /// Requests that met a log that was full.
    pub full: Arc<AtomicU64>,
    /// A producer rests for at most so long after each chunk.
    pub rest_max: Duration,
}

/// One of them, with what it was not told to be kept.
#[derive(Debug)]
pub struct Producer {
    load: Load,
    pending: Vec<Request>,
}

impl Load {
    pub fn new(seed: u64) -> Self {
        let rest_max = Duration::from_millis(80);
        Self { seed, next: Arc::default(), full: Arc::default(), rest_max }
    }

    pub fn producers(&self, count: usize) -> Vec<Producer> {
        (0..count).map(|_| Producer { load: self.clone(), pending: Vec::new() }).collect()
    }

    /// Events that were taken so far.
    pub fn events(&self) -> u64 {
        self.next.load(Ordering::SeqCst) * CHUNK
    }

    fn take(&self) -> Vec<Request> {
        let chunk = self.next.fetch_add(1, Ordering::SeqCst);
        requests(&site(self.seed), chunk * CHUNK..(chunk + 1) * CHUNK, &format!("chunk-{chunk}"))
    }
}

/// The events with these numbers as one request for each source.
fn requests(site: &Nexmark, numbers: std::ops::Range<u64>, key: &str) -> Vec<Request> {
    let mut bodies = BTreeMap::<&str, String>::new();
    for number in numbers {
        let (kind, line) = line(number, &site.event(number));
        let body = bodies.entry(kind).or_default();
        let _ = writeln!(body, "{line}");
    }
    let dataset = |kind: &str| SOURCES.iter().find(|source| source.0 == kind).unwrap().1;
    let request =
        |(kind, body): (&str, String)| Request { dataset: dataset(kind), key: format!("{key}-{kind}"), body };
    bodies.into_iter().map(request).collect()
}

fn line(n: u64, event: &Event) -> (&'static str, Value) {
    let ts = DateTime::from_timestamp_micros(event.time()).unwrap().to_rfc3339();
    match event {
        Event::Person(one) => ("person", json!({ "n": n, "id": one.id, "name": one.name, "ts": ts })),
        Event::Auction(one) => (
            "auction",
            json!({ "n": n, "id": one.id, "seller": one.seller, "category": one.category, "ts": ts }),
        ),
        Event::Bid(one) => (
            "bid",
            json!({ "n": n, "auction": one.auction, "bidder": one.bidder, "price": one.price, "ts": ts }),
        ),
    }
}

impl Producer {
    /// Sends until stopped or until the node is gone. What got no answer is sent again first, with the same key.
    pub async fn produce(mut self, http: String, seed: u64, stop: CancellationToken) -> Self {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(40)).build().unwrap();
        let mut random = Random::seeded(seed);
        loop {
            while let Some(request) = self.pending.last().cloned() {
                match self.send(&client, &http, &request).await {
                    Sent::Kept => drop(self.pending.pop()),
                    Sent::Later if !stop.is_cancelled() => {
                        tokio::time::sleep(Duration::from_millis(50)).await
                    }
                    Sent::Later | Sent::Gone => return self,
                }
            }
            if stop.is_cancelled() {
                return self;
            }
            tokio::time::sleep(Duration::from_millis(
                random.below(self.load.rest_max.as_millis() as u64 + 1),
            ))
            .await;
            self.pending = self.load.take();
        }
    }

    /// Sends a request until it is acknowledged.
    async fn keep(&self, client: &reqwest::Client, http: &str, request: &Request) {
        let started = SystemClock.instant();
        while !matches!(self.send(client, http, request).await, Sent::Kept) {
            assert!(started.elapsed() < Duration::from_secs(120), "{request:?} is not acknowledged");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn send(&self, client: &reqwest::Client, http: &str, request: &Request) -> Sent {
        let call = client
            .post(format!("{http}/v1/sources/{}/records", request.dataset))
            .header("content-type", "application/x-ndjson")
            .header("idempotency-key", &request.key)
            .body(request.body.clone());
        let Ok(response) = call.send().await else { return Sent::Gone };
        let (status, wait) = (response.status(), response.headers().get("retry-after").cloned());
        let Ok(answer) = response.json::<Value>().await else { return Sent::Gone };
        if status.is_success() {
            assert_eq!(answer["accepted"], json!(request.body.lines().count()), "{answer}");
            return Sent::Kept;
        }
        assert!(matches!(status.as_u16(), 429 | 503), "{status}: {answer}");
        assert!(wait.is_some() || status.as_u16() == 503, "429 without Retry-After: {answer}");
        if status.as_u16() == 429 && answer.to_string().contains("log-full") {
            self.load.full.fetch_add(1, Ordering::Relaxed);
        }
        Sent::Later
    }
}

enum Sent {
    /// Acknowledged.
    Kept,
    /// Refused for now.
    Later,
    /// The node is gone, or did not answer.
    Gone,
}

/// Lets producers work for as long as `during` takes.
pub async fn under_load<T>(
    http: &str,
    producers: Vec<Producer>,
    random: &mut Random,
    during: impl Future<Output = T>,
) -> (Vec<Producer>, T) {
    let stop = CancellationToken::new();
    let tasks: Vec<_> = producers
        .into_iter()
        .map(|producer| tokio::spawn(producer.produce(http.to_owned(), random.next_u64(), stop.clone())))
        .collect();
    let done = during.await;
    stop.cancel();
    let mut producers = Vec::new();
    for task in tasks {
        producers.push(task.await.unwrap());
    }
    (producers, done)
}

/// Has everything acknowledged that was taken, and holds the tables against it.
pub async fn verify(node: &FlowlineProcess, load: &Load, producers: Vec<Producer>, lake: &Path) {
    keep_all(node, producers).await;
    close_windows(node, load).await;
    until_idle(node).await;
    each_once(node, load).await;
    until_right(node, load).await;
    balanced(node, lake).await;
    as_duckdb_says(load, lake);
}

/// Has everything acknowledged that was taken.
async fn keep_all(node: &FlowlineProcess, producers: Vec<Producer>) {
    for mut producer in producers {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(40)).build().unwrap();
        while let Some(request) = producer.pending.pop() {
            producer.keep(&client, &node.http, &request).await;
        }
    }
}

/// One event of each kind a day later closes every window.
async fn close_windows(node: &FlowlineProcess, load: &Load) {
    let later = Nexmark { base_time_us: site(load.seed).base_time_us + DAY_US, ..site(load.seed) };
    let one = Load::new(load.seed);
    let producer = one.producers(1).remove(0);
    let client = http_client();
    for request in requests(&later, 0..CHUNK, "last") {
        producer.keep(&client, &node.http, &request).await;
    }
}

/// Waits until every hop has read all that there is.
pub async fn until_idle(node: &FlowlineProcess) {
    let started = SystemClock.instant();
    loop {
        let sql = "SELECT dataset, state, running, lag_records, lag_versions, last_error FROM system.hops";
        let rows = node.query(sql).await.unwrap_or_default();
        let waits = |row: &&Value, column: &str| row[column].as_i64().unwrap_or(0) != 0;
        let behind: Vec<_> =
            rows.iter().filter(|row| waits(row, "lag_records") || waits(row, "lag_versions")).collect();
        if behind.is_empty() && !rows.is_empty() {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "still behind: {behind:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Every event that was taken is in the tables once, and nothing else is there but the last ones.
async fn each_once(node: &FlowlineProcess, load: &Load) {
    let cutoff = cutoff(load);
    let mut found = 0;
    for (_, dataset, ..) in SOURCES {
        let rows = node
            .query(&format!(
                "SELECT count(*) AS n, count(DISTINCT n) AS once FROM {dataset} WHERE ts < TIMESTAMP '{cutoff}'"
            ))
            .await
            .unwrap();
        assert_eq!(rows[0]["n"], rows[0]["once"], "{dataset} holds records twice");
        found += rows[0]["n"].as_u64().unwrap();
    }
    assert_eq!(found, load.events(), "records were acknowledged and are not there (or nobody sent them)");
    println!("{found} records, each once");
}

/// Behind all events but the last ones.
fn cutoff(load: &Load) -> String {
    let at = site(load.seed).base_time_us + DAY_US;
    DateTime::from_timestamp_micros(at).unwrap().format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The streams hold what their queries answer in batch over the landed rows.
async fn until_right(node: &FlowlineProcess, load: &Load) {
    let started = SystemClock.instant();
    let cutoff = cutoff(load);
    for stream in &STREAMS {
        let closed = if stream.windowed {
            format!(" WHERE window_end <= TIMESTAMP '{cutoff}'")
        } else {
            String::new()
        };
        let wanted = sorted(node, &format!("SELECT * FROM ({}){closed}", stream.sql)).await;
        assert!(!wanted.is_empty(), "{} has no rows", stream.name);
        loop {
            let found = sorted(node, &format!("SELECT * FROM nex.{}{closed}", stream.name)).await;
            if found == wanted {
                println!("nex.{}: {} rows as in batch", stream.name, found.len());
                break;
            }
            if started.elapsed() > Duration::from_secs(90) {
                let state = node.query("SELECT * FROM system.streams").await;
                let hops = node.query("SELECT dataset, state, last_error FROM system.hops").await;
                let lost: Vec<_> = wanted.iter().filter(|row| !found.contains(row)).take(5).collect();
                let more: Vec<_> = found.iter().filter(|row| !wanted.contains(row)).take(5).collect();
                panic!(
                    "nex.{}: {} rows, in batch {}; lacks {lost:?}; has {more:?}; {state:?} {hops:?}",
                    stream.name,
                    found.len(),
                    wanted.len()
                );
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn sorted(node: &FlowlineProcess, sql: &str) -> Vec<String> {
    let client = http_client();
    let body = json!({ "sql": sql, "rows_max": 5_000_000 });
    let response = client.post(format!("{}/v1/query", node.http)).json(&body).send().await.unwrap();
    let answer: Value = response.json().await.unwrap();
    let rows = answer["rows"].as_array().unwrap_or_else(|| panic!("`{sql}` answered {answer}"));
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

/// The ledger says where every record went.
async fn balanced(node: &FlowlineProcess, lake: &Path) {
    let counts = node.query("SELECT dataset, balance, missing, gap FROM system.counts").await.unwrap();
    assert!(counts.len() >= SOURCES.len(), "{counts:?}");
    for row in counts {
        assert_ne!(row["balance"], json!("unbalanced"), "{row}");
        assert_eq!(row["gap"].as_i64().unwrap_or(0), 0, "{row}");
    }
    let project = lake.ancestors().find(|folder| folder.join("flowline.yaml").is_file());
    if let Some(project) = project {
        crate::project::run_well(&["ledger", "--project", project.to_str().unwrap()]);
    }
}

/// DuckDB, which shares no code with this, answers the same from the files of the lake.
fn as_duckdb_says(load: &Load, lake: &Path) {
    let Some(python) = std::env::var_os("FLOWLINE_TEST_PYTHON") else {
        println!("skipped: no DuckDB (set FLOWLINE_TEST_PYTHON; `scripts/peers python` installs it)");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/auction/answers.py");
    let cutoff_us = (site(load.seed).base_time_us + DAY_US).to_string();
    let output = output_of(Command::new(python).arg(script).arg(lake).arg(cutoff_us)).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}
