"""A priority level at work: what runs in it, what waits for it, and whether one more fits."""

from __future__ import annotations

from pybernetes.apiserver.flow_control.allocation import Demand, Limits, width_most
from pybernetes.apiserver.flow_control.configuration import LevelConfiguration, Queuing
from pybernetes.apiserver.flow_control.fair_queues import FairQueues, flow_hash

# A level that rejects still has to wait for the loop's next turn, with the seats that are free: one queue will do.
_UNQUEUED = Queuing(1, 1, 1_000_000)


class Level:
    __slots__ = (
        "demand", "exempt", "fraction", "limit", "limits", "name", "passed", "queues", "queuing", "quiescing", "running",
        "running_seats", "stride", "target", "timed_out", "uid", "waiting", "waiting_bytes", "waiting_seats", "width_most",
    )  # fmt: skip

    def __init__(self, configuration: LevelConfiguration, limits: Limits) -> None:
        self.name = configuration.name
        self.running = 0  # requests
        self.running_seats = 0
        self.waiting = 0
        self.waiting_seats = 0
        self.waiting_bytes = 0
        self.passed = 0.0  # how many requests it has started, in strides: who has had least is next
        self.quiescing = False  # not wanted any more, and gone once it is empty
        self.demand = Demand()
        self.target = 0.0  # of the last division of the seats
        self.fraction = 0.0
        self.limit = limits.initial
        self.queuing: Queuing | None = None
        self.queues = FairQueues(1, 1, 0)
        self.configure(configuration, limits)

    def configure(self, configuration: LevelConfiguration, limits: Limits) -> None:
        """Take a new configuration; what runs and what waits goes on."""
        self.uid = configuration.uid
        self.exempt = configuration.shares.exempt
        self.quiescing = False
        self.stride = 1 / max(1, configuration.shares.nominal)
        self.limits = limits
        self.limit = min(max(self.limit, limits.lower), limits.upper)
        wanted = configuration.queuing
        self.width_most = width_most(limits.nominal, wanted.hand_size if wanted else 0)
        shape = wanted or _UNQUEUED
        if wanted != self.queuing or not self.queues.length_limit:
            self._requeue(FairQueues(shape.queues, shape.hand_size, shape.length_limit))
        self.queuing = wanted

    @property
    def idle(self) -> bool:
        return not self.running and not self.waiting

    def fits(self, width: int) -> bool:
        """Whether a request may start: any one may alone, or what is wider than its level would never."""
        return self.running_seats + width <= self.limit or not self.running_seats

    def has_room(self, width: int) -> bool:
        """Whether a request may wait, in a level that rejects: for a turn, not for a seat."""
        return self.queuing is not None or self.fits(self.waiting_seats + width)

    def _requeue(self, queues: FairQueues) -> None:
        waiting = sorted((waiter for queue in self.queues for waiter in queue.waiters), key=lambda one: one.arrived)
        for waiter in waiting:
            queues.put(waiter, flow_hash(waiter.seat.flow.schema, waiter.distinguisher), bounded=False)
        self.queues = queues
