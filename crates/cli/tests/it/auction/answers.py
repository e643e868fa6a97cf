"""Holds the streams of the auction site against the answers of DuckDB: python answers.py LAKE CUTOFF_US.

Both are read from the Delta tables; windows are made here from the times in microseconds. Ends with 1 and says which
rows differ when they do.
"""
import sys

import deltalake
import duckdb

lake, cutoff = sys.argv[1], int(sys.argv[2])
db = duckdb.connect()
for zone, name in [("raw", "bid"), ("raw", "auction"), ("raw", "person"), ("trusted", "q5"), ("trusted", "q8"),
                   ("trusted", "sales"), ("trusted", "standing")]:
    files = [str(uri) for uri in deltalake.DeltaTable(f"{lake}/{zone}/nex/{name}").file_uris()]
    db.sql(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({files!r}, hive_partitioning=false)")

TUMBLE = "epoch_us(ts) // 10000000 * 10000000"
QUESTIONS = {
    "q5": f"""
        WITH h AS (SELECT auction, epoch_us(ts) // 2000000 * 2000000 - k * 2000000 AS ws
                   FROM bid, (SELECT unnest([0, 1, 2, 3, 4]) AS k)),
             c AS (SELECT auction, ws, count(*) AS num FROM h GROUP BY auction, ws)
        SELECT auction, num, ws FROM c WHERE ws + 10000000 <= {cutoff}
        QUALIFY num = max(num) OVER (PARTITION BY ws)""",
    "q8": f"""
        SELECT DISTINCT p.id, p.name, p.ws
        FROM (SELECT id, name, {TUMBLE} AS ws FROM person) p
        JOIN (SELECT seller, {TUMBLE} AS ws FROM auction) a ON a.seller = p.id AND a.ws = p.ws
        WHERE p.ws + 10000000 <= {cutoff}""",
    "sales": f"""
        SELECT {TUMBLE} AS ws, count(*) AS bids, sum(price)::BIGINT AS volume, max(price) AS top,
               count(DISTINCT bidder) AS bidders
        FROM bid WHERE {TUMBLE} + 10000000 <= {cutoff} GROUP BY 1""",
    "standing": """
        SELECT auction, count(*) AS bids, sum(price)::BIGINT AS volume, max(price) AS top FROM bid GROUP BY auction""",
}
TABLES = {
    "q5": f"SELECT auction, num, epoch_us(window_start) FROM q5 WHERE epoch_us(window_end) <= {cutoff}",
    "q8": f"SELECT id, name, epoch_us(window_start) FROM q8 WHERE epoch_us(window_end) <= {cutoff}",
    "sales": f"""SELECT epoch_us(window_start), bids, volume, top, bidders FROM sales
                 WHERE epoch_us(window_end) <= {cutoff}""",
    "standing": "SELECT auction, bids, volume, top FROM standing",
}

wrong = False
for name, question in QUESTIONS.items():
    wanted, found = (sorted(db.sql(sql).fetchall()) for sql in (question, TABLES[name]))
    if not wanted or wanted != found:
        wrong = True
        print(f"{name}: {len(found)} rows, DuckDB has {len(wanted)}; lacks {sorted(set(wanted) - set(found))[:5]}; "
              f"has {sorted(set(found) - set(wanted))[:5]}")
    else:
        print(f"{name}: {len(found)} rows as DuckDB has them")
sys.exit(wrong)
