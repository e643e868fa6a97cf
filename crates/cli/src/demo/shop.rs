//! The simulated shop: customers who look, order, pay, and systems that make the mistakes that systems make.
//!
//! Owns: which records a seed makes. Does not own: how they are sent (`traffic`) or that they are counted right
//! (the ledger does that; the mistakes are only counted here to be told in the summary).

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use flowline_base::Random;
use serde::Serialize;
use serde_json::{Value, json};

/// How many customers and products the template's files hold.
const CUSTOMERS: u64 = 12;
const PRODUCTS: u64 = 12;

const COUNTRIES: [&str; 6] = ["DE", "FR", "GB", "NL", "PL", "US"];
const REFERRERS: [&str; 4] = ["https://search.example/", "https://news.example/", "newsletter", ""];
const METHODS: [&str; 3] = ["card", "transfer", "wallet"];

/// Of a thousand orders, about so many …
const DUPLICATE_PER_MILLE: u64 = 20;
const NEGATIVE_PER_MILLE: u64 = 5;
const WITHOUT_AMOUNT_PER_MILLE: u64 = 5;
const UNPARSABLE_PER_MILLE: u64 = 2;
const UNKNOWN_FIELD_PER_MILLE: u64 = 10;
const LATE_PER_MILLE: u64 = 10;

/// The mistakes that were made on purpose, to be held against what the ledger says.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Mistakes {
    /// Orders sent a second time, as a producer that lost the answer does.
    pub duplicates: u64,
    /// Orders with a negative amount, without one, or cut off in the middle.
    pub broken: u64,
    /// Orders with a field that the contract does not know.
    pub unknown_fields: u64,
    /// Orders that happened long before they were sent.
    pub late: u64,
}

/// The records of one visit, each a line as it is sent.
#[derive(Debug, Default)]
pub struct Visit {
    pub page_views: Vec<String>,
    pub orders: Vec<String>,
    pub payments: Vec<String>,
}

/// A shop whose customers a seed decides.
#[derive(Debug)]
pub struct Shop {
    random: Random,
    visits: u64,
    orders: u64,
    pub mistakes: Mistakes,
}

impl Shop {
    /// The shop of this seed.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::seeded(seed), visits: 0, orders: 0, mistakes: Mistakes::default() }
    }

    /// The next visit, which begins at `now`.
    pub fn visit(&mut self, now: DateTime<Utc>) -> Visit {
        self.visits += 1;
        let session = format!("s-{:08}", self.visits);
        let customer = self.random.chance(0.7).then(|| format!("c-{:04}", 1 + self.random.below(CUSTOMERS)));
        let mut visit = Visit::default();
        let pages = 1 + self.random.below(6);
        for page in 0..pages {
            let product = self.random.chance(0.6).then(|| self.product());
            let at = now + Duration::milliseconds(page as i64 * 40);
            visit.page_views.push(self.page_view(
                &session,
                page,
                customer.as_deref(),
                product.as_deref(),
                at,
            ));
        }
        if let Some(customer) = customer
            && self.random.chance(0.35)
        {
            self.order(&customer, now, &mut visit);
        }
        visit
    }

    fn product(&mut self) -> String {
        // Squared, so that few products are asked for often.
        let rank = self.random.unit().powi(2) * PRODUCTS as f64;
        format!("p-{:04}", 1 + (rank as u64).min(PRODUCTS - 1))
    }

    fn page_view(
        &mut self,
        session: &str,
        page: u64,
        customer: Option<&str>,
        product: Option<&str>,
        at: DateTime<Utc>,
    ) -> String {
        let url = product.map_or_else(|| "/".to_owned(), |product| format!("/products/{product}"));
        let referrer = self.random.choose(&REFERRERS).copied().unwrap_or_default();
        json!({
            "view_id": format!("{session}-{page}"), "session_id": session, "customer_id": customer, "url": url,
            "product_id": product, "referrer": referrer, "ts": stamp(at),
        })
        .to_string()
    }

    fn order(&mut self, customer: &str, now: DateTime<Utc>, visit: &mut Visit) {
        self.orders += 1;
        let order_id = format!("o-{:08}", self.orders);
        let quantity = 1 + self.random.below(4);
        let cents = quantity * (199 + self.random.below(9_800));
        let late = self.per_mille(LATE_PER_MILLE);
        let at = if late { now - Duration::hours(3) } else { now };
        self.mistakes.late += u64::from(late);
        let order = json!({
            "order_id": order_id, "customer_id": customer, "product_id": self.product(), "quantity": quantity,
            "amount": euros(cents), "currency": "EUR",
            "country": self.random.choose(&COUNTRIES), "email": format!("{customer}@customers.example"), "ts": stamp(at),
        });
        let line = self.with_mistakes(order);
        if self.per_mille(DUPLICATE_PER_MILLE) {
            self.mistakes.duplicates += 1;
            visit.orders.push(line.clone());
        }
        visit.orders.push(line);
        if self.random.chance(0.9) {
            let method = self.random.choose(&METHODS).copied().unwrap_or("card");
            let status = if self.random.chance(0.95) { "captured" } else { "declined" };
            let payment = json!({
                "payment_id": format!("y-{:08}", self.orders), "order_id": order_id, "amount": euros(cents),
                "method": method, "status": status, "ts": stamp(at + Duration::milliseconds(700)),
            });
            visit.payments.push(payment.to_string());
        }
    }

    fn with_mistakes(&mut self, mut order: Value) -> String {
        if self.per_mille(UNKNOWN_FIELD_PER_MILLE) {
            self.mistakes.unknown_fields += 1;
            order["voucher"] = json!("WELCOME10");
        }
        if self.per_mille(NEGATIVE_PER_MILLE) {
            self.mistakes.broken += 1;
            order["amount"] = json!("-1.00");
        } else if self.per_mille(WITHOUT_AMOUNT_PER_MILLE) {
            self.mistakes.broken += 1;
            order["amount"] = Value::Null;
        } else if self.per_mille(UNPARSABLE_PER_MILLE) {
            self.mistakes.broken += 1;
            let mut text = order.to_string();
            text.truncate(text.len() / 2);
            return text;
        }
        order.to_string()
    }

    fn per_mille(&mut self, share: u64) -> bool {
        self.random.below(1_000) < share
    }
}

fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Money is text in the records, because a JSON number may pass through a float on its way.
fn euros(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
