"""Events are kept for an hour (`--event-ttl`): they are stored under leases that end.

Events of one minute share a lease, so an Event lives for its time and up to a minute more, and leases stay few.
"""

from __future__ import annotations

from pybernetes.apiserver.image import ROOT
from pybernetes.machinery.clock import Clock
from pybernetes.store.interface import Store

EVENTS_PREFIX = f"{ROOT}events/"
SHARED_S = 60


class EventLeases:
    def __init__(self, store: Store, clock: Clock, ttl_s: int) -> None:
        self._store = store
        self._clock = clock
        self._ttl_s = ttl_s
        self._lease = 0
        self._until = 0.0

    async def current(self) -> int:
        """The lease for an Event written now; 0 where they are kept for good (a TTL of 0)."""
        if not self._ttl_s:
            return 0
        now = self._clock.monotonic()
        if not self._lease or now >= self._until:
            self._until = now + SHARED_S
            self._lease = await self._store.grant(self._ttl_s + SHARED_S)
        return self._lease
