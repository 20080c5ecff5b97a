"""The image: every current entry, ordered, as of one revision."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterable, Mapping
from itertools import islice

from pybernetes.store.interface import Change, Entry, Page, Revision
from pybernetes.store.memory.ordered import SortedKeys

LAST_CHARACTER = chr(sys.maxunicode)


class Image:
    """What is current. Reads give entries themselves: they are frozen, and shared with the history."""

    def __init__(self, revision: Revision, entries: Iterable[Entry]) -> None:
        self.revision = revision
        self.entries = {entry.key: entry for entry in entries}
        self._keys = SortedKeys(self.entries)

    def apply(self, change: Change) -> None:
        """Take the next change in."""
        assert change.revision >= self.revision
        self.revision = change.revision
        if change.entry is None:
            del self.entries[change.key]
            self._keys.remove(change.key)
            return
        if change.previous is None:
            self._keys.add(change.key)
        self.entries[change.key] = change.entry

    def page(self, start: str, stop: str | None, *, limit: int) -> Page:
        """Entries of [start, stop) as of now; `limit` 0 is all of them."""
        keys = islice(self._keys.between(start, stop), limit or None)
        entries = [self.entries[key] for key in keys]
        remaining = self._keys.count(start, stop) - len(entries) if limit else 0
        return Page(entries, self.revision, remaining)

    def differing_page(
        self, differing: Mapping[str, Entry | None], revision: Revision, start: str, stop: str | None, *, limit: int
    ) -> Page:
        """As `page`, of a state that differs from the current one in some keys: each with its entry there."""
        differing = {key: entry for key, entry in differing.items() if start <= key and (stop is None or key < stop)}
        there = sorted(key for key, entry in differing.items() if entry is not None)
        unchanged = (key for key in self._keys.between(start, stop) if key not in differing)
        entries: list[Entry] = []
        for key in islice(heapq.merge(unchanged, there), limit or None):
            entry = differing[key] if key in differing else self.entries[key]
            assert entry is not None
            entries.append(entry)
        changed_here = sum(key in self.entries for key in differing)
        total = self._keys.count(start, stop) - changed_here + len(there)
        return Page(entries, revision, total - len(entries))


def bounds(prefix: str, after: str) -> tuple[str, str | None]:
    """The keys that start with `prefix` and sort after `after`, as [start, stop); stop None is no bound."""
    start = max(prefix, after + "\0") if after else prefix
    stem = prefix.rstrip(LAST_CHARACTER)
    stop = stem[:-1] + chr(ord(stem[-1]) + 1) if stem else None
    return start, stop


def common_prefix(start: str, stop: str | None) -> str:
    """What all keys of [start, stop) start with, at least."""
    if stop is None:
        return ""
    if bounds(start, "") == (start, stop):
        return start
    shared = 0
    while shared < min(len(start), len(stop)) and start[shared] == stop[shared]:
        shared += 1
    return start[:shared]
