"""Nothing that can be sent to a route makes the gateway fail or answer what its OpenAPI document does not say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.daemons import ROOT, Daemons

HERE = Path(__file__).parent
FUZZ_SECONDS = 60
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


def test_routes(daemons: Daemons, tmp_path: Path) -> None:
    """Schemathesis makes requests from the document for a minute: each is answered, by no 500, as it says.

    What is left of it all on the disk is in order.
    """
    daemon = daemons.start(tmp_path / "data", "ledger", "--http", "127.0.0.1:0", cwd=HERE)
    url = f"http://{daemon.wait_for('serving')['http']}"
    options = {
        "--max-time": FUZZ_SECONDS,
        "--checks": ",".join(CHECKS),
        "--request-timeout": 10,
        "--generation-database": "none",
        "--warnings": "off",
    }
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--continue-on-failure"]
    done = subprocess.run(
        [*command, "--no-color", *(str(word) for option in options.items() for word in option)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.conformance.fuzzing"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=FUZZ_SECONDS * 4,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert daemon.stop() == 0
    assert {line.get("event", line.get("text")) for line in daemon.log} == {"serving", "stopping", "stopped"}
    verify = [sys.executable, "-m", "promissory", "verify", "--data", str(daemon.data)]
    assert subprocess.run(verify, cwd=ROOT, check=False).returncode == 0
