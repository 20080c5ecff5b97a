"""The current entries, the recent changes, and who waits for the next: fed in revision order, read by everyone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from pybernetes.store.interface import Change, Entry, FutureRevision, Page, Revision
from pybernetes.store.memory.history import History, HistoryLimits
from pybernetes.store.memory.image import Image, bounds, common_prefix
from pybernetes.store.memory.watches import Hub, MemoryWatch


class Memory:
    """A store's state as of `revision`, with the changes of late. History begins at the state that it is made with."""

    def __init__(self, revision: Revision, entries: Iterable[Entry], limits: HistoryLimits) -> None:
        self._limits = limits
        self._image = Image(revision, entries)
        self._history = History(revision, limits)
        self._hub = Hub(self._history, revision)

    @property
    def revision(self) -> Revision:
        return self._image.revision

    @property
    def floor(self) -> Revision:
        """Where the history begins: no reading of the past before, no watch from up to it."""
        return self._history.floor

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All current ones, in no order. Not to be kept across a change."""
        return self._image.entries

    def get(self, key: str) -> Entry | None:
        return self._image.entries.get(key)

    def page(self, prefix: str, *, revision: Revision | None, limit: int, after: str) -> Page:
        """See `Store.range`, of what is known here: raises `Compacted` before it, `FutureRevision` after it."""
        return self.between(*bounds(prefix, after), revision=revision, limit=limit)

    def between(self, start: str, stop: str | None, *, revision: Revision | None, limit: int) -> Page:
        """As `page`, of the keys from `start` on (inclusive) before `stop` (None: to the end)."""
        image = self._image
        if revision is None or revision == image.revision:
            return image.page(start, stop, limit=limit)
        self.check_past(revision)
        past = self._history.undo(common_prefix(start, stop), revision)
        return image.differing_page(past, revision, start, stop, limit=limit)

    def between_with(self, differing: Mapping[str, Entry | None], start: str, stop: str | None, *, limit: int) -> Page:
        """As `between` now, but for some keys, each with its entry."""
        return self._image.differing_page(differing, self._image.revision, start, stop, limit=limit)

    def watch(
        self, prefix: str, *, from_revision: Revision, on_progress: Callable[[Revision], None] | None = None
    ) -> MemoryWatch:
        """See `Store.watch`."""
        return MemoryWatch(self._hub, prefix, from_revision, on_progress)

    def check_past(self, revision: Revision) -> None:
        if revision > self._image.revision:
            raise FutureRevision(self._image.revision)

    # Feeding.

    def apply(self, changes: Sequence[Change], now_s: float) -> None:
        """Take in the next changes, and tell those who wait. Changes of one revision come in one call.

        `now_s` is of any rising clock; history is forgotten with age by it.
        """
        for change in changes:
            self._image.apply(change)
        self._history.extend(changes, now_s)
        self._hub.publish(changes)

    def advance(self, revision: Revision) -> None:
        """Nothing changed up to that revision."""
        if revision > self._image.revision:
            self._image.revision = revision
            self._hub.advance(revision)

    def replace(self, revision: Revision, entries: Iterable[Entry]) -> None:
        """Another state, with no history to connect the two: all watches are told `Compacted`."""
        self._image = Image(revision, entries)
        self._history = History(revision, self._limits)
        self._hub.replace(self._history, revision)

    def forget(self, revision: Revision) -> None:
        """See `Store.compact`."""
        self._history.forget(revision)

    def end(self, why: str) -> None:
        """No change will come any more: whoever waits for one is told `Unavailable`."""
        self._hub.end(why)
