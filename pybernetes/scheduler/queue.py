"""The pods that wait for a node.

         add                        pop
    ─────────▶ active ───────────────────────▶ being scheduled ──▶ bound (gone from here)
       ▲  ▲       ▲                                   │ refused
       │  │       └── back-off over ── backing off ◀──┤ (an event came that may help, or binding failed)
       │  └───── an event that may help ◀── unschedulable ◀┘
    gates gone ◀── gated

A refused pod sleeps until something happens that one of the plugins which refused it waits for (KEP-4247), or for five minutes at
the most. The queue does no I/O; time is told to it.
"""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from typing import Any

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.meta import Object, uid_of
from pybernetes.scheduler.framework import ClusterEvent, Profile, QueuedPod

BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 10.0
UNSCHEDULABLE_MOST_S = 300.0


@dataclass(slots=True)
class Waiting:
    """A pod in the queue. `plugins` are those that refused it last."""

    pod: Object
    profile: Profile
    added_s: float
    attempts: int = 0
    plugins: frozenset[str] = frozenset()
    refused_s: float = 0.0

    @property
    def uid(self) -> str:
        return uid_of(self.pod)


@dataclass(order=True, slots=True)
class _Entry:
    """A place in a heap; dead once the pod has another one, or none. The ticket keeps equals in order."""

    key: tuple[Any, ...]
    ticket: int
    waiting: Waiting = field(compare=False)


class SchedulingQueue:
    def __init__(
        self, clock: Clock, *, backoff_first_s: float = BACKOFF_FIRST_S, backoff_most_s: float = BACKOFF_MOST_S
    ) -> None:
        self._clock = clock
        self._backoff_first_s = backoff_first_s
        self._backoff_most_s = backoff_most_s
        self._active: list[_Entry] = []
        self._backing_off: list[_Entry] = []
        self._unschedulable: dict[str, Waiting] = {}
        self._gated: dict[str, Waiting] = {}
        self._tickets: dict[str, _Entry] = {}  # uid -> its one valid entry in the heaps; others are dead
        self._last_ticket = 0
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._tickets) + len(self._unschedulable) + len(self._gated)

    def counts(self) -> dict[str, int]:
        """How many pods are where, by upstream's names of the queues (metric `scheduler_pending_pods`)."""
        live = [entry for entry in self._backing_off if self._is_live(entry)]
        return {
            "active": len(self._tickets) - len(live),
            "backoff": len(live),
            "unschedulable": len(self._unschedulable),
            "gated": len(self._gated),
        }

    def add(self, pod: Object, profile: Profile) -> None:
        """A new pod, or a known one that changed so that it deserves another try."""
        known = self._take(uid_of(pod))
        waiting = known or Waiting(pod, profile, self._clock.monotonic())
        waiting.pod = pod
        if any(each.plugin.pre_enqueue(pod) for each in profile.at("pre_enqueue")):
            self._gated[waiting.uid] = waiting
        else:
            self._activate(waiting)

    def replace(self, pod: Object) -> None:
        """Take over a pod's new state where it is of no consequence for its chances (a label, its status)."""
        uid = uid_of(pod)
        waiting = self._unschedulable.get(uid) or self._gated.get(uid)
        if waiting is None:
            waiting = entry.waiting if (entry := self._tickets.get(uid)) else None
        if waiting is not None:
            waiting.pod = pod

    def remove(self, uid: str) -> None:
        self._take(uid)

    async def pop(self) -> Waiting:
        """The next pod to try; waits for one."""
        while True:
            now_s = self._clock.monotonic()
            self._release(now_s)
            while self._active:
                entry = heapq.heappop(self._active)
                if self._is_live(entry):
                    del self._tickets[entry.waiting.uid]
                    entry.waiting.attempts += 1
                    return entry.waiting
            self._wake.clear()
            await self._wait(self._next_release_s(now_s))

    def refuse(self, waiting: Waiting, plugins: frozenset[str]) -> None:
        """No node fits: sleep until an event helps."""
        waiting.plugins = plugins
        waiting.refused_s = self._clock.monotonic()
        self._unschedulable[waiting.uid] = waiting

    def retry(self, waiting: Waiting) -> None:
        """It failed for a reason outside the plugins (binding): try again after a back-off."""
        self._back_off(waiting)

    def happened(self, event: ClusterEvent) -> None:
        """Wake the pods that the event may help."""
        helped = [each for each in self._unschedulable.values() if each.profile.wakes(each.plugins, event)]
        for waiting in helped:
            del self._unschedulable[waiting.uid]
            self._back_off(waiting)

    def _activate(self, waiting: Waiting) -> None:
        sort = waiting.profile.at("sort_key")[0].plugin
        self._push(self._active, sort.sort_key(QueuedPod(waiting.pod, waiting.added_s)), waiting)

    def _back_off(self, waiting: Waiting) -> None:
        """Into the back-off queue, or straight to the active one where its time has passed already."""
        ready_s = waiting.refused_s + self._backoff_s(waiting.attempts)
        if ready_s <= self._clock.monotonic() and waiting.plugins:
            self._activate(waiting)
            return
        if not waiting.plugins:
            ready_s = self._clock.monotonic() + self._backoff_s(waiting.attempts)
        self._push(self._backing_off, (ready_s,), waiting)

    def _backoff_s(self, attempts: int) -> float:
        return min(self._backoff_first_s * 2 ** max(attempts - 1, 0), self._backoff_most_s)

    def _push(self, heap: list[_Entry], key: tuple[Any, ...], waiting: Waiting) -> None:
        self._last_ticket += 1
        entry = self._tickets[waiting.uid] = _Entry(key, self._last_ticket, waiting)
        heapq.heappush(heap, entry)
        self._wake.set()

    def _release(self, now_s: float) -> None:
        """Move what has waited long enough to the active queue."""
        while self._backing_off and self._backing_off[0].key[0] <= now_s:
            entry = heapq.heappop(self._backing_off)
            if self._is_live(entry):
                self._activate(entry.waiting)
        overdue = [each for each in self._unschedulable.values() if each.refused_s + UNSCHEDULABLE_MOST_S <= now_s]
        for waiting in overdue:
            del self._unschedulable[waiting.uid]
            self._activate(waiting)

    def _next_release_s(self, now_s: float) -> float | None:
        times = [self._backing_off[0].key[0]] if self._backing_off else []
        if self._unschedulable:
            times.append(min(each.refused_s for each in self._unschedulable.values()) + UNSCHEDULABLE_MOST_S)
        return max(min(times) - now_s, 0.0) if times else None

    async def _wait(self, limit_s: float | None) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _take(self, uid: str) -> Waiting | None:
        """Out of wherever it is; its entry in a heap, if any, is dead from now on."""
        entry = self._tickets.pop(uid, None)
        if entry is not None:
            return entry.waiting
        return self._unschedulable.pop(uid, None) or self._gated.pop(uid, None)

    def _is_live(self, entry: _Entry) -> bool:
        return self._tickets.get(entry.waiting.uid) is entry
