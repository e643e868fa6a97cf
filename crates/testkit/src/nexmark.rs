//! The auction site of NEXMark: persons, auctions and bids, the same ones for the same seed.
//!
//! Owns: the generator, by the rules of the Java suite with its defaults, in integers wherever times and ids are
//! concerned, each event drawn from its own number. Where the suite adds the first person's id twice to a bidder (its
//! open issue 30), this does not. Does not own: the queries, or how events get into tables.

use std::fmt::Write as _;

/// Events of one round: a person, three auctions, forty-six bids.
const ROUND: u64 = 50;
const AUCTIONS: u64 = 3;
const FIRST_ID: u64 = 1_000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
const ACTIVE_PERSONS: u64 = 1_000;
const IN_FLIGHT: u64 = 100;
const LEAD: u64 = 10;
const HOT: u64 = 100;

/// How many events, how fast, from when.
#[derive(Debug, Clone, Copy)]
pub struct Nexmark {
    /// What all is drawn from.
    pub seed: u64,
    /// Microseconds since the epoch of the first event.
    pub base_time_us: i64,
    /// Events in a second of event time.
    pub events_per_second: u64,
    /// Events that are shuffled among each other: 1 for events in the order of their times.
    pub out_of_order_group: u64,
}

/// Someone who sells and bids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Its number.
    pub id: u64,
    /// First and last name.
    pub name: String,
    /// `s7@s5.com`.
    pub email_address: String,
    /// Four groups of four digits.
    pub credit_card: String,
    /// Where.
    pub city: &'static str,
    /// In which state, independent of the city.
    pub state: &'static str,
    /// Microseconds since the epoch.
    pub date_time: i64,
    /// Filled up to the average size.
    pub extra: String,
}

/// Something that is sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auction {
    /// Its number.
    pub id: u64,
    /// What is sold.
    pub item_name: String,
    /// What is said of it.
    pub description: String,
    /// Cents.
    pub initial_bid: u64,
    /// Cents.
    pub reserve: u64,
    /// Microseconds since the epoch.
    pub date_time: i64,
    /// When it ends, microseconds since the epoch.
    pub expires: i64,
    /// The person who sells.
    pub seller: u64,
    /// One of five.
    pub category: u64,
    /// Filled up to the average size.
    pub extra: String,
}

/// What someone offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bid {
    /// For which auction.
    pub auction: u64,
    /// Who.
    pub bidder: u64,
    /// Cents.
    pub price: u64,
    /// Where the bid came through.
    pub channel: String,
    /// Its page.
    pub url: String,
    /// Microseconds since the epoch.
    pub date_time: i64,
    /// Filled up to the average size.
    pub extra: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Someone registers.
    Person(Person),
    /// Something is put up for sale.
    Auction(Auction),
    /// Someone offers.
    Bid(Bid),
}

impl Event {
    /// When it happened, microseconds since the epoch.
    pub fn time(&self) -> i64 {
        match self {
            Self::Person(person) => person.date_time,
            Self::Auction(auction) => auction.date_time,
            Self::Bid(bid) => bid.date_time,
        }
    }
}

impl Nexmark {
    /// Ten thousand events a second of event time, in order, from a fixed time.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, base_time_us: 1_735_689_600_000_000, events_per_second: 10_000, out_of_order_group: 1 }
    }

    /// The events with these numbers.
    pub fn events(self, numbers: std::ops::Range<u64>) -> impl Iterator<Item = Event> {
        numbers.map(move |number| self.event(number))
    }

    /// The event with this number, from 0.
    pub fn event(&self, number: u64) -> Event {
        let group = self.out_of_order_group.max(1);
        let adjusted = (number / group) * group + (number * 953) % group;
        let (round, slot) = (adjusted / ROUND, adjusted % ROUND);
        let mut draw = Draw::new(self.seed, adjusted);
        let time = self.time(adjusted);
        match slot {
            0 => Event::Person(person(&mut draw, FIRST_ID + round, time)),
            1..=AUCTIONS => Event::Auction(self.auction(&mut draw, adjusted, time)),
            _ => Event::Bid(bid(&mut draw, adjusted, time)),
        }
    }

    /// Milliseconds are whole, as in the suite: ten events share one at ten thousand a second.
    fn time(&self, number: u64) -> i64 {
        let millis = number * 1_000 / self.events_per_second.max(1);
        self.base_time_us + i64::try_from(millis).unwrap_or(i64::MAX / 1_000) * 1_000
    }

    fn auction(&self, draw: &mut Draw, number: u64, time: i64) -> Auction {
        let person = last_person(number);
        let seller = FIRST_ID + if draw.below(4) > 0 { person / HOT * HOT } else { draw.person(person) };
        let initial_bid = draw.price();
        let reserve = initial_bid + draw.price();
        let horizon = self.time(number + IN_FLIGHT * ROUND / AUCTIONS) - time;
        let millis = u64::try_from(horizon / 1_000).unwrap_or(1).max(1);
        let life = 1 + draw.below(2 * millis);
        let (item_name, description) = (draw.text(20), draw.text(100));
        Auction {
            id: FIRST_ID + last_auction(number),
            extra: draw.extra(8 * 7 + item_name.len() + description.len(), 500),
            item_name,
            description,
            initial_bid,
            reserve,
            date_time: time,
            expires: time + i64::try_from(life).unwrap_or(1) * 1_000,
            seller,
            category: FIRST_CATEGORY + draw.below(CATEGORIES),
        }
    }
}

/// The last person (from 0) that there is at an event.
fn last_person(number: u64) -> u64 {
    number / ROUND
}

/// The last auction (from 0) that there is at an event.
fn last_auction(number: u64) -> u64 {
    let (round, slot) = (number / ROUND, number % ROUND);
    match slot {
        0 => (round * AUCTIONS).saturating_sub(1),
        1..=AUCTIONS => round * AUCTIONS + slot - 1,
        _ => round * AUCTIONS + AUCTIONS - 1,
    }
}

fn person(draw: &mut Draw, id: u64, time: i64) -> Person {
    const FIRST: [&str; 11] =
        ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
    const LAST: [&str; 9] =
        ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
    const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
    const CITIES: [&str; 10] = [
        "Phoenix",
        "Los Angeles",
        "San Francisco",
        "Boise",
        "Portland",
        "Bend",
        "Redmond",
        "Seattle",
        "Kent",
        "Cheyenne",
    ];
    let name = format!("{} {}", draw.one(&FIRST), draw.one(&LAST));
    let email_address = format!("{}@{}.com", draw.text(7), draw.text(5));
    let digits: Vec<String> = (0..4).map(|_| format!("{:04}", draw.below(10_000))).collect();
    let credit_card = digits.join(" ");
    let (city, state) = (draw.one(&CITIES), draw.one(&STATES));
    let size = 8 * 2 + name.len() + email_address.len() + credit_card.len() + city.len() + state.len();
    Person {
        id,
        name,
        email_address,
        credit_card,
        city,
        state,
        date_time: time,
        extra: draw.extra(size, 200),
    }
}

fn bid(draw: &mut Draw, number: u64, time: i64) -> Bid {
    const CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
    let (person, auction) = (last_person(number), last_auction(number));
    let auction = FIRST_ID
        + if draw.below(2) > 0 {
            auction / HOT * HOT
        } else {
            let first = auction.saturating_sub(IN_FLIGHT);
            first + draw.below(auction - first + 1 + LEAD)
        };
    let bidder = FIRST_ID + if draw.below(4) > 0 { person / HOT * HOT + 1 } else { draw.person(person) };
    let price = draw.price();
    let (channel, url) = if draw.below(2) > 0 {
        let index = draw.below(4);
        let channel = CHANNELS[index as usize];
        (channel.to_owned(), Draw::new(0, index).url())
    } else {
        let index = draw.below(10_000);
        let mut url = Draw::new(1, index).url();
        if draw.below(10) > 0 {
            let reversed = (index as u32).reverse_bits().cast_signed().unsigned_abs();
            let _ = write!(url, "&channel_id={reversed}");
        }
        (format!("channel-{index}"), url)
    };
    let extra = draw.extra(8 * 4 + channel.len() + url.len(), 100);
    Bid { auction, bidder, price, channel, url, date_time: time, extra }
}

/// Numbers that follow from a seed and an event's number (splitmix64).
struct Draw(u64);

impl Draw {
    fn new(seed: u64, number: u64) -> Self {
        let mut draw = Self(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        draw.next();
        draw
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    fn one(&mut self, of: &[&'static str]) -> &'static str {
        of[self.below(of.len() as u64) as usize]
    }

    /// 100 to 100,000,000, as likely between any two powers of ten.
    fn price(&mut self) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (10f64.powf(6.0 * unit) * 100.0).round() as u64
    }

    /// One of the active persons, or of those who register soon.
    fn person(&mut self, last: u64) -> u64 {
        let (persons, active) = (last + 1, (last + 1).min(ACTIVE_PERSONS));
        persons - active + self.below(active + LEAD)
    }

    /// Letters, one in thirteen a space, without spaces at its ends.
    fn text(&mut self, longest: u64) -> String {
        let length = 3 + self.below(longest - 3);
        let text: String = (0..length)
            .map(|_| match self.below(13) {
                0 => ' ',
                _ => char::from(b'a' + self.below(26) as u8),
            })
            .collect();
        text.trim().to_owned()
    }

    fn url(&mut self) -> String {
        let words: Vec<String> = (0..3).map(|_| self.letters(5)).collect();
        format!("https://www.nexmark.com/{}/item.htm?query=1", words.join("/"))
    }

    fn letters(&mut self, length: u64) -> String {
        (0..length).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }

    /// Letters that bring a record to its average size, a fifth more or less.
    fn extra(&mut self, size: usize, average: u64) -> String {
        let missing = average.saturating_sub(size as u64);
        let fifth = missing / 5;
        let length = if missing == 0 { 0 } else { missing - fifth + self.below(2 * fifth + 1) };
        self.letters(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_follow_the_rules() {
        let site = Nexmark::seeded(7);
        let kinds: Vec<u8> = site
            .events(0..100)
            .map(|event| match event {
                Event::Person(_) => 0,
                Event::Auction(_) => 1,
                Event::Bid(_) => 2,
            })
            .collect();
        assert_eq!(kinds[..5], [0, 1, 1, 1, 2]);
        assert_eq!(kinds.iter().filter(|kind| **kind == 2).count(), 92);
        let ids: Vec<u64> = site
            .events(0..200)
            .filter_map(|event| match event {
                Event::Auction(auction) => Some(auction.id),
                _ => None,
            })
            .collect();
        assert_eq!(ids, (1_000..1_012).collect::<Vec<_>>());
        assert_eq!(site.event(1_234), site.event(1_234));
        let shuffled = Nexmark { out_of_order_group: 50, ..site };
        let mut times: Vec<i64> = shuffled.events(0..50).map(|event| event.time()).collect();
        assert!(!times.is_sorted());
        times.sort_unstable();
        assert_eq!(times, site.events(0..50).map(|event| event.time()).collect::<Vec<_>>());
    }
}
