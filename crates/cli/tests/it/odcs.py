"""Holds an exported contract against the standard's own tools: python odcs.py CONTRACT PARQUET_GLOB.

Its JSON Schema, the pydantic model, `datacontract lint`, and `datacontract test` on the rows of the table.
"""
import pathlib
import subprocess
import sys

import datacontract
import jsonschema
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

contract, rows = sys.argv[1:3]
text = pathlib.Path(contract).read_text()
document = yaml.safe_load(text)

schema = pathlib.Path(datacontract.__file__).parent / "schemas" / "odcs-3.1.0.schema.json"
validator = jsonschema.Draft201909Validator(yaml.safe_load(schema.read_text()))
problems = [f"{problem.json_path}: {problem.message}" for problem in validator.iter_errors(document)]
assert not problems, problems
# Proves that the schema is one that refuses.
assert list(validator.iter_errors({**document, "unheard": 1}))

assert OpenDataContractStandard.from_string(text).schema_[0].name == "orders"

tool = str(pathlib.Path(sys.executable).parent / "datacontract")


def run(*arguments, succeeds=True):
    done = subprocess.run([tool, *arguments], capture_output=True, text=True)
    assert (done.returncode == 0) == succeeds, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


run("lint", contract)
# DuckDB reads Delta with an extension that it would fetch; the rows themselves are Parquet.
document["servers"] = [{"server": "rows", "type": "local", "path": rows, "format": "parquet"}]
# The rows of the test are as old as the test.
there = pathlib.Path(contract).with_suffix(".rows.yaml")
there.write_text(yaml.safe_dump(document, sort_keys=False))
run("test", str(there))
# And it finds what is wrong: no amount is as large.
for field in document["schema"][0]["properties"]:
    if field["name"] == "amount":
        field["quality"][0]["query"] = "SELECT COUNT(*) FROM {object} WHERE NOT (amount > 1000000)"
there.write_text(yaml.safe_dump(document, sort_keys=False))
run("test", str(there), succeeds=False)
