"""The gateway's process, real: it comes and goes with its daemon, is started again, and frees its port."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import trio

import promissory
from promissory.executor.config import Config
from promissory.executor.http import listening
from promissory.executor.http.listening import address_of, bind, split_address
from promissory.executor.server import gateway_keeper as gatekeeper
from promissory.executor.server.gateway_keeper import Gatekeeper
from promissory.oplog.errors import BadArguments
from tests.app import App
from tests.daemons import DEADLINE_SECONDS, ROOT, Daemon, Daemons

ANY_PORT = ("--http", "127.0.0.1:0")

LETTERS = """
import promissory

def tell(pipe):
    with open(pipe, "w") as out:
        out.write("begun")

class Letter(promissory.Worker):
    reply_to: str = ""

    @promissory.handler
    async def wait(self, pipe: str) -> str:
        self.reply_to, reply = promissory.awakeable(str)
        await promissory.run(tell, pipe)
        return await reply

    @promissory.query
    def id(self) -> str:
        return self.reply_to
"""

ENDS = """
import os
import sys

if "--listener" in sys.orig_argv:
    with open(os.environ["STARTS"], "a") as starts:
        starts.write(".")
    if os.path.getsize(os.environ["STARTS"]) <= int(os.environ["FAILURES"]):
        os._exit(7)
"""
"""A `sitecustomize` that ends the first gateways before they have begun."""


@pytest.fixture
def app(tmp_path: Path, daemons: Daemons) -> App:
    found = App(tmp_path, daemons)
    found.write("letters", LETTERS)
    return found


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """A port that somebody has."""
    with bind("127.0.0.1:0") as listener:
        yield listener


def http_of(daemon: Daemon) -> str:
    return str(daemon.wait_for("serving")["http"])


def ask(
    address: str, path: str, body: Any = None, headers: dict[str, str] | None = None, method: str | None = None
) -> HTTPConnection:
    """Send a request; whoever called reads the response."""
    connection = HTTPConnection(*split_address(address), timeout=DEADLINE_SECONDS)
    encoded = None if body is None else json.dumps(body)
    connection.request(method or ("GET" if body is None else "POST"), path, encoded, headers or {})
    return connection


def response_of(connection: HTTPConnection) -> tuple[HTTPResponse, bytes]:
    try:
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def status_of(address: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> int:
    return response_of(ask(address, path, body, headers))[0].status


def waiting(address: str, pipe: Path, headers: dict[str, str] | None = None) -> HTTPConnection:
    """Call a handler over HTTP that waits for somebody; return once it does."""
    connection = ask(address, "/letter/a/wait", str(pipe), headers)
    assert pipe.read_text() == "begun"
    return connection


# It comes and goes with the daemon.


def test_serve_starts_it(app: App) -> None:
    """`serve --http` serves HTTP where its log line `serving` says, port 0 being any free one."""
    daemon = app.serve("jobs", *ANY_PORT)
    assert split_address(http_of(daemon))[1] > 0
    response, body = response_of(ask(http_of(daemon), "/job/a/say", "hello"))
    assert (response.status, json.loads(body)) == (200, "hello")
    assert daemon.stop() == 0


def test_ipv6(app: App) -> None:
    """An IPv6 host stands in brackets, in the option as in the log line."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    daemon = app.start("jobs", "--http", "[::1]:0")
    if daemon.line_or_end("serving") is None:
        assert any("cannot serve HTTP at [::1]:0" in text for text in daemon.texts())
        pytest.skip("no IPv6 here")
    assert http_of(daemon).startswith("[::1]:")
    assert status_of(http_of(daemon), "/health") == 200
    assert daemon.stop() == 0


def test_killed_daemon_frees_the_port(app: App, pipe: Path) -> None:
    """A daemon that is killed takes its gateway along, whoever waits there, and the port is free."""
    daemon = app.serve("letters", *ANY_PORT)
    address = http_of(daemon)
    connection = waiting(address, pipe)
    daemon.kill()
    # It may have had the time to say so.
    with suppress(HTTPException, ConnectionError):
        assert response_of(connection)[0].status == 503
    bind(address).close()


def test_killed_daemon_is_started_again_at_once(app: App) -> None:
    """A daemon gets its port back however soon it is started after a `kill -9`, also of a gateway not yet up."""
    daemon = app.serve("jobs", *ANY_PORT)
    address = http_of(daemon)
    for _ in range(3):
        daemon.process.kill()
        daemon.process.wait()
        killed, daemon = daemon, app.serve("jobs", "--http", address)
        assert http_of(daemon) == address
        killed.wait()
    assert status_of(address, "/health") == 200


def test_sigterm_stops_both(app: App, pipe: Path) -> None:
    """SIGTERM stops daemon and gateway: those who wait get 503, and the port refuses."""
    daemon = app.serve("letters", *ANY_PORT)
    address = http_of(daemon)
    connections = [waiting(address, pipe), ask(address, "/promise/await", {"promiseId": "nobody"})]
    assert daemon.stop() == 0
    for connection in connections:
        response, body = response_of(connection)
        assert response.status == 503, body
    with pytest.raises(ConnectionRefusedError):
        ask(address, "/health")
    assert daemon.events("gateway_ended") == []
    assert daemon.texts() == []


def test_half_a_request_holds_up_nobody(app: App) -> None:
    """A client that does not get its request sent does not keep the daemon from stopping."""
    daemon = app.serve("jobs", *ANY_PORT)
    address = http_of(daemon)
    assert status_of(address, "/health") == 200
    with (
        socket.create_connection(split_address(address)) as nothing,
        socket.create_connection(split_address(address)) as head,
        socket.create_connection(split_address(address)) as body,
    ):
        head.sendall(b"POST /job/a/say HT")
        body.sendall(b"POST /job/a/say HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n")
        assert body.recv(100).startswith(b"HTTP/1.1 100 ")
        assert daemon.stop() == 0
        assert nothing.recv(100) == b""
        assert daemon.texts() == []


def test_gateway_that_hangs_is_ended(app: App) -> None:
    """A gateway that does not react to its signal does not keep the daemon from stopping, and the port is free."""
    daemon = app.serve("jobs", *ANY_PORT, "--log-level", "debug")
    os.kill(daemon.wait_for("gateway_started")["pid"], signal.SIGSTOP)
    assert daemon.stop() == 0
    bind(http_of(daemon)).close()


def test_no_http(app: App) -> None:
    """With `--no-http` there is no gateway."""
    daemon = app.serve("jobs", "--no-http", "--log-level", "debug", environment={"PROMISSORY_HTTP": "nonsense"})
    assert "http" not in daemon.wait_for("serving")
    assert daemon.stop() == 0
    assert daemon.events("gateway_started") == []


# It is kept up.


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_gateway_is_started_again(app: App, number: signal.Signals) -> None:
    """A gateway that is killed is started again, and nobody who connects meanwhile is refused."""
    daemon = app.serve("jobs", *ANY_PORT, "--log-level", "debug")
    address = http_of(daemon)
    assert status_of(address, "/health") == 200
    pid = daemon.wait_for("gateway_started")["pid"]
    kept = ask(address, "/health")
    assert kept.getresponse().read()
    os.kill(pid, number)
    # It is gone when it has hung up.
    assert kept.sock is not None
    assert kept.sock.recv(1) == b""
    kept.close()
    connection = ask(address, "/job/a/say", "hello")
    assert response_of(connection)[0].status == 200
    ended = daemon.wait_for("gateway_ended")
    assert ended["retry_seconds"] == gatekeeper.BACKOFF_FIRST_SECONDS
    assert daemon.wait_for("gateway_started", 2)["pid"] != pid
    assert daemon.stop() == 0


def test_gateway_that_keeps_ending(app: App, tmp_path: Path) -> None:
    """A gateway that keeps ending is started ever more slowly, and who connected is answered by the one that stays."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ENDS)
    starts = tmp_path / "starts"
    environment: dict[str, str | None] = {
        "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}",
        "STARTS": str(starts),
        "FAILURES": "3",
    }
    daemon = app.serve("jobs", *ANY_PORT, environment=environment)
    connection = ask(http_of(daemon), "/health")
    daemon.wait_for("gateway_ended", 3)
    assert [(line["level"], line["status"], line["retry_seconds"]) for line in daemon.events("gateway_ended")] == [
        ("error", 7, 0.1),
        ("error", 7, 0.2),
        ("error", 7, 0.4),
    ]
    assert response_of(connection)[0].status == 200
    assert starts.read_text() == "...."
    assert daemon.stop() == 0


def test_stop_while_backing_off(app: App, tmp_path: Path) -> None:
    """A daemon whose gateway does not come up serves its socket, and stops in order."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ENDS)
    environment: dict[str, str | None] = {
        "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}",
        "STARTS": str(tmp_path / "starts"),
        "FAILURES": "1000",
    }
    daemon = app.serve("jobs", *ANY_PORT, environment=environment)
    connection = ask(http_of(daemon), "/health")
    daemon.wait_for("gateway_ended", 2)
    assert daemon.stop() == 0
    with pytest.raises((HTTPException, ConnectionError)):
        response_of(connection)


# What it is told.


def test_settings_reach_it(app: App) -> None:
    """The daemon's configuration holds for its gateway, and no other that lies about."""
    app.data.mkdir()
    (app.data / "promissory.toml").write_text(
        'payload_bytes_max = 100\nhttp_cors_origins = "http://a.example, http://b.example"\n'
    )
    stray = app.directory / "promissory-data"
    stray.mkdir()
    (stray / "promissory.toml").write_text("nonsense = 1")
    daemon = app.serve("jobs", *ANY_PORT)
    address = http_of(daemon)
    response, _ = response_of(ask(address, "/health", headers={"origin": "http://b.example"}))
    assert response.getheader("access-control-allow-origin") == "http://b.example"
    assert status_of(address, "/job/a/say", "x" * 90) == 200
    assert status_of(address, "/job/a/say", "x" * 110) == 413
    assert daemon.stop() == 0
    assert daemon.events("gateway_ended") == []


def test_log_stays_json(app: App) -> None:
    """Whatever is sent to the port, every line on the daemon's stderr is one JSON object."""
    daemon = app.serve("jobs", *ANY_PORT)
    with socket.create_connection(split_address(http_of(daemon))) as garbage:
        garbage.sendall(b"\x16\x03\x01\x02\x00nonsense\r\n\r\n")
        assert garbage.recv(100).startswith(b"HTTP/1.1 400 ")
    assert daemon.stop() == 0
    assert daemon.texts() == []


# Where it serves.


def test_port_in_use(app: App, port: socket.socket) -> None:
    """A port that somebody else has stops `serve` and `gateway` with one line."""
    address = address_of(port)
    assert f"cannot serve HTTP at {address}: Address already in use" in app.refusal("jobs", "--http", address)
    alone = app.gateway("--http", address)
    assert alone.wait() == 4
    assert alone.texts() == [f"promissory: cannot serve HTTP at {address}: Address already in use"]


@pytest.mark.parametrize("address", ["198.51.100.1:0", "a..b:80", f"{'ü' * 80}:80"], ids=["foreign", "dots", "long"])
def test_address_of_nobody(app: App, address: str) -> None:
    """An address that is not this machine's, or none at all, stops `serve` with one line."""
    assert f"cannot serve HTTP at {address}: " in app.refusal("jobs", "--http", address)


@pytest.mark.parametrize("address", ["", "8080", ":8080", "localhost", "localhost:", "localhost:x", "localhost:65536"])
def test_no_address(app: App, address: str) -> None:
    """What is not HOST:PORT is refused as a wrong command line."""
    for daemon in (app.start("jobs", "--http", address), app.gateway("--http", address)):
        assert daemon.wait() == 2
        (line,) = daemon.texts()
        assert "is not of the form HOST:PORT" in line
    assert not app.data.exists()


@pytest.mark.parametrize("address", ["localhost:" + "9" * 5000, "localhost:²", "[]:1", "localhost:-1"], ids=len)
def test_no_port(address: str) -> None:
    """A port is a number up to 65535, however long the text."""
    with pytest.raises(BadArguments, match="HOST:PORT"):
        split_address(address)


def test_bind_waits_for_who_is_about_to_go(port: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port whose last owner has not quite gone is waited for, as long as one is told to."""
    with pytest.raises(BadArguments, match="in use"):
        bind(address_of(port))
    monkeypatch.setattr(listening, "sleep", lambda _: port.close())
    address = address_of(port)
    with bind(address, patience_seconds=DEADLINE_SECONDS) as listener:
        assert address_of(listener) == address


# The token.

TOKEN = "a-secret"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize("way", ["file", "variable", "both"])
def test_token(app: App, pipe: Path, tmp_path: Path, way: str) -> None:
    """With a token every request must carry it, but for `/health` and for settling an awakeable."""
    environment: dict[str, str | None] = {}
    arguments = [*ANY_PORT, "--log-level", "debug"]
    if way != "variable":
        (tmp_path / "token").write_text(f"{TOKEN}\n")
        arguments += ["--token-file", str(tmp_path / "token")]
    if way != "file":
        environment["PROMISSORY_TOKEN"] = TOKEN if way == "variable" else "of-no-use"
    daemon = app.serve("letters", *arguments, environment=environment)
    address = http_of(daemon)

    response, _ = response_of(ask(address, "/letter/a/id"))
    assert (response.status, response.getheader("www-authenticate")) == (401, "Bearer")
    for wrong in ("Bearer", "Bearer ", "Bearer of-no-use", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"):
        assert status_of(address, "/letter/a/id", headers={"authorization": wrong}) == 401
    assert status_of(address, "/health") == 200
    connection = waiting(address, pipe, BEARER)
    response, body = response_of(ask(address, "/letter/a/id", headers=BEARER))
    awakeable = json.loads(body)
    assert status_of(address, f"/restate/awakeables/{awakeable}/resolve", "yes") == 202
    response, body = response_of(connection)
    assert (response.status, json.loads(body)) == (200, "yes")

    pid = daemon.wait_for("gateway_started")["pid"]
    for process in (pid, daemon.pid):
        assert TOKEN.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()
    assert daemon.stop() == 0


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"one\ntwo\n", b"two words", "ключ".encode(), b"\xff\xfe", b"a\0b", None], ids=repr
)
def test_odd_token_files(app: App, tmp_path: Path, content: bytes | None) -> None:
    """A token file that holds no token is refused: nobody must believe in a lock that is none."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    line = app.refusal("jobs", *ANY_PORT, "--token-file", str(path))
    assert "token" in line
    alone = app.gateway(*ANY_PORT, "--token-file", str(path))
    assert alone.wait() == 4
    assert alone.texts() == [line]


def test_empty_token_variable(app: App) -> None:
    """An empty PROMISSORY_TOKEN is a mistake, not the wish for none."""
    assert "token" in app.refusal("jobs", *ANY_PORT, environment={"PROMISSORY_TOKEN": ""})


def test_empty_token_of_an_application() -> None:
    """An empty token, as of a variable that is set to nothing, would open to everybody: it is refused."""
    with pytest.raises(BadArguments, match="token"):
        promissory.http.app("admin.sock", token="")


# Alone.


def alone_at(gateway: Daemon) -> str:
    """Wait until a gateway that runs alone has its port; return the address."""
    line = gateway.first_text()
    assert line.startswith("serving http://"), line
    return line.removeprefix("serving http://")


def test_alone(app: App, pipe: Path) -> None:
    """`promissory gateway` serves for a daemon without HTTP, before it is there, while it is, and when it is back."""
    gateway = app.gateway(*ANY_PORT)
    address = alone_at(gateway)
    response, body = response_of(ask(address, "/health"))
    assert response.status == 503
    assert "no executor" in json.loads(body)["error"]
    daemon = app.serve("letters")
    assert status_of(address, "/health") == 200
    connection = waiting(address, pipe)
    daemon.kill()
    assert response_of(connection)[0].status == 503
    assert status_of(address, "/letter/a/id") == 503
    # The side effect may not have been on disk, and then tells once more.
    daemon = app.serve(environment={"PROMISSORY_STOP_GRACE_SECONDS": "0"})
    assert status_of(address, "/letter/a/id") == 200
    assert daemon.stop() == 0
    assert gateway.stop() == 0
    assert gateway.texts() == [f"serving http://{address}"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_alone_it_stops_in_order(app: App, pipe: Path, number: signal.Signals) -> None:
    """Told to stop, it answers those who wait with 503 and ends with status 0; the daemon goes on."""
    daemon = app.serve("letters")
    gateway = app.gateway(*ANY_PORT)
    address = alone_at(gateway)
    connection = waiting(address, pipe)
    gateway.signal(number)
    response, body = response_of(connection)
    assert (response.status, json.loads(body)["message"]) == (503, "the gateway is stopping")
    assert gateway.wait() == 0
    assert gateway.texts() == [f"serving http://{address}"]
    bind(address).close()
    assert daemon.stop() == 0


# What starts it cannot.


async def test_process_that_cannot_be_started(
    tmp_path: Path, port: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that has no room for a process ends no daemon: it is tried again."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 9:
            scope.cancel()
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(gatekeeper.sys, "executable", str(tmp_path / "nothing"))
    monkeypatch.setattr(gatekeeper.trio, "sleep", sleep)
    with trio.CancelScope() as scope:
        await Gatekeeper(port, tmp_path / "admin.sock", Config(), None).run()
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
