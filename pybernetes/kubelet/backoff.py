"""Restart and image-pull back-off: 10 s, doubled at each failure up to 5 min, forgotten after 10 quiet minutes.

Source: Pod lifecycle, "How Pods handle problems with containers"; the arithmetic is client-go's flowcontrol.Backoff.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(slots=True)
class _Entry:
    delay: timedelta
    last_update: datetime


class Backoff:
    """Delays by key. Deterministic: no jitter, as upstream (the delay appears in messages)."""

    def __init__(self, initial_s: float = 10, max_s: float = 300) -> None:
        self._initial = timedelta(seconds=initial_s)
        self._max = timedelta(seconds=max_s)
        self._entries: dict[str, _Entry] = {}

    def until(self, key: str, failed_at: datetime) -> datetime | None:
        """When the next try is due after a failure at `failed_at`; None if nothing holds it back."""
        entry = self._entries.get(key)
        if entry is None or failed_at - entry.last_update > 2 * self._max:
            return None
        return failed_at + entry.delay

    def delay_s(self, key: str) -> int:
        entry = self._entries.get(key)
        return int(entry.delay.total_seconds()) if entry else 0

    def next(self, key: str, at: datetime) -> None:
        """A try is made at `at`: should it fail, the next one waits longer."""
        entry = self._entries.get(key)
        if entry is None or at - entry.last_update > 2 * self._max:
            self._entries[key] = _Entry(self._initial, at)
        else:
            entry.delay = min(entry.delay * 2, self._max)
            entry.last_update = at

    def forget(self, prefix: str) -> None:
        """Drop all keys that start so (a pod's uid)."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]
