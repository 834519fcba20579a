"""Addresses of HTTP: HOST:PORT to a listening socket and back."""

from __future__ import annotations

import errno
import socket
from time import monotonic, sleep

from promissory.oplog.errors import BadArguments

BACKLOG = 2_048
"""How many connections wait to be accepted, also while nobody accepts them yet or again."""


GOING_SECONDS = 2.0
"""The gateway of a daemon that was killed takes no longer to go."""
RETRY_SECONDS = 0.05


def bind(address: str, patience_seconds: float = 0.0) -> socket.socket:
    """Return a socket that listens at HOST:PORT; an IPv6 host stands in brackets, port 0 is any free one.

    Args:
      address: where.
      patience_seconds: how long to wait, blocking, for one that is in use.

    Raises:
      BadArguments: the address has another form, is nobody's, or is in use.
    """
    host, port = split_address(address)
    deadline = monotonic() + patience_seconds
    while True:
        try:
            return _listener(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or monotonic() >= deadline:
                raise BadArguments(f"cannot serve HTTP at {address}: {error.strerror or error}") from None
        except (UnicodeError, TypeError):  # a name that IDNA cannot encode
            raise BadArguments(f"cannot serve HTTP at {address}: this is no name of a host") from None
        sleep(RETRY_SECONDS)


def _listener(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it: a client that waits for a month and is gone without a word is found out.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.bind((host, port))
        # From here on connections wait instead of being refused, and nobody else can have the port.
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def split_address(address: str) -> tuple[str, int]:
    """Split HOST:PORT.

    Raises:
      BadArguments: it has another form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or len(port) > 5 or int(port) > 65_535 or not host.strip("[]"):
        raise BadArguments(f"{address!r} is not of the form HOST:PORT")
    return host.strip("[]"), int(port)


def address_of(listener: socket.socket) -> str:
    """Return HOST:PORT of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
