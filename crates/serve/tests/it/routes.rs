//! What holds for every route.

use std::collections::BTreeSet;

use flowline_serve::openapi;

use crate::support::{Node, answer, problem};

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let node = Node::start().await;
    assert_eq!(problem(node.get("/nothing")).await, (404, "not-found".to_owned()));
    let response = node.get("/v1/query").send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["allow"].to_str().unwrap()), (405, "POST"));
    assert_eq!(problem(node.get("/v1/query")).await, (405, "method-not-allowed".to_owned()));
    let deleted = node.client.delete(node.url("/v1/status"));
    assert_eq!(problem(deleted).await, (405, "method-not-allowed".to_owned()));
    assert_eq!(node.client.head(node.url("/v1/status")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn probes_and_metrics() {
    let node = Node::start().await;
    assert_eq!(answer(node.get("/healthz")).await.0, 200);
    assert_eq!(answer(node.get("/readyz")).await.0, 200);
    node.readiness.not_ready("log", "recovering 3 segments");
    let (status, found) = answer(node.get("/readyz")).await;
    assert_eq!((status, found["reasons"][0]["part"].as_str()), (503, Some("log")));
    node.readiness.ready("log");
    assert_eq!(answer(node.get("/readyz")).await.0, 200);
    let metrics = node.get("/metrics").send().await.unwrap();
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
}

/// Every answer of an operation that is a problem says so by its media type, and every route is described.
#[test]
fn the_description_is_whole() {
    let document = serde_json::to_value(openapi()).unwrap();
    let paths: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let routes = [
        "/v1/sources/{source}/records",
        "/v1/query",
        "/v1/status",
        "/v1/ledger",
        "/v1/datasets",
        "/v1/quarantine/{dataset}",
        "/v1/quarantine/{dataset}/discard",
        "/v1/quarantine/{dataset}/replay",
        "/v1/streams/{dataset}/replay",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ];
    assert_eq!(paths, BTreeSet::from(routes));
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for status in ["400", "401", "403", "500"] {
                assert!(
                    operation["responses"][status].is_object(),
                    "{method} {path} does not describe {status}"
                );
            }
        }
    }
    assert_resolves(&document, &document);
}

/// Every reference within the document leads somewhere.
fn assert_resolves(document: &serde_json::Value, at: &serde_json::Value) {
    match at {
        serde_json::Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(|reference| reference.as_str()) {
                assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
            }
            members.values().for_each(|member| assert_resolves(document, member));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| assert_resolves(document, item)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_names_the_projects_sources() {
    let node = Node::start().await;
    let (_, document) = answer(node.get("/openapi.json")).await;
    let names =
        |path: &str, method: &str| document["paths"][path][method]["parameters"][0]["schema"]["enum"].clone();
    let sources = names("/v1/sources/{source}/records", "post");
    assert_eq!(sources, serde_json::json!(["shop.events", "shop.orders", "shop.strict"]));
    assert_eq!(names("/v1/quarantine/{dataset}", "get").as_array().unwrap().len(), 5);
    assert_eq!(names("/v1/quarantine/{dataset}/discard", "post").as_array().unwrap().len(), 5);
    assert_eq!(names("/v1/quarantine/{dataset}/replay", "post").as_array().unwrap().len(), 4);
}
