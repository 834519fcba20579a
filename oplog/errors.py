"""The one tree of errors, by who is at fault: the record, the guest, the asker, or promissory itself.

                                          code              HTTP    exit  again
    PromissoryError                       error             500     1
      InternalError                       internal          500     1            promissory itself failed
      OplogError                          oplog_error       500     7            the record
        OplogCorrupt                      oplog_corrupt     500     1            what lies there was never written so
        NewerFormat                       newer_format      500     7            a newer promissory wrote it
        OlderFormat                       older_format      500     7            none that was released wrote it
        StoreFailed                       store_failed      503     7     yes    a commit did not happen
      WorkerError                         worker_error      500     1            the guest
        TerminalError                     terminal          its own 1            an outcome that no retry can change
          CallError                       call                                   a call that could not be made
            CallCycleError                call_cycle                             it would wait for itself
          PromiseRejected                 rejected                               the promise was rejected
          PromiseDeleted                  deleted                                the promise is gone
          TimedOut                        timed_out                              a deadline passed (a TimeoutError too)
          InvocationCancelled             cancelled                              somebody called it off
        NonDeterminismError               non_determinism   500     1            a replay that differs from the record
        BadHandler                        bad_handler       500     4            a class that cannot be registered
      RequestError                        request_error     400     4            the asker
        NotFound                          not_found         404     3            there is no such thing
        BadArguments                      bad_arguments     400     4            what does not fit
        Exists                            exists            409     4            there is one already
        LimitReached                      limit_reached                          over a limit, whose kind is `limit`:
                                            size            413     4              bytes
                                            length          400     4              characters of a name or a key
                                            rate            429     4     yes      requests under way at once
                                            capacity        503     4     yes      all there is room for
        NotReady                          not_ready         470     5     yes    no outcome yet
        Paused                            paused            500     6            the worker waits to be resumed
        Disconnected                      disconnected      503     7     yes    no executor there, or no longer
        Moved                             moved             503     7     yes    the shard has another owner

The code is what a class is called on every wire (`kind`), HTTP is `http_status`, exit is the command line's
`exit_status`, and again says whether the same request may succeed later though nobody mends anything (`can_retry`).
Nothing else decides them: messages are for people and may change at any time.

Every error is made of a message and, where they exist, the worker, the index, what was expected and what was
found; `str` is the message alone.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self, TypeAlias, get_args


class PromissoryError(Exception):
    """The root of the tree: catching it catches all that promissory raises on purpose.

    Args:
      message: for people; nothing may depend on its words.
      worker: COMPONENT/NAME of the worker that it is about.
      index: of the entry that it is about.
      expected: what would have been right.
      found: what was there instead.
    """

    kind: ClassVar[str] = "error"
    """Its code on every wire."""
    http_status: int = 500
    """What a client over HTTP is answered."""
    exit_status: int = 1
    """What a command ends with."""
    can_retry: bool = False
    """Whether the same request may succeed later, though nobody mends anything."""
    invocation: str | None = None
    """The id of the invocation that it is the outcome of, or whose outcome was waited for."""

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


class InternalError(PromissoryError):
    """Promissory itself failed: nobody else is at fault. The log has the traceback, the message only says so."""

    kind = "internal"


class OplogError(PromissoryError):
    """The record is at fault: what lies in the store, or the store itself."""

    kind = "oplog_error"
    exit_status = 7
    ordinal: int | None = None
    """The ordinal of the worker whose record it belongs to, where that is known: its worker is paused."""

    def of(self, worker: str) -> Self:
        """Return the error of an entry with its worker in it, for whoever is to look there."""
        self.worker = worker
        self.message = self.message.replace(f"entry {self.index}", f"entry {self.index} of {worker}", 1)
        return self


class OplogCorrupt(OplogError):
    """An entry or a row that cannot be what was written."""

    kind = "oplog_corrupt"
    exit_status = 1  # a finding, of `verify` for one: the store itself works


class NewerFormat(OplogError):
    """The data was written by a newer promissory than this one."""

    kind = "newer_format"


class OlderFormat(OplogError):
    """The data is in a format that no released promissory wrote."""

    kind = "older_format"


class StoreFailed(OplogError):
    """A commit did not happen: nothing of it, nor of what came after it, is durable."""

    kind = "store_failed"
    http_status = 503
    can_retry = True


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
        # A handler may give any code; what is none of HTTP's for a failure is one of the server.
        self.http_status = code if type(code) is int and 400 <= code <= 599 else 500


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
    exit_status = 4


class RequestError(PromissoryError):
    """What was asked for is not done, for the asker's sake or for want of an executor; the class says which."""

    kind = "request_error"
    http_status = 400
    exit_status = 4


class NotFound(RequestError):
    """There is no such component, worker, function, promise or invocation."""

    kind = "not_found"
    http_status = 404
    exit_status = 3


class BadArguments(RequestError):
    """Arguments, names or payloads that do not fit; the message gives the path and the expected type."""

    kind = "bad_arguments"


class Exists(RequestError):
    """What should be created is there already."""

    kind = "exists"
    http_status = 409


LimitKind: TypeAlias = Literal["size", "length", "rate", "capacity"]
"""What a limit is of: bytes, characters of a name or key, requests under way at once, or all there is room for."""

LIMIT_KINDS: tuple[LimitKind, ...] = get_args(LimitKind)

_LIMIT_STATUSES: dict[str, int] = {"size": 413, "length": 400, "rate": 429, "capacity": 503}


class LimitReached(RequestError):
    """Something is larger, longer or more than the limit that the message names.

    Args:
      message: names the limit.
      limit: its kind.
      worker: COMPONENT/NAME of the worker that it is about.
    """

    kind = "limit_reached"

    def __init__(self, message: str, limit: LimitKind = "size", *, worker: str | None = None) -> None:
        super().__init__(message, worker=worker)
        self.limit = limit
        self.http_status = _LIMIT_STATUSES[limit]
        self.can_retry = limit in ("rate", "capacity")


class NotReady(RequestError):
    """What was asked for exists but has no outcome yet."""

    kind = "not_ready"
    http_status = 470
    exit_status = 5
    can_retry = True


class Paused(RequestError):
    """The worker gave up and waits for `resume`; the message carries its last error. Attach again after that."""

    kind = "paused"
    http_status = 500
    exit_status = 6


class Disconnected(RequestError):
    """There is no connection to an executor, or no longer: what was asked for may have been done.

    Args:
      message: why.
      invocation: the id of the invocation that was waited for, if it was announced: it is durable and goes on.
    """

    kind = "disconnected"
    http_status = 503
    exit_status = 7
    can_retry = True

    def __init__(self, message: str, *, invocation: str | None = None) -> None:
        if invocation is not None:
            message = f"{message}; the invocation goes on: {invocation}"
        super().__init__(message)
        self.invocation = invocation


class Moved(RequestError):
    """The worker's shard is owned elsewhere now: ask again, there."""

    kind = "moved"
    http_status = 503
    exit_status = 7
    can_retry = True


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
