"""What `import promissory` offers, and what it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

import promissory


def test_every_exported_name_exists_and_has_a_docstring() -> None:
    """`__all__` is the public surface, and it explains itself."""
    assert sorted(promissory.__all__) == promissory.__all__
    for name in promissory.__all__:
        value = getattr(promissory, name)
        assert getattr(value, "__doc__", None), name


def test_every_name_has_a_home() -> None:
    """What a checker sees is what is imported; a star import leaves the built-in `open` alone."""
    assert {*promissory._HOME} == {*promissory.__all__, "open"}
    assert promissory.open.__module__ == "promissory.executor.server.embedded"


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import promissory", "promissory.oplog promissory.workers promissory.executor msgspec trio lmdb"),
        ("import promissory.executor.testing", "promissory.workers trio lmdb msgspec anyio"),
        ("from promissory.executor.cli import main; main(['--help'])", "promissory.workers trio lmdb anyio"),
        (
            "from promissory.executor.cli import main; main(['oplog', 'a/b', '--data', '/nowhere'])",
            "promissory.workers",
        ),
        ("import promissory; promissory.Worker; promissory.run", "promissory.executor trio lmdb asyncio anyio"),
    ],
)
def test_nothing_is_loaded_before_it_is_asked_for(code: str, absent: str) -> None:
    """The plugin, `--help` and `oplog` load no guest side; the author of a worker loads no host side."""
    shown = f"[name for name in {absent.split()} if name in sys.modules]"
    show = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint({shown})"
    done = subprocess.run([sys.executable, "-P", "-c", show], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
