"""Answers every request at once and does nothing else: shows how much the load generator itself can do."""

from __future__ import annotations

import select
import socket
import sys

from bench.peers.exchange import READ_BYTES

ANSWER = (
    b"HTTP/1.1 200 OK\r\nx-restate-id: inv_1" + b"A" * 46 + b"\r\ncontent-type: application/json\r\n"
    b"content-length: 2\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n10"
)


def serve(port: int) -> None:
    """Serve on loopback until the process is ended."""
    listening = socket.create_server(("127.0.0.1", port), backlog=1_024)
    poll = select.epoll()
    poll.register(listening.fileno(), select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listening.fileno():
                connection, _ = listening.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[connection.fileno()] = connection
                poll.register(connection.fileno(), select.EPOLLIN)
            elif not _answer(connections[fd]):
                poll.unregister(fd)
                connections.pop(fd).close()


def _answer(connection: socket.socket) -> bool:
    """Answer what has arrived; return whether the client is still there."""
    try:
        if not connection.recv(READ_BYTES):
            return False
        connection.sendall(ANSWER)
    except ConnectionError:
        return False
    return True


if __name__ == "__main__":
    serve(int(sys.argv[1]))
