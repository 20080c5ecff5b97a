"""`apiserver_flowcontrol_*`: what the gate has counted, as Prometheus families. Made on the loop.

Left out: the metrics of upstream's virtual time and of utilization per nanosecond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pybernetes.apiserver.flow_control.flows import WIDTH_BUCKETS, Counts
from pybernetes.apiserver.flow_control.gate import Gate
from pybernetes.apiserver.metrics.series import Histogram, Labels, counter, gauge, histogram

if TYPE_CHECKING:
    from prometheus_client import Metric

_FLOW: Final = ("priority_level", "flow_schema")
_LEVEL: Final = ("priority_level",)
_NAME: Final = "apiserver_flowcontrol_"
# name, field of `Counts`, what it is
_GAUGES: Final = (
    ("current_inqueue_requests", "waiting", "Requests that wait."),
    ("current_inqueue_seats", "waiting_seats", "Seats that they want."),
    ("current_executing_requests", "running", "Requests under way."),
    ("current_executing_seats", "running_seats", "Seats that they have."),
)
_COUNTERS: Final = (
    ("dispatched_requests", "dispatched", "Requests that were carried out."),
    ("request_dispatch_no_accommodation", "not_accommodated", "Times that the next one did not fit."),
)


def families(gate: Gate) -> list[Metric]:
    return [*_of_flows(gate.counts), *_of_levels(gate)]


def _of_flows(counts: dict[tuple[str, str], Counts]) -> list[Metric]:
    rejected = {(*key, reason): float(n) for key, found in counts.items() for reason, n in found.rejected.items()}
    waits = [
        ((*key, str(carried_out).lower()), waited.copy())
        for key, found in counts.items()
        for carried_out, waited in found.waits.items()
    ]
    lengths: list[tuple[Labels, Histogram]] = [
        (key, found.lengths.copy()) for key, found in counts.items() if any(found.lengths.buckets)
    ]
    widths: list[tuple[Labels, Histogram]] = [(key, _widths(found)) for key, found in counts.items()]
    gauges = [
        gauge(_NAME + name, documentation, _FLOW, {key: float(getattr(found, field)) for key, found in counts.items()})
        for name, field, documentation in _GAUGES
    ]
    counters = [
        counter(_NAME + name, documentation, _FLOW, {key: float(getattr(found, field)) for key, found in counts.items()})
        for name, field, documentation in _COUNTERS
    ]
    return [
        *gauges,
        *counters,
        counter(_NAME + "rejected_requests", "Requests that found no place.", (*_FLOW, "reason"), rejected),
        histogram(_NAME + "request_wait_duration_seconds", "How long requests waited.", (*_FLOW, "execute"), waits),
        histogram(_NAME + "request_queue_length_after_enqueue", "Length of their queue.", _FLOW, lengths),
        histogram(_NAME + "work_estimated_seats", "Seats that requests take.", _FLOW, widths),
    ]


def _widths(counts: Counts) -> Histogram:
    found = counts.widths.copy()
    slim = counts.dispatched - counts.wide
    found.buckets[WIDTH_BUCKETS.index(1)] += slim
    found.total += slim
    return found


def _of_levels(gate: Gate) -> list[Metric]:
    levels = gate.levels.values()

    def each(name: str, documentation: str, values: dict[str, float]) -> Metric:
        return gauge(_NAME + name, documentation, _LEVEL, {(level,): value for level, value in values.items()})

    return [
        each("nominal_limit_seats", "A level's share.", {one.name: one.limits.nominal for one in levels}),
        each("lower_limit_seats", "What it does not lend.", {one.name: one.limits.lower for one in levels}),
        each("upper_limit_seats", "With all that it may borrow.", {one.name: one.limits.upper for one in levels}),
        each("current_limit_seats", "What it has at the moment.", {one.name: one.limit for one in levels}),
        each("demand_seats_high_watermark", "Most that it asked for.", {one.name: one.demand.last_high for one in levels}),
        each("demand_seats_average", "What it asked for.", {one.name: one.demand.average for one in levels}),
        each("demand_seats_stdev", "Its standard deviation.", {one.name: one.demand.deviation for one in levels}),
        each("demand_seats_smoothed", "What is expected.", {one.name: one.demand.smoothed for one in levels}),
        each("target_seats", "What it would get by that.", {one.name: one.target for one in levels}),
        gauge(
            _NAME + "seat_fair_frac", "Fraction of it that all get.", (),
            {(): max((one.fraction for one in levels), default=0.0)},
        ),
    ]  # fmt: skip
