//! The queries of NEXMark: what each reads, what its rows are, and its text.
//!
//! Flink runs the very same text. Spark has no window table functions, so its text is in `peers/nexmark_spark.py`.

/// One query.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// `q0`.
    pub name: &'static str,
    /// The streams that it reads.
    pub streams: &'static [Stream],
    /// Its text, over tables named `person`, `auction` and `bid`.
    pub sql: &'static str,
    /// How its rows come.
    pub emits: Emits,
    /// Whether it reads each row once, so that rows may stay in the log.
    pub once: bool,
    /// Its columns as Flink declares them.
    pub columns: &'static str,
    /// A number over all rows of its answer that is the same in every order of rows.
    pub checksum: &'static str,
}

/// How the rows of a query come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emits {
    /// Each row of the input by itself.
    AtOnce,
    /// When windows close.
    OnClose,
    /// The newest row of each value of this column.
    Newest(&'static str),
}

/// One of the three streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Who registers.
    Person,
    /// What is sold.
    Auction,
    /// What is offered.
    Bid,
}

impl Stream {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Person, Self::Auction, Self::Bid];

    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Auction => "auction",
            Self::Bid => "bid",
        }
    }

    /// Its columns.
    pub fn columns(self) -> &'static [Column] {
        match self {
            Self::Person => PERSON_COLUMNS,
            Self::Auction => AUCTION_COLUMNS,
            Self::Bid => BID_COLUMNS,
        }
    }
}

/// A column: its name, its type in a project, and its type in Flink.
pub type Column = (&'static str, &'static str, &'static str);

const fn text(name: &'static str) -> Column {
    (name, "string", "STRING")
}

const fn number(name: &'static str) -> Column {
    (name, "int64", "BIGINT")
}

const fn time(name: &'static str) -> Column {
    (name, "timestamp", "TIMESTAMP_LTZ(3)")
}

const PERSON_COLUMNS: &[Column] = &[
    number("id"),
    text("name"),
    text("email_address"),
    text("credit_card"),
    text("city"),
    text("state"),
    time("ts"),
    text("extra"),
];

const AUCTION_COLUMNS: &[Column] = &[
    number("id"),
    text("item_name"),
    text("description"),
    number("initial_bid"),
    number("reserve"),
    time("ts"),
    time("expires"),
    number("seller"),
    number("category"),
    text("extra"),
];

const BID_COLUMNS: &[Column] = &[
    number("auction"),
    number("bidder"),
    number("price"),
    text("channel"),
    text("url"),
    time("ts"),
    text("extra"),
];

const BID: &[Stream] = &[Stream::Bid];
const BID_ROW: &str = "auction BIGINT, bidder BIGINT, price BIGINT, ts TIMESTAMP_LTZ(3), extra STRING";
const MILLIS: &str = "cast(arrow_cast({}, 'Timestamp(Millisecond, None)') as bigint)";

/// Every query that is measured.
pub const QUERIES: &[Query] = &[
    Query {
        name: "q0",
        streams: BID,
        sql: "select auction, bidder, price, ts, extra from bid",
        emits: Emits::AtOnce,
        once: true,
        columns: BID_ROW,
        checksum: "(auction * 31 + bidder * 17 + price + millis(ts) + character_length(extra)) % 1000003",
    },
    Query {
        name: "q1",
        streams: BID,
        sql: "select auction, bidder, cast(0.908 as decimal(4, 3)) * cast(price as decimal(19, 0)) as price, ts, extra from bid",
        emits: Emits::AtOnce,
        once: true,
        columns: "auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), ts TIMESTAMP_LTZ(3), extra STRING",
        checksum: "(auction * 31 + bidder * 17 + cast(price * 1000 as bigint) + millis(ts)) % 1000003",
    },
    Query {
        name: "q2",
        streams: BID,
        sql: "select auction, price from bid where auction % 123 = 0",
        emits: Emits::AtOnce,
        once: true,
        columns: "auction BIGINT, price BIGINT",
        checksum: "(auction * 31 + price) % 1000003",
    },
    Query {
        name: "q3",
        streams: &[Stream::Person, Stream::Auction],
        sql: "select p.name, p.city, p.state, a.id from auction a join person p on p.id = a.seller where a.category = 10 and p.state in ('OR', 'ID', 'CA')",
        emits: Emits::AtOnce,
        once: false,
        columns: "name STRING, city STRING, state STRING, id BIGINT",
        checksum: "(id * 31 + character_length(name) * 17 + character_length(city)) % 1000003",
    },
    Query {
        name: "q4",
        streams: &[Stream::Auction, Stream::Bid],
        sql: "with w as (select a.id, a.category, max(b.price) as winning from auction a join bid b on b.auction = a.id and b.ts between a.ts and a.expires group by a.id, a.category) select category, cast(avg(winning) as bigint) as winning from w group by category",
        emits: Emits::Newest("category"),
        once: false,
        columns: "category BIGINT, winning BIGINT",
        checksum: "(category * 31 + winning) % 1000003",
    },
    Query {
        name: "q5",
        streams: BID,
        sql: "with c as (select auction, count(*) as num, window_start as ws, window_end as we from table(hop(table bid, descriptor(ts), interval '2' second, interval '10' second)) group by auction, window_start, window_end), m as (select ws, we, max(num) as top from c group by ws, we) select c.auction, c.num from c join m on c.ws = m.ws and c.we = m.we and c.num >= m.top",
        emits: Emits::OnClose,
        once: true,
        columns: "auction BIGINT, num BIGINT",
        checksum: "(auction * 31 + num) % 1000003",
    },
    Query {
        name: "q7",
        streams: BID,
        sql: "with t as (select auction, bidder, price, ts, extra, window_start as ws, window_end as we from table(tumble(table bid, descriptor(ts), interval '10' second))), m as (select ws, we, max(price) as top from t group by ws, we) select t.auction, t.bidder, t.price, t.ts, t.extra from t join m on t.ws = m.ws and t.we = m.we and t.price = m.top",
        emits: Emits::OnClose,
        once: false,
        columns: BID_ROW,
        checksum: "(auction * 31 + bidder * 17 + price + millis(ts) + character_length(extra)) % 1000003",
    },
    Query {
        name: "q8",
        streams: &[Stream::Person, Stream::Auction],
        sql: "with np as (select distinct id, name, window_start as ws, window_end as we from table(tumble(table person, descriptor(ts), interval '10' second))), na as (select distinct seller, window_start as ws, window_end as we from table(tumble(table auction, descriptor(ts), interval '10' second))) select np.id, np.name, np.ws from np join na on na.seller = np.id and na.ws = np.ws and na.we = np.we",
        emits: Emits::OnClose,
        once: true,
        columns: "id BIGINT, name STRING, ws TIMESTAMP(3)",
        checksum: "(id * 31 + character_length(name) * 17 + millis(ws)) % 1000003",
    },
    Query {
        name: "q11",
        streams: BID,
        sql: "select bidder, count(*) as bid_count, window_start, window_end from table(session(table bid partition by bidder, descriptor(ts), interval '10' second)) group by bidder, window_start, window_end",
        emits: Emits::OnClose,
        once: false,
        columns: "bidder BIGINT, bid_count BIGINT, window_start TIMESTAMP(3), window_end TIMESTAMP(3)",
        checksum: "(bidder * 31 + bid_count * 17 + millis(window_start) + millis(window_end)) % 1000003",
    },
];

impl Query {
    /// The text with other names for the streams.
    pub fn over(&self, name: impl Fn(Stream) -> String) -> String {
        let mut text = format!(" {} ", self.sql);
        for stream in self.streams {
            for before in ["from ", "join ", "(table "] {
                for after in [" ", ","] {
                    let (plain, named) = (stream.name(), name(*stream));
                    text =
                        text.replace(&format!("{before}{plain}{after}"), &format!("{before}{named}{after}"));
                }
            }
        }
        text.trim().to_owned()
    }

    /// What counts and sums up the rows of an answer, as `n` and `c`.
    pub fn summary(&self, table: &str) -> String {
        let mut checksum = self.checksum.to_owned();
        while let Some(start) = checksum.find("millis(") {
            let end = start + checksum[start..].find(')').unwrap_or(checksum.len() - start - 1);
            let column = checksum[start + "millis(".len()..end].to_owned();
            checksum.replace_range(start..=end, &MILLIS.replace("{}", &column));
        }
        format!("select count(*) as n, coalesce(sum({checksum}), 0) as c from {table}")
    }
}
