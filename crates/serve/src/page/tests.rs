//! The page as text: what it says, that it escapes, and that it holds nothing its own policy forbids.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use flowline_model::{Environment, LogSettings, Plan};
use flowline_view::{HopRow, QuarantineRow};

use super::flow::{Flow, tests::hop};
use super::{Snapshot, show};

fn now() -> DateTime<Utc> {
    "2026-01-05T08:00:00Z".parse().unwrap()
}

fn plan() -> Plan {
    Plan {
        project: "shop".to_owned(),
        version: "0a1b2c3d4e5f".to_owned(),
        environment: Environment {
            name: "dev".to_owned(),
            data_dir: "/tmp".into(),
            lake: "file:///tmp".to_owned(),
            storage_options: Default::default(),
            ledger: "sqlite:///tmp/ledger".to_owned(),
            kafka: None,
            log: LogSettings::default(),
            http: "127.0.0.1:0".parse().unwrap(),
            postgres: None,
            tokens: Vec::new(),
            body_bytes_max: 1 << 20,
            concurrency: 1,
            query_memory_bytes: 1 << 20,
        },
        teams: Vec::new(),
        datasets: Vec::new(),
        consumers: Vec::new(),
    }
}

async fn page(hops: Vec<HopRow>) -> (String, String) {
    page_of(Flow::new(hops)).await
}

async fn page_of(flow: Flow) -> (String, String) {
    let snapshot = Snapshot::new(flow, "shop", now()).unwrap();
    let response = show(&plan(), &snapshot);
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (String::from_utf8(body.to_vec()).unwrap(), policy)
}

/// A shop with one failure at its root.
fn shop() -> Vec<HopRow> {
    let with = |mut hop: HopRow, change: &dyn Fn(&mut HopRow)| {
        hop.last_committed_at = Some(now() - TimeDelta::seconds(4));
        change(&mut hop);
        hop
    };
    vec![
        with(hop("shop.page_views", "raw", "http", &[], "ok"), &|hop| {
            hop.read = 48_120_331;
            hop.written = 48_119_004;
            hop.quarantined = 1_187;
            hop.duplicate = 127;
            hop.lag_records = Some(2_140);
        }),
        with(hop("shop.orders_received", "raw", "http", &[], "failed"), &|hop| {
            hop.last_error = Some(
                "committing `shop.orders_received` failed: writing `raw/shop/orders_received/part-0.parquet`: AccessDenied: \
                 <b>no</b> permission \"s3:PutObject\" & co"
                    .to_owned(),
            );
            hop.last_error_kind = Some("denied".to_owned());
            hop.failing_since = Some(now() - TimeDelta::minutes(14));
            hop.last_committed_at = Some(now() - TimeDelta::minutes(15));
            hop.failures = 9;
            hop.lag_records = Some(81_223);
            hop.runbook = Some("runbooks/orders.md".to_owned());
        }),
        with(hop("shop.products", "raw", "files", &[], "ok"), &|hop| {
            hop.last_committed_at = Some(now() - TimeDelta::hours(3));
        }),
        with(hop("shop.orders", "clean", "sql", &["shop.orders_received"], "stale"), &|hop| {
            hop.last_committed_at = Some(now() - TimeDelta::minutes(15));
            hop.lag_versions = Some(0);
        }),
        with(hop("shop.sessions", "clean", "sql", &["shop.page_views"], "ok"), &|hop| {
            hop.balance = "reshaped".to_owned();
            hop.lag_versions = Some(1);
            hop.running = true;
            hop.quarantined = 0;
        }),
        with(
            hop("shop.revenue_by_day", "trusted", "sql", &["shop.orders", "shop.products"], "stale"),
            &|hop| {
                hop.balance = "reshaped".to_owned();
                hop.last_committed_at = Some(now() - TimeDelta::minutes(15));
                hop.lag_versions = Some(0);
            },
        ),
        with(hop("shop.conversion", "trusted", "view", &["shop.orders", "shop.sessions"], "ok"), &|_| {}),
        with(hop("shop.returns", "raw", "http", &[], "never"), &|hop| {
            hop.last_committed_at = None;
            (hop.read, hop.written, hop.quarantined, hop.runs) = (0, 0, 0, 0);
            hop.lag_records = Some(0);
        }),
    ]
}

#[tokio::test]
async fn it_says_what_stopped_why_and_what_that_holds_up() {
    let (page, _) = page(shop()).await;
    for said in [
        "<title>shop: 1 failed and 2 stale</title>",
        "1 failed and 2 stale of 8 hops",
        "held up by shop.orders_received",
        "A permission is missing or a credential has expired",
        "shop.conversion, shop.orders and shop.revenue_by_day",
        "runbooks/orders.md",
        ">14 min</time>",
        "POST …/shop.orders_received/records",
        "48,120,351",
        "no data yet",
    ] {
        assert!(page.contains(said), "the page does not say {said:?}");
    }
}

#[tokio::test]
async fn it_escapes_and_keeps_to_its_own_policy() {
    let (page, policy) = page(shop()).await;
    assert!(page.contains("&#60;b&#62;no&#60;/b&#62;") && !page.contains("<b>no"));
    assert!(!page.contains(" style=") && !page.contains(" onclick") && !page.contains("javascript:"));
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("<style").count(), 2);
}

fn rejected(reason: &str, rows: Option<u64>, quarantined: u64, message: &str) -> QuarantineRow {
    QuarantineRow {
        dataset: "shop.page_views".to_owned(),
        reason: reason.to_owned(),
        rows,
        quarantined,
        columns: vec!["url".to_owned()],
        message: format!("{message}; see `flowline quarantine show shop.page_views`"),
        first_position: Some("log/0@17".to_owned()),
        last_position: Some("log/0@99".to_owned()),
        first_quarantined_at: now() - TimeDelta::hours(2),
        last_quarantined_at: now() - TimeDelta::minutes(3),
    }
}

#[tokio::test]
async fn what_lies_in_quarantine_stands_with_reason_place_and_what_to_do() {
    let rows = vec![
        rejected("failed-rule", Some(1_100), 1_200, "records fail <the> check of `url`"),
        rejected("missing", None, 87, "records have no `url`"),
        rejected("unparsable", Some(0), 5, "records cannot be read"),
    ];
    let (page, _) = page_of(Flow::new(shop()).with_quarantine(Arc::new(rows))).await;
    let start = page.find("<section class=\"checks\" id=\"quarantine\"").unwrap();
    let section = &page[start..start + page[start..].find("</section>").unwrap()];
    for said in [
        "1,187 records for 2 reasons: records that",
        "<details id=\"quarantine-shop-page_views\">",
        "failed-rule<small>url</small>",
        "<td>1,100</td>",
        "records fail &lt;the&gt; check of <code>url</code></td>",
        "log/0@17 to log/0@99",
        ">3 min</time> ago",
        "href=\"/v1/quarantine/shop.page_views\"",
        "flowline quarantine replay shop.page_views",
    ] {
        assert!(section.contains(said), "the page does not say {said:?}: {section}");
    }
    assert!(!section.contains("unparsable"), "what was replayed or discarded is no longer there");
    assert!(
        page.contains("<a href=\"#quarantine-shop-page_views\">1,187 quarantined</a>"),
        "the card leads to it"
    );
    // Everything was discarded, which the count of what was put there does not say.
    let discarded = vec![rejected("failed-rule", Some(0), 1_187, "records fail the check of `url`")];
    let (page, _) = page_of(Flow::new(shop()).with_quarantine(Arc::new(discarded))).await;
    assert!(page.contains("1,187 quarantined") && !page.contains("#quarantine-shop-page_views"));
    // What is not read yet, or is empty, has no place on the page.
    let (page, _) = page_of(Flow::new(shop())).await;
    assert!(!page.contains("id=\"quarantine-title\"") && !page.contains("#quarantine-"));
}

#[tokio::test]
async fn a_project_without_datasets_says_how_to_begin() {
    let (page, _) = page(Vec::new()).await;
    assert!(page.contains("Nothing is deployed yet") && page.contains("curl"));
}

#[tokio::test]
async fn when_all_is_well_it_says_so() {
    let (page, _) = page(vec![hop("shop.orders", "raw", "http", &[], "ok")]).await;
    assert!(page.contains("<title>shop: everything flows</title>") && page.contains("the ledger balances"));
}

#[test]
fn regions_differ_only_where_facts_do() {
    let snapshot =
        |later: i64, hops| Snapshot::new(Flow::new(hops), "shop", now() + TimeDelta::seconds(later)).unwrap();
    let (first, second) = (snapshot(0, shop()), snapshot(60, shop()));
    assert_eq!(first.keys, second.keys);
    assert_ne!(first.regions, second.regions);
    assert_eq!(first.structure, second.structure);
    let mut changed = shop();
    changed[0].written += 1;
    changed[0].read += 1;
    let third = snapshot(0, changed);
    let differing: Vec<&String> =
        third.keys.iter().filter(|(id, key)| first.keys.get(*id) != Some(key)).map(|(id, _)| id).collect();
    assert_eq!(differing, ["ledger", "verdict"]);
}
