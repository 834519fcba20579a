"""While a step runs neither trio nor asyncio is to be seen, and both are back afterwards, however it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import trio

from promissory.executor.residents.hiding import hidden
from promissory.oplog.errors import NonDeterminismError


def test_needs_a_trio_task() -> None:
    """Outside a trio program there is nothing to hide."""
    with pytest.raises((RuntimeError, AttributeError)):
        hidden(lambda: 1)


@pytest.mark.parametrize(
    "look",
    [
        trio.current_time,
        lambda: trio.lowlevel.current_task().name,
        trio.lowlevel.current_trio_token,
        trio.CancelScope().__enter__,
        lambda: asyncio.get_running_loop().time(),
        lambda: trio.lowlevel.spawn_system_task(trio.sleep, 1),
        lambda: trio.open_nursery().__aenter__().send(None),
        lambda: asyncio.get_running_loop().call_soon(print),
    ],
)
async def test_touching_a_hidden_loop_is_a_violation(look: Any) -> None:
    """Whatever looks for the loop's task, runner or time from a step raises and leaves the loop as it was."""
    with pytest.raises((NonDeterminismError, RuntimeError)):
        hidden(look)

    assert trio.lowlevel.current_task() is not None
    await trio.sleep(0)


async def test_both_are_back_after_an_error() -> None:
    """A step that raises, `BaseException`s too, leaves the loop in sight again."""
    for error in (ValueError, KeyboardInterrupt, GeneratorExit):
        with pytest.raises(error):
            hidden(lambda error=error: (_ for _ in ()).throw(error()))
        await trio.lowlevel.checkpoint()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


async def test_a_step_gives_its_result() -> None:
    """What a step returns comes back."""
    assert hidden(lambda: 42) == 42
