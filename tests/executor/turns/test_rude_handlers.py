"""Handlers that record what is hard to show, and fail in ways that are hard to tell of: they harm nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from attrs import field

import promissory
from promissory.executor.cli.offline import verify
from promissory.executor.config import Config
from tests.admin import raw, serving
from tests.desk import LIMITS, Asked, Desk, json


class Rude(promissory.Worker):
    """Records what is hard to show, and fails in ways that are hard to tell of."""

    kept: list[Any] = field(factory=list)

    @promissory.handler
    async def keep(self, value: Any) -> Any:
        return value

    @promissory.handler
    async def terminal(self, message: str) -> None:
        raise promissory.TerminalError(bad(message))

    @promissory.handler
    async def raises(self, message: str) -> None:
        raise ValueError(bad(message))

    @promissory.handler
    async def returns(self, message: str) -> str:
        return bad(message)

    @promissory.handler
    async def logs(self, message: str) -> None:
        promissory.log.info(bad(message))

    @promissory.handler
    async def runs(self, message: str) -> None:
        await promissory.run(fail_with, message)

    @promissory.handler
    async def runs_named(self, message: str) -> None:
        await promissory.run(fail_with, "", name=bad(message))

    @promissory.handler
    async def runs_nameless(self, message: str) -> None:
        await promissory.run(fail_with, "", name=5)  # type: ignore[call-overload]

    @promissory.handler
    async def codes(self, message: str) -> None:
        raise promissory.TerminalError("no", 2**70)

    @promissory.handler
    async def mute(self, message: str) -> None:
        raise MuteError

    @promissory.handler
    async def leaves(self, message: str) -> None:
        raise SystemExit(bad(message))

    @promissory.handler
    async def interrupts(self, message: str) -> None:
        raise KeyboardInterrupt

    @promissory.handler
    async def endless(self, message: str) -> None:
        await self.endless(message)

    @promissory.query
    def asked(self, message: str) -> str:
        raise ValueError(bad(message))


class MuteError(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def bad(message: str) -> str:
    return {"half": "half a \ud800 surrogate", "huge": "x" * (20 << 20), "nul": "\0"}[message]


def fail_with(message: str) -> str:
    if message:
        raise promissory.TerminalError(bad(message))
    return "done"


RUDE = [name for name in vars(Rude) if not name.startswith("_") and name not in ("keep", "asked", "kept")]


@pytest.mark.parametrize("message", ["half", "huge", "nul"])
@pytest.mark.parametrize("function", RUDE)
async def test_rude_handlers_harm_nobody_else(tmp_path: Path, function: str, message: str) -> None:
    """However a handler fails, its caller is told, its oplog can be read, and everybody else is served."""
    async with serving(tmp_path, [Desk, Rude], Config(retry_attempts_max=1)) as (_, path), raw(path) as client:
        client.__class__ = Asked
        assert isinstance(client, Asked)
        answer = await client.ask("invoke", worker="rude/a", function=function, params=json([message]))
        if "error" in answer:
            assert answer["error"]["code"] in ("paused", "terminal"), answer["error"]["code"]
            assert answer["error"]["message"]
        assert await client.call("desk/a", "order", []) == 0
        shown = await client.value("worker.show", worker="rude/a")
        assert shown["status"] in ("idle", "paused")
        rows, _ = await client.items("oplog.read", worker="rude/a")
        assert rows[1]["function"] == function
    assert list(verify(tmp_path / "data")) == []


@pytest.mark.parametrize("message", ["half", "huge", "nul"])
async def test_rude_query(tmp_path: Path, message: str) -> None:
    """However a query fails, the asker is told."""
    async with serving(tmp_path, [Rude]) as (_, path), raw(path) as client:
        answer = await client.ask("query", worker="rude/a", function="asked", params=json([message]))
        assert answer["error"]["message"]
        assert "ok" in await client.ask("status")


@pytest.mark.parametrize(
    "value",
    [b"[" * 60 + b"]" * 60, b"[" * 400 + b"]" * 400, b"%d" % 2**64, b"-%d" % 2**70, b'{"":{"":1e300}}', b'"\\u0000"'],
)
async def test_what_is_recorded_can_be_read(tmp_path: Path, value: bytes) -> None:
    """Arguments and results that CBOR frames do not carry as they are can still be had, and shown in an oplog."""
    async with serving(tmp_path, [Rude], LIMITS) as (_, path), raw(path) as client:
        client.__class__ = Asked
        assert isinstance(client, Asked)
        answer = await client.ask("invoke", worker="rude/a", function="keep", params=b"[" + value + b"]")
        if "ok" in answer:
            assert answer["ok"]["result"] == msgspec.json.encode(msgspec.json.decode(value))
            rows, _ = await client.items("oplog.read", worker="rude/a")
            assert [row["kind"] for row in rows[:3]] == ["Created", "Invoked", "Completed"]
        else:
            assert answer["error"]["code"] == "bad_arguments"
