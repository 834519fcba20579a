"""Pages of other origins: what their browsers may send, and what they may not."""

from __future__ import annotations

import pytest

from promissory.executor.http.door.origins import is_foreign

PAGE = b"https://page.example"


@pytest.mark.parametrize(
    ("method", "headers", "allowed", "expected"),
    [
        ("POST", {}, (), False),
        ("POST", {b"sec-fetch-site": b"same-origin", b"origin": PAGE, b"host": b"inner:8080"}, (), False),
        ("POST", {b"sec-fetch-site": b"none"}, (), False),
        ("POST", {b"sec-fetch-site": b"cross-site", b"origin": PAGE}, (), True),
        ("DELETE", {b"sec-fetch-site": b"same-site", b"origin": PAGE}, (), True),
        ("POST", {b"sec-fetch-site": b"cross-site", b"origin": b"null"}, (), True),
        ("POST", {b"sec-fetch-site": b"cross-site"}, (), True),
        ("POST", {b"sec-fetch-site": b"cross-site", b"origin": PAGE}, (PAGE.decode(),), False),
        ("POST", {b"sec-fetch-site": b"cross-site", b"origin": PAGE + b".evil.example"}, (PAGE.decode(),), True),
        ("POST", {b"sec-fetch-site": b"cross-site", b"origin": PAGE}, ("*",), False),
        ("GET", {b"sec-fetch-site": b"cross-site", b"origin": PAGE}, (), False),
        ("POST", {b"origin": b"http://localhost:8080", b"host": b"localhost:8080"}, (), False),
        ("POST", {b"origin": PAGE, b"host": b"localhost:8080"}, (), True),
        ("POST", {b"origin": b"null", b"host": b"localhost:8080"}, (), True),
        ("POST", {b"origin": b"null"}, (), True),
        ("POST", {b"origin": b"\xff", b"host": b"localhost:8080"}, (), True),
    ],
)
def test_who_may_change_something(
    method: str, headers: dict[bytes, bytes], allowed: tuple[str, ...], expected: bool
) -> None:
    """Programs, a page's own server and configured origins may; a page of any other origin may look only."""
    assert is_foreign(method, headers, allowed) is expected
