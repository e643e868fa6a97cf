"""Holds Parquet files against rules with `datacontract test`: python checks_datacontract.py < {"files", "rules"}; prints
which fail. Every rule is a quality check in SQL, which is what contracts have for all of them."""
import json
import logging
import sys
import tempfile
from pathlib import Path

from datacontract.data_contract import DataContract


def main():
    asked = json.load(sys.stdin)
    logging.disable(logging.WARNING)
    folder = Path(tempfile.mkdtemp())
    (folder / "data").mkdir()
    for number, file in enumerate(asked["files"]):
        (folder / "data" / f"{number}.parquet").symlink_to(file)
    quality = [
        {"type": "sql", "name": rule["name"], "description": rule["name"], "query": f"select count(*) from events where {rule['fails']}", "mustBe": 0}
        for rule in asked["rules"]
    ]
    contract = {
        "apiVersion": "v3.1.0", "kind": "DataContract", "id": "bench", "name": "bench", "version": "1.0.0", "status": "active",
        "servers": [{"server": "local", "type": "local", "path": f"{folder}/data/*.parquet", "format": "parquet"}],
        "schema": [{"name": "events", "physicalType": "table", "quality": quality}],
    }
    file = folder / "bench.odcs.yaml"
    file.write_text(json.dumps(contract))
    run = DataContract(data_contract_file=str(file)).test()
    names = {rule["name"] for rule in asked["rules"]}
    outcomes = {}
    for check in run.checks:
        name = next((word for word in (check.name or "").split() if word in names), None)
        if name:
            outcomes[name] = str(check.result.value if hasattr(check.result, "value") else check.result)
    assert set(outcomes) == names, f"{len(outcomes)} of {len(names)}: {[(c.name, c.result, c.reason) for c in run.checks][:5]}"
    assert all(result in ("passed", "failed") for result in outcomes.values()), outcomes
    print(json.dumps({"failing": sorted(name for name, result in outcomes.items() if result == "failed")}))


main()
