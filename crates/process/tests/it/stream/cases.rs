//! Queries of every kind that can be run as a stream.

use std::time::Duration;

use flowline_base::Random;
use flowline_model::{Dataset, LatePolicy};

use crate::support::{landed, limited, on_change, stream};

/// A query over `shop.sales`, `shop.payments` and `shop.customers`.
pub struct Case {
    pub name: &'static str,
    pub sql: &'static str,
    /// Its rows may be written whenever they change, too.
    pub changes: bool,
    /// It goes through all rows, within memory that must be declared.
    pub unbounded: bool,
    /// How long keys are remembered, seconds.
    pub horizon: u64,
    /// What a batch query answers the same with, where it is not the same query.
    pub answer: Option<&'static str>,
}

const fn closing(name: &'static str, sql: &'static str) -> Case {
    Case { name, sql, changes: false, unbounded: false, horizon: 0, answer: None }
}

const fn changing(name: &'static str, sql: &'static str) -> Case {
    Case { name, sql, changes: true, unbounded: false, horizon: 0, answer: None }
}

/// All rows of a key lie within the horizon.
const fn remembering(name: &'static str, sql: &'static str) -> Case {
    Case { horizon: 1_200, ..closing(name, sql) }
}

pub const CASES: &[Case] = &[
    changing(
        "tumble",
        "select customer, window_start, window_end, count(*) as n, sum(amount) as total, avg(amount) as mean, min(ts) as first from table(tumble(table shop.sales, descriptor(ts), interval '1' minute)) group by customer, window_start, window_end",
    ),
    changing(
        "tumble, shifted, filtered before and after",
        "select window_end, max(amount) as most from tumble((select * from shop.sales where amount > 0), descriptor(ts), interval '1' minute, interval '17' second) group by window_start, window_end having count(*) > 1",
    ),
    changing(
        "distinct and approximate aggregates",
        "select window_end, count(distinct customer) as customers, approx_distinct(id) as ids, sum(distinct amount) as amounts, median(amount) as middle from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by window_start, window_end",
    ),
    changing(
        "hop",
        "select window_start, customer, count(*) as n, sum(amount) filter (where amount > 2) as total from table(hop(table shop.sales, descriptor(ts), interval '30' second, interval '2' minute)) group by window_start, window_end, customer",
    ),
    changing(
        "cumulate",
        "select window_time, sum(amount) as total from table(cumulate(table shop.sales, descriptor(ts), interval '30' second, interval '2' minute)) group by window_start, window_end, window_time",
    ),
    changing(
        "grouping sets",
        "select window_end, customer, amount, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by window_start, window_end, rollup(customer, amount)",
    ),
    changing(
        "best of each window",
        "select id, amount, window_end from (select *, row_number() over (partition by window_start, window_end order by amount desc, id, ts, customer) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute)) where n <= 2",
    ),
    changing(
        "each key once in a window",
        "select distinct customer, window_end from tumble(table shop.sales, descriptor(ts), interval '1' minute)",
    ),
    changing(
        "windows of windows",
        "with small as (select customer, window_time as at, sum(amount) as total from tumble(table shop.sales, descriptor(ts), interval '30' second) group by customer, window_start, window_end, window_time having sum(amount) > 0) select window_end, max(total) as most, count(*) as n from hop(table small, descriptor(at), interval '1' minute, interval '3' minute) group by window_start, window_end",
    ),
    changing(
        "window joined with window",
        "select s.customer, s.n, p.paid, s.window_end from (select customer, window_start, window_end, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by customer, window_start, window_end) s left join (select customer, window_start, window_end, sum(amount) as paid from tumble(table shop.payments, descriptor(ts), interval '1' minute) group by customer, window_start, window_end) p on s.customer = p.customer and s.window_start = p.window_start and s.window_end = p.window_end",
    ),
    closing(
        "window joined with itself, without a column that tells the window",
        "with w as (select * from tumble(table shop.sales, descriptor(ts), interval '1' minute)), m as (select window_start, window_end, max(amount) as most from w group by window_start, window_end) select w.id, w.amount, w.ts from w join m on w.window_start = m.window_start and w.window_end = m.window_end and w.amount = m.most",
    ),
    changing(
        "windows of two streams together",
        "select window_end, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) group by window_start, window_end union all select window_end, count(*) from hop(table shop.payments, descriptor(ts), interval '1' minute, interval '2' minute) group by window_start, window_end",
    ),
    changing(
        "window joined with a table",
        "select c.name, window_end, count(*) as n from tumble(table shop.sales, descriptor(ts), interval '1' minute) w left join shop.customers c on w.customer = c.customer group by c.name, window_start, window_end",
    ),
    closing(
        "sessions",
        "select customer, window_start, window_end, count(*) as n, sum(amount) as total from table(session(table shop.sales partition by customer, descriptor(ts), interval '20' second)) group by customer, window_start, window_end",
    ),
    closing(
        "sessions of all keys together, with a window's time alone",
        "select window_time, count(*) as n, min(ts) as first from session((select * from shop.sales where amount > 1), descriptor(ts), interval '5' second) group by window_start, window_end, window_time",
    ),
    closing(
        "sessions of two streams",
        "select customer, window_end, count(*) as n from session((select customer, ts from shop.sales union all select customer, ts from shop.payments where amount > 0) partition by customer, descriptor(ts), interval '15' second) group by customer, window_start, window_end",
    ),
    closing(
        "sessions beside a table",
        "select c.name, window_end, count(*) as n from session(table shop.sales partition by customer, id, descriptor(ts), interval '40' second) w join shop.customers c on w.customer = c.customer group by c.name, id, window_start, window_end",
    ),
    closing(
        "rows that meet within a stretch of time",
        "select s.id, p.id as payment, s.ts, p.ts as paid_at from shop.sales s join shop.payments p on s.customer = p.customer and p.ts between s.ts - interval '10' second and s.ts + interval '30' second",
    ),
    closing(
        "rows that meet within a stretch of time, or none",
        "select s.id, s.ts, p.id as payment from shop.sales s left join shop.payments p on s.customer = p.customer and p.ts >= s.ts and p.ts < s.ts + interval '30' second",
    ),
    closing(
        "rows one by one",
        "select id, case when amount > 3 then 'big' else 'small' end as size, ts from shop.sales where amount > 0",
    ),
    Case {
        unbounded: true,
        ..closing(
            "streams that meet whenever",
            "select s.id, p.id as payment from shop.sales s join shop.payments p on s.id = p.id",
        )
    },
    remembering(
        "the first row of each key",
        "select id, customer, amount, ts from (select *, row_number() over (partition by customer order by ts) as n from shop.sales) where n = 1",
    ),
    remembering(
        "the last row of each key, if it is small",
        "select customer, id, amount, ts as seen from (select customer, amount, id, ts, row_number() over (partition by customer, id order by ts desc, amount) as n from shop.sales where amount > 0) w where w.n <= 1 and w.amount < 6",
    ),
    remembering(
        "the first row of a key in two streams, beside a table",
        "select f.id, f.ts, c.name from (select id, customer, ts, row_number() over (partition by id order by ts) as n from (select id, customer, ts from shop.sales union all select id, customer, ts from shop.payments)) f left join shop.customers c on f.customer = c.customer where f.n = 1",
    ),
    Case {
        horizon: 20,
        answer: Some(
            "select id, customer, ts from (select *, row_number() over (partition by customer, window_start, window_end order by ts) as n from session(table shop.sales partition by customer, descriptor(ts), interval '20' second)) where n = 1",
        ),
        ..closing(
            "the first row of a key that was not seen for a while",
            "select id, customer, ts from (select *, row_number() over (partition by customer order by ts) as n from shop.sales) where n = 1",
        )
    },
    Case {
        horizon: 20,
        answer: Some(
            "select id, customer, ts from (select *, row_number() over (partition by customer, window_start, window_end order by ts desc) as n from session(table shop.sales partition by customer, descriptor(ts), interval '20' second)) where n = 1",
        ),
        ..closing(
            "the last row of a key before it was not seen for a while",
            "select id, customer, ts from (select *, row_number() over (partition by customer order by ts desc) as n from shop.sales) where n = 1",
        )
    },
];

/// The inputs of the cases, and a stream over them.
pub fn datasets(case: &Case, delay: Duration, changing: bool) -> Vec<Dataset> {
    let mut out = stream("shop.out", delay, LatePolicy::Reopen, case.sql);
    if case.unbounded {
        out = limited(out, 8 << 20);
    }
    out.dedupe_horizon = Duration::from_secs(case.horizon);
    vec![
        landed("shop.sales", "id string!, customer string, amount int64!, ts timestamp"),
        landed("shop.payments", "id string!, customer string, amount int64!, ts timestamp"),
        landed("shop.customers", "customer string!, name string"),
        if changing { on_change(out) } else { out },
    ]
}

/// The first time of the events.
pub const START: i64 = 1_735_725_600;

/// A row, as far from the first time as given, milliseconds.
pub fn row(random: &mut Random, millis: i64) -> String {
    let id = random.below(12);
    let customer = ["'x'", "'y'", "'z'", "cast(null as varchar)"][random.below(4) as usize];
    let amount = random.below(9) as i64 - 2;
    let time = START * 1_000 + millis;
    format!("('r{id}', {customer}, {amount}, arrow_cast({time}, 'Timestamp(ms, \"UTC\")'))")
}

/// A row so late that everything before it closes.
pub fn last_row() -> String {
    row(&mut Random::seeded(0), 86_400_000)
}
