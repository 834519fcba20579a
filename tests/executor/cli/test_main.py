"""The command line as a whole: exit statuses, one line on stderr, where the executor is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from promissory.executor.version import VERSION

ROOT = Path(__file__).parents[3]

COMMANDS = [
    "serve",
    "register",
    "components",
    "invoke",
    "invocation list",
    "invocation show",
    "invocation attach",
    "invocation cancel",
    "worker list",
    "worker show",
    "worker create",
    "worker delete",
    "worker interrupt",
    "worker resume",
    "promise list",
    "promise show",
    "promise complete",
    "promise reject",
    "promise delete",
    "promise await",
    "oplog",
    "stub",
    "verify",
    "backup",
    "status",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Any, command: str) -> None:
    """`--help` of every command succeeds and says what it does."""
    outcome = run(*command.split(), "--help")

    assert (outcome.status, outcome.err) == (0, "")
    assert f"Usage: promissory {command}" in outcome.out


def test_without_arguments_the_help_is_shown(run: Any) -> None:
    """`promissory` alone lists the commands."""
    outcome = run()

    assert outcome.status == 0
    assert "invocation" in outcome.out


def test_version(run: Any) -> None:
    """`--version` prints one line."""
    outcome = run("--version")

    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == f"promissory {VERSION}\n"


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["frob"], "No such command"),
        (["--frob"], "No such option"),
        (["worker"], "Missing command"),
        (["worker", "frob"], "No such command"),
        (["invoke"], "Missing argument"),
        (["invoke", "a/b"], "Missing argument"),
        (["invoke", "a/b", "f", "--timeout", "soon"], "timeout"),
        (["invoke", "a/b", "f", "--timeout", "-1"], "timeout"),
        (["invoke", "a/b", "f", "--delay", "-1"], "delay"),
        (["invoke", "a/b", "f", "--frob"], "no such option: --frob"),
        (["invoke", "a/b", "f", "order-7"], "'order-7' is not JSON"),
        (["worker", "create", "a/b", "{"], "'{' is not JSON"),
        (["worker", "create", "a/b", "--env", "K"], "'K' is not of the form K=V"),
        (["worker", "create", "a/b", "--env", "=V"], "'=V' is not of the form K=V"),
        (["worker", "resume"], "give COMPONENT/NAME, or --all"),
        (["worker", "resume", "a/b", "--all"], "give COMPONENT/NAME, or --all"),
        (["worker", "list", "--limit", "0"], "limit"),
        (["promise", "complete", "a/b/3", "--data", "x", "--file", "y"], "--data and --file exclude each other"),
        (["promise", "complete", "a/b/3", "--file", "/no/such/file"], "cannot read /no/such/file"),
        (["oplog", "a/b", "--from", "0"], "from"),
        (["serve", "--http", "8080"], "HOST:PORT"),
        (["gateway", "--http", "localhost:http"], "HOST:PORT"),
        (["serve", "--log-level", "loud"], "--log-level is one of debug"),
        (["serve", "--config", "/no/such/file"], "config"),
        (["register"], "Missing argument"),
        (["stub"], "Missing argument"),
        (["stub", "cart"], "Missing option '--output'"),
        (["stub", "cart", "-o", "-", "--check"], "--check compares with a file"),
        (["stub", "cart", "-o", "."], ". is a directory"),
    ],
)
def test_a_wrong_command_line_is_status_2_and_one_line(run: Any, argv: list[str], match: str) -> None:
    """What is wrong with the command line is said in one line that names the command's help."""
    outcome = run(*argv)

    assert (outcome.status, outcome.out) == (2, "")
    assert match in outcome.err
    assert outcome.err.count("\n") == 1
    assert "--help'" in outcome.err


def test_arguments_that_are_no_json_are_told_how_to_quote(run: Any) -> None:
    """Who forgets the quotes of a string is shown them."""
    assert "'\"text\"'" in run("invoke", "a/b", "f", "text").err


@pytest.mark.parametrize(
    "argv",
    [
        ["status"],
        ["components"],
        ["invoke", "a/b", "f"],
        ["invoke", "a/b", "f", "--send"],
        ["promise", "list"],
        ["worker", "show", "a/b"],
        ["oplog", "a/b", "--follow"],
        ["register", "examples.approval"],
        ["stub", "cart", "-o", "cart_stub.py"],
        ["invocation", "cancel", "inv_1AAAA"],
    ],
)
def test_without_an_executor_is_status_7_and_one_line(run: Any, tmp_path: Path, argv: list[str]) -> None:
    """Every command that needs an executor says in one line that there is none, and where it looked."""
    outcome = run(*argv)

    assert (outcome.status, outcome.out) == (7, "")
    assert outcome.err.startswith("promissory: no executor at promissory-data/admin.sock: there is no such socket")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("argv", [["verify"], ["backup", "copy"], ["oplog", "a/b"]])
def test_without_a_data_directory_is_status_3_and_one_line(run: Any, argv: list[str]) -> None:
    """What reads the data directory says when there is none, and makes none."""
    outcome = run(*argv)

    assert (outcome.status, outcome.out) == (3, "")
    assert outcome.err == "promissory: no data directory at promissory-data\n"
    assert list(Path().iterdir()) == []


def test_where_the_executor_is(run: Any, peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--socket` is where it is, else PROMISSORY_SOCKET, else admin.sock in `--data` or PROMISSORY_DATA."""
    peer.answer("component.list", {"ok": []})
    directory = str(Path(peer.path).parent)

    assert run("components", "--socket", peer.path).status == 0
    assert run("components", "--data", directory).status == 0
    assert run("components", "--data", "elsewhere").status == 7
    monkeypatch.setenv("PROMISSORY_DATA", directory)
    assert run("components").status == 0
    monkeypatch.setenv("PROMISSORY_SOCKET", "/elsewhere")
    assert "no executor at /elsewhere" in run("components").err
    monkeypatch.setenv("PROMISSORY_SOCKET", peer.path)
    monkeypatch.setenv("PROMISSORY_DATA", "elsewhere")
    assert run("components").status == 0


def test_the_executors_error_is_one_line_on_stderr(ask: Any, peer: Any) -> None:
    """A message of many lines, or with a terminal's commands in it, is printed as one harmless line."""
    peer.answer("status", {"error": {"code": "paused", "message": "ValueError:\n  \x1b[31mred\x07"}})
    outcome = ask("status")

    assert (outcome.status, outcome.out) == (6, "")
    assert outcome.err == "promissory: ValueError: \\x1b[31mred\\x07\n"


def test_losing_the_executor_is_one_line_on_stderr(ask: Any) -> None:
    """An executor that goes away while it is asked is an error like any other."""
    outcome = ask("status")

    assert (outcome.status, outcome.out) == (7, "")
    assert outcome.err == "promissory: the connection to the executor was lost\n"


def test_a_reader_that_has_seen_enough_is_no_error_message(peer: Any) -> None:
    """Output into a closed pipe ends the command with status 1 and without a word."""
    peer.answer("component.list", {"ok": [{"component": "x" * 1000} for _ in range(500)]})
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        found = subprocess.run(
            [sys.executable, "-m", "promissory", "components", "--json", "--socket", peer.path],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )

    assert (found.returncode, found.stderr) == (1, b"")


def test_help_and_errors_of_the_command_line_load_nothing_heavy() -> None:
    """What a wrong option costs is typer alone: no event loop, no tables, no store."""
    heavy = (
        "anyio,trio,asyncio,rich,lmdb,structlog,attrs,cbor2,promissory.executor.client,"
        "promissory.executor.server.daemon,promissory.workers"
    )
    code = f"""
import sys
from promissory.executor.cli import main
assert main(["status", "--frob"]) == 2
assert main(["--version"]) == 0
print([name for name in {heavy!r}.split(",") if name in sys.modules])
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert found.stdout.splitlines()[-1] == "[]"
