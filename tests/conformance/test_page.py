"""The approval page in a real browser: Debian's Chromium, without a screen, driven over WebDriver's own HTTP.

It needs `/usr/bin/chromium` and `/usr/bin/chromedriver`, the packages `chromium` and `chromium-driver`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.daemons import DEADLINE_SECONDS, ROOT, Daemon, Daemons

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    # Otherwise it looks for its maker's hosts at every start.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key under which WebDriver's answers hold an element."""
ENTER = "\ue007"


class Browser:
    """A session of WebDriver (W3C); elements are known by CSS selectors."""

    def __init__(self, driver: str, profile: Path) -> None:
        self._http = httpx.Client(base_url=driver, timeout=DEADLINE_SECONDS)
        options = {"binary": shutil.which("chromium"), "args": [*FLAGS, f"--user-data-dir={profile}"]}
        capabilities = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}
        self._session = ""
        self._session = f"/session/{self._ask('POST', '/session', {'capabilities': capabilities})['sessionId']}"
        # Elements are waited for by the driver: a page that a click leads to may not be there yet.
        self._ask("POST", "/timeouts", {"implicit": int(DEADLINE_SECONDS * 1000)})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._http.request(method, self._session + path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def open(self, url: str) -> None:
        self._ask("POST", "/url", {"url": url})

    def _element(self, selector: str) -> str:
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        return f"/element/{found[ELEMENT]}"

    def text(self, selector: str) -> str:
        return str(self._ask("GET", f"{self._element(selector)}/text"))

    def label(self, selector: str) -> str:
        """Return what a screen reader calls an element."""
        return str(self._ask("GET", f"{self._element(selector)}/computedlabel"))

    def write(self, selector: str, text: str) -> None:
        self._ask("POST", f"{self._element(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        self._ask("POST", f"{self._element(selector)}/click", {})

    def run(self, script: str) -> Any:
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def title(self) -> str:
        return str(self._ask("GET", "/title"))

    def close(self) -> None:
        self._ask("DELETE", "")
        self._http.close()


def started(command: list[str], **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, **options
    )


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """Read what a process prints, up to a line with some words."""
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if words in line:
            return line
    raise AssertionError(f"it ended without {words!r}: {''.join(printed)}")


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate(timeout=DEADLINE_SECONDS)


@pytest.fixture(scope="module")
def driver() -> Iterator[str]:
    """The address of a ChromeDriver."""
    path = shutil.which("chromedriver")
    assert path, "Debian's packages chromium and chromium-driver must be installed"
    process = started([path, "--port=0"])
    yield f"http://127.0.0.1:{line_with(process, 'successfully on port').rstrip().rstrip('.').rpartition(' ')[2]}"
    stop(process)


@pytest.fixture
def browsers(driver: str, tmp_path: Path) -> Iterator[list[Browser]]:
    """Two people's browsers."""
    found = [Browser(driver, tmp_path / f"profile-{number}") for number in range(2)]
    yield found
    for browser in found:
        browser.close()


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "outbox")
    return tmp_path / "outbox"


@pytest.fixture
def office(tmp_path: Path, outbox: Path) -> Iterator[Daemon]:
    """A daemon with the example's worker."""
    daemons = Daemons()
    # The page's port is not known yet: what is mailed is the link's path.
    yield daemons.start(
        tmp_path / "data",
        "examples.purchase",
        cwd=ROOT,
        environment={"APPROVAL_OUTBOX": str(outbox), "APPROVAL_PAGE": ""},
    ).serving()
    daemons.close()


@pytest.fixture
def page(office: Daemon) -> Iterator[str]:
    """The page as its own words say that it is run; its address."""
    process = started(
        [sys.executable, "-m", "uvicorn", "examples.approval_page:app", "--port", "0", "--no-access-log"],
        cwd=ROOT,
        env={**os.environ, "PROMISSORY_SOCKET": str(office.socket), "PYTHONUNBUFFERED": "1"},
    )
    yield next(word for word in line_with(process, "running on").split() if word.startswith("http://"))
    stop(process)


def link_in(mail: str) -> str:
    """Return the path that a mail to the approver leads to."""
    path = mail.split()[-1]
    assert path.startswith("/approve/prom_1")
    return path


@pytest.mark.parametrize(("button", "verdict"), [("approve", "approved"), ("reject", "rejected")])
def test_two_approvers(page: str, outbox: Path, browsers: list[Browser], button: str, verdict: str) -> None:
    """An approver opens the link, types, presses a button and reads the verdict; the other one comes too late."""
    order = {"order_id": "order-7", "item": "<i>green</i> tea", "quantity": 2}
    submitted = httpx.post(f"{page}/promissory/purchase/order-7/submit/send", json=order)
    link = page + link_in(outbox.read_text())

    ada, bob = browsers
    for approver in browsers:
        approver.open(link)
        assert approver.title() == "Approve order-7?"
        assert "<i>green</i> tea" in approver.text("dl")
        assert [approver.label(name) for name in ("#by", "#note")] == ["Your name", "A note, if you like"]
    # Enter in the field for the name decides nothing, with the name given or not.
    ada.write("#by", ENTER)
    ada.write("#by", "Ada <b>L.</b>" + ENTER)
    ada.write("#note", "two lines\nof it")
    ada.click(f"button[value={button}]")
    said = f"This order was {verdict} by Ada <b>L.</b>. “two lines\nof it”"
    assert ada.text("#verdict") == said
    assert ada.run("return document.querySelectorAll('form, script, b').length") == 0

    bob.write("#by", "Bob")
    bob.click("button[value=approve]")
    assert bob.text("#complaint") == "Somebody was faster: your answer changes nothing."
    assert bob.text("#verdict") == said

    path = f"/promissory/restate/invocation/{submitted.json()['invocationId']}/attach"
    result = httpx.get(page + path, timeout=DEADLINE_SECONDS)
    assert result.json() == f"order-7: {verdict} by Ada <b>L.</b> (two lines\nof it)"
