"""Addresses of HTTP: HOST:PORT to a listening socket and back."""

from __future__ import annotations

import socket

from oplog.errors import BadArguments

BACKLOG = 2_048
"""How many connections wait to be accepted, also while nobody accepts them yet or again."""


def bind(address: str) -> socket.socket:
    """Return a socket that listens at HOST:PORT; an IPv6 host stands in brackets, port 0 is any free one.

    Raises:
      BadArguments: the address has another form, is nobody's, or is in use.
    """
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # From here on connections wait instead of being refused, and nobody else can have the port.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BadArguments(f"cannot serve HTTP at {address}: {error.strerror or error}") from None
    return listener


def split_address(address: str) -> tuple[str, int]:
    """Split HOST:PORT.

    Raises:
      BadArguments: it has another form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535 or not host.strip("[]"):
        raise BadArguments(f"{address!r} is not of the form HOST:PORT")
    return host.strip("[]"), int(port)


def address_of(listener: socket.socket) -> str:
    """Return HOST:PORT of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
