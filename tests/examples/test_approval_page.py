"""The approval page: its form settles the order's awakeable once, and nobody else's; what is shown is escaped."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from examples.approval_page import BODY_BYTES_MAX, NAME_CHARS_MAX, NOTE_CHARS_MAX, application
from promissory.executor.client import Client, connect
from promissory.oplog.errors import TerminalError
from tests.daemons import DEADLINE_SECONDS, ROOT, Daemon, Daemons

ORDER = {"order_id": "order-7", "item": "green tea", "quantity": 2}


class Page(HTMLParser):
    """A page as a browser sees it: its text, and its form's fields and buttons."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fields: dict[str, str] = {}
        self.buttons: list[tuple[str, str]] = []
        """The name and value of each that can be pressed."""
        self.text = ""
        self._textarea: str | None = None
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        self.feed(response.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag in ("input", "textarea"):
            self.fields[given["name"]] = given.get("value", "")
        if tag == "textarea":
            self._textarea = given["name"]
        if tag == "button" and "disabled" not in given:
            self.buttons.append((given["name"], given["value"]))

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea is not None:
            self.fields[self._textarea] += data.removeprefix("\n")
        self.text += data


class Office:
    """A daemon, the page in front of it, and the approver's mail."""

    def __init__(self, directory: Path, daemons: Daemons) -> None:
        self._directory = directory
        self._daemons = daemons
        self.outbox = directory / "outbox"
        os.mkfifo(self.outbox)
        # Open at both ends: a side effect that is repeated finds somebody who reads, too.
        self._mail = os.open(self.outbox, os.O_RDWR)
        self.daemon = self.serve()
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(application(self.daemon.socket)),
            base_url="http://office",
            timeout=DEADLINE_SECONDS,
        )

    def serve(self) -> Daemon:
        self.daemon = self._daemons.start(
            self._directory / "data",
            "examples.purchase",
            cwd=ROOT,
            environment={"APPROVAL_OUTBOX": str(self.outbox), "APPROVAL_PAGE": "http://office"},
        ).serving()
        return self.daemon

    async def submit(self, order: dict[str, Any]) -> tuple[str, str]:
        """Submit an order through the mounted gateway; return its invocation and the link that the approver gets."""
        path = f"/promissory/purchase/{order['order_id']}/submit/send"
        submitted = await self.http.post(path, json=order)
        assert submitted.status_code == 202, submitted.text
        with trio.fail_after(DEADLINE_SECONDS):
            mail = (await trio.to_thread.run_sync(os.read, self._mail, 4096, abandon_on_cancel=True)).decode()
        assert mail.startswith(f"please approve {order['order_id']} ")
        link = mail.split()[-1]
        assert link.startswith("http://office/approve/prom_1")
        return submitted.json()["invocationId"], link

    async def close(self) -> None:
        await self.http.aclose()
        os.close(self._mail)

    async def press(self, link: str, decision: str, by: str = "Ada", note: str = "") -> httpx.Response:
        """Open a link, fill in the form and press a button."""
        page = Page(await self.http.get(link))
        assert set(page.fields) == {"by", "note"}
        assert page.buttons == [("decision", "approve"), ("decision", "reject")]
        return await self.http.post(link, data={**page.fields, "by": by, "note": note, "decision": decision})

    async def result(self, invocation: str) -> Any:
        """Wait for the outcome of an order."""
        async with connect(self.daemon.socket) as client:
            return await client.attach(invocation)


@pytest.fixture
async def office(tmp_path: Path, daemons: Daemons) -> AsyncIterator[Office]:
    found = Office(tmp_path, daemons)
    yield found
    await found.close()


async def pending(client: Client) -> list[str]:
    async with client.stream("promise.list", state="pending") as rows:
        return [row["promise"] async for row in rows]


@pytest.mark.parametrize(
    ("decision", "verdict"), [("approve", "approved"), ("reject", "rejected")], ids=["approve", "reject"]
)
async def test_press(office: Office, decision: str, verdict: str) -> None:
    """The link shows the order and a form; a button settles it, the worker goes on, and the link shows the verdict."""
    invocation, link = await office.submit(ORDER)
    page = Page(await office.http.get(link))
    assert "order-7" in page.text
    assert "green tea" in page.text

    pressed = await office.press(link, decision, note="for the guests\nof Monday")

    assert pressed.status_code == 303
    shown = await office.http.get(pressed.headers["location"])
    assert shown.status_code == 200
    page = Page(shown)
    assert f"This order was {verdict} by Ada. “for the guests\nof Monday”" in page.text
    assert "form" not in page.tags
    assert await office.result(invocation) == f"order-7: {verdict} by Ada (for the guests\nof Monday)"


async def test_second_press(office: Office) -> None:
    """Whoever presses second is told who was first, and changes nothing."""
    invocation, link = await office.submit(ORDER)
    first = {"by": "Ada", "note": "", "decision": "reject"}
    assert (await office.http.post(link, data=first)).status_code == 303

    for _ in range(2):
        second = await office.http.post(link, data={"by": "Bob", "decision": "approve"})
        assert second.status_code == 409
        page = Page(second)
        assert "Somebody was faster" in page.text
        assert "This order was rejected by Ada." in page.text
        assert "form" not in page.tags
    assert await office.result(invocation) == "order-7: rejected by Ada"


async def test_both_press_at_once(office: Office) -> None:
    """Of many who press at the same moment one is first, and all others are told who."""
    invocation, link = await office.submit(ORDER)
    statuses: dict[str, int] = {}
    texts: list[str] = []

    async def press(by: str) -> None:
        pressed = await office.http.post(link, data={"by": by, "decision": "approve"})
        statuses[by] = pressed.status_code
        if pressed.status_code == 409:
            texts.append(pressed.text)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(press, f"approver-{number}")

    (first,) = [by for by, status in statuses.items() if status == 303]
    assert sorted(statuses.values()) == [303] + 7 * [409]
    assert all(f"approved by {first}." in text for text in texts)
    assert await office.result(invocation) == f"order-7: approved by {first}"


async def test_nothing_is_decided_by_looking(office: Office) -> None:
    """GET and HEAD, which mail programs send, decide nothing; other methods are refused."""
    _, link = await office.submit(ORDER)
    for method in ("GET", "HEAD"):
        looked = await office.http.request(method, f"{link}?decision=approve&by=Ada")
        assert looked.status_code == 200
        assert looked.headers["referrer-policy"] == "no-referrer"
        assert looked.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in looked.headers["content-security-policy"]
    for method in ("PUT", "DELETE", "PATCH"):
        assert (await office.http.request(method, link)).status_code == 405
    assert "form" in Page(await office.http.get(link)).tags


async def test_everything_is_escaped(office: Office) -> None:
    """Whatever an order, a name or a note holds, the page shows it as text."""
    evil = "</dd></textarea><script>alert(1)</script>\"'><img src=x>&amp;"
    invocation, link = await office.submit({"order_id": "o-1", "item": evil})
    plain = Page(await office.http.get(link))
    assert evil in plain.text

    complained = await office.http.post(link, data={"by": "x" * 200 + evil, "note": evil, "decision": "approve"})
    page = Page(complained)
    assert (complained.status_code, page.fields) == (400, {"by": "x" * 200 + evil, "note": evil})
    assert await office.press(link, "approve", by=evil, note=evil)
    shown = Page(await office.http.get(link))
    assert shown.text.count(evil) == 3
    for tags in (plain.tags, page.tags, shown.tags):
        assert not {"script", "img"} & set(tags)
    assert await office.result(invocation) == f"o-1: approved by {evil} ({evil})"


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"by": "Ada"},
        {"by": "Ada", "decision": "perhaps"},
        {"decision": "approve"},
        {"by": " \t", "decision": "approve"},
        {"by": "x" * (NAME_CHARS_MAX + 1), "decision": "approve"},
        {"by": "Ada", "note": "x" * (NOTE_CHARS_MAX + 1), "decision": "approve"},
    ],
    ids=["empty", "no button", "odd button", "no name", "blank name", "long name", "long note"],
)
async def test_incomplete_form(office: Office, form: dict[str, str]) -> None:
    """A form that is not filled in comes back with what was typed and what is missing, and decides nothing."""
    _, link = await office.submit(ORDER)
    pressed = await office.http.post(link, data=form)
    assert pressed.status_code == 400
    page = Page(pressed)
    assert 'role="alert"' in pressed.text
    assert page.fields == {"by": form.get("by", ""), "note": form.get("note", "")}
    assert "form" in Page(await office.http.get(link)).tags


async def test_odd_bodies(office: Office) -> None:
    """A body that is no form or far too long is refused, and decides nothing."""
    invocation, link = await office.submit(ORDER)
    for body in (b"\xff\xfe=\x00", b"[1, 2]", b"=&=&&;", b"decision", b"%zz=%"):
        assert (await office.http.post(link, content=body)).status_code == 400
    assert (await office.http.post(link, content=b"x" * (BODY_BYTES_MAX + 1))).status_code == 413
    # A note may have its full length of characters, also in an encoding that makes nine of each, and in many lines.
    note = "й\n" * (NOTE_CHARS_MAX // 2)
    form = {"by": "Ada", "note": note.replace("\n", "\r\n"), "decision": "approve"}
    assert (await office.http.post(link, data=form)).status_code == 303
    assert await office.result(invocation) == f"order-7: approved by Ada ({note.strip()})"


async def test_links_that_lead_nowhere(office: Office) -> None:
    """A link with one character changed is refused, as are the names of other promises; none of them creates one."""
    _, link = await office.submit(ORDER)
    async with connect(office.daemon.socket) as client:
        (promise,) = await pending(client)
        awakeable = link.rpartition("/")[2]
        changed = [awakeable[:at] + ("A" if awakeable[at] != "A" else "B") + awakeable[at + 1 :] for at in (6, 20, -3)]
        for text in (*changed, awakeable + "A", awakeable[:-1], "prom_1", "name:anything", "x", "%00", "prom_1%FF"):
            for response in (
                await office.http.get(f"/approve/{text}"),
                await office.http.post(f"/approve/{text}", data={"by": "Ada", "decision": "approve"}),
            ):
                assert response.status_code == 404, text
                assert Page(response).text.count("No such order") == 2
        assert (await office.http.get(f"/approve/{promise}")).status_code == 404
        assert await pending(client) == [promise]


async def test_settled_by_other_means(office: Office) -> None:
    """Whoever has the id may settle it over HTTP too; the page tells what became of the order."""
    invocation, link = await office.submit(ORDER)
    path = f"/promissory/restate/awakeables/{link.rpartition('/')[2]}"
    rejected = await office.http.post(f"{path}/reject", content="<b>sold out</b>")
    assert rejected.headers["x-promise-outcome"] == "settled"
    late = await office.http.post(link, data={"by": "Ada", "decision": "approve"})
    assert late.status_code == 409
    assert "This order was given up: <b>sold out</b>." in Page(late).text
    with pytest.raises(TerminalError, match="sold out"):
        await office.result(invocation)

    invocation, link = await office.submit({**ORDER, "order_id": "order-8"})
    path = f"/promissory/restate/awakeables/{link.rpartition('/')[2]}"
    assert (await office.http.post(f"{path}/resolve", content="42")).status_code == 202
    assert "something that is no decision" in Page(await office.http.get(link)).text
    with pytest.raises(TerminalError):
        await office.result(invocation)


async def test_daemon_is_killed_meanwhile(office: Office) -> None:
    """The link outlives the daemon: while it is away the page says so, and afterwards the button decides."""
    invocation, link = await office.submit(ORDER)
    assert (await office.http.get(link)).status_code == 200
    office.daemon.kill()
    for away in (
        await office.http.get(link),
        await office.http.post(link, data={"by": "Ada", "decision": "approve"}),
    ):
        assert away.status_code == 503
        assert "Try again later" in Page(away).text
    office.serve()
    assert (await office.press(link, "approve")).status_code == 303
    with trio.fail_after(DEADLINE_SECONDS):
        assert await office.result(invocation) == "order-7: approved by Ada"


async def test_token_is_for_the_gateway_only(tmp_path: Path, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a token the mounted gateway asks for it; the approver needs none."""
    _, link = await office.submit(ORDER)
    monkeypatch.setenv("PROMISSORY_TOKEN", "secret")
    transport = httpx.ASGITransport(application(office.daemon.socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://office") as http:
        refused = await http.post("/promissory/purchase/order-9/submit/send", content=json.dumps(ORDER))
        assert refused.status_code == 401
        assert (await http.post(link, data={"by": "Ada", "decision": "approve"})).status_code == 303
