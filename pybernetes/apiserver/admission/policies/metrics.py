"""How often policies were asked, what came of it, and how long it took. Counted in plain dicts; names are upstream's."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client import Metric

BUCKETS_S: Final = (0.0000005, 0.001, 0.01, 0.1, 1.0)
SERIES_MAX: Final = 10_000  # names of policies are labels: what is beyond is not counted


def error_type(message: str) -> str:
    """Of what a check came to, "" for nothing: upstream counts a denial as an error, too."""
    if not message:
        return "no_error"
    if message.startswith("compilation"):
        return "compile_error"
    if message.startswith("validation failed due to running out of cost budget"):
        return "out_of_budget"
    return "invalid_error"


class PolicyMetrics:
    """`name`_check_total and `name`_check_duration_seconds, by `labels`."""

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self.name = name
        self.labels = tuple(labels)
        self._series: dict[tuple[str, ...], tuple[list[int], float]] = {}

    def observe(self, labels: tuple[str, ...], seconds: float) -> None:
        buckets, total = self._series.get(labels) or ([0] * (len(BUCKETS_S) + 1), 0.0)
        if labels not in self._series and len(self._series) >= SERIES_MAX:
            return
        buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self._series[labels] = (buckets, total + seconds)

    def families(self) -> Sequence[Metric]:
        """What there is to render; loads the metrics library."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        checks = CounterMetricFamily(f"{self.name}_check", "Checks by what came of them.", labels=self.labels)
        seconds = HistogramMetricFamily(f"{self.name}_check_duration_seconds", "Time of checks.", labels=self.labels)
        for labels, (buckets, total) in self._series.items():
            counts = list(accumulate(buckets))
            checks.add_metric(labels, counts[-1])
            bounds = [*map(str, BUCKETS_S), "+Inf"]
            seconds.add_metric(labels, buckets=list(zip(bounds, counts, strict=True)), sum_value=total)
        return [checks, seconds]


class PoliciesMetrics:
    """Those of both kinds of policies."""

    def __init__(self) -> None:
        outcome = ("policy", "policy_binding", "error_type")
        self.validating = PolicyMetrics("apiserver_validating_admission_policy", (*outcome, "enforcement_action"))
        self.mutating = PolicyMetrics("apiserver_mutating_admission_policy", outcome)

    def families(self) -> Sequence[Metric]:
        return [*self.validating.families(), *self.mutating.families()]
