//! Where the flow stands.

use serde_json::json;

use crate::support::{Node, answer, problem};

#[tokio::test]
async fn status_lists_every_hop() {
    let node = Node::start().await;
    let (status, found) = answer(node.get("/v1/status")).await;
    assert_eq!(status, 200, "{found}");
    assert_eq!((&found["project"], &found["environment"]), (&json!("shop"), &json!("test")));
    let names: Vec<&str> =
        found["hops"].as_array().unwrap().iter().map(|hop| hop["dataset"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "shop.events",
            "shop.letters",
            "shop.numbers",
            "shop.orders",
            "shop.products",
            "shop.strict",
            "shop.totals"
        ]
    );
    let orders = &found["hops"][3];
    assert_eq!(
        (&orders["read"], &orders["quarantined"], &orders["state"]),
        (&json!(10), &json!(1), &json!("ok"))
    );
}

#[tokio::test]
async fn the_ledger_balances_or_says_that_it_does_not() {
    let node = Node::start().await;
    let (_, found) = answer(node.get("/v1/ledger?dataset=shop.orders")).await;
    assert_eq!((&found["balanced"], &found["counts"][0]["written"]), (&json!(true), &json!(9)), "{found}");
    assert_eq!(problem(node.get("/v1/ledger?dataset=shop.order")).await, (404, "unknown-dataset".to_owned()));
    assert_eq!(problem(node.get("/v1/ledger?dataset=x'%20or%201=1")).await, (400, "bad-request".to_owned()));
    assert_eq!(problem(node.get("/v1/ledger?data=1")).await, (400, "bad-request".to_owned()));
}

#[tokio::test]
async fn datasets_come_with_their_columns() {
    let node = Node::start().await;
    let (_, found) = answer(node.get("/v1/datasets")).await;
    assert_eq!(found["datasets"].as_array().unwrap().len(), 7, "{found}");
    let columns = found["columns"].as_array().unwrap();
    assert!(
        columns.iter().any(|column| column["dataset"] == "shop.orders" && column["type"] == "decimal(12,2)")
    );
}

#[tokio::test]
async fn quarantine_is_shown_and_replayed() {
    let node = Node::start().await;
    let (status, found) = answer(node.get("/v1/quarantine/shop.orders?limit=5&reason=wrong-type")).await;
    assert_eq!((status, &found["records"]), (200, &json!([])), "{found}");
    assert_eq!(problem(node.get("/v1/quarantine/shop.orders?limit=0")).await.0, 400);
    assert_eq!(problem(node.get("/v1/quarantine/shop.orders?reason=bad")).await.0, 400);
    assert_eq!(problem(node.get("/v1/quarantine/shop.numbers")).await, (404, "no-quarantine".to_owned()));
    assert_eq!(problem(node.get("/v1/quarantine/shop.nothing")).await, (404, "unknown-dataset".to_owned()));

    let replay = |body| node.post("/v1/quarantine/shop.orders/replay").json(&body);
    let (status, found) = answer(replay(json!({"reason": "missing"}))).await;
    assert_eq!((status, &found["replayed"], &found["quarantined"]), (200, &json!(3), &json!(1)));
    assert_eq!(problem(replay(json!({"column": "amount"}))).await, (503, "unavailable".to_owned()));
}

#[tokio::test]
async fn rows_of_sql_that_fail_are_shown_and_discarded_but_not_replayed() {
    let node = Node::start().await;
    let (status, found) = answer(node.get("/v1/quarantine/shop.totals")).await;
    assert_eq!((status, &found["records"]), (200, &json!([])), "{found}");
    for reason in flowline_model::FindingKind::REASONS.map(flowline_model::FindingKind::as_str) {
        let shown = node.get(&format!("/v1/quarantine/shop.totals?reason={reason}"));
        assert_eq!(answer(shown).await.0, 200, "{reason}");
    }
    let discard =
        node.post("/v1/quarantine/shop.totals/discard").json(&json!({"because": "a test", "reason": "late"}));
    let (status, found) = answer(discard).await;
    assert_eq!((status, &found["discarded"]), (200, &json!(3)), "{found}");
    let replay = node.post("/v1/quarantine/shop.totals/replay").json(&json!({}));
    assert_eq!(problem(replay).await, (404, "not-landed".to_owned()));
    let discard = node.post("/v1/quarantine/shop.numbers/discard").json(&json!({"because": "a test"}));
    assert_eq!(problem(discard).await, (404, "no-quarantine".to_owned()));
}
