"""Holds Parquet files against rules with `dbt test` over DuckDB: python checks_dbt.py < {"files", "rules"}; prints which fail."""
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"

from dbt.cli.main import dbtRunner  # noqa: E402

PROFILES = """bench:
  target: dev
  outputs: {{ dev: {{ type: duckdb, path: "{folder}/bench.duckdb", threads: 2, settings: {{ threads: 2 }} }} }}
"""
# What dbt_utils calls `expression_is_true`: dbt itself has no test of ranges, lengths and patterns.
GENERIC = """{% test holds(model, condition) %}select * from {{ model }} where {{ condition }}{% endtest %}
"""


def test(rule):
    match rule["kind"]:
        case "required":
            return rule["column"], {"not_null": {"name": rule["name"]}}
        case "accepted_values":
            return rule["column"], {"accepted_values": {"name": rule["name"], "arguments": {"values": rule["values"]}}}
        case _:
            return None, {"holds": {"name": rule["name"], "arguments": {"condition": rule["fails"]}}}


def main():
    asked = json.load(sys.stdin)
    folder = Path(tempfile.mkdtemp())
    for inside in ("models", "tests/generic"):
        (folder / inside).mkdir(parents=True)
    flags = {"send_anonymous_usage_stats": False, "require_generic_test_arguments_property": True}
    project = {"name": "bench", "version": "1.0.0", "profile": "bench", "model-paths": ["models"], "test-paths": ["tests"], "flags": flags}
    (folder / "dbt_project.yml").write_text(json.dumps(project))
    (folder / "profiles.yml").write_text(PROFILES.format(folder=folder))
    (folder / "tests/generic/holds.sql").write_text(GENERIC)
    columns, tests = {}, []
    for rule in asked["rules"]:
        column, one = test(rule)
        (tests if column is None else columns.setdefault(column, [])).append(one)
    files = ", ".join(f"'{file}'" for file in asked["files"])
    (folder / "models/events.sql").write_text(f"{{{{ config(materialized='view') }}}}\nselect * from read_parquet([{files}])\n")
    described = [{"name": name, "data_tests": of_column} for name, of_column in columns.items()]
    models = {"version": 2, "models": [{"name": "events", "data_tests": tests, "columns": described}]}
    (folder / "models/schema.yml").write_text(json.dumps(models))
    where = ["--project-dir", str(folder), "--profiles-dir", str(folder), "--quiet"]
    result = dbtRunner().invoke(["build", *where])
    assert result.exception is None, result.exception
    outcomes = {one.node.name: str(one.status) for one in result.result if one.node.resource_type == "test"}
    assert set(outcomes) == {rule["name"] for rule in asked["rules"]}, outcomes
    assert all(status in ("pass", "fail") for status in outcomes.values()), outcomes
    print(json.dumps({"failing": sorted(name for name, status in outcomes.items() if status == "fail")}))


main()
