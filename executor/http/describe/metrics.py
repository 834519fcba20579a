"""The executor's figures and the gateway's own, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

PREFIX = "promissory_"
_HELP = {
    "invocations_accepted": "New invocations by clients",
    "calls_made": "New invocations by workers",
    "steps": "Steps taken live",
    "entries_replayed": "Entries read to bring workers back",
    "effects_performed": "Attempts of side effects",
    "effects_in_flight": "Side effects not yet on disk",
    "commits": "Durable transactions",
    "workers_in_memory": "Workers in memory",
    "workers_ready": "Workers with a step to take",
    "watchers": "Requests of clients that wait for an outcome",
    "http_requests": "Requests over HTTP",
    "http_requests_refused": "Requests over HTTP that were refused because too many were in flight",
    "http_requests_in_flight": "Requests over HTTP in flight",
}


class Requests:
    """What the gateway counts."""

    __slots__ = ("in_flight", "refused", "total")

    def __init__(self) -> None:
        self.in_flight = 0
        self.refused = 0
        self.total = 0


class _Figures(Collector):
    """Gives what the operation `metrics` answered.

    Args:
      figures: `counters`, `gauges` and `histograms` by name.
      requests: the gateway's.
    """

    def __init__(self, figures: Mapping[str, Any], requests: Requests) -> None:
        self._counters = {
            **figures["counters"],
            "http_requests": requests.total,
            "http_requests_refused": requests.refused,
        }
        self._gauges = {**figures["gauges"], "http_requests_in_flight": requests.in_flight}
        self._histograms: Mapping[str, Any] = figures["histograms"]

    def collect(self) -> Iterable[Metric]:
        for name, count in self._counters.items():
            yield CounterMetricFamily(PREFIX + name, _help(name), value=count)
        for name, value in self._gauges.items():
            yield GaugeMetricFamily(PREFIX + name, _help(name), value=value)
        for name, histogram in self._histograms.items():
            buckets = [(_bound(limit), count) for limit, count in histogram["buckets"]]
            if not buckets or buckets[-1][0] != "+Inf":
                buckets.append(("+Inf", histogram["count"]))
            yield HistogramMetricFamily(PREFIX + name, _help(name), buckets=buckets, sum_value=histogram["sum"])


def exposition(figures: Mapping[str, Any], requests: Requests, accept: str) -> tuple[bytes, str]:
    """Return the figures as text, and its content type.

    Args:
      figures: what the operation `metrics` answered.
      requests: the gateway's own.
      accept: the header of the request: OpenMetrics or the older text.
    """
    registry = CollectorRegistry()
    registry.register(_Figures(figures, requests))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _help(name: str) -> str:
    return _HELP.get(name, name.replace("_", " ").capitalize())


def _bound(limit: Any) -> str:
    """Return a bucket's upper bound as Prometheus writes it; the last may be named or infinite."""
    if limit is None or isinstance(limit, str) or limit == float("inf"):
        return "+Inf"
    return str(float(limit))
