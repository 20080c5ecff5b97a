"""The services of etcd's API over one embedded store: requests in, responses out. Nothing here knows of gRPC.

Raises `errors.Refusal`, and the store's errors, which `errors.refusal` translates.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from pathlib import Path

from pybernetes.machinery.clock import Clock
from pybernetes.store.embedded import EmbeddedStore, SqliteLog
from pybernetes.store.etcd import rpc_pb2 as rpc
from pybernetes.store.face import kv
from pybernetes.store.face.errors import InvalidArgument, OutOfRange, Unimplemented
from pybernetes.store.face.watching import WatchStream
from pybernetes.store.interface import Compacted, Entry, LeaseNotFound, Revision, Unavailable
from pybernetes.store.snapshot import pieces

VERSION = "3.5.21"  # the etcd whose API this is: clients choose what they rely on by it
REQUEST_BYTES_MAX = 3 << 19  # 1.5 MiB, etcd's --max-request-bytes
TTL_MAX_S = 9_000_000_000
TERM = 1  # there is one member, and its one term
FIRST_KEY = "/pybernetes/first"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this member says it is."""

    name: str = "default"
    client_urls: tuple[str, ...] = ()

    @property
    def member_id(self) -> int:
        return _id(f"member {self.name}")

    @property
    def cluster_id(self) -> int:
        return _id(f"cluster {self.name}")


def _id(text: str) -> int:
    return int.from_bytes(sha256(f"pybernetes {text}".encode()).digest()[:8]) >> 1


class Service:
    """A method of the class for each of the API's."""

    def __init__(self, store: EmbeddedStore, log: SqliteLog, directory: Path, identity: Identity, *, clock: Clock) -> None:
        self._store = store
        self._log = log  # the store's
        self._directory = directory  # for snapshots on their way
        self._memory = store.memory
        self._identity = identity
        self._clock = clock

    async def begin(self) -> None:
        """etcd counts from 1, and clients take 0 for no revision: let there be one."""
        if not self._memory.revision:
            await self._store.transact(lambda draft: draft.put(FIRST_KEY, b""))
            await self._store.transact(lambda draft: draft.delete(FIRST_KEY))

    def header(self, revision: int) -> rpc.ResponseHeader:
        identity = self._identity
        return rpc.ResponseHeader(
            cluster_id=identity.cluster_id, member_id=identity.member_id, revision=revision, raft_term=TERM
        )  # fmt: skip

    @property
    def _header(self) -> rpc.ResponseHeader:
        return self.header(self._memory.revision)

    # KV

    async def range(self, request: rpc.RangeRequest) -> rpc.RangeResponse:
        response = kv.ranged(request, self._memory)
        response.header.CopyFrom(self._header)
        return response

    async def put(self, request: rpc.PutRequest) -> rpc.PutResponse:
        _check_size(request)
        revision, response = await self._store.transact(lambda draft: kv.put(request, draft))
        response.header.CopyFrom(self.header(revision))
        return response

    async def delete_range(self, request: rpc.DeleteRangeRequest) -> rpc.DeleteRangeResponse:
        revision, response = await self._store.transact(lambda draft: kv.delete_range(request, draft))
        response.header.CopyFrom(self.header(revision))
        return response

    async def txn(self, request: rpc.TxnRequest) -> rpc.TxnResponse:
        _check_size(request)
        revision, response = await self._store.transact(
            lambda draft: kv.transaction(request, draft, self._memory)
        )  # fmt: skip
        response.header.CopyFrom(self.header(revision))
        return response

    async def compact(self, request: rpc.CompactionRequest) -> rpc.CompactionResponse:
        if request.revision <= self._memory.floor:
            raise Compacted(self._memory.floor)
        await self._store.compact(Revision(request.revision))
        return rpc.CompactionResponse(header=self._header)

    # Watch

    async def watch(
        self, requests: AsyncIterable[rpc.WatchRequest], write: Callable[[rpc.WatchResponse], Awaitable[None]]
    ) -> None:
        await WatchStream(self._memory, self.header, self._clock, write).run(requests)

    # Lease

    async def lease_grant(self, request: rpc.LeaseGrantRequest) -> rpc.LeaseGrantResponse:
        if request.TTL > TTL_MAX_S:
            raise OutOfRange("etcdserver: too large lease TTL")
        ttl_s = max(request.TTL, 1)
        lease = await self._store.grant(ttl_s, lease=request.ID)
        return rpc.LeaseGrantResponse(header=self._header, ID=lease, TTL=ttl_s)

    async def lease_revoke(self, request: rpc.LeaseRevokeRequest) -> rpc.LeaseRevokeResponse:
        await self._store.revoke(request.ID)
        return rpc.LeaseRevokeResponse(header=self._header)

    async def lease_keep_alive(self, request: rpc.LeaseKeepAliveRequest) -> rpc.LeaseKeepAliveResponse:
        try:
            ttl_s = await self._store.keep_alive(request.ID)
        except LeaseNotFound:
            ttl_s = 0
        return rpc.LeaseKeepAliveResponse(header=self._header, ID=request.ID, TTL=ttl_s)

    async def lease_time_to_live(self, request: rpc.LeaseTimeToLiveRequest) -> rpc.LeaseTimeToLiveResponse:
        response = rpc.LeaseTimeToLiveResponse(header=self._header, ID=request.ID)
        try:
            status = self._store.lease(request.ID)
        except LeaseNotFound:
            response.TTL = -1
            return response
        response.TTL, response.grantedTTL = ceil(status.left_s), status.granted_s
        if request.keys:
            response.keys.extend(key.encode() for key in status.keys)
        return response

    async def lease_leases(self, _: rpc.LeaseLeasesRequest) -> rpc.LeaseLeasesResponse:
        leases = [rpc.LeaseStatus(ID=lease) for lease in self._store.leases]
        return rpc.LeaseLeasesResponse(header=self._header, leases=leases)

    # Cluster and Maintenance

    async def member_list(self, _: rpc.MemberListRequest) -> rpc.MemberListResponse:
        identity = self._identity
        member = rpc.Member(ID=identity.member_id, name=identity.name, clientURLs=identity.client_urls)
        return rpc.MemberListResponse(header=self._header, members=[member])

    async def status(self, _: rpc.StatusRequest) -> rpc.StatusResponse:
        revision = await self._store.revision()
        size = self._log.size_bytes
        return rpc.StatusResponse(
            header=self.header(revision), version=VERSION, dbSize=size, dbSizeInUse=size, leader=self._identity.member_id,
            raftIndex=revision, raftTerm=TERM, raftAppliedIndex=revision,
        )  # fmt: skip

    async def alarm(self, request: rpc.AlarmRequest) -> rpc.AlarmResponse:
        """There is one while writes fail (on a full disk, say); it goes by itself."""
        if request.action == rpc.AlarmRequest.ACTIVATE:
            raise Unimplemented("etcdserver: alarms of this store cannot be set by hand")
        alarms = []
        try:
            await self._store.writable()
        except Unavailable:
            alarms.append(rpc.AlarmMember(memberID=self._identity.member_id, alarm=rpc.NOSPACE))
        return rpc.AlarmResponse(header=self._header, alarms=alarms)

    async def defragment(self, _: rpc.DefragmentRequest) -> rpc.DefragmentResponse:
        await self._log.defragment()
        return rpc.DefragmentResponse(header=self._header)

    async def hash(self, _: rpc.HashRequest) -> rpc.HashResponse:
        entries = list(self._memory.entries.values())
        return rpc.HashResponse(header=self._header, hash=await asyncio.to_thread(hashed, entries))

    async def hash_kv(self, request: rpc.HashKVRequest) -> rpc.HashKVResponse:
        """Of ours: to compare two copies of this store, never one with an etcd."""
        header = self._header
        revision = Revision(request.revision) if request.revision > 0 else None
        entries = self._memory.between("", None, revision=revision, limit=0).entries
        value = await asyncio.to_thread(hashed, entries)
        return rpc.HashKVResponse(header=header, hash=value, compact_revision=self._memory.floor)

    async def snapshot(self, write: Callable[[rpc.SnapshotResponse], Awaitable[None]]) -> None:
        """The file of `store.snapshot`, in pieces."""
        async with aclosing(pieces(self._store, self._directory)) as found:
            async for piece in found:
                header = self.header(piece.revision)
                await write(rpc.SnapshotResponse(header=header, remaining_bytes=piece.left, blob=piece.data))


def hashed(entries: Iterable[Entry]) -> int:
    value = 0
    for entry in sorted(entries, key=lambda entry: entry.key):
        value = zlib.crc32(f"{entry.key}\0{entry.create_revision} {entry.mod_revision} {entry.version}\0".encode(), value)
        value = zlib.crc32(entry.value, value)
    return value


def _check_size(request: rpc.PutRequest | rpc.TxnRequest) -> None:
    if request.ByteSize() > REQUEST_BYTES_MAX:
        raise InvalidArgument("etcdserver: request is too large")
