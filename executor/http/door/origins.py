"""Which requests pages of other origins have made: browsers send some without asking first whether they may.

A page may post a form or a text anywhere; only reading the answer needs leave. So what changes something is refused
unless the page's origin is configured. Browsers say where a request comes from in `sec-fetch-site`, older ones in
`origin`; programs send neither. The rules are those of Filippo Valsorda's "Cross-Site Request Forgery" (2025).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN = frozenset({b"same-origin", b"none"})


def is_foreign(method: str, headers: Mapping[bytes, bytes], allowed: Collection[str]) -> bool:
    """Return whether a request that may change something comes from a page that may not make it.

    Args:
      method, headers: of the request; names in lower case.
      allowed: the origins whose pages may; `*` is any.
    """
    if method in _SAFE_METHODS or "*" in allowed:
        return False
    site = headers.get(b"sec-fetch-site")
    origin = headers.get(b"origin")
    if site in _OWN or (site is None and origin is None):
        return False
    if origin is not None and origin.decode("latin-1") in allowed:
        return False
    return site is not None or (origin or b"").partition(b"://")[2] != headers.get(b"host")
