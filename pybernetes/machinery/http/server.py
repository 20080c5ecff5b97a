"""HTTP server: sockets in, `Request` values to a `Handler`, `Response` values out.

A client chooses HTTP/2 or HTTP/1.1 in its TLS handshake (ALPN); without TLS it is HTTP/1.1. Both protocols serve one handler.

Limits, all before the handler sees anything: size of the head, time for the head, size and time of the body, idle time between
requests, number of requests at once. Deadlines are looked at by one sweeper per server, not by a timer per connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from email.utils import format_datetime
from typing import cast

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.http.connections import BODY_LIMIT_BYTES, HEAD_LIMIT_BYTES, STREAMS_MAX, Connection, Outbox
from pybernetes.machinery.http.http1 import Http1Connection
from pybernetes.machinery.http.messages import Handler

__all__ = ["BODY_LIMIT_BYTES", "HEAD_LIMIT_BYTES", "Server"]

SWEEP_PERIOD_S = 5.0
FAREWELL_S = 1.0
HANDSHAKE_TIMEOUT_S = 10.0


class Server:
    """Serves `handler` on as many sockets as `start` is called for.

    `body_limit` bytes bound every request's body, `streams_max` an HTTP/2 connection's requests at once. A handler that raises
    is answered with 500; it should not.
    """

    def __init__(
        self, handler: Handler, *, clock: Clock, body_limit: int = BODY_LIMIT_BYTES, streams_max: int = STREAMS_MAX
    ) -> None:
        self.handler = handler
        self.body_limit = body_limit
        self.streams_max = streams_max
        self.port = 0  # of the socket started first
        self.stopping = False
        self._clock = clock
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._arriving: dict[_Arriving, float] = {}  # with the time by which their handshake must be over
        self.handshake_errors = 0
        self._sweeper: asyncio.Task[None] | None = None
        self._all_gone: asyncio.Event | None = None  # while stopping
        self._date = ""
        self.outbox = Outbox(asyncio.get_running_loop())
        self._date_until = 0.0

    async def start(self, host: str, port: int, ssl_context: ssl.SSLContext | None = None, *, shared: bool = False) -> None:
        """Listen. Port 0 takes a free one, then told by `port`; a `shared` one other processes may listen on, too.

        Raises OSError (address in use, say).
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: self._arrive(loop, tls=ssl_context is not None), host, port, ssl=ssl_context,
            backlog=1024, reuse_address=True, reuse_port=shared,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if ssl_context else None,
        )  # fmt: skip
        self._servers.append(server)
        self.port = self.port or server.sockets[0].getsockname()[1]
        if self._sweeper is None:
            self._sweeper = loop.create_task(self._sweep(), name="http-sweeper")

    async def stop(self, grace_s: float = 10.0) -> None:
        """Take no more connections, end the streams, let requests under way finish for up to `grace_s`, then cut.

        What is answered is also sent: connections get up to `FAREWELL_S` to close by themselves.
        """
        self.stopping = True
        for server in self._servers:
            server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        for connection in tuple(self._connections):
            connection.finish()
        tasks = [task for connection in self._connections for task in connection.tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        await self._farewell()
        for connection in tuple(self._connections):
            connection.abort()
        await asyncio.gather(*(task for task in tasks if not task.done()), return_exceptions=True)

    def _arrive(self, loop: asyncio.AbstractEventLoop, *, tls: bool) -> _Arriving:
        arriving = _Arriving(self, loop)
        if tls:
            self._arriving[arriving] = self._clock.monotonic() + HANDSHAKE_TIMEOUT_S
        return arriving

    def arrived(self, arriving: _Arriving) -> None:
        self._arriving.pop(arriving, None)

    async def _farewell(self) -> None:
        self._all_gone = asyncio.Event()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._all_gone.wait()

    def date(self) -> str:
        """The `Date` header, made anew once a second."""
        now = self._clock.monotonic()
        if now >= self._date_until:
            self._date_until = now + 1.0
            self._date = format_datetime(self._clock.now(), usegmt=True)
        return self._date

    def added(self, connection: Connection) -> None:
        if self.stopping:  # its handshake was under way: nobody would answer it
            asyncio.get_running_loop().call_soon(connection.abort)
        self._connections.add(connection)

    def removed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._all_gone is not None and not self._connections:
            self._all_gone.set()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_PERIOD_S)
            now = self._clock.monotonic()
            # A handshake that fails is told to nobody: it is one that does not end.
            for arriving in [one for one, until in self._arriving.items() if until < now]:
                del self._arriving[arriving]
                self.handshake_errors += 1
            for connection in tuple(self._connections):
                connection.check(now)


class _Arriving(asyncio.Protocol):
    """A connection until it is known (the handshake is over) which protocol it speaks."""

    __slots__ = ("_loop", "_server")

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        self._server.arrived(self)
        protocol: asyncio.Protocol
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            from pybernetes.machinery.http.http2 import Http2Connection  # loads hpack

            protocol = Http2Connection(self._server, self._loop)
        else:
            protocol = Http1Connection(self._server, self._loop)
        cast(asyncio.Transport, transport).set_protocol(protocol)
        protocol.connection_made(transport)
