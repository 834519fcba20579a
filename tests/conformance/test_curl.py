"""The commands for awakeables and durable promises that people copy from documentation work as they stand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

RESOLVE = (
    """curl localhost:8080/restate/awakeables/ID/resolve -H 'content-type: application/json' -d '{"hello": "world"}'"""
)
REJECT = "curl localhost:8080/restate/awakeables/ID/reject -H 'content-type: text/plain' -d 'Very bad error!'"
DURABLE = """curl localhost:8080/durablePromiseServer/OP -H 'content-type: application/json' \
-d '{ "request": { "promiseName": "prom-1" }MORE }'"""
VALUE = ', "value": { "name": "Barack" }'
ERROR = ', "errorMessage": "help!"'

COMMAND_SECONDS = 60


class Said(NamedTuple):
    """What a command printed: the body, the status that curl added, and the header that tells a promise's outcome."""

    body: str
    status: int
    outcome: str


Shell: TypeAlias = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def shell(url: str, tmp_path: Path) -> Iterator[Shell]:
    """Start a command; curl is told by its own configuration file where `localhost:8080` is today."""
    address = url.removeprefix("http://")
    (tmp_path / ".curlrc").write_text(
        f'connect-to = "localhost:8080:{address}"\nsilent\n'
        'write-out = "\\n%{http_code} %header{x-promise-outcome}"\n'
    )
    started: list[subprocess.Popen[str]] = []

    def start(command: str) -> subprocess.Popen[str]:
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "CURL_HOME": str(tmp_path), "HOME": str(tmp_path)}
        process = subprocess.Popen(command, shell=True, env=environment, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> Said:
    text, _ = process.communicate(timeout=COMMAND_SECONDS)
    assert process.returncode == 0
    body, _, last = text.rpartition("\n")
    status, _, outcome = last.partition(" ")
    return Said(body, int(status), outcome)


def durable(operation: str, name: str, more: str = "") -> str:
    return DURABLE.replace("OP", operation).replace("prom-1", name).replace("MORE", more)


def waiting(shell: Shell, handler: str, worker: str) -> tuple[subprocess.Popen[str], str]:
    """Have a worker wait for an awakeable; return the call, and the awakeable's id."""
    call = shell(f"curl -X POST localhost:8080/desk/{worker}/{handler}")
    found = said(shell(durable("await", f"id of {worker}")))
    awakeable: str = json.loads(found.body)["value"]
    return call, awakeable


def test_resolve(shell: Shell) -> None:
    """An awakeable is resolved with a JSON value; whoever comes too late is told so, with the same status."""
    call, awakeable = waiting(shell, "anything", "curl-1")

    assert said(shell(RESOLVE.replace("ID", awakeable))) == Said("", 202, "settled")
    answer = said(call)
    assert (json.loads(answer.body), answer.status) == ({"hello": "world"}, 200)
    assert said(shell(RESOLVE.replace("ID", awakeable))) == Said("", 202, "already-resolved")
    assert said(shell(REJECT.replace("ID", awakeable))) == Said("", 202, "already-resolved")


def test_reject(shell: Shell) -> None:
    """An awakeable is rejected with a message."""
    call, awakeable = waiting(shell, "excuse", "curl-2")

    assert said(shell(REJECT.replace("ID", awakeable))) == Said("", 202, "settled")
    assert json.loads(said(call).body) == "rejected: Very bad error!"
    assert said(shell(RESOLVE.replace("ID", awakeable))) == Said("", 202, "already-rejected")


def test_promise_that_is_gone(shell: Shell) -> None:
    """An id whose worker was deleted is accepted, and said to be unknown."""
    call, awakeable = waiting(shell, "anything", "curl-3")
    deleted = said(shell("curl -X DELETE localhost:8080/v1/components/desk/workers/curl-3"))

    assert (deleted.body, deleted.status) == ("{}", 200)
    assert said(call).status >= 400
    assert said(shell(RESOLVE.replace("ID", awakeable))) == Said("", 202, "unknown")
    assert said(shell(REJECT.replace("ID", awakeable))) == Said("", 202, "unknown")


def test_forged_id(shell: Shell) -> None:
    """The command as it stands, with no id put in, is refused in words."""
    answer = said(shell(RESOLVE))

    assert answer.status == 400
    error: dict[str, Any] = json.loads(answer.body)
    assert error["message"].startswith("bad awakeable id 'ID': ")
    assert (error["code"], error["source"]) == (400, "ingress")


def test_durable_promise(shell: Shell) -> None:
    """A durable promise is looked at, awaited, resolved."""
    name = "prom-1"
    assert said(shell(durable("peek", name)))[:2] == ("null", 200)
    awaiting = shell(durable("await", name))

    for answer in (
        said(shell(durable("resolve", name, VALUE))),
        said(awaiting),
        said(shell(durable("peek", name))),
        said(shell(durable("await", name))),
        said(shell(durable("reject", name, ERROR))),
    ):
        assert (json.loads(answer.body), answer.status) == ({"value": {"name": "Barack"}}, 200)


def test_rejected_durable_promise(shell: Shell) -> None:
    """A durable promise is rejected; that is an outcome like any other."""
    awaiting = shell(durable("await", "prom-2"))

    for answer in (
        said(shell(durable("reject", "prom-2", ERROR))),
        said(awaiting),
        said(shell(durable("peek", "prom-2"))),
        said(shell(durable("resolve", "prom-2", VALUE))),
    ):
        assert (json.loads(answer.body), answer.status) == ({"error": "help!"}, 200)
