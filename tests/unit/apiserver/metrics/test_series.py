"""Histograms, and how they become Prometheus families."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from pybernetes.apiserver.metrics.series import Histogram, counter, gauge, histogram


def test_a_bound_belongs_to_its_bucket_and_the_last_has_none() -> None:
    found = Histogram((1, 5))
    for value in (0, 1, 2, 5, 6):
        found.observe(value)
    assert found.buckets == [2, 2, 1] and found.total == 14
    assert found.cumulative() == [("1", 2.0), ("5", 4.0), ("+Inf", 5.0)]
    copied = found.copy()
    copied.observe(1)
    assert found.buckets == [2, 2, 1]


def test_bounds_are_written_as_upstream_writes_them() -> None:
    assert [text for text, _ in Histogram((0.005, 1, 1.25, 60, 1e9)).cumulative()] == [
        "0.005", "1", "1.25", "60", "1e+09", "+Inf",
    ]  # fmt: skip


def test_families_are_what_prometheus_reads() -> None:
    seconds = Histogram((1,))
    seconds.observe(0.5)

    class Ours(Collector):
        def collect(self):  # type: ignore[no-untyped-def]
            return [
                counter("a", "A.", ("x",), {("1",): 2.0}), gauge("b", "B.", (), {(): 3.0}),
                histogram("c", "C.", ("x",), [(("1",), seconds)]),
            ]  # fmt: skip

    registry = CollectorRegistry()
    registry.register(Ours())
    text = generate_latest(registry).decode()
    assert 'a_total{x="1"} 2.0' in text and "\nb 3.0" in text
    assert 'c_bucket{le="1",x="1"} 1.0' in text and 'c_count{x="1"} 1.0' in text and 'c_sum{x="1"} 0.5' in text
