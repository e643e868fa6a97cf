//! The peers of the ingest measurement, each started, loaded and ended here: NATS JetStream and Apache Kafka.
//!
//! `scripts/peers` installs them; one that is not installed is reported as such.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use flowline_base::{Clock, RunId, SystemClock};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::load::{LoadOptions, LoadResult, RECORD_BYTES};

const NATS: &str = "127.0.0.1:4291";
const KAFKA: &str = "127.0.0.1:9391";

/// The same number of 200-byte records at each peer, durable in the same sense; fewer where a peer is slow.
pub async fn ingest(folder: &Path, options: &LoadOptions) -> anyhow::Result<Value> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.peers");
    let nats = measured(nats(&peers, folder, options).await);
    let kafka = measured(kafka(&peers, folder, options));
    Ok(json!({ "nats_jetstream_sync_always": nats, "kafka_acks_all_flush_messages_1": kafka }))
}

fn measured(result: anyhow::Result<Value>) -> Value {
    result.unwrap_or_else(|error| json!({ "not_measured": format!("{error:#}") }))
}

/// A peer's process, ended when dropped.
struct Peer(Child);

impl Peer {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn reachable(address: &str) -> anyhow::Result<()> {
    for _ in 0..300 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("nothing listens on {address} after 30 s")
}

async fn nats(peers: &Path, folder: &Path, options: &LoadOptions) -> anyhow::Result<Value> {
    let binary = peers.join("nats/nats-server");
    ensure!(binary.is_file(), "not installed: run `scripts/peers nats`");
    let data = tempfile::tempdir_in(folder)?;
    let config = data.path().join("nats.conf");
    let (host, port) = NATS.split_once(':').context("an address")?;
    std::fs::write(
        &config,
        format!(
            "listen: \"{host}:{port}\"\njetstream {{ store_dir: {:?}, sync_interval: always }}\n",
            data.path()
        ),
    )?;
    let _server = Peer::start(Command::new(binary).arg("--config").arg(config))?;
    reachable(NATS).await?;
    NatsConnection::open().await?.create_stream().await?;
    let records = options.records / 20;
    let batches = records / options.batch / options.connections;
    let started = SystemClock.instant();
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        let batch = options.batch;
        connections
            .push(tokio::spawn(async move { NatsConnection::open().await?.publish(batches, batch).await }));
    }
    let mut result = LoadResult { seconds: 0.0, records: 0, refused: 0, latency: Histogram::new(3)? };
    for connection in connections {
        let latency: Histogram<u64> = connection.await??;
        result.records += latency.len() * options.batch;
        result.latency.add(latency)?;
    }
    result.seconds = started.elapsed().as_secs_f64();
    Ok(result.json())
}

/// One connection in the NATS text protocol, which is small enough to speak by hand.
struct NatsConnection {
    stream: BufReader<TcpStream>,
    inbox: String,
}

impl NatsConnection {
    async fn open() -> anyhow::Result<Self> {
        let stream = TcpStream::connect(NATS).await?;
        stream.set_nodelay(true)?;
        let inbox = format!("_INBOX.{}", RunId::generate());
        let mut connection = Self { stream: BufReader::new(stream), inbox };
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB {} 1\r\nPING\r\n",
            connection.inbox
        );
        connection.stream.get_mut().write_all(hello.as_bytes()).await?;
        connection.line_starting("PONG").await?;
        Ok(connection)
    }

    async fn create_stream(&mut self) -> anyhow::Result<()> {
        let config = r#"{"name":"bench","subjects":["bench.>"],"storage":"file","num_replicas":1}"#;
        let inbox = &self.inbox;
        let request = format!("PUB $JS.API.STREAM.CREATE.bench {inbox} {}\r\n{config}\r\n", config.len());
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        let answer: Value = serde_json::from_slice(&self.message().await?)?;
        ensure!(answer["error"].is_null(), "creating the stream: {answer}");
        Ok(())
    }

    /// Publishes batches of single messages, each batch in one write, and waits for every acknowledgement of a batch
    /// before the next. The latency of a batch is that of its last acknowledgement, in microseconds.
    async fn publish(mut self, batches: u64, batch: u64) -> anyhow::Result<Histogram<u64>> {
        let payload = vec![b'x'; RECORD_BYTES];
        let mut bytes = Vec::new();
        for _ in 0..batch {
            write!(bytes, "PUB bench.events {} {RECORD_BYTES}\r\n", self.inbox)?;
            bytes.extend_from_slice(&payload);
            bytes.extend_from_slice(b"\r\n");
        }
        let mut latency = Histogram::new(3)?;
        for _ in 0..batches {
            let started = SystemClock.instant();
            self.stream.get_mut().write_all(&bytes).await?;
            for _ in 0..batch {
                let answer = self.message().await?;
                ensure!(!answer.starts_with(b"{\"error"), "{}", String::from_utf8_lossy(&answer));
            }
            latency.record(started.elapsed().as_micros() as u64)?;
        }
        Ok(latency)
    }

    async fn line_starting(&mut self, start: &str) -> anyhow::Result<String> {
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line).await? > 0, "the server hung up");
            if line.starts_with("-ERR") {
                bail!("the server answered {line}");
            }
            if line.starts_with(start) {
                return Ok(line);
            }
        }
    }

    /// Reads one message and returns its payload.
    async fn message(&mut self) -> anyhow::Result<Vec<u8>> {
        let line = self.line_starting("MSG").await?;
        let bytes: usize = line.split_whitespace().last().context("a MSG line has a length")?.parse()?;
        let mut payload = vec![0; bytes + 2];
        self.stream.read_exact(&mut payload).await?;
        payload.truncate(bytes);
        Ok(payload)
    }
}

const KAFKA_PROPERTIES: &str = "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9392
listeners=PLAINTEXT://127.0.0.1:9391,CONTROLLER://127.0.0.1:9392
controller.listener.names=CONTROLLER
offsets.topic.replication.factor=1
num.partitions=8
log.flush.interval.messages=1
";

fn kafka(peers: &Path, folder: &Path, options: &LoadOptions) -> anyhow::Result<Value> {
    let libraries = peers.join("kafka/libs");
    ensure!(libraries.is_dir(), "not installed: run `scripts/peers kafka`");
    let class_path = format!("{}/*", libraries.display());
    let data = tempfile::tempdir_in(folder)?;
    let properties = data.path().join("server.properties");
    std::fs::write(
        &properties,
        format!("{KAFKA_PROPERTIES}log.dirs={}\n", data.path().join("logs").display()),
    )?;
    let java = |arguments: &[&str]| {
        let mut command = Command::new("java");
        command.args(["-Xmx1g", "-cp", &class_path]).args(arguments);
        command
    };
    let file = properties.display().to_string();
    let formatted =
        java(&["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", &file]).output()?;
    ensure!(formatted.status.success(), "formatting: {}", String::from_utf8_lossy(&formatted.stderr));
    let _server = Peer::start(&mut java(&["kafka.Kafka", &file]))?;
    wait_for_port(KAFKA)?;
    let records = (options.records / 5).to_string();
    let size = RECORD_BYTES.to_string();
    let batch = format!("batch.size={}", options.batch as usize * RECORD_BYTES);
    let servers = format!("bootstrap.servers={KAFKA}");
    let output = java(&[
        "org.apache.kafka.tools.ProducerPerformance",
        "--topic",
        "bench",
        "--num-records",
        &records,
        "--record-size",
        &size,
        "--throughput",
        "-1",
        "--producer-props",
        &servers,
        "acks=all",
        &batch,
        "linger.ms=5",
    ])
    .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().rfind(|line| line.contains("records/sec")).map(str::to_owned);
    let last = last.with_context(|| format!("no result: {}", String::from_utf8_lossy(&output.stderr)))?;
    let speed = last
        .split(", ")
        .find_map(|part| part.split_once(" records/sec"))
        .and_then(|(n, _)| n.parse::<f64>().ok());
    Ok(
        json!({ "records_per_second": speed, "said": last, "producer": "one ProducerPerformance, 8 partitions" }),
    )
}

#[allow(
    clippy::disallowed_methods,
    reason = "a peer says nothing when it is up; it has to be asked again and again"
)]
fn wait_for_port(address: &str) -> anyhow::Result<()> {
    for _ in 0..600 {
        if std::net::TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("nothing listens on {address} after 60 s")
}
