"""A daemon with its gateway, and the published clients beside it; run only when this directory is asked for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.daemons import Daemon, Daemons

HERE = Path(__file__).parent
PROGRAM_SECONDS = 60.0

Program: TypeAlias = Callable[[str], Any]


class Thrown(Exception):
    """What a TypeScript program threw; `status` and `text` are those of a refusal by the server."""

    def __init__(self, name: str, message: str, status: int | None = None, text: str | None = None) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.status = status
        self.text = text

    def error(self) -> Any:
        """Return the body of the refusal."""
        assert self.text is not None
        return json.loads(self.text)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests to `make conformance`: they need node and clients that `make test` does not install."""
    asked = [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(HERE) for path in asked) else True


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Serve the office over HTTP on a free port."""
    daemons = Daemons()
    data = tmp_path_factory.mktemp("office") / "data"
    yield daemons.start(data, "office", "--http", "127.0.0.1:0", cwd=HERE).serving()
    daemons.close()


@pytest.fixture(scope="session")
def url(daemon: Daemon) -> str:
    """The gateway's address."""
    return f"http://{daemon.wait_for('serving')['http']}"


@pytest.fixture(scope="session")
def typescript(url: str) -> Program:
    """Run the body of an async function that has `clients`, `ingress` and `url`; return what it returns."""
    return lambda program: run_typescript(url, program)


def run_typescript(url: str, program: str) -> Any:
    """Run a program against an ingress, and return what it returns.

    Raises:
      Thrown: what it throws.
    """
    node = ["node", "typescript.mjs", url]
    done = subprocess.run(
        node, cwd=HERE, input=program, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    outcome = json.loads(done.stdout)
    if "thrown" in outcome:
        raise Thrown(**outcome["thrown"])
    return outcome.get("value")
