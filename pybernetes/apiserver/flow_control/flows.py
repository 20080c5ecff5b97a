"""A flow schema at work: which level its requests go to, and what has become of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pybernetes.apiserver.metrics.series import Histogram

if TYPE_CHECKING:
    from pybernetes.apiserver.flow_control.fair_queues import Queue
    from pybernetes.apiserver.flow_control.levels import Level

WAIT_BUCKETS_S = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
LENGTH_BUCKETS = (0, 10, 25, 50, 100, 250, 500, 1000)
WIDTH_BUCKETS = (1, 2, 4, 10)

Reason = Literal["queue-full", "concurrency-limit", "time-out", "cancelled"]


@dataclass(slots=True, eq=False)
class Counts:
    """What happened to the requests of one schema in one level; outlives changes of both."""

    dispatched: int = 0
    running: int = 0
    running_seats: int = 0
    waiting: int = 0
    waiting_seats: int = 0
    not_accommodated: int = 0
    wide: int = 0  # of more than one seat
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    waits: dict[bool, Histogram] = field(default_factory=dict)  # seconds, by whether it was carried out
    lengths: Histogram = field(default_factory=lambda: Histogram(LENGTH_BUCKETS))
    widths: Histogram = field(default_factory=lambda: Histogram(WIDTH_BUCKETS))  # of the wide ones


class Flow:
    """What a request is classified as. `single` is the seat of most of its requests, shared: it has no state."""

    __slots__ = ("counts", "distinguished_by", "headers", "level", "schema", "schema_uid", "single", "spec")

    def __init__(self, schema: str, schema_uid: str, spec: dict[str, object], level: Level, counts: Counts) -> None:
        self.schema = schema
        self.schema_uid = schema_uid
        self.spec = spec
        self.level = level
        self.counts = counts
        method = spec.get("distinguisherMethod")
        self.distinguished_by = str(method.get("type", "")) if isinstance(method, dict) else ""
        # UIDs and not names, as upstream: how somebody is classified is not for all to read.
        self.headers = {
            "X-Kubernetes-Pf-Flowschema-Uid": schema_uid,
            "X-Kubernetes-Pf-Prioritylevel-Uid": level.uid,
        }
        self.single = Seat(self)


class Seat:
    """A place of `width` for one request of a flow; `queue` is the one that it came through."""

    __slots__ = ("flow", "headers", "queue", "width")

    def __init__(self, flow: Flow, width: int = 1, queue: Queue | None = None) -> None:
        self.flow = flow
        self.headers = flow.headers
        self.width = width
        self.queue = queue
