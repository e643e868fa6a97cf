//! The queries of NEXMark as streams, against their batch answers over the same recorded events.
//!
//! With `FLOWLINE_NEXMARK_DIR` set, the events and the streamed answers are written there, for a comparison with
//! another engine (`scripts/nexmark-duckdb.py`).

use std::fmt::Write as _;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use flowline_model::{Dataset, LatePolicy};
use flowline_testkit::nexmark::{Auction, Bid, Event, Nexmark, Person};
use std::sync::Arc;

use crate::support::world::World;
use crate::support::{Declare, landed, limited, on_change, stream};

struct Query {
    name: &'static str,
    sql: &'static str,
    /// Nothing waits for event time.
    at_once: bool,
    key: &'static [&'static str],
}

const fn at_once(name: &'static str, sql: &'static str) -> Query {
    Query { name, sql, at_once: true, key: &[] }
}

const fn closing(name: &'static str, sql: &'static str) -> Query {
    Query { name, sql, at_once: false, key: &[] }
}

const QUERIES: &[Query] = &[
    at_once("q0", "select auction, bidder, price, ts, extra from nex.bid"),
    at_once(
        "q1",
        "select auction, bidder, cast(0.908 as decimal(4,3)) * cast(price as decimal(19,0)) as price, ts, extra from nex.bid",
    ),
    at_once("q2", "select auction, price from nex.bid where auction % 123 = 0"),
    at_once(
        "q3",
        "select p.name, p.city, p.state, a.id from nex.auction a join nex.person p on p.id = a.seller where a.category = 10 and p.state in ('OR', 'ID', 'CA')",
    ),
    Query {
        name: "q4",
        sql: "with w as (select a.id, a.category, max(b.price) as final from nex.auction a join nex.bid b on b.auction = a.id and b.ts between a.ts and a.expires group by a.id, a.category) select category, cast(avg(final) as bigint) as final from w group by category",
        at_once: true,
        key: &["category"],
    },
    closing(
        "q5",
        "with c as (select auction, count(*) as num, window_start as ws, window_end as we from table(hop(table nex.bid, descriptor(ts), interval '2' second, interval '10' second)) group by auction, window_start, window_end), m as (select ws, we, max(num) as top from c group by ws, we) select c.auction, c.num from c join m on c.ws = m.ws and c.we = m.we and c.num >= m.top",
    ),
    closing(
        "q7",
        "with t as (select auction, bidder, price, ts, extra, window_start as ws, window_end as we from table(tumble(table nex.bid, descriptor(ts), interval '10' second))), m as (select ws, we, max(price) as top from t group by ws, we) select t.auction, t.bidder, t.price, t.ts, t.extra from t join m on t.ws = m.ws and t.we = m.we and t.price = m.top",
    ),
    closing(
        "q8",
        "with np as (select distinct id, name, window_start as ws, window_end as we from table(tumble(table nex.person, descriptor(ts), interval '10' second))), na as (select distinct seller, window_start as ws, window_end as we from table(tumble(table nex.auction, descriptor(ts), interval '10' second))) select np.id, np.name, np.ws from np join na on na.seller = np.id and na.ws = np.ws and na.we = np.we",
    ),
    closing(
        "q11",
        "select bidder, count(*) as bid_count, window_start, window_end from table(session(table nex.bid partition by bidder, descriptor(ts), interval '10' second)) group by bidder, window_start, window_end",
    ),
];

fn datasets(query: &Query) -> Vec<Dataset> {
    let out = stream("nex.out", Duration::from_secs(4), LatePolicy::Reopen, query.sql);
    // A person may sell something at any later time.
    let out = if query.name == "q3" { limited(out, 64 << 20) } else { out };
    vec![
        landed(
            "nex.person",
            "id int64!, name string, city string, state string, ts timestamp!, extra string",
        ),
        landed(
            "nex.auction",
            "id int64!, item_name string, initial_bid int64, reserve int64, ts timestamp!, expires timestamp!, seller int64, category int64, extra string",
        ),
        landed(
            "nex.bid",
            "auction int64!, bidder int64!, price int64!, channel string, url string, ts timestamp!, extra string",
        ),
        if query.key.is_empty() { out } else { on_change(out.with_key(query.key)) },
    ]
}

/// Two minutes of the auction site, out of order.
fn events() -> Vec<Event> {
    let site = Nexmark { events_per_second: 100, out_of_order_group: 100, ..Nexmark::seeded(20_261_120) };
    site.events(0..6_000).collect()
}

fn numbers<T>(of: &[T], value: impl Fn(&T) -> u64) -> ArrayRef {
    Arc::new(of.iter().map(|one| value(one) as i64).collect::<Int64Array>())
}

fn texts<T>(of: &[T], value: impl Fn(&T) -> &str) -> ArrayRef {
    Arc::new(of.iter().map(|one| Some(value(one))).collect::<StringArray>())
}

fn times<T>(of: &[T], value: impl Fn(&T) -> i64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(of.iter().map(value).collect::<Vec<_>>()).with_timezone("UTC"))
}

fn persons(of: &[Person]) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("id", numbers(of, |one| one.id)),
        ("name", texts(of, |one| &one.name)),
        ("city", texts(of, |one| one.city)),
        ("state", texts(of, |one| one.state)),
        ("ts", times(of, |one| one.date_time)),
        ("extra", texts(of, |one| &one.extra)),
    ])
    .unwrap()
}

fn auctions(of: &[Auction]) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("id", numbers(of, |one| one.id)),
        ("item_name", texts(of, |one| &one.item_name)),
        ("initial_bid", numbers(of, |one| one.initial_bid)),
        ("reserve", numbers(of, |one| one.reserve)),
        ("ts", times(of, |one| one.date_time)),
        ("expires", times(of, |one| one.expires)),
        ("seller", numbers(of, |one| one.seller)),
        ("category", numbers(of, |one| one.category)),
        ("extra", texts(of, |one| &one.extra)),
    ])
    .unwrap()
}

fn bids(of: &[Bid]) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("auction", numbers(of, |one| one.auction)),
        ("bidder", numbers(of, |one| one.bidder)),
        ("price", numbers(of, |one| one.price)),
        ("channel", texts(of, |one| &one.channel)),
        ("url", texts(of, |one| &one.url)),
        ("ts", times(of, |one| one.date_time)),
        ("extra", texts(of, |one| &one.extra)),
    ])
    .unwrap()
}

async fn land(world: &World, events: &[Event]) {
    let (mut of_persons, mut of_auctions, mut of_bids) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Person(person) => of_persons.push(person.clone()),
            Event::Auction(auction) => of_auctions.push(auction.clone()),
            Event::Bid(bid) => of_bids.push(bid.clone()),
        }
    }
    for (name, rows) in [
        ("nex.person", persons(&of_persons)),
        ("nex.auction", auctions(&of_auctions)),
        ("nex.bid", bids(&of_bids)),
    ] {
        if rows.num_rows() > 0 {
            world.land_batch(name, 0, rows).await;
        }
    }
}

/// One event of each kind a day later.
async fn land_last(world: &World) {
    let site = Nexmark::seeded(1);
    let later = Nexmark { base_time_us: site.base_time_us + 86_400_000_000, ..site };
    land(world, &later.events(0..ROUND).collect::<Vec<_>>()).await;
}

const ROUND: u64 = 50;

async fn streamed(query: &Query, events: &[Event], batches: usize) -> (String, String) {
    let world = World::new(datasets(query)).await;
    for part in events.chunks(events.len().div_ceil(batches)) {
        land(&world, part).await;
        world.run("nex.out").await;
    }
    let answer = world.rows(query.sql).await;
    if !query.at_once {
        land_last(&world).await;
        world.run("nex.out").await;
    }
    (world.rows("select * from nex.out").await, answer)
}

async fn agrees(name: &str, batches: usize) {
    let query = QUERIES.iter().find(|query| query.name == name).unwrap();
    let events = events();
    let (streamed, answer) = streamed(query, &events, batches).await;
    assert!(answer.lines().count() > 1, "{name} has {} rows", answer.lines().count());
    assert!(
        streamed == answer,
        "{name} in {batches} batches: {} rows streamed, {} in batch",
        streamed.lines().count(),
        answer.lines().count()
    );
    if let Ok(folder) = std::env::var("FLOWLINE_NEXMARK_DIR") {
        let folder = std::path::Path::new(&folder);
        std::fs::write(folder.join(format!("{name}.txt")), streamed).unwrap();
        std::fs::write(folder.join("events.ndjson"), as_json(&events)).unwrap();
    }
}

/// The events as JSON lines; those with equal times keep their order.
fn as_json(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        let line = match event {
            Event::Person(one) => {
                serde_json::json!({"kind": "person", "id": one.id, "name": one.name, "city": one.city, "state": one.state, "ts": one.date_time, "extra": one.extra})
            }
            Event::Auction(one) => {
                serde_json::json!({"kind": "auction", "id": one.id, "seller": one.seller, "category": one.category, "ts": one.date_time, "expires": one.expires, "extra": one.extra})
            }
            Event::Bid(one) => {
                serde_json::json!({"kind": "bid", "auction": one.auction, "bidder": one.bidder, "price": one.price, "ts": one.date_time, "extra": one.extra})
            }
        };
        writeln!(text, "{line}").unwrap();
    }
    text
}

#[tokio::test]
async fn queries_row_by_row() {
    for name in ["q0", "q1", "q2", "q3"] {
        agrees(name, 4).await;
    }
}

#[tokio::test]
async fn q4_the_average_of_winning_prices() {
    agrees("q4", 4).await;
}

#[tokio::test]
async fn q5_the_auctions_with_most_bids() {
    agrees("q5", 7).await;
}

#[tokio::test]
async fn q7_the_highest_bids() {
    agrees("q7", 5).await;
}

#[tokio::test]
async fn q8_the_new_sellers() {
    agrees("q8", 6).await;
}

#[tokio::test]
async fn q11_the_bids_of_a_session() {
    agrees("q11", 9).await;
}
