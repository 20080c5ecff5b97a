"""One watch keeps a memory equal to our key space in etcd.

    load     all of it, page by page as of one revision
    follow   each change since, from one watch; when that breaks, another from where it was, at another endpoint
    replace  load again, where etcd has forgotten the changes in between (`Compacted`), or has gone back in time (it was
             restored from a backup); those who watch the memory are told that there is no way from one to the other

**How a reader knows that memory is current.** etcd gives the revision as of now with every answer (that costs a round trip,
see `engine`), and memory must reach it. It does so at once if the last write was ours or our neighbour's: its event is on the
way. But revisions also go to keys that are not ours (of other users; upstream's compactor writes one), and then no event
comes. So a watcher who misses a revision for a moment asks for progress, which etcd answers with the revision up to which
it has told everything.

Before 3.4.31 and 3.5.13 etcd's answer may overtake events which are under way (etcd issue 15220), so it proves nothing. Those
are asked in another way: we write a key right behind ours, which our watch includes. Its event comes in order, with
everything before it. (Refused: comparing etcd's keys with ours, which is quick for nobody's cluster but a small one.)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.log import logger
from pybernetes.store.etcd import rpc_pb2 as rpc
from pybernetes.store.etcd.connections import RANGE, STATUS, TXN, WATCH, Connections
from pybernetes.store.etcd.keys import KeySpace
from pybernetes.store.interface import Change, Compacted, Entry, Revision, Unavailable
from pybernetes.store.memory import Memory

if TYPE_CHECKING:
    import grpc.aio

LOGGER = logger("store")

PAGE = 2000  # entries loaded at once
PAGE_TIMEOUT_S = 60.0
BEGIN_TIMEOUT_S = 10.0  # for a watch to be taken up
REACH_TIMEOUT_S = 5.0
SOON_S = 0.02  # how long an event may be on its way
SOON_AFTER_RESUMING_S = 0.12  # and from an etcd whose watch is not yet where writes are: it looks every 100 ms
ASK_EVERY_S = 0.1  # as upstream asks
RETRY_FIRST_S, RETRY_MAX_S = 0.1, 5.0


class Follower:
    """`run` must be running once `load` has returned what the memory was made of."""

    def __init__(self, connections: Connections, space: KeySpace, *, clock: Clock, entropy: Entropy) -> None:
        self._connections = connections
        self._space = space
        self._clock = clock
        self._entropy = entropy
        self._memory: Memory | None = None
        self._waiters: dict[Revision, asyncio.Future[None]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._stream: grpc.aio.StreamStreamCall[rpc.WatchRequest, rpc.WatchResponse] | None = None
        self._progress_is_true = False
        self.following = asyncio.Event()  # set once the first watch is there
        self.failure = "no answer"  # why the last watch broke, or did not come about
        self._cluster_id = 0
        self._lost = False  # memory does not follow from etcd's past any more

    async def load(self) -> tuple[Revision, list[Entry]]:
        """Everything as of one revision. Raises `Unavailable`."""
        while True:
            try:
                return await self._load()
            except Compacted:
                LOGGER.warning("etcd was compacted while it was read; reading it anew")

    async def _load(self) -> tuple[Revision, list[Entry]]:
        start, end = self._space.bounds(self._space.served)
        entries: list[Entry] = []
        revision = 0
        while True:
            request = rpc.RangeRequest(key=start, range_end=end, limit=PAGE, revision=revision)
            answer = await self._connections.call(RANGE, request, repeatable=True, timeout_s=PAGE_TIMEOUT_S)
            revision = revision or answer.header.revision
            entries += [entry for found in answer.kvs if (entry := self._space.entry(found))]
            if not answer.more:
                return Revision(revision), entries
            start = answer.kvs[-1].key + b"\0"

    async def run(self, memory: Memory) -> None:
        """Until cancelled."""
        self._memory = memory
        pause_s = RETRY_FIRST_S
        while True:
            before = memory.revision
            try:
                if self._lost:
                    memory.replace(*await self.load())
                    self._lost, self._cluster_id = False, 0
                    self._arrived()
                await self._follow(memory)
            except Unavailable as error:
                self.failure = str(error)
                LOGGER.warning("The watch on etcd broke; following again", revision=memory.revision, err=str(error))
            except Exception:
                LOGGER.exception("Following etcd failed; following again", revision=memory.revision)
            finally:
                self._stream = None
            if self._lost or memory.revision > before:
                pause_s = RETRY_FIRST_S
            await self._clock.sleep(pause_s * (0.5 + self._entropy.random()))
            pause_s = min(pause_s * 2, RETRY_MAX_S)

    async def reached(self, revision: Revision) -> None:
        """Wait until memory holds everything up to that revision. Raises `Unavailable`."""
        assert self._memory is not None
        if self._memory.revision >= revision:
            return
        waiter = self._waiters.get(revision)
        if waiter is None:
            waiter = self._waiters[revision] = asyncio.get_running_loop().create_future()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        try:
            async with asyncio.timeout(REACH_TIMEOUT_S):
                await asyncio.shield(waiter)
        except TimeoutError:
            failure = Unavailable(f"etcd is at revision {revision}, and does not tell us what happened up to it")
            if self._waiters.pop(revision, None) is waiter:
                waiter.set_exception(failure)
                waiter.exception()  # there may be nobody else who takes it
            raise failure from None

    def went_back(self) -> None:
        """etcd is at an earlier revision than we are: what we know is of another past."""
        if not self._lost:
            LOGGER.warning("etcd has gone back, as if restored from a backup; reading it anew")
            self._lost = True
            if self._stream is not None:
                self._stream.cancel()

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        for waiter in self._waiters.values():
            waiter.cancel()

    # Following.

    async def _follow(self, memory: Memory) -> None:
        """One watch, until it breaks (`Unavailable`) or is `_lost`."""
        import grpc

        at, stream = self._connections.stream(WATCH)
        try:
            async with asyncio.timeout(BEGIN_TIMEOUT_S):
                await self._begin(at, stream, Revision(memory.revision + 1))
            while isinstance(response := await stream.read(), rpc.WatchResponse):  # else it is the end
                if response.canceled:
                    if response.compact_revision:
                        LOGGER.warning("etcd has forgotten what happened since; reading it anew", revision=memory.revision)
                        self._lost = True
                        return
                    raise Unavailable(f"etcd cancelled the watch: {response.cancel_reason}")
                if response.created:
                    self._stream = stream
                    self.following.set()
                self._take(memory, response)
            raise Unavailable("etcd ended the watch")
        except (grpc.aio.AioRpcError, TimeoutError, asyncio.InvalidStateError) as error:
            self._connections.leave(at)
            failure = self._connections.failure(error) if isinstance(error, grpc.aio.AioRpcError) else error
            raise Unavailable(str(failure) or "etcd does not answer") from error
        except Unavailable:
            self._connections.leave(at)
            raise
        except asyncio.CancelledError:
            # Ours, or the stream's: cancelled by `went_back`, or by the closing of its channel.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            if not self._lost:
                raise Unavailable("the connection to etcd was closed") from None
        finally:
            stream.cancel()

    async def _begin(
        self, at: int, stream: grpc.aio.StreamStreamCall[rpc.WatchRequest, rpc.WatchResponse], start: Revision
    ) -> None:
        status = await self._connections.ask(at, STATUS, rpc.StatusRequest(), timeout_s=BEGIN_TIMEOUT_S)
        self._progress_is_true = progress_is_true(status.version)
        # A watch from a revision that is far ahead would just be silent. (The answer is a quorum's: this member may lag.)
        probe = rpc.RangeRequest(key=self._space.marker, count_only=True)
        answer = await self._connections.ask(at, RANGE, probe, timeout_s=BEGIN_TIMEOUT_S)
        if answer.header.revision + 1 < start or self._cluster_id not in (0, answer.header.cluster_id):
            self.went_back()
            raise Unavailable("etcd has gone back to an earlier revision, or is another one")
        self._cluster_id = answer.header.cluster_id
        key, end = self._space.bounds(self._space.served)
        create = rpc.WatchCreateRequest(key=key, range_end=end + b"\0", start_revision=start, progress_notify=True)
        await stream.write(rpc.WatchRequest(create_request=create))

    def _take(self, memory: Memory, response: rpc.WatchResponse) -> None:
        if response.events:
            if changes := self._changes(memory, response.events):
                memory.apply(changes, self._clock.monotonic())
            memory.advance(Revision(response.events[-1].kv.mod_revision))
        elif not response.created and (self._progress_is_true or response.watch_id >= 0):
            # What etcd tells of its own accord is of one watch (it has an id) and in order, in every version.
            memory.advance(Revision(response.header.revision))
        self._arrived()

    def _changes(self, memory: Memory, events: Sequence[rpc.Event]) -> list[Change]:
        changes: list[Change] = []
        within: dict[str, Entry | None] = {}  # of keys changed twice in one response
        for event in events:
            revision = Revision(event.kv.mod_revision)
            key = self._space.from_etcd(event.kv.key)
            if key is None or revision <= memory.revision:
                continue
            previous = within[key] if key in within else memory.get(key)
            entry = self._space.entry(event.kv) if event.type == rpc.Event.PUT else None
            if entry is None and previous is None:
                continue
            within[key] = entry
            changes.append(Change(revision, key, entry, previous))
        return changes

    # Reaching.

    def _arrived(self) -> None:
        if self._waiters:
            assert self._memory is not None
            for revision in [revision for revision in self._waiters if revision <= self._memory.revision]:
                waiter = self._waiters.pop(revision)
                if not waiter.done():
                    waiter.set_result(None)

    async def _ask(self) -> None:
        """Find out that nothing is missing, as long as somebody waits for that."""
        await self._clock.sleep(SOON_S if self._progress_is_true else SOON_AFTER_RESUMING_S)
        while self._waiters:
            # A stream that breaks is `run`'s business, and brings everything when it is there again.
            with contextlib.suppress(Exception):
                if self._progress_is_true and self._stream is not None:
                    await self._stream.write(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))
                elif self._stream is not None:
                    mark = rpc.RequestOp(request_put=rpc.PutRequest(key=self._space.marker))
                    await self._connections.call(TXN, rpc.TxnRequest(success=[mark]), repeatable=True)
            await self._clock.sleep(ASK_EVERY_S)


def progress_is_true(version: str) -> bool:
    """Whether an etcd of this version answers for progress only after all events up to it (issue 15220)."""
    try:
        major, minor, patch = (int(part) for part in version.split("-")[0].split("+")[0].split("."))
    except ValueError:
        return False
    return (major, minor) >= (3, 6) or (major, minor, patch) >= {4: (3, 4, 31), 5: (3, 5, 13)}.get(minor, (4, 0, 0))
