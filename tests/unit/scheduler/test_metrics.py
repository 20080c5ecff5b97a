"""Metrics by upstream's names."""

from __future__ import annotations

from pybernetes.scheduler.metrics import SCHEDULED, UNSCHEDULABLE, Histogram, Metrics, render


def text(**state):
    metrics = Metrics()
    metrics.attempted("default-scheduler", SCHEDULED, 0.003)
    metrics.attempted("default-scheduler", SCHEDULED, 0.1)
    metrics.attempted("default-scheduler", UNSCHEDULABLE, 0.001)
    metrics.algorithm_s.observe(0.0001)
    metrics.scheduled(attempts=20, waited_s=3.0)
    metrics.queued("active", "PodAdd")
    return render(metrics, {"active": 3, "gated": 1}, {"nodes": 2}).decode().splitlines()


def test_names_and_labels_are_upstreams():
    lines = text()
    for line in (
        'scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 2.0',
        'scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"} 1.0',
        'scheduler_scheduling_attempt_duration_seconds_bucket{le="0.004",profile="default-scheduler",result="scheduled"} 1.0',
        'scheduler_scheduling_attempt_duration_seconds_count{profile="default-scheduler",result="scheduled"} 2.0',
        "scheduler_scheduling_algorithm_duration_seconds_count 1.0",
        "scheduler_pod_scheduling_attempts_count 1.0",
        'scheduler_pod_scheduling_sli_duration_seconds_sum{attempts="16"} 3.0',
        'scheduler_queue_incoming_pods_total{event="PodAdd",queue="active"} 1.0',
        'scheduler_pending_pods{queue="active"} 3.0',
        'scheduler_cache_size{type="nodes"} 2.0',
    ):
        assert line in lines


def test_buckets_add_up():
    histogram = Histogram((1, 2))
    for value in (0.5, 1, 1.5, 7):
        histogram.observe(value)
    assert histogram.cumulative() == ([("1", 2), ("2", 3), ("+Inf", 4)], 10.0)
