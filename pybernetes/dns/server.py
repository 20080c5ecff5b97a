"""The DNS server: UDP and TCP on one port, in front of `records` and `forward`."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

from pybernetes.dns import records, wire
from pybernetes.dns.forward import Forwarder
from pybernetes.dns.records import Answer
from pybernetes.dns.view import ClusterView
from pybernetes.machinery.log import logger

log = logger("dns")

CACHED_MOST = 50_000
TCP_IDLE_S = 10.0
TCP_CONNECTIONS_MOST = 500
FORWARDS_MOST = 2_000  # datagrams that wait for another resolver; more are dropped, as a full queue does


class DnsServer:
    def __init__(self, view: ClusterView, domain: str, forwarder: Forwarder) -> None:
        self._view = view
        self._domain = domain
        self._forwarder = forwarder
        # Encoded answers of the cluster's names, as of one generation of the view: a repeated question costs one look-up.
        self._encoded: dict[bytes, bytes] = {}
        self._encoded_at = -1
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Raises OSError where the port is taken."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._datagram), (host, port))
        port = self._transport.get_extra_info("sockname")[1]
        self._tcp = await asyncio.start_server(self._serve_tcp, host, port, limit=wire.UDP_BYTES_MOST * 4)

    @property
    def port(self) -> int:
        assert self._transport is not None
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    async def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _datagram(self, data: bytes, reply: Callable[[bytes], None]) -> None:
        key = data[2:]
        if self._encoded_at == self._view.generation and (known := self._encoded.get(key)) is not None:
            reply(data[:2] + known)
            return
        try:
            query = wire.parse(data)
        except wire.Malformed as malformed:
            if malformed.reply:
                reply(malformed.reply)
            return
        answer = self._lookup(query)
        if answer is not None and not _is_alias(answer, query):
            encoded = _fitting(wire.encode(query, answer, self._domain), query)
            self._remember(key, encoded)
            reply(encoded)
        elif len(self._tasks) < FORWARDS_MOST:
            self._own(self._resolve_datagram(query, data, answer, reply))

    async def _resolve_datagram(
        self, query: wire.Query, data: bytes, answer: Answer | None, reply: Callable[[bytes], None]
    ) -> None:
        reply(_fitting(await self._resolve(query, data, answer, tcp=False), query))

    def _lookup(self, query: wire.Query) -> Answer | None:
        return records.answer(self._view, self._domain, query.name, query.type)

    async def _resolve(self, query: wire.Query, data: bytes, answer: Answer | None, *, tcp: bool) -> bytes:
        """What needs somebody else: a name outside the cluster, or an alias of ours (its target may be anywhere)."""
        if answer is None:
            return await self._forwarder.resolve(query, data, tcp=tcp)
        target = wire.question(str(answer.answers[0].data), query.type)
        return wire.encode_alias(query, answer, await self._reply_to(target, tcp=tcp))

    async def _reply_to(self, data: bytes, *, tcp: bool) -> bytes:
        query = wire.parse(data)
        answer = self._lookup(query)
        if answer is not None:
            # An alias of an alias is not followed: a circle of them must not keep us busy.
            return wire.encode(query, answer, self._domain)
        return await self._forwarder.resolve(query, data, tcp=tcp)

    def _remember(self, key: bytes, encoded: bytes) -> None:
        if self._encoded_at != self._view.generation or len(self._encoded) >= CACHED_MOST:
            self._encoded.clear()
            self._encoded_at = self._view.generation
        self._encoded[key] = encoded[2:]

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= TCP_CONNECTIONS_MOST:
            writer.close()
            return
        self._connections += 1
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_S):
                    (length,) = struct.unpack(">H", await reader.readexactly(2))
                    data = await reader.readexactly(length)
                message = await self._tcp_reply(data)
                if not message:
                    return
                writer.write(struct.pack(">H", len(message)) + message)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self._connections -= 1
            writer.close()

    async def _tcp_reply(self, data: bytes) -> bytes:
        try:
            query = wire.parse(data)
        except wire.Malformed as malformed:
            return malformed.reply
        answer = self._lookup(query)
        if answer is not None and not _is_alias(answer, query):
            return wire.encode(query, answer, self._domain)
        return await self._resolve(query, data, answer, tcp=True)

    def _own(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("Forwarding failed", err=error)


def _is_alias(answer: Answer, query: wire.Query) -> bool:
    """Whether the question was for an address and the answer is another name."""
    return query.type in (records.A, records.AAAA) and any(each.type == records.CNAME for each in answer.answers)


def _fitting(message: bytes, query: wire.Query) -> bytes:
    return message if len(message) <= query.udp_bytes else wire.truncated(query)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, Callable[[bytes], None]], None]) -> None:
        self._received = received
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        transport = self._transport
        assert transport is not None

        def reply(message: bytes) -> None:
            if not transport.is_closing():
                transport.sendto(message, addr)

        self._received(data, reply)
