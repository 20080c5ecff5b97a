"""Forget history in time: every interval, what is older than one.

As upstream's API server does it, on the same key, so that ours and upstream's beside each other compact once an interval and
not each: the key's version is the interval's number. Who finds the number that it has seen last takes the next one, notes the
revision as of now there, and compacts up to the revision of the interval before. Who finds another number knows that somebody
was faster, and takes that number as seen.
"""

from __future__ import annotations

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.log import logger
from pybernetes.store.etcd import rpc_pb2 as rpc
from pybernetes.store.etcd.connections import COMPACT, TXN, Connections
from pybernetes.store.interface import Compacted, StoreError

LOGGER = logger("store")

KEY = b"compact_rev_key"


class Compactor:
    def __init__(self, connections: Connections, *, clock: Clock, interval_s: float) -> None:
        self._connections = connections
        self._clock = clock
        self._interval_s = interval_s
        self._number = 0  # of the last interval known to be taken
        self._revision = 0  # as of then

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(self._interval_s)
            try:
                await self.take_turn()
            except StoreError as error:
                LOGGER.warning("Cannot compact etcd; trying again", err=str(error))

    async def take_turn(self) -> None:
        """What is done once an interval."""
        request = rpc.TxnRequest(
            compare=[rpc.Compare(target=rpc.Compare.VERSION, key=KEY, version=self._number)],
            success=[rpc.RequestOp(request_put=rpc.PutRequest(key=KEY, value=b"%d" % self._revision))],
            failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=KEY))],
        )
        answer = await self._connections.call(TXN, request, repeatable=True)
        compact_to, self._revision = self._revision, answer.header.revision
        if not answer.succeeded:
            found = answer.responses[0].response_range.kvs
            self._number = found[0].version if found else 0
            return
        self._number += 1
        if not compact_to:  # of what was before this process, nobody can tell how old it is
            return
        try:
            await self._connections.call(COMPACT, rpc.CompactionRequest(revision=compact_to), repeatable=True)
        except Compacted:
            pass
        LOGGER.debug("Compacted etcd", revision=compact_to)
