"""What waits in one priority level: queues, requests dealt to them by shuffle sharding, served by start-time fair queueing.

A flow is dealt a hand of queues by its hash and waits in the shortest of them, so that a flood fills its own hand and hardly
ever all queues of somebody else's. Each queue has a virtual time at which its next request is due: the level's virtual time
when the queue wakes up, and later by the width of each request that left it. The queue that is due first is next.

Upstream's queues are due by seats × seconds of service. Here one loop does the work of all, so how long a request was under
way says how long the others kept the loop, not what the request cost: a flow would pay for its neighbours. Widths alone are
fair in this world, and need no clock.

Sources: Goyal et al., "Start-time Fair Queuing" (1996); KEP-1040, "Queue Assignment".
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from pybernetes.apiserver.attributes import RequestInfo
from pybernetes.apiserver.flow_control.flows import Seat


@dataclass(slots=True, eq=False)
class Waiter:
    """A request that waits. `admitted` is resolved when it may start."""

    seat: Seat
    user: str
    distinguisher: str
    info: RequestInfo
    size: int  # bytes of its body, which wait with it
    arrived: datetime
    admitted: asyncio.Future[None]
    queue: Queue | None = None


@dataclass(slots=True, eq=False)
class Queue:
    index: int
    waiters: deque[Waiter] = field(default_factory=deque)
    due: float = 0.0  # in the level's virtual time
    listed: bool = False  # in the heap
    running: int = 0  # requests that came through it
    running_seats: int = 0

    @property
    def waiting_seats(self) -> int:
        return sum(waiter.seat.width for waiter in self.waiters)


class FairQueues:
    """`count` queues of at most `length_limit` requests each; a flow's hand is `hand_size` of them."""

    def __init__(self, count: int, hand_size: int, length_limit: int) -> None:
        self.count = count
        self.hand_size = hand_size
        self.length_limit = length_limit
        self._queues: dict[int, Queue] = {}  # those that were ever used
        self._due: list[tuple[float, int, Queue]] = []
        self._virtual = 0.0

    def __iter__(self) -> Iterator[Queue]:
        """By index; queues never used are not among them."""
        return iter(sorted(self._queues.values(), key=lambda queue: queue.index))

    def put(self, waiter: Waiter, flow_hash: int, *, bounded: bool = True) -> bool:
        """Queue it; False if its queue is full."""
        hand = deal(flow_hash, self.count, self.hand_size)
        queue = min((self._queue(index) for index in hand), key=lambda found: len(found.waiters))
        if bounded and len(queue.waiters) >= self.length_limit:
            return False
        if not queue.waiters:
            queue.due = max(queue.due, self._virtual)
        waiter.queue = queue
        queue.waiters.append(waiter)
        self._list(queue)
        return True

    def first(self) -> Waiter | None:
        """Whose turn it is."""
        while self._due:
            queue = self._due[0][2]
            if queue.waiters:
                return queue.waiters[0]
            heapq.heappop(self._due)
            queue.listed = False
        return None

    def take(self) -> Waiter:
        """Remove `first()`, which must be somebody."""
        _, _, queue = heapq.heappop(self._due)
        queue.listed = False
        waiter = queue.waiters.popleft()
        self._virtual = max(self._virtual, queue.due)
        queue.due += waiter.seat.width
        if queue.waiters:
            self._list(queue)
        return waiter

    def remove(self, waiter: Waiter) -> bool:
        """Take somebody out who gave up; False if it was not there any more."""
        if waiter.queue is None or waiter not in waiter.queue.waiters:
            return False
        waiter.queue.waiters.remove(waiter)
        return True

    def _list(self, queue: Queue) -> None:
        if not queue.listed:
            queue.listed = True
            heapq.heappush(self._due, (queue.due, queue.index, queue))

    def _queue(self, index: int) -> Queue:
        queue = self._queues.get(index)
        if queue is None:
            queue = self._queues[index] = Queue(index)
        return queue


def flow_hash(schema: str, distinguisher: str) -> int:
    """64 bits of a flow's identity."""
    digest = hashlib.blake2b(f"{schema}\0{distinguisher}".encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def deal(entropy: int, deck: int, hand: int) -> list[int]:
    """`hand` different numbers below `deck`, evenly by `entropy`."""
    cards: list[int] = []
    for remaining in range(deck, deck - min(hand, deck), -1):
        entropy, card = divmod(entropy, remaining)
        for dealt in sorted(cards):  # the card-th of those still there
            if card >= dealt:
                card += 1
        cards.append(card)
    return cards
