"""The etcd engine: a store whose truth is an etcd cluster, read from memory.

A write is one etcd transaction: if the key is still at the revision expected, write it, else give what is there. A read asks
etcd for nothing but the revision as of now (a quorum's word, so the read is linearizable), waits until memory has reached it,
and reads memory. All who read at once share one such question. What memory does not remember (a revision from before this
process) is read from etcd itself.

Several stores, in several processes, may be open on one etcd and one prefix; each has its own memory and its own history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from pybernetes.machinery.clock import Clock, SystemClock
from pybernetes.machinery.entropy import Entropy, SystemEntropy
from pybernetes.machinery.log import logger
from pybernetes.store.etcd import rpc_pb2 as rpc
from pybernetes.store.etcd.compactor import Compactor
from pybernetes.store.etcd.connections import COMPACT, GRANT, KEEP_ALIVE, RANGE, REVOKE, TIME_TO_LIVE, TXN, Connections, Servers
from pybernetes.store.etcd.follower import Follower
from pybernetes.store.etcd.keys import KeySpace
from pybernetes.store.etcd.shared import Shared
from pybernetes.store.interface import (
    Compacted,
    Entry,
    FutureRevision,
    KeyExists,
    LeaseNotFound,
    Mismatch,
    Page,
    Revision,
    State,
    StoreError,
    Unavailable,
    Watch,
)
from pybernetes.store.memory import HistoryLimits, Memory

LOGGER = logger("store")

OPEN_TIMEOUT_S = 20.0  # as upstream's: how long a start waits for etcd, which may be starting as well


class EtcdStore:
    """See `interface.Store`. Made by `open`; to be used on the event loop that opened it."""

    def __init__(
        self,
        connections: Connections,
        space: KeySpace,
        follower: Follower,
        memory: Memory,
        *,
        clock: Clock,
        compaction_interval_s: float,
    ) -> None:
        self._connections = connections
        self._space = space
        self._follower = follower
        self._memory = memory
        self._probe = Shared(self._ask_revision)
        self._closed = False
        self._tasks = [asyncio.create_task(follower.run(memory), name="etcd-follower")]
        if compaction_interval_s:
            compactor = Compactor(connections, clock=clock, interval_s=compaction_interval_s)
            self._tasks.append(asyncio.create_task(compactor.run(), name="etcd-compactor"))

    @classmethod
    async def open(
        cls,
        servers: Servers,
        space: KeySpace,
        *,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        limits: HistoryLimits | None = None,
        compaction_interval_s: float = 0.0,
    ) -> EtcdStore:
        """The store that etcd keeps. Raises `Unavailable` where none answers, ValueError for endpoints that are none.

        `compaction_interval_s`: forget history older than that, together with all who do so on this etcd; 0 leaves it alone.
        """
        clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
        connections = Connections(servers, clock=clock, entropy=entropy)
        follower = Follower(connections, space, clock=clock, entropy=entropy)
        try:
            await connections.greet(timeout_s=OPEN_TIMEOUT_S)
            revision, entries = await follower.load()
        except StoreError as error:
            await connections.close()
            raise Unavailable(f"cannot read from etcd at {', '.join(servers.endpoints)}: {error}") from error
        except BaseException:
            await connections.close()
            raise
        memory = Memory(revision, entries, limits or HistoryLimits())
        store = cls(connections, space, follower, memory, clock=clock, compaction_interval_s=compaction_interval_s)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await follower.following.wait()
        except TimeoutError:
            await store.close()
            raise Unavailable(f"etcd at {', '.join(servers.endpoints)} takes up no watch: {follower.failure}") from None
        except BaseException:
            await store.close()
            raise
        return store

    # Reads.

    async def revision(self) -> Revision:
        await self._current()
        return self._memory.revision

    async def writable(self) -> None:
        await self._current()

    async def get(self, key: str) -> Entry | None:
        await self._current()
        return self._memory.get(key)

    async def range(self, prefix: str, *, revision: Revision | None = None, limit: int = 0, after: str = "") -> Page:
        if revision is None or revision > self._memory.revision:
            await self._current()
        try:
            return self._memory.page(prefix, revision=revision, limit=limit, after=after)
        except Compacted:
            assert revision is not None
            return await self._range_of_old(prefix, revision, limit, after)

    def watch(self, prefix: str, *, from_revision: Revision, on_progress: Callable[[Revision], None] | None = None) -> Watch:
        return self._memory.watch(prefix, from_revision=from_revision, on_progress=on_progress)

    async def _current(self) -> None:
        """Wait until memory holds all that was committed before this call. Raises `Unavailable`."""
        self._check_open()
        await self._follower.reached(await self._probe.ask())

    async def _ask_revision(self) -> Revision:
        known = self._memory.revision
        start, _ = self._space.bounds(self._space.served)
        answer = await self._connections.call(RANGE, rpc.RangeRequest(key=start, count_only=True), repeatable=True)
        if answer.header.revision < known:
            self._follower.went_back()
            raise Unavailable("etcd has gone back to an earlier revision")
        return Revision(answer.header.revision)

    async def _range_of_old(self, prefix: str, revision: Revision, limit: int, after: str) -> Page:
        start, end = self._space.bounds(prefix, after)
        request = rpc.RangeRequest(key=start, range_end=end, limit=limit, revision=revision)
        try:
            answer = await self._connections.call(RANGE, request, repeatable=True)
        except Compacted:
            raise Compacted(self._memory.floor) from None
        entries = [entry for found in answer.kvs if (entry := self._space.entry(found))]
        return Page(entries, revision, answer.count - len(entries))

    # Writes.

    async def create(self, key: str, value: bytes, *, lease: int = 0) -> Revision:
        put = rpc.PutRequest(key=self._space.to_etcd(key), value=value, lease=lease)
        revision, current = await self._guarded(key, Revision(0), rpc.RequestOp(request_put=put))
        if revision is None:
            assert current is not None  # the comparison and the range are one transaction
            raise KeyExists(current)
        return revision

    async def update(self, key: str, value: bytes, *, mod_revision: Revision, lease: int = 0) -> Revision:
        await self._check_guard(key, mod_revision)
        put = rpc.PutRequest(key=self._space.to_etcd(key), value=value, lease=lease)
        revision, current = await self._guarded(key, mod_revision, rpc.RequestOp(request_put=put))
        if revision is None:
            raise Mismatch(key, current)
        return revision

    async def delete(self, key: str, *, mod_revision: Revision) -> Revision:
        await self._check_guard(key, mod_revision)
        removal = rpc.DeleteRangeRequest(key=self._space.to_etcd(key))
        revision, current = await self._guarded(key, mod_revision, rpc.RequestOp(request_delete_range=removal))
        if revision is None:
            raise Mismatch(key, current)
        return revision

    async def compact(self, revision: Revision) -> None:
        await self._current()
        self._memory.check_past(revision)
        self._memory.forget(revision)
        try:
            await self._connections.call(COMPACT, rpc.CompactionRequest(revision=revision), repeatable=True)
        except Compacted:
            pass  # somebody has forgotten that much already
        except FutureRevision:
            raise FutureRevision(self._memory.revision) from None

    async def _check_guard(self, key: str, mod_revision: Revision) -> None:
        """Zero is, to etcd, the revision of a key that is not there; here no key is ever at it."""
        if mod_revision == 0:
            raise Mismatch(key, await self.get(key))

    async def _guarded(
        self, key: str, mod_revision: Revision, write: rpc.RequestOp
    ) -> tuple[Revision, None] | tuple[None, Entry | None]:
        """The revision written, or what was there instead of `mod_revision` (0: nothing)."""
        self._check_open()
        name = self._space.to_etcd(key)
        request = rpc.TxnRequest(
            compare=[rpc.Compare(target=rpc.Compare.MOD, key=name, mod_revision=mod_revision)],
            success=[write],
            failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=name))],
        )
        answer = await self._connections.call(TXN, request, repeatable=False)
        if answer.succeeded:
            return Revision(answer.header.revision), None
        found: Sequence[rpc.KeyValue] = answer.responses[0].response_range.kvs
        return None, self._space.entry(found[0]) if found else None

    # Leases.

    async def grant(self, ttl_s: int, *, lease: int = 0) -> int:
        """See `Store.grant`; etcd makes a time shorter than its elections take as long as that."""
        if ttl_s <= 0:
            raise ValueError(f"a lease needs a time to live: {ttl_s}")
        self._check_open()
        answer = await self._connections.call(GRANT, rpc.LeaseGrantRequest(TTL=ttl_s, ID=lease), repeatable=False)
        return answer.ID

    async def keep_alive(self, lease: int) -> int:
        self._check_open()
        answer = await self._connections.exchange(KEEP_ALIVE, rpc.LeaseKeepAliveRequest(ID=lease))
        if answer.TTL <= 0:
            raise LeaseNotFound(f"lease not found: {lease:x}")
        return answer.TTL

    async def revoke(self, lease: int) -> None:
        self._check_open()
        await self._connections.call(REVOKE, rpc.LeaseRevokeRequest(ID=lease), repeatable=False)

    async def snapshot(self, path: Path) -> Revision:
        from pybernetes.store import snapshot

        await self._current()
        revision, entries = self._memory.revision, list(self._memory.entries.values())
        leases: dict[int, int] = {}
        for lease in {entry.lease for entry in entries if entry.lease}:
            request = rpc.LeaseTimeToLiveRequest(ID=lease)
            answer = await self._connections.call(TIME_TO_LIVE, request, repeatable=True)
            leases[lease] = answer.grantedTTL or 1  # one that has ended in between takes its keys with it
        await asyncio.to_thread(snapshot.save, State(revision, entries, leases), path)
        return revision

    # The end.

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._probe.close()
        await self._follower.close()
        self._memory.end("the store is closed")
        await self._connections.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")
