"""Watches: cursors into the history, woken when something happens under their prefix.

A watch has no queue that a writer fills: it remembers the revision that it has reached and reads on from there. So a slow
reader costs nothing and needs no bound of its own; when the history no longer reaches back to it, it is told `Compacted`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from pybernetes.store.interface import Change, Compacted, Revision, Unavailable
from pybernetes.store.memory.history import History, resource_of


class Hub:
    """Who waits for a change, by resource: a commit costs the watches of the resources that it touches."""

    def __init__(self, history: History, revision: Revision) -> None:
        self.history = history
        self.revision = revision  # the last one published
        self.epoch = 0  # how often the history was replaced by another
        self._waiting: dict[str, dict[asyncio.Future[Revision], str]] = {}  # resource, "" for any -> future -> prefix
        self._telling: dict[asyncio.Future[Revision], Callable[[Revision], None]] = {}  # of those who wait, who asked for it
        self._ended = ""

    def publish(self, changes: Sequence[Change]) -> None:
        """The history has taken in these changes, the next ones in revision order: wake whom they concern."""
        before, self.revision = self.revision, changes[-1].revision
        keys: dict[str, list[str]] = {}
        for change in changes:
            keys.setdefault(resource_of(change.key), []).append(change.key)
        if broad := self._waiting.get(""):
            _wake(broad, [change.key for change in changes], before)
        for resource, touched in keys.items():
            if resource and (waiting := self._waiting.get(resource)):
                _wake(waiting, touched, before)
        self._tell_progress()

    def advance(self, revision: Revision) -> None:
        """Nothing changed up to that revision."""
        self.revision = revision
        self._tell_progress()

    def replace(self, history: History, revision: Revision) -> None:
        """What comes now does not follow from what was: wake everyone, to find that out."""
        self.history, self.revision = history, revision
        self.epoch += 1
        for waiting in self._waiting.values():
            for news in waiting:
                if not news.done():
                    news.set_result(Revision(0))

    def wait(self, prefix: str, on_progress: Callable[[Revision], None] | None) -> asyncio.Future[Revision]:
        """Done at the next change under `prefix`, giving a revision up to which there was none since this call."""
        if self._ended:
            raise Unavailable(self._ended)
        news: asyncio.Future[Revision] = asyncio.get_running_loop().create_future()
        resource = resource_of(prefix)
        waiting = self._waiting.setdefault(resource, {})
        waiting[news] = prefix
        if on_progress:
            self._telling[news] = on_progress
        news.add_done_callback(lambda _: self._leave(resource, news))
        return news

    def end(self, why: str) -> None:
        """No change will come any more."""
        self._ended = why
        for waiting in self._waiting.values():
            for news in waiting:
                if not news.done():
                    news.set_exception(Unavailable(why))

    def _tell_progress(self) -> None:
        if self._telling:
            for news, tell in list(self._telling.items()):
                if not news.done():
                    tell(self.revision)

    def _leave(self, resource: str, news: asyncio.Future[Revision]) -> None:
        self._telling.pop(news, None)
        if waiting := self._waiting.get(resource):
            waiting.pop(news, None)
            if not waiting:
                del self._waiting[resource]


def _wake(waiting: dict[asyncio.Future[Revision], str], keys: Sequence[str], before: Revision) -> None:
    for news, prefix in waiting.items():
        if not news.done() and any(key.startswith(prefix) for key in keys):
            news.set_result(before)


class MemoryWatch:
    """See `interface.Watch`."""

    def __init__(self, hub: Hub, prefix: str, from_revision: Revision, on_progress: Callable[[Revision], None] | None) -> None:
        self._hub = hub
        self._epoch = hub.epoch
        self._prefix = prefix
        self._on_progress = on_progress
        self._reached = Revision(from_revision - 1)  # nothing up to here is still to be read
        self._read: deque[Change] = deque()  # read, not yet given out: one reading, so bounded as the history is
        self._news: asyncio.Future[Revision] | None = None
        self._closed = False

    def __aiter__(self) -> MemoryWatch:
        return self

    async def __anext__(self) -> Change:
        await self._fill()
        return self._read.popleft()

    async def batch(self) -> list[Change]:
        """All changes that are there now, at least one; those of one revision are never parted."""
        await self._fill()
        batch = list(self._read)
        self._read.clear()
        return batch

    async def _fill(self) -> None:
        while not self._read:
            if self._closed:
                raise StopAsyncIteration
            if self._epoch != self._hub.epoch:
                raise Compacted(self._hub.history.floor)
            self._read.extend(self._hub.history.since(self._prefix, self._reached))
            if self._read:
                self._reached = self._read[-1].revision
            else:
                self._news = self._hub.wait(self._prefix, self._on_progress)
                if self._on_progress and self._hub.revision > self._reached:
                    self._on_progress(self._hub.revision)
                quiet_until = await self._news
                self._reached = max(self._reached, quiet_until)

    @property
    def progress(self) -> Revision:
        if self._read:
            return Revision(self._read[0].revision - 1)
        if self._news is not None and not self._news.done():
            return max(self._reached, self._hub.revision)
        return self._reached

    async def aclose(self) -> None:
        self._closed = True
        self._read.clear()
        if self._news is not None and not self._news.done():
            self._news.set_result(self._reached)
