"""`promissory promise`: payloads are bytes, outcomes are shown, settling says who was first."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

PROMISE = "approval/order-7/3"


def test_promises_are_listed_the_pending_ones_first_asked(ask: Any, peer: Any) -> None:
    """`promise list` asks for pending ones unless told otherwise and prints the pinned shape."""
    row = {"promise": PROMISE, "state": "pending", "created_at": "2026-01-02T03:04:05.000006Z"}
    peer.answer("promise.list", {"item": row}, {"ok": {"more": False}})

    assert json.loads(ask("promise", "list", "--json").out) == [row]
    ask("promise", "list", "--state", "resolved")
    assert peer.requests[0] == {"id": 1, "op": "promise.list", "state": "pending", "limit": 1000}
    assert peer.requests[1]["state"] == "resolved"


@pytest.mark.parametrize(("settled", "said"), [(True, f"resolved {PROMISE}"), (False, f"{PROMISE} was settled before")])
def test_complete_says_whether_it_settled_the_promise(ask: Any, peer: Any, settled: bool, said: str) -> None:
    """Scripts get true or false, people a sentence; both are status 0."""
    peer.answer("promise.complete", {"ok": {"settled": settled}})

    outcome = ask("promise", "complete", PROMISE, "--data", "ja, ä", "--json")
    assert (outcome.status, outcome.out) == (0, f"{json.dumps(settled)}\n")
    assert ask("promise", "complete", PROMISE, "--data", "x").out == f"{said}\n"
    assert peer.requests[0] == {"id": 1, "op": "promise.complete", "promise": PROMISE, "data": "ja, ä".encode()}


def test_a_payload_comes_from_a_file_or_stdin_or_is_empty(
    ask: Any, peer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--file` takes bytes as they are, `-` is stdin, nothing is an empty payload."""
    peer.answer("promise.complete", {"ok": {"settled": True}})
    (tmp_path / "payload").write_bytes(b"\x00\xff\n")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"\xfe")))

    assert ask("promise", "complete", PROMISE, "--file", "payload").status == 0
    assert ask("promise", "complete", PROMISE, "--file", "-").status == 0
    assert ask("promise", "complete", PROMISE).status == 0
    assert [request["data"] for request in peer.requests] == [b"\x00\xff\n", b"\xfe", b""]


def test_reject_takes_a_reason(ask: Any, peer: Any, tmp_path: Path) -> None:
    """The reason is text; a file that holds none is a wrong command line."""
    peer.answer("promise.reject", {"ok": {"settled": True}})
    (tmp_path / "reason").write_bytes(b"\xff")

    assert ask("promise", "reject", PROMISE, "--data", "no").out == f"rejected {PROMISE}\n"
    assert ask("promise", "reject", PROMISE, "--data", "no", "--json").out == "true\n"
    assert ask("promise", "reject", PROMISE, "--file", "reason").status == 2
    assert peer.requests[0] == {"id": 1, "op": "promise.reject", "promise": PROMISE, "message": "no"}
    assert len(peer.requests) == 2


def test_delete(ask: Any, peer: Any) -> None:
    """Deleting says whether there was something to delete."""
    peer.answer("promise.delete", {"ok": {"deleted": True}})
    assert ask("promise", "delete", PROMISE).out == f"deleted {PROMISE}\n"
    peer.answer("promise.delete", {"ok": {"deleted": False}})
    assert ask("promise", "delete", PROMISE).out == f"{PROMISE} was deleted before\n"
    assert ask("promise", "delete", PROMISE, "--json").out == "false\n"


@pytest.mark.parametrize("command", ["show", "await"])
def test_an_outcome_is_shown(ask: Any, peer: Any, command: str) -> None:
    """Scripts get the payload in base64, people as text where it is text."""
    peer.answer(f"promise.{command}", {"ok": {"promise": PROMISE, "state": "resolved", "data": b"yes"}})

    shown = json.loads(ask("promise", command, PROMISE, "--json").out)
    assert shown == {"promise": PROMISE, "state": "resolved", "data": "eWVz"}
    assert "data     yes\n" in ask("promise", command, PROMISE).out
    peer.answer(f"promise.{command}", {"ok": {"promise": PROMISE, "state": "resolved", "data": b"\xff"}})
    assert "data     base64:/w==\n" in ask("promise", command, PROMISE).out
    peer.answer(f"promise.{command}", {"ok": {"promise": PROMISE, "state": "rejected", "error": "no"}})
    outcome = ask("promise", command, PROMISE, "--json")
    assert (outcome.status, json.loads(outcome.out)) == (0, {"promise": PROMISE, "state": "rejected", "error": "no"})


def test_await_stops_waiting_at_its_timeout(ask: Any, peer: Any) -> None:
    """`promise await --timeout` ends with status 5 and says that the promise is not settled."""
    peer.answer("promise.await")
    outcome = ask("promise", "await", PROMISE, "--timeout", "0.1")

    assert (outcome.status, outcome.out) == (5, "")
    assert outcome.err == f"promissory: no answer within 0.1 s; {PROMISE} is not settled\n"


def test_an_unknown_promise_is_status_3(ask: Any, peer: Any) -> None:
    """The executor's `not_found` is the line on stderr."""
    peer.answer("promise.complete", {"error": {"code": "not_found", "message": f"there is no promise {PROMISE}"}})
    outcome = ask("promise", "complete", PROMISE)

    assert (outcome.status, outcome.out, outcome.err) == (3, "", f"promissory: there is no promise {PROMISE}\n")
