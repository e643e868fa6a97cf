"""Reads the table that `readers.rs` wrote with the readers of others, and says what each of them found."""

import sys

import deltalake
import pyarrow.compute as pc
import pyarrow.parquet as pq

path = sys.argv[1]
table = deltalake.DeltaTable(path)
assert table.version() == 26, table.version()
assert table.metadata().partition_columns == ["country"], table.metadata()
assert table.transaction_version("shop.orders/log/0") == 92
rows = table.to_pyarrow_table()
assert rows.num_rows == 91, rows.num_rows
assert sorted(rows["id"].to_pylist()) == [id for id in range(92) if id != 5]
assert pc.sum(rows["amount"]).as_py() * 100 == sum(id * 101 for id in range(92) if id != 5)
assert str(rows.schema.field("ts").type) == "timestamp[us, tz=UTC]", rows.schema
assert rows.filter(pc.is_null(rows["country"])).num_rows == 23
one = table.to_pyarrow_table(filters=[("id", "=", 91)]).to_pylist()
assert len(one) == 1 and one[0]["ts"].isoformat() == "2026-01-08T19:00:00.123456+00:00", one
past = deltalake.DeltaTable(path, version=3).to_pyarrow_table()
assert past.num_rows == 12, past.num_rows
history = table.history(3)
assert [entry["operation"] for entry in history][1:] == ["OPTIMIZE", "WRITE"], history
print("deltalake", deltalake.__version__, "reads", rows.num_rows, "rows")

for file in table.file_uris():
    schema = pq.read_schema(file)
    assert "country" not in schema.names and str(schema.field("amount").type) == "decimal128(12, 2)", schema
print("pyarrow reads the files")

import duckdb

connection = duckdb.connect()
try:
    connection.execute("install delta; load delta")
    source = f"delta_scan('{path}')"
except duckdb.Error as error:
    # The extension is downloaded at run time; without it DuckDB still reads the table's files by the log's list.
    print("duckdb cannot load its delta extension:", str(error).splitlines()[0])
    source = f"read_parquet({[file.removeprefix('file://') for file in table.file_uris()]!r}, hive_partitioning=false)"
count, total, last = connection.execute(f"select count(*), sum(amount), max(ts)::varchar from {source}").fetchone()
assert (count, float(total)) == (91, sum(id * 101 for id in range(92) if id != 5) / 100), (count, total)
assert last.startswith("2026-01-08 19:00:00.123456"), last
print("duckdb", duckdb.__version__, "reads", count, "rows from", source.split("(")[0])
