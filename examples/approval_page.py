"""A web page on which somebody approves or rejects an order: the other end of an awakeable.

    promissory serve examples.purchase --no-http &
    uvicorn examples.approval_page:app &
    curl 127.0.0.1:8000/promissory/purchase/order-7/submit/send -d '{"order_id": "order-7", "item": "green tea"}'
    cat approval-outbox.txt

The link in the outbox leads to `GET /approve/AWAKEABLE`, a form; its two buttons lead to `POST`, which settles the
awakeable, and the worker goes on. The gateway's application is mounted beside the page, under `/promissory`; with
`PROMISSORY_TOKEN` it asks for that token, the approver needs only the link.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from attrs import define
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

import promissory
from examples.approval import Order
from examples.purchase import Decision
from promissory.executor.client import Client, Disconnected
from promissory.oplog.errors import BadArguments, NotFound, PromissoryError, StoreFailed

BODY_BYTES_MAX = 16 << 10
NAME_CHARS_MAX = 100
NOTE_CHARS_MAX = 1_000

HEADERS = {
    # The address is the approver's key: it must not be kept, nor told to other sites.
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
}

STYLE = """
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 2rem auto; padding: 0 1rem }
dt, label { font-weight: bold } dd { margin: 0 0 .5rem }
input, textarea { display: block; width: 100%; box-sizing: border-box; font: inherit; margin-bottom: 1rem }
#verdict { white-space: pre-line }
button { font: inherit; padding: .5rem 1.5rem }
"""


@define
class Case:
    """What is to be decided, and what became of it."""

    order: Order
    verdict: str | None
    """What was decided, in words; None while nobody has."""


def application(socket: str | Path | None = None) -> Starlette:
    """Return the page and, beside it, the gateway's application.

    Args:
      socket: the executor's admin socket; `PROMISSORY_SOCKET`, else that in the data directory, if not given.
    """
    data = Path(os.environ.get("PROMISSORY_DATA") or "promissory-data")
    path = Path(socket or os.environ.get("PROMISSORY_SOCKET") or data / "admin.sock")
    page = ApprovalPage(path)
    gateway = promissory.http.app(path, token=os.environ.get("PROMISSORY_TOKEN"))
    return Starlette(
        routes=[
            Route("/approve/{awakeable}", page.show, methods=["GET"]),
            Route("/approve/{awakeable}", page.decide, methods=["POST"]),
            Mount("/promissory", app=gateway),
        ],
        exception_handlers={PromissoryError: explain},
    )


class ApprovalPage:
    """The form, and what its buttons do."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def show(self, request: Request) -> Response:
        """Show the order, with the form or with what was decided. It decides nothing: mail programs look at links."""
        async with promissory.connect(self._socket) as client:
            case = await case_of(client, request.path_params["awakeable"])
        return page_of(case)

    async def decide(self, request: Request) -> Response:
        """Settle the awakeable. Whoever comes second is told who was first."""
        awakeable = request.path_params["awakeable"]
        form = await form_of(request)
        if form is None:
            return page("Too long", f"<p>At most {BODY_BYTES_MAX} bytes are accepted.</p>", 413)
        async with promissory.connect(self._socket) as client:
            case = await case_of(client, awakeable)
            if case.verdict is None:
                complaint = complaint_about(form)
                if complaint is not None:
                    return page_of(case, form, complaint)
                decision = Decision(form["decision"] == "approve", form["by"].strip(), form.get("note", "").strip())
                if await client.resolve_awakeable(awakeable, decision):
                    # Durable by now. A page of its own, so that reloading it sends nothing a second time.
                    return RedirectResponse(request.url.path, 303, HEADERS)
                case = await case_of(client, awakeable)
        return page_of(case, form, "Somebody was faster: your answer changes nothing.")


async def case_of(client: Client, awakeable: str) -> Case:
    """Look at the promise, then ask the worker that waits for it what it is about.

    Raises:
      NotFound, BadArguments: it is not the awakeable of an order.
    """
    if not awakeable.startswith("prom_1"):
        # Other promises have names that can be guessed; an awakeable's id is a proof.
        raise NotFound("no awakeable has such an id")
    promise = await client.request("promise.show", promise=awakeable)
    worker = promise["promise"].rpartition("/")[0]
    order = await client.query(f"worker://{worker}", "order_behind", awakeable)
    if order is None:
        raise NotFound(f"{worker} waits for something else")
    return Case(msgspec.convert(order, Order), verdict_of(promise))


def verdict_of(promise: Mapping[str, Any]) -> str | None:
    """Say what became of a promise; not all were settled by this page."""
    if promise["state"] == "pending":
        return None
    if promise["state"] != "resolved":
        return f"This order was given up: {promise.get('error') or promise['state']}."
    try:
        decision = msgspec.json.decode(promise.get("data") or b"null", type=Decision)
    except msgspec.DecodeError:
        return "This order was answered by something that is no decision."
    said = f" “{decision.note}”" if decision.note else ""
    return f"This order was {'approved' if decision.approved else 'rejected'} by {decision.by}.{said}"


async def form_of(request: Request) -> dict[str, str] | None:
    """Read the form that was sent; None if it is too long."""
    body = b""
    async for chunk in request.stream():
        body = (body + chunk)[: BODY_BYTES_MAX + 1]
    if len(body) > BODY_BYTES_MAX:
        return None
    # Browsers send a line's end as two characters and count it as one.
    return {name: value.replace("\r\n", "\n") for name, value in parse_qsl(body.decode(errors="replace"))}


def complaint_about(form: Mapping[str, str]) -> str | None:
    """Return what is wrong with a form that was filled in."""
    if form.get("decision") not in ("approve", "reject"):
        return "Press Approve or Reject."
    if not 1 <= len(form.get("by", "").strip()) <= NAME_CHARS_MAX:
        return f"Give your name, in up to {NAME_CHARS_MAX} characters."
    if len(form.get("note", "")) > NOTE_CHARS_MAX:
        return f"A note may have up to {NOTE_CHARS_MAX} characters."
    return None


def page_of(case: Case, form: Mapping[str, str] | None = None, complaint: str | None = None) -> Response:
    """Return the page of a case: 400 or 409 if there is something to complain about."""
    order = case.order
    parts = [
        f"<dl><dt>Order</dt><dd>{escape(order.order_id)}</dd><dt>Item</dt><dd>{escape(order.item)}</dd>"
        f"<dt>Quantity</dt><dd>{order.quantity}</dd></dl>"
    ]
    if complaint is not None:
        parts.append(f'<p id="complaint" role="alert">{escape(complaint)}</p>')
    parts.append(
        form_html(form or {}) if case.verdict is None else f'<p id="verdict" role="status">{escape(case.verdict)}</p>'
    )
    status = 200 if complaint is None else 400 if case.verdict is None else 409
    return page(f"Approve {order.order_id}?" if case.verdict is None else order.order_id, "\n".join(parts), status)


def form_html(form: Mapping[str, str]) -> str:
    """Return the form, filled in as it was sent."""
    # Enter presses the first button: it must not be one that decides.
    return f"""<form method="post">
<button disabled hidden></button>
<label for="by">Your name</label>
<input id="by" name="by" required maxlength="{NAME_CHARS_MAX}" autocomplete="name" value="{escape(form.get("by", ""))}">
<label for="note">A note, if you like</label>
<textarea id="note" name="note" rows="3" maxlength="{NOTE_CHARS_MAX}">
{escape(form.get("note", ""))}</textarea>
<button name="decision" value="approve">Approve</button>
<button name="decision" value="reject">Reject</button>
</form>"""


def page(title: str, body: str, status: int = 200) -> Response:
    """Return a page; the body is HTML, the title is text."""
    text = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )
    return HTMLResponse(text, status, HEADERS)


async def explain(_: Request, error: Exception) -> Response:
    """Answer for what the executor refuses, in words for an approver."""
    if isinstance(error, NotFound | BadArguments):
        return page("No such order", "<p>This link leads to no order. Is it complete?</p>", 404)
    if isinstance(error, Disconnected | StoreFailed):
        return page("Not now", "<p>Orders cannot be decided at the moment. Try again later.</p>", 503)
    return page("This failed", f"<p>{escape(str(error))}</p>", 500)


app = application()
