"""The admin socket: who may use it, what it makes of what comes in, its limits, and its order."""

from __future__ import annotations

import os
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import field

import promissory
import promissory.executor.server.server
from promissory.executor.config import Config
from promissory.executor.protocol.frames import encode_frame
from promissory.executor.server.server import Connection, Server
from promissory.executor.version import VERSION
from promissory.oplog.errors import BadArguments
from tests.admin import RawClient, raw, serving


class Tally(promissory.Worker):
    """Remembers what it was told, and waits when it is asked to."""

    said: list[str] = field(factory=list)

    @promissory.handler
    async def say(self, word: str) -> str:
        self.said.append(word)
        return word

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.query
    def words(self) -> list[str]:
        return self.said


WAITING = "tally/waits/3"
"""The promise that `invoke tally/waits wait` creates: after its `Created` and its `Invoked`."""


def invoke(request_id: int, worker: str, function: str, params: bytes = b"[]", **more: Any) -> dict[str, Any]:
    return {"id": request_id, "op": "invoke", "worker": worker, "function": function, "params": params, **more}


async def start_waiting(client: RawClient) -> None:
    """Have `tally/waits` wait for its promise."""
    await client.send(invoke(0, "tally/waits", "wait", send=True))
    await client.answer(0)
    await client.ask("query", worker="tally/waits", function="words", params=b"[]")


# Who may use it.


async def test_only_the_owner_may_use_it(tmp_path: Path) -> None:
    """The socket has mode 0600, in a directory of mode 0700."""
    async with serving(tmp_path, [Tally]) as (_, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_directory_of_its_own_is_private(tmp_path: Path) -> None:
    """A directory that is made for the socket has mode 0700."""
    async with serving(tmp_path, [Tally]) as (running, _):
        path = tmp_path / "run" / "s"
        server = Server(running, path)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        server.close()


CONNECT = """
import os, socket, sys
os.setuid(int(sys.argv[1]))
with socket.socket(socket.AF_UNIX) as s:
    s.settimeout(30)
    s.connect("admin.sock")
    print(s.recv(1))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_peer_is_checked() -> None:
    """Another user is turned away without a word, even if the file's mode would let them in."""
    with tempfile.TemporaryDirectory() as name:
        async with serving(Path(name), [Tally]) as (_, path):
            path.chmod(0o666)
            path.parent.chmod(0o711)

            def connect_as(user: int) -> str:
                command = [sys.executable, "-S", "-c", CONNECT, str(user)]
                done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
                return (done.stdout or done.stderr.splitlines()[-1]).strip()

            said = await trio.to_thread.run_sync(connect_as, 65534)
            assert said in ("b''", "ConnectionResetError: [Errno 104] Connection reset by peer")
            assert await trio.to_thread.run_sync(connect_as, 0) == r"b'\x00'"


async def test_peer_of_another_uid_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel says of the peer decides."""
    async with serving(tmp_path, [Tally]) as (_, path):
        monkeypatch.setattr(promissory.executor.server.server, "_peer", lambda _: None)
        async with raw(path, hello=False) as client:
            assert await client.receive() is None


async def test_live_socket_is_refused_and_stale_one_taken_over(tmp_path: Path) -> None:
    """A path on which somebody listens is refused; one that a dead process left is taken over."""
    async with serving(tmp_path, [Tally]) as (running, path):
        with pytest.raises(BadArguments, match="somebody listens"):
            Server(running, path)
        stale = tmp_path / "stale"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(stale))
        Server(running, stale).close()
        async with raw(path) as client:
            assert "ok" in await client.ask("status")


async def test_hello(tmp_path: Path) -> None:
    """The server speaks first: the protocol's number, its version and its features."""
    async with serving(tmp_path, [Tally]) as (_, path), raw(path, hello=False) as client:
        assert await client.receive() == {"protocol": 1, "executor": VERSION, "features": []}


# What comes in.

MALFORMED = {
    "no CBOR": struct.pack(">I", 3) + b"\xff\xff\xff",
    "no map": struct.pack(">I", 1) + b"\x01",
    "empty": struct.pack(">I", 0),
    "more than one item": struct.pack(">I", 2) + b"\xa0\xa0",
    "a tag": struct.pack(">I", 3) + b"\xc0\xa0\x00",
    "too long": struct.pack(">I", 0xFFFFFFFF),
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no id": encode_frame({"op": "status"}),
    "id of text": encode_frame({"id": "1", "op": "status"}),
    "id of a boolean": encode_frame({"id": True, "op": "status"}),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_frame_ends_its_connection(tmp_path: Path, name: str) -> None:
    """A malformed frame is answered with why and ends that connection; what came before it is answered."""
    async with serving(tmp_path, [Tally]) as (_, path), raw(path) as other, raw(path) as client:
        await client.send_bytes(encode_frame({"id": 7, "op": "status"}) + MALFORMED[name])
        assert (await client.answer(7))["ok"]["workers"] == 0
        last = await client.receive()
        assert last is not None
        assert last["error"]["code"] == "malformed_frame"
        assert await client.receive() is None
        assert "ok" in await other.ask("status")


async def test_requests_before_a_malformed_frame_are_done(tmp_path: Path) -> None:
    """An invocation that came whole is durable, although what followed it in the same write was none."""
    async with serving(tmp_path, [Tally]) as (_, path), raw(path) as other:
        async with raw(path) as client:
            await client.send_bytes(encode_frame(invoke(1, "tally/a", "say", b'["x"]')) + b"\xff" * 8)
            while await client.receive() is not None:
                pass
        assert (await other.ask("query", worker="tally/a", function="words", params=b"[]"))["ok"]["result"] == b'["x"]'


async def test_frame_in_small_pieces(tmp_path: Path) -> None:
    """A frame may come byte by byte."""
    async with serving(tmp_path, [Tally]) as (_, path), raw(path) as client:
        for byte in encode_frame(invoke(1, "tally/a", "say", b'["x"]')):
            await client.send_bytes(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        assert (await client.answer(1))["ok"]["result"] == b'"x"'


async def test_frame_limit(tmp_path: Path) -> None:
    """A frame over the limit is refused by its length alone; one at the limit is taken."""
    frame = encode_frame({"id": 1, "op": "status"})
    config = Config(frame_bytes_max=len(frame) - 4)
    async with serving(tmp_path, [Tally], config) as (_, path), raw(path) as client:
        await client.send_bytes(frame)
        assert "ok" in await client.answer(1)
        await client.send_bytes(struct.pack(">I", len(frame) - 3))
        last = await client.receive()
        assert last is not None
        assert "over the limit" in last["error"]["message"]
        assert await client.receive() is None


async def test_ids(tmp_path: Path) -> None:
    """An id may be used again once it is answered, and not while it is in flight."""
    async with serving(tmp_path, [Tally]) as (_, path), raw(path) as client:
        for word in (b'["x"]', b'["y"]'):
            await client.send(invoke(1, "tally/a", "say", word))
            assert (await client.answer(1))["ok"]["result"] == word[1:-1]
        await start_waiting(client)
        await client.send({"id": 1, "op": "promise.await", "promise": WAITING}, {"id": 1, "op": "status"})
        last = await client.receive()
        assert last is not None
        assert last["error"]["code"] == "malformed_frame"
        assert await client.receive() is None


# Limits.


async def test_connections_limit(tmp_path: Path) -> None:
    """One connection too many is told so and closed; when another leaves there is room again."""
    async with serving(tmp_path, [Tally], Config(connections_max=2)) as (_, path), raw(path):
        async with raw(path), raw(path, hello=False) as third:
            refusal = await third.receive()
            assert refusal is not None
            assert refusal["error"]["code"] == "limit_reached"
            assert await third.receive() is None
        await trio.testing.wait_all_tasks_blocked()
        async with raw(path) as third:
            assert "ok" in await third.ask("status")


async def test_in_flight_limit(tmp_path: Path) -> None:
    """One request too many in flight is refused with its id; those in flight are answered all the same."""
    async with serving(tmp_path, [Tally], Config(requests_in_flight_max=3)) as (_, path), raw(path) as client:
        await start_waiting(client)
        await client.send(*({"id": n, "op": "promise.await", "promise": WAITING} for n in (11, 12, 13)))
        await client.send({"id": 14, "op": "promise.complete", "promise": WAITING, "data": b"yes"})
        refused = await client.answer(14)
        assert refused["error"]["code"] == "limit_reached"
        async with raw(path) as other:
            assert (await other.ask("promise.complete", promise=WAITING, data=b"yes"))["ok"]["settled"] is True
        for n in (11, 12, 13):
            assert (await client.answer(n))["ok"]["data"] == b"yes"
        assert "ok" in await client.ask("status")


# Who does not read, and who goes away.


class Recorded(Connection):
    """A connection that can be looked at."""

    made: list[Recorded]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.most_unsent_bytes = 0
        Recorded.made.append(self)

    def send(self, message: dict[str, Any]) -> None:
        super().send(message)
        self.most_unsent_bytes = max(self.most_unsent_bytes, self._unsent_bytes)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Recorded]]:
    """Make connections that can be looked at, with little room for what is not read."""
    Recorded.made = []
    monkeypatch.setattr(promissory.executor.server.server, "Connection", Recorded)
    monkeypatch.setattr(promissory.executor.server.server, "UNSENT_BYTES_MAX", ROOM_BYTES)
    yield Recorded.made
    Recorded.made = []


ROOM_BYTES = 256 * 1024
WORD_BYTES = 100_000
WORDS = 40


async def fill(client: RawClient) -> None:
    """Give `tally/big` an oplog of some megabytes."""
    for n in range(WORDS):
        word = b'["' + b"%d" % (n % 10) * WORD_BYTES + b'"]'
        await client.send(invoke(1000 + n, "tally/big", "say", word, send=True))
        await client.answer(1000 + n)
    await client.ask("query", worker="tally/big", function="words", params=b"[]")


@pytest.mark.parametrize("followers", [1, 3])
async def test_follow_waits_for_who_does_not_read(tmp_path: Path, recorded: list[Recorded], followers: int) -> None:
    """A stream waits when its client does not read: what is unsent is bounded, others are served, nothing is lost."""
    async with serving(tmp_path, [Tally]) as (_, path), raw(path) as other:
        await fill(other)
        async with raw(path) as client:
            last = (await other.ask("worker.show", worker="tally/big"))["ok"]["last_index"]
            await client.send(*({"id": n, "op": "oplog.follow", "worker": "tally/big"} for n in range(followers)))
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert "ok" in await other.ask("status")
            assert recorded[1].most_unsent_bytes <= ROOM_BYTES + followers * 2 * WORD_BYTES
            assert last * followers * WORD_BYTES > 10 * ROOM_BYTES

            indices: dict[int, list[int]] = {n: [] for n in range(followers)}
            while any(len(found) < last for found in indices.values()):
                message = await client.receive()
                assert message is not None
                indices[message["id"]].append(message["item"]["index"])
            assert all(found == list(range(1, last + 1)) for found in indices.values())

            await other.send(invoke(1, "tally/big", "say", b'["news"]'))
            await other.answer(1)
            news = await client.receive()
            assert news is not None
            assert news["item"]["index"] == last + 1
        await trio.testing.wait_all_tasks_blocked()
        assert "ok" in await other.ask("status")


async def test_requests_wait_for_who_does_not_read(tmp_path: Path, recorded: list[Recorded]) -> None:
    """A client that asks and does not read is not read from: its answers stay bounded, and come when it reads."""
    async with serving(tmp_path, [Tally]) as (_, path), raw(path) as other:
        await fill(other)
        query = {"op": "query", "worker": "tally/big", "function": "words", "params": b"[]"}
        async with raw(path) as client, trio.open_nursery() as nursery:
            for n in range(8):
                await client.send({"id": n, **query})
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert recorded[1].most_unsent_bytes <= ROOM_BYTES + 2 * WORDS * WORD_BYTES
            nursery.start_soon(other.ask, "status")
            for n in range(8):
                assert len((await client.answer(n))["ok"]["result"]) > WORDS * WORD_BYTES


async def test_results_come_whole_to_who_reads_late(tmp_path: Path, recorded: list[Recorded]) -> None:
    """Results that a client takes only in part come whole later, each once, although more of them follow."""
    async with (
        serving(tmp_path, [Tally]) as (_, path),
        raw(path) as client,
        trio.open_nursery() as nursery,
    ):
        requests = [
            invoke(n, f"tally/late-{n % 4}", "say", b'["' + b"%d" % (n % 10) * WORD_BYTES + b'"]') for n in range(WORDS)
        ]
        nursery.start_soon(client.send, *requests)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert recorded[0].most_unsent_bytes > WORD_BYTES, "more than it takes"
        seen: list[int] = []
        while len(seen) < WORDS:
            message = await client.receive()
            assert message is not None
            assert message["ok"]["result"] == b'"' + b"%d" % (message["id"] % 10) * WORD_BYTES + b'"'
            seen.append(message["id"])
        assert sorted(seen) == list(range(WORDS))


async def test_answers_leave_before_the_next_commit_is_prepared(tmp_path: Path, recorded: list[Recorded]) -> None:
    """What a commit lets out is written when it is durable: it does not wait for the rows of the next one."""
    async with serving(tmp_path, [Tally]) as (running, path), raw(path) as client:
        committer = running.committer
        hand_over = committer._submit
        held_bytes: list[int] = []

        def submit(*args: Any) -> None:
            held_bytes.extend(connection._unsent_bytes for connection in recorded)
            hand_over(*args)

        committer._submit = submit
        await client.send(*(invoke(n, f"tally/{n}", "say", b'["x"]') for n in range(200)))
        for n in range(200):
            await client.answer(n)
        assert len(held_bytes) > 1
        assert not any(held_bytes)


@pytest.mark.parametrize("how", ["close", "half-close", "in a frame"])
async def test_whoever_goes_away_is_forgotten(tmp_path: Path, recorded: list[Recorded], how: str) -> None:
    """A client that goes away leaves nothing behind: no watcher, no task, no connection."""
    async with serving(tmp_path, [Tally], Config(connections_max=2)) as (running, path), raw(path) as other:
        await start_waiting(other)
        for _ in range(5):
            async with raw(path) as client:
                await client.send(
                    {"id": 1, "op": "promise.await", "promise": WAITING},
                    {"id": 2, "op": "oplog.follow", "worker": "tally/waits"},
                    invoke(3, "tally/waits", "say", b'["queued"]', key="k"),
                    {"id": 4, "op": "status"},
                )
                await client.answer(4)
                assert running.watchers.count() == 2
                if how == "half-close":
                    await client.stream.send_eof()
                    while await client.receive() is not None:
                        pass
                elif how == "in a frame":
                    await client.send_bytes(b"\x00\x00\x10\x00half")
            await trio.testing.wait_all_tasks_blocked()
            assert running.watchers.count() == 0
        assert "ok" in await other.ask("promise.complete", promise=WAITING, data=b"yes")
        assert (await other.ask("query", worker="tally/waits", function="words", params=b"[]"))["ok"]["result"] in (
            b"[]",
            b'["queued"]',
        )


# Order.


async def test_two_requests_for_one_worker_are_appended_in_order(tmp_path: Path) -> None:
    """Pipelined requests for one worker are appended, and so performed, in the order they came."""
    async with serving(tmp_path, [Tally]) as (_, path), raw(path) as client:
        await client.send(*(invoke(n, "tally/a", "say", b'["%d"]' % n) for n in range(1, 201)))
        for n in range(1, 201):
            assert (await client.answer(n))["ok"]["result"] == b'"%d"' % n
        answer = await client.ask("query", worker="tally/a", function="words", params=b"[]")
        assert answer["ok"]["result"] == b"[" + b",".join(b'"%d"' % n for n in range(1, 201)) + b"]"


async def test_answers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """A request that waits holds up none that came after it, for the same worker or another."""
    async with serving(tmp_path, [Tally]) as (_, path), raw(path) as client:
        await start_waiting(client)
        await client.send(
            {"id": 21, "op": "promise.await", "promise": WAITING},
            invoke(22, "tally/waits", "say", b'["later"]'),
            invoke(23, "tally/a", "say", b'["now"]'),
            {"id": 24, "op": "promise.complete", "promise": WAITING, "data": b"yes"},
        )
        order = []
        while len(order) < 4:
            message = await client.receive()
            assert message is not None
            order.append(message["id"])
        assert order.index(23) < order.index(22)
        assert set(order) == {21, 22, 23, 24}


async def test_announced_before_answered(tmp_path: Path) -> None:
    """With `announce` the id comes as an item when the invocation is durable, then the answer."""
    async with serving(tmp_path, [Tally]) as (_, path), raw(path) as client:
        await client.send(invoke(1, "tally/a", "say", b'["x"]', announce=True))
        first, second = await client.receive(), await client.receive()
        assert None not in (first, second)
        assert first["item"]["invocation"] == second["ok"]["invocation"]
