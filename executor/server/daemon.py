"""`promissory serve`: one executor behind its admin socket, from start to an orderly end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import structlog
import trio

from promissory.executor.components.importing import load
from promissory.executor.config import Config, load_config
from promissory.executor.http.listening import GOING_SECONDS, address_of, bind
from promissory.executor.server.gateway_keeper import Gatekeeper
from promissory.executor.server.server import Server
from promissory.executor.telemetry.logs import configure_log
from promissory.executor.turns.executor import Executor, running
from promissory.oplog.errors import PromissoryError

SWITCH_INTERVAL_SECONDS = 0.0005
"""How soon the committer's thread gets the interpreter back from a busy loop."""


def run(
    *,
    modules: Sequence[str],
    data: Path,
    socket: Path | None,
    http: str | None,
    token: str | None,
    config: Path | None,
    log_level: str | None,
) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit status.

    Modules are imported from the current directory, registered and remembered; without any, what is remembered is
    served. Starts itself again with `PYTHONHASHSEED=0` if need be, so that sets of strings keep their order.

    Args:
      modules: `MODULE[:CLASS]`s.
      data: the data directory.
      socket: the admin socket; `admin.sock` in the data directory if not given.
      http: HOST:PORT of the gateway that is kept up; None for none.
      token: the bearer token of the gateway, if any.
      config: the configuration file; `promissory.toml` in the data directory if not given.
      log_level: from which level on is logged.
    """
    _with_fixed_hashes()
    status = 0
    directory = str(Path.cwd())
    try:
        configure_log(log_level or "info")
        limits = load_config(config or data / "promissory.toml", os.environ)
        for spec in modules:  # before anything is made: one that does not import leaves nothing behind
            load(spec, directory)
        trio.run(_serve, list(modules), directory, data, socket or data / "admin.sock", http, token, limits)
    except* PromissoryError as group:
        error = _first(group)
        print(f"promissory: {' '.join(str(error).split())}", file=sys.stderr)
        status = error.exit_status if isinstance(error, PromissoryError) else 1
    except* KeyboardInterrupt:
        status = 130
    return status


async def _serve(
    modules: list[str],
    directory: str,
    data: Path,
    socket: Path,
    http: str | None,
    token: str | None,
    config: Config,
) -> None:
    log = structlog.get_logger("promissory.daemon")
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    async with running(data, config) as executor:
        # In a thread: a daemon killed this moment may have left a gateway that has not quite gone.
        listener = None if http is None else await trio.to_thread.run_sync(bind, http, GOING_SECONDS)
        executor.registry.add_modules(modules, directory)
        executor.registry.load_remembered()
        server = Server(executor, socket)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.run)
                with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                    executor.start()
                    names = executor.registry.names()
                    if listener is not None:
                        nursery.start_soon(Gatekeeper(listener, socket, config, token).run)
                    log.info(
                        "serving",
                        data=str(data),
                        socket=str(socket),
                        http=None if listener is None else address_of(listener),
                        components=names,
                        pid=os.getpid(),
                    )
                    async for received in signals:
                        log.info("stopping", signal=signal.Signals(received).name)
                        break
                    nursery.start_soon(_second_signal, signals, executor)
                    await executor.stop()
                    nursery.cancel_scope.cancel()
                nursery.cancel_scope.cancel()
        finally:
            server.close()
            if listener is not None:
                listener.close()
    log.info("stopped")


async def _second_signal(signals: AsyncIterator[int], executor: Executor) -> None:
    """Whoever asks twice wants no grace."""
    async for _ in signals:
        executor.effects.cancel_all()


def _with_fixed_hashes() -> None:
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        with suppress(OSError):
            # -P: a folder of the user's must not stand in for one of our packages
            os.execv(sys.executable, [sys.executable, "-P", "-m", "promissory", *sys.argv[1:]])


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
