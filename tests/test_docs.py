"""README and docs, run as a reader would: every command block, in order, in a directory of the page's own.

1. `console`: lines that begin with `$ ` are commands for one shell per page (`> ` continues one); the lines below are
   what they print. White space is loose, `…` stands for anything. Nothing below means that nothing is compared.
2. A command that ends in `&` and serves is waited for until it serves; one that kills it, until it is gone. Any other
   command must succeed, unless its failure is shown by an `echo $?` right after it.
3. `python`: the first line names the file that the block is written to; at the page's end every file must import and
   its workers pass the checks of a registration.
4. `toml` is read as a configuration. `text` is for the eye only. A `sh` block holds `make` targets and nothing else.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from promissory.executor.config import Config, load_config
from promissory.executor.protocol.errors import _BY_KIND
from promissory.executor.protocol.frames import MalformedFrame
from promissory.executor.telemetry.metrics import Latencies
from promissory.executor.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
HTTP_SHOWN = "localhost:8080"
"""What the pages call the default address; where they run it may be in use."""
PATIENCE_SECONDS = 60.0
"""No command takes longer, however slow the machine; reaching it is a failure."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


class Block(NamedTuple):
    line: int
    language: str
    text: str


class Command(NamedTuple):
    line: int
    text: str
    expected: str
    """What the page shows; empty if nothing."""


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [Block(text.count("\n", 0, m.start()) + 1, m[1], m[2]) for m in _FENCE.finditer(text)]


def commands_of(block: Block) -> list[Command]:
    found: list[Command] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            found.append(Command(number, line[2:], ""))
        elif line.startswith("> ") and found and not found[-1].expected:
            found[-1] = found[-1]._replace(text=f"{found[-1].text}\n{line[2:]}")
        else:
            assert found, f"line {number}: output before any command"
            found[-1] = found[-1]._replace(expected=f"{found[-1].expected}{line}\n")
    return found


def is_as_shown(expected: str, printed: str) -> bool:
    """Whether an output is what a page shows, but for white space and what the page leaves out by `…`."""
    pattern = ".*?".join(re.escape(" ".join(part.split())) for part in expected.split("…"))
    # Blanks beside a `…` were stripped from the parts: it stands for them too.
    return re.fullmatch(pattern, " ".join(printed.split()), re.DOTALL) is not None


class Shell:
    """One bash for a page, with daemons in its background.

    Args:
      directory: where it starts.
      environment: all of its environment.
    """

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        log, log_end = os.pipe()
        self._log_end = log_end
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(log_end,),
            start_new_session=True,
            text=True,
        )
        self.log: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read_log, args=(log,), daemon=True)
        self._reader.start()
        self._overdue = False
        self.http = HTTP_SHOWN
        """Where the daemons of this page serve HTTP."""

    def _read_log(self, log: int) -> None:
        with os.fdopen(log, errors="replace") as lines:
            for line in lines:
                with self._news:
                    self.log.append(line)
                    self._news.notify_all()

    def run(self, command: str) -> tuple[str, int]:
        """Run a command and return what it printed, on both outputs, and its status."""
        if command.endswith(" &"):
            return self._run_in_background(command.removesuffix(" &"))
        if command.startswith("kill "):
            command += "; wait $! 2>/dev/null; true"
        return self._run(command)

    def _run(self, command: str) -> tuple[str, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # The status is handed on, so that a page may show it by `echo $?`.
        self._process.stdin.write(f"{command}\n{{ s=$?; echo; echo end-of-command $s; (exit $s); }} 2>&1\n")
        self._process.stdin.flush()
        timer = threading.Timer(PATIENCE_SECONDS, self._give_up)
        timer.start()
        printed: list[str] = []
        try:
            for line in self._process.stdout:
                if line.startswith("end-of-command "):
                    return "".join(printed).removesuffix("\n"), int(line.split()[1])
                printed.append(line)
        finally:
            timer.cancel()
        why = f"took over {PATIENCE_SECONDS} s" if self._overdue else "ended the shell"
        raise AssertionError(f"{command!r} {why}; it printed {''.join(printed)!r}; the log: {''.join(self.log)}")

    def _run_in_background(self, command: str) -> tuple[str, int]:
        before = len(self.log)
        # The subshell that tells of the end keeps `$!` the daemon's own.
        outcome = self._run(f"exec 9>&{self._log_end}; {command} 2>&9 & exec 9>&-")
        with self._news:
            serves = self._news.wait_for(
                lambda: (
                    any('"serving"' in line for line in self.log[before:])
                    or any(line.startswith("promissory") for line in self.log[before:])
                ),
                PATIENCE_SECONDS,
            )
        said = "".join(self.log[before:])
        assert serves, f"{command!r} does not serve: {said}"
        assert '"serving"' in said, f"{command!r} does not serve: {said}"
        return outcome

    def _give_up(self) -> None:
        self._overdue = True
        self._kill()

    def _kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the shell and all that it started."""
        os.close(self._log_end)
        if self._process.poll() is None:
            self._kill()
        self._process.communicate()
        self._reader.join(PATIENCE_SECONDS)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    page_directory = tmp_path / "page"
    page_directory.mkdir()
    # Who reads a page has a checkout; its root is not on the path, but pages serve its examples.
    (page_directory / "examples").symlink_to(ROOT / "examples")
    python = Path(sys.executable)
    if not (python.parent / "promissory").exists():
        shim = bin_directory / "promissory"
        shim.write_text(f'#!/bin/sh\nexec {python} -P -m promissory "$@"\n')
        shim.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PROMISSORY_", "PYTEST_"))}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        http = f"127.0.0.1:{free.getsockname()[1]}"
    plugins = {point.value for point in importlib.metadata.entry_points(group="pytest11")}
    shell = Shell(
        page_directory,
        {
            **kept,
            "PATH": os.pathsep.join((str(bin_directory), str(python.parent), os.environ["PATH"])),
            "PYTEST_ADDOPTS": "-p no:cacheprovider"
            + ("" if "promissory.executor.testing" in plugins else " -p promissory.executor.testing"),
            "LC_ALL": "C.UTF-8",
            "PROMISSORY_HTTP": http,
        },
    )
    shell.http = http
    yield shell
    shell.close()


@pytest.mark.skipif(shutil.which("bash") is None, reason="the pages are for bash")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page: Path, tmp_path: Path, shell: Shell) -> None:
    """Every command of a page does what the page says."""
    directory = tmp_path / "page"
    modules: list[str] = []
    for block in blocks_of(page):
        if block.language == "console":
            run_console(page, block, shell)
        elif block.language == "python":
            first = block.text.splitlines()[0]
            name = re.fullmatch(r"# ([a-z_]+\.py)", first)
            assert name, f"{page.name}:{block.line}: the first line names no file: {first!r}"
            (directory / name[1]).write_text(block.text)
            if "__main__" not in block.text and ".run(main)" not in block.text:
                modules.append(name[1].removesuffix(".py"))
        elif block.language == "toml":
            config = directory / "shown.toml"
            config.write_text(block.text)
            load_config(config, {})
        elif block.language == "sh":
            assert all(line.startswith("make ") for line in block.text.splitlines()), f"{page.name}:{block.line}"
        else:
            assert block.language == "text", f"{page.name}:{block.line}: {block.language!r} is not run by this test"
    if modules:
        check_modules(shell, modules)


def run_console(page: Path, block: Block, shell: Shell) -> None:
    commands = [command._replace(text=command.text.replace(HTTP_SHOWN, shell.http)) for command in commands_of(block)]
    for command, following in zip(commands, [*commands[1:], None], strict=True):
        printed, status = shell.run(command.text)
        where = f"{page.name}:{command.line}: {command.text}"
        if following is None or following.text != "echo $?":
            assert status == 0, f"{where}\nstatus {status}; printed:\n{printed}\nlog:\n{''.join(shell.log[-20:])}"
        if command.expected:
            assert is_as_shown(command.expected, printed), f"{where}\nprinted:\n{printed}\nshown:\n{command.expected}"


def check_modules(shell: Shell, modules: list[str]) -> None:
    """Import the modules that a page shows, and register their workers."""
    lines = [
        "import importlib, inspect",
        "from promissory import Worker",
        "from promissory.workers.component import component_of",
        f"for name in {sorted(set(modules))!r}:",
        "    for member in vars(importlib.import_module(name)).values():",
        "        if inspect.isclass(member) and issubclass(member, Worker) and member is not Worker:",
        "            component_of(member)",
    ]
    printed, status = shell.run("python -W error - <<'END'\n" + "\n".join(lines) + "\nEND")

    assert status == 0, printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links(page: Path) -> None:
    """A link within the project leads to a file that is there."""
    broken = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]

    assert broken == []


def operator_page() -> str:
    return (ROOT / "docs" / "operations.md").read_text()


def protocol_page() -> str:
    return (ROOT / "docs" / "protocol.md").read_text()


def test_log_events() -> None:
    """The operator's page lists every log event there is, and no other."""
    emitted = set()
    for path in (ROOT / "executor").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            of = node.func.value
            logger = of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""
            if logger.strip("_") == "log" and node.func.attr in {*_LEVELS, "log"}:
                texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
                emitted |= set(texts[:1])
    section = operator_page().partition("## Log events")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == emitted


def test_limits() -> None:
    """The operator's page shows every key of the configuration with its default."""
    shown = {name: value for name, value in _toml_of(operator_page()).items() if not isinstance(value, dict)}

    assert shown == {name: getattr(Config(), name) for name in Config.__struct_fields__}


def _toml_of(text: str) -> dict[str, object]:
    return tomllib.loads(re.search(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1])  # type: ignore[index]


def test_metrics() -> None:
    """The operator's page names every metric."""
    source = ast.parse((ROOT / "executor" / "turns" / "executor.py").read_text())
    function = next(n for n in ast.walk(source) if isinstance(n, ast.FunctionDef) and n.name == "statistics")
    keys = {
        key.value
        for node in ast.walk(function)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    } - {"counters", "gauges", "histograms"} | set(Latencies().as_map())
    section = operator_page().partition("## Metrics")[2].partition("\n## ")[0]

    assert keys
    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == keys


def test_operations() -> None:
    """The protocol's page lists every operation there is, and no other."""
    sources = sorted((ROOT / "executor" / "operations").glob("*.py"))
    known = {
        key.value
        for node in (node for source in sources for node in ast.walk(ast.parse(source.read_text())))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(value, ast.Tuple)
    }
    section = protocol_page().partition("## Operations")[2].partition("\n## ")[0]

    assert known
    assert set(re.findall(r"^\| `([a-z.]+)`", section, re.MULTILINE)) == known


def test_error_codes() -> None:
    """The protocol's page lists every code that an error can have, and the version that it is about."""
    section = protocol_page().partition("## Errors")[2].partition("\n## ")[0]
    shown = set(re.findall(r"`([a-z_]+)`", section))

    assert MalformedFrame.kind in _BY_KIND
    assert set(_BY_KIND) <= shown
    assert f'"{VERSION}"' in protocol_page()


def test_dependencies() -> None:
    """Every dependency has its reason."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = [name for names in project["project"]["optional-dependencies"].values() for name in names]
    required = [*project["project"]["dependencies"], *extras, *project["build-system"]["requires"]]
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in required}  # type: ignore[index]
    first_cells = re.findall(r"^\| ([\w, -]+) \|", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE)

    assert names <= {name for cell in first_cells for name in cell.split(", ")}


def test_this_test_sees() -> None:
    """What a page shows is compared: a wrong line fails, a placeholder does not, white space is loose."""
    block = Block(1, "console", "$ echo a \\\n> b\na b\n$ true\n")

    assert [c.text for c in commands_of(block)] == ["echo a \\\nb", "true"]
    assert commands_of(block)[0].expected == "a b\n"
    assert is_as_shown("a  …  c\n", "a b\nb  c")
    assert is_as_shown("inv_1…\n", "inv_1Bh_u")
    assert not is_as_shown("a … c", "a b d")
    assert not is_as_shown("a", "a b")
