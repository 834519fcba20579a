"""Raw HTTP/1.1 over kept connections on one epoll: the least that a load generator in Python can cost."""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Callable

READ_BYTES = 65_536
SILENCE_SECONDS_MAX = 60.0
"""How long all servers may say nothing before the generator gives up."""
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Unexpected(Exception):
    """A server answered something that the work does not allow, or nothing."""


class Connection:
    """One connection with at most one request on it.

    Args:
      address: where the server listens, on loopback.
    """

    __slots__ = ("_received", "fd", "on_answer", "send", "sent", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = self.socket.fileno()
        self.sent = 0.0
        """When the last request was sent, by `time.perf_counter`."""
        self.on_answer: Callable[[bytes], None] = _unasked
        """Gets the body of the answer to the last request."""
        self.send = self.socket.sendall
        self._received = b""

    def ask(self, request: bytes) -> None:
        """Send one request; `on_answer` gets what is answered."""
        self.sent = time.perf_counter()
        self.send(request)

    def read(self) -> None:
        """Take what has arrived; hand over the answer once it is whole."""
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise Unexpected("a connection was closed")
        if self._received:
            data = self._received + data
        end = data.find(_HEAD_END)
        if end >= 0:
            length = _LENGTH.search(data, 0, end)
            if length is None:
                raise Unexpected(f"an answer without a length: {data!r}")
            begin = end + 4
            if len(data) >= begin + int(length[1]):
                if not data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
                    raise Unexpected(data.decode(errors="replace"))
                self._received = b""
                self.on_answer(data[begin:])
                return
        self._received = data


def _unasked(body: bytes) -> None:
    raise Unexpected(f"an answer to nothing: {body!r}")


class Exchange:
    """The connections to one server, and a mailbox for what its handlers announce.

    Args:
      port: where the server listens on loopback.
    """

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}

    def connect(self) -> Connection:
        """Open one more connection."""
        connection = Connection(self._address)
        self.watch(connection.fd, connection.read)
        return connection

    def watch(self, fd: int, read: Callable[[], None]) -> None:
        """Have a function called whenever there is something to read."""
        self._readers[fd] = read
        self._epoll.register(fd, select.EPOLLIN)

    def run(self, is_done: Callable[[], bool]) -> None:
        """Read what arrives until the work is done."""
        readers, poll = self._readers, self._epoll.poll
        while not is_done():
            events = poll(SILENCE_SECONDS_MAX)
            if not events:
                raise Unexpected(f"nothing for {SILENCE_SECONDS_MAX:g} s")
            for fd, _ in events:
                readers[fd]()


def request(path: str, body: bytes) -> bytes:
    """Return a POST of JSON as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
