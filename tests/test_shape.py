"""The shape of the code: who may import whom, how long things are, and what pure folders never call."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ("oplog", "workers", "executor")
FILES = sorted(path.relative_to(ROOT) for folder in HOUSE for path in (ROOT / folder).rglob("*.py"))
MODULES = [path for path in FILES if (ROOT / path).stat().st_size]
PURE = [path for path in MODULES if path.parts[0] in ("oplog", "workers")]

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
ARROWS = {
    "oplog": {"oplog"},
    "workers": {"workers", "oplog.ids", "oplog.entries", "oplog.errors"},
    "executor": {"oplog", "workers", "executor"},
}
FOREIGN = {
    "oplog": {"trio", "asyncio", "anyio"},
    "workers": {"trio", "asyncio", "anyio", "lmdb"},
    "executor": set(),
}
GRAB_BAGS = {"utils", "helpers", "manager", "base", "common", "misc"}
IMPURE = {"time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "os.urandom", "uuid.uuid1", "uuid.uuid4"}
IMPURE_ENDS = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")
SEEDED = {"random.Random"}
"""What of `random` takes a seed."""


def parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), str(path))


def imports(path: Path) -> set[str]:
    """Return the absolute names of the modules that a file imports, those within functions included."""
    found = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: import by the absolute name"
            module = node.module or ""
            # `from oplog import ids` names a module, `from oplog.ids import WorkerId` a value.
            found |= {f"{module}.{alias.name}" for alias in node.names} if module in HOUSE else {module}
    return found


def is_within(name: str, allowed: set[str]) -> bool:
    return any(name == one or name.startswith(one + ".") for one in allowed)


def names_called(tree: ast.Module) -> list[tuple[int, str]]:
    """Return every name and dotted name that a file uses, spelled by the modules they come from, and its line."""
    origins: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            origins |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origins |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    found = []
    for node in ast.walk(tree):
        rest: list[str] = []
        head: ast.AST = node
        while isinstance(head, ast.Attribute):
            rest.insert(0, head.attr)
            head = head.value
        if isinstance(head, ast.Name) and head.id in origins:
            found.append((head.lineno, ".".join((origins[head.id], *rest))))
    return found


def is_impure(name: str) -> bool:
    if name.startswith("random."):
        return not is_within(name, SEEDED)
    return is_within(name, IMPURE) or name.endswith(IMPURE_ENDS)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_arrows(path: Path) -> None:
    """A folder imports of the house only what the arrows oplog <- workers <- executor allow."""
    folder = path.parts[0]
    of_house = {name for name in imports(path) if is_within(name, {*HOUSE, "tests", "bench", "examples"})}

    assert {name for name in of_house if not is_within(name, ARROWS[folder])} == set()


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_foreign_imports(path: Path) -> None:
    """The record knows no event loop; the guest side knows neither that nor the store."""
    assert {name for name in imports(path) if is_within(name, FOREIGN[path.parts[0]])} == set()


@pytest.mark.parametrize("module", ["workers", "oplog.entries", "oplog.codec", "oplog.fold"])
def test_imports_are_light(module: str) -> None:
    """A worker author's import brings in neither trio nor the store."""
    code = f"import sys, {module}; print({{'trio', 'lmdb', 'asyncio', 'anyio'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_sizes(path: Path) -> None:
    """A file fits in a sitting and a function on a page."""
    too_long = [
        f"{node.name}, line {node.lineno}"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]

    assert len((ROOT / path).read_text().splitlines()) <= FILE_LINES_MAX
    assert too_long == []


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_first_lines(path: Path) -> None:
    """The first line of a file says its one reason to exist."""
    first = (ROOT / path).read_text().splitlines()[0]

    assert first.startswith('"""')
    assert len(first.strip('"')) > 10


@pytest.mark.parametrize("path", PURE, ids=str)
def test_purity(path: Path) -> None:
    """The record and the guest side ask neither clock nor chance: both are handed to them."""
    assert [(line, name) for line, name in names_called(parse(path)) if is_impure(name)] == []


@pytest.mark.parametrize("path", FILES, ids=str)
def test_names(path: Path) -> None:
    """No file is a grab-bag."""
    assert path.stem not in GRAB_BAGS
    assert not GRAB_BAGS & set(path.parts)


def test_these_tests_see() -> None:
    """The walkers find what they look for, however it is imported, and pass over what only looks like it."""
    bad = (
        "import time as t, os, random, uuid, datetime\n"
        "from datetime import datetime as dt\nfrom time import monotonic\n"
        "t.time(); os.urandom(8); random.choice([]); uuid.uuid4(); dt.now(); datetime.datetime.now(); monotonic()\n"
        "def clock(now=t.time_ns): random.Random(1).random(); 'time.time()'; self.random.random()\n"
    )
    found = {name for _, name in names_called(ast.parse(bad)) if is_impure(name)}

    assert found == {
        "time.time",
        "os.urandom",
        "random.choice",
        "uuid.uuid4",
        "datetime.datetime.now",
        "time.monotonic",
        "time.time_ns",
    }
    assert len(MODULES) > 20
    assert is_within("oplog.ids", {"oplog"})
    assert not is_within("oplogs", {"oplog"})
