"""The one tree of errors, by who is at fault: the record, the guest, the asker.

    PromissoryError
      OplogError              the record
        OplogCorrupt            an entry or a row that cannot be what was written
        NewerFormat             data written by a newer promissory
        OlderFormat             data written by one that was never released
        StoreFailed             a commit that did not happen; nothing of it is durable
      WorkerError             the guest
        TerminalError           an outcome that no retry can change
          CallError               a call that failed (CallCycleError: it would wait for itself)
          PromiseRejected         the promise was rejected
          PromiseDeleted          the promise is gone
          TimedOut                a deadline passed (also a TimeoutError)
        NonDeterminismError     a replay that differs from the record
        BadHandler              a worker class that cannot be registered
      RequestError            the asker
        NotFound, BadArguments, LimitReached, NotReady, Paused

Every error is made of a message and, where they exist, the worker, the index, what was expected and what was
found; `str` is the message alone.
"""

from __future__ import annotations

from typing import ClassVar


class PromissoryError(Exception):
    """The root of the tree: catching it catches all that promissory raises on purpose."""

    kind: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        worker: str | None = None,
        index: int | None = None,
        expected: str | None = None,
        found: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.worker = worker
        self.index = index
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return self.message


class OplogError(PromissoryError):
    """The record is at fault: what lies in the store, or the store itself."""

    kind = "oplog_error"


class OplogCorrupt(OplogError):
    """An entry or a row that cannot be what was written."""

    kind = "oplog_corrupt"


class NewerFormat(OplogError):
    """The data was written by a newer promissory than this one."""

    kind = "newer_format"


class OlderFormat(OplogError):
    """The data is in a format that no released promissory wrote."""

    kind = "older_format"


class StoreFailed(OplogError):
    """A commit did not happen: nothing of it, nor of what came after it, is durable."""

    kind = "store_failed"


class WorkerError(PromissoryError):
    """The guest is at fault: a worker's class or what its handlers do."""

    kind = "worker_error"


class TerminalError(WorkerError):
    """An outcome that no retry can change; uncaught, it completes the invocation with itself.

    Args:
      message: what `str` gives, recorded as it is.
      code: the status that a caller over HTTP sees.
    """

    kind = "terminal"

    def __init__(self, message: str, code: int = 500, *, worker: str | None = None, index: int | None = None) -> None:
        super().__init__(message, worker=worker, index=index)
        self.code = code


class CallError(TerminalError):
    """A call to another worker that could not be made."""

    kind = "call"


class CallCycleError(CallError):
    """A call that would wait for itself; the message names the chain."""

    kind = "call_cycle"


class PromiseRejected(TerminalError):
    """The awaited promise was rejected; the message is the reason."""

    kind = "rejected"


class PromiseDeleted(TerminalError):
    """The awaited promise, or the worker that owned it, is gone."""

    kind = "deleted"


class TimedOut(TerminalError, TimeoutError):
    """A deadline passed before there was an outcome."""

    kind = "timed_out"


class InvocationCancelled(TerminalError):
    """The invocation was cancelled before it had another outcome."""

    kind = "cancelled"


class NonDeterminismError(WorkerError):
    """A handler did, when replayed, something else than what is recorded, or reached past its host."""

    kind = "non_determinism"


class BadHandler(WorkerError):
    """A worker class that cannot be registered; the message says which member and why."""

    kind = "bad_handler"


class RequestError(PromissoryError):
    """The asker is at fault: nothing was written, no worker was touched."""

    kind = "request_error"


class NotFound(RequestError):
    """There is no such component, worker, function, promise or invocation."""

    kind = "not_found"


class BadArguments(RequestError):
    """Arguments, names or payloads that do not fit; the message gives the path and the expected type."""

    kind = "bad_arguments"


class LimitReached(RequestError):
    """Something is larger, longer or more than the limit that the message names."""

    kind = "limit_reached"


class NotReady(RequestError):
    """What was asked for exists but has no outcome yet."""

    kind = "not_ready"


class Paused(RequestError):
    """The worker gave up and waits for `resume`; the message carries its last error. Attach again later."""

    kind = "paused"


TEXT_CHARS_MAX = 16_384


def say(error: BaseException) -> str:
    """Return what an error says, its class first: valid Unicode of limited length, even if its `str` raises."""
    try:
        text = str(error)
    except Exception as broken:
        text = f"(its message cannot be had: {type(broken).__name__})"
    return readable(f"{type(error).__name__}: {text}")


def readable(text: str) -> str:
    """Return a text that can be recorded and sent: valid Unicode of at most `TEXT_CHARS_MAX` characters or so."""
    if len(text) > TEXT_CHARS_MAX:
        text = f"{text[:TEXT_CHARS_MAX]}… ({len(text)} characters)"
    return text.encode(errors="backslashreplace").decode()


_TERMINAL_KINDS: dict[str, type[TerminalError]] = {
    cls.kind: cls
    for cls in (
        TerminalError,
        CallError,
        CallCycleError,
        PromiseRejected,
        PromiseDeleted,
        TimedOut,
        InvocationCancelled,
    )
}


def terminal_error(kind: str, message: str, code: int) -> TerminalError:
    """Build the terminal error of a recorded kind; a kind that this version does not know is a plain one."""
    return _TERMINAL_KINDS.get(kind, TerminalError)(message, code)
