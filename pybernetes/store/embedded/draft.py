"""A transaction while it is composed: what is newest, and what the transaction makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pybernetes.store.interface import Change, Entry, Page, Revision, StoreError
from pybernetes.store.memory import Memory


class WrittenTwice(StoreError):
    """A transaction writes each key once: all that it writes has one revision."""


class Draft:
    """Reads see writes under way and the transaction's own; nothing is written before it is complete.

    `revision` is what it takes if it writes at all.
    """

    def __init__(
        self, memory: Memory, pending: Mapping[str, Change], decided: Revision, check_lease: Callable[[int], None]
    ) -> None:
        self.before = decided
        self.revision = Revision(decided + 1)
        self._memory = memory
        self._pending = pending
        self._check_lease = check_lease
        self.changes: dict[str, Change] = {}

    def get(self, key: str) -> Entry | None:
        if change := self.changes.get(key) or self._pending.get(key):
            return change.entry
        return self._memory.get(key)

    def between(self, start: str, stop: str | None, *, limit: int = 0) -> Page:
        """Entries from `start` on (inclusive) before `stop` (None: to the end)."""
        newest = {key: change.entry for changes in (self._pending, self.changes) for key, change in changes.items()}
        return self._memory.between_with(newest, start, stop, limit=limit)

    def put(self, key: str, value: bytes, *, lease: int = 0) -> None:
        """Raises `LeaseNotFound`, `WrittenTwice`."""
        self._check_lease(lease)
        current = self.get(key)
        created, version = (current.create_revision, current.version + 1) if current else (self.revision, 1)
        self._write(key, Entry(key, value, created, self.revision, version, lease), current)

    def delete(self, key: str) -> Entry | None:
        """What was there; None if nothing was. Raises `WrittenTwice`."""
        current = self.get(key)
        if current is not None:
            self._write(key, None, current)
        return current

    def _write(self, key: str, entry: Entry | None, current: Entry | None) -> None:
        if key in self.changes:
            raise WrittenTwice(f"a transaction writes {key} twice")
        self.changes[key] = Change(self.revision, key, entry, current)
