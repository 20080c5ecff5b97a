"""The door that every short request passes, and long ones while they begin.

A level has so many seats at a time (`allocation`). Since one loop does the work of all, seats alone would not keep a flood of
short requests from filling it: in one turn of the loop at most `TURN_STARTS` requests start. What cannot start waits in its
level's queues; levels take turns by their shares, queues of a level by what they have had. What waits too long, or finds its
queue full, is answered 429. Requests of the exempt level start at once, whatever else there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.flow_control import allocation, work
from pybernetes.apiserver.flow_control.classification import Classifier
from pybernetes.apiserver.flow_control.configuration import Configuration, LevelConfiguration, read
from pybernetes.apiserver.flow_control.fair_queues import Waiter, flow_hash
from pybernetes.apiserver.flow_control.flows import WAIT_BUCKETS_S, Counts, Flow, Reason, Seat
from pybernetes.apiserver.flow_control.interface import TooBusy
from pybernetes.apiserver.flow_control.levels import Level
from pybernetes.apiserver.metrics.series import Histogram
from pybernetes.machinery.clock import Clock

TURN_STARTS: Final = 24
WAIT_S: Final = 15.0  # a quarter of the request timeout
WAITING_BYTES: Final = 64 * 1024 * 1024  # bodies that wait in one level

# How many objects a list of that resource has, and the bytes of one; None for what is not stored here.
Stored = Callable[[RequestInfo], tuple[int, int] | None]


class Gate:
    """`enter_at_once` or `wait`, then carry the request out, then `leave`."""

    def __init__(self, seats: int, clock: Clock, stored: Stored, *, wait_s: float = WAIT_S) -> None:
        self.seats = seats
        self.levels: dict[str, Level] = {}
        self.counts: dict[tuple[str, str], Counts] = {}  # by level and schema
        self._clock = clock
        self._stored = stored
        self._wait_s = wait_s
        self._waiting = 0
        self._passed = 0.0  # of the level served last: one that comes back does not make up for its absence
        self._starts_left = TURN_STARTS
        self._turn_ends = False
        self.configure(read((), ()))

    # Configuration

    def configure(self, wanted: Configuration) -> None:
        """From now on this decides; what runs or waits goes on where it is."""
        for level in self.levels.values():
            if level.name not in wanted.levels:
                level.quiescing = True
        self._configuration = wanted
        self._set_limits()
        flows = []
        for schema in wanted.schemas:
            counts = self.counts.setdefault((schema.level, schema.name), Counts())
            flows.append(Flow(schema.name, schema.uid, schema.spec, self.levels[schema.level], counts))
        used = {(flow.level.name, flow.schema) for flow in flows}
        self.counts = {key: found for key, found in self.counts.items() if key in used or found.running or found.waiting}
        self._classifier = Classifier(flows)

    def _set_limits(self) -> None:
        self._drop_quiet()
        wanted = self._configuration.levels
        shares = {level.name: allocation.Shares(round(1 / level.stride)) for level in self.levels.values() if level.quiescing}
        limits = allocation.limits(shares | {name: found.shares for name, found in wanted.items()}, self.seats)
        for name, found in wanted.items():
            self._configure_level(found, limits[name])
        if self._waiting:
            self._end_turn()

    def _configure_level(self, wanted: LevelConfiguration, limits: allocation.Limits) -> None:
        level = self.levels.get(wanted.name)
        if level is None:
            self.levels[wanted.name] = Level(wanted, limits)
        else:
            level.configure(wanted, limits)

    def _drop_quiet(self) -> None:
        for name in [level.name for level in self.levels.values() if level.quiescing and level.idle]:
            del self.levels[name]

    # Seats over time

    def sample(self) -> None:
        """Note what is asked for; once a second."""
        for level in self.levels.values():
            level.demand.sample(level.running_seats + level.waiting_seats)

    def adjust(self) -> None:
        """Divide the seats anew by what has been asked for."""
        if any(level.quiescing and level.idle for level in self.levels.values()):
            self._set_limits()
        limited = [level for level in self.levels.values() if not level.exempt]
        for level in self.levels.values():
            level.demand.close_period(level.running_seats + level.waiting_seats)
        claims = [allocation.claim(level.limits, level.demand) for level in limited]
        seats = sum(level.limits.nominal for level in limited)
        found, fraction = allocation.divide(claims, seats)
        for level, wanted, limit in zip(limited, claims, found, strict=True):
            level.target, level.fraction, level.limit = wanted.target, fraction, limit
        if self._waiting:
            self._end_turn()

    # Requests

    @property
    def waiting(self) -> int:
        return self._waiting

    def seat(self, user: User, info: RequestInfo, query: Mapping[str, str]) -> Seat:
        """The place that a request needs."""
        flow = self._classifier.classify(user, info)
        if info.verb not in ("list", "watch") or not info.is_resource:
            return flow.single
        found = self._stored(info)
        if found is None or not found[0]:
            return flow.single
        width = work.width(info, query, *found, flow.level.width_most)
        return flow.single if width == 1 else Seat(flow, width)

    def enter_at_once(self, seat: Seat) -> bool:
        """Take the seat if nobody has to wait for it."""
        level = seat.flow.level
        if not level.exempt and (
            self._starts_left <= 0 or level.waiting or (level.running_seats + seat.width > level.limit and level.running_seats)
        ):
            return False
        self._start(seat)
        return True

    async def wait(self, seat: Seat, user: User, info: RequestInfo, size: int) -> Seat:
        """Take a seat when it is this flow's turn; `size` is what waits in memory, in bytes. Raises `TooBusy`."""
        flow, level = seat.flow, seat.flow.level
        waiter = Waiter(
            seat, user.name, _distinguisher(flow, user, info), info, size, self._clock.now(),
            asyncio.get_running_loop().create_future(),
        )  # fmt: skip
        if not level.has_room(seat.width):
            raise self._rejected(flow, "concurrency-limit")
        if level.waiting_bytes + size > WAITING_BYTES:
            raise self._rejected(flow, "queue-full")
        if not level.queues.put(waiter, flow_hash(flow.schema, waiter.distinguisher)):
            raise self._rejected(flow, "queue-full")
        self._queued(waiter)
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._wait_s):
                await waiter.admitted
        except BaseException as error:
            self._observe_wait(flow, False, began)
            if waiter.admitted.done() and not waiter.admitted.cancelled():
                self.leave(waiter.seat)  # our turn came just then
            elif level.queues.remove(waiter):
                self._unqueued(waiter)
            if isinstance(error, TimeoutError):
                raise self._rejected(flow, "time-out") from error
            flow.counts.rejected["cancelled"] += 1
            raise
        self._observe_wait(flow, True, began)
        return waiter.seat

    def leave(self, seat: Seat) -> None:
        width, flow = seat.width, seat.flow
        level, counts = flow.level, flow.counts
        level.running -= 1
        level.running_seats -= width
        counts.running -= 1
        counts.running_seats -= width
        if seat.queue is not None:
            seat.queue.running -= 1
            seat.queue.running_seats -= width
        if self._waiting:
            self._end_turn()

    # Turns

    def _start(self, seat: Seat) -> None:
        width, flow = seat.width, seat.flow
        level, counts = flow.level, flow.counts
        level.running += 1
        level.running_seats = running = level.running_seats + width
        if running > level.demand.high:
            level.demand.high = running
        counts.dispatched += 1
        counts.running += 1
        counts.running_seats += width
        if width > 1:
            counts.wide += 1
            counts.widths.observe(width)
        if level.exempt:
            return
        level.passed += level.stride
        self._starts_left -= 1
        if not self._turn_ends:
            self._turn_ends = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _end_turn(self) -> None:
        if not self._turn_ends:
            self._turn_ends = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """A new turn of the loop: those who wait start first."""
        self._turn_ends = False
        self._starts_left = TURN_STARTS
        blocked: set[str] = set()
        while self._waiting and self._starts_left > 0:
            level = self._next_level(blocked)
            if level is None:
                return
            first = level.queues.first()
            assert first is not None
            if not level.fits(first.seat.width):
                first.seat.flow.counts.not_accommodated += 1
                blocked.add(level.name)
                continue
            self._passed = level.passed
            waiter = level.queues.take()
            self._unqueued(waiter)
            if waiter.admitted.done():
                continue  # it gave up in this very turn
            flow, queue = waiter.seat.flow, waiter.queue
            assert queue is not None
            waiter.seat = Seat(flow, waiter.seat.width, queue)
            queue.running += 1
            queue.running_seats += waiter.seat.width
            self._start(waiter.seat)
            waiter.admitted.set_result(None)

    def _next_level(self, blocked: set[str]) -> Level | None:
        ready = [level for level in self.levels.values() if level.waiting and level.name not in blocked]
        return min(ready, key=lambda found: found.passed) if ready else None

    def _queued(self, waiter: Waiter) -> None:
        flow, width = waiter.seat.flow, waiter.seat.width
        level = flow.level
        if not level.waiting:
            level.passed = max(level.passed, self._passed)
        level.waiting += 1
        level.waiting_seats += width
        level.waiting_bytes += waiter.size
        level.demand.high = max(level.demand.high, level.running_seats + level.waiting_seats)
        flow.counts.waiting += 1
        flow.counts.waiting_seats += width
        if waiter.queue is not None:
            flow.counts.lengths.observe(len(waiter.queue.waiters))
        self._waiting += 1
        self._end_turn()

    def _unqueued(self, waiter: Waiter) -> None:
        flow, width = waiter.seat.flow, waiter.seat.width
        level = flow.level
        level.waiting -= 1
        level.waiting_seats -= width
        level.waiting_bytes -= waiter.size
        flow.counts.waiting -= 1
        flow.counts.waiting_seats -= width
        self._waiting -= 1

    def _observe_wait(self, flow: Flow, carried_out: bool, began: float) -> None:
        waits = flow.counts.waits.get(carried_out)
        if waits is None:
            waits = flow.counts.waits[carried_out] = Histogram(WAIT_BUCKETS_S)
        waits.observe(self._clock.monotonic() - began)

    def _rejected(self, flow: Flow, reason: Reason) -> TooBusy:
        flow.counts.rejected[reason] += 1
        return TooBusy(flow.headers)


def _distinguisher(flow: Flow, user: User, info: RequestInfo) -> str:
    if flow.distinguished_by == "ByUser":
        return user.name
    return info.namespace if flow.distinguished_by == "ByNamespace" else ""
