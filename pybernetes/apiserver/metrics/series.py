"""Histograms that cost little to fill, and how all kinds of series become Prometheus families."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from prometheus_client import Metric

Labels: TypeAlias = tuple[str, ...]
Key = TypeVar("Key", bound=Labels)  # values of labels, in their order


class Histogram:
    """Counts per bucket (`bounds` and one without bound), and the sum of what was observed."""

    __slots__ = ("bounds", "buckets", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> Histogram:
        made = Histogram(self.bounds)
        made.buckets, made.total = list(self.buckets), self.total
        return made

    def cumulative(self) -> list[tuple[str, float]]:
        count, found = 0, []
        for bound, number in zip([*map(_text, self.bounds), "+Inf"], self.buckets, strict=True):
            count += number
            found.append((bound, float(count)))
        return found


def counter(name: str, documentation: str, labels: Sequence[str], values: Mapping[Key, float]) -> Metric:
    """`name` without its "_total"."""
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, documentation, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def gauge(name: str, documentation: str, labels: Sequence[str], values: Mapping[Key, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, documentation, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def histogram(name: str, documentation: str, labels: Sequence[str], values: Iterable[tuple[Key, Histogram]]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, documentation, labels=labels)
    for key, found in values:
        family.add_metric(key, buckets=found.cumulative(), sum_value=found.total)
    return family


def _text(bound: float) -> str:
    """As Prometheus' clients for Go write it: 1 and not 1.0."""
    return f"{bound:g}"
