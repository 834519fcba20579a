"""A handler that blocks the loop is named while it blocks, then its stack is shown."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

import promissory
from promissory.executor.config import Config
from promissory.executor.residents.watchdog import Watchdog


async def blocked(watchdog: Watchdog, logs: list[Any], until: int) -> None:
    """Block in a step until so many lines were logged, by a thread, while it blocks."""
    logged = threading.Event()
    original = watchdog._log

    class Log:
        def __getattr__(self, level: str) -> Any:
            def log(event: str, **fields: Any) -> None:
                getattr(original, level)(event, **fields)
                if len(logs) >= until:
                    logged.set()

            return log

    watchdog._log = Log()

    def block_the_loop() -> bool:
        return logged.wait(30)

    assert watchdog.watching("order/7", block_the_loop)


async def test_a_blocking_step_is_named_and_then_its_stack_shown() -> None:
    """The first limit gives a warning with the worker's name, the second the stack, both while the step blocks."""
    watchdog = Watchdog(0.02, 0.1)
    try:
        with structlog.testing.capture_logs() as logs:
            await blocked(watchdog, logs, 2)
    finally:
        watchdog.close()

    assert [(line["log_level"], line["worker"]) for line in logs[:2]] == [("warning", "order/7"), ("error", "order/7")]
    assert "block_the_loop" in logs[1]["stack"]


async def test_quick_steps_are_not_named() -> None:
    """Steps within the limit are never named, however many there are."""
    watchdog = Watchdog(30.0, 60.0)
    try:
        with structlog.testing.capture_logs() as logs:
            for n in range(1_000):
                watchdog.watching(f"order/{n}", lambda: None)
    finally:
        watchdog.close()

    assert logs == []


class Slow(promissory.Worker):
    @promissory.handler
    async def block(self) -> bool:
        return BLOCKS.wait(30)


BLOCKS = threading.Event()


@pytest.mark.filterwarnings("ignore:PYTHONHASHSEED:RuntimeWarning")
async def test_an_executor_names_the_worker_that_blocks_it(tmp_path: Path) -> None:
    """In a running executor the warning comes from another thread while the handler blocks."""

    def note(logger: Any, level: str, event: dict[str, Any]) -> dict[str, Any]:
        if event["event"] == "handler_blocks":
            lines.append((event["worker"], threading.current_thread().name))
            BLOCKS.set()
        raise structlog.DropEvent

    lines: list[tuple[str, str]] = []
    config = structlog.get_config()
    structlog.configure(processors=[note])
    try:
        async with promissory.open(tmp_path, components=[Slow], config=Config(block_warning_seconds=0.02)) as client:
            with trio.fail_after(30):
                assert await client.invoke("worker://slow/1", "block") is True
    finally:
        structlog.configure(**config)

    assert lines[0] == ("slow/1", "promissory-watchdog")
