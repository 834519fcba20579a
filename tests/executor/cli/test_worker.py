"""`promissory worker`, `components`, `status`, `register`: tables for people, the pinned shapes for scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROW = {
    "worker": "approval/a%2Fb",
    "status": "paused",
    "last_index": 12,
    "pending_invocations": 1,
    "last_error": "ValueError: [red]7[/red]",
    "created_at": "2026-01-02T03:04:05.000006Z",
}


def test_workers_are_listed(ask: Any, peer: Any) -> None:
    """Scripts get the array of rows; filters and the limit reach the executor."""
    peer.answer("worker.list", {"item": ROW}, {"ok": {"more": False}})
    outcome = ask("worker", "list", "--status", "paused", "--component", "approval", "--limit", "7", "--json")

    assert (outcome.status, json.loads(outcome.out), outcome.err) == (0, [ROW], "")
    assert peer.requests[0] == {
        "id": 1,
        "op": "worker.list",
        "status": "paused",
        "component": "approval",
        "limit": 7,
    }


def test_a_list_says_when_there_is_more(ask: Any, peer: Any) -> None:
    """What was left out by the limit is told on stderr, and is no error."""
    peer.answer("worker.list", {"item": ROW}, {"ok": {"more": True}})
    outcome = ask("worker", "list", "--limit", "1", "--json")

    assert (outcome.status, json.loads(outcome.out)) == (0, [ROW])
    assert outcome.err == "promissory: there are more than these 1: see --limit\n"


def test_an_empty_list_is_an_empty_array(ask: Any, peer: Any) -> None:
    """Scripts get an array whatever there is; people the head alone."""
    peer.answer("worker.list", {"ok": {"more": False}})

    assert ask("worker", "list", "--json").out == "[]\n"
    assert ask("worker", "list").out.splitlines() == [
        "worker  status  last index  pending invocations  created at  last error"
    ]


def test_a_terminal_gets_colours_and_no_markup_of_users(ask: Any, peer: Any, terminal: None) -> None:
    """On a terminal the status is coloured, and what users wrote is shown as it is."""
    peer.answer("worker.list", {"item": ROW}, {"ok": {"more": False}})
    out = ask("worker", "list").out

    assert "\x1b[31mpaused" in out
    assert "ValueError: [red]7[/red]" in out
    assert "\x1b" not in ask("worker", "list", "--json").out


def test_a_worker_is_shown_with_its_last_error(ask: Any, peer: Any) -> None:
    """People get a line for each fact, and the traceback as it was printed, harmless to their terminal."""
    row = {
        **ROW,
        "attempt": 3,
        "next_attempt_at": "2026-01-02T03:04:05.000006Z",
        "traceback": 'Traceback:\n  File "a.py"\n\x1b[31m',
        "env": {"K": "V"},
        "args": b"[1]",
    }
    peer.answer("worker.show", {"ok": row})
    lines = ask("worker", "show", "approval/a%2Fb").out.splitlines()

    assert "attempt              3" in lines
    assert "next attempt at      2026-01-02T03:04:05.000006Z" in lines
    assert 'env                  {"K":"V"}' in lines
    assert "args                 [1]" in lines
    assert lines[-4:] == ["traceback:", "  Traceback:", '    File "a.py"', "  \\x1b[31m"]
    shown = json.loads(ask("worker", "show", "approval/a%2Fb", "--json").out)
    assert shown == {**row, "next_attempt_at": "2026-01-02T03:04:05.000006Z", "args": "WzFd"}


def test_a_worker_is_created_with_arguments_and_environment(ask: Any, peer: Any) -> None:
    """Arguments go as one JSON array; `--env` may be repeated and its values may hold `=`."""
    peer.answer("worker.create", {"ok": {"worker": "a/b"}})

    assert ask("worker", "create", "a/b", "-1", '"x"', "--env", "K=V=W", "--env", "L=").out == "created a/b\n"
    assert ask("worker", "create", "a/b", "--json").out == '{"worker":"a/b"}\n'
    assert peer.requests[0] == {
        "id": 1,
        "op": "worker.create",
        "worker": "a/b",
        "args": b'[-1,"x"]',
        "env": {"K": "V=W", "L": ""},
    }
    assert peer.requests[1] == {"id": 1, "op": "worker.create", "worker": "a/b", "args": b"[]"}


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["K"], "--env 'K' is not of the form K=V"),
        (["=V"], "--env '=V' is not of the form K=V"),
        ([""], "--env '' is not of the form K=V"),
        (["K=1", "L=2", "K=1"], "--env gives 'K' twice"),
        (["K=\udcff"], "--env 'K' is not UTF-8 text"),
        (["\udcff=V"], "is not UTF-8 text"),
    ],
)
def test_an_environment_is_refused_before_anything_is_asked(ask: Any, peer: Any, pairs: list[str], said: str) -> None:
    """A variable of another form, or given twice, makes the command line wrong."""
    outcome = ask("worker", "create", "a/b", *(word for pair in pairs for word in ("--env", pair)))

    assert (outcome.status, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert said in outcome.err
    assert peer.requests == []


@pytest.mark.parametrize(
    ("command", "said"), [("delete", "deleted"), ("interrupt", "interrupted"), ("resume", "resumed")]
)
def test_a_worker_is_deleted_interrupted_resumed(ask: Any, peer: Any, command: str, said: str) -> None:
    """Each says what it did, and asks its operation with the worker alone."""
    peer.answer(f"worker.{command}", {"ok": {"worker": "a/b"}})

    assert ask("worker", command, "a/b").out == f"{said} a/b\n"
    assert ask("worker", command, "a/b", "--json").out == '{"worker":"a/b"}\n'
    assert peer.requests[0] == {"id": 1, "op": f"worker.{command}", "worker": "a/b"}


def test_all_workers_are_resumed(ask: Any, peer: Any) -> None:
    """`worker resume --all` says how many went on."""
    peer.answer("worker.resume", {"ok": {"resumed": 3}})

    assert ask("worker", "resume", "--all").out == "resumed 3\n"
    assert ask("worker", "resume", "--all", "--json").out == '{"resumed":3}\n'
    assert peer.requests[0] == {"id": 1, "op": "worker.resume", "all": True}


def test_components(ask: Any, peer: Any) -> None:
    """Scripts get handlers with their schemas, people their names."""
    handler = {"name": "submit", "kind": "handler", "parameters": {"type": "object"}, "result": {}}
    row = {"component": "approval", "id": "0a", "version": 1, "ephemeral": False, "handlers": [handler]}
    peer.answer("component.list", {"ok": [row]})

    assert json.loads(ask("components", "--json").out) == [row]
    assert ask("components").out.splitlines()[1].split() == ["approval", "1", "submit", "0a"]


def test_status(ask: Any, peer: Any) -> None:
    """Scripts get the object, people a line for each fact."""
    facts = {"pid": 7, "version": "0.1.0", "workers": 2, "workers_in_memory": 1, "entries": 9, "commits": 4}
    peer.answer("status", {"ok": {**facts, "components": ["a", "b"]}})

    assert json.loads(ask("status", "--json").out) == {**facts, "components": ["a", "b"]}
    assert "workers in memory  1\n" in ask("status").out
    assert "components         a, b\n" in ask("status").out
    assert "unavailable" not in ask("status").out

    peer.answer("status", {"ok": {**facts, "components": [], "unavailable": {"c": "component 'c' is unavailable: x"}}})
    assert "component 'c' is unavailable: x\n" in ask("status").out


def test_register_sends_the_modules_and_where_they_are(ask: Any, peer: Any, tmp_path: Path) -> None:
    """The daemon is told the directory, since it has another one."""
    peer.answer("component.register", {"ok": ["approval", "cart"]})

    assert ask("register", "examples.approval", "shop:Cart").out == "registered approval\nregistered cart\n"
    assert ask("register", "x", "--json").out == '["approval","cart"]\n'
    assert peer.requests[0] == {
        "id": 1,
        "op": "component.register",
        "modules": ["examples.approval", "shop:Cart"],
        "directory": str(tmp_path),
    }
