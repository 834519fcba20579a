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
PACKAGES = {"promissory", *(".".join(("promissory", *path.parts[:-1])) for path in FILES)}
PURE = [path for path in MODULES if path.parts[0] in ("oplog", "workers")]

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
VALUES = {"oplog.ids", "oplog.entries", "oplog.errors"}
"""What the guest side takes of the record."""
HOST_FUNCTIONS = {f"workers.{name}" for name in ("host", "effects", "promises", "calls", "concurrency", "stub")}
"""What stands above the machine within `workers`."""
GROUND = {"oplog", "workers", "executor.telemetry", "executor.config", "executor.version"}
"""What every floor of `executor` may use, but for itself."""
STANDS_ON = {
    "executor.protocol": set[str](),
    "executor.commits": set[str](),
    "executor.components": set[str](),
    "executor.residents": {"executor.commits", "executor.components"},
    "executor.hostcalls": {"executor.residents"},
    "executor.turns": {"executor.hostcalls"},
    "executor.operations": {"executor.turns", "executor.protocol"},
    "executor.client": {"executor.protocol"},
    "executor.http.door": {"executor.client"},
    "executor.http.upstream": {"executor.http.door"},
    "executor.http.describe": {"executor.http.upstream"},
    "executor.http.families": {"executor.http.describe"},
    "executor.http": {"executor.http.families"},
    "executor.server": {"executor.operations", "executor.http"},
    "executor.testing": {"executor.server"},
    "executor.stubgen": {"executor.components"},
    "executor.cli": {"executor.server", "executor.stubgen"},
}
"""The floors of `executor` that each stands on; an arrow leads to them and to all that they stand on."""
SAME_NAMES = {
    "calls": {"workers", "executor.hostcalls"},
    "effects": {"workers", "executor.hostcalls"},
    "errors": {"oplog", "executor.protocol"},
    "gateway": {"executor.http", "executor.cli"},
    "invocations": {"executor.operations"},
    "link": {"executor.client", "executor.http.upstream"},
    "oplog": {"executor.cli"},
    "promises": {"workers", "executor.hostcalls", "executor.operations"},
    "stub": {"workers", "executor.cli"},
    "workers": {"executor.operations", "executor.http.families"},
    "metrics": {"executor.telemetry", "executor.http.describe"},
    "promise": {"executor.client", "executor.cli"},
}
"""The files that share a name, since they hold one idea on several floors."""
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
            found |= {f"{module}.{alias.name}" for alias in node.names} if module in PACKAGES else {module}
    return {name.removeprefix("promissory.") for name in found}


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


def floor_of(module: str) -> str:
    """Return the folder that a module or file stands in: the longest that is a floor."""
    return max((floor for floor in STANDS_ON if is_within(module, {floor})), key=len, default="")


def allowed_to(path: Path) -> set[str]:
    """Return the modules and folders that a file may import of the house."""
    module = ".".join(path.with_suffix("").parts)
    if path.parts[0] == "oplog":
        return {"oplog"}
    if path.parts[0] == "workers":
        return {"workers", *VALUES}
    floor = floor_of(module)
    if not floor:
        return {"oplog", "workers.retry", "executor.telemetry"}
    found, ahead = {floor}, [*STANDS_ON[floor]]
    while ahead:
        below = ahead.pop()
        found.add(below)
        ahead += STANDS_ON[below]
    return found | GROUND


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_arrows(path: Path) -> None:
    """A file imports of the house only its own floor and those that it stands on."""
    allowed = allowed_to(path)
    of_house = {name for name in imports(path) if is_within(name, {*HOUSE, "tests", "bench", "examples"})}
    against = set()
    for name in of_house:
        floor = floor_of(name)
        # A part of a floor stands below the rest of it: being within is not enough.
        if (floor and floor not in allowed) or not is_within(name, allowed):
            against.add(name)
    if path.parts[:2] == ("workers", "machine"):
        against |= {name for name in of_house if is_within(name, HOST_FUNCTIONS)}

    assert against == set()


def test_every_folder_is_a_floor() -> None:
    """A folder of the executor has its row among the arrows."""
    folders = {".".join(path.parts[:-1]) for path in MODULES if path.parts[0] == "executor" and len(path.parts) > 2}

    assert folders - {"executor.telemetry"} == {*STANDS_ON}


def test_names_are_shared_only_by_one_idea() -> None:
    """Two files have the same name only where they hold the same idea on two floors."""
    found: dict[str, set[str]] = {}
    for path in MODULES:
        if path.name != "__init__.py":
            found.setdefault(path.stem, set()).add(".".join(path.parts[:-1]))

    assert {name: places for name, places in found.items() if len(places) > 1 and places != SAME_NAMES.get(name)} == {}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_foreign_imports(path: Path) -> None:
    """The record knows no event loop; the guest side knows neither that nor the store."""
    assert {name for name in imports(path) if is_within(name, FOREIGN[path.parts[0]])} == set()


@pytest.mark.parametrize(
    "module", ["promissory.workers.host", "promissory.oplog.entries", "promissory.oplog.codec", "promissory.oplog.fold"]
)
def test_imports_are_light(module: str) -> None:
    """What a worker author imports brings in neither trio nor the store."""
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
