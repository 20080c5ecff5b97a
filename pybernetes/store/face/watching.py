"""Watch: one stream of requests and responses, any number of watches on it.

Contract: etcd's API reference, "Watch API". Each watch is a task that reads the store's memory at its own pace and writes to
the stream, one response at a time; the stream's flow control holds it back, and if that lasts so long that history is
forgotten, the watch is cancelled as compacted. So nothing is buffered beyond one reading a watch.

Progress is told when every watch of the stream has written everything up to the present: clients take it for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from pybernetes.machinery.clock import Clock
from pybernetes.store.etcd import rpc_pb2 as rpc
from pybernetes.store.face.errors import COMPACTED, Refusal
from pybernetes.store.face.kv import Headers, key_value
from pybernetes.store.face.ranges import range_of
from pybernetes.store.interface import Change, Compacted, Revision, StoreError
from pybernetes.store.memory import Memory
from pybernetes.store.memory.image import common_prefix
from pybernetes.store.memory.watches import MemoryWatch

RESPONSE_BYTES = 1 << 20  # of values, roughly; changes of one revision stay together whatever they weigh
PROGRESS_EVERY_S = 600.0  # for watches that ask to be told of their own accord
PROGRESS_CHECK_S = 0.002
NO_WATCH = -1


@dataclass(slots=True)
class _Watch:
    id: int
    changes: MemoryWatch
    start: str
    stop: str | None
    request: rpc.WatchCreateRequest
    is_writing: bool = False
    task: asyncio.Task[None] | None = None

    def responses(self, changes: Sequence[Change]) -> Iterator[list[rpc.Event]]:
        """The events that the watch wants, in pieces; each revision's in one."""
        events: list[rpc.Event] = []
        size, last = 0, Revision(0)
        for change in changes:
            if size > RESPONSE_BYTES and change.revision != last:
                yield events
                events, size = [], 0
            last = change.revision
            if event := self._event(change):
                events.append(event)
                size += len(event.kv.value) + len(event.prev_kv.value)
        if events:
            yield events

    def _event(self, change: Change) -> rpc.Event | None:
        if change.key < self.start or (self.stop is not None and change.key >= self.stop):
            return None
        request = self.request
        previous = key_value(change.previous) if request.prev_kv and change.previous else None
        if change.entry is not None:
            if rpc.WatchCreateRequest.NOPUT in request.filters:
                return None
            return rpc.Event(type=rpc.Event.PUT, kv=key_value(change.entry), prev_kv=previous)
        if rpc.WatchCreateRequest.NODELETE in request.filters:
            return None
        gone = rpc.KeyValue(key=change.key.encode(), mod_revision=change.revision)
        return rpc.Event(type=rpc.Event.DELETE, kv=gone, prev_kv=previous)


class WatchStream:
    """One call of the method; `write` sends a response, and is called once at a time."""

    def __init__(
        self, memory: Memory, header: Headers, clock: Clock, write: Callable[[rpc.WatchResponse], Awaitable[None]]
    ) -> None:
        self._memory = memory
        self._header = header
        self._clock = clock
        self._write = write
        self._watches: dict[int, _Watch] = {}
        self._next_id = 0
        self._writing = asyncio.Lock()
        self._telling: asyncio.Task[None] | None = None

    async def run(self, requests: AsyncIterable[rpc.WatchRequest]) -> None:
        """Until the client ends its side of the stream."""
        async with asyncio.TaskGroup() as group:
            async for request in requests:
                match request.WhichOneof("request_union"):
                    case "create_request":
                        await self._create(request.create_request, group)
                    case "cancel_request":
                        await self._cancel(request.cancel_request.watch_id)
                    case "progress_request":
                        if self._telling is None or self._telling.done():
                            self._telling = group.create_task(self._tell_progress())
            for watch in self._watches.values():
                assert watch.task is not None
                watch.task.cancel()
            if self._telling is not None:
                self._telling.cancel()

    async def _create(self, request: rpc.WatchCreateRequest, group: asyncio.TaskGroup) -> None:
        revision = self._memory.revision
        try:
            start, stop = range_of(request.key or b"\0", request.range_end)
        except Refusal as refusal:
            await self._refuse(str(refusal))
            return
        if request.watch_id in self._watches and request.watch_id:
            await self._refuse("mvcc: duplicate watch ID provided on the WatchStream")
            return
        watch_id = request.watch_id or self._unused_id()
        begin = Revision(request.start_revision if request.start_revision > 0 else revision + 1)
        changes = self._memory.watch(common_prefix(start, stop), from_revision=begin)
        watch = self._watches[watch_id] = _Watch(watch_id, changes, start, stop, request)
        await self._send(rpc.WatchResponse(header=self._header(revision), watch_id=watch_id, created=True))
        watch.task = group.create_task(self._follow(watch))

    async def _refuse(self, why: str) -> None:
        await self._send(
            rpc.WatchResponse(
                header=self._header(self._memory.revision), watch_id=NO_WATCH, created=True, canceled=True, cancel_reason=why
            )
        )

    def _unused_id(self) -> int:
        while self._next_id in self._watches:
            self._next_id += 1
        self._next_id += 1
        return self._next_id - 1

    async def _cancel(self, watch_id: int) -> None:
        watch = self._watches.pop(watch_id, None)
        if watch is None:
            return
        assert watch.task is not None
        watch.task.cancel()
        await asyncio.wait([watch.task])
        await self._send(
            rpc.WatchResponse(header=self._header(self._memory.revision), watch_id=watch_id, canceled=True)
        )  # fmt: skip

    async def _follow(self, watch: _Watch) -> None:
        end = rpc.WatchResponse(watch_id=watch.id, canceled=True)
        try:
            while True:
                await self._next(watch)
        except Compacted as error:
            end.compact_revision, end.cancel_reason = error.oldest, COMPACTED
        except StoreError as error:
            end.cancel_reason = f"etcdserver: {error}"
        self._watches.pop(watch.id, None)
        end.header.CopyFrom(self._header(self._memory.revision))
        await self._send(end)

    async def _next(self, watch: _Watch) -> None:
        """Write what there is, or wait for it."""
        try:
            async with asyncio.timeout(PROGRESS_EVERY_S if watch.request.progress_notify else None):
                changes = await watch.changes.batch()
        except TimeoutError:
            await self._send(rpc.WatchResponse(header=self._header(watch.changes.progress), watch_id=watch.id))
            return
        watch.is_writing = True
        for events in watch.responses(changes):
            header = self._header(events[-1].kv.mod_revision)
            await self._send(rpc.WatchResponse(header=header, watch_id=watch.id, events=events))
        watch.is_writing = False

    async def _tell_progress(self) -> None:
        while True:
            async with self._writing:
                now = self._memory.revision
                if all(not watch.is_writing and watch.changes.progress >= now for watch in self._watches.values()):
                    await self._write(rpc.WatchResponse(header=self._header(now), watch_id=NO_WATCH))
                    return
            await self._clock.sleep(PROGRESS_CHECK_S)

    async def _send(self, response: rpc.WatchResponse) -> None:
        async with self._writing:
            await self._write(response)
