"""Components: imported, remembered across restarts, refused when they cannot be served."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

import promissory
from promissory.executor.components.importing import load
from promissory.executor.components.registry import Registry
from promissory.executor.hostcalls.callees import handler_of
from promissory.oplog.entries import Call
from promissory.oplog.environment import Environment
from promissory.oplog.errors import BadArguments, BadHandler, NotFound
from promissory.oplog.ids import WorkerId, component_id
from promissory.oplog.tables import Table

MODULE = """
import promissory
from {elsewhere} import *

class First(promissory.Worker):
    @promissory.handler
    async def one(self) -> int:
        return 1

class Second(promissory.Worker, component="number-two"):
    @promissory.handler
    async def two(self) -> int:
        return 2
"""


def registry_of(environment: Environment) -> Registry:
    """A registry whose rows are durable at once."""
    return Registry(environment, lambda rows: environment.commit({Table.COMPONENTS: dict(rows)}))


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment(tmp_path / "data", sync=False) as opened:
        yield opened


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of modules; what is imported from it is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    directory = tmp_path / "modules"
    directory.mkdir()
    (directory / "mine_a.py").write_text(MODULE.format(elsewhere="mine_b"))
    (directory / "mine_b.py").write_text("import promissory\nclass Elsewhere(promissory.Worker):\n    pass\n")
    (directory / "mine_broken.py").write_text("x = 1\ny = x / 0\n")
    (directory / "mine_empty.py").write_text("")
    yield directory
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_gives_the_classes_defined_in_it(environment: Environment, modules: Path) -> None:
    """MODULE is every `Worker` class defined there, not those imported; MODULE:CLASS is one."""
    registry = registry_of(environment)

    assert sorted(registry.add_modules(["mine_a"], str(modules))) == ["first", "number-two"]
    assert registry.names() == ["first", "number-two"]
    assert registry_of(environment).add_modules(["mine_a:Second"], str(modules)) == ["number-two"]


def test_components_are_remembered(environment: Environment, modules: Path) -> None:
    """A registered module is served again without being named; its directory is remembered with it."""
    registry_of(environment).add_modules(["mine_a"], str(modules))
    sys.path.remove(str(modules))

    registry = registry_of(environment)
    assert registry.names() == []
    assert sorted(registry.load_remembered()) == ["first", "number-two"]
    assert registry.component("number-two").name == "number-two"


def test_a_remembered_module_that_is_gone_is_unavailable(environment: Environment, modules: Path) -> None:
    """A remembered module that does not import is logged; its component is unavailable, the others are there."""
    registry_of(environment).add_modules(["mine_a"], str(modules))
    del sys.modules["mine_a"]
    (modules / "mine_a.py").unlink()

    registry = registry_of(environment)
    with structlog.testing.capture_logs() as logs:
        assert registry.load_remembered() == []
    assert {line["event"] for line in logs} == {"component_unavailable"}
    with pytest.raises(NotFound):
        registry.component("first")


def test_who_needs_what_is_not_served_is_told_in_the_same_words(environment: Environment, modules: Path) -> None:
    """A client, a worker that is read back and one that calls hear the same of a component, and why if it is known."""
    registry_of(environment).add_modules(["mine_a"], str(modules))
    del sys.modules["mine_a"]
    (modules / "mine_a.py").write_text("1 / 0")
    registry = registry_of(environment)
    known_only = "component 'first' is unavailable: its module has not been given"
    for why in (known_only, "component 'first' is unavailable: module 'mine_a' does not import: ZeroDivisionError"):
        callee = WorkerId(component_id("first"), "a")
        with pytest.raises(NotFound, match=re.escape(why)) as asked:
            registry.component("first")
        with pytest.raises(NotFound) as called:
            handler_of(registry, Call(callee, "one", b"[]"), "handler", 1000)
        needed = registry.not_served(callee.component_id, worker="first/a")
        assert str(asked.value) == str(called.value) == str(needed) == registry.unavailable()["first"]
        assert needed.worker == "first/a"
        registry.load_remembered()
    for text in ("nothing", str(WorkerId(component_id("nothing"), "-")).partition("/")[0]):
        with pytest.raises(NotFound, match=f"component '{text}' is not registered"):
            registry.component(text)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("mine_nothing", "No module named"),
        ("mine_broken", r"ZeroDivisionError.*mine_broken.py, line 2"),
        ("mine_empty", "defines no Worker"),
        ("mine_a:Nothing", "is not a Worker"),
        ("mine_a:workers", "is not a Worker"),
        ("", "import"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(modules: Path, spec: str, says: str) -> None:
    """A module that does not import, or has no such class, is refused with the reason and the place."""
    with pytest.raises(BadArguments, match=says) as caught:
        load(spec, str(modules))
    assert "\n" not in str(caught.value)


def test_the_users_folder_stands_behind_the_installed(environment: Environment, modules: Path) -> None:
    """A folder `workers/` beside the user's module must not replace ours."""
    (modules / "workers").mkdir()
    (modules / "workers" / "__init__.py").write_text("raise ImportError('the wrong one')")

    assert registry_of(environment).add_modules(["mine_b"], str(modules)) == ["elsewhere"]
    assert sys.path[-1] == str(modules)


def test_two_classes_of_one_name_are_refused(environment: Environment) -> None:
    """Two classes of one component name cannot be served together, and neither is registered."""

    class One(promissory.Worker, component="same"):
        pass

    class Two(promissory.Worker, component="same"):
        pass

    registry = registry_of(environment)
    with pytest.raises(BadHandler, match="same"):
        registry.add([One, Two])
    assert registry.names() == []


def test_a_worker_is_found_by_name_or_id(environment: Environment) -> None:
    """COMPONENT is a name or an id; a worker's name is percent-encoded in a path and back, or left out."""

    class Thing(promissory.Worker):
        pass

    registry = registry_of(environment)
    registry.add([Thing])
    component, worker_id = registry.locate("thing/a%2Fb%25")
    assert worker_id == WorkerId(component.id, "a/b%")
    assert registry.path_of(worker_id) == "thing/a%2Fb%25"
    assert registry.locate(str(worker_id))[1] == worker_id
    with pytest.raises(NotFound, match="nothing"):
        registry.locate("nothing/1")
    assert registry.locate("thing")[1] == WorkerId(component.id, "")
    with pytest.raises(BadArguments):
        registry.worker_id("thing")
    for bad in ("thing/", "thing/a/b", "thing/a%b", "THING/a"):
        with pytest.raises(BadArguments):
            registry.locate(bad)
