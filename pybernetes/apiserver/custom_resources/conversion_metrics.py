"""What is counted of conversion webhooks, under upstream's names."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pybernetes.apiserver.custom_resources.conversion import Failure

if TYPE_CHECKING:
    from prometheus_client.core import Metric

BY_DEFINITION_S: Final = tuple(0.001 * 2**exponent for exponent in range(15))
BY_RESULT_S: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0)

_Labels = tuple[str, ...]


class _Histogram:
    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.seen: dict[_Labels, tuple[tuple[int, ...], float]] = {}  # calls by bucket, and the seconds of all

    def observe(self, labels: _Labels, seconds: float) -> None:
        counts, total = self.seen.get(labels, ((0,) * (len(self.bounds) + 1), 0.0))
        place = bisect_left(self.bounds, seconds)
        self.seen[labels] = ((*counts[:place], counts[place] + 1, *counts[place + 1 :]), total + seconds)


class ConversionMetrics:
    def __init__(self) -> None:
        self._by_definition = _Histogram(BY_DEFINITION_S)
        self._by_result = _Histogram(BY_RESULT_S)

    def observe(self, definition: str, source: str, target: str, seconds: float, failure: Failure | None) -> None:
        """A call, from one version to another; `failure` None: it succeeded."""
        self._by_definition.observe((definition, source, target, "true" if failure is None else "false"), seconds)
        result = ("success", "") if failure is None else ("failure", failure.value)
        self._by_result.observe(result, seconds)

    def families(self) -> Sequence[Metric]:
        """For whoever renders metrics."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        names = ["crd_name", "from_version", "to_version", "succeeded"]
        by_definition = HistogramMetricFamily(
            "apiserver_crd_conversion_webhook_duration_seconds", "CRD webhook conversion duration in seconds", labels=names
        )
        _fill(by_definition, self._by_definition.seen, BY_DEFINITION_S)
        results = ["result", "failure_type"]
        by_result = HistogramMetricFamily(
            "apiserver_conversion_webhook_duration_seconds", "Conversion webhook request latency", labels=results
        )
        _fill(by_result, self._by_result.seen, BY_RESULT_S)
        requests = CounterMetricFamily(
            "apiserver_conversion_webhook_request", "Conversion webhook requests by result and kind of failure", labels=results
        )
        for labels, (counts, _) in self._by_result.seen.items():
            requests.add_metric(list(labels), sum(counts))
        return (by_definition, by_result, requests)


def _fill(family: Metric, seen: Mapping[_Labels, tuple[tuple[int, ...], float]], bounds: Sequence[float]) -> None:
    for labels, (counts, total) in seen.items():
        cumulative = [sum(counts[: place + 1]) for place in range(len(counts))]
        buckets = list(zip([*map(str, bounds), "+Inf"], cumulative, strict=True))
        family.add_metric(list(labels), buckets=buckets, sum_value=total)  # type: ignore[attr-defined]
