"""Plays clients that Flowline's own code knows nothing of: python clients.py HTTP POSTGRES LAKE."""
import datetime
import decimal
import json
import sys
import time

import deltalake
import duckdb
import psycopg
import requests
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

http, postgres, lake = sys.argv[1:4]
host, port = postgres.split(":")
records = f"{http}/v1/sources/clients.events/records"


def accepted(response, number):
    assert response.status_code == 200, (response.status_code, response.text)
    assert response.json()["accepted"] == number, response.text


rows = [{"n": i, "name": f"name {i}", "price": f"{i}.50", "at": "2026-01-05T08:00:00Z", "ok": i % 2 == 0} for i in range(100)]
accepted(requests.post(records, json=rows), 100)
accepted(requests.post(records, json=rows[0]), 1)
csv = "n,name,price\n1000,from csv,1.25\n"
accepted(requests.post(records, data=csv, headers={"content-type": "text/csv"}), 1)
for make in (to_binary_event, to_structured_event):
    event = CloudEvent(
        attributes={
            "id": make.__name__, "type": "example.event", "source": "/clients", "specversion": "1.0",
            "time": datetime.datetime.now(datetime.timezone.utc), "datacontenttype": "application/json",
        },
        data={"n": 2000, "name": "from an event"},
    )
    message = make(event)
    accepted(requests.post(records, data=message.body, headers=dict(message.headers)), 1)

with psycopg.connect(f"host={host} port={port} user=someone dbname=clients", autocommit=True) as connection:
    for _ in range(300):
        if connection.execute("select count(*) from clients.events").fetchone()[0] == 104:
            break
        time.sleep(0.1)
    else:
        raise AssertionError(connection.execute("select * from system.counts").fetchall())
    row = connection.execute("select n, name, price, at, ok from clients.events where n = %s", (8,)).fetchone()
    assert row[:3] == (8, "name 8", decimal.Decimal("8.50")), row
    assert row[3].replace(tzinfo=datetime.timezone.utc) == datetime.datetime(2026, 1, 5, 8, tzinfo=datetime.timezone.utc), row
    assert row[4] is True, row
    cursor = connection.cursor(binary=True)
    row = cursor.execute("select n, name, price, ok from clients.events where n = 9 order by 1").fetchone()
    assert row == (9, "name 9", decimal.Decimal("9.50"), False), row
    events = connection.execute("select ce_id, ce_type from clients.events where n = 2000 order by 1").fetchall()
    assert events == [("to_binary_event", "example.event"), ("to_structured_event", "example.event")], events
    try:
        connection.execute("select nothing from clients.events")
        raise AssertionError("an unknown column was found")
    except psycopg.errors.UndefinedColumn:
        pass

table = deltalake.DeltaTable(f"{lake}/raw/clients/events")
assert table.to_pyarrow_dataset().count_rows() == 104
files = [str(uri) for uri in table.file_uris()]
assert duckdb.sql(f"select sum(price) from read_parquet({files!r})").fetchall()[0][0] == decimal.Decimal("5001.75")
for content_type, body, status in [
    ("application/json", b"{}", 200), ("application/pdf", b"x", 415),
    ("application/vnd.apache.arrow.stream", b"not arrow", 400),
]:
    response = requests.post(records, data=body, headers={"content-type": content_type})
    assert response.status_code == status, (content_type, response.status_code, response.text)
    if status != 200:
        assert response.headers["content-type"].startswith("application/problem+json"), response.headers
print(json.dumps({"ok": True}))
