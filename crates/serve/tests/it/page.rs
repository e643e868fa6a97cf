//! The page, and what keeps it up to date.

use std::time::Duration;

use crate::support::Node;

#[tokio::test]
async fn the_page_is_whole_without_scripts_and_keeps_to_its_policy() {
    let node = Node::start().await;
    let response = node.get("/").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let page = response.text().await.unwrap();
    for said in ["id=\"hop-shop-orders\"", "id=\"source-shop-products\"", "10 records received", "team-shop"]
    {
        assert!(page.contains(said), "the page does not hold {said:?}");
    }
}

#[tokio::test]
async fn followers_are_sent_all_and_then_what_has_changed() {
    let node = Node::start().await;
    let mut follower = node.get("/events").send().await.unwrap();
    assert_eq!(follower.headers()["content-type"], "text/event-stream");
    let mut event = async || {
        // An event ends with an empty line, and may come in several pieces.
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\n\n") {
            let chunk = tokio::time::timeout(Duration::from_secs(10), follower.chunk());
            bytes.extend(chunk.await.unwrap().unwrap().unwrap());
        }
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("event: flow\ndata: "), "{text}");
        let data: serde_json::Value =
            serde_json::from_str(text.trim().strip_prefix("event: flow\ndata: ").unwrap()).unwrap();
        data
    };
    let first = event().await;
    assert!(first["regions"]["hop-shop-orders"].as_str().unwrap().contains("shop"), "{first}");
    let second = event().await;
    assert_eq!(second["regions"], serde_json::json!({}));
    assert_eq!(second["structure"], first["structure"]);
}
