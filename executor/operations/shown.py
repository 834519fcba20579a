"""How components, outcomes of promises and statuses of invocations are shown: maps of the admin protocol."""

from __future__ import annotations

from typing import Any

from promissory.oplog.entries import Failure, Outcome, Value
from promissory.oplog.errors import PromiseDeleted, PromiseRejected
from promissory.oplog.ids import WorkerId
from promissory.oplog.tables import PromiseRow, PromiseState, WorkerRow
from promissory.workers.component import Component


def component_map(component: Component) -> dict[str, Any]:
    """Return a component with the JSON Schemas of its handlers; making them takes milliseconds."""
    return {
        "component": component.name,
        "id": str(WorkerId(component.id, "-")).partition("/")[0],
        "version": component.version,
        "ephemeral": component.ephemeral,
        "handlers": [
            {
                "name": handler.name,
                "kind": handler.kind,
                "parameters": handler.parameters_schema(),
                "result": handler.result_schema(),
            }
            for handler in component.handlers.values()
        ],
    }


def outcome_map(path: str, state: PromiseState, outcome: Outcome | None) -> dict[str, Any]:
    """Return a promise and its outcome, as `promise show` prints it."""
    shown: dict[str, Any] = {"promise": path, "state": state.name.lower()}
    if isinstance(outcome, Value):
        shown["data"] = outcome.data or b""
    elif isinstance(outcome, Failure):
        shown["error"] = outcome.message
        if outcome.kind not in (PromiseRejected.kind, PromiseDeleted.kind):
            shown["kind"], shown["code"] = outcome.kind, outcome.code
    return shown


def invocation_status(row: WorkerRow, index: int, promise: PromiseRow) -> str:
    """Return one of completed, failed, scheduled, running, pending."""
    if promise.state is PromiseState.RESOLVED:
        return "completed"
    if promise.state in (PromiseState.REJECTED, PromiseState.DELETED):
        return "failed"
    if promise.state is PromiseState.SCHEDULED:
        return "scheduled"
    return "running" if row.running == index else "pending"
