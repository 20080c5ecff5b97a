"""The pods that wait for a node.

         add                       pop
    ────────────▶ active ─────────────────────▶ being scheduled ──▶ bound (gone from here)
        ▲  ▲        ▲                                │      │
        │  │        └── back-off over ── backing off ◀┘      │ refused
        │  │              (something failed)                 ▼
        │  └──────────── an event that may help ◀── unschedulable
    gates gone ◀── gated

A refused pod sleeps until something happens that one of the plugins which refused it waits for (KEP-4247), or for five minutes
at the most. Then it backs off, counted from its refusal, longer after each attempt; but while nobody else waits, those who
back off after a refusal are tried at once (upstream's SchedulerPopFromBackoffQ). After a failure the back-off is kept.

Whoever pops decides before it awaits anything: so no event can fall between a decision and the pod's return to the queue.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.meta import Object, uid_of
from pybernetes.scheduler.framework import Action, ClusterEvent, Profile, QueuedPod

BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 10.0
UNSCHEDULABLE_MOST_S = 300.0

Told = Callable[[str, str], None]  # (queue, event): a pod came into a queue


@dataclass(slots=True)
class Waiting:
    """A pod in the queue. `plugins` are those that refused it last.

    `in_doubt`: the node to which it was bound perhaps, as no answer came; "" where nothing is in doubt.
    """

    pod: Object
    profile: Profile
    added_s: float
    queued_s: float  # since its last attempt
    attempts: int = 0
    plugins: frozenset[str] = frozenset()
    in_doubt: str = ""

    @property
    def uid(self) -> str:
        return uid_of(self.pod)


@dataclass(order=True, slots=True)
class _Entry:
    """A place in a heap; dead once the pod has another one, or none. The ticket keeps equals in order."""

    key: tuple[Any, ...]
    ticket: int
    waiting: Waiting = field(compare=False)


@dataclass(slots=True)
class _Heap:
    """One of the ordered queues. `entries` may hold dead ones, `live` counts the others."""

    name: str
    entries: list[_Entry] = field(default_factory=list)
    live: int = 0


class SchedulingQueue:
    def __init__(
        self,
        clock: Clock,
        *,
        backoff_first_s: float = BACKOFF_FIRST_S,
        backoff_most_s: float = BACKOFF_MOST_S,
        told: Told = lambda queue, event: None,
    ) -> None:
        self._clock = clock
        self._backoff_first_s = backoff_first_s
        self._backoff_most_s = backoff_most_s
        self._told = told
        self._active = _Heap("active")
        self._refused = _Heap("backoff")  # backing off after a refusal
        self._failed = _Heap("backoff")  # backing off after a failure
        self._places: dict[str, tuple[_Heap, _Entry]] = {}  # uid -> its one live entry
        self._unschedulable: dict[str, Waiting] = {}  # those refused longest ago come first
        # The same by who refused: an event is weighed once for all that were refused by the same plugins.
        self._refused_by: dict[tuple[str, frozenset[str]], dict[str, Waiting]] = {}
        self._gated: dict[str, Waiting] = {}
        self._last_ticket = 0
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._places) + len(self._unschedulable) + len(self._gated)

    def counts(self) -> dict[str, int]:
        """How many pods are where, by upstream's names of the queues (metric `scheduler_pending_pods`)."""
        return {
            "active": self._active.live,
            "backoff": self._refused.live + self._failed.live,
            "unschedulable": len(self._unschedulable),
            "gated": len(self._gated),
        }

    def add(self, pod: Object, profile: Profile) -> None:
        """A new pod. One that is here already is updated as by any change of its own."""
        if self._find(uid_of(pod)) is not None:
            self.update(pod, ClusterEvent("TargetPod", ~Action(0)))
            return
        now_s = self._clock.monotonic()
        waiting = Waiting(pod, profile, now_s, now_s)
        if self._is_gated(waiting):
            self._gated[waiting.uid] = waiting
            self._told("gated", "PodAdd")
        else:
            self._activate(waiting, "PodAdd")

    def update(self, pod: Object, event: ClusterEvent) -> bool:
        """Take over a waiting pod's new state; `event` tells what of it changed. Whether it was here."""
        uid = uid_of(pod)
        waiting = self._find(uid)
        if waiting is None:
            return False
        waiting.pod = pod
        if uid in self._gated:
            if not self._is_gated(waiting):
                del self._gated[uid]
                self._activate(waiting, "PodUpdate")
        elif uid in self._unschedulable and event.action and waiting.profile.wakes(waiting.plugins, event):
            self._take(uid)
            self._after_refusal(waiting, "PodUpdate")
        return True

    def remove(self, uid: str) -> Waiting | None:
        """The pod is bound or gone. Gives what was known of it, if it was here."""
        waiting = self._find(uid)
        self._take(uid)
        return waiting

    async def pop(self) -> Waiting:
        """The next pod to try; waits for one."""
        while True:
            now_s = self._clock.monotonic()
            self._release(now_s)
            for heap in (self._active, self._refused):
                if (waiting := self._first(heap)) is not None:
                    waiting.attempts += 1
                    return waiting
            self._wake.clear()
            await self._wait(self._next_release_s(now_s))

    def refuse(self, waiting: Waiting, plugins: frozenset[str]) -> None:
        """No node fits: sleep until an event helps."""
        waiting.plugins = plugins
        waiting.queued_s = self._clock.monotonic()
        self._unschedulable[waiting.uid] = waiting
        self._refused_by.setdefault((waiting.profile.scheduler_name, plugins), {})[waiting.uid] = waiting
        self._told("unschedulable", "ScheduleAttemptFailure")

    def retry(self, waiting: Waiting) -> None:
        """It failed for a reason outside the plugins (binding): try again after a back-off."""
        waiting.plugins = frozenset()
        waiting.queued_s = self._clock.monotonic()
        self._push(self._failed, (waiting.queued_s + self._backoff_s(waiting.attempts),), waiting)
        self._told("backoff", "ScheduleAttemptFailure")

    def happened(self, event: ClusterEvent) -> None:
        """Wake the pods that the event may help."""
        helped: list[Waiting] = []
        for (_, plugins), refused in self._refused_by.items():
            profile = next(iter(refused.values())).profile
            if profile.wakes(plugins, event):
                helped += refused.values()
        for waiting in helped:
            self._take(waiting.uid)
            self._after_refusal(waiting, f"{event.kind}{(event.action.name or '').title().replace('_', '')}")

    def _is_gated(self, waiting: Waiting) -> bool:
        return any(each.plugin.pre_enqueue(waiting.pod) for each in waiting.profile.at("pre_enqueue"))

    def _activate(self, waiting: Waiting, event: str) -> None:
        sort = waiting.profile.at("sort_key")[0].plugin
        self._push(self._active, sort.sort_key(QueuedPod(waiting.pod, waiting.queued_s)), waiting)
        self._told("active", event)

    def _after_refusal(self, waiting: Waiting, event: str) -> None:
        """Into the back-off queue, or straight to the active one where its time has passed already."""
        ready_s = waiting.queued_s + self._backoff_s(waiting.attempts)
        if ready_s <= self._clock.monotonic():
            self._activate(waiting, event)
        else:
            self._push(self._refused, (ready_s,), waiting)
            self._told("backoff", event)

    def _backoff_s(self, attempts: int) -> float:
        doublings = min(max(attempts - 1, 0), 32)
        return min(self._backoff_first_s * (1 << doublings), self._backoff_most_s)

    def _push(self, heap: _Heap, key: tuple[Any, ...], waiting: Waiting) -> None:
        self._last_ticket += 1
        entry = _Entry(key, self._last_ticket, waiting)
        self._places[waiting.uid] = heap, entry
        heap.live += 1
        heapq.heappush(heap.entries, entry)
        self._wake.set()

    def _first(self, heap: _Heap, until_s: float | None = None) -> Waiting | None:
        """Take out the first of a heap (of the back-offs: only if it is over by `until_s`)."""
        while heap.entries and (until_s is None or heap.entries[0].key[0] <= until_s):
            entry = heapq.heappop(heap.entries)
            place = self._places.get(entry.waiting.uid)
            if place is not None and place[1] is entry:
                self._take(entry.waiting.uid)
                return entry.waiting
        return None

    def _release(self, now_s: float) -> None:
        """Move what has waited long enough to the active queue."""
        for heap in (self._refused, self._failed):
            while (waiting := self._first(heap, now_s)) is not None:
                self._activate(waiting, "BackoffComplete")
        while (oldest := self._oldest()) is not None and oldest.queued_s + UNSCHEDULABLE_MOST_S <= now_s:
            self._take(oldest.uid)
            self._activate(oldest, "UnschedulableTimeout")

    def _oldest(self) -> Waiting | None:
        return next(iter(self._unschedulable.values()), None)

    def _next_release_s(self, now_s: float) -> float | None:
        times = [heap.entries[0].key[0] for heap in (self._refused, self._failed) if heap.entries]
        if (oldest := self._oldest()) is not None:
            times.append(oldest.queued_s + UNSCHEDULABLE_MOST_S)
        return max(min(times) - now_s, 0.0) if times else None

    async def _wait(self, limit_s: float | None) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _find(self, uid: str) -> Waiting | None:
        if (place := self._places.get(uid)) is not None:
            return place[1].waiting
        return self._unschedulable.get(uid) or self._gated.get(uid)

    def _take(self, uid: str) -> None:
        """Out of wherever it is; its entry in a heap, if any, is dead from now on."""
        if (place := self._places.pop(uid, None)) is not None:
            place[0].live -= 1
        elif (waiting := self._unschedulable.pop(uid, None)) is not None:
            key = waiting.profile.scheduler_name, waiting.plugins
            del self._refused_by[key][uid]
            if not self._refused_by[key]:
                del self._refused_by[key]
        else:
            self._gated.pop(uid, None)
