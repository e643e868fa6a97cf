//! The schema registry over HTTP: the table of `registry.txt`, and what lies outside of it.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};

use crate::access::{SECRET, token};
use crate::support::{Node, Setup};

const TABLE: &str = include_str!("registry.txt");
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// One question and its answer.
async fn ask(node: &Node, line: &str, names: &BTreeMap<&str, &str>) {
    let (question, expected) = line.split_once(" -> ").unwrap();
    let mut words = question.splitn(3, ' ');
    let (method, path, body) = (words.next().unwrap(), words.next().unwrap(), words.next());
    let body = body.map(|body| body.strip_prefix('$').map_or(body, |name| names[name]));
    let method: Method = method.parse().unwrap();
    let mut request = node.client.request(method, node.url(&format!("/registry{path}")));
    if let Some(body) = body {
        request = request.header("content-type", MEDIA_TYPE).body(body.to_owned());
    }
    let answer = request.send().await.unwrap();
    let (status, media_type) = (answer.status().as_u16(), answer.headers()["content-type"].clone());
    let text = answer.text().await.unwrap();
    assert_eq!(media_type, MEDIA_TYPE, "{line}");
    let (expected_status, expected) = expected.split_once(' ').unwrap();
    assert_eq!(status.to_string(), expected_status, "{line}\n{text}");
    let text = if expected.contains("guid") { text } else { without_guids(&text) };
    assert!(fits(&text, expected), "{line}\nanswered {text}");
}

/// An answer without what newer registries say of every schema besides; the cases that ask for it name it.
fn without_guids(text: &str) -> String {
    let mut left = text.to_owned();
    while let Some(start) = left.find("\"guid\":\"") {
        let end = start + "\"guid\":\"00000000-0000-0000-0000-000000000000\"".len();
        let after = end + usize::from(left[end..].starts_with(','));
        let before = start - usize::from(after == end && left[..start].ends_with(','));
        left.replace_range(before..after, "");
    }
    left
}

/// Whether a text is what is expected. `…` stands for anything; members of objects may come in any order where none does.
fn fits(text: &str, expected: &str) -> bool {
    if !expected.contains('…') {
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        return value(text) == value(expected);
    }
    let parts: Vec<&str> = expected.split('…').collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    let Some(mut rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    for part in &parts[1..parts.len() - 1] {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[tokio::test]
async fn clients_are_answered_as_the_table_says() {
    let mut names = BTreeMap::new();
    let (mut node, mut asked): (Option<Node>, usize) = (None, 0);
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(named) = line.strip_prefix('@') {
            let (name, value) = named.split_once(' ').unwrap();
            names.insert(name, value);
        } else if line.starts_with("= ") {
            if let Some(node) = node.take() {
                node.stop().await;
            }
            node = Some(Node::start().await);
        } else {
            ask(node.as_ref().unwrap(), line, &names).await;
            asked += 1;
        }
    }
    node.unwrap().stop().await;
    assert!(asked >= 150, "{asked} questions");
    println!("{asked} questions");
}

#[tokio::test]
async fn media_types_are_those_of_the_registry() {
    let node = Node::start().await;
    let subjects = || node.get("/registry/subjects");
    for (accept, answered) in [
        ("*/*", MEDIA_TYPE),
        ("application/json", "application/json"),
        ("text/html, application/*;q=0.1", MEDIA_TYPE),
        (MEDIA_TYPE, MEDIA_TYPE),
        ("application/json, application/vnd.schemaregistry.v1+json", MEDIA_TYPE),
        ("application/vnd.schemaregistry+json", "application/vnd.schemaregistry+json"),
    ] {
        let answer = subjects().header("accept", accept).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{accept}");
        assert_eq!(answer.headers()["content-type"], answered, "{accept}");
    }
    let refused = subjects().header("accept", "text/html").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::NOT_ACCEPTABLE);
    assert_eq!(refused.text().await.unwrap(), r#"{"error_code":406,"message":"HTTP 406 Not Acceptable"}"#);
    let post = |media_type: &str| {
        let request = node.post("/registry/subjects/a/versions").header("content-type", media_type);
        request.body(r#"{"schema":"\"int\""}"#).send()
    };
    for media_type in ["application/json", "application/octet-stream", "Application/JSON; charset=utf-8"] {
        assert_eq!(post(media_type).await.unwrap().status(), StatusCode::OK, "{media_type}");
    }
    assert_eq!(post("text/plain").await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let large = node.post("/registry/subjects/a/versions").body("x".repeat(5 << 20)).send().await.unwrap();
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(large.text().await.unwrap().starts_with(r#"{"error_code":413"#));
    node.stop().await;
}

#[tokio::test]
async fn tokens_are_asked_for_here_as_elsewhere() {
    let node = Node::start_with(Setup { tokens: vec![token()], ..Setup::default() }).await;
    let refused = node.get("/registry/subjects").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(
        refused
            .headers()
            .get_all("www-authenticate")
            .iter()
            .any(|one| one.to_str().unwrap().starts_with("Basic"))
    );
    assert!(refused.text().await.unwrap().starts_with(r#"{"error_code":401,"message":"#));
    for request in [
        node.get("/registry/subjects").bearer_auth(SECRET),
        node.get("/registry/subjects").basic_auth("anyone", Some(SECRET)),
    ] {
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    }
    let wrong = node.get("/registry/subjects").basic_auth("anyone", Some("falsch")).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    node.stop().await;
}
