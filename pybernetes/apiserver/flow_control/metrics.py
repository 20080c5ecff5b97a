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
    return [
        counter(_NAME + "rejected_requests", "Requests that found no place.", (*_FLOW, "reason"), rejected),
        counter(
            _NAME + "dispatched_requests", "Requests that were carried out.", _FLOW,
            {key: found.dispatched for key, found in counts.items()},
        ),
        gauge(
            _NAME + "current_inqueue_requests", "Requests that wait.", _FLOW,
            {key: found.waiting for key, found in counts.items()},
        ),
        gauge(
            _NAME + "current_inqueue_seats", "Seats that they want.", _FLOW,
            {key: found.waiting_seats for key, found in counts.items()},
        ),
        gauge(
            _NAME + "current_executing_requests", "Requests under way.", _FLOW,
            {key: found.running for key, found in counts.items()},
        ),
        gauge(
            _NAME + "current_executing_seats", "Seats that they have.", _FLOW,
            {key: found.running_seats for key, found in counts.items()},
        ),
        counter(
            _NAME + "request_dispatch_no_accommodation", "Times that the next one did not fit.", _FLOW,
            {key: found.not_accommodated for key, found in counts.items()},
        ),
        histogram(_NAME + "request_wait_duration_seconds", "How long requests waited.", (*_FLOW, "execute"), waits),
        histogram(_NAME + "request_queue_length_after_enqueue", "Length of their queue.", _FLOW, lengths),
        histogram(_NAME + "work_estimated_seats", "Seats that requests take.", _FLOW, widths),
    ]  # fmt: skip


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
