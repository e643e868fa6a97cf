#!/usr/bin/env python3
"""Holds the streamed answers of NEXMark q5, q7, q8 and q11 against DuckDB over the same events.

    FLOWLINE_NEXMARK_DIR=/tmp/nexmark cargo test -p flowline-process --test it stream::nexmark
    python scripts/nexmark-duckdb.py /tmp/nexmark
"""

import sys
from datetime import datetime, timezone
from pathlib import Path

import duckdb

QUERIES = {
    "q5": """
        with w as (
            select auction, unnest(range((ts // 2000000) * 2000000 - 8000000, (ts // 2000000) * 2000000 + 1, 2000000)) as ws
            from bid
        ), c as (select auction, ws, count(*) as num from w group by auction, ws)
        select auction, num from c qualify num = max(num) over (partition by ws)
    """,
    "q7": """
        select auction, bidder, price, ts, extra from bid
        qualify price = max(price) over (partition by ts // 10000000)
    """,
    "q8": """
        with np as (select distinct id, name, ts // 10000000 as w from person),
             na as (select distinct seller, ts // 10000000 as w from auction)
        select np.id, np.name, np.w * 10000000 from np join na on na.seller = np.id and na.w = np.w
    """,
    "q11": """
        with b as (
            select bidder, ts, coalesce(ts - lag(ts) over (partition by bidder order by ts) > 10000000, true) as begins
            from bid
        ), s as (select bidder, ts, sum(begins::int) over (partition by bidder order by ts range unbounded preceding) as n from b)
        select bidder, count(*), min(ts), max(ts) + 10000000 from s group by bidder, n
    """,
}
TIMES = {"q7": [3], "q8": [2], "q11": [2, 3]}


def main(folder: Path) -> int:
    connection = duckdb.connect()
    connection.execute(f"create table events as select * from read_json_auto('{folder}/events.ndjson', format='newline_delimited', sample_size=-1)")
    for kind in ("person", "auction", "bid"):
        connection.execute(f"create view {kind} as select * from events where kind = '{kind}'")
    wrong = 0
    for name, sql in QUERIES.items():
        rows = connection.execute(sql).fetchall()
        expected = sorted(" ".join(shown(value, index in TIMES.get(name, [])) for index, value in enumerate(row)) for row in rows)
        streamed = sorted((folder / f"{name}.txt").read_text().splitlines())
        same = expected == streamed
        wrong += not same
        print(f"{name}: {len(streamed)} rows streamed, {len(expected)} by DuckDB: {'equal' if same else 'DIFFERENT'}")
    return 1 if wrong else 0


def shown(value, time: bool) -> str:
    if not time:
        return str(value)
    seconds, micros = divmod(value, 1_000_000)
    text = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{micros:06d}"
    fraction = fraction[:3] if fraction.endswith("000") else fraction
    return f"{text}{'.' + fraction if micros else ''}Z"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
