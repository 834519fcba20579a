"""What a handler must not reach while it is stepped: an audit hook, and the one thread-local that says who is stepped.

1. `current.context` is set exactly while code of a worker runs, in the thread that runs it; None means hands off.
2. A violation is recorded where it happens and raised once more when the step ends, so catching it does not help.
3. The hook is no sandbox. It finds mistakes; whoever wants to get around it can.
"""

from __future__ import annotations

import gc
import sys
import threading
import zoneinfo
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

from promissory.oplog.errors import NonDeterminismError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_TOUCHES_THE_WORLD = {
    "open": "opens a file",
    "socket.__new__": "opens a socket",
    "socket.connect": "opens a connection",
    "socket.bind": "binds a socket",
    "socket.getaddrinfo": "resolves a host name",
    "socket.gethostbyname": "resolves a host name",
    "socket.gethostbyaddr": "resolves a host name",
    "socket.getnameinfo": "resolves a host name",
    "socket.gethostname": "asks for the host's name",
    "subprocess.Popen": "starts a subprocess",
    "os.system": "starts a subprocess",
    "os.posix_spawn": "starts a subprocess",
    "os.spawn": "starts a subprocess",
    "os.fork": "forks",
    "os.forkpty": "forks",
    "os.exec": "replaces the process",
    "pty.spawn": "starts a subprocess",
    "sqlite3.connect": "opens a database",
    "_thread.start_new_thread": "starts a thread",
    "_thread.start_joinable_thread": "starts a thread",
    "os.listdir": "reads a directory",
    "os.scandir": "reads a directory",
    "os.mkdir": "makes a directory",
    "os.remove": "removes a file",
    "os.rename": "renames a file",
    "os.rmdir": "removes a directory",
    "os.truncate": "changes a file",
    "os.chmod": "changes a file",
    "os.link": "links a file",
    "os.symlink": "links a file",
    "os.utime": "changes a file",
    "os.putenv": "changes the environment",
    "os.unsetenv": "changes the environment",
    "os.kill": "sends a signal",
    "signal.pthread_kill": "sends a signal",
}

_SOURCE_SUFFIXES = (".py", ".pyc", ".so", ".pyd")
_ZONE_PATHS = (*zoneinfo.TZPATH, "/etc/localtime", "/usr/lib/zoneinfo")
_WRITING = frozenset("wax+")

_MISSING_LOOP = ("no running event loop", "must be called from async context")
"""What asyncio and trio say when they are not to be seen."""


class Context:
    """One piece of worker code that may be stepped: a machine's steps, a query, a constructor.

    Only a machine has host functions; `refusal` says why this context has none.
    """

    __slots__ = ("read_only", "refusal", "violated", "where")

    def __init__(self, where: str, refusal: str, *, read_only: bool = False) -> None:
        self.where = where
        self.refusal = refusal
        self.read_only = read_only
        self.violated: NonDeterminismError | None = None

    def describe(self) -> str:
        """Name the code that runs, as the first words of a message."""
        return self.where

    def refused(self) -> BaseException:
        """Return what a host function raises that has no machine here."""
        return RuntimeError(f"{self.describe()} cannot use this function of `workers`: {self.refusal}")

    def violation(self, message: str) -> NonDeterminismError:
        """Record that the code reached past its host and return the error to raise."""
        error = NonDeterminismError(f"{self.describe()} {message}: wrap it in `run`")
        if self.violated is None:
            self.violated = error
        return error

    def run(self, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """Call code of a worker under the guard.

        Raises:
          NonDeterminismError: the code reached past its host, whether or not it caught that.
        """
        outer = current.context
        current.context = self
        try:
            return function(*args)
        except RuntimeError as error:
            if looks_like_a_missing_loop(error):
                self.violation("enters an event loop")
            raise
        finally:
            current.context = outer
            if self.violated is not None:
                violated, self.violated = self.violated, None
                raise violated


class _Current(threading.local):
    context: Context | None = None
    aside: Context | None = None
    """The context during a garbage collection."""


current = _Current()
"""The context of the code that runs in this thread; None outside of worker code."""


def violation(message: str) -> NonDeterminismError:
    """Record a violation of the step that runs in this thread and return the error to raise.

    Args:
      message: what the handler did, as the words after its name: "opens a nursery".
    """
    context = current.context
    if context is None:
        return NonDeterminismError(message)
    return context.violation(message)


def looks_like_a_missing_loop(error: BaseException) -> bool:
    """Tell whether an error is what asyncio or trio raise where they are hidden."""
    return isinstance(error, RuntimeError) and str(error) in _MISSING_LOOP


def install() -> None:
    """Watch this process from now on; calling it again does nothing."""
    global _installed
    if _installed:
        return
    with _install_lock:
        if not _installed:
            sys.addaudithook(_audit)
            _watch_threads()
            gc.callbacks.append(_set_aside)
            _installed = True


_installed = False
_install_lock = threading.Lock()


def _audit(event: str, args: tuple[Any, ...], current: _Current = current) -> None:
    context = current.context
    if context is None:
        return
    what = _TOUCHES_THE_WORLD.get(event)
    if what is None or _is_pythons_own(event, args):
        return
    raise context.violation(what)


def _is_pythons_own(event: str, args: tuple[Any, ...]) -> bool:
    """Tell imports (which write byte code), tracebacks and time zones: a handler sees nothing of their files."""
    caller = sys._getframe(2)
    if caller.f_code.co_filename.startswith("<frozen importlib"):
        return True
    if event != "open" or not args:
        return False
    path, mode = args[0], args[1]
    if isinstance(path, bytes):
        path = path.decode(errors="replace")
    if not isinstance(path, str) or (mode and not _WRITING.isdisjoint(mode)):
        return False
    if mode is None and args[2] & 3:
        return False
    return path.endswith(_SOURCE_SUFFIXES) or path.startswith(_ZONE_PATHS) or "/tzdata/" in path


def _set_aside(phase: str, info: dict[str, int]) -> None:
    """What the garbage collector finalizes in the middle of a step is not the handler's doing."""
    if phase == "start":
        current.aside, current.context = current.context, None
    else:
        current.context, current.aside = current.aside, None


def _watch_threads() -> None:
    """Python 3.11 audits no start of a thread, so `Thread.start` itself asks."""
    start = threading.Thread.start

    def guarded_start(self: threading.Thread) -> None:
        if current.context is not None:
            raise current.context.violation("starts a thread")
        start(self)

    threading.Thread.start = guarded_start  # type: ignore[method-assign]
