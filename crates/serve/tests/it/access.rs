//! Who is let in.

use base64::Engine;
use flowline_model::Token;
use flowline_serve::{ServeError, Tokens};
use sha2::{Digest, Sha256};

use crate::support::{Node, Setup, answer, problem};

pub const SECRET: &str = "correct horse battery staple";

pub fn token() -> Token {
    let sha256 = Sha256::digest(SECRET).iter().map(|byte| format!("{byte:02x}")).collect();
    Token { name: "ops".to_owned(), sha256 }
}

#[tokio::test]
async fn with_tokens_everything_but_the_probes_wants_one() {
    let node = Node::start_with(Setup { tokens: vec![token()], ..Setup::default() }).await;
    for path in ["/", "/events", "/v1/status", "/metrics", "/openapi.json", "/nothing"] {
        let response = node.get(path).send().await.unwrap();
        assert_eq!(response.status(), 401, "{path}");
        let challenges: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
        assert_eq!(challenges.len(), 2, "{path}");
        assert_eq!(problem(node.get(path)).await, (401, "unauthorized".to_owned()));
        assert_eq!(problem(node.get(path).bearer_auth("wrong")).await.0, 401, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(answer(node.get(path)).await.0, 200, "{path}");
    }
    assert_eq!(answer(node.get("/v1/status").bearer_auth(SECRET)).await.0, 200);
    assert_eq!(answer(node.get("/v1/status").basic_auth("anyone", Some(SECRET))).await.0, 200);
    assert_eq!(problem(node.get("/v1/status").basic_auth(SECRET, Some(""))).await.0, 401);
    let sent = node.send("shop.orders", "application/json", "{}").bearer_auth(SECRET);
    assert_eq!(answer(sent).await.0, 200);
}

#[tokio::test]
async fn a_node_without_the_role_takes_no_records() {
    let node = Node::start_with(Setup { takes_records: false, ..Setup::default() }).await;
    let sent = node.send("shop.orders", "application/json", "{}").send().await.unwrap();
    assert_eq!(sent.status(), 503);
    let said = sent.text().await.unwrap();
    assert!(said.contains("this node takes no records in") && said.contains("--roles gateway"), "{said}");
    assert_eq!(answer(node.get("/v1/status")).await.0, 200, "everything else is answered");
}

#[tokio::test]
async fn a_page_of_another_site_is_not_listened_to() {
    let node = Node::start().await;
    let foreign = ("origin", "https://evil.example");
    let post = node.send("shop.orders", "application/json", "{}").header(foreign.0, foreign.1);
    assert_eq!(problem(post).await, (403, "foreign-origin".to_owned()));
    let rebound = node.get("/v1/status").header("host", "evil.example");
    assert_eq!(problem(rebound).await, (403, "foreign-host".to_owned()));
    let own = node.get("/v1/status").header("origin", format!("http://{}", node.http));
    assert_eq!(answer(own).await.0, 200);

    let node = Node::start_with(Setup { tokens: vec![token()], ..Setup::default() }).await;
    let remembered = base64::engine::general_purpose::STANDARD.encode(format!("me:{SECRET}"));
    let by_browser = node
        .send("shop.orders", "application/json", "{}")
        .header("authorization", format!("Basic {remembered}"))
        .header(foreign.0, foreign.1);
    assert_eq!(problem(by_browser).await, (403, "foreign-origin".to_owned()));
    let by_program = node
        .get("/v1/status")
        .bearer_auth(SECRET)
        .header(foreign.0, foreign.1)
        .header("host", "flow.example");
    assert_eq!(answer(by_program).await.0, 200);
}

#[tokio::test]
async fn postgres_clients_give_the_token_as_password() {
    let node = Node::start_with(Setup { tokens: vec![token()], ..Setup::default() }).await;
    let client = node.try_connect(&format!("password='{SECRET}'")).await.unwrap();
    let row = client.query_one("select 1::int", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 1);
    let refused = node.try_connect("password=wrong").await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "28P01");
    assert!(node.try_connect("").await.is_err());
}

#[test]
fn a_token_must_be_a_hash() {
    let wrong = Token { name: "ci".to_owned(), sha256: SECRET.to_owned() };
    assert!(matches!(Tokens::new(&[wrong]), Err(ServeError::Token { .. })));
}
