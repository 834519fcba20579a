"""What the daemon refuses to start on: an exit status by the kind of fault and one line on stderr, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from promissory.oplog.environment import Environment
from promissory.oplog.tables import FORMAT_VERSION, Table
from tests.app import App
from tests.daemons import Daemons


@pytest.fixture
def app(tmp_path: Path, daemons: Daemons) -> App:
    return App(tmp_path, daemons)


def test_taken_lock(app: App) -> None:
    """A second daemon on the same data says who has it."""
    daemon = app.serve("jobs")
    line = app.refusal("jobs", status=7)
    assert "in use by another executor" in line
    assert str(daemon.pid) in line
    assert daemon.process.poll() is None
    assert daemon.socket.is_socket()


def test_long_socket_path(app: App, tmp_path: Path) -> None:
    """A socket path over 107 bytes is refused before anything is bound."""
    assert "107" in app.refusal("jobs", "--socket", str(tmp_path / ("s" * 120)))


def test_something_else_in_the_sockets_place(app: App, tmp_path: Path) -> None:
    """What is not a socket is never removed."""
    precious = tmp_path / "precious"
    precious.write_text("text")
    assert "is not a socket" in app.refusal("jobs", "--socket", str(precious))
    assert precious.read_text() == "text"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "does not import"),
        ("import nothing_of_this_name", "nothing_of_this_name"),
        ("def f(:", "SyntaxError"),
        ("1 / 0", "division by zero"),
        ("raise SystemExit('bye')", "bye"),
        ("raise ValueError('two\\nlines')", "two lines"),
        ("x = 1", "defines no Worker"),
        ("import promissory\nclass W(promissory.Worker):\n    @promissory.handler\n    def f(self) -> int: ...", "f"),
    ],
)
def test_module_that_does_not_import(app: App, text: str | None, says: str) -> None:
    """A module on the command line that cannot be served stops `serve`, and is not remembered."""
    if text is not None:
        app.write("broken", text)
    assert says in app.refusal("jobs", "broken")
    if app.data.exists():
        with Environment(app.data, readonly=True) as environment:
            assert environment.count(Table.COMPONENTS) == 0


def test_newer_format(app: App) -> None:
    """Data of a newer format is refused with both versions."""
    with Environment(app.data) as environment:
        environment.commit({Table.META: {b"format": (FORMAT_VERSION + 1).to_bytes(4, "big")}})
    line = app.refusal("jobs", status=7)
    assert f"format {FORMAT_VERSION + 1}" in line


def test_data_that_is_none(app: App, tmp_path: Path) -> None:
    """A data directory that is a file, or holds no LMDB data, is refused."""
    (tmp_path / "file").write_text("text")
    assert "file" in app.refusal("jobs", data=tmp_path / "file", status=7)
    app.data.mkdir()
    (app.data / "data.mdb").write_bytes(b"no data" * 4096)
    assert str(app.data) in app.refusal("jobs", status=7)


@pytest.mark.parametrize(
    ("config", "environment", "says"),
    [
        ("nonsense_max = 1", {}, "nonsense_max"),
        ("idle_seconds = ", {}, "promissory.toml"),
        ("connections_max = -1", {}, "connections_max"),
        ("", {"PROMISSORY_FRAME_BYTES_MAX": "many"}, "frame_bytes_max"),
    ],
)
def test_bad_configuration(app: App, config: str, environment: dict[str, str | None], says: str) -> None:
    """A configuration that is wrong is refused with the key."""
    app.data.mkdir()
    (app.data / "promissory.toml").write_text(config)
    assert says in app.refusal("jobs", environment=environment)
