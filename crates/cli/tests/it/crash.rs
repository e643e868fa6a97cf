//! Nothing acknowledged is lost, nothing is counted twice: the real binary is killed at random moments under load,
//! with and without faults in the storage below it, and its tables are held against what producers were told.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use flowline_base::{Clock, Random, SystemClock};
use flowline_testkit::{FlowlineOptions, FlowlineProcess, KafkaBroker, http_client};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::project::{BINARY, project, start};

pub const FLOWLINE: &str = "name: crash\nteams:\n  team-crash: { contact: team-crash@example.org }\ndefaults:\n  landing: { flush_after: 300ms }\n";

const EVENTS: &str =
    "description: Events without a key; retries are told apart by their idempotency key alone.
owner: team-crash
zone: raw
from: { source: http }
columns:
  - { name: id, type: string, required: true }
  - { name: amount, type: int64, check: \"amount >= 0\" }
";

const ORDERS: &str = "description: Orders with a key.
owner: team-crash
zone: clean
from: { source: http }
key: [id]
columns:
  - { name: id, type: string, required: true }
  - { name: amount, type: int64, check: \"amount >= 0\" }
";

const TOTALS: &str = "description: Kept up from the events.
owner: team-crash
zone: trusted
from: { source: sql }
materialize: append
sql: SELECT id, amount FROM crash.events
";

/// How a producer fared with each record it made.
#[derive(Debug, Default)]
struct Told {
    acknowledged: HashSet<String>,
    unknown: HashSet<String>,
    rejected_on_purpose: HashSet<String>,
}

/// A request whose answer never came, to be sent again with the same key after the restart.
#[derive(Debug, Clone)]
struct Pending {
    source: &'static str,
    key: String,
    body: String,
    ids: Vec<String>,
}

#[derive(Debug, Default)]
struct Producer {
    number: u64,
    sequence: u64,
    told: HashMap<&'static str, Told>,
    pending: Vec<Pending>,
}

impl Producer {
    /// Sends until stopped or until the node is gone. Requests with an idempotency key that got no answer stay
    /// pending and are sent again in the next round; those without one are never sent again.
    async fn produce(mut self, http: String, seed: u64, stop: CancellationToken) -> Self {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let mut random = Random::seeded(seed);
        for pending in std::mem::take(&mut self.pending) {
            self.send(&client, &http, pending, true).await;
        }
        while !stop.is_cancelled() {
            let keyed = random.chance(0.5);
            let source = if random.chance(0.5) { "crash.events" } else { "crash.orders" };
            let request = self.request(source, &mut random);
            if !self.send(&client, &http, request, keyed).await {
                break;
            }
        }
        self
    }

    fn request(&mut self, source: &'static str, random: &mut Random) -> Pending {
        self.sequence += 1;
        let key = format!("{}-{}", self.number, self.sequence);
        let (mut body, mut ids) = (String::new(), Vec::new());
        for index in 0..1 + random.below(200) {
            let id = format!("{key}-{index}");
            let amount = if random.chance(0.02) {
                self.told.entry(source).or_default().rejected_on_purpose.insert(id.clone());
                -1
            } else {
                index as i64
            };
            body.push_str(&json!({ "id": id, "amount": amount }).to_string());
            body.push('\n');
            ids.push(id);
        }
        Pending { source, key, body, ids }
    }

    /// False when the node no longer answers.
    async fn send(&mut self, client: &reqwest::Client, http: &str, request: Pending, keyed: bool) -> bool {
        let url = format!("{http}/v1/sources/{}/records", request.source);
        let mut call =
            client.post(url).header("content-type", "application/x-ndjson").body(request.body.clone());
        if keyed {
            call = call.header("idempotency-key", &request.key);
        }
        let answer = match call.send().await {
            Ok(response) => {
                let status = response.status();
                response.json::<Value>().await.ok().map(|answer| (status, answer))
            }
            Err(_) => None,
        };
        let told = self.told.entry(request.source).or_default();
        match answer {
            Some((status, answer)) if status.is_success() => {
                assert_eq!(answer["accepted"], json!(request.ids.len()), "{answer}");
                told.unknown.retain(|id| !request.ids.contains(id));
                told.acknowledged.extend(request.ids);
                true
            }
            // Refused with a reason, or gone: nobody was told that it is kept.
            refused => {
                told.unknown.extend(request.ids.iter().cloned());
                if keyed {
                    self.pending.push(request);
                }
                refused.is_some_and(|(status, _)| status.as_u16() == 429)
            }
        }
    }
}

/// Several lives of a node under load, each ended by SIGKILL.
pub struct Trial {
    pub rounds: u32,
    pub seed: u64,
    pub faults: &'static [&'static str],
    /// What stands in flowline.yaml.
    pub flowline: String,
    /// The broker that keeps the log, which is killed as well in every third round.
    pub broker: Option<KafkaBroker>,
}

impl Trial {
    pub async fn run(mut self) {
        println!("seed {} (set FLOWLINE_TEST_SEED to repeat)", self.seed);
        let folder = project(&[
            ("flowline.yaml", self.flowline.as_str()),
            ("datasets/crash/events.yaml", EVENTS),
            ("datasets/crash/orders.yaml", ORDERS),
            ("datasets/crash/totals.yaml", TOTALS),
        ]);
        let mut random = Random::seeded(self.seed);
        let mut producers: Vec<Producer> =
            (0..4).map(|number| Producer { number, ..Producer::default() }).collect();
        for round in 0..self.rounds {
            let mut options = FlowlineOptions::new(BINARY, folder.path());
            options.log = "off".to_owned();
            options.faults = random.choose(self.faults).map(|faults| format!("seed={round};{faults}"));
            let process = match FlowlineProcess::start(&options) {
                Ok(process) => process,
                // A fault may strike while it starts; that is one of the moments.
                Err(error) if options.faults.is_some() => {
                    println!("round {round}: did not start under {:?}: {error:#}", options.faults);
                    continue;
                }
                Err(error) => panic!("round {round}: {error:#}"),
            };
            let broker = self.broker.as_mut().filter(|_| round % 3 == 1);
            producers = one_life(process, producers, &mut random, broker).await;
        }
        let process = start(folder.path());
        producers = resend(&process, producers).await;
        verify(&process, &producers).await;
    }
}

/// One life of the node: load, then SIGKILL at a random moment. A broker that is given is killed and started again
/// before that, and the node has to go on with it.
async fn one_life(
    process: FlowlineProcess,
    producers: Vec<Producer>,
    random: &mut Random,
    broker: Option<&mut KafkaBroker>,
) -> Vec<Producer> {
    let stop = CancellationToken::new();
    let tasks: Vec<_> = producers
        .into_iter()
        .map(|producer| tokio::spawn(producer.produce(process.http.clone(), random.next_u64(), stop.clone())))
        .collect();
    if let Some(broker) = broker {
        tokio::time::sleep(Duration::from_millis(random.below(1_000))).await;
        tokio::task::block_in_place(|| {
            broker.crash().unwrap();
            broker.restart().unwrap();
        });
    }
    tokio::time::sleep(Duration::from_millis(50 + random.below(1_500))).await;
    process.kill().unwrap();
    stop.cancel();
    let mut producers = Vec::new();
    for task in tasks {
        producers.push(task.await.unwrap());
    }
    producers
}

/// Sends again, with the same keys, what got no answer.
async fn resend(process: &FlowlineProcess, producers: Vec<Producer>) -> Vec<Producer> {
    let stop = CancellationToken::new();
    stop.cancel();
    let mut after = Vec::new();
    for producer in producers {
        let producer = producer.produce(process.http.clone(), 0, stop.clone()).await;
        assert!(producer.pending.is_empty(), "a keyed request was refused by a healthy node");
        after.push(producer);
    }
    after
}

async fn verify(process: &FlowlineProcess, producers: &[Producer]) {
    until_landed(process).await;
    for source in ["crash.events", "crash.orders"] {
        let landed = ids(process, source).await;
        let rejected = rejected_ids(process, source).await;
        let counted = |id: &str| landed.get(id).unwrap_or(&0) + rejected.get(id).unwrap_or(&0);
        let (mut acknowledged, mut unknown) = (0, 0);
        for told in producers.iter().filter_map(|producer| producer.told.get(source)) {
            for id in &told.acknowledged {
                assert_eq!(counted(id), 1, "acknowledged record `{id}` of {source}");
                let expected = told.rejected_on_purpose.contains(id);
                assert_eq!(rejected.contains_key(id), expected, "`{id}` of {source} is on the wrong side");
                acknowledged += 1;
            }
            for id in &told.unknown {
                assert!(counted(id) <= 1, "record `{id}` of {source}, never acknowledged, is there twice");
                unknown += counted(id);
            }
        }
        let all: u64 = landed.values().sum::<u64>() + rejected.values().sum::<u64>();
        assert_eq!(all, acknowledged + unknown, "{source} holds records that nobody sent");
        println!("{source}: {acknowledged} acknowledged, {unknown} kept without an acknowledgement");
    }
    assert_eq!(
        ids(process, "crash.totals").await,
        ids(process, "crash.events").await,
        "the transform's table"
    );
    let counts = process.query("SELECT dataset, balance, missing, gap FROM system.counts").await.unwrap();
    for row in counts {
        assert_ne!(row["balance"], json!("unbalanced"), "{row}");
        assert_eq!(row["gap"].as_i64().unwrap_or(0), 0, "{row}");
    }
}

/// Waits until every hop has caught up; panics after two minutes.
async fn until_landed(process: &FlowlineProcess) {
    let started = SystemClock.instant();
    loop {
        let rows = process
            .query("SELECT dataset, state, running, lag_records, lag_versions, last_error FROM system.hops")
            .await
            .unwrap();
        let waits = |row: &&Value| {
            ["lag_records", "lag_versions"].iter().any(|lag| row[*lag].as_i64().unwrap_or(0) != 0)
        };
        let behind: Vec<_> = rows.iter().filter(waits).collect();
        if behind.is_empty() && !rows.is_empty() {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "still behind: {behind:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ids(process: &FlowlineProcess, dataset: &str) -> HashMap<String, u64> {
    counted(process, &format!("SELECT id, count(*) AS n FROM {dataset} GROUP BY id")).await
}

async fn rejected_ids(process: &FlowlineProcess, dataset: &str) -> HashMap<String, u64> {
    let rows = all_rows(process, &format!(r#"SELECT _record AS record FROM quarantine."{dataset}""#)).await;
    let mut counts = HashMap::new();
    for row in rows {
        let record: Value = serde_json::from_str(row["record"].as_str().unwrap()).unwrap();
        *counts.entry(record["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

async fn counted(process: &FlowlineProcess, sql: &str) -> HashMap<String, u64> {
    let rows = all_rows(process, sql).await;
    rows.into_iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap())).collect()
}

async fn all_rows(process: &FlowlineProcess, sql: &str) -> Vec<Value> {
    let client = http_client();
    let body = json!({ "sql": sql, "rows_max": 5_000_000 });
    let response = client.post(format!("{}/v1/query", process.http)).json(&body).send().await.unwrap();
    let answer: Value = response.json().await.unwrap();
    answer["rows"].as_array().unwrap_or_else(|| panic!("`{sql}` answered {answer}")).clone()
}

pub fn seed() -> u64 {
    let wanted = std::env::var("FLOWLINE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or_else(|| Random::unseeded().next_u64())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigkill_at_random_moments_loses_nothing_and_doubles_nothing() {
    let flowline = FLOWLINE.to_owned();
    Trial { rounds: 25, seed: seed(), faults: &[], flowline, broker: None }.run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigkill_under_storage_faults_loses_nothing_and_doubles_nothing() {
    let faults = &[
        "lake.put=error-before:0.05,error-after:0.05,error-during:0.05",
        "lake.put=slow:0.2:100ms",
        "lake.put=denied:0.1",
        "lake.put=full:0.1",
        "log.sync=fail@40",
        "log.write=short@40",
        "log.write=enospc@40",
    ];
    let flowline = FLOWLINE.to_owned();
    Trial { rounds: 14, seed: seed(), faults, flowline, broker: None }.run().await;
}
