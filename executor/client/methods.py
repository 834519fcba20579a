"""What can be asked of an executor, whichever way the requests travel: over its socket or within the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from promissory.executor.client.promise import ClientPromise, settled_payload
from promissory.oplog.errors import BadArguments, Disconnected, TerminalError
from promissory.oplog.ids import WORKER_SCHEME
from promissory.workers.definition import Worker
from promissory.workers.promises import Payload
from promissory.workers.stub import Target, make_stub

if TYPE_CHECKING:
    from promissory.oplog.ids import InvocationId, PromiseId

W = TypeVar("W", bound=Worker)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Asker:
    """Everything that can be asked of an executor, made of `request`."""

    async def request(self, op: str, /, *, on_item: Callable[[Any], None] | None = None, **fields: Any) -> Any:
        """Perform an operation of the admin protocol and return its value.

        Args:
          op: the operation's name.
          on_item: called with each item of an operation that sends some before its answer.
          **fields: the operation's fields.

        Raises:
          Disconnected: the executor went away.
          PromissoryError: the executor's error, of the class that its code names.
        """
        raise NotImplementedError

    def worker(self, cls: type[W], name: str = "", *, key: str | None = None) -> W:
        """Return a stub of a worker, which a type checker sees as an instance of its class.

        `await stub.handler(...)` calls a handler as `invoke` does, `await promissory.send(stub.handler, ...)` and
        `promissory.send_after` do not wait, `await promissory.ask(stub.query, ...)` asks a query. Results are read by
        the annotations of the class.

        Args:
          cls: the worker's class, or one that `promissory stub` wrote.
          name: the worker's name; none for an ephemeral class, where each invocation gets a worker of its own.
          key: the idempotency key of every invocation that the stub makes.

        Raises:
          BadHandler: the class cannot be served.
          BadArguments: the name is missing, given in vain or out of limits.

        Raises (when called):
          BadArguments: the arguments do not fit the handler's signature or have no form as data.
        """
        return make_stub(cls, name, _Requests(self, key))

    async def invoke(
        self,
        uri: str,
        function: str,
        /,
        *args: Any,
        key: str | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> Any:
        """Call a handler and wait for its result; for a query, answer it.

        The invocation is durable before anything comes back. Cancelled, or when the connection is lost, only the
        waiting ends: the invocation goes on.

        Args:
          uri: `worker://COMPONENT/NAME`, or `worker://COMPONENT` for a fresh worker of an ephemeral component.
          function: the handler's or query's name.
          *args: its arguments, anything that msgspec writes as JSON.
          key: the idempotency key: with one that was used before, the outcome of then.
          announce: called with the invocation's id as soon as it is durable.

        Returns:
          The result as JSON's builtins.

        Raises:
          TerminalError: the handler's own error.
          Paused: the worker gave up for now; the invocation stays and can be attached to.
          NotFound, BadArguments, LimitReached: the executor refused it; nothing was written.
          Disconnected: the connection is lost. Its `invocation` is set if that was announced; if not, whether there
            is one is not known, and asking again with the same key tells.
        """
        fields = _call(uri, function, args, key)
        if announce is None:
            return _decode((await self.request("invoke", **fields))["result"])
        announced: list[str] = []

        def on_item(item: Any) -> None:
            announced.append(item["invocation"])
            announce(item["invocation"])

        fields["announce"] = True
        try:
            return _decode((await self.request("invoke", on_item=on_item, **fields))["result"])
        except Disconnected as exc:
            if announced:
                raise Disconnected(exc.message, invocation=announced[0]) from exc
            raise

    async def send(
        self, uri: str, function: str, /, *args: Any, key: str | None = None, delay: float | None = None
    ) -> str:
        """Have a handler called and return the invocation's id, without waiting for the result.

        The invocation is durable on return.

        Args:
          uri: as for `invoke`.
          function: the handler's name.
          *args: its arguments.
          key: the idempotency key.
          delay: seconds until the invocation is queued.
        """
        return await self._send(_call(uri, function, args, key), None if delay is None else round(delay * 1_000_000))

    async def query(self, uri: str, function: str, /, *args: Any) -> Any:
        """Ask a query and return its answer as JSON's builtins; it never creates a worker."""
        return _decode((await self.request("query", **_call(uri, function, args, None)))["result"])

    async def attach(self, invocation: str | InvocationId) -> Any:
        """Wait for an invocation that there is already and return its result, as `invoke` does.

        Raises:
          NotFound: there is no such invocation.
          Disconnected: the connection is lost; the invocation goes on.
        """
        name = str(invocation)
        try:
            return _decode((await self.request("invocation.attach", invocation=name))["result"])
        except Disconnected as exc:
            raise Disconnected(exc.message, invocation=name) from exc

    async def cancel(self, invocation: str | InvocationId) -> bool:
        """Cancel an invocation, and with it the calls that it waits for; False if it had completed before.

        A scheduled or queued one never begins; a running one finds `promissory.Cancelled` at its await. The
        cancellation is durable on return; `attach` tells how the invocation ends. A second one ends it without asking
        its handler.

        Raises:
          NotFound: there is no such invocation.
        """
        answer = await self.request("invocation.cancel", invocation=str(invocation))
        return bool(answer["cancelled"])

    async def await_promise(self, promise: str | PromiseId) -> bytes:
        """Wait until a promise is settled and return its payload.

        Args:
          promise: `COMPONENT/NAME/INDEX`, the component by name or id; an awakeable id; `name:NAME`.

        Raises:
          PromiseRejected: it was rejected; the message is the reason.
          PromiseDeleted: it, or its worker, was deleted.
          NotFound: there is no such promise.
        """
        return settled_payload(await self.request("promise.await", promise=str(promise)))

    async def poll_promise(self, promise: str | PromiseId) -> bytes | None:
        """Return a promise's payload, or None while it is pending; raises as `await_promise` does."""
        answer = await self.request("promise.poll", promise=str(promise))
        return None if answer["state"] == "pending" else settled_payload(answer)

    async def complete_promise(self, promise: str | PromiseId, payload: bytes) -> bool:
        """Resolve a promise; True if this call settled it. The outcome is durable on return, whoever gave it.

        Raises:
          NotFound: there is no such promise; nothing was written.
        """
        answer = await self.request("promise.complete", promise=str(promise), data=payload)
        return bool(answer["settled"])

    async def reject_promise(self, promise: str | PromiseId, message: str) -> bool:
        """Reject a promise with a reason; True if this call settled it. The outcome is durable on return."""
        answer = await self.request("promise.reject", promise=str(promise), message=message)
        return bool(answer["settled"])

    async def delete_promise(self, promise: str | PromiseId) -> bool:
        """Delete a promise; True if there was still something to delete. Whoever waits gets `PromiseDeleted`."""
        answer = await self.request("promise.delete", promise=str(promise))
        return bool(answer["deleted"])

    async def resolve_awakeable(self, awakeable_id: str, value: Any = None) -> bool:
        """Settle an awakeable with a value; True if this call settled it. The outcome is durable on return.

        Raises:
          BadArguments: the id is malformed or forged; the value has no form as JSON.
          NotFound: its worker is gone.
        """
        try:
            data = _encode(value)
        except Exception as exc:  # a value's own hooks may raise anything
            raise BadArguments(f"the value of an awakeable cannot be written as JSON: {exc}") from exc
        return await self.complete_promise(awakeable_id, data)

    async def reject_awakeable(self, awakeable_id: str, reason: str) -> bool:
        """Have the await of an awakeable raise `PromiseRejected`; True if this call settled it.

        Raises:
          BadArguments, NotFound: as `resolve_awakeable`.
        """
        return await self.reject_promise(awakeable_id, reason)

    def durable_promise(self, name: str, expected: Any = Any) -> ClientPromise[Any]:
        """Return the durable promise of a name: whoever names it, wherever, means the same one.

        Args:
          name: 1 to 256 bytes of UTF-8 without control characters.
          expected: the value's type, any annotation.
        """
        return ClientPromise(self.request, name, Payload(expected))

    async def _send(self, fields: dict[str, Any], delay_us: int | None) -> str:
        fields["send"] = True
        if delay_us is not None:
            fields["delay_us"] = delay_us
        answer = await self.request("invoke", **fields)
        return str(answer["invocation"])


class _Requests:
    """Makes a stub's calls by an asker's requests."""

    __slots__ = ("_asker", "_key")

    def __init__(self, asker: Asker, key: str | None) -> None:
        self._asker = asker
        self._key = key

    async def call(self, target: Target) -> Any:
        fields = _fields(target.text, target.function, target.params, self._key)
        return _read(target, await self._asker.request("invoke", **fields))

    async def send(self, target: Target, delay_us: int | None) -> str:
        return await self._asker._send(_fields(target.text, target.function, target.params, self._key), delay_us)

    async def ask(self, target: Target) -> Any:
        fields = _fields(target.text, target.function, target.params, None)
        return _read(target, await self._asker.request("query", **fields))

    def refused(self, error: BadArguments) -> BadArguments:
        return error


def _read(target: Target, answer: dict[str, Any]) -> Any:
    try:
        return target.decode(answer["result"])
    except msgspec.MsgspecError as exc:
        raise TerminalError(f"the result of {target.component}.{target.function} cannot be read: {exc}") from exc


def _call(uri: str, function: str, args: tuple[Any, ...], key: str | None) -> dict[str, Any]:
    if not uri.startswith(WORKER_SCHEME):
        raise BadArguments(f"{uri!r} is not of the form {WORKER_SCHEME}COMPONENT/NAME")
    try:
        params = _encode(args)
    except Exception as exc:  # a value's own hooks may raise anything
        raise BadArguments(f"the arguments of {function} cannot be written as JSON: {exc}") from exc
    return _fields(uri[len(WORKER_SCHEME) :], function, params, key)


def _fields(worker: str, function: str, params: bytes, key: str | None) -> dict[str, Any]:
    fields = {"worker": worker, "function": function, "params": params}
    if key is not None:
        fields["key"] = key
    return fields
