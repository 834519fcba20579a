"""`promissory invoke` and `invocation`: results, ids, what waiting no longer means, and calling off."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import pytest

from promissory.executor.protocol.frames import encode_frame

INVOCATION = "inv_1AAAA"
ANNOUNCED = {"item": {"invocation": INVOCATION}}
ROW = {
    "invocation": INVOCATION,
    "worker": "approval/order-7",
    "function": "submit",
    "status": "pending",
    "key": "k",
    "created_at": "2026-01-02T03:04:05.000006Z",
}


def test_invoke_prints_the_result_as_json(ask: Any, peer: Any) -> None:
    """The result is printed compactly for scripts; arguments travel as they were written."""
    peer.answer("invoke", ANNOUNCED, {"ok": {"invocation": INVOCATION, "result": b'{"a": [1, "\xc3\xa4"]}'}})
    for flags in ([], ["--json"]):
        outcome = ask("invoke", "cart/u-1", "add", '{"n": 1.50}', "-5", "12345678901234567890", *flags)
        assert (outcome.status, outcome.out, outcome.err) == (0, '{"a":[1,"ä"]}\n', "")

    assert peer.requests[0] == {
        "id": 1,
        "op": "invoke",
        "worker": "cart/u-1",
        "function": "add",
        "params": b'[{"n": 1.50},-5,12345678901234567890]',
        "announce": True,
    }


def test_invoke_takes_key_and_delay(ask: Any, peer: Any) -> None:
    """`--key` and `--delay` reach the executor."""
    peer.answer("invoke", {"ok": {"invocation": INVOCATION, "result": b"null"}})
    outcome = ask("invoke", "cart/u-1", "add", "--key", "k", "--delay", "1.5")

    assert outcome.out == "null\n"
    assert peer.requests[0]["key"] == "k"
    assert peer.requests[0]["delay_us"] == 1_500_000


def test_send_prints_the_invocation(ask: Any, peer: Any) -> None:
    """`--send` does not wait: people get the id, scripts an object with it."""
    peer.answer("invoke", {"ok": {"invocation": INVOCATION, "status": "accepted"}})

    assert ask("invoke", "cart/u-1", "add", "--send").out == f"{INVOCATION}\n"
    assert ask("invoke", "cart/u-1", "add", "--send", "--json").out == f'{{"invocation":"{INVOCATION}"}}\n'
    assert peer.requests[0]["send"] is True


def test_a_result_is_indented_and_coloured_on_a_terminal(ask: Any, peer: Any, terminal: None) -> None:
    """People get a result that they can read; `--json` is the same everywhere."""
    peer.answer("invoke", {"ok": {"invocation": INVOCATION, "result": b'{"a":[1]}'}})

    assert ask("invoke", "cart/u-1", "add").out.count("\n") > 1
    assert ask("invoke", "cart/u-1", "add", "--json").out == '{"a":[1]}\n'


def test_a_failed_invocation_is_status_1(ask: Any, peer: Any) -> None:
    """The handler's terminal error is the one line on stderr."""
    error = {"code": "terminal", "message": "no stock", "status": 409, "invocation": INVOCATION}
    peer.answer("invoke", ANNOUNCED, {"error": error})
    outcome = ask("invoke", "cart/u-1", "add")

    assert (outcome.status, outcome.out, outcome.err) == (1, "", "promissory: no stock\n")


def test_a_paused_worker_is_told_with_the_invocation(ask: Any, peer: Any) -> None:
    """Who hears that the worker paused also hears which invocation to attach to later."""
    peer.answer("invoke", ANNOUNCED, {"error": {"code": "paused", "message": "the worker is paused: ValueError: 7"}})
    outcome = ask("invoke", "cart/u-1", "add")

    assert outcome.status == 6
    assert outcome.err == f"promissory: the worker is paused: ValueError: 7; the invocation goes on: {INVOCATION}\n"


def test_losing_the_executor_prints_the_invocation(ask: Any, peer: Any) -> None:
    """When the executor dies, the id is printed, since the invocation is durable."""
    peer.answer("invoke", ANNOUNCED)
    peer.afterwards = lambda connection: connection.shutdown(socket.SHUT_RDWR)
    outcome = ask("invoke", "cart/u-1", "add")

    assert outcome.status == 7
    assert outcome.err == (
        f"promissory: the connection to the executor was lost; the invocation goes on: {INVOCATION}\n"
    )


def test_losing_the_executor_before_it_accepted_says_so(ask: Any) -> None:
    """Without an id nobody knows whether there is an invocation, and the message says that."""
    assert "whether the invocation was accepted is not known" in ask("invoke", "cart/u-1", "add").err


def test_timeout_ends_the_waiting_and_prints_the_invocation(ask: Any, peer: Any) -> None:
    """`--timeout` is how long the command waits; the id is printed, since the invocation goes on."""
    peer.answer("invoke", ANNOUNCED)
    outcome = ask("invoke", "cart/u-1", "add", "--timeout", "0.2")

    assert (outcome.status, outcome.out) == (5, "")
    assert outcome.err == f"promissory: no answer within 0.2 s; the invocation goes on: {INVOCATION}\n"


@pytest.mark.parametrize(
    ("argv", "op"),
    [(["invoke", "cart/u-1", "add"], "invoke"), (["invocation", "attach", INVOCATION], "invocation.attach")],
)
def test_ctrl_c_ends_the_waiting_and_prints_the_invocation(ask: Any, peer: Any, argv: list[str], op: str) -> None:
    """On Ctrl-C the command prints the id and says that the invocation goes on."""

    def interrupt(connection: socket.socket) -> None:
        # More than the socket holds, so that by the time it is sent the announcement before it has been read.
        connection.sendall(encode_frame({"id": 99, "ok": b"x" * 4_000_000}))
        os.kill(os.getpid(), signal.SIGINT)

    peer.answer(op, ANNOUNCED)
    peer.afterwards = interrupt
    outcome = ask(*argv)

    assert (outcome.status, outcome.out) == (5, "")
    assert outcome.err == f"promissory: interrupted; the invocation goes on: {INVOCATION}\n"


def test_attach_prints_the_result(ask: Any, peer: Any) -> None:
    """`invocation attach` prints what `invoke` would have."""
    peer.answer("invocation.attach", {"ok": {"invocation": INVOCATION, "result": b'"7: yes"'}})

    assert ask("invocation", "attach", INVOCATION).out == '"7: yes"\n'
    assert ask("invocation", "attach", INVOCATION, "--json").out == '"7: yes"\n'
    assert peer.requests[0] == {"id": 1, "op": "invocation.attach", "invocation": INVOCATION}


def test_invocations_are_listed(ask: Any, peer: Any) -> None:
    """Scripts get an array of the rows as they are, people a table with a head."""
    peer.answer("invocation.list", {"item": ROW}, {"item": {**ROW, "key": None}}, {"ok": {"more": False}})
    outcome = ask("invocation", "list", "--worker", "approval/order-7", "--status", "pending", "--json")

    assert outcome.out == (
        '[{"invocation":"inv_1AAAA","worker":"approval/order-7","function":"submit","status":"pending","key":"k",'
        '"created_at":"2026-01-02T03:04:05.000006Z"},{"invocation":"inv_1AAAA","worker":"approval/order-7",'
        '"function":"submit","status":"pending","key":null,"created_at":"2026-01-02T03:04:05.000006Z"}]\n'
    )
    assert peer.requests[0] == {
        "id": 1,
        "op": "invocation.list",
        "worker": "approval/order-7",
        "status": "pending",
        "limit": 1000,
    }
    head, first, second = ask("invocation", "list").out.splitlines()
    assert head.split() == ["invocation", "worker", "function", "status", "key", "created", "at"]
    assert first.split() == ["inv_1AAAA", "approval/order-7", "submit", "pending", "k", "2026-01-02T03:04:05.000006Z"]
    assert second.split() == ["inv_1AAAA", "approval/order-7", "submit", "pending", "2026-01-02T03:04:05.000006Z"]


def test_an_invocation_is_shown(ask: Any, peer: Any) -> None:
    """`invocation show` is one object, or a line for each field."""
    peer.answer("invocation.show", {"ok": {**ROW, "status": "failed", "error": "no stock"}})

    assert ask("invocation", "show", INVOCATION, "--json").out.startswith('{"invocation":"inv_1AAAA","worker":')
    assert "status      failed\n" in ask("invocation", "show", INVOCATION).out


def test_an_ephemeral_component_is_called_without_a_name(ask: Any, peer: Any) -> None:
    """Whether a component needs a name is the executor's to say: what is given reaches it as it is."""
    peer.answer("invoke", {"ok": {"invocation": INVOCATION, "result": b"true"}})

    assert ask("invoke", "mailer", "mail", '"x"').out == "true\n"
    assert peer.requests[0]["worker"] == "mailer"
    assert "COMPONENT[/NAME]" in ask("invoke", "--help").out


@pytest.mark.parametrize(
    ("cancelled", "said"),
    [(True, f"cancelled {INVOCATION}\n"), (False, f"{INVOCATION} had already completed\n")],
)
def test_an_invocation_is_cancelled(ask: Any, peer: Any, cancelled: bool, said: str) -> None:
    """`invocation cancel` says whether it came in time, which is no failure either way."""
    peer.answer("invocation.cancel", {"ok": {"cancelled": cancelled}})
    outcome = ask("invocation", "cancel", INVOCATION)

    assert (outcome.status, outcome.out, outcome.err) == (0, said, "")
    assert ask("invocation", "cancel", INVOCATION, "--json").out == f"{str(cancelled).lower()}\n"
    assert peer.requests[0] == {"id": 1, "op": "invocation.cancel", "invocation": INVOCATION}
