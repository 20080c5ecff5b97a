"""Mode batch: events wait in a queue and are sent many at a time, by a task of its own.

A full queue loses events rather than hold up requests or grow without bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pybernetes.apiserver.audit.backends import Backend, Losses
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object
from pybernetes.machinery.token_bucket import TokenBucket

log = logger("audit")

PLUGIN: Final = "buffered"
SENDING_MAX: Final = 64  # batches on their way at once; upstream has no bound, and no use for a larger one
CLOSE_S: Final = 10.0  # for what is left when the server ends


@dataclass(frozen=True, slots=True)
class Batching:
    buffer_size: int  # events that may wait
    max_size: int  # events of a batch
    max_wait_s: float  # before a batch goes that is not full
    throttle_qps: float  # batches a second; 0: no limit
    throttle_burst: int
    sends_at_once: bool  # the next batch need not wait for the one before


class Buffered:
    """The task starts with the first event, and ends with `close`."""

    def __init__(self, backend: Backend, options: Batching, clock: Clock, losses: Losses) -> None:
        self._backend = backend
        self._options = options
        self._clock = clock
        self._losses = losses
        self._throttle = TokenBucket(options.throttle_qps, options.throttle_burst, clock) if options.throttle_qps else None
        self._queue: deque[Object] = deque()
        self._some = asyncio.Event()
        self._enough = asyncio.Event()  # for a batch; or there will be no more
        self._under_way = 0  # events that are in the queue no more, and not yet taken
        self._closing = False
        self._worker: asyncio.Task[None] | None = None

    async def process(self, events: Sequence[Object]) -> bool:
        queue = self._queue
        if len(queue) + len(events) > self._options.buffer_size:
            self._losses.lost(PLUGIN, "audit buffer queue blocked", len(events))
            return True  # never the request's fault
        queue.extend(events)
        self._some.set()
        if len(queue) >= self._options.max_size:
            self._enough.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="audit batches")
        return True

    async def close(self) -> None:
        self._closing = True
        self._some.set()
        self._enough.set()
        if self._worker is not None:
            await asyncio.wait([self._worker], timeout=CLOSE_S)
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        left = len(self._queue) + self._under_way
        if left:
            self._losses.lost(PLUGIN, "the server has ended", left)
        await self._backend.close()

    async def _work(self) -> None:
        places = asyncio.Semaphore(SENDING_MAX if self._options.sends_at_once else 1)
        async with asyncio.TaskGroup() as group:
            while batch := await self._collect():
                if self._throttle is not None:
                    await self._throttle.wait()
                await places.acquire()
                group.create_task(self._send(batch, places))

    async def _send(self, batch: Sequence[Object], places: asyncio.Semaphore) -> None:
        try:
            await self._backend.process(batch)
        except Exception as error:  # a mistake of ours costs this batch, and not all that would come after it
            log.exception("Audit backend failed")
            self._losses.lost(PLUGIN, repr(error), len(batch))
        finally:
            places.release()
        self._under_way -= len(batch)

    async def _collect(self) -> list[Object]:
        """The next batch; empty after the last."""
        await self._some.wait()
        if not self._enough.is_set():
            await self._wait_for_more()
        queue, size = self._queue, self._options.max_size
        batch = [queue.popleft() for _ in range(min(size, len(queue)))]
        self._under_way += len(batch)
        if not self._closing:
            if not queue:
                self._some.clear()
            if len(queue) < size:
                self._enough.clear()
        return batch

    async def _wait_for_more(self) -> None:
        waiting = [asyncio.ensure_future(self._enough.wait()), asyncio.ensure_future(self._sleep())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _sleep(self) -> bool:
        await self._clock.sleep(self._options.max_wait_s)
        return True
