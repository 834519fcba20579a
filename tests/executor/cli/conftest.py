"""A peer that answers by a table, in a thread, and a way to run a command line against it in this process."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from promissory.executor.cli import main
from promissory.executor.protocol.frames import FrameReader, encode_frame


class Peer:
    """Answers each operation with the messages that were set for it; one without hangs up on the client."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.requests: list[dict[str, Any]] = []
        self.afterwards: Callable[[socket.socket], None] = lambda _: None
        self._answers: dict[str, tuple[dict[str, Any], ...]] = {}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def answer(self, op: str, *messages: dict[str, Any]) -> None:
        """Set what is sent for a request; the request's id is added."""
        self._answers[op] = messages

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        with ThreadPoolExecutor() as talks, suppress(OSError):
            while True:
                talks.submit(self._talk, self._socket.accept()[0])

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(encode_frame({"protocol": 1, "executor": "0.1.0"}))
            self._answer_requests(connection)

    def _answer_requests(self, connection: socket.socket) -> None:
        reader = FrameReader()
        while data := connection.recv(1 << 16):
            for request in reader.feed(data):
                self.requests.append(request)
                if request["op"] not in self._answers:
                    return
                for message in self._answers[request["op"]]:
                    connection.sendall(encode_frame({"id": request["id"], **message}))
                self.afterwards(connection)


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture
def peer() -> Iterator[Peer]:
    directory = tempfile.mkdtemp(prefix="promissory-")  # tmp_path may be too long for a socket
    running = Peer(f"{directory}/admin.sock")
    yield running
    running.close()
    shutil.rmtree(directory)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PROMISSORY_DATA", raising=False)
    monkeypatch.delenv("PROMISSORY_SOCKET", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command line and return its exit status and what it printed."""

    def run(*argv: str) -> Outcome:
        status = main(argv)
        out, err = capsys.readouterr()
        return Outcome(status, out, err)

    return run


@pytest.fixture
def ask(run: Callable[..., Outcome], peer: Peer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """`run`, with the peer as the executor."""
    monkeypatch.setenv("PROMISSORY_SOCKET", peer.path)
    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the output look like a wide terminal's, with colours."""
    monkeypatch.setattr("promissory.executor.cli.output._on_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
