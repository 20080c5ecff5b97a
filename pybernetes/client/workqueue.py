"""A queue of keys for reconcilers: each key is worked on by one worker at a time, and queued once however often it is added.

Semantics: client-go's `util/workqueue`. A key added while it is being worked on is queued again when it is done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy, jittered

K = TypeVar("K", bound=Hashable)

RETRY_FIRST_S = 0.005
RETRY_MAX_S = 1000.0
# Keys that failed together (an API server went away) do not come back together.
RETRY_JITTER = 0.1


class QueueShutDown(Exception):
    """The queue was shut down and everything in it has been given out."""


class WorkQueue(Generic[K]):
    """`while True: key = await queue.get(); try: work(key) finally: queue.done(key)`, by any number of workers."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        # Keys to give out, in order. Each is in _dirty and not in _processing.
        self._queue: deque[K] = deque()
        # Keys that need work, whether in _queue or (if also in _processing) to be queued when done.
        self._dirty: set[K] = set()
        # Keys given out and not yet done.
        self._processing: set[K] = set()
        # Keys to be added later, with the loop's timer; of two times for one key, the earlier holds.
        self._delayed: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._shut_down = False

    def __len__(self) -> int:
        """Keys waiting to be given out now (not the delayed ones)."""
        return len(self._queue)

    def add(self, key: K) -> None:
        if self._shut_down or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._put(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Add once `delay_s` seconds have passed."""
        if self._shut_down:
            return
        if delay_s <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        known = self._delayed.get(key)
        if known is not None:
            if known.when() <= loop.time() + delay_s:
                return
            known.cancel()
        self._delayed[key] = loop.call_later(delay_s, self._ripe, key)

    def add_rate_limited(self, key: K) -> None:
        """Add after a delay that doubles with each call for this key, until `forget`: 5 ms, 10 ms … 1000 s."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_s = min(RETRY_FIRST_S * 2 ** min(failures, 32), RETRY_MAX_S)
        self.add_after(key, jittered(delay_s, self._entropy, factor=RETRY_JITTER))

    def forget(self, key: K) -> None:
        """The key succeeded (or was given up): its next retry starts from the shortest delay."""
        self._failures.pop(key, None)

    def retries(self, key: K) -> int:
        """How often `add_rate_limited` was called since the last `forget`."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """The next key, which is then the caller's until `done`. Raises `QueueShutDown`."""
        while not self._queue:
            if self._shut_down:
                raise QueueShutDown
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                # A wake-up that reached a cancelled worker belongs to the next one.
                if getter.done() and not getter.cancelled():
                    self._wake()
                else:
                    self._getters.remove(getter)
                raise
        key = self._queue.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """The caller of `get` has finished with the key; if it was added meanwhile, it is queued again."""
        self._processing.discard(key)
        if key in self._dirty:
            self._put(key)

    def shut_down(self) -> None:
        """Take no more keys; `get` still gives out those that are queued."""
        self._shut_down = True
        for timer in self._delayed.values():
            timer.cancel()
        self._delayed.clear()
        for getter in self._getters:
            if not getter.done():
                getter.set_result(None)
        self._getters.clear()

    def _ripe(self, key: K) -> None:
        del self._delayed[key]
        self.add(key)

    def _put(self, key: K) -> None:
        self._queue.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
