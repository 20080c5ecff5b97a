"""Names outside the cluster: asked of the machine's resolvers, remembered for a short while."""

from __future__ import annotations

import asyncio
import struct
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pybernetes.dns import wire
from pybernetes.dns.wire import Query
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy

TIMEOUT_S = 2.0  # per resolver; a stub resolver gives up after 5
REMEMBER_S = 30.0
REMEMBERED_MOST = 10_000
UNDER_WAY_MOST = 1_000
RESOLVERS_MOST = 3  # as resolv.conf(5)
TCP_BYTES_MOST = 65_535


class Resolver(NamedTuple):
    host: str
    port: int


def resolvers(upstreams: Sequence[str], resolv_conf: str) -> tuple[Resolver, ...]:
    """Those given (`host` or `host:port`), else those of resolv.conf. Raises ValueError for a bad port."""
    if upstreams:
        return tuple(_resolver(text) for text in upstreams)
    path = Path(resolv_conf)
    lines = path.read_text().splitlines() if path.exists() else []
    words = [line.split() for line in lines]
    found = [Resolver(line[1], 53) for line in words if len(line) > 1 and line[0] == "nameserver"]
    return tuple(found[:RESOLVERS_MOST])


def _resolver(text: str) -> Resolver:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return Resolver(host, int(port.removeprefix(":") or 53))
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return Resolver(host, int(port))
    return Resolver(text, 53)


class Forwarder:
    """Asks each resolver in turn until one answers."""

    def __init__(self, upstreams: Sequence[Resolver], clock: Clock, entropy: Entropy) -> None:
        self._upstreams = upstreams
        self._clock = clock
        self._entropy = entropy
        self._remembered: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._under_way = asyncio.Semaphore(UNDER_WAY_MOST)

    async def resolve(self, query: Query, data: bytes, *, tcp: bool) -> bytes:
        """The reply to the query, whose bytes are `data`; SERVFAIL where nobody answers."""
        key = data[2:]  # all but the id
        until, reply = self._remembered.get(key, (0.0, b""))
        if until > self._clock.monotonic() and not (tcp and wire.is_truncated(reply)):
            return wire.with_id(reply, data[:2])
        async with self._under_way:
            for upstream in self._upstreams:
                # An id of our own, not the client's: who cannot see the query must guess it (RFC 5452).
                asked = wire.with_id(data, self._entropy.token_bytes(2))
                try:
                    async with asyncio.timeout(TIMEOUT_S):
                        reply = await (_ask_tcp if tcp else _ask_udp)(upstream, asked)
                except (OSError, EOFError):  # TimeoutError is an OSError
                    continue
                self._remember(key, reply)
                return wire.with_id(reply, data[:2])
        return wire.failure(query)

    def _remember(self, key: bytes, reply: bytes) -> None:
        self._remembered[key] = self._clock.monotonic() + REMEMBER_S, reply
        self._remembered.move_to_end(key)
        if len(self._remembered) > REMEMBERED_MOST:
            self._remembered.popitem(last=False)


class _Exchange(asyncio.DatagramProtocol):
    """One datagram out, and the one that answers it in."""

    def __init__(self, asked: bytes) -> None:
        self._asked = asked
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if len(data) >= wire.HEADER_BYTES and data[:2] == self._asked[:2] and not self.reply.done():
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)


async def _ask_udp(upstream: Resolver, asked: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, exchange = await loop.create_datagram_endpoint(lambda: _Exchange(asked), remote_addr=upstream)
    try:
        transport.sendto(asked)
        return await exchange.reply
    finally:
        transport.close()


async def _ask_tcp(upstream: Resolver, asked: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*upstream, limit=TCP_BYTES_MOST)
    try:
        writer.write(struct.pack(">H", len(asked)) + asked)
        (length,) = struct.unpack(">H", await reader.readexactly(2))
        reply = await reader.readexactly(length)
        if reply[:2] != asked[:2]:
            raise EOFError("an answer to another question")
        return reply
    finally:
        writer.close()
