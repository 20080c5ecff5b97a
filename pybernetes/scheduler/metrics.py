"""The scheduler's metrics by upstream's names: counted in plain numbers, rendered only when somebody asks.

Source: https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

SCHEDULED, UNSCHEDULABLE, ERROR = "scheduled", "unschedulable", "error"

ATTEMPT_BUCKETS_S = tuple(0.001 * 2**i for i in range(15))
SLI_BUCKETS_S = tuple(0.01 * 2**i for i in range(20))
ATTEMPTS_BUCKETS = (1, 2, 4, 8, 16)


class Histogram:
    """How many observations were at most as large as each bound."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """(upper bound, observations up to it) for each bucket, and the sum of all."""
        total, buckets = 0, []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets, self._sum


@dataclass(slots=True)
class Metrics:
    """What has happened so far; the state of queue and cache is asked for at rendering."""

    attempts: dict[tuple[str, str], int] = field(default_factory=dict)  # (profile, result)
    attempt_s: dict[tuple[str, str], Histogram] = field(default_factory=dict)
    algorithm_s: Histogram = field(default_factory=lambda: Histogram(ATTEMPT_BUCKETS_S))
    attempts_until_scheduled: Histogram = field(default_factory=lambda: Histogram(ATTEMPTS_BUCKETS))
    sli_s: dict[int, Histogram] = field(default_factory=dict)  # by attempts, 16 for 16 and more
    incoming: dict[tuple[str, str], int] = field(default_factory=dict)  # (queue, event)

    def attempted(self, profile: str, result: str, took_s: float) -> None:
        key = profile, result
        self.attempts[key] = self.attempts.get(key, 0) + 1
        if key not in self.attempt_s:
            self.attempt_s[key] = Histogram(ATTEMPT_BUCKETS_S)
        self.attempt_s[key].observe(took_s)

    def scheduled(self, attempts: int, waited_s: float) -> None:
        """A pod is bound, so long after it was first seen."""
        self.attempts_until_scheduled.observe(attempts)
        label = min(attempts, 16)
        if label not in self.sli_s:
            self.sli_s[label] = Histogram(SLI_BUCKETS_S)
        self.sli_s[label].observe(waited_s)

    def queued(self, queue: str, event: str) -> None:
        key = queue, event
        self.incoming[key] = self.incoming.get(key, 0) + 1


def render(metrics: Metrics, pending: Mapping[str, int], cached: Mapping[str, int]) -> bytes:
    """The Prometheus text. `pending`: pods by queue; `cached`: how many nodes, pods, assumed_pods."""
    from prometheus_client import PROCESS_COLLECTOR, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.registry import Collector, CollectorRegistry

    attempts = CounterMetricFamily("scheduler_schedule_attempts", "Attempts to schedule pods.", labels=["profile", "result"])
    for labels, count in metrics.attempts.items():
        attempts.add_metric(labels, count)
    incoming = CounterMetricFamily("scheduler_queue_incoming_pods", "Pods put into a queue.", labels=["queue", "event"])
    for labels, count in metrics.incoming.items():
        incoming.add_metric(labels, count)
    attempt_s = HistogramMetricFamily(
        "scheduler_scheduling_attempt_duration_seconds", "Time of an attempt, binding included.", labels=["profile", "result"]
    )
    for labels, histogram in metrics.attempt_s.items():
        attempt_s.add_metric(labels, *histogram.cumulative())
    algorithm_s = HistogramMetricFamily("scheduler_scheduling_algorithm_duration_seconds", "Time to decide.")
    algorithm_s.add_metric((), *metrics.algorithm_s.cumulative())
    tries = HistogramMetricFamily("scheduler_pod_scheduling_attempts", "Attempts until a pod was scheduled.")
    tries.add_metric((), *metrics.attempts_until_scheduled.cumulative())
    sli_s = HistogramMetricFamily(
        "scheduler_pod_scheduling_sli_duration_seconds", "Time from a pod's arrival until it is bound.", labels=["attempts"]
    )
    for number, histogram in metrics.sli_s.items():
        sli_s.add_metric([str(number)], *histogram.cumulative())
    pending_pods = GaugeMetricFamily("scheduler_pending_pods", "Pods that wait, by queue.", labels=["queue"])
    for queue, number in pending.items():
        pending_pods.add_metric([queue], number)
    cache_size = GaugeMetricFamily("scheduler_cache_size", "Objects in the scheduler's cache.", labels=["type"])
    for type_, number in cached.items():
        cache_size.add_metric([type_], number)

    class Ours(Collector):
        def collect(self) -> Iterable[Metric]:
            return [attempts, attempt_s, algorithm_s, tries, sli_s, incoming, pending_pods, cache_size]

    registry = CollectorRegistry()
    registry.register(Ours())
    registry.register(PROCESS_COLLECTOR)
    return generate_latest(registry)
