"""An independent client of an object store: python object_stores.py URL OPTIONS (put PATH TEXT | read TABLE [ROWS]).

`put` writes an object; `read` opens a Delta table with delta-rs and reads all of it, and fails when it has other than so
many rows (any but none without the number).
"""
import json
import os
import sys

import deltalake
import obstore

url, options, command = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
if command == "put":
    path, text = sys.argv[4:]
    config = {key: value for key, value in options.items() if not key.endswith("allow_http")}
    store = obstore.store.from_url(url, config=config, client_options={"allow_http": True})
    obstore.put(store, path, text.encode())
else:
    rows = deltalake.DeltaTable(url + sys.argv[4], storage_options=options).to_pyarrow_table().num_rows
    wanted = int(sys.argv[5]) if len(sys.argv) > 5 else None
    if rows != wanted if wanted is not None else rows == 0:
        sys.exit(f"{sys.argv[4]} has {rows} rows, not {wanted or 'some'}")
# Threads of the clients may outlive the interpreter and abort it: what was asked for is done.
sys.stdout.flush()
os._exit(0)
