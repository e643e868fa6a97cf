//! The page, and what keeps it up to date.

use std::time::Duration;

use std::process::Stdio;

use tokio::process::Command;

use crate::support::Node;

/// The page as Chromium has it after some seconds, with everything that the script did; none where there is no Chromium.
async fn in_chromium(url: &str) -> Option<String> {
    let profile = tempfile::tempdir().unwrap();
    let ran = Command::new("chromium")
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--timeout=6000", "--dump-dom", url])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(Duration::from_secs(120), ran).await.expect("Chromium ends") {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(_) => {
            println!("skipped: chromium is not on the path");
            None
        }
    }
}

/// A part of the page that opens: its tag.
fn tag<'a>(page: &'a str, id: &str) -> &'a str {
    let start = page.find(&format!("<details id=\"{id}\"")).unwrap_or_else(|| panic!("no {id} in {page}"));
    page[start..].split_inclusive('>').next().unwrap()
}

#[tokio::test]
async fn the_checks_of_each_dataset_stand_with_their_verdict_owner_and_severity() {
    let node = Node::start().await;
    let page = node.get("/").send().await.unwrap().text().await.unwrap();
    let orders = &page[page.find("id=\"checks-shop-orders\"").unwrap()..];
    let orders = &orders[..orders.find("</details>").unwrap()];
    for said in [
        "3 checks, 1 failed, 1 could not run",
        "there are 3 rows",
        "there are too few rows",
        "there is no column <code>nope</code> here",
        "for example &#60;i&#62;x&#60;/i&#62;",
        "team-checks",
        "blocks the commit",
        "rows go to quarantine",
        "could not run</span>",
    ] {
        assert!(orders.contains(said), "the checks do not say {said:?}: {orders}");
    }
    assert!(page.contains("1 failed, 1 could not run, 1 not run yet of 4 checks"));
    assert!(page.contains("2 checks do not hold"));
    assert!(page.contains("href=\"#checks-shop-orders\""), "the card leads to them");
    assert!(tag(&page, "checks-shop-orders").contains(" open"), "what does not hold is open");
    assert!(!tag(&page, "checks-shop-products").contains(" open"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_browser_a_link_opens_the_checks_and_an_update_leaves_them_open() {
    let node = Node::start().await;
    // The browser may have written the page down before the first update came.
    let mut page = String::new();
    for _ in 0..30 {
        let Some(found) = in_chromium(&node.url("/#checks-shop-products")).await else { return };
        page = found;
        if page.contains(">live</span>") {
            break;
        }
    }
    // The page has been followed since, so that every part was replaced at least once.
    assert!(page.contains(">live</span>"), "{page}");
    assert!(tag(&page, "checks-shop-products").contains(" open"), "the link opens it");
    assert!(tag(&page, "checks-shop-orders").contains(" open"));
    assert!(page.contains("not run yet"), "{page}");
}

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
