"""The server's own metrics, counted in plain dicts and rendered only when asked for, in a thread.

Names and labels are upstream's (`apiserver_request_total`, `apiserver_request_duration_seconds`).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING

from pybernetes.apiserver.attributes import RequestInfo
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.machinery.http.health import METRICS_CONTENT_TYPE
from pybernetes.machinery.http.messages import Response
from pybernetes.machinery.meta import Resource

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

BUCKETS_S = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
_LONG_RUNNING = frozenset(("watch", "connect"))

# group, version, resource, subresource, verb, scope
_Labels = tuple[str, str, str, str, str, str]
_NAMES = ("group", "version", "resource", "subresource", "verb", "scope")


class Metrics:
    def __init__(
        self,
        kinds: Mapping[Resource, Kind],
        known: Container[tuple[str, str, str]],
        registries: Sequence[CollectorRegistry] = (),
    ) -> None:
        """`known`: group, version and plural of what is served; it may change. `registries` are shown after these."""
        self._kinds = kinds
        self._registries = registries
        self._known = known
        self._requests: dict[tuple[_Labels, int], int] = {}
        self._durations: dict[_Labels, tuple[list[int], float]] = {}

    def observe(self, info: RequestInfo, status: int, seconds: float) -> None:
        # Only names that we serve become labels: a stranger must not be able to make series.
        if not info.is_resource or (info.group, info.version, info.resource) not in self._known:
            labels: _Labels = ("", "", "", "", info.verb.upper() if info.verb in ("get", "post") else "OTHER", "")
        else:
            scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
            labels = (info.group, info.version, info.resource, info.subresource, info.verb.upper(), scope)
        key = (labels, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        if info.verb in _LONG_RUNNING:
            return
        counts = self._durations.get(labels)
        if counts is None:
            counts = self._durations[labels] = ([0] * (len(BUCKETS_S) + 1), 0.0)
        buckets, total = counts
        buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self._durations[labels] = (buckets, total + seconds)

    async def render(self, others: Sequence[Metric] = ()) -> Response:
        """All of them as text, with `others` counted elsewhere."""
        requests = dict(self._requests)
        durations = {labels: (list(buckets), total) for labels, (buckets, total) in self._durations.items()}
        stored = {kind.resource.group_resource: len(kind.table) for kind in self._kinds.values() if not kind.converts}
        watchers = {kind.resource: kind.table.watcher_count for kind in self._kinds.values() if not kind.converts}
        body = await asyncio.to_thread(_render, requests, durations, stored, watchers, others, self._registries)
        return Response(200, {"Content-Type": METRICS_CONTENT_TYPE}, body)


def _render(
    requests: Mapping[tuple[_Labels, int], int],
    durations: Mapping[_Labels, tuple[list[int], float]],
    stored: Mapping[str, int],
    watchers: Mapping[Resource, int],
    others: Sequence[Metric],
    registries: Sequence[CollectorRegistry],
) -> bytes:
    from prometheus_client import PROCESS_COLLECTOR, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.registry import Collector, CollectorRegistry

    total = CounterMetricFamily("apiserver_request", "Requests by verb, resource and code.", labels=[*_NAMES, "code"])
    for (labels, status), count in requests.items():
        total.add_metric([*labels, str(status)], count)
    seconds = HistogramMetricFamily("apiserver_request_duration_seconds", "Time to answer.", labels=list(_NAMES))
    for labels, (buckets, sum_) in durations.items():
        cumulative, found = 0, []
        for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], buckets, strict=True):
            cumulative += count
            found.append((bound, cumulative))
        seconds.add_metric(list(labels), buckets=found, sum_value=sum_)
    objects = GaugeMetricFamily("apiserver_storage_objects", "Objects stored.", labels=["resource"])
    for name, count in stored.items():
        objects.add_metric([name], count)
    watching = GaugeMetricFamily("apiserver_longrunning_requests", "Watches under way.", labels=["verb", "group", "resource"])
    for resource, count in watchers.items():
        watching.add_metric(["WATCH", resource.group, resource.plural], count)

    class Ours(Collector):
        def collect(self):  # type: ignore[no-untyped-def]
            return [total, seconds, objects, watching, *others]

    registry = CollectorRegistry()
    registry.register(Ours())
    registry.register(PROCESS_COLLECTOR)
    return b"".join(map(generate_latest, (registry, *registries)))
