"""The daemon that is fuzzed: connections to it, what it holds, and whether it is well."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from promissory.executor.protocol.frames import FrameReader, encode_frame
from promissory.oplog.environment import Environment
from tests.daemons import Daemon

PATIENCE_SECONDS = 30.0
RSS_GROWTH_BYTES_MAX = 20 << 20
BAD_EVENTS = ("operation_failed", "connection_failed", "store_panicked", "commit_failed", "worker_paused")


@dataclasses.dataclass
class Held:
    """What a daemon holds of what can leak."""

    descriptors: int
    threads: int
    readers: int
    rss_anon_bytes: int


class Wire:
    """One connection; reading ends at the server's close, and takes no longer than `PATIENCE_SECONDS`."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(str(path))
        self._reader = FrameReader()
        self._frames: list[dict[str, Any]] = []

    def send(self, data: bytes) -> None:
        """Send bytes; silent when the server has closed."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def end(self) -> None:
        """Send no more."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def receive(self) -> dict[str, Any] | None:
        """Return the next message, None at the end; anything but whole frames is a failure."""
        while not self._frames:
            try:
                data = self.socket.recv(1 << 18)
            except ConnectionResetError:
                return None
            if not data:
                # Were a part of a frame left over, this one would not come out whole.
                assert self._reader.feed(encode_frame({})) == [{}]
                return None
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def rest(self) -> list[dict[str, Any]]:
        """Return all messages up to the server's close."""
        messages = []
        while (message := self.receive()) is not None:
            messages.append(message)
        return messages

    def ask(self, request_id: int, op: str, **fields: Any) -> dict[str, Any]:
        """Perform a request and return the last word on it."""
        self.send(encode_frame({"id": request_id, "op": op, **fields}))
        while True:
            message = self.receive()
            assert message is not None, "the server closed the connection"
            if message.get("id") == request_id and "item" not in message:
                return message

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


class Target:
    """A daemon under fire."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        """Connect and take the hello."""
        wire = Wire(self.daemon.socket)
        try:
            hello = wire.receive()
            assert hello is not None
            assert hello["protocol"] == 1
            yield wire
        finally:
            wire.close()

    @contextmanager
    def wires(self, count: int) -> Iterator[list[Wire]]:
        """Connect several times, taking no hello."""
        with ExitStack() as open_wires:
            wires = []
            for _ in range(count):
                wires.append(Wire(self.daemon.socket))
                open_wires.callback(wires[-1].close)
            yield wires

    def is_well(self) -> None:
        """Assert that it serves, and that nothing went wrong inside it."""
        with self.wire() as wire:
            answer = wire.ask(1, "invoke", worker="target/well", function="take", params=b'["ok", [1, 2]]')
            assert answer["ok"]["result"] == b"3"
        bad = [line for event in BAD_EVENTS for line in self.daemon.events(event)]
        assert not bad, "\n".join(str(line.get("exception", line)) for line in bad[:3])
        assert not self.daemon.texts(), self.daemon.texts()[:20]

    def measure(self) -> Held:
        """Return what it holds now."""
        process = Path(f"/proc/{self.daemon.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        with Environment(self.daemon.data, readonly=True) as environment:
            readers = environment.reader_count()
        return Held(
            descriptors=len(list((process / "fd").iterdir())),
            threads=int(status["Threads"]),
            readers=readers,
            rss_anon_bytes=int(status["RssAnon"].split()[0]) * 1024,
        )

    def settles(self, before: Held) -> Held:
        """Assert that it comes to hold no more than before; it closes what clients have left in its own time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            now = self.measure()
            leaks = [
                name for name in ("descriptors", "threads", "readers") if getattr(now, name) > getattr(before, name)
            ]
            if not leaks:
                break
            assert time.monotonic() < deadline, f"{leaks}: {before}, now {now}"
            time.sleep(0.01)  # what happens inside another process gives no event
        grown_bytes = now.rss_anon_bytes - before.rss_anon_bytes
        assert grown_bytes <= RSS_GROWTH_BYTES_MAX, f"RssAnon grew by {grown_bytes >> 20} MiB: {before}, now {now}"
        return now
