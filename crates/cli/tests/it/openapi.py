"""Runs schemathesis over an OpenAPI of the node: python openapi.py HTTP [PATH]."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

http = sys.argv[1]
path = sys.argv[2] if len(sys.argv) > 2 else "/openapi.json"
schemathesis = Path(sys.executable).with_name("schemathesis")
command = [
    str(schemathesis), "run", f"{http}{path}", "--url", http, "--max-examples", "25", "--seed", "7",
    "--request-timeout", "20", "--phases", "examples,coverage,fuzzing",
    # Whether text is SQL, or bytes are CSV, no schema can say: what fits the schema may be refused with 400, and any
    # text at all is a CSV file.
    "--exclude-checks", "positive_data_acceptance,negative_data_rejection",
]
environment = {
    **os.environ, "SCHEMATHESIS_HOOKS": "openapi_hooks", "PYTHONPATH": str(Path(__file__).parent),
    "PYTHONDONTWRITEBYTECODE": "1",
}
with tempfile.TemporaryDirectory() as folder:
    sys.exit(subprocess.run(command, check=False, env=environment, cwd=folder).returncode)
