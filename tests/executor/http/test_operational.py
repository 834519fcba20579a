"""Our own routes: health, metrics, components, promises."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from promissory.executor.http.describe.metrics import Requests, exposition
from promissory.executor.operations.inspection import Inspection
from tests.executor.http.conftest import CLASSES, Http, Serve


async def test_health(http: Http) -> None:
    """Healthy is who has an executor that answers."""
    response = await http.get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "ok")
    assert (await http.head("/health")).content == b""


async def test_services(http: Http) -> None:
    """Restate's health route names the components."""
    assert (await http.get("/restate/health")).json() == {"services": ["approval", "broken", "cart", "mailer"]}


async def test_components(served: Serve) -> None:
    """Components are shown as the command line shows them."""
    async with served() as (http, running):
        listed = Inspection(running.record, running.registry).components()
        assert len(listed) == len(CLASSES)
        assert (await http.get("/v1/components")).json() == {"components": listed}
        for shown in listed:
            for name in (shown["component"], shown["id"]):
                assert (await http.get(f"/v1/components/{name}")).json() == shown
        response = await http.get("/v1/components/nothing")
        assert (response.status_code, response.json()) == (404, {"error": "component 'nothing' is not registered"})


async def test_promises_go_on_at_a_cursor(http: Http) -> None:
    """Pending promises are listed page by page."""
    for n in range(5):
        await http.post(f"/cart/c{n}/wait/send")
    await http.post("/approval/a1/ask/send")
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2, "component": "cart"}
    for expected in (2, 2, 1):
        page = (await http.get("/v1/promises", params=query)).json()
        assert len(page["promises"]) == expected
        found += [row["promise"] for row in page["promises"]]
        query["cursor"] = page.get("cursor")
    assert found == [f"cart/c{n}/3" for n in range(5)]
    assert page["promises"][0].keys() == {"promise", "state", "created_at"}
    assert (await http.get("/v1/promises?state=resolved")).json() == {"promises": []}
    assert len((await http.get("/v1/promises?state=all")).json()["promises"]) == 6
    assert "errors" in (await http.get("/v1/promises?state=lost")).json()
    assert "errors" in (await http.get("/v1/promises?limit=x")).json()


async def test_metrics(http: Http) -> None:
    """Prometheus can read the figures, and finds the gateway's own among them."""
    await http.post("/cart/c1/clear")
    for accept in ("", "application/openmetrics-text; version=1.0.0"):
        response = await http.get("/metrics", headers={"accept": accept})
        assert response.headers["content-type"].startswith(accept.partition(";")[0] or "text/plain")
    families = {family.name: family for family in text_string_to_metric_families((await http.get("/metrics")).text)}
    assert families["promissory_invocations_accepted"].samples[0].value == 1
    assert families["promissory_http_requests"].samples[0].value == 4
    assert families["promissory_http_requests_in_flight"].samples[0].value == 1


@pytest.mark.parametrize("last", ["+Inf", None, float("inf"), 8.0])
def test_histograms(last: Any) -> None:
    """Histograms end in the bucket without bound, whether it is given or not."""
    histogram = {"buckets": [[0.5, 1], [last, 3 if last != 8.0 else 2]], "sum": 4.5, "count": 3}
    figures = {"counters": {"steps": 7}, "gauges": {"watchers": 2}, "histograms": {"step_seconds": histogram}}
    text = exposition(figures, Requests(), "")[0].decode()
    samples = {
        (sample.name, sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["promissory_steps_total", None] == 7
    assert samples["promissory_watchers", None] == 2
    assert samples["promissory_step_seconds_bucket", "0.5"] == 1
    assert samples["promissory_step_seconds_bucket", "+Inf"] == 3
    assert (samples["promissory_step_seconds_sum", None], samples["promissory_step_seconds_count", None]) == (4.5, 3)
