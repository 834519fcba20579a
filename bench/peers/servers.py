"""The two sides, each started with a fresh data directory on free ports of loopback, and ended in order."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from bench.processes import ROOT
from promissory.executor.version import VERSION

HERE = Path(__file__).parent
INSTALLED = HERE / ".restate"
"""Where `make bench-peers` installs Restate and its SDK."""
RESTATE_PYTHON = INSTALLED / "venv/bin/python"
START_SECONDS_MAX = 60.0
END_SECONDS_MAX = 20.0
_RETRY_SECONDS = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


class Side(ABC):
    """The processes of one side; in a `with` block they serve, after it they have ended.

    Args:
      scratch: a directory that exists, for data and logs.
    """

    name: str

    def __init__(self, scratch: Path) -> None:
        self.port = free_port()
        """Where it answers HTTP."""
        self.mailbox = scratch / f"{self.name}.mailbox"
        """Where its handlers announce promises."""
        self._scratch = scratch
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Side:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    @abstractmethod
    def _start(self) -> None:
        """Start the processes and return once calls are answered."""

    @abstractmethod
    def versions(self) -> list[str]:
        """Return what runs on this side, with versions."""

    def _run(self, command: list[str | Path], environment: dict[str, str]) -> None:
        told = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_MAILBOX": str(self.mailbox), **environment}
        log = self._scratch / f"{self.name}-{len(self._processes)}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, cwd=self._scratch, env=told, stdout=output, stderr=output, start_new_session=True
            )
        self._processes.append(process)

    def _end(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _await_ready(self, port: int, path: str, request: bytes | None = None) -> bytes:
        """Ask until the answer is a success; return it."""
        began = time.monotonic()
        while True:
            try:
                status, answer = _ask(port, path, request)
            except OSError as error:
                status, answer = 0, str(error).encode()
            if 200 <= status < 300:
                return answer
            if time.monotonic() - began > START_SECONDS_MAX or any(p.poll() is not None for p in self._processes):
                logs = [log.read_text(errors="replace")[-2_000:] for log in self._scratch.glob(f"{self.name}-*.log")]
                raise RuntimeError(f"{self.name} does not answer {path} ({status} {answer!r}):\n" + "\n".join(logs))
            time.sleep(_RETRY_SECONDS)

    def processor_seconds(self) -> float:
        """Return the processor time that the processes have had since they were started."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS

    def rss_anon_bytes(self) -> int:
        """Return the anonymous memory that the processes have resident, together."""
        status = "\n".join(Path(f"/proc/{pid}/status").read_text() for pid in self.pids())
        return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:"))

    def pids(self) -> list[int]:
        """Return the ids of the processes, with those that they started."""
        return [pid for process in self._processes for pid in _with_children(process.pid)]


class Ours(Side):
    """`promissory serve` as it is by default: the daemon, and its gateway in a process of its own."""

    name = "promissory"

    def _start(self) -> None:
        serve: list[str | Path] = [
            sys.executable,
            "-m",
            "promissory",
            "serve",
            "bench.peers.ours",
            "--log-level",
            "warning",
        ]
        where = ["--data", str(self._scratch / "promissory-data"), "--http", f"127.0.0.1:{self.port}"]
        self._run([*serve, *where], {})
        self._await_ready(self.port, "/health")

    def versions(self) -> list[str]:
        """Return what runs on this side, with versions."""
        beneath = _installed(Path(sys.executable), "lmdb", "uvicorn", "uvloop")
        return [f"promissory {VERSION}", f"Python {sys.version.split()[0]}", *beneath]


class Restate(Side):
    """The published server, and Hypercorn with what its Python SDK makes of `bench.peers.theirs`."""

    name = "restate"

    def _start(self) -> None:
        admin, fabric, endpoint = free_port(), free_port(), free_port()
        data: list[str | Path] = ["--base-dir", self._scratch / "restate-data"]
        self._run(
            [restate_server(), "--config-file", HERE / "restate.toml", "--no-logo", "--listen-mode", "tcp", *data],
            {
                "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{self.port}",
                "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
                "RESTATE_BIND_ADDRESS": f"127.0.0.1:{fabric}",
            },
        )
        hypercorn: list[str | Path] = [RESTATE_PYTHON, "-m", "hypercorn", "--config", HERE / "hypercorn.toml"]
        self._run([*hypercorn, "--bind", f"127.0.0.1:{endpoint}", "bench.peers.theirs:app"], {})
        self._await_ready(admin, "/health")
        self._await_ready(admin, "/deployments", json.dumps({"uri": f"http://127.0.0.1:{endpoint}"}).encode())
        self._await_ready(self.port, "/counter/first/add", b"1")

    def versions(self) -> list[str]:
        """Return what runs on this side, with versions."""
        server = subprocess.run([restate_server(), "--version"], check=True, capture_output=True, text=True).stdout
        return [server.strip(), *_installed(RESTATE_PYTHON, "restate-sdk", "hypercorn", "uvloop")]


def restate_server() -> Path:
    """Return where the server's binary is.

    Raises:
      FileNotFoundError: it is not installed.
    """
    for path in INSTALLED.glob("node_modules/@restatedev/restate-server-*/bin/restate-server"):
        return path
    raise FileNotFoundError("Restate is not installed: run `make bench-peers`")


def free_port() -> int:
    """Return a port of loopback where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def await_listening(port: int) -> None:
    """Return once somebody listens on a port of loopback.

    Raises:
      ConnectionRefusedError: nobody did in time.
    """
    began = time.monotonic()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() - began > START_SECONDS_MAX:
                raise
        time.sleep(_RETRY_SECONDS)


def _ask(port: int, path: str, request: bytes | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS_MAX)
    try:
        headers = {"content-type": "application/json"} if request else {}
        connection.request("POST" if request else "GET", path, request, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _with_children(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _with_children(int(child))


def _installed(python: Path, *packages: str) -> list[str]:
    code = f"from importlib.metadata import version\nfor name in {packages!r}: print(name, version(name))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()
