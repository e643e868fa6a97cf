//! Records in.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flowline_log::{
    Appended, Batch, Bounds, EventLog, LogError, LogSlab, PartitionId, PartitionStatus, RecordFormat,
    Retained,
};
use serde_json::json;

use crate::support::{Node, Setup, answer, problem};

const NDJSON: &str = "application/x-ndjson";

fn orders(partition: u32) -> PartitionId {
    PartitionId::new("shop.orders".parse().unwrap(), partition)
}

async fn batches(node: &Node, source: &str, partition: u32) -> Vec<Batch> {
    let id = PartitionId::new(source.parse().unwrap(), partition);
    let slab = node.log.read(&id, 0, usize::MAX).await.unwrap();
    slab.frames.into_iter().map(|frame| frame.batch).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_is_acknowledged_is_in_the_log_as_it_was_sent() {
    let node = Node::start().await;
    let body = "{\"order_id\":\"a\"}\n{\"order_id\":\"b\"}\nnot json\n";
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request = node
        .send("shop.orders", NDJSON, body)
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    let response = request.send().await.unwrap();
    assert!(response.headers()["traceparent"].to_str().unwrap().starts_with(&format!("00-{trace}-")));
    let accepted: serde_json::Value = response.json().await.unwrap();
    assert_eq!(accepted, json!({"accepted": 3, "positions": [{"partition": 0, "first": 0, "last": 2}]}));
    let (_, again) = answer(node.send("shop.orders", NDJSON, "{}\n")).await;
    assert_eq!(again, json!({"accepted": 1, "positions": [{"partition": 0, "first": 3, "last": 3}]}));

    let batches = batches(&node, "shop.orders", 0).await;
    assert_eq!(batches[0].record(1), Some(&b"{\"order_id\":\"b\"}"[..]));
    assert_eq!(batches[0].record(2), Some(&b"not json"[..]));
    assert_eq!(batches[0].trace_id.unwrap().to_string(), trace);
    assert!(batches[1].trace_id.is_some() && batches[1].trace_id != batches[0].trace_id);
}

#[tokio::test]
async fn every_content_type_is_taken() {
    let node = Node::start().await;
    let arrow = {
        use arrow::array::{Int64Array, RecordBatch};
        let column: arrow::array::ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let mut writer = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    let event =
        json!({"specversion": "1.0", "id": "1", "source": "/shop", "type": "t", "data": {"order_id": "a"}});
    let sent: Vec<(&str, Vec<u8>, u64, RecordFormat)> = vec![
        ("application/json", b"{\"a\":1}".to_vec(), 1, RecordFormat::Json),
        ("application/json; charset=utf-8", b"[{\"a\":1},{\"a\":2}]".to_vec(), 2, RecordFormat::Json),
        (NDJSON, b"{\"a\":1}\n".to_vec(), 1, RecordFormat::Json),
        ("text/csv", b"order_id,amount\na,1\nb,2\n".to_vec(), 2, RecordFormat::Csv),
        ("application/vnd.apache.arrow.stream", arrow, 3, RecordFormat::ArrowStream),
        ("application/cloudevents+json", event.to_string().into_bytes(), 1, RecordFormat::CloudEvent),
        (
            "application/cloudevents-batch+json",
            json!([event, event]).to_string().into_bytes(),
            2,
            RecordFormat::CloudEvent,
        ),
    ];
    let mut first = 0;
    for (content_type, body, records, format) in sent {
        let (status, accepted) = answer(node.send("shop.orders", content_type, body)).await;
        assert_eq!((status, &accepted["accepted"]), (200, &json!(records)), "{content_type}: {accepted}");
        assert_eq!(accepted["positions"][0]["first"], first, "{content_type}");
        first += records;
        assert_eq!(batches(&node, "shop.orders", 0).await.last().unwrap().format, format, "{content_type}");
    }
    let binary = node.send("shop.orders", "application/json", "{\"order_id\":\"a\"}").headers(
        [("ce-specversion", "1.0"), ("ce-id", "7"), ("ce-source", "/shop"), ("ce-type", "t")]
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .into_iter()
            .collect(),
    );
    assert_eq!(answer(binary).await.0, 200);
    let event = batches(&node, "shop.orders", 0).await.pop().unwrap();
    assert_eq!(event.format, RecordFormat::CloudEvent);
    assert!(String::from_utf8_lossy(&event.payload).contains("\"id\":\"7\""));
}

#[tokio::test]
async fn compressed_bodies_are_read_and_broken_ones_refused() {
    let node = Node::start().await;
    let plain = "{\"order_id\":\"a\"}\n".repeat(1000);
    let zstd = zstd::encode_all(plain.as_bytes(), 1).unwrap();
    for (encoding, body) in
        [("gzip", gzip(plain.as_bytes())), ("zstd", zstd), ("identity", plain.clone().into_bytes())]
    {
        let request = node.send("shop.orders", NDJSON, body).header("content-encoding", encoding);
        assert_eq!(answer(request).await.1["accepted"], 1000, "{encoding}");
    }
    let two_members = [gzip(b"{}\n"), gzip(b"{}\n")].concat();
    let request = node.send("shop.orders", NDJSON, two_members).header("content-encoding", "gzip");
    assert_eq!(answer(request).await.1["accepted"], 2);
    let whole = gzip(plain.as_bytes());
    for (encoding, body) in
        [("gzip", whole[..whole.len() / 2].to_vec()), ("zstd", whole), ("gzip", b"x".to_vec())]
    {
        let request = node.send("shop.orders", NDJSON, body).header("content-encoding", encoding);
        assert_eq!(problem(request).await, (400, "bad-request".to_owned()), "{encoding}");
    }
    for encoding in ["br", "gzip, zstd", "deflate"] {
        let request = node.send("shop.orders", NDJSON, "{}").header("content-encoding", encoding);
        assert_eq!(problem(request).await, (415, "unsupported-content-encoding".to_owned()), "{encoding}");
    }
    assert_eq!(node.log.bounds(&orders(0)).await.unwrap().end, 3002);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_and_after_decompression() {
    let node = Node::start_with(Setup { body_bytes_max: 64 << 10, ..Setup::default() }).await;
    let large = "x".repeat((64 << 10) + 1);
    let too_large = (413, "body-too-large".to_owned());
    assert_eq!(problem(node.send("shop.orders", NDJSON, large.clone())).await, too_large);
    let pieces = futures::stream::iter((0..4).map(move |_| Ok::<_, std::io::Error>("x".repeat(20 << 10))));
    assert_eq!(
        problem(node.send("shop.orders", NDJSON, reqwest::Body::wrap_stream(pieces))).await,
        too_large
    );
    let bomb = vec![b'x'; 4 << 20];
    for (encoding, body) in [("gzip", gzip(&bomb)), ("zstd", zstd::encode_all(&bomb[..], 1).unwrap())] {
        assert!(body.len() < 64 << 10);
        let request = node.send("shop.orders", NDJSON, body).header("content-encoding", encoding);
        assert_eq!(problem(request).await, too_large, "{encoding}");
    }
    assert_eq!(answer(node.send("shop.orders", NDJSON, "{}\n")).await.0, 200);
}

#[tokio::test]
async fn the_same_key_returns_the_first_answer_also_after_a_restart() {
    let node = Node::start().await;
    let send = |node: &Node, source: &str, key: &str, body: &'static str| {
        node.send(source, NDJSON, body).header("idempotency-key", key)
    };
    let body = "{\"order_id\":\"a\"}\n{\"order_id\":\"b\"}\n{\"order_id\":\"c\"}\n{\"order_id\":\"d\"}\n";
    let (_, first) = answer(send(&node, "shop.orders", "k1", body)).await;
    let (_, events) = answer(send(&node, "shop.events", "k1", body)).await;
    assert_eq!(events["accepted"], 4);
    assert_eq!(events["positions"].as_array().unwrap().len(), 2, "{events}");
    assert_eq!(answer(send(&node, "shop.orders", "k1", body)).await, (200, first.clone()));
    assert_ne!(answer(send(&node, "shop.orders", "k2", body)).await.1, first);

    let folder = node.stop().await;
    let node = Node::start_in(folder, Setup::default()).await;
    assert_eq!(answer(send(&node, "shop.orders", "k1", body)).await, (200, first));
    assert_eq!(answer(send(&node, "shop.events", "k1", body)).await, (200, events));
    assert_eq!(node.log.bounds(&orders(0)).await.unwrap().end, 8);

    let reused = problem(send(&node, "shop.orders", "k1", "{\"order_id\":\"e\"}\n")).await;
    assert_eq!(reused, (422, "idempotency-key-reused".to_owned()));
    assert_eq!(node.log.bounds(&orders(0)).await.unwrap().end, 8, "nothing is appended");

    for key in ["", &"x".repeat(256), "two words"] {
        let request = send(&node, "shop.orders", key, body);
        assert_eq!(problem(request).await, (400, "bad-request".to_owned()), "{key:?}");
    }
}

#[tokio::test]
async fn records_with_the_same_key_go_to_the_same_partition() {
    let node = Node::start().await;
    let record = |id: u32, n: u32| format!("{{\"order_id\":\"{}\",\"n\":{n}}}\n", id % 20);
    let body: String = (0..200).map(|n| record(n, n)).collect();
    let (_, accepted) = answer(node.send("shop.events", NDJSON, body)).await;
    assert_eq!(accepted["accepted"], 200);
    let mut partition_of = std::collections::HashMap::new();
    for partition in 0..2 {
        for batch in batches(&node, "shop.events", partition).await {
            for index in 0..batch.records as usize {
                let record: serde_json::Value = serde_json::from_slice(batch.record(index).unwrap()).unwrap();
                let before = partition_of.insert(record["order_id"].to_string(), partition);
                assert!(before.is_none_or(|before| before == partition), "{record}");
            }
        }
    }
    assert_eq!(partition_of.len(), 20);
}

#[tokio::test]
async fn an_unknown_source_is_answered_with_the_nearest() {
    let node = Node::start().await;
    let (status, document) = answer(node.send("shop.order", NDJSON, "{}")).await;
    assert_eq!((status, &document["nearest"][0]), (404, &json!("shop.orders")), "{document}");
    let (status, document) = answer(node.send("shop.products", NDJSON, "{}")).await;
    assert_eq!(status, 404);
    assert!(document["detail"].as_str().unwrap().contains("`files`"), "{document}");
    for name in ["no-dot", "shop.%FF", "shop.%00", &"x".repeat(300)] {
        let (status, _) = problem(node.send(name, NDJSON, "{}")).await;
        assert!(status == 404 || status == 400, "{name}: {status}");
    }
}

#[tokio::test]
async fn what_is_not_understood_is_told() {
    let node = Node::start().await;
    let unsupported = (415, "unsupported-media-type".to_owned());
    assert_eq!(problem(node.send("shop.orders", "application/xml", "<a/>")).await, unsupported);
    assert_eq!(problem(node.post("/v1/sources/shop.orders/records").body("{}")).await, unsupported);
    let arrow = node.send("shop.orders", "application/vnd.apache.arrow.stream", "not arrow");
    assert_eq!(problem(arrow).await, (400, "bad-request".to_owned()));
    let nothing = node.send("shop.orders", "application/json", " \n");
    assert_eq!(problem(nothing).await, (400, "bad-request".to_owned()));
    let (status, accepted) = answer(node.send("shop.orders", NDJSON, "")).await;
    assert_eq!((status, accepted), (200, json!({"accepted": 0, "positions": []})));
}

#[tokio::test]
async fn a_strict_source_refuses_all_and_says_what_is_wrong_with_each() {
    let node = Node::start().await;
    let body = "{\"order_id\":\"a\",\"amount\":1.5}\n{\"amount\":\"x\",\"order_id\":\"b\"}\n{}\nnot json\n";
    let (status, document) = answer(node.send("shop.strict", NDJSON, body)).await;
    assert_eq!(status, 422, "{document}");
    let errors: Vec<(u64, &str, Option<&str>)> = document["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (error["record"].as_u64().unwrap(), error["reason"].as_str().unwrap(), error["column"].as_str())
        })
        .collect();
    let expected =
        [(1, "wrong-type", Some("amount")), (2, "missing", Some("order_id")), (3, "unparsable", None)];
    assert_eq!(errors, expected, "{document}");
    let strict = PartitionId::new("shop.strict".parse().unwrap(), 0);
    assert_eq!(node.log.bounds(&strict).await.unwrap().end, 0);
    let (status, accepted) =
        answer(node.send("shop.strict", NDJSON, "{\"order_id\":\"a\",\"amount\":1.5}\n")).await;
    assert_eq!((status, &accepted["accepted"]), (200, &json!(1)));
}

#[tokio::test]
async fn what_the_log_refuses_has_its_status() {
    let partition = orders(0);
    let full = LogError::Full {
        partition: partition.clone(),
        bytes: 10,
        bytes_max: 10,
        retry_after: Duration::from_millis(1500),
    };
    let refusals = [
        (full, 429, "log-full", Some("2")),
        (
            LogError::StorageFull { partition: partition.clone(), path: "/log".into() },
            507,
            "storage-full",
            None,
        ),
        (LogError::Stopped { partition, reason: "fdatasync: EIO".to_owned() }, 503, "log-stopped", Some("5")),
        (LogError::Closed, 503, "log-stopped", Some("5")),
    ];
    for (error, status, code, retry_after) in refusals {
        let log: Arc<dyn EventLog> = Arc::new(RefusingLog(error));
        let node = Node::start_with(Setup { other_log: Some(log), ..Setup::default() }).await;
        let response = node.send("shop.orders", NDJSON, "{}").send().await.unwrap();
        let told = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(told.as_deref(), retry_after, "{code}");
        assert_eq!(problem(node.send("shop.orders", NDJSON, "{}")).await, (status, code.to_owned()));
    }
}

#[tokio::test]
async fn a_full_log_pushes_back_and_loses_nothing() {
    let log =
        flowline_model::LogSettings { bytes_max: 64 << 10, segment_bytes: 16 << 10, ..Default::default() };
    let node = Node::start_with(Setup { log, ..Setup::default() }).await;
    let body = "{\"order_id\":\"a\"}\n".repeat(500);
    let mut acknowledged = 0;
    let refused = loop {
        let response = node.send("shop.orders", NDJSON, body.clone()).send().await.unwrap();
        if response.status() != 200 {
            break response;
        }
        acknowledged += 500;
        assert!(acknowledged < 100_000, "the log never fills");
    };
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(node.log.bounds(&orders(0)).await.unwrap().end, acknowledged);
    node.log.release(&orders(0), acknowledged).await.unwrap();
}

/// A log that refuses every append.
#[derive(Debug)]
struct RefusingLog(LogError);

#[async_trait]
impl EventLog for RefusingLog {
    async fn append(&self, _: &PartitionId, _: Batch) -> Result<Appended, LogError> {
        Err(self.0.clone())
    }

    async fn read(&self, _: &PartitionId, _: u64, _: usize) -> Result<LogSlab, LogError> {
        Err(LogError::Closed)
    }

    async fn bounds(&self, _: &PartitionId) -> Result<Bounds, LogError> {
        Ok(Bounds { start: 0, end: 0 })
    }

    async fn offset_at(&self, _: &PartitionId, _: i64) -> Result<u64, LogError> {
        Ok(0)
    }

    async fn wait_beyond(&self, _: &PartitionId, _: u64) -> Result<(), LogError> {
        Err(LogError::Closed)
    }

    async fn release(&self, _: &PartitionId, _: u64) -> Result<(), LogError> {
        Ok(())
    }

    async fn enforce_retention(&self) -> Result<Retained, LogError> {
        Ok(Retained::default())
    }

    fn status(&self) -> Vec<PartitionStatus> {
        Vec::new()
    }

    async fn close(&self) -> Result<(), LogError> {
        Ok(())
    }
}
