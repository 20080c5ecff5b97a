"""Watches: a stream of the changes that match, from a revision on.

Contract: API concepts, "Efficient detection of changes"; KEP-956 (bookmarks), KEP-3157 (`sendInitialEvents`). An event's bytes
are made once and shared by all who receive it. A watcher who reads too slowly is cut off and has to come again: its buffer is
bounded, whatever the others do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from pybernetes.apiserver.image import Event, Image, decode
from pybernetes.apiserver.registry import rendering
from pybernetes.apiserver.registry.kinds import Kind, labels_of
from pybernetes.apiserver.requests import PROTOBUF, Format
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.fields import Selector as FieldSelector
from pybernetes.machinery.labels import Selector as LabelSelector
from pybernetes.machinery.meta import Object
from pybernetes.store.interface import Entry, Revision

PENDING_LIMIT = 10_000  # events buffered for one watcher
BATCH_LIMIT = 200  # events in one write
BOOKMARK_PERIOD_S = 60.0
INITIAL_EVENTS_END = {"annotations": {"k8s.io/initial-events-end": "true"}}

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


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

    def matches(self, entry: Entry) -> bool:
        if not self.labels.matches_everything and not self.labels.matches(labels_of(entry.value)):
            return False
        return self.fields.matches_everything or self._fields_match(entry)

    def _fields_match(self, entry: Entry) -> bool:
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
        for requirement in others:
            # Most pods are not on the wanted node: seen without decoding them.
            by_node = requirement.field == "spec.nodeName" and requirement.operator == "="
            if by_node and requirement.value.encode() not in entry.value:
                return False
        readers = self.kind.strategy.selectable_fields
        obj = decode(entry)
        return all(requirement.matches(readers[requirement.field](obj)) for requirement in others)

    def index(self) -> tuple[tuple[str, str] | None, Callable[[Object], str] | None]:
        """The narrowest index of the table for these objects, and how to read its field."""
        namespace = self.scope[len(self.kind.prefix) : -1] if self.scope != self.kind.prefix else ""
        name = self.fields.exact("metadata.name")
        if name and (namespace or not self.kind.resource.namespaced):
            return ("key", self.kind.key(namespace, name)), None
        for field, read in self.kind.strategy.selectable_fields.items():
            value = self.fields.exact(field)
            if value is not None and field == "spec.nodeName":
                return (field, value), read
        return (("namespace", namespace), None) if namespace else (None, None)


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
        self._index, read = selection.index()
        self._lines = self._stream(initial, mark_initial_end)
        selection.kind.table.watch(self, self._index, read)

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
        old, new = change.previous, change.entry
        if selection.everything:
            type_ = DELETED if new is None else ADDED if old is None else MODIFIED
        else:
            was = old is not None and selection.matches(old)
            is_ = new is not None and selection.matches(new)
            if not was and not is_:
                return
            type_ = (MODIFIED if was else ADDED) if is_ else DELETED
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

    def close(self) -> None:
        self._selection.kind.table.unwatch(self, self._index)

    def _notify(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)

    # Reading

    async def _stream(self, initial: Sequence[Entry], mark_initial_end: bool) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        bookmark_at = loop.time() + BOOKMARK_PERIOD_S
        revision = self._image.revision
        try:
            now = self._clock.now()
            for start in range(0, len(initial), BATCH_LIMIT):
                yield b"".join(self._line(ADDED, entry, None, now) for entry in initial[start : start + BATCH_LIMIT])
                await asyncio.sleep(0)
            if mark_initial_end:
                yield self._bookmark(revision, INITIAL_EVENTS_END)
            while True:
                if self._pending:
                    now = self._clock.now()
                    yield b"".join([self._event_line(now) for _ in range(min(len(self._pending), BATCH_LIMIT))])
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
        except StatusError as error:  # an object that cannot be decrypted
            yield error_line(error.status, self._format.media)
        finally:
            self.close()

    def _event_line(self, now: datetime) -> bytes:
        type_, event = self._pending.popleft()
        change = event.change
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
