"""Runs schemathesis over the node's OpenAPI: python openapi.py HTTP."""
import subprocess
import sys
from pathlib import Path

http = sys.argv[1]
schemathesis = Path(sys.executable).with_name("schemathesis")
command = [
    str(schemathesis), "run", f"{http}/openapi.json", "--url", http, "--max-examples", "25", "--seed", "7",
    "--request-timeout", "20", "--exclude-path", "/events", "--phases", "examples,coverage,fuzzing",
]
sys.exit(subprocess.run(command, check=False).returncode)
