"""A user's directory with modules of workers, beside the data that daemons keep for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import trio

from promissory.executor.cli.offline import read_oplog
from tests.daemons import Daemon, Daemons

JOBS = '''
import os
import sys
import promissory

def through_pipes(begun, go_on):
    """Say that it has begun, and wait to be told to go on."""
    with open(begun, "w") as out:
        out.write("begun")
    with open(go_on) as told:
        return told.read()

class Job(promissory.Worker):
    @promissory.handler
    async def say(self, word: str) -> str:
        return word

    @promissory.handler
    async def wait(self, begun: str, go_on: str) -> str:
        return await promissory.run(through_pipes, begun, go_on)

    @promissory.query
    def path(self) -> list:
        return sys.path

    @promissory.query
    def process(self) -> list:
        return [os.getpid(), os.environ.get("PYTHONHASHSEED"), hash("x"), promissory.workers.__file__]
'''


class App:
    """A user's directory with modules, beside the data that a daemon keeps for them."""

    def __init__(self, directory: Path, daemons: Daemons) -> None:
        self.directory = directory / "app"
        self.directory.mkdir()
        self.data = directory / "data"
        self._daemons = daemons
        self.write("jobs", JOBS)

    def write(self, module: str, text: str) -> None:
        (self.directory / f"{module}.py").write_text(text)

    def start(self, *arguments: str, **options: Any) -> Daemon:
        return self._daemons.start(options.pop("data", self.data), *arguments, cwd=self.directory, **options)

    def serve(self, *arguments: str, **options: Any) -> Daemon:
        return self.start(*arguments, **options).serving()

    def gateway(self, *arguments: str, **options: Any) -> Daemon:
        """Start `promissory gateway` for the daemon that there is, or will be."""
        return self.start(*arguments, command="gateway", **options)

    def refusal(self, *arguments: str, status: int = 4, **options: Any) -> str:
        """Start a daemon that must not start, and ends with the status; return its one line."""
        daemon = self.start(*arguments, **options)
        assert daemon.wait() == status, daemon.log
        (line,) = daemon.texts()
        assert line.startswith("promissory: "), line
        assert daemon.events("serving") == []
        return line


class Pipes:
    """The two pipes through which a test and a side effect in the daemon wait for each other."""

    def __init__(self, directory: Path) -> None:
        self.begun, self.go_on = str(directory / "begun"), str(directory / "go-on")
        os.mkfifo(self.begun)
        os.mkfifo(self.go_on)

    async def has_begun(self) -> None:
        with trio.fail_after(60):
            said = await trio.to_thread.run_sync(Path(self.begun).read_text, abandon_on_cancel=True)
        assert said == "begun"

    async def tell(self, text: str) -> None:
        with trio.fail_after(60):
            await trio.to_thread.run_sync(Path(self.go_on).write_text, text, abandon_on_cancel=True)


def kinds(data: Path, name: str) -> list[str]:
    return [row["kind"] for row in read_oplog(data, "job", name, 1)]
