"""Leases: which keys end when. Plain bookkeeping; whoever holds it passes the time in and deletes the keys."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pybernetes.store.interface import LeaseExists, LeaseNotFound


@dataclass(slots=True)
class _Lease:
    ttl_s: int
    deadline_s: float
    keys: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    granted_s: int
    left_s: float
    keys: Sequence[str]  # sorted


class Leases:
    """Leases by id. Times are seconds of one monotonic clock."""

    def __init__(self, ttls_s: Mapping[int, int], now_s: float) -> None:
        self._leases: dict[int, _Lease] = {}
        # (deadline, id) at the time of pushing: a renewed lease is pushed again only when its old deadline comes up.
        self._deadlines: list[tuple[float, int]] = []
        for lease, ttl_s in ttls_s.items():
            self.grant(lease, ttl_s, now_s)

    def grant(self, lease: int, ttl_s: int, now_s: float) -> None:
        if lease in self._leases:
            raise LeaseExists(f"lease exists: {lease:x}")
        self._leases[lease] = _Lease(ttl_s, now_s + ttl_s)
        heapq.heappush(self._deadlines, (now_s + ttl_s, lease))

    def renew(self, lease: int, now_s: float) -> int:
        """Returns the seconds that it has from now."""
        record = self._find(lease)
        record.deadline_s = now_s + record.ttl_s
        return record.ttl_s

    def move(self, key: str, old: int, new: int) -> None:
        """The key goes from one lease to another; 0 is none."""
        if old == new:
            return
        if new:
            self._find(new).keys.add(key)
        if old and (record := self._leases.get(old)):
            record.keys.discard(key)

    def check(self, lease: int) -> None:
        """Raise `LeaseNotFound` unless it is there or 0."""
        if lease:
            self._find(lease)

    def status(self, lease: int, now_s: float) -> LeaseStatus:
        record = self._find(lease)
        return LeaseStatus(record.ttl_s, max(record.deadline_s - now_s, 0), sorted(record.keys))

    def end(self, lease: int) -> list[str]:
        """Remove the lease; returns its keys, sorted."""
        record = self._find(lease)
        del self._leases[lease]
        return sorted(record.keys)

    def due(self, now_s: float) -> list[int]:
        """Leases whose time is over, which the caller must `end`."""
        due = []
        while self._deadlines and self._deadlines[0][0] <= now_s:
            _, lease = heapq.heappop(self._deadlines)
            record = self._leases.get(lease)
            if record is None:
                continue
            if record.deadline_s <= now_s:
                due.append(lease)
            else:
                heapq.heappush(self._deadlines, (record.deadline_s, lease))
        return due

    @property
    def next_look_s(self) -> float | None:
        """When to ask for `due` again; None while there is no lease."""
        return self._deadlines[0][0] if self._deadlines else None

    @property
    def ttls_s(self) -> dict[int, int]:
        return {lease: record.ttl_s for lease, record in self._leases.items()}

    def _find(self, lease: int) -> _Lease:
        try:
            return self._leases[lease]
        except KeyError:
            raise LeaseNotFound(f"lease not found: {lease:x}") from None
