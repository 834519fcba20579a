"""A worker that ends the process each time it goes on: it is found and paused, and everybody else is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from promissory.executor.client import Client, connect
from promissory.oplog.errors import Paused
from tests.daemons import Daemon, Daemons

HERE = Path(__file__).resolve().parent
INNOCENTS = 5
ENDS_MAX = 3


@pytest.mark.parametrize("where", ["handler", "run", "timer"])
async def test_bomb_is_paused(tmp_path: Path, daemons: Daemons, where: str) -> None:
    """A worker that ends the process is paused after a few starts; the others go on, and it does once mended."""
    bomb = tmp_path / "bomb"
    environment: dict[str, str | None] = {"CRASH_EFFECTS": str(tmp_path / "effects"), "CRASH_BOMB": str(bomb)}

    def start() -> Daemon:
        return daemons.start(tmp_path / "data", "crash_workers", cwd=HERE, environment=environment)

    bomb.write_text("wait")
    daemon = start().serving()
    async with connect(daemon.socket) as client:
        gates = [await client.send(f"worker://gate/{n}", "wait", str(n), key="k") for n in range(INNOCENTS)]
        bombed = await client.send("worker://bomb/b", "sleep" if where == "timer" else "go", key="k")
        await begun(client)
    daemon.kill()

    bomb.write_text("end")
    if where != "run":
        environment["CRASH_BOMB_HANDLER"] = "1"
    ends = 0
    while (daemon := start()).line_or_end("worker_paused") is None:
        assert daemon.wait() == 9
        ends += 1
        assert ends <= ENDS_MAX

    async with connect(daemon.serving().socket) as client:
        async with client.stream("worker.list", status="paused") as paused:
            rows = [row async for row in paused]
        assert [row["worker"] for row in rows] == ["bomb/b"]
        assert rows[0]["last_error"].startswith("ProcessEnded: ")
        with pytest.raises(Paused, match="ProcessEnded"):
            await client.attach(bombed)
        for number in range(INNOCENTS):
            promise = await client.query(f"worker://gate/{number}", "promise_of", str(number))
            assert await client.complete_promise(promise, b"yes")
        assert [await client.attach(gate) for gate in gates] == ["yes"] * INNOCENTS
    assert daemon.stop() == 0

    bomb.write_text("mended")
    environment["CRASH_BOMB_HANDLER"] = None
    daemon = start().serving()
    async with connect(daemon.socket) as client:
        await client.request("worker.resume", worker="bomb/b")
        assert await client.attach(bombed) == "survived"
    assert daemon.stop() == 0


async def begun(client: Client) -> None:
    """Wait until every gate waits for its promise."""
    for number in range(INNOCENTS):
        while await client.query(f"worker://gate/{number}", "promise_of", str(number)) is None:
            pass
