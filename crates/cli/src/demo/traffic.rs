//! Sends what the simulated shop makes, as producers do: in batches, with an idempotency key, again when refused.

use std::time::Duration;

use anyhow::{Context, bail};
use flowline_base::{Random, SharedClock};
use reqwest::StatusCode;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Mistakes, Shop};

/// How often the collected records are sent.
const SEND_EVERY: Duration = Duration::from_millis(250);

/// Of a thousand requests, about so many are sent again with the same key, as after a lost answer.
const REPEATED_PER_MILLE: u64 = 10;

/// What was sent and acknowledged.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct TrafficCounts {
    /// Visits that began.
    pub visits: u64,
    /// Records acknowledged; a repeated request counts once.
    pub acknowledged: u64,
    /// Requests sent a second time with the same idempotency key.
    pub requests_repeated: u64,
    /// Requests refused with 429 and sent again later.
    pub requests_refused: u64,
    /// Mistakes made on purpose.
    pub mistakes: Mistakes,
}

/// The customers of one node.
#[derive(Debug)]
pub struct Traffic {
    http: String,
    client: reqwest::Client,
    clock: SharedClock,
    shop: Shop,
    random: Random,
    seed: u64,
    requests: u64,
    counts: TrafficCounts,
}

impl Traffic {
    /// Customers of the shop of this seed at the node at `http`.
    pub fn new(http: String, seed: u64, clock: SharedClock) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        let (shop, random) = (Shop::new(seed), Random::seeded(seed ^ 0x5eed));
        Ok(Self { http, client, clock, shop, random, seed, requests: 0, counts: TrafficCounts::default() })
    }

    /// Keeps the shop busy with `rate` visits a second until `stop` is cancelled; `told` hears the counts.
    pub async fn run(
        mut self,
        rate: f64,
        stop: CancellationToken,
        mut told: impl FnMut(&TrafficCounts),
    ) -> anyhow::Result<TrafficCounts> {
        let started = self.clock.instant();
        let mut ticks = tokio::time::interval(SEND_EVERY);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return Ok(self.counts),
            }
            let due = (started.elapsed().as_secs_f64() * rate) as u64;
            let begin = due.saturating_sub(self.counts.visits);
            self.send_visits(begin).await?;
            told(&self.counts);
        }
    }

    async fn send_visits(&mut self, visits: u64) -> anyhow::Result<()> {
        let (mut page_views, mut orders, mut payments) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..visits {
            let visit = self.shop.visit(self.clock.now());
            page_views.extend(visit.page_views);
            orders.extend(visit.orders);
            payments.extend(visit.payments);
        }
        self.counts.visits += visits;
        self.counts.mistakes = self.shop.mistakes;
        self.send("shop.page_views", page_views).await?;
        self.send("shop.orders", orders).await?;
        self.send("shop.payments", payments).await
    }

    async fn send(&mut self, source: &str, lines: Vec<String>) -> anyhow::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.requests += 1;
        let body = lines.join("\n");
        let first = self.send_until_accepted(source, &body).await?;
        self.counts.acknowledged += first;
        if self.random.below(1_000) < REPEATED_PER_MILLE {
            self.counts.requests_repeated += 1;
            self.send_until_accepted(source, &body).await?;
        }
        Ok(())
    }

    async fn send_until_accepted(&mut self, source: &str, body: &str) -> anyhow::Result<u64> {
        let url = format!("{}/v1/sources/{source}/records", self.http);
        loop {
            let request = self
                .client
                .post(&url)
                .header("content-type", "application/x-ndjson")
                .header("idempotency-key", format!("demo-{}-{}", self.seed, self.requests))
                .body(body.to_owned());
            let response = request.send().await.with_context(|| format!("sending to {source}"))?;
            let status = response.status();
            if status == StatusCode::TOO_MANY_REQUESTS {
                self.counts.requests_refused += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            let answer: serde_json::Value = response.json().await?;
            if !status.is_success() {
                bail!("the node answered {status} for {source}: {answer}");
            }
            return Ok(answer["accepted"].as_u64().unwrap_or(0));
        }
    }
}
