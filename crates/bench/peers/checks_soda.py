"""Holds Parquet files against rules with Soda Core over DuckDB: python checks_soda.py < {"files", "rules"}; prints which fail."""
import json
import logging
import os
import sys
import tempfile

# It reads whether it may send usage statistics from a file in the home folder.
home = tempfile.mkdtemp()
os.makedirs(f"{home}/.soda")
with open(f"{home}/.soda/config.yml", "w") as config:
    config.write("send_anonymous_usage_stats: false\n")
os.environ["HOME"] = home

import duckdb  # noqa: E402
from soda.scan import Scan  # noqa: E402


def check(rule):
    column, name = rule.get("column"), rule["name"]
    # Without copies of rows that fail, which the others do not make either.
    bare = {"name": name, "samples limit": 0}
    match rule["kind"]:
        case "required":
            return {f"missing_count({column}) = 0": bare}
        case "range":
            return {f"invalid_count({column}) = 0": {**bare, "valid min": rule["min"], "valid max": rule["max"]}}
        case "length":
            lengths = {f"valid {which} length": rule[which] for which in ("min", "max") if which in rule}
            return {f"invalid_count({column}) = 0": {**bare, **lengths}}
        case "accepted_values":
            return {f"invalid_count({column}) = 0": {**bare, "valid values": rule["values"]}}
        case "pattern":
            return {f"invalid_count({column}) = 0": {**bare, "valid regex": rule["pattern"]}}
        case _:
            # A number of rows by a condition: times and conditions have no check of their own.
            metric = f"{name}_rows"
            return {f"{metric} = 0": {"name": name, f"{metric} query": f"select count(*) from events where {rule['fails']}"}}


def main():
    asked = json.load(sys.stdin)
    logging.disable(logging.INFO)
    connection = duckdb.connect()
    connection.execute("set threads = 2")
    files = ", ".join(f"'{file}'" for file in asked["files"])
    connection.execute(f"create view events as select * from read_parquet([{files}])")
    scan = Scan()
    scan.set_data_source_name("bench")
    scan.add_duckdb_connection(connection, data_source_name="bench")
    scan.add_sodacl_yaml_str(json.dumps({"checks for events": [check(rule) for rule in asked["rules"]]}))
    scan.execute()
    results = scan.get_scan_results()["checks"]
    outcomes = {result["name"]: result["outcome"] for result in results}
    missing = [rule["name"] for rule in asked["rules"] if outcomes.get(rule["name"]) not in ("pass", "fail")]
    assert not missing, f"not evaluated: {missing}: {scan.get_error_logs_text()}"
    print(json.dumps({"failing": sorted(name for name, outcome in outcomes.items() if outcome == "fail")}))


main()
