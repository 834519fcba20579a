"""One connection to the admin socket with many requests under way at once.

A `Link` has one task that reads and one that writes. A request appends its frame to what is to be written, and waits
on an event of its own; the frames of all requests made in one turn of the event loop leave in one write, and what
comes back in one read is handed out in one go. No request costs a task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from socket import socket
from typing import Any, cast

import anyio
from anyio.abc import ByteStream, SocketAttribute

from promissory.executor.client.wait import Waiter, waiter_class
from promissory.executor.protocol.errors import error_from_wire
from promissory.executor.protocol.frames import FrameReader, MalformedFrame, encode_frame
from promissory.executor.protocol.hello import Hello, check_hello
from promissory.oplog.errors import Disconnected

HELLO_SECONDS_MAX = 10.0
READ_BYTES = 256 * 1024
UNSENT_BYTES_MAX = 4 * 1024 * 1024


async def open_stream(path: str) -> tuple[ByteStream, FrameReader, Hello]:
    """Connect to the socket at the path and take the executor's hello.

    Raises:
      Disconnected: nobody listens there, or somebody who speaks another protocol.
      PromissoryError: the executor refuses the connection.
    """
    stream: ByteStream | None = None
    reader = FrameReader()
    frames: list[dict[str, Any]] = []
    try:
        with anyio.fail_after(HELLO_SECONDS_MAX):
            stream = await anyio.connect_unix(path)
            while not frames:
                frames = reader.feed(await stream.receive(READ_BYTES))
        greeting = check_hello(path, frames)
    except BaseException as exc:
        if stream is not None:
            await anyio.aclose_forcefully(stream)
        why = _why_not_connected(exc)
        if why is None:
            raise
        raise Disconnected(f"no executor at {path}: {why}") from exc
    return stream, reader, greeting


def _why_not_connected(exc: BaseException) -> str | None:
    if isinstance(exc, TimeoutError):
        return f"it did not greet within {HELLO_SECONDS_MAX:g} s"
    if isinstance(exc, MalformedFrame):
        return f"another protocol is spoken there ({exc})"
    if isinstance(exc, (anyio.EndOfStream, anyio.BrokenResourceError)):
        return "it closed the connection before its greeting"
    if isinstance(exc, FileNotFoundError):
        return "there is no such socket (is `promissory serve` running?)"
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused (`promissory serve` is not running)"
    if isinstance(exc, (OSError, ValueError)):
        return str(getattr(exc, "strerror", None) or exc)
    return None


class Link:
    """A connection on which requests are pipelined; `read` and `write` must run as tasks beside its users.

    Args:
      stream, reader, hello: of `open_stream`.
    """

    def __init__(self, stream: ByteStream, reader: FrameReader, hello: Hello) -> None:
        self._stream = stream
        self._hello = hello
        self._reader = reader
        self._numbers = count(1)
        self._socket: socket = stream.extra(SocketAttribute.raw_socket)
        self._waiter = waiter_class()
        self._waiting: dict[int, Waiter] = {}
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._writing = False
        self._to_write = anyio.Event()
        self._written = anyio.Event()
        self._lost: str | None = None

    async def request(self, op: str, fields: Mapping[str, Any], on_item: Callable[[Any], None] | None = None) -> Any:
        """Send a request and wait for its answer; the value of its `ok`.

        Cancelled, it only stops waiting: the executor does what was asked.

        Args:
          op: the operation.
          fields: its fields.
          on_item: called with each item that comes before the answer; without it they are dropped.

        Raises:
          Disconnected: the connection is lost, before or while waiting.
          PromissoryError: the executor's error, of the class that its code names.
        """
        number = await self._post(op, fields)
        waiter = self._waiting[number] = self._waiter(on_item)
        try:
            await waiter.wait()
        finally:
            del self._waiting[number]
        if waiter.error is not None:
            raise waiter.error
        return value_of(cast("dict[str, Any]", waiter.answer))

    async def _post(self, op: str, fields: Mapping[str, Any]) -> int:
        """Have a request written, when there is room for it, and return its number.

        Raises:
          Disconnected: the connection is lost.
          PromissoryError: no frame can hold the request.
        """
        while self._unsent_bytes > UNSENT_BYTES_MAX and self._lost is None:
            await self._written.wait()
        if self._lost is not None:
            raise Disconnected(self._lost)
        number = next(self._numbers)
        frame = encode_frame({"id": number, "op": op, **self._hello.fitting(op, fields)})
        if self._waiting or self._unsent or self._writing:
            self._append(frame)
        else:
            self._send_at_once(frame)
        return number

    def _append(self, frame: bytes) -> None:
        if not self._unsent:
            self._to_write.set()
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)

    def _send_at_once(self, frame: bytes) -> None:
        # Nobody else is under way, so there is nothing to batch with: the two turns of the event loop that waking the
        # writer costs are a quarter of a lone request's time.
        try:
            sent_bytes = self._socket.send(frame)
        except OSError:
            sent_bytes = 0  # no room, or broken: the writer waits for the one and meets the other
        if sent_bytes < len(frame):
            self._append(frame[sent_bytes:])

    async def write(self) -> None:
        """Write what requests append, until cancelled or until the peer takes no more."""
        try:
            while True:
                await self._to_write.wait()
                self._to_write = anyio.Event()
                frames, self._unsent, self._unsent_bytes = self._unsent, [], 0
                self._writing = True
                await self._stream.send(b"".join(frames))
                self._writing = False
                self._written.set()
                self._written = anyio.Event()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            # The reader learns of it too, and first reads what the peer said before it went: that is the reason.
            return

    async def read(self) -> None:
        """Hand the answers to those who wait, until cancelled or until the connection is lost."""
        reason = "the client is closed"
        try:
            while True:
                for message in self._reader.feed(await self._stream.receive(READ_BYTES)):
                    self._hand_out(message)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            reason = self._lost or "the connection to the executor was lost"
        except MalformedFrame as exc:
            for message in exc.before:
                self._hand_out(message)
            reason = f"the executor does not keep to the protocol: {exc}"
        finally:
            self._lose(reason)

    def _hand_out(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        waiter = self._waiting.get(number) if type(number) is int else None
        if waiter is None:
            # Nobody waits for it any more; or it is about the connection, whose end comes next.
            if number is None and isinstance(message.get("error"), Mapping):
                self._lost = f"the executor ended the connection: {error_from_wire(message['error'])}"
            return
        if "item" in message:
            if waiter.on_item is None:
                return
            try:
                waiter.on_item(message["item"])
            except Exception as exc:  # it is the caller's own function: its error is the caller's to see
                waiter.error = exc
                waiter.wake()
            return
        waiter.answer = message
        waiter.wake()

    def _lose(self, reason: str) -> None:
        self._lost = reason
        for waiter in self._waiting.values():
            if waiter.answer is None and waiter.error is None:
                waiter.error = Disconnected(reason)
                waiter.wake()
        self._written.set()


def value_of(answer: Mapping[str, Any]) -> Any:
    """Return the value of an answer's `ok`, or raise its error."""
    if "ok" in answer:
        return answer["ok"]
    error = answer.get("error")
    if isinstance(error, Mapping):
        raise error_from_wire(error)
    raise Disconnected("the executor does not keep to the protocol: an answer is neither `ok` nor `error`")
