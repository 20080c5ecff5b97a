"""The API server's picture of the store: every stored entry by resource, the recent changes, and who watches them.

One watch on the store feeds it. A write through this server is answered only after the image has seen it (`reached`), and a
read first makes sure that the image is as new as the store (`current`), so reads from the image are linearizable. The entries
are the store's own, by reference: the image costs an index, not a copy.

A `Table` is one stored resource: its entries in key order, a window of its last changes (for watches that start in the past),
its watchers indexed by what they select, so that a change costs those who may want it and not all.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol

import msgspec
import orjson

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object
from pybernetes.store.interface import Change, Compacted, Entry, Revision, Store, Unavailable
from pybernetes.store.memory.ordered import SortedKeys

log = logger("apiserver")

ROOT = "/registry/"
WINDOW_AGE_S = 75.0  # how long a change stays replayable (upstream's watch cache aims at the same)
WINDOW_LIMIT = 10_000  # changes kept per resource, however young
WINDOW_FLOOR = 100  # and kept, however old
SIZE_SAMPLES = 8
DECODED_LIMIT = 20_000  # decoded objects kept per resource for `Reader`
INDEX_PIECE = 250  # objects: less than a millisecond


# Finds a field's value in stored bytes; it must be quick, since it reads every object of its kind.
FieldReader = Callable[[bytes], str]
_Values = tuple[str | None, ...]


class Event:
    """One change of one object, and what the watchers need of it: computed once, when the first of them asks."""

    __slots__ = ("_labels", "_objects", "change", "encoded", "seen_at")

    def __init__(self, change: Change, seen_at: float) -> None:
        self.change = change
        self.seen_at = seen_at
        self.encoded: dict[Any, bytes] = {}  # by (event type, representation)
        # The last part of a key: whether it is of what was before.
        self._labels: dict[bool, Mapping[str, str]] = {}
        self._objects: dict[tuple[Callable[[Entry], Object], bool], Object] = {}

    def labels(self, entry: Entry) -> Mapping[str, str]:
        """The labels of one of the change's two entries."""
        is_old = entry is self.change.previous
        found = self._labels.get(is_old)
        if found is None:
            found = self._labels[is_old] = labels_of(entry.value)
        return found

    def object(self, entry: Entry, read: Callable[[Entry], Object]) -> Object:
        """One of the change's two entries, as `read` decodes it; shared, so never altered."""
        key = (read, entry is self.change.previous)
        found = self._objects.get(key)
        if found is None:
            found = self._objects[key] = read(entry)
        return found

    def offered(self) -> None:
        """Every watcher has looked: what it was decoded to is not kept as long as the event is."""
        self._labels.clear()
        self._objects.clear()


class Watcher(Protocol):
    """Whoever is told of events. `index` says which can concern it at all: see `Table.watch`."""

    def offer(self, event: Event) -> None:
        """Take the event if it matches; must not block and must not raise."""
        ...

    def cut(self) -> None:
        """Events may be missing from now on: end the watch."""
        ...


class Table:
    """The entries of one stored resource, below `prefix` (which ends with "/")."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.entries: dict[str, Entry] = {}
        self.generation = Revision(0)  # revision of the last change
        self.window: deque[Event] = deque()
        self.window_start = Revision(0)  # changes after this revision are all in the window
        # What a watcher selects at least: ("namespace", ns), ("key", key), (field, value), or None for all.
        # Each group in the order in which they came: it is the order in which they are told, which a seed must repeat.
        self._watchers: dict[tuple[str, str] | None, dict[Watcher, None]] = {}
        self._readers: Mapping[str, FieldReader] = {}
        self._by_field: dict[str, dict[str | None, set[str]]] = {}  # field -> value (None: it cannot be read) -> keys
        self._unindexed: list[str] = []  # keys that were loaded and are to be indexed as they will be then
        self._keys = SortedKeys()
        self._decoded: dict[str, tuple[Revision, Object]] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def average_size(self) -> int:
        """Bytes of a value, by a few that are evenly spread; 0 where none can be read."""
        sizes = []
        for key in self._keys.sample(SIZE_SAMPLES):
            with contextlib.suppress(StatusError):  # what cannot be decrypted has a size that nobody knows
                sizes.append(len(self.entries[key].value))
        return sum(sizes) // len(sizes) if sizes else 0

    # Reading

    def slice(self, prefix: str) -> Sequence[str]:
        """The keys that start with `prefix`, in order."""
        return self._keys.listed(prefix, None if prefix == self.prefix else _end_of(prefix))

    def index(self, readers: Mapping[str, FieldReader]) -> None:
        """Index these fields from now on."""
        self._readers = readers
        self._forget_index()

    def indexes(self, field: str) -> bool:
        return field in self._readers

    def holding(self, field: str, value: str) -> Sequence[str]:
        """The keys, in order, of the entries that have this value in an indexed field, or that cannot be read."""
        self.index_some(len(self._unindexed))
        values = self._by_field[field]
        return sorted({*values.get(value, ()), *values.get(None, ())})

    def index_some(self, limit: int) -> bool:
        """Index that many more of the entries that were loaded; whether any is left."""
        keys = self._unindexed[-limit:]
        del self._unindexed[-limit:]
        entries = [(key, entry) for key in keys if (entry := self.entries.get(key)) is not None]  # some may be gone by now
        for field, read in self._readers.items():
            values = self._by_field[field]
            for key, entry in entries:
                values.setdefault(_field_of(entry, read), set()).add(key)
        return bool(self._unindexed)

    def _forget_index(self) -> None:
        self._by_field = {field: {} for field in self._readers}
        self._unindexed = list(self.entries) if self._readers else []

    def _values(self, change: Change) -> dict[str, tuple[_Values, _Values]]:
        """Of each indexed field, what it was and what it is: one value, or none where there is no entry."""
        old, new = change.previous, change.entry
        return {
            field: (() if old is None else (_field_of(old, read),), () if new is None else (_field_of(new, read),))
            for field, read in self._readers.items()
        }

    def _reindex(self, key: str, changed: Mapping[str, tuple[_Values, _Values]]) -> None:
        for field, (was, is_) in changed.items():
            if was == is_:
                continue
            values = self._by_field[field]
            for value in was:
                if (keys := values.get(value)) is not None:
                    keys.discard(key)
                    if not keys:
                        del values[value]
            for value in is_:
                values.setdefault(value, set()).add(key)

    def decoded(self, entry: Entry) -> Object:
        """The object of a current entry with its resourceVersion; shared, so never altered."""
        known = self._decoded.get(entry.key)
        if known is not None and known[0] == entry.mod_revision:
            return known[1]
        obj = decode(entry)
        if len(self._decoded) >= DECODED_LIMIT:
            self._decoded.clear()
        self._decoded[entry.key] = (entry.mod_revision, obj)
        return obj

    # Feeding

    def load(self, entries: Sequence[Entry], revision: Revision) -> None:
        """Another state, with no changes that lead to it; who came meanwhile to watch would miss them, and is cut as well.

        Its index is made by `index_some`, or by the first who asks for it.
        """
        self.entries = {entry.key: entry for entry in entries}
        self._keys = SortedKeys(self.entries)
        self._forget_index()
        self._decoded.clear()
        self.window.clear()
        self.window_start = revision
        self.generation = revision
        self.cut_all()

    def apply(self, change: Change, now: float) -> None:
        key = change.key
        if change.entry is None:
            if self.entries.pop(key, None) is not None:
                self._keys.remove(key)
            self._decoded.pop(key, None)
        else:
            if key not in self.entries:
                self._keys.add(key)
            self.entries[key] = change.entry
        values = self._values(change) if self._readers else {}
        self._reindex(key, values)
        self.generation = change.revision
        event = Event(change, now)
        window = self.window
        window.append(event)
        while len(window) > WINDOW_FLOOR and (len(window) > WINDOW_LIMIT or window[0].seen_at < now - WINDOW_AGE_S):
            self.window_start = window.popleft().change.revision
        if self._watchers:
            try:
                for watcher in self._concerned(change, values):
                    try:
                        watcher.offer(event)
                    except Exception:
                        # One watcher's trouble (a selector on an object that somebody wrote malformed) must not stop the image.
                        log.exception("Watcher failed", key=key)
                        watcher.cut()
            except Exception:  # nor must what keeps a field from being read
                log.exception("Cannot tell whom a change concerns", key=key)
                self.cut_all()
            event.offered()

    def _concerned(self, change: Change, values: Mapping[str, tuple[_Values, _Values]]) -> Iterator[Watcher]:
        """Raises ValueError where an indexed field cannot be read."""
        watchers = self._watchers
        found = watchers.get(None)
        if found:
            yield from tuple(found)
        if len(watchers) == (1 if found else 0):
            return
        found = watchers.get(("key", change.key))
        if found:
            yield from tuple(found)
        namespace = change.key[len(self.prefix) :].partition("/")[0]
        found = watchers.get(("namespace", namespace))
        if found:
            yield from tuple(found)
        for field, (was, is_) in values.items():
            for value in dict.fromkeys((*was, *is_)):
                if value is None:
                    raise ValueError(f"cannot read {field}")
                found = watchers.get((field, value))
                if found:
                    yield from tuple(found)

    # Watching

    def watch(self, watcher: Watcher, index: tuple[str, str] | None) -> None:
        """Tell `watcher` of each event from now on that `index` does not rule out.

        `index`: None for all, ("namespace", name), ("key", key), or (field, value) of an indexed field, where objects that had
        the value before the change count as well.
        """
        self._watchers.setdefault(index, {})[watcher] = None

    def unwatch(self, watcher: Watcher, index: tuple[str, str] | None) -> None:
        watchers = self._watchers.get(index)
        if not watchers or watcher not in watchers:
            return
        del watchers[watcher]
        if not watchers:
            del self._watchers[index]

    def since(self, revision: int) -> list[Event] | None:
        """The events after that revision; None if some of them are forgotten."""
        if revision < self.window_start:
            return None
        events: list[Event] = []
        for event in reversed(self.window):
            if event.change.revision <= revision:
                break
            events.append(event)
        events.reverse()
        return events

    def cut_all(self) -> None:
        for watchers in tuple(self._watchers.values()):
            for watcher in tuple(watchers):
                watcher.cut()

    @property
    def watcher_count(self) -> int:
        return sum(len(watchers) for watchers in self._watchers.values())

    @property
    def watchers(self) -> list[Watcher]:
        return [watcher for watchers in self._watchers.values() for watcher in watchers]


def _end_of(prefix: str) -> str:
    """What sorts after all that starts with `prefix`, and before all else that does."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _field_of(entry: Entry, read: FieldReader) -> str | None:
    """None if the entry cannot be read."""
    try:
        return read(entry.value)
    except StatusError:
        return None


def decode(entry: Entry) -> Object:
    """The stored object, its revision put in."""
    obj: Object = orjson.loads(entry.value)
    obj["metadata"]["resourceVersion"] = str(entry.mod_revision)
    return obj


class _Labelled(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Metadata(msgspec.Struct):
    metadata: _Labelled


_METADATA = msgspec.json.Decoder(_Metadata)


def labels_of(value: bytes) -> Mapping[str, str]:
    """The labels of stored bytes, nothing else decoded."""
    return _METADATA.decode(value).metadata.labels or {}


class Image:
    """All tables. `run` must be running for anything to move."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.revision = Revision(0)
        self._clock = clock
        self._tables: dict[str, Table] = {}
        self._waiters: dict[int, asyncio.Future[None]] = {}
        self._ended = False
        self._started = asyncio.Event()

    @property
    def synced(self) -> bool:
        return self._started.is_set()

    def table(self, prefix: str) -> Table:
        """The table for `/registry/<path>/`, made at first use (before `run`, or for a resource with nothing stored yet)."""
        table = self._tables.get(prefix)
        if table is None:
            table = self._tables[prefix] = Table(prefix)
            table.window_start = self.revision
        return table

    @property
    def watchers(self) -> list[Watcher]:
        """All that watch at the moment."""
        return [watcher for table in self._tables.values() for watcher in table.watchers]

    def drop(self, prefix: str) -> None:
        """Forget a table; its watchers end."""
        table = self._tables.pop(prefix, None)
        if table is not None:
            table.cut_all()

    async def add(self, prefix: str) -> Table:
        """A table for a resource that appears while running, filled with what is stored already."""
        table = self._tables.get(prefix)
        if table is None:
            page = await self.store.range(prefix)
            await self.reached(page.revision)
            table = self.table(prefix)
            if not table.entries:
                # Later changes may have passed unrouted between the range and now: read what is there at this very revision.
                page = await self.store.range(prefix, revision=self.revision)
                table.load(page.entries, self.revision)
        return table

    async def wait_synced(self) -> None:
        await self._started.wait()

    async def index(self) -> None:
        """Make the indexes of what was loaded, a millisecond at a time: requests are served in between."""
        for table in tuple(self._tables.values()):
            while table.index_some(INDEX_PIECE):
                await asyncio.sleep(0)

    async def current(self) -> Revision:
        """Wait until the image is as new as the store is now; the revision it then has."""
        revision = await self.store.revision()
        if self.revision < revision:
            await self.reached(revision)
        return self.revision

    async def reached(self, revision: int) -> None:
        """Wait until every change up to `revision` is in the image. Raises `Unavailable` once it follows the store no more."""
        if self.revision >= revision:
            return
        if self._ended:
            raise Unavailable("the server is stopping")
        waiter = self._waiters.get(revision)
        if waiter is None:
            waiter = self._waiters[revision] = asyncio.get_running_loop().create_future()
        await asyncio.shield(waiter)

    async def run(self) -> None:
        """Load, then follow the store until cancelled; starts over when the store has forgotten where we were."""
        try:
            await self._run()
        finally:
            # Who waits for a revision would wait for ever; some do so even when cancelled (`registry.uninterrupted`).
            self._ended = True
            waiters, self._waiters = self._waiters, {}
            for waiter in waiters.values():
                waiter.set_exception(Unavailable("the server is stopping"))
                waiter.exception()  # it may be that nobody waits any more

    async def _run(self) -> None:
        while True:
            try:
                await self._load()
                self._started.set()
                await self._follow()
            except Compacted:
                log.warning("The store is ahead of the image; loading it anew", revision=self.revision)
            except Unavailable:
                log.warning("The store is unavailable; trying again")
                await self._clock.sleep(1.0)
            for table in self._tables.values():
                table.cut_all()

    async def _load(self) -> None:
        page = await self.store.range(ROOT)
        entries, key = page.entries, attrgetter("key")
        for prefix, table in self._tables.items():
            first, end = (bisect_left(entries, bound, key=key) for bound in (prefix, _end_of(prefix)))
            table.load(entries[first:end], page.revision)
        self._advance(page.revision)

    async def _follow(self) -> None:
        # Revisions also go to what is not ours (in an etcd of several users); whoever waits for one of those need not.
        changes = self.store.watch(ROOT, from_revision=Revision(self.revision + 1), on_progress=self._advance)
        async for change in changes:
            table = self._route(change.key)
            if table is not None:
                table.apply(change, self._clock.monotonic())
            self._advance(change.revision)

    def _route(self, key: str) -> Table | None:
        """The table of a key: upstream's paths have one part (`pods`) or two (`services/specs`, `<group>/<plural>`)."""
        first = key.find("/", len(ROOT)) + 1
        table = self._tables.get(key[:first])
        if table is None and first:
            table = self._tables.get(key[: key.find("/", first) + 1])
        return table

    def _advance(self, revision: Revision) -> None:
        self.revision = revision
        waiters = self._waiters
        if waiters:
            for wanted in [number for number in waiters if number <= revision]:
                waiter = waiters.pop(wanted)
                if not waiter.done():
                    waiter.set_result(None)
