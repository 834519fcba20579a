"""Whom a call is for: the component and handler that a request names, and what its caller is told if there is none."""

from __future__ import annotations

from promissory.executor.components.registry import Registry
from promissory.oplog import entries as e
from promissory.oplog.errors import CallError, NotFound, PromissoryError, RequestError, TerminalError, say
from promissory.oplog.ids import WorkerId
from promissory.workers.component import Component, Handler
from promissory.workers.machine.ending import failure_of


def handler_of(
    registry: Registry, request: e.Call | e.Send | e.Ask, kind: str, payload_bytes_max: int
) -> tuple[Component, Handler]:
    """Return the component and the handler or query that a request is for.

    Raises:
      NotFound: there is no such component or function.
      CallError: it is of the other kind, or too large.
    """
    worker, function = request.worker, request.function
    component = registry.by_id(worker.component_id)
    if component is None:
        raise registry.not_served(worker.component_id)
    handler = component.handlers.get(function)
    if handler is None:
        raise NotFound(f"component {component.name!r} has no function {function!r}")
    if handler.kind != kind:
        raise CallError(f"{component.name}.{function} is a {handler.kind}, not a {kind}", 400)
    if is_misnamed(component, worker, kind):
        raise CallError(naming_error(component, kind), 400)
    if len(request.params) > payload_bytes_max:
        raise CallError(f"the arguments have {len(request.params)} bytes, the limit is {payload_bytes_max}", 413)
    return component, handler


def is_misnamed(component: Component, worker: WorkerId, kind: str) -> bool:
    """Whether a worker has a name where a fresh ephemeral one is called, or none where one is needed."""
    return (not worker.worker_name) is not (component.ephemeral and kind == "handler")


def naming_error(component: Component, kind: str) -> str:
    """Say how a component's workers are addressed, to who did it the other way."""
    if component.ephemeral and kind == "handler":
        return f"{component.name} is ephemeral: each invocation gets a worker of its own, give COMPONENT without a name"
    return f"{component.name}: which worker? give COMPONENT/NAME"


def call_failure(error: PromissoryError) -> e.Failure:
    """Return as a call's outcome why it could not be made or answered."""
    if isinstance(error, TerminalError):
        return failure_of(error)
    if isinstance(error, RequestError):
        return e.Failure("call", str(error), error.http_status)
    return e.Failure("call", say(error), 500)
