//! Bids without an end, made so cheaply that whoever takes them is measured and not who makes them.
//!
//! Owns: one minute of bids as lines, the minutes after it, and sending them. Does not own: the generator
//! (`flowline-testkit`), which one minute is drawn from; each later minute is that one with its times a minute later and
//! its auctions and bidders as many numbers further as a minute has.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use chrono::DateTime;
use flowline_testkit::nexmark::{Event, Nexmark};

use super::events::{self, SEED};

/// The first event: so late that the numbers of auctions and bidders have eight digits throughout.
const FIRST_EVENT: u64 = 1_200_000_000;
/// Events of all kinds in a minute at ten thousand a second, and what is new in it.
const MINUTE_EVENTS: u64 = 600_000;
const MINUTE_AUCTIONS: u64 = MINUTE_EVENTS / 50 * 3;
const MINUTE_BIDDERS: u64 = MINUTE_EVENTS / 50;
const DIGITS: usize = 8;
/// Behind so many bids the numbers of auctions would have nine digits.
const ROWS_MAX: u64 = 400_000_000;
const AUCTION_AT: usize = r#"{"auction":"#.len();
const BIDDER_AT: usize = AUCTION_AT + DIGITS + r#","bidder":"#.len();
const TIME: &str = r#""ts":""#;
/// `2025-01-01T00:00`: what of a time is the same for a minute.
const MINUTE_CHARACTERS: usize = 16;
/// Lines of a request: half a second of event time, so that requests that overtake each other make no bid late.
const REQUEST_LINES: u64 = 5_000;
/// Requests that are under way at once, so that the next body is ready when the log has taken one.
const SENDERS: usize = 2;

/// One bid of the first minute.
#[derive(Debug, Clone, Copy)]
struct Line {
    start: usize,
    end: usize,
    time_at: usize,
    auction: u64,
    bidder: u64,
}

/// The bids that are still to come.
#[derive(Debug)]
pub struct Bids {
    text: Vec<u8>,
    lines: Vec<Line>,
    /// When the first one happened, microseconds since the epoch.
    base_us: i64,
    /// How many are made.
    made: u64,
    /// How many there are to be.
    rows: u64,
}

impl Bids {
    /// So many bids from the first one on.
    pub fn new(rows: u64) -> anyhow::Result<Self> {
        ensure!(rows <= ROWS_MAX, "numbers have eight digits up to {ROWS_MAX} bids: take fewer `--rows`");
        let site = Nexmark::seeded(SEED);
        let events = site.events(FIRST_EVENT..FIRST_EVENT + MINUTE_EVENTS);
        let (mut line, mut lines, mut text) = (String::new(), Vec::new(), Vec::new());
        let (base_us, mut made) = (site.event(FIRST_EVENT).time(), 0);
        for event in events {
            let Event::Bid(bid) = &event else { continue };
            line.clear();
            events::json(&event, &mut line);
            let time_at = line.find(TIME).context("a bid without a time")? + TIME.len();
            let (start, end) = (text.len(), text.len() + line.len());
            lines.push(Line { start, end, time_at, auction: bid.auction, bidder: bid.bidder });
            text.extend_from_slice(line.as_bytes());
            made += 1;
            if made == rows {
                break;
            }
        }
        Ok(Self { text, lines, base_us, made: 0, rows })
    }

    /// The next request's body, and its rows; none when all are made.
    fn next(&mut self) -> Option<(Bytes, u64)> {
        let count = self.lines.len() as u64;
        let (minute, first) = (self.made / count, self.made % count);
        let rows = REQUEST_LINES.min(self.rows - self.made).min(count - first);
        let lines = &self.lines[first as usize..(first + rows) as usize];
        let (from, to) = (lines.first()?.start, lines.last()?.end);
        let mut body = self.text[from..to].to_vec();
        let time = DateTime::from_timestamp_micros(self.base_us + minute as i64 * 60_000_000)?;
        let time = time.format("%Y-%m-%dT%H:%M").to_string();
        for line in lines {
            let line_of_body = &mut body[line.start - from..line.end - from];
            let until = line.time_at + MINUTE_CHARACTERS;
            line_of_body[line.time_at..until].copy_from_slice(time.as_bytes());
            write_number(&mut line_of_body[AUCTION_AT..], line.auction + minute * MINUTE_AUCTIONS);
            write_number(&mut line_of_body[BIDDER_AT..], line.bidder + minute * MINUTE_BIDDERS);
        }
        self.made += rows;
        Some((Bytes::from(body), rows))
    }
}

/// Writes a number over the eight digits that stand there.
fn write_number(digits: &mut [u8], mut number: u64) {
    for digit in digits[..DIGITS].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// What has been sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// Rows that were acknowledged.
    pub rows: AtomicU64,
    /// Answers 429, each of which was followed by the same request.
    pub refused: AtomicU64,
}

/// Sends all bids as fast as they are taken.
pub async fn send(http: String, bids: Bids, sent: Arc<Sent>) -> anyhow::Result<()> {
    let bids = Arc::new(Mutex::new(bids));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(send_some(http.clone(), Arc::clone(&bids), Arc::clone(&sent)));
    }
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    Ok(())
}

async fn send_some(http: String, bids: Arc<Mutex<Bids>>, sent: Arc<Sent>) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
    let url = format!("{http}/v1/sources/nex.bid/records");
    loop {
        let next = bids.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some((body, rows)) = next else { return Ok(()) };
        loop {
            let request = client.post(&url).header("content-type", "application/x-ndjson").body(body.clone());
            let response = request.send().await?;
            let status = response.status();
            if status.as_u16() == 429 {
                sent.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            ensure!(status.is_success(), "the node answered {status}: {}", response.text().await?);
            sent.rows.fetch_add(rows, Ordering::Relaxed);
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_minutes_are_the_first_one_with_later_times_and_numbers() {
        let mut bids = Bids::new(1_200_000).expect("bids");
        let minute = bids.lines.len() as u64;
        assert_eq!(minute, MINUTE_EVENTS / 50 * 46);
        let (mut rows, mut text) = (0, Vec::new());
        while let Some((body, count)) = bids.next() {
            assert_eq!(body.iter().filter(|byte| **byte == b'\n').count() as u64, count);
            rows += count;
            text.extend_from_slice(&body);
        }
        assert_eq!(rows, 1_200_000);
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let read = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).expect("a line of JSON");
        for number in [0, 1, minute as usize - 1] {
            let (first, later) = (read(lines[number]), read(lines[number + minute as usize]));
            let grown = |name: &str| later[name].as_u64().unwrap() - first[name].as_u64().unwrap();
            assert_eq!((grown("auction"), grown("bidder")), (MINUTE_AUCTIONS, MINUTE_BIDDERS));
            let time = |line: &serde_json::Value| {
                DateTime::parse_from_rfc3339(line["ts"].as_str().expect("a text")).expect("a time")
            };
            assert_eq!((time(&later) - time(&first)).num_milliseconds(), 60_000);
            assert_eq!((&first["url"], &first["extra"]), (&later["url"], &later["extra"]));
        }
    }
}
