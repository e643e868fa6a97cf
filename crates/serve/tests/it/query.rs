//! Answers out.

use arrow::ipc::reader::StreamReader;
use flowline_serve::Limits;
use serde_json::{Value, json};

use crate::support::{Node, Setup, answer, problem};

async fn ask(node: &Node, request: Value) -> (u16, Value) {
    answer(node.post("/v1/query").json(&request)).await
}

#[tokio::test]
async fn json_has_columns_rows_and_what_was_read() {
    let node = Node::start().await;
    let (status, found) =
        ask(&node, json!({"sql": "select id, letter, ratio from shop.letters order by id"})).await;
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["rows"][2], json!({"id": 3, "letter": "ü", "ratio": -0.25}));
    assert_eq!(found["columns"][1], json!({"name": "letter", "type": "string", "nullable": false}));
    assert_eq!((&found["row_count"], &found["truncated"]), (&json!(3), &json!(false)));
    let (_, empty) = ask(&node, json!({"sql": "select order_id from shop.orders"})).await;
    assert_eq!(
        (&empty["rows"], &empty["reads"][0]["dataset"]),
        (&json!([]), &json!("shop.orders")),
        "{empty}"
    );
    assert_eq!(empty["reads"][0]["version"], Value::Null);
}

#[tokio::test]
async fn rows_come_in_the_format_that_is_accepted() {
    let node = Node::start().await;
    let request = json!({"sql": "select * from shop.letters order by id", "rows_max": 2});
    let fetch = async |accept: &str| {
        let response = node.post("/v1/query").header("accept", accept).json(&request).send().await.unwrap();
        assert_eq!(response.status(), 200, "{accept}");
        assert_eq!(response.headers()["flowline-rows-max"], "2");
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        (content_type, response.bytes().await.unwrap())
    };
    let (content_type, csv) = fetch("text/csv").await;
    assert_eq!(
        (content_type.as_str(), &csv[..]),
        ("text/csv; charset=utf-8", &b"id,letter,ratio\n1,a,1.5\n2,b,\n"[..])
    );
    let (content_type, lines) = fetch("application/x-ndjson").await;
    assert_eq!(content_type, "application/x-ndjson");
    assert_eq!(std::str::from_utf8(&lines).unwrap().lines().count(), 2);
    let (_, stream) = fetch("application/vnd.apache.arrow.stream").await;
    let rows: usize =
        StreamReader::try_new(&stream[..], None).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 2);
    let (content_type, _) = fetch("text/html, */*;q=0.1").await;
    assert_eq!(content_type, "application/json");
    let refused = node.post("/v1/query").header("accept", "image/png").json(&request);
    assert_eq!(problem(refused).await, (406, "not-acceptable".to_owned()));
}

#[tokio::test]
async fn an_answer_is_cut_off_at_its_limit_and_says_so() {
    let node = Node::start().await;
    let (_, found) = ask(&node, json!({"sql": "select number from shop.numbers", "rows_max": 10})).await;
    assert_eq!((found["rows"].as_array().unwrap().len(), &found["truncated"]), (10, &json!(true)));
    let (_, found) = ask(&node, json!({"sql": "select number from shop.numbers"})).await;
    assert_eq!((&found["row_count"], &found["truncated"]), (&json!(10_000), &json!(true)));
    let (_, found) =
        ask(&node, json!({"sql": "select number from shop.numbers", "rows_max": 1_000_000})).await;
    assert_eq!((&found["row_count"], &found["truncated"]), (&json!(100_000), &json!(false)));
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place() {
    let node = Node::start().await;
    for (sql, code) in [
        ("select 1,\n from", "invalid-query"),
        ("select * from shop.nothing", "invalid-query"),
        ("select nothing from shop.letters", "invalid-query"),
        ("select 1; select 2", "invalid-query"),
        ("", "invalid-query"),
        ("select 1/0", "invalid-query"),
        ("delete from shop.orders", "not-read-only"),
        ("copy (select 1) to '/tmp/x.csv'", "not-read-only"),
        ("set datafusion.execution.batch_size = 1", "not-read-only"),
    ] {
        let (status, found) = problem(node.post("/v1/query").json(&json!({"sql": sql}))).await;
        assert_eq!((status, found.as_str()), (400, code), "{sql}");
    }
    let (_, found) = ask(&node, json!({"sql": "select id,\n  nothing from shop.letters"})).await;
    assert_eq!((&found["line"], &found["column"]), (&json!(2), &json!(3)), "{found}");
}

#[tokio::test]
async fn requests_that_are_none_are_refused() {
    let node = Node::start().await;
    for request in [
        json!({}),
        json!({"sql": 1}),
        json!({"sql": "select 1", "row_max": 1}),
        json!({"sql": "select 1", "rows_max": 0}),
        json!({"sql": "select 1", "rows_max": 1_000_000_000}),
        json!({"sql": "select 1", "timeout": "soon"}),
        json!({"sql": "select 1", "timeout": "0s"}),
        json!({"sql": "select 1", "as_of": "yesterday"}),
        json!({"sql": "select 1", "as_of": -1}),
        json!([]),
    ] {
        let found = problem(node.post("/v1/query").json(&request)).await;
        assert_eq!(found, (400, "bad-request".to_owned()), "{request}");
    }
    let told = async |body: &'static str| {
        let request = node.post("/v1/query").header("content-type", "application/json").body(body);
        answer(request).await.1["detail"].as_str().unwrap_or_default().to_owned()
    };
    let (other, none) = (told(r#"{"sql": 1}"#).await, told("select 1").await);
    assert!(other.starts_with("the body is JSON, but not what is read here: invalid type"), "{other}");
    assert!(none.starts_with("the body is not JSON: expected value"), "{none}");
    let text = node.post("/v1/query").header("content-type", "text/plain").body("select 1");
    assert_eq!(problem(text).await, (415, "unsupported-media-type".to_owned()));
    let long = json!({"sql": format!("select '{}'", "x".repeat(2 << 20))});
    assert_eq!(problem(node.post("/v1/query").json(&long)).await, (413, "body-too-large".to_owned()));
}

const SLOW: &str = "select sum(value) from generate_series(1, 1000000000000)";

#[tokio::test]
async fn a_slow_query_ends_in_its_time_and_gives_its_place_back() {
    let limits = Limits { queries_max: 1, ..Limits::default() };
    let node = Node::start_with(Setup { limits, ..Setup::default() }).await;
    let slow = node.post("/v1/query").json(&json!({"sql": SLOW, "timeout": "300ms"}));
    assert_eq!(problem(slow).await, (408, "query-timeout".to_owned()));
    let ask_slowly = || async { ask(&node, json!({"sql": SLOW, "timeout": "1s"})).await.0 };
    let (one, other) = tokio::join!(ask_slowly(), ask_slowly());
    assert_eq!((one.min(other), one.max(other)), (408, 429));
    assert_eq!(ask(&node, json!({"sql": "select 1 as one"})).await.0, 200);
}

#[tokio::test]
async fn a_client_that_goes_away_gives_its_place_back() {
    let limits = Limits { queries_max: 1, ..Limits::default() };
    let node = Node::start_with(Setup { limits, ..Setup::default() }).await;
    let rows = json!({"sql": "select a.number, b.number as other from shop.numbers a, shop.numbers b", "rows_max": 10_000_000});
    let mut response = node.post("/v1/query").header("accept", "text/csv").json(&rows).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    let free = async { while ask(&node, json!({"sql": "select 1 as one"})).await.0 != 200 {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), free).await.unwrap();
}
