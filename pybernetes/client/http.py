"""HTTP/1.1 to one server: a pool of kept-alive connections, streaming answers with back-pressure, upgrades.

httptools parses; everything else is here. A connection carries one exchange at a time. An idle one costs little: its parser,
and the TLS state that the event loop keeps.

A kept-alive connection may be closed by the server just as we send on it. Such a request is sent once more on a fresh
connection if nothing of it had been written, or if repeating it cannot matter (GET, HEAD, OPTIONS); otherwise the caller gets
`ConnectionFailed`, since the server may have carried it out (RFC 9110, section 9.2.2).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import httptools

from pybernetes.client.transport import ConnectionFailed, RequestTimeout
from pybernetes.machinery.clock import Clock, SystemClock
from pybernetes.machinery.http.messages import Request, Response, Upgradable, lines_of

if TYPE_CHECKING:
    import ssl

CONNECT_TIMEOUT_S = 30.0  # as client-go's dialer
# While a server is away, one connection is tried ever again for all who wait: soon at first, then after a part of the time that
# it has been away for. So it is found again within that part, be it a restart or a day off.
PROBE_TIMEOUT_S = 5.0
PROBE_FIRST_S = 0.02
PROBE_PART = 0.05
PROBE_MAX_S = 5.0
CONNECTIONS_MAX = 512  # of one transport, watches included; further requests wait for their turn
IDLE_CONNECTIONS_MAX = 16
IDLE_S_MAX = 60.0  # below the 90 s or so after which servers close
HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 512 * 1024 * 1024  # of an answer read whole; a large cluster's pods take tens of MB
# A stream's reader may be this far behind before we stop reading from the socket.
STREAM_BUFFER_BYTES_HIGH = 256 * 1024
STREAM_BUFFER_BYTES_LOW = 64 * 1024
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})


class HttpTransport:
    """A `Transport` over TCP, with TLS if `base_url` says https. `token` may be a function, called for every request."""

    def __init__(
        self,
        base_url: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str = "",
        token: str | Callable[[], str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        secure = parts.scheme == "https"
        if secure and ssl_context is None:
            import ssl

            ssl_context = ssl.create_default_context()
        self.host = parts.hostname or "localhost"
        self.port = parts.port or (443 if secure else 80)
        self.ssl_context = ssl_context if secure else None
        self._server_hostname = server_hostname or self.host
        self._prefix = parts.path.rstrip("/")
        self._authority = parts.netloc.rpartition("@")[2]
        self._token = token
        self._clock: Clock = clock or SystemClock()
        self._idle: list[_Connection] = []  # the most recently used last
        self._open: set[_Connection] = set()
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)
        self._closed = False
        self._probing: asyncio.Task[bool] | None = None

    async def send(self, request: Request, *, stream: bool = False, timeout_s: float | None = 60) -> Response:
        try:
            async with asyncio.timeout(timeout_s):
                connection, response = await self._exchange(request)
                if stream:
                    return response
                body = await connection.read_whole()
        except TimeoutError as error:
            raise RequestTimeout(f"{request.method} {request.path}: no answer within {timeout_s:g} s") from error
        return Response(response.status, response.headers, body)

    async def upgrade(self, request: Request, *, timeout_s: float = 30) -> tuple[Response, Upgradable | None]:
        try:
            async with asyncio.timeout(timeout_s):
                connection, response = await self._exchange(request, fresh=True)
                if connection.upgraded:
                    return Response(101, response.headers), connection
                body = await connection.read_whole()
        except TimeoutError as error:
            raise RequestTimeout(f"{request.method} {request.path}: no answer within {timeout_s:g} s") from error
        return Response(response.status, response.headers, body), None

    async def reachable(self) -> bool:
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe(), name=f"probe {self.host}:{self.port}")
        return await asyncio.shield(self._probing)

    async def _probe(self) -> bool:
        """Whether the first connection came about; returns with the first that does, or when the transport is closed."""
        loop, began_s, first = asyncio.get_running_loop(), self._clock.monotonic(), True
        while not self._closed:
            with suppress(OSError):  # TimeoutError included
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    transport, _ = await loop.create_connection(asyncio.Protocol, self.host, self.port)
                transport.close()
                return first
            first = False
            away_s = self._clock.monotonic() - began_s
            await self._clock.sleep(min(max(PROBE_FIRST_S, away_s * PROBE_PART), PROBE_MAX_S))
        return first

    async def close(self) -> None:
        self._closed = True
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        for connection in list(self._open):
            connection.close()
        # Let the loop close the sockets before the caller closes the loop.
        await asyncio.sleep(0)

    @property
    def in_use(self) -> bool:
        """Whether anything is under way, upgraded connections included."""
        return len(self._open) > len(self._idle)

    async def _exchange(self, request: Request, *, fresh: bool = False) -> tuple[_Connection, Response]:
        """Send on a pooled or new connection and read the head of the answer. The body is then the connection's to give."""
        head = self._head(request)
        while True:
            connection = await self._connection(fresh)
            reused = connection.exchanges > 0
            try:
                response = await connection.request(request.method, head, request.body)
            except ConnectionFailed:
                connection.close()
                if reused and (not connection.sent or request.method in _REPEATABLE) and not connection.answered:
                    fresh = True
                    continue
                raise
            except BaseException:
                connection.close()
                raise
            return connection, response

    def _head(self, request: Request) -> bytes:
        target = self._prefix + request.path + (f"?{request.query}" if request.query else "")
        lines = [f"{request.method} {target} HTTP/1.1"]
        headers = dict(request.headers)
        headers.setdefault("host", self._authority)
        if self._token is not None and "authorization" not in headers:
            headers["authorization"] = "Bearer " + (self._token if isinstance(self._token, str) else self._token())
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            headers["content-length"] = str(len(request.body))
        for name, value in (*headers.items(), *request.more_headers):
            lines += [f"{name}: {line}" for line in lines_of(value)]
        text = "\r\n".join(lines) + "\r\n\r\n"
        if text.count("\n") != len(lines) + 1 or "\0" in text:
            raise ValueError("a request line or header may not contain a line break")
        return text.encode("latin-1")

    async def _connection(self, fresh: bool) -> _Connection:
        if self._closed:
            raise ConnectionFailed("the client is closed")
        now = self._clock.monotonic()
        while self._idle and now - self._idle[0].idle_since > IDLE_S_MAX:
            self._idle.pop(0).close()
        while self._idle and not fresh:
            connection = self._idle.pop()
            if not connection.lost:
                return connection
        await self._slots.acquire()
        try:
            return await self._connect()
        except BaseException:
            self._slots.release()
            raise

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, protocol = await loop.create_connection(
                    lambda: _Connection(self),
                    self.host,
                    self.port,
                    ssl=self.ssl_context,
                    server_hostname=self._server_hostname if self.ssl_context else None,
                )
        except TimeoutError as error:
            raise RequestTimeout(f"dial tcp {self.host}:{self.port}: i/o timeout") from error
        except OSError as error:  # ssl.SSLError and socket.gaierror included
            raise ConnectionFailed(error.errno, _connect_message(self.host, self.port, error)) from error
        self._open.add(protocol)
        return protocol

    def released(self, connection: _Connection, *, reusable: bool) -> None:
        """The exchange on `connection` is over."""
        if reusable and not self._closed and len(self._idle) < IDLE_CONNECTIONS_MAX:
            connection.idle_since = self._clock.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def forgotten(self, connection: _Connection) -> None:
        """`connection` is closed."""
        if connection in self._open:
            self._open.discard(connection)
            self._slots.release()
        if connection in self._idle:
            self._idle.remove(connection)


def _connect_message(host: str, port: int, error: OSError) -> str:
    text = (error.strerror or str(error) or type(error).__name__).strip()
    return f"dial tcp {host}:{port}: {text}"


class _Connection(asyncio.Protocol):
    """One connection: the parser's callbacks on one side, the exchange's reader on the other.

    States: idle -> request() -> head received -> body read -> idle (released to the pool), or closed at any point. After a 101
    it is an `Upgradable`, never pooled again.
    """

    __slots__ = (
        "_buffered", "_can_write", "_chunks", "_complete", "_error", "_has_head", "_head_bytes", "_head_waiter", "_header_map",
        "_keep_alive", "_method", "_parser", "_paused", "_pool", "_transport", "_waiter", "answered", "exchanges", "idle_since",
        "lost", "sent", "upgraded",
    )  # fmt: skip

    def __init__(self, pool: HttpTransport) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._method = ""
        self._header_map: dict[str, str] = {}
        self._head_bytes = 0  # received before the head was whole
        self._has_head = False
        self._head_waiter: asyncio.Future[None] | None = None
        self._waiter: asyncio.Future[None] | None = None  # of the body's reader
        self._can_write: asyncio.Future[None] | None = None  # pending while the socket's send buffer is full
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._complete = False  # the answer has been parsed to its end
        self._keep_alive = False  # and the server keeps the connection open
        self._error: ConnectionFailed | None = None
        self.exchanges = 0
        self.sent = False  # something of the current request has been written
        self.answered = False  # something of the current answer has been received
        self.lost = False
        self.upgraded = False
        self.idle_since = 0.0

    # The exchange.

    async def request(self, method: str, head: bytes, body: bytes) -> Response:
        """Send, and wait for the head of the answer; its body is a stream over this connection."""
        self.exchanges += 1
        self.sent = self.answered = self._complete = self._has_head = self._keep_alive = False
        self._method = method
        self._header_map = {}
        self._head_bytes = 0
        if self.lost or self._transport is None:
            raise self._failure()
        self._parser = httptools.HttpResponseParser(self)
        self._head_waiter = asyncio.get_running_loop().create_future()
        self.sent = True
        if len(body) < 64 * 1024:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        await self._head_waiter
        if self._error is not None:
            raise self._error
        return Response(self._parser.get_status_code(), self._header_map, _Body(self))

    async def next_chunk(self) -> bytes:
        """What has arrived of the body since the last call; b"" at its end."""
        while not self._chunks:
            if self._complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        data = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        self._resume()
        return data

    async def read_whole(self) -> bytes:
        """The body to its end; the connection goes back to the pool."""
        done = False
        try:
            parts: list[bytes] = []
            size = 0
            while chunk := await self.next_chunk():
                parts.append(chunk)
                size += len(chunk)
                if size > BODY_BYTES_MAX:
                    raise ConnectionFailed(f"the answer is larger than {BODY_BYTES_MAX} bytes")
            done = True
            return b"".join(parts)
        finally:
            if done:
                self.finish()
            else:
                self.close()

    def finish(self) -> None:
        """The reader is done: pool the connection if the answer was whole and the server keeps it open."""
        self._parser = None
        self._pool.released(self, reusable=self._complete and self._keep_alive and not self.lost)

    def _failure(self) -> ConnectionFailed:
        return self._error or ConnectionFailed("the connection is closed")

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        head_waiter = self._head_waiter if self._has_head or self._error is not None else None
        for future in (head_waiter, self._waiter):
            if future is not None and not future.done():
                future.set_result(None)

    # Upgradable.

    async def read(self) -> bytes:
        while not self._chunks:
            if self.lost:
                return b""
            await self._wait()
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        self._resume()
        return data

    async def write(self, data: bytes) -> None:
        if self.lost or self._transport is None:
            raise self._failure()
        self._transport.write(data)
        if self._can_write is not None:
            await asyncio.shield(self._can_write)
            if self._error is not None:
                raise self._error

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._lose(ConnectionFailed("the connection is closed"))

    # asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A peer that vanished is noticed on an idle watch within about a minute, and never by the bytes it does not send.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
                if hasattr(socket, option):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def data_received(self, data: bytes) -> None:
        if self.upgraded:
            self._push(data)
            return
        if self._parser is None:  # bytes nobody asked for: a late 408, or a confused server
            self.close()
            return
        self.answered = True
        if not self._has_head:
            if self._head_bytes > HEAD_BYTES_MAX:
                self._abort(ConnectionFailed(f"the head of the answer is larger than {HEAD_BYTES_MAX} bytes"))
                return
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._abort(ConnectionFailed(f"malformed HTTP response: {error}"))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._has_head and self._until_close():
            self._complete = True
        reason = f"read tcp: {exc}" if exc is not None else "unexpected EOF"
        error = ConnectionFailed(reason)
        error.__cause__ = exc
        self._lose(error)

    def pause_writing(self) -> None:
        self._can_write = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._can_write is not None:
            self._can_write.set_result(None)
            self._can_write = None

    def _until_close(self) -> bool:
        """Whether the end of the connection is the end of the body (RFC 9112, section 6.3, rule 8)."""
        headers = self._header_map
        return "content-length" not in headers and "chunked" not in headers.get("transfer-encoding", "")

    def _abort(self, error: ConnectionFailed) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._lose(error)

    def _lose(self, error: ConnectionFailed) -> None:
        if self.lost:
            return
        self.lost = True
        self._error = error
        if self._can_write is not None and not self._can_write.done():
            self.resume_writing()
        self._wake()
        self._pool.forgotten(self)

    # httptools' callbacks.

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        known = self._header_map.get(key)
        self._header_map[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:  # informational: the answer is yet to come
            self._header_map = {}
            return
        self._has_head = True
        self._complete = self._method == "HEAD"
        if status != 101:  # else the bytes of the new protocol, if any came along, are to be kept first
            self._wake()

    def on_body(self, data: bytes) -> None:
        self._push(data)

    def on_message_complete(self) -> None:
        if self._has_head and self._parser.get_status_code() != 101:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()  # the parser forgets it right after
            self._wake()

    def _upgrade(self, rest: bytes) -> None:
        if self._parser.get_status_code() != 101:
            self._abort(ConnectionFailed("the server changed the protocol without being asked"))
            return
        self.upgraded = True
        if rest:
            self._push(rest)
        self._wake()

    def _push(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > STREAM_BUFFER_BYTES_HIGH and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _resume(self) -> None:
        if self._paused and self._buffered < STREAM_BUFFER_BYTES_LOW and not self.lost and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()


class _Body:
    """A streaming body. Closing it before its end closes the connection: that is how a watch is cancelled."""

    def __init__(self, connection: _Connection) -> None:
        self._connection: _Connection | None = connection

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._connection is None:
            raise StopAsyncIteration
        chunk = await self._connection.next_chunk()
        if not chunk:
            connection, self._connection = self._connection, None
            connection.finish()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
