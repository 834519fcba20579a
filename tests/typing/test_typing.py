"""The types of stubs and calls, as mypy and pyright see them: they take what is right and refuse what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MARK = re.compile(r"# error: ([^|]+) \| (.+)")

Found = dict[int, set[str]]
"""Lines and the codes of what is wrong there."""


def expected(path: Path, checker: int) -> Found:
    """Return what a file's marks say of one checker: 1 is mypy, 2 pyright."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return {number: set(mark[checker].split()) for number, line in lines if (mark := MARK.search(line))}


def checked(*command: str) -> str:
    """Return what a checker prints; whatever it finds, it must have worked."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def mypy() -> dict[str, Found]:
    """What mypy --strict finds, by file."""
    found: dict[str, Found] = defaultdict(lambda: defaultdict(set))
    modules = ("-m", "tests.typing.right", "-m", "tests.typing.wrong")
    for line in checked("mypy", "--strict", "--output", "json", *modules).splitlines():
        error = json.loads(line)
        if error["severity"] == "error":
            found[Path(error["file"]).name][error["line"]].add(error["code"])
    return found


@pytest.fixture(scope="module")
def pyright() -> dict[str, Found]:
    """What pyright finds, by file."""
    found: dict[str, Found] = defaultdict(lambda: defaultdict(set))
    files = (str(HERE / "right.py"), str(HERE / "wrong.py"))
    answer: Any = json.loads(checked("pyright", "--outputjson", "--pythonpath", sys.executable, *files))
    assert answer["summary"]["filesAnalyzed"] == len(files)
    for error in answer["generalDiagnostics"]:
        if error["severity"] == "error":
            found[Path(error["file"]).name][error["range"]["start"]["line"] + 1].add(error.get("rule", "syntax"))
    return found


def test_mypy_takes_what_is_right(mypy: dict[str, Found]) -> None:
    """A stub is an instance of its class; results have the types of the annotations."""
    assert mypy["right.py"] == {}


def test_pyright_takes_what_is_right(pyright: dict[str, Found]) -> None:
    """In its strict mode."""
    assert pyright["right.py"] == {}


def test_mypy_refuses_what_is_wrong(mypy: dict[str, Found]) -> None:
    """Wrong arguments, wrong use of results, queries called and handlers asked are errors where they stand."""
    assert mypy["wrong.py"] == expected(HERE / "wrong.py", 1)


def test_pyright_refuses_what_is_wrong(pyright: dict[str, Found]) -> None:
    """The same lines."""
    assert pyright["wrong.py"] == expected(HERE / "wrong.py", 2)
    assert len(pyright["wrong.py"]) > 30
