"""The admin socket: a Unix stream socket that only its owner may use, with limits on everything.

One task a connection reads, decodes and performs requests in the order they came; another writes what has gathered,
unless it could be written the moment that the commit it rested on was durable, before the next one is prepared.
Requests have no tasks of their own, save streams, which wait when the client does not read.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
import trio

from promissory.executor.config import Config
from promissory.executor.operations import Operations, Stream
from promissory.executor.protocol.errors import error_to_wire
from promissory.executor.protocol.frames import FrameReader, MalformedFrame, encode_frame
from promissory.executor.protocol.hello import hello
from promissory.executor.turns.executor import Executor
from promissory.oplog.errors import BadArguments, LimitReached, PromissoryError

SOCKET_PATH_BYTES_MAX = 107
RECEIVE_BYTES = 1 << 16
FRAMES_PER_TICK = 16
"""After so many requests the engine takes turns and the disk gets work, before more requests are looked at."""
UNSENT_BYTES_MAX = 1 << 20
"""Beyond this a connection's requests are not read and its streams wait."""

_PEERCRED = struct.Struct("iII")


class _Reply:
    """The answer to one request of a connection."""

    __slots__ = ("_close", "_connection", "_id", "peer")

    def __init__(self, connection: Connection, request_id: int) -> None:
        self._connection = connection
        self._id = request_id
        self._close: Callable[[], None] | None = None
        self.peer = connection.peer

    def ok(self, value: Any) -> None:
        self._connection.finish(self._id, {"id": self._id, "ok": value})

    def error(self, error: PromissoryError, invocation: str | None = None) -> None:
        self._connection.finish(self._id, {"id": self._id, "error": error_to_wire(error, invocation=invocation)})

    def item(self, value: Any) -> None:
        self._connection.send({"id": self._id, "item": value})

    async def drained(self) -> None:
        await self._connection.drained()

    def on_close(self, callback: Callable[[], None]) -> None:
        self._connection.on_close(self._id, callback)


class Connection:
    """One client.

    Args:
      stream: to the client.
      operations, executor, config: what its requests are performed on and with.
      peer: who it is.
      unwritten: the connections that have something to write, among which this one puts itself.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        operations: Operations,
        executor: Executor,
        config: Config,
        peer: str,
        unwritten: set[Connection],
    ) -> None:
        self._stream = stream
        self._operations = operations
        self._executor = executor
        self._frame_bytes_max = config.frame_bytes_max
        self._in_flight_max = config.requests_in_flight_max
        self.peer = peer
        self._unwritten = unwritten
        self._out: list[bytes] = []
        self._unsent_bytes = 0
        self._is_writing = False
        self._something = trio.Event()
        self._drained = trio.Event()
        self._in_flight: dict[int, Callable[[], None] | None] = {}
        self._is_closed = False
        self._log = structlog.get_logger("promissory.admin")

    async def serve(self) -> None:
        """Serve the client until it goes away or sends what is no frame."""
        self.send(hello())
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, nursery.cancel_scope)
                await self._read(nursery)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._is_closed = True
            self._unwritten.discard(self)
            for callback in self._in_flight.values():
                if callback is not None:
                    callback()
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await self._stream.aclose()

    async def _read(self, nursery: trio.Nursery) -> None:
        reader = FrameReader(self._frame_bytes_max)
        while data := await self._stream.receive_some(RECEIVE_BYTES):
            try:
                frames, malformed = reader.feed(bytes(data)), None
            except MalformedFrame as error:
                frames, malformed = list(error.before), error
            for count, frame in enumerate(frames, 1):
                if not self._perform(frame, nursery):
                    malformed = MalformedFrame("a request needs an integer id that is not in flight")
                    break
                if count % FRAMES_PER_TICK == 0:
                    self._executor.run_ready()
                    await trio.lowlevel.checkpoint()
                    await self.drained()
            self._executor.run_ready()
            if malformed is not None:
                self._log.warning("malformed_frame", peer=self.peer, error=str(malformed))
                self.send({"error": error_to_wire(malformed)})
                with trio.move_on_after(1):
                    await self._flush()
                return
            await self.drained()

    def _perform(self, frame: dict[str, Any], nursery: trio.Nursery) -> bool:
        """Perform one request; False if its frame cannot be answered."""
        request_id = frame.pop("id", None)
        if type(request_id) is not int or request_id in self._in_flight:
            return False
        if frame.get("op") == "forget":
            self._forget(request_id, frame.get("request"))
            return True
        reply = _Reply(self, request_id)
        if len(self._in_flight) >= self._in_flight_max:
            limit = LimitReached(f"{self._in_flight_max} requests are in flight on this connection", "rate")
            self.send({"id": request_id, "error": error_to_wire(limit)})
            return True
        self._in_flight[request_id] = None
        stream = self._operations.perform(frame.pop("op", None), frame, reply)
        if stream is not None:
            scope = trio.CancelScope()
            self.on_close(request_id, scope.cancel)
            nursery.start_soon(_within, scope, stream)
        return True

    def _forget(self, request_id: int, forgotten: object) -> None:
        """Drop the wait for a request's answer; what it asked for goes on."""
        is_open = False
        if type(forgotten) is int and forgotten in self._in_flight:
            is_open = True
            callback = self._in_flight.pop(forgotten)
            if callback is not None:
                callback()
        self.send({"id": request_id, "ok": {"forgotten": is_open}})

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; it is written when the client takes it."""
        if self._is_closed:
            return
        try:
            frame = encode_frame(message)
        except PromissoryError as error:
            frame = encode_frame({"id": message.get("id"), "error": error_to_wire(error)})
        if not self._out:
            self._unwritten.add(self)
            self._something.set()
        self._out.append(frame)
        self._unsent_bytes += len(frame)

    def write(self) -> None:
        """Write what has gathered, as far as the client takes it now; the task writes the rest."""
        if self._is_writing or not self._out:
            return
        data = b"".join(self._out)
        try:
            sent_bytes = os.write(self._stream.socket.fileno(), data)
        except OSError:  # the client takes nothing now, or is gone: the task finds out which
            return
        self._out = [data[sent_bytes:]] if sent_bytes < len(data) else []
        self._sent(sent_bytes)

    def _sent(self, size_bytes: int) -> None:
        self._unsent_bytes -= size_bytes
        # A new event each time, made here: several streams may wait for the same one.
        drained, self._drained = self._drained, trio.Event()
        drained.set()

    def finish(self, request_id: int, message: dict[str, Any]) -> None:
        """Queue the last word on a request."""
        if self._in_flight.pop(request_id, self) is not self:
            self.send(message)

    def on_close(self, request_id: int, callback: Callable[[], None]) -> None:
        """Have something called if the client goes away while a request is in flight."""
        if request_id in self._in_flight:
            self._in_flight[request_id] = callback

    async def drained(self) -> None:
        """Wait until less than `UNSENT_BYTES_MAX` wait to be written."""
        while self._unsent_bytes >= UNSENT_BYTES_MAX and not self._is_closed:
            await self._drained.wait()

    async def _flush(self) -> None:
        while self._unsent_bytes:
            await self._drained.wait()

    async def _write(self, scope: trio.CancelScope) -> None:
        try:
            while True:
                await self._something.wait()
                self._something = trio.Event()
                if self._out:
                    data = b"".join(self._out)
                    self._out = []
                    self._is_writing = True
                    await self._stream.send_all(data)
                    self._is_writing = False
                    self._sent(len(data))
        except trio.BrokenResourceError:
            scope.cancel()


async def _within(scope: trio.CancelScope, stream: Stream) -> None:
    with scope:
        await stream()


class Server:
    """Listens on the admin socket.

    Args:
      executor: what requests are performed on.
      path: where the socket is made; a stale one is taken over.

    Raises:
      BadArguments: the path is over 107 bytes, or something that is not a socket, or a live one, is there.
    """

    def __init__(self, executor: Executor, path: Path) -> None:
        self._executor = executor
        self._path = path
        self._operations = Operations(executor)
        self._connections_count = 0
        self._unwritten: set[Connection] = set()
        executor.committer.after_commit = self._write
        self._log = structlog.get_logger("promissory.admin")
        self._socket = _listen(path)

    async def run(self) -> None:
        """Accept connections until cancelled."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._socket))
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.ENOBUFS, errno.ENOMEM):
                        raise
                    self._log.warning("accept_failed", error=str(error))
                    await trio.sleep(0.1)
                    continue
                nursery.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        peer = _peer(stream.socket)
        config = self._executor.config
        if peer is None:
            self._log.warning("peer_refused")
            await stream.aclose()
            return
        if self._connections_count >= config.connections_max:
            self._log.warning("connection_refused", limit=config.connections_max)
            refusal = LimitReached(f"{config.connections_max} connections are open", "capacity")
            with trio.move_on_after(1):
                await stream.send_all(encode_frame({"error": error_to_wire(refusal)}))
            await stream.aclose()
            return
        self._connections_count += 1
        try:
            await Connection(stream, self._operations, self._executor, config, peer, self._unwritten).serve()
        except* Exception as group:
            self._log.exception("connection_failed", peer=peer, exc_info=group)
        finally:
            self._connections_count -= 1

    def _write(self) -> None:
        """Write what has gathered on all connections."""
        while self._unwritten:
            self._unwritten.pop().write()

    def close(self) -> None:
        """Remove the socket."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    size_bytes = len(os.fsencode(path))
    if size_bytes > SOCKET_PATH_BYTES_MAX:
        raise BadArguments(
            f"the socket path has {size_bytes} bytes, a Unix socket's may have {SOCKET_PATH_BYTES_MAX}: {path}"
        )
    if path.exists() and not path.is_socket():
        raise BadArguments(f"{path} exists and is not a socket")
    if _is_live(path):
        raise BadArguments(f"somebody listens on {path}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        umask = os.umask(0o177)
        try:
            listening.bind(os.fspath(path))
        finally:
            os.umask(umask)
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise BadArguments(f"cannot listen on {path}: {error}") from None
    return listening


def _is_live(path: Path) -> bool:
    """Whether a connection to the socket is accepted: it is not one that a dead process left."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(os.fspath(path))
        except BlockingIOError:  # its backlog is full
            return True
        except OSError:
            return False
    return True


def _peer(peer_socket: trio.socket.SocketType) -> str | None:
    """Return who is at the other end; None if it is another user."""
    raw = peer_socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
    pid, uid, _ = _PEERCRED.unpack(raw)
    return f"uid {uid} pid {pid}" if uid in (os.geteuid(), 0) else None
