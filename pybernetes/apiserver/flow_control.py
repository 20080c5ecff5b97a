"""Who is served when there is more to do than can be done (a first, simple form of API Priority and Fairness, KEP-1040).

Every request has a priority level, by who asks for what: the levels, their rules and their shares are those that a new cluster
has. `system:masters` and health checks are exempt. A level has its share of the seats (`--max-requests-inflight` plus
`--max-mutating-requests-inflight`), and borrows while half of all seats are free. Since one loop does the work of all, seats
alone would not keep a flood of short requests from filling it: in one turn of the loop at most `TURN_STARTS` requests start.
What cannot start waits, in a queue per level and user; levels take turns by their shares, users of a level one by one. A queue
that is full, or a wait that is too long, is answered 429.

Left out: FlowSchema and PriorityLevelConfiguration objects that differ from the defaults, and the width of a list.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from pybernetes.apiserver.attributes import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, MASTERS, RequestInfo, User
from pybernetes.apiserver.deadlines import LONG_RUNNING_SUBRESOURCES
from pybernetes.machinery.http.health import ROOTS

TURN_STARTS: Final = 24
WAIT_S: Final = 15.0  # upstream: a quarter of the request timeout
WAITING_LIMIT: Final = 2000  # requests of one level
FLOW_LIMIT: Final = 400  # of one user in it
WAITING_BYTES: Final = 64 * 1024 * 1024  # their bodies

# name -> (shares, whether it queues)
SHARES: Final = {
    "system": (30, True), "node-high": (40, True), "leader-election": (10, True), "workload-high": (40, True),
    "workload-low": (100, True), "global-default": (20, True), "catch-all": (5, False),
}  # fmt: skip
_LEADERS: Final = frozenset(("system:kube-controller-manager", "system:kube-scheduler"))
_NODES: Final = "system:nodes"
_SERVICE_ACCOUNTS: Final = "system:serviceaccounts"
_KUBE_SYSTEM: Final = "system:serviceaccounts:kube-system"


class TooBusy(Exception):
    """No place for the request: 429."""


def classify(user: User, info: RequestInfo) -> str:
    """The name of the priority level; "" for what is exempt."""
    groups = user.groups
    if MASTERS in groups or info.subresource in LONG_RUNNING_SUBRESOURCES:
        return ""
    if not info.is_resource and info.path.startswith(ROOTS):
        return ""
    if info.resource == "leases" and info.group == "coordination.k8s.io":
        if _NODES in groups:
            return "node-high"
        if info.verb in ("get", "create", "update") and (user.name in _LEADERS or _KUBE_SYSTEM in groups):
            return "leader-election"
    if _NODES in groups:
        return "node-high" if info.resource == "nodes" else "system"
    if user.name in _LEADERS or _KUBE_SYSTEM in groups:
        return "workload-high"
    if _SERVICE_ACCOUNTS in groups:
        return "workload-low"
    return "global-default" if ALL_AUTHENTICATED in groups or ALL_UNAUTHENTICATED in groups else "catch-all"


@dataclass(slots=True)
class _Waiter:
    future: asyncio.Future[None]
    size: int


class _Level:
    def __init__(self, shares: int, seats: int, queues: bool) -> None:
        self.seats = seats
        self.queues = queues
        self.stride = 1 / shares
        self.passed = 0.0  # how much it has had, in strides: who has had least is next
        self.running = 0
        self.flows: dict[str, deque[_Waiter]] = {}  # by user; the first is next
        self.waiting = 0
        self.waiting_bytes = 0


class FlowControl:
    """`enter` before a request is carried out, `leave` afterwards (if `enter` returned)."""

    def __init__(self, seats: int) -> None:
        total = sum(shares for shares, _ in SHARES.values())
        self._seats = seats
        self._levels = {
            name: _Level(shares, max(1, -(-seats * shares // total)), queues) for name, (shares, queues) in SHARES.items()
        }
        self._running = 0
        self._waiting = 0
        self._passed = 0.0  # of the level served last: one that comes back does not make up for its absence
        self._starts_left = TURN_STARTS
        self._turn_ends = False

    @property
    def waiting(self) -> int:
        return self._waiting

    def enter_at_once(self, name: str) -> bool:
        """Take a seat if nobody has to wait for it."""
        level = self._levels[name]
        if self._starts_left <= 0 or level.waiting or not self._has_seat(level):
            return False
        self._start(level)
        return True

    async def wait(self, name: str, flow: str, size: int) -> None:
        """Take a seat when it is this flow's turn; `size` is what waits in memory, in bytes. Raises `TooBusy`."""
        level = self._levels[name]
        queue = level.flows.get(flow)
        if (
            (not level.queues and not self._has_seat(level)) or level.waiting >= WAITING_LIMIT
            or level.waiting_bytes + size > WAITING_BYTES or (queue is not None and len(queue) >= FLOW_LIMIT)
        ):  # fmt: skip
            raise TooBusy
        waiter = _Waiter(asyncio.get_running_loop().create_future(), size)
        if queue is None:
            queue = level.flows[flow] = deque()
        if not level.waiting:
            level.passed = max(level.passed, self._passed)
        queue.append(waiter)
        level.waiting += 1
        level.waiting_bytes += size
        self._waiting += 1
        self._end_turn()
        try:
            async with asyncio.timeout(WAIT_S):
                await waiter.future
        except BaseException as error:
            if waiter.future.done() and not waiter.future.cancelled():
                self.leave(name)  # our turn came just then
            elif waiter in queue:
                queue.remove(waiter)
                self._unqueued(level, flow, waiter)
            if isinstance(error, TimeoutError):
                raise TooBusy from error
            raise

    def leave(self, name: str) -> None:
        level = self._levels[name]
        level.running -= 1
        self._running -= 1
        if self._waiting:
            self._end_turn()

    def _has_seat(self, level: _Level) -> bool:
        return level.running < level.seats or 2 * self._running < self._seats

    def _start(self, level: _Level) -> None:
        level.running += 1
        level.passed += level.stride
        self._running += 1
        self._starts_left -= 1
        self._end_turn()

    def _end_turn(self) -> None:
        if not self._turn_ends:
            self._turn_ends = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """A new turn of the loop: those who wait start first."""
        self._turn_ends = False
        self._starts_left = TURN_STARTS
        while self._waiting and self._starts_left > 0:
            ready = [level for level in self._levels.values() if level.waiting and self._has_seat(level)]
            if not ready:
                return
            level = min(ready, key=lambda found: found.passed)
            self._passed = level.passed
            flow, queue = next(iter(level.flows.items()))
            waiter = queue.popleft()
            del level.flows[flow]
            if queue:
                level.flows[flow] = queue  # the next user's turn
            level.waiting -= 1
            level.waiting_bytes -= waiter.size
            self._waiting -= 1
            if not waiter.future.done():
                self._start(level)
                waiter.future.set_result(None)

    def _unqueued(self, level: _Level, flow: str, waiter: _Waiter) -> None:
        level.waiting -= 1
        level.waiting_bytes -= waiter.size
        self._waiting -= 1
        if not level.flows[flow]:
            del level.flows[flow]
