"""The daemon from outside: how it ends, its socket, what it remembers, and its process."""

from __future__ import annotations

import json
import signal
import socket
import stat
from pathlib import Path

import pytest

import promissory.workers
from promissory.executor.cli.offline import verify
from promissory.executor.client import connect
from promissory.oplog.errors import BadArguments, NotFound, PromissoryError, StoreFailed
from tests.app import JOBS, App, Pipes, kinds
from tests.daemons import Daemons


@pytest.fixture
def app(tmp_path: Path, daemons: Daemons) -> App:
    return App(tmp_path, daemons)


@pytest.fixture
def pipes(tmp_path: Path) -> Pipes:
    return Pipes(tmp_path)


# How it ends.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_stops_in_order(app: App, pipes: Pipes, number: signal.Signals) -> None:
    """A signal stops the daemon in order: no new work, the `run` in flight ends, its outcome is kept, status 0."""
    daemon = app.serve("jobs")
    async with connect(daemon.socket) as client:
        invocation = await client.send("worker://job/a", "wait", pipes.begun, pipes.go_on)
        await pipes.has_begun()
        daemon.signal(number)
        daemon.wait_for("stopping")
        with pytest.raises(StoreFailed, match="stopping"):
            await client.send("worker://job/b", "say", "late")
        await pipes.tell("finished")
        assert daemon.wait() == 0

    assert [line["event"] for line in daemon.log][-2:] == ["stopping", "stopped"]
    assert daemon.events("stopping")[0]["signal"] == number.name
    assert not daemon.socket.exists()
    assert kinds(app.data, "a")[:4] == ["Created", "Invoked", "Started", "Ended"]
    assert list(verify(app.data)) == []

    daemon = app.serve("jobs")
    async with connect(daemon.socket) as client:
        assert await client.attach(invocation) == "finished"
    assert daemon.stop() == 0
    assert daemon.events("unclean_end") == []


async def test_second_signal_wants_no_grace(app: App, pipes: Pipes) -> None:
    """A second SIGTERM ends the grace; the effect that was cut off is performed again after the next start."""
    daemon = app.serve("jobs", environment={"PROMISSORY_STOP_GRACE_SECONDS": "3600"})
    async with connect(daemon.socket) as client:
        invocation = await client.send("worker://job/a", "wait", pipes.begun, pipes.go_on)
        await pipes.has_begun()
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("stopping")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    assert "Ended" not in kinds(app.data, "a")

    daemon = app.serve("jobs")
    async with connect(daemon.socket) as client:
        await pipes.has_begun()
        await pipes.tell("again")
        assert await client.attach(invocation) == "again"
    assert daemon.events("unclean_end") == []


async def test_grace_is_over_at_some_time(app: App, pipes: Pipes) -> None:
    """A `run` that does not end holds up the stop no longer than the grace."""
    daemon = app.serve("jobs", environment={"PROMISSORY_STOP_GRACE_SECONDS": "0.1"})
    async with connect(daemon.socket) as client:
        await client.send("worker://job/a", "wait", pipes.begun, pipes.go_on)
        await pipes.has_begun()
        assert daemon.stop() == 0
    assert list(verify(app.data)) == []


async def test_signal_right_after_serving(app: App) -> None:
    """Whoever reads `serving` can have it stopped in order."""
    for _ in range(3):
        assert app.serve("jobs").stop() == 0


# The socket.


def test_stale_socket_is_taken_over(app: App) -> None:
    """The socket that a killed daemon left is taken over; socket and data are nobody else's."""
    daemon = app.serve("jobs")
    daemon.kill()
    assert daemon.socket.is_socket()
    daemon = app.serve("jobs")
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(app.data.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in app.data.iterdir()} == {0o600}
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.socket))


def test_live_socket_is_not_taken_over(app: App, tmp_path: Path) -> None:
    """A socket on which somebody listens is left to them, whatever data they have."""
    path = str(tmp_path / "s")
    app.serve("jobs", "--socket", path)
    line = app.refusal("jobs", "--socket", path, data=tmp_path / "other")
    assert "somebody listens" in line
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


# Components.


async def test_register_is_remembered(app: App) -> None:
    """What is registered on a running daemon is served at once and after a restart."""
    app.write("more", JOBS.replace("class Job", "class More"))
    daemon = app.serve("jobs")
    async with connect(daemon.socket) as client:
        with pytest.raises(NotFound, match="more"):
            await client.invoke("worker://more/a", "say", "x")
        answer = await client.request("component.register", modules=["more"], directory=str(app.directory))
        assert answer == ["more"]
        assert await client.invoke("worker://more/a", "say", "x") == "x"
    assert daemon.stop() == 0

    daemon = app.serve()
    async with connect(daemon.socket) as client:
        assert await client.invoke("worker://more/a", "say", "y") == "y"
        assert await client.invoke("worker://job/a", "say", "z") == "z"


async def test_bad_register_changes_nothing(app: App) -> None:
    """A module that cannot be registered is refused, whatever importing it raises, and the daemon goes on."""
    app.write("broken", "raise SystemExit(3)")
    app.write("interrupts", "raise KeyboardInterrupt")
    app.write(
        "handlerless", "import promissory\nclass Bad(promissory.Worker):\n    @promissory.handler\n    def f(self): ..."
    )
    daemon = app.serve("jobs")
    async with connect(daemon.socket) as client:
        for module in (
            "missing",
            "broken",
            "interrupts",
            "handlerless",
            "",
            ".",
            "..",
            "jobs:Nobody",
            "a b",
            "x" * 9999,
        ):
            with pytest.raises(PromissoryError) as refused:
                await client.request("component.register", modules=["jobs", module], directory=str(app.directory))
            assert refused.value.kind in ("bad_arguments", "bad_handler"), (module, refused.value)
        assert (await client.request("status"))["components"] == ["job"]
        assert await client.invoke("worker://job/a", "say", "x") == "x"
    assert daemon.stop() == 0


async def test_bad_directory_poisons_nothing(app: App, tmp_path: Path) -> None:
    """A directory that modules cannot come from is refused, and no later import looks there."""
    daemon = app.serve("jobs")
    (tmp_path / "file").write_text("")
    async with connect(daemon.socket) as client:
        for directory in ("", ".", "app", "/no/such/place", str(tmp_path / "file"), "/tmp/\0", "/" + "x" * 5000):
            with pytest.raises(BadArguments):
                await client.request("component.register", modules=["later"], directory=directory)
        app.write("later", JOBS.replace("class Job", "class Later"))
        request = {"modules": ["later"], "directory": str(app.directory)}
        assert await client.request("component.register", **request) == ["later"]
        path = await client.query("worker://job/a", "path")
    assert [entry for entry in path if entry.startswith(str(tmp_path)) or "\0" in entry] == [str(app.directory)]


async def test_remembered_module_that_is_gone(app: App, pipes: Pipes) -> None:
    """A remembered module that no longer imports does not stop `serve`; its workers wait until it is back."""
    app.write("more", JOBS.replace("class Job", "class More"))
    daemon = app.serve("jobs", "more")
    async with connect(daemon.socket) as client:
        invocation = await client.send("worker://more/a", "wait", pipes.begun, pipes.go_on)
        await pipes.has_begun()
    daemon.kill()

    (app.directory / "more.py").rename(app.directory / "gone.py")
    daemon = app.serve()
    assert [line["component"] for line in daemon.events("component_unavailable")] == ["more"]
    async with connect(daemon.socket) as client:
        assert await client.invoke("worker://job/a", "say", "x") == "x"
        with pytest.raises(NotFound, match="more"):
            await client.invoke("worker://more/a", "say", "x")
        shown = await client.request("worker.show", worker="more/a")
        assert shown["status"] == "running"
        assert "last_error" not in shown

        (app.directory / "gone.py").rename(app.directory / "more.py")
        await client.request("component.register", modules=["more"], directory=str(app.directory))
        await pipes.has_begun()
        await pipes.tell("back")
        assert await client.attach(invocation) == "back"


# The process.


async def test_hashes_are_fixed(app: App) -> None:
    """`serve` runs with PYTHONHASHSEED=0, by starting itself again in the same process if need be."""
    hashes = set()
    for seed in (None, "7", "0"):
        daemon = app.serve("jobs", environment={"PYTHONHASHSEED": seed})
        async with connect(daemon.socket) as client:
            pid, fixed, hashed, _ = await client.query("worker://job/a", "process")
        assert (pid, fixed) == (daemon.pid, "0")
        hashes.add(hashed)
        assert daemon.stop() == 0
    assert len(hashes) == 1


async def test_a_users_folder_does_not_replace_ours(app: App) -> None:
    """A folder `workers/` in the current directory stays behind the installed packages, also after the restart."""
    ours = promissory.workers.__file__
    for package in ("workers", "oplog", "executor", "trio"):
        (app.directory / package).mkdir()
        (app.directory / package / "__init__.py").write_text("raise RuntimeError('not this one')")
    daemon = app.serve("jobs", python=["-P"], environment={"PYTHONHASHSEED": None})
    async with connect(daemon.socket) as client:
        assert (await client.query("worker://job/a", "process"))[3] == ours


async def test_log_is_json(app: App) -> None:
    """Off a terminal every line on stderr is one JSON object with event, level and time."""
    app.write(
        "loud",
        "import promissory\nclass Loud(promissory.Worker):\n    @promissory.handler\n"
        "    async def f(self, text: str) -> None:\n        promissory.log.warning(text)\n"
        "    @promissory.handler\n    async def bad(self) -> None:\n        raise ValueError('bad\\nnews')\n",
    )
    daemon = app.serve("loud", environment={"PROMISSORY_RETRY_ATTEMPTS_MAX": "1"})
    async with connect(daemon.socket) as client:
        await client.invoke("worker://loud/a", "f", 'a line\nand "another" \x1b[31m')
        await client.send("worker://loud/b", "bad")
        daemon.wait_for("worker_paused")
    assert daemon.stop() == 0
    assert daemon.texts() == []
    for line in daemon.log:
        assert {"event", "level", "timestamp"} <= set(line), json.dumps(line)
    assert daemon.events("worker_log")[0]["message"] == 'a line\nand "another" \x1b[31m'
    assert daemon.events("worker_log")[0]["worker"] == "loud/a"

    daemon = app.serve()
    async with connect(daemon.socket) as client:
        await client.invoke("worker://loud/a", "f", "a second one")
    assert daemon.stop() == 0
    assert [line["message"] for line in daemon.events("worker_log")] == ["a second one"], "a replay is silent"
