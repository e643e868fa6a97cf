//! What keeps one client from taking the node down, and how the node ends.

use std::time::Duration;

use flowline_serve::Limits;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Node, Setup, answer, problem};

fn limited(limits: Limits) -> Setup {
    Setup { limits, ..Setup::default() }
}

#[tokio::test]
async fn a_client_that_dawdles_is_cut_off() {
    let limits = Limits {
        header_timeout: Duration::from_millis(200),
        body_idle_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let node = Node::start_with(limited(limits)).await;
    let mut slow_headers = TcpStream::connect(node.http).await.unwrap();
    slow_headers.write_all(b"GET /healthz HTTP/1.1\r\nhost: loc").await.unwrap();
    let mut said = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), slow_headers.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "still open after five seconds");

    for first in ["", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        let mut idle = TcpStream::connect(node.http).await.unwrap();
        idle.write_all(first.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), idle.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "still open after five seconds, with {first:?}");
    }

    let mut slow_body = TcpStream::connect(node.http).await.unwrap();
    let head = "POST /v1/sources/shop.orders/records HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: 100\r\n\r\n{}\n";
    slow_body.write_all(head.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), slow_body.read_to_end(&mut said)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&said).starts_with("HTTP/1.1 408"), "{}", String::from_utf8_lossy(&said));
    assert_eq!(answer(node.get("/healthz")).await.0, 200);
}

#[tokio::test]
async fn headers_are_bounded() {
    let node = Node::start_with(limited(Limits { header_bytes_max: 4096, ..Limits::default() })).await;
    let long = node.get("/v1/status").header("x-long", "x".repeat(8192));
    assert_eq!(problem(long).await, (431, "headers-too-large".to_owned()));
}

#[tokio::test]
async fn bodies_share_a_budget() {
    let node =
        Node::start_with(limited(Limits { body_bytes_inflight_max: 16 << 10, ..Limits::default() })).await;
    let large = node.send("shop.orders", "application/x-ndjson", "x".repeat(64 << 10));
    assert_eq!(problem(large).await, (429, "overloaded".to_owned()));
    for _ in 0..20 {
        let small = node.send("shop.orders", "application/x-ndjson", "{}\n".repeat(4000));
        assert_eq!(answer(small).await.0, 200);
    }
}

#[tokio::test]
async fn only_so_many_pages_follow() {
    let node = Node::start_with(limited(Limits { followers_max: 1, ..Limits::default() })).await;
    let first = node.get("/events").send().await.unwrap();
    assert_eq!(first.status(), 200);
    assert_eq!(problem(node.get("/events")).await, (429, "overloaded".to_owned()));
    drop(first);
    let free = async { while node.get("/events").send().await.unwrap().status() != 200 {} };
    tokio::time::timeout(Duration::from_secs(10), free).await.unwrap();
}

#[tokio::test]
async fn requests_under_way_end_before_the_node_does() {
    let node = Node::start().await;
    let (http, shutdown) = (node.http, node.shutdown.clone());
    let mut half = TcpStream::connect(http).await.unwrap();
    let head = "POST /v1/sources/shop.orders/records HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: 3\r\n\r\n";
    half.write_all(head.as_bytes()).await.unwrap();
    // Another request answered on the same server means that the first one was read.
    assert_eq!(answer(node.get("/healthz")).await.0, 200);
    let follower = node.get("/events").send().await.unwrap();
    shutdown.cancel();
    half.write_all(b"{}\n").await.unwrap();
    let mut said = Vec::new();
    half.read_to_end(&mut said).await.unwrap();
    assert!(String::from_utf8_lossy(&said).contains("\"accepted\":1"), "{}", String::from_utf8_lossy(&said));
    follower.text().await.unwrap();
    tokio::time::timeout(Duration::from_secs(4), node.stop()).await.unwrap();
    assert!(TcpStream::connect(http).await.is_err());
}

#[tokio::test]
async fn any_bytes_are_answered_or_cut_off() {
    let node = Node::start().await;
    for bytes in
        [&b"\x00\x01\x02\x03"[..], b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n", b"\r\n\r\n\r\n", &[0xff; 4096]]
    {
        for address in [node.http, node.postgres] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let mut said = Vec::new();
            let _ =
                tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut said)).await.unwrap();
        }
    }
    assert_eq!(answer(node.post("/v1/query").json(&json!({"sql": "select 1 as one"}))).await.0, 200);
    assert!(node.connect().await.simple_query("select 1").await.is_ok());
}
