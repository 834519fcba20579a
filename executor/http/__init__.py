"""HTTP: an ASGI application that is a client of an executor's admin socket.

    application = promissory.http.app("promissory-data/admin.sock")

It connects at its first request, and again when the executor has been away; it needs no lifespan, so it can be
mounted in any ASGI application: `Mount("/promissory", app=promissory.http.app())`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from promissory.executor.http.gateway import Gateway
from promissory.oplog.errors import BadArguments

__all__ = ["REQUESTS_MAX", "Gateway", "app"]

REQUESTS_MAX = 20_000
BODY_BYTES_MAX = 8 << 20


def app(
    socket: str | Path | None = None,
    *,
    token: str | None = None,
    cors_origins: Sequence[str] = (),
    requests_max: int = REQUESTS_MAX,
    body_bytes_max: int = BODY_BYTES_MAX,
) -> Gateway:
    """Return the application.

    Args:
      socket: the executor's admin socket; if None `PROMISSORY_SOCKET`, else `admin.sock` in `PROMISSORY_DATA` or
        in `./promissory-data`.
      token: a bearer token that requests must carry; `/health` and settling awakeables need none.
      cors_origins: the origins whose pages may call it, `*` for any; none unless given.
      requests_max: how many requests may be in flight; those beyond it are refused with 429.
      body_bytes_max: the largest body; a larger one is refused with 413 before it is read whole.

    Raises:
      BadArguments: the token is empty, as that of a variable that is set to nothing: it would let everybody in.
    """
    if token == "":
        raise BadArguments("the token is empty")
    return Gateway(
        _default_socket() if socket is None else Path(socket), token, cors_origins, requests_max, body_bytes_max
    )


def _default_socket() -> Path:
    given = os.environ.get("PROMISSORY_SOCKET")
    return Path(given) if given else Path(os.environ.get("PROMISSORY_DATA") or "promissory-data") / "admin.sock"
