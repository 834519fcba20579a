"""What schemathesis is told about these routes: names that exist, and the answers to what would wait for ever.

In half of the requests what is made up is exchanged for workers, functions, invocations, awakeables and promises that
there are, or it would only ever see 404. Before each request that may wait, what it would wait for is done: the durable
promises that it names are resolved, the workers that were interrupted go on. Long delays are made short.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import requests
import schemathesis
from schemathesis import Case, HookContext, Response

COMPONENTS = ("ledger", "ledger", "ledger", "mint")
WORKERS = ("alice", "bob/ben")
KEYS = ("first",)
FITTING: dict[str, list[Any]] = {
    "post": [{"account": "rent", "cents": -90_000, "tags": ["flat"]}],
    "transfer": ["bob", 5, "chf"],
    "clear": [],
    "open": [],
    "ticket": [],
    "after": ["invoked"],
    "last": [3],
    "total": [],
}
"""Arguments of each function of the ledger."""
WAITING = ("/await", "/after", "/after/send", "/invoke", "/invoke-and-await")
"""Ends of the paths whose bodies may name durable promises to wait for."""
INDEX_MAX = 60
REMEMBERED_MAX = 50
ANSWER_SECONDS = 10

invocations: list[str] = []
awakeables: list[str] = []
interrupted: set[str] = set()


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Exchange what is made up, and answer beforehand what this request may wait for."""
    if number_of((case.path_parameters, case.query, case.body)) % 2:
        exchange_names(case)
        exchange_body(case)
    delay = case.query.get("delay")
    if isinstance(delay, str):
        case.query["delay"] = re.sub(r"\d+", lambda digits: str(int(digits[0]) % 2), delay)
    url = (case.operation.base_url or "").rstrip("/")
    while interrupted:
        requests.post(f"{url}{interrupted.pop()}/resume", timeout=ANSWER_SECONDS)
    if case.path.endswith(WAITING):
        for name in texts(parsed(case.body)):
            requests.post(f"{url}/promise/resolve", json={"promiseId": name, "value": 1}, timeout=ANSWER_SECONDS)


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Remember what came to be."""
    if response.status_code == 200 and case.path.endswith("/interrupt"):
        interrupted.add(str(response.request.path_url).partition("?")[0].removesuffix("/interrupt"))
    if response.status_code == 200 and case.path.endswith("/ticket"):
        remember(awakeables, response.json())
    for invocation in response.headers.get("x-restate-id", []):
        remember(invocations, invocation)


def number_of(made_up: Any) -> int:
    """Return a number for anything that was made up, always the same for the same."""
    return zlib.crc32(repr(made_up).encode("utf-8", "surrogatepass"))


def real_for(made_up: Any, real: Sequence[str]) -> Any:
    """Return a real name in the place of one that was made up; itself if there is none."""
    return real[number_of(made_up) // 2 % len(real)] if real else made_up


def exchange_names(case: Case) -> None:
    real: dict[str, Sequence[str]] = {
        "c": COMPONENTS,
        "component": COMPONENTS,
        "w": WORKERS,
        "worker": WORKERS,
        "handler": (*FITTING,),
        "key": KEYS,
        "id": invocations if "/invocation/" in case.path else awakeables,
    }
    for name, value in case.path_parameters.items():
        if real.get(name):
            # They are put into the path as they are here.
            case.path_parameters[name] = quote(real_for(value, real[name]), safe="")
    if "function" in case.query:
        case.query["function"] = real_for(case.query["function"], (*FITTING,))
    # A made-up one is refused before anything is looked at.
    case.query.pop("cursor", None)
    if "idempotency-key" in case.headers:
        case.headers["idempotency-key"] = real_for(case.headers["idempotency-key"], KEYS)


def exchange_body(case: Case) -> None:
    if not isinstance(case.body, dict):
        return
    if case.path.endswith(("/invoke", "/invoke-and-await")):
        function = case.query.get("function")
        case.body = {"params": FITTING.get(function, []) if isinstance(function, str) else []}
    elif case.path.endswith("/complete") and isinstance(case.body.get("oplogIdx"), int):
        case.body = {**case.body, "oplogIdx": case.body["oplogIdx"] % INDEX_MAX}
    elif case.path.endswith("/workers") and "args" in case.body:
        case.body = {**case.body, "args": {"limit": number_of(case.body)}}


def parsed(body: Any) -> Any:
    """Return a body as the value that it holds as JSON, if it holds any."""
    if not isinstance(body, bytes):
        return body
    try:
        return json.loads(body)
    except ValueError:
        return None


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)


def remember(pool: list[str], found: str) -> None:
    pool.append(found)
    del pool[:-REMEMBERED_MAX]
