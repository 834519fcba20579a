"""The main job, shown for real: a worker waits, its daemon is killed, and it goes on where it was.

Starts a daemon in a process of its own, submits an order that waits for approval, kills the daemon with SIGKILL,
starts it again, approves, and proves from the worker's oplog that the side effect ran once. Exits with 1 if any of
that is not so.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORKER = "approval/order-7"
ORDER = {"order_id": "order-7", "item": "green tea", "quantity": 2}


class DemoFailed(Exception):
    """Something that the demo claims is not so."""


class Demo:
    """One run, on a data directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.outbox = directory / "outbox.txt"
        self.environment = {
            **os.environ,
            "PROMISSORY_DATA": str(directory / "data"),
            "APPROVAL_OUTBOX": str(self.outbox),
        }
        self.daemon: subprocess.Popen[bytes] | None = None

    def start_daemon(self) -> None:
        """Start the daemon and wait until it answers."""
        say("$ promissory serve examples.approval &")
        self.daemon = subprocess.Popen(
            [sys.executable, "-m", "promissory", "serve", "examples.approval", "--no-http"],
            cwd=ROOT,
            env=self.environment,
        )
        for _ in range(100):
            if self.run("status", check=False) is not None:
                return
            if self.daemon.poll() is not None:
                break
            time.sleep(0.1)
        raise DemoFailed("the daemon does not answer")

    def kill_daemon(self) -> None:
        """Kill the daemon the hard way."""
        assert self.daemon is not None
        say(f"$ kill -9 {self.daemon.pid}")
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()

    def stop_daemon(self) -> None:
        """Ask the daemon to stop, and see that it does so in order."""
        assert self.daemon is not None
        self.daemon.terminate()
        if self.daemon.wait(timeout=20) != 0:
            raise DemoFailed("the daemon did not stop in order")

    def run(self, *args: str, check: bool = True) -> str | None:
        """Run one command of the command line and return what it printed; None if it failed and may."""
        done = subprocess.run(
            [sys.executable, "-m", "promissory", *args],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=None if check else subprocess.DEVNULL,
            text=True,
            timeout=60,
        )
        if done.returncode != 0:
            if check:
                raise DemoFailed(f"promissory {' '.join(args)} ended with status {done.returncode}")
            return None
        return done.stdout

    def show(self, *args: str) -> str:
        """Run one command, showing it and what it prints."""
        say("$ promissory " + " ".join(f"'{arg}'" if " " in arg or "{" in arg else arg for arg in args))
        printed = self.run(*args) or ""
        print(printed, end="" if printed.endswith("\n") else "\n", flush=True)
        return printed

    def rows(self, *args: str) -> list[dict[str, Any]]:
        """Run one command with --json and return its rows."""
        rows: list[dict[str, Any]] = json.loads(self.run(*args, "--json") or "[]")
        return rows

    def wait_for_promise(self) -> str:
        """Return the promise that the worker waits for, once it is suspended."""
        for _ in range(100):
            pending = self.rows("promise", "list")
            if pending and self.rows("worker", "list", "--status", "suspended"):
                return str(pending[0]["promise"])
            time.sleep(0.1)
        raise DemoFailed("the worker does not wait for its promise")

    def prove(self) -> None:
        """Prove from the oplog and from the file that the side effect ran once."""
        lines = (self.run("oplog", WORKER, "--json") or "").splitlines()
        entries = [json.loads(line) for line in lines]
        runs = [entry["index"] for entry in entries if entry["kind"] == "Started" and entry.get("call") == "run"]
        ended = [entry for entry in entries if entry["kind"] == "Ended" and entry["start"] in runs]
        if len(runs) != 1 or len(ended) != 1:
            raise DemoFailed(f"the side effect has {len(runs)} Started and {len(ended)} Ended")
        sent = self.outbox.read_text().splitlines()
        if len(sent) != 1:
            raise DemoFailed(f"the side effect wrote {len(sent)} lines")
        say(f"proved: the side effect has one Ended (index {ended[0]['index']}) and wrote one line: {sent[0]!r}")


def say(line: str) -> None:
    """Print one line of the story."""
    print(f"\n\033[1m{line}\033[0m" if sys.stdout.isatty() else f"\n{line}", flush=True)


def play(demo: Demo) -> None:
    """Play all five acts."""
    demo.start_daemon()
    submitted = demo.show("invoke", WORKER, "submit", json.dumps(ORDER), "--send", "--json")
    invocation = json.loads(submitted)["invocation"]
    promise = demo.wait_for_promise()
    demo.show("promise", "list")
    demo.kill_daemon()
    demo.start_daemon()
    demo.show("worker", "list")
    say(f"$ promissory invocation attach {invocation} &")
    attached = subprocess.Popen(
        [sys.executable, "-m", "promissory", "invocation", "attach", invocation, "--json"],
        cwd=ROOT,
        env=demo.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    demo.show("promise", "complete", promise, "--data", "yes")
    result, _ = attached.communicate(timeout=60)
    if attached.returncode != 0:
        raise DemoFailed(f"attach ended with status {attached.returncode}")
    say(f"the client that attached again has the result: {result.strip()}")
    if json.loads(result) != "order-7: yes":
        raise DemoFailed(f"the result is {result!r}")
    demo.show("oplog", WORKER)
    demo.prove()
    demo.stop_daemon()


def main() -> int:
    """Run the demo in a temporary directory; return 0 if all of it was so."""
    with tempfile.TemporaryDirectory(prefix="promissory-demo-") as directory:
        demo = Demo(Path(directory))
        try:
            play(demo)
        except DemoFailed as error:
            print(f"\nthe demo failed: {error}", file=sys.stderr)
            return 1
        finally:
            if demo.daemon is not None and demo.daemon.poll() is None:
                demo.daemon.kill()
                demo.daemon.wait()
    say("all of it is so")
    return 0


if __name__ == "__main__":
    sys.exit(main())
