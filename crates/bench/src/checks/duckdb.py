"""Counts the rows of a Delta table for which conditions hold, in one scan: python duckdb.py TABLE < conditions.json."""
import json
import sys
import time

import deltalake
import duckdb

files = deltalake.DeltaTable(sys.argv[1]).file_uris()
conditions = json.load(sys.stdin)
counts = ", ".join(f"count(*) filter (where {condition})" for condition in conditions)
connection = duckdb.connect()
connection.execute("set threads = 2")
connection.execute("set enable_progress_bar = false")
started = time.perf_counter()
row = connection.execute(f"select count(*), {counts} from read_parquet(?)", [files]).fetchone()
print(json.dumps({"rows": row[0], "failed": sum(row[1:]), "seconds": time.perf_counter() - started}))
