"""Watches: a stream of the changes that match, from a revision on.

Contract: API concepts, "Efficient detection of changes"; KEP-956 (bookmarks), KEP-3157 (`sendInitialEvents`). An event's bytes
are made once and shared by all who receive it. A watcher who reads too slowly is cut off and has to come again: its buffer is
bounded, whatever the others do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from msgspec.structs import replace

from pybernetes.apiserver.image import Event, Image, labels_of
from pybernetes.apiserver.registry import rendering, splicing
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.requests import DEFAULT_FORMAT, PROTOBUF, Format
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.fields import Selector as FieldSelector
from pybernetes.machinery.labels import Selector as LabelSelector
from pybernetes.machinery.meta import Object
from pybernetes.store.interface import Change, Entry, Revision

PENDING_LIMIT = 10_000  # events buffered for one watcher
BATCH_LIMIT = 200  # events in one write
BOOKMARK_PERIOD_S = 60.0
INITIAL_EVENTS_END = {"annotations": {"k8s.io/initial-events-end": "true"}}

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"
UNCONVERTED = "UNCONVERTED"  # ours: what it is remains to be seen


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind are wanted: in `scope` (a key prefix), by labels, by fields."""

    kind: Kind
    scope: str
    labels: LabelSelector
    fields: FieldSelector

    @property
    def everything(self) -> bool:
        return self.labels.matches_everything and self.fields.matches_everything

    def matches(self, entry: Entry, event: Event | None = None) -> bool:
        """Whether an object is wanted; `event`: the one that it is part of, which saves decoding it for each watcher."""
        if not self.labels.matches_everything:
            labels = event.labels(entry) if event is not None else labels_of(entry.value)
            if not self.labels.matches(labels):
                return False
        return self.fields.matches_everything or self._fields_match(entry, event)

    def type_of(self, old: Entry | None, new: Entry | None, event: Event | None = None) -> str:
        """Of the event that a change from `old` to `new` is here; "" if it is none."""
        if self.everything:
            return DELETED if new is None else ADDED if old is None else MODIFIED
        was = old is not None and self.matches(old, event)
        is_ = new is not None and self.matches(new, event)
        if not was and not is_:
            return ""
        return (MODIFIED if was else ADDED) if is_ else DELETED

    def _fields_match(self, entry: Entry, event: Event | None) -> bool:
        namespace, name = self.kind.names(entry.key)
        known = {"metadata.name": name, "metadata.namespace": namespace}
        others = []
        for requirement in self.fields.requirements:
            value = known.get(requirement.field)
            if value is None:
                others.append(requirement)
            elif not requirement.matches(value):
                return False
        if not others:
            return True
        indexed = self.kind.strategy.indexed_fields
        for requirement in others:
            read = indexed.get(requirement.field)
            if read is not None and not requirement.matches(read(entry.value)):
                return False  # seen without decoding the rest
        readers = self.kind.strategy.selectable_fields
        selected = self.kind.selected
        obj = event.object(entry, selected) if event is not None else selected(entry)
        return all(requirement.matches(readers[requirement.field](obj)) for requirement in others)

    def candidates(self) -> Sequence[str]:
        """The keys, in order, among which those of the wanted objects are."""
        table, index = self.kind.table, self.index()
        if index is not None and table.indexes(index[0]):
            return [key for key in table.holding(*index) if key.startswith(self.scope)]
        return table.slice(self.scope)

    def index(self) -> tuple[str, str] | None:
        """The narrowest index of the table for these objects: see `Table.watch`."""
        namespace = self.scope[len(self.kind.prefix) : -1] if self.scope != self.kind.prefix else ""
        name = self.fields.exact("metadata.name")
        if name and (namespace or not self.kind.resource.namespaced):
            return "key", self.kind.key(namespace, name)
        for field in self.kind.strategy.indexed_fields:
            value = self.fields.exact(field)
            if value is not None:
                return field, value
        return ("namespace", namespace) if namespace else None


class Subscription:
    """One watch request: takes matching events (`offer`), and is the body of the answer: an iterator of lines.

    `initial` entries come first, as ADDED, with `mark_initial_end` followed by the bookmark that says so.
    """

    def __init__(
        self,
        selection: Selection,
        image: Image,
        clock: Clock,
        *,
        format_: Format,
        include: str,
        bookmarks: bool,
        timeout_s: float,
        initial: Sequence[Entry] = (),
        mark_initial_end: bool = False,
    ) -> None:
        self._selection = selection
        self._image = image
        self._clock = clock
        self._format = format_
        self._include = include
        self._bookmarks = bookmarks
        self._timeout_s = timeout_s
        self._pending: deque[tuple[str, Event]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._cut = False
        self._columns_sent = False
        self._index = selection.index()
        self._lines = self._stream(initial, image.revision, mark_initial_end)
        selection.kind.table.watch(self, self._index)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._lines)

    async def aclose(self) -> None:
        # Also where the stream was never begun: a generator would not have run its clean-up.
        self.close()
        await self._lines.aclose()

    # Watcher

    def offer(self, event: Event) -> None:
        change = event.change
        selection = self._selection
        if not change.key.startswith(selection.scope):
            return
        # Of what has to be converted by somebody else it is known later (`_converted`) whether it matches.
        type_ = UNCONVERTED if selection.kind.converts_remotely else selection.type_of(change.previous, change.entry, event)
        if not type_:
            return
        if len(self._pending) >= PENDING_LIMIT:
            self.cut()
            return
        self._pending.append((type_, event))
        self._notify()

    def cut(self) -> None:
        self._cut = True
        self._pending.clear()
        self._selection.kind.table.unwatch(self, self._index)
        self._notify()

    def replay(self, events: Sequence[Event]) -> None:
        for event in events:
            self.offer(event)
            event.offered()

    def close(self) -> None:
        self._selection.kind.table.unwatch(self, self._index)

    def _notify(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)

    # Reading

    async def _stream(
        self, initial: Sequence[Entry], revision: Revision, mark_initial_end: bool
    ) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        bookmark_at = loop.time() + BOOKMARK_PERIOD_S
        watched = self._selection.kind.watched
        try:
            for start in range(0, len(initial), BATCH_LIMIT):
                batch = initial[start : start + BATCH_LIMIT]
                if self._selection.kind.converts_remotely:
                    batch = await self._chosen(batch)
                watched.initial += len(batch)
                for chunk, sizes in self._added(batch):
                    watched.sent(sizes)
                    yield chunk
                await asyncio.sleep(0)
            if mark_initial_end:
                yield self._bookmark(revision, INITIAL_EVENTS_END)
            while True:
                if self._pending:
                    yield await self._batch()
                    continue
                left = deadline - loop.time()
                if self._cut or left <= 0:
                    return
                if self._bookmarks and loop.time() >= bookmark_at:
                    bookmark_at = loop.time() + BOOKMARK_PERIOD_S
                    yield self._bookmark(self._image.revision)
                    continue
                self._wake = wake = loop.create_future()
                timer = loop.call_at(min(deadline, bookmark_at) if self._bookmarks else deadline, self._notify)
                try:
                    await wake
                finally:
                    timer.cancel()
        except StatusError as error:  # an object that cannot be decrypted, or converted
            yield error_line(error.status, self._format.media)
        finally:
            self.close()

    def _added(self, entries: Sequence[Entry]) -> Iterator[tuple[bytes, Sequence[int]]]:
        """What tells of them, and the sizes of the lines."""
        if self._format == DEFAULT_FORMAT:
            yield from splicing.events(self._selection.kind, ADDED, entries)
            return
        now = self._clock.now()
        lines = [self._line(ADDED, entry, None, now) for entry in entries]
        yield b"".join(lines), [len(line) for line in lines]

    async def _batch(self) -> bytes:
        """The lines of the next events."""
        pending = self._pending
        taken = [pending.popleft() for _ in range(min(len(pending), BATCH_LIMIT))]
        if not self._selection.kind.converts_remotely:
            now = self._clock.now()
            lines = [self._event_line(type_, event, event.change, now) for type_, event in taken]
        else:
            converted = await self._converted([event for _, event in taken])
            now = self._clock.now()
            lines = [self._event_line(type_, event, change, now) for type_, event, change in converted]
        self._selection.kind.watched.sent(map(len, lines))
        return b"".join(lines)

    async def _chosen(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        selection = self._selection
        return [entry for entry in await selection.kind.localized(entries) if selection.matches(entry)]

    async def _converted(self, events: Sequence[Event]) -> list[tuple[str, Event, Change]]:
        """Those that are wanted, as what kind of event, and their changes in the served version: in order, all at once."""
        selection, wanted = self._selection, []
        for event in events:
            change = event.change
            # What was before is shown if it is all there is, and else looked at by selectors alone.
            if change.previous is not None and (change.entry is None or not selection.everything):
                wanted.append(change.previous)
            if change.entry is not None:
                wanted.append(change.entry)
        localized = dict(zip(map(id, wanted), await selection.kind.localized(wanted), strict=True))
        found = []
        for event in events:
            old, new = (entry and localized.get(id(entry), entry) for entry in (event.change.previous, event.change.entry))
            if type_ := selection.type_of(old, new):
                found.append((type_, event, replace(event.change, previous=old, entry=new)))
        return found

    def _event_line(self, type_: str, event: Event, change: Change, now: datetime) -> bytes:
        deleted = type_ == DELETED
        entry = change.previous if deleted else change.entry
        assert entry is not None
        revision = change.revision if deleted else None
        if self._format.shape == "table":
            return self._line(type_, entry, revision, now)  # the first of each stream differs
        key = (type_, self._selection.kind.resource, self._format)
        line = event.encoded.get(key)
        if line is None:
            line = event.encoded[key] = self._line(type_, entry, revision, now)
        return line

    def _line(self, type_: str, entry: Entry, revision: Revision | None, now: datetime) -> bytes:
        kind = self._selection.kind
        if self._format.shape == "table":
            obj = kind.object(entry, revision)
            metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            rows = [rendering.row(kind, obj, now, self._include)]
            body = orjson.dumps(rendering.table(kind, rows, metadata, columns=not self._columns_sent))
            self._columns_sent = True  # Tables are never asked for in protobuf
        else:
            body = rendering.entry_body(kind, entry, self._format, now, self._include, revision)
        return _framed(type_, body, self._format.media)

    def _bookmark(self, revision: int, extra: Object | None = None) -> bytes:
        metadata: Object = {**(extra or {}), "resourceVersion": str(revision)}
        resource = self._selection.kind.resource
        obj: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self._format.shape == "partial":
            obj = rendering.partial_metadata(obj)
        elif self._format.shape == "table":
            marker = {"cells": [], "object": rendering.partial_metadata(obj)}
            obj = rendering.table(
                self._selection.kind, [marker], {"resourceVersion": str(revision)}, columns=not self._columns_sent
            )
            self._columns_sent = True
        else:
            obj |= self._selection.kind.schema.blank()
        return _framed("BOOKMARK", rendering.encoded(obj, self._format.media), self._format.media)


def error_line(status: Object, media: str) -> bytes:
    return _framed("ERROR", rendering.encoded(status, media), media)


def _framed(type_: str, body: bytes, media: str) -> bytes:
    """One event: a line of JSON, or a length and a message."""
    if media == PROTOBUF:
        from pybernetes.machinery.protobuf_encoding import watch_frame

        return watch_frame(type_, body)
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), body)
