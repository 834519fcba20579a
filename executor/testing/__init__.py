"""Testing one's workers: the pytest fixture `durable`, and the class behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promissory.executor.testing.plugin import durable, pytest_collection_modifyitems, run_with_autojump

if TYPE_CHECKING:
    from promissory.executor.testing.testbed import Testbed

__all__ = ["Testbed", "durable", "pytest_collection_modifyitems", "run_with_autojump"]


def __getattr__(name: str) -> Any:
    """Import the class behind the fixture when it is asked for: every run of pytest reads this file."""
    if name == "Testbed":
        from promissory.executor.testing.testbed import Testbed

        return Testbed
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
