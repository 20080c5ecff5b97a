"""The embedded engine: a store in one process, in memory over a durable log.

The life of a write, all of it on the event loop but the commit, which is the log's:

    decide   against the newest state, writes under way included; it gets its revision
    queue    with whatever else arrives while a commit is under way
    commit   the queue as one transaction with one fsync (group commit), one at a time
    show     in revision order: into memory, which tells watches, then to the caller

So the event loop is the single writer, and no lock is needed. Between decide and show, the newest state of a key is in
`_pending`, which only decisions see. A refusal that rests on it ("the key exists") waits until it is shown: nobody is told of
what a crash could undo, and whoever reads after a refusal sees what it was about.

If a commit fails (a full disk), what is on disk is unknown and what is queued was decided on top of it. The engine then
refuses all writes and goes on reading its memory, which is the last state known to be durable. Meanwhile it tries to open its
log again: what that holds is the truth, nobody was told of anything beyond it, and so it goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pybernetes.machinery.clock import Clock, SystemClock
from pybernetes.machinery.entropy import Entropy, SystemEntropy, jittered
from pybernetes.machinery.log import logger
from pybernetes.store.embedded.draft import Draft
from pybernetes.store.embedded.leases import Leases, LeaseStatus
from pybernetes.store.embedded.log import Batch, Log, State
from pybernetes.store.interface import Change, Entry, KeyExists, Mismatch, Page, Revision, Unavailable, Watch
from pybernetes.store.memory import HistoryLimits, Memory

LOGGER = logger("store")

RECOVERY_FIRST_S, RECOVERY_MAX_S = 0.5, 10.0

T = TypeVar("T")


@dataclass(slots=True)
class _Queue:
    """Writes decided and not yet handed to the log, and those who wait for them."""

    batch: Batch = field(default_factory=Batch)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)


class EmbeddedStore:
    """See `interface.Store`. Made by `open`; to be used on the event loop that opened it."""

    def __init__(self, log: Log, state: State, *, clock: Clock, entropy: Entropy, limits: HistoryLimits) -> None:
        self._log = log
        self._clock = clock
        self._entropy = entropy
        self._loop = asyncio.get_running_loop()
        self._memory = Memory(state.revision, state.entries, limits)
        self._decided = state.revision  # of the last write decided
        self._pending: dict[str, Change] = {}  # the last write under way to a key
        self._queue = _Queue()
        self._committing: _Queue | None = None
        self._refusing = ""  # why no write is taken
        self._closed = False
        self._recovering: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._take_leases(state)

    @classmethod
    async def open(
        cls,
        log: Log,
        *,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        limits: HistoryLimits | None = None,
    ) -> EmbeddedStore:
        """The store that the log holds. Raises `StoreError` with a sentence for the user."""
        try:
            state = await log.open()
        except BaseException:
            await log.close()
            raise
        return cls(
            log, state, clock=clock or SystemClock(), entropy=entropy or SystemEntropy(), limits=limits or HistoryLimits()
        )

    # Reads: of memory alone.

    async def revision(self) -> Revision:
        if self._closed:
            raise Unavailable(self._refusing)
        return self._memory.revision

    async def writable(self) -> None:
        self._check_writable()

    async def get(self, key: str) -> Entry | None:
        return self._memory.get(key)

    async def range(self, prefix: str, *, revision: Revision | None = None, limit: int = 0, after: str = "") -> Page:
        return self._memory.page(prefix, revision=revision, limit=limit, after=after)

    def watch(self, prefix: str, *, from_revision: Revision, on_progress: Callable[[Revision], None] | None = None) -> Watch:
        return self._memory.watch(prefix, from_revision=from_revision, on_progress=on_progress)

    # Writes: guard, decide, wait until it is on disk.

    async def create(self, key: str, value: bytes, *, lease: int = 0) -> Revision:
        self._check_writable()
        if current := self._newest(key):
            await self._shown(key)
            raise KeyExists(current)
        return await self._durable(self._put(key, value, None, lease))

    async def update(self, key: str, value: bytes, *, mod_revision: Revision, lease: int = 0) -> Revision:
        current = await self._guard(key, mod_revision)
        return await self._durable(self._put(key, value, current, lease))

    async def delete(self, key: str, *, mod_revision: Revision) -> Revision:
        current = await self._guard(key, mod_revision)
        return await self._durable(self._remove(current))

    async def compact(self, revision: Revision) -> None:
        self._memory.check_past(revision)
        self._memory.forget(revision)

    async def transact(self, compose: Callable[[Draft], T]) -> tuple[Revision, T]:
        """Several writes, decided against the newest state, with one revision, all or nothing.

        `compose` is called once, at once, and must not wait; what it raises leaves everything as it was. Returns its result
        with the revision as of which it is true: the writes' own, or that of what was read if nothing was written.
        """
        self._check_writable()
        draft = Draft(self._memory, self._pending, self._decided, self._leases.check)
        result = compose(draft)
        for change in draft.changes.values():
            self._leases.move(
                change.key, change.previous.lease if change.previous else 0, change.entry.lease if change.entry else 0
            )
            self._enqueue(change)
        # Also where nothing was written: what was read may be under way.
        return await self._durable(draft.revision if draft.changes else draft.before), result

    # Leases: their time is kept in memory, that they exist is kept in the log.

    async def grant(self, ttl_s: int, *, lease: int = 0) -> int:
        self._check_writable()
        if ttl_s <= 0:
            raise ValueError(f"a lease needs a time to live: {ttl_s}")
        # Random as etcd's: an id that ended must not come back for a client that still renews it.
        lease = lease or int.from_bytes(self._entropy.token_bytes(8)) >> 1 or 1
        self._leases.grant(lease, ttl_s, self._clock.monotonic())
        self._await_expiry()
        self._queue.batch.leases[lease] = ttl_s
        await self._durable()
        return lease

    async def keep_alive(self, lease: int) -> int:
        self._check_writable()
        return self._leases.renew(lease, self._clock.monotonic())

    async def revoke(self, lease: int) -> None:
        self._check_writable()
        self._end_lease(lease)
        await self._durable()

    def lease(self, lease: int) -> LeaseStatus:
        """Raises `LeaseNotFound`."""
        return self._leases.status(lease, self._clock.monotonic())

    @property
    def leases(self) -> Sequence[int]:
        return list(self._leases.ttls_s)

    @property
    def memory(self) -> Memory:
        """What is durable, to read from; only the engine feeds it."""
        return self._memory

    async def snapshot(self, path: Path) -> Revision:
        from pybernetes.store import snapshot  # loads protobuf, which a store needs for nothing else

        state = State(self._memory.revision, list(self._memory.entries.values()), self._leases.ttls_s)
        await asyncio.to_thread(snapshot.save, state, path)
        return state.revision

    async def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._recovering is not None:
            self._recovering.cancel()
            await asyncio.gather(self._recovering, return_exceptions=True)
        try:
            await self._durable()
        except Unavailable:
            pass
        self._closed = True
        self._refusing = self._refusing or "the store is closed"
        self._memory.end(self._refusing)
        await self._log.close()

    # Decisions.

    def _newest(self, key: str) -> Entry | None:
        if pending := self._pending.get(key):
            return pending.entry
        return self._memory.get(key)

    async def _guard(self, key: str, mod_revision: Revision) -> Entry:
        self._check_writable()
        current = self._newest(key)
        if current is None or current.mod_revision != mod_revision:
            await self._shown(key)
            raise Mismatch(key, current)
        return current

    def _put(self, key: str, value: bytes, current: Entry | None, lease: int) -> Revision:
        self._leases.move(key, current.lease if current else 0, lease)
        revision = Revision(self._decided + 1)
        created, version = (current.create_revision, current.version + 1) if current else (revision, 1)
        return self._enqueue(Change(revision, key, Entry(key, value, created, revision, version, lease), current))

    def _remove(self, current: Entry) -> Revision:
        self._leases.move(current.key, current.lease, 0)
        return self._enqueue(Change(Revision(self._decided + 1), current.key, None, current))

    def _end_lease(self, lease: int) -> None:
        for key in self._leases.end(lease):
            current = self._newest(key)
            assert current is not None and current.lease == lease
            self._remove(current)
        self._queue.batch.leases[lease] = None

    def _expire(self) -> None:
        self._timer = None
        if self._refusing:
            return
        for lease in self._leases.due(self._clock.monotonic()):
            self._end_lease(lease)
            self._schedule()
        self._await_expiry()

    def _await_expiry(self) -> None:
        if self._timer:
            self._timer.cancel()
        if (look_s := self._leases.next_look_s) is not None:
            self._timer = self._loop.call_later(max(look_s - self._clock.monotonic(), 0), self._expire)

    # The way to disk and back.

    def _enqueue(self, change: Change) -> Revision:
        self._decided = change.revision
        self._pending[change.key] = change
        self._queue.batch.changes.append(change)
        return change.revision

    async def _durable(self, revision: Revision = Revision(0)) -> Revision:  # noqa: B008 (an int)
        """Wait for all that is decided by now; gives `revision` back. Raises `Unavailable`."""
        if self._queue.batch:
            self._schedule()
        queue = self._queue if self._queue.batch else self._committing
        if queue is not None:
            done: asyncio.Future[None] = self._loop.create_future()
            queue.waiting.append(done)
            await done
        return revision

    async def _shown(self, key: str) -> None:
        """Wait for the write under way to `key`, if any."""
        if key in self._pending:
            await self._durable()

    def _schedule(self) -> None:
        # At the end of this turn of the loop, so that all who write in it share a commit.
        if self._committing is None:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._committing is not None or not self._queue.batch:
            return
        self._committing, self._queue = self._queue, _Queue()
        if self._refusing:
            self._committed(Unavailable(self._refusing))
        else:
            self._log.commit(self._committing.batch, self._committed)

    def _committed(self, error: Exception | None) -> None:
        done, self._committing = self._committing, None
        assert done is not None
        if error is None:
            self._show(done.batch)
        elif not self._refusing:
            LOGGER.error("The store takes no writes", err=error)
            self._refusing = f"the store takes no writes: {error}"
            self._recovering = asyncio.create_task(self._recover(), name="store-recovery")
        for future in done.waiting:
            if future.done():  # its caller was cancelled
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(Unavailable(self._refusing))
        # After the callers just woken had their turn, and queued what they write next.
        self._loop.call_soon(self._flush)

    async def _recover(self) -> None:
        pause_s = RECOVERY_FIRST_S
        while True:
            await self._clock.sleep(jittered(pause_s, self._entropy, factor=0.2))
            try:
                state = await self._log.recover()
                break
            except Exception as error:
                LOGGER.debug("The store still takes no writes", err=error)
                self._refusing = f"the store takes no writes: {error}"
                pause_s = min(2 * pause_s, RECOVERY_MAX_S)
        self._flush()  # what was decided before the failure fails with it
        self._pending.clear()
        self._decided = state.revision
        self._take_leases(state)
        if state.revision != self._memory.revision:  # the batch that failed is durable all the same
            self._memory.replace(state.revision, state.entries)
        self._refusing, self._recovering = "", None
        LOGGER.info("The store takes writes again", revision=state.revision)

    def _take_leases(self, state: State) -> None:
        """The leases that are durable, each with its whole time."""
        self._leases = Leases(state.leases, self._clock.monotonic())
        for entry in state.entries:
            if entry.lease:
                self._leases.move(entry.key, 0, entry.lease)
        self._await_expiry()

    def _show(self, batch: Batch) -> None:
        if not batch.changes:
            return
        for change in batch.changes:
            if self._pending[change.key] is change:
                del self._pending[change.key]
        self._memory.apply(batch.changes, self._clock.monotonic())

    def _check_writable(self) -> None:
        if self._refusing:
            raise Unavailable(self._refusing)
