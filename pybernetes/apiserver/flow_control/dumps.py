"""/debug/api_priority_and_fairness/: what the gate holds at the moment, as upstream's tables.

Requests that run are not listed: a seat does not know whose it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pybernetes.apiserver.flow_control.fair_queues import Waiter
from pybernetes.apiserver.flow_control.gate import Gate

ROOT: Final = "/debug/api_priority_and_fairness"
_LEVELS: Final = (
    "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests", "DispatchedRequests",
    "RejectedRequests", "TimedoutRequests", "CancelledRequests",
)  # fmt: skip
_QUEUES: Final = (
    "PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR", "InitialSeatsSum",
    "MaxSeatsSum", "TotalWorkSum",
)  # fmt: skip
_REQUESTS: Final = (
    "PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher", "ArriveTime", "InitialSeats",
    "FinalSeats", "AdditionalLatency", "StartTime",
)  # fmt: skip
_DETAILS: Final = ("UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource")
_NEVER: Final = "0001-01-01T00:00:00Z"


def priority_levels(gate: Gate) -> str:
    rows = []
    for level in gate.levels.values():
        counts = [found for (name, _), found in gate.counts.items() if name == level.name]
        lost = {reason: sum(found.rejected[reason] for found in counts) for reason in ("time-out", "cancelled")}
        rejected = sum(found.rejected["queue-full"] + found.rejected["concurrency-limit"] for found in counts)
        rows.append((
            level.name, str(sum(bool(queue.waiters) for queue in level.queues)), _flag(level.idle), _flag(level.quiescing),
            str(level.waiting), str(level.running), str(sum(found.dispatched for found in counts)), str(rejected),
            str(lost["time-out"]), str(lost["cancelled"]),
        ))  # fmt: skip
    return _table(_LEVELS, sorted(rows))


def queues(gate: Gate) -> str:
    return _table(_QUEUES, [
        (
            level.name, str(queue.index), str(len(queue.waiters)), str(queue.running), str(queue.running_seats),
            f"{queue.due:.8f}ss", str(queue.waiting_seats), str(queue.waiting_seats), f"{queue.waiting_seats:.8f}ss",
        )
        for level in sorted(gate.levels.values(), key=lambda found: found.name)
        for queue in level.queues
    ])  # fmt: skip


def requests(gate: Gate, *, details: bool) -> str:
    return _table((*_REQUESTS, *_DETAILS) if details else _REQUESTS, list(_waiting(gate, details=details)))


def _waiting(gate: Gate, *, details: bool) -> Iterator[Sequence[str]]:
    for level in sorted(gate.levels.values(), key=lambda found: found.name):
        for queue in level.queues:
            for position, waiter in enumerate(queue.waiters):
                row = (
                    level.name, waiter.seat.flow.schema, str(queue.index), str(position), waiter.distinguisher,
                    waiter.arrived.isoformat().replace("+00:00", "Z"), str(waiter.seat.width), "0", "0s", _NEVER,
                )  # fmt: skip
                yield (*row, *_detailed(waiter)) if details else row


def _detailed(waiter: Waiter) -> Sequence[str]:
    info = waiter.info
    version = f"{info.group}/{info.version}" if info.group else info.version
    return (waiter.user, info.verb, info.path, info.namespace, info.name, version, info.resource, info.subresource)


def _flag(value: bool) -> str:
    return str(value).lower()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns with commas, aligned."""
    cells = [[*(f"{cell}," for cell in row[:-1]), row[-1]] for row in (head, *rows)]
    widths = [max(8, *(len(row[column]) + 1 for row in cells)) for column in range(len(head) - 1)]
    return "".join("".join(map(str.ljust, row, widths)) + row[-1] + "\n" for row in cells)
