"""A store's log in memory: it outlives the servers that write it, and keeps the history of what was written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.sim.history import Event, event_of
from pybernetes.store.embedded.log import Batch, State
from pybernetes.store.interface import Entry, Revision, Unavailable

GONE = OSError("the server died")


class Disk:
    """What is durable. One server at a time writes it, through what `attach` gave it last."""

    def __init__(self, clock: Clock, entropy: Entropy, *, latency_s: float = 0.0) -> None:
        """A commit takes up to `latency_s` seconds: one under way when its server dies may have happened or not."""
        self.history: list[Event] = []
        self.entries: dict[str, Entry] = {}
        self.leases: dict[int, int] = {}
        self.revision = Revision(0)
        self.latency_s = latency_s
        self._clock = clock
        self._entropy = entropy
        self._began_s = clock.monotonic()

    def attach(self) -> Attachment:
        return Attachment(self)

    def wait_s(self) -> float:
        """How long the next commit takes."""
        return self.latency_s * self._entropy.random() if self.latency_s else 0.0

    def survives(self) -> bool:
        """Whether a commit reached the disk whose server died meanwhile."""
        return self._entropy.random() < 0.5

    def write(self, batch: Batch) -> None:
        at_s = self._clock.monotonic() - self._began_s
        for change in batch.changes:
            self.history.append(event_of(change, at_s))
            if change.entry is None:
                del self.entries[change.key]
            else:
                self.entries[change.key] = change.entry
            self.revision = change.revision
        for lease, ttl_s in batch.leases.items():
            if ttl_s is None:
                self.leases.pop(lease, None)
            else:
                self.leases[lease] = ttl_s


class Attachment:
    """One server's hold on the disk: the `Log` of its store."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._dead = False
        self._under_way: Batch | None = None
        self._done: Callable[[Exception | None], None] | None = None

    async def open(self) -> State:
        disk = self._disk
        return State(disk.revision, list(disk.entries.values()), dict(disk.leases))

    def commit(self, batch: Batch, done: Callable[[Exception | None], None]) -> None:
        if self._dead:
            _tell_soon(done)
            return
        self._under_way, self._done = batch, done
        wait_s = self._disk.wait_s()
        if wait_s:
            asyncio.get_running_loop().call_later(wait_s, self._finish)
        else:
            self._finish()

    def _finish(self) -> None:
        if self._under_way is None or self._done is None:
            return
        batch, done, self._under_way = self._under_way, self._done, None
        self._disk.write(batch)
        done(None)

    async def recover(self) -> State:
        raise Unavailable("the server is dead")

    def crash(self) -> None:
        """The server dies here and now."""
        self._dead = True
        batch, self._under_way = self._under_way, None
        if batch is not None and self._done is not None:
            if self._disk.survives():
                self._disk.write(batch)
            _tell_soon(self._done)

    async def close(self) -> None:
        self._dead = True


def _tell_soon(done: Callable[[Exception | None], None]) -> None:
    """Let what is left of a dead server end: after its connections broke (two turns), so that it cannot answer any more."""
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.call_soon, loop.call_soon, done, GONE)
