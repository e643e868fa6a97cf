"""The answers that an independent tool (DuckDB) gives on the same files: python answers.py DATA_FOLDER LAKE_FOLDER.

Prints one JSON object: each question's rows as computed from the original files, and the row counts that two
independent Delta readers (delta-rs and DuckDB over the files that delta-rs lists) see in the tables.
"""
import json
import sys

import deltalake
import duckdb
import pyarrow as pa

data, lake = sys.argv[1], sys.argv[2]
db = duckdb.connect()
flights = pa.ipc.open_file(f"{data}/flights-200k.arrow").read_all()
db.register("flights_200k", flights)
db.sql(f"CREATE VIEW flights AS SELECT * FROM read_json('{data}/flights-20k.json', format='array')")
db.sql(f"CREATE VIEW airports AS SELECT * FROM read_csv('{data}/airports.csv', header=true, all_varchar=true)")
db.sql(f"CREATE VIEW birdstrikes AS SELECT * FROM read_csv('{data}/birdstrikes.csv', header=true, all_varchar=true)")

QUESTIONS = {
    "worst_routes": """
        SELECT o.name AS origin, d.name AS destination, avg(f.delay) AS mean_delay, count(*) AS flights
        FROM flights f JOIN airports o ON o.iata = f.origin JOIN airports d ON d.iata = f.destination
        GROUP BY 1, 2, f.origin, f.destination HAVING count(*) >= 5
        ORDER BY mean_delay DESC, f.origin, f.destination LIMIT 10""",
    "by_day": """
        SELECT CAST(strftime(strptime(date, '%Y/%m/%d %H:%M'), '%Y-%m-%d') AS VARCHAR) AS day,
               count(*) AS flights, sum(distance) AS miles
        FROM flights GROUP BY 1 ORDER BY 1""",
    "delay_by_hour": """
        SELECT CAST(floor(time) AS BIGINT) AS hour, count(*) AS flights, avg(delay) AS mean_delay, max(distance) AS farthest
        FROM flights_200k GROUP BY 1 ORDER BY 1""",
    "strikes": """
        SELECT "Origin State" AS state, count(*) AS strikes, sum(CAST("Cost Total $" AS BIGINT)) AS cost
        FROM birdstrikes GROUP BY 1 ORDER BY strikes DESC, state LIMIT 15""",
}

answers = {name: db.sql(sql).df().to_dict("records") for name, sql in QUESTIONS.items()}
rows = {}
for table in ["raw/air/flights", "raw/air/flights_200k", "clean/air/airports", "clean/air/birdstrikes"]:
    delta = deltalake.DeltaTable(f"{lake}/{table}")
    counted = db.sql(f"SELECT count(*) FROM read_parquet({[str(uri) for uri in delta.file_uris()]!r})").fetchall()[0][0]
    rows[table] = {"delta_rs": delta.to_pyarrow_dataset().count_rows(), "duckdb": counted}
print(json.dumps({"answers": answers, "rows": rows}, default=float))
