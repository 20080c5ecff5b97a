"""HTTP/1.1, one connection (RFC 9112): an `asyncio.Protocol` feeds httptools, one task serves the requests in order.

So pipelined requests need no further care. A body that is an iterator is sent in chunks, and the next chunk is only asked for
when the socket has taken the last one (back-pressure ends at the producer).
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Collection
from functools import lru_cache
from http import HTTPStatus
from typing import cast

import httptools

from pybernetes.machinery.errors import RequestEntityTooLarge
from pybernetes.machinery.http.connections import (
    BODY_TIMEOUT_S,
    HEAD_LIMIT_BYTES,
    HEAD_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    NEVER,
    WRITE_TIMEOUT_S,
    Owner,
    answer,
)
from pybernetes.machinery.http.messages import LastFields, Repeated, Request, Response
from pybernetes.machinery.http.tls import verified_chain
from pybernetes.machinery.log import logger

log = logger("http")

LINGER_S = 0.5  # between a refusal and the end of the connection
PIECE_BYTES = 120 * 1024  # of a body that are handed to the socket at once
SMALL_BYTES = 16 * 1024  # of a body that leaves with the other answers of its turn
PIPELINE_LIMIT = 16  # requests parsed ahead of the one being served
UPGRADED_BUFFER_BYTES = 256 * 1024

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_PLAIN_GET = re.compile(rb"GET (/[\w\-./~%?&=:,+@!$'()*;]*) HTTP/1\.1")
_SAME_AS_BEFORE_MAX = 16 * 1024  # bytes of a head that is compared with the last one


@lru_cache(256)  # most answers carry the same
def _field_lines(fields: tuple[tuple[str, str], ...]) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in fields]).encode("latin-1", "replace")


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status\r\n".encode()


class Http1Connection(asyncio.Protocol):
    """One client. `task` serves what the parser puts into `_requests`."""

    __slots__ = (
        "_blocked_since",
        "_body",
        "_body_size",
        "_can_write",
        "_closing",
        "_ends_anywhere",
        "_expects_continue",
        "_fields_size",
        "_head_size",
        "_headers",
        "_in_head",
        "_last",
        "_last_fields",
        "_loop",
        "_outbox",
        "_parser",
        "_peer",
        "_peer_certificate",
        "_peer_chain",
        "_raw",
        "_reading_paused",
        "_refusal",
        "_repeatable",
        "_repeated",
        "_requests",
        "_server",
        "_streaming",
        "_transport",
        "_upgraded",
        "_url",
        "_wake",
        "deadline",
        "task",
    )  # fmt: skip

    def __init__(self, server: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._requests: deque[tuple[Request, bool]] = deque()  # (request, keep the connection afterwards)
        self._wake: asyncio.Future[None] | None = None  # what the task waits for: a request, or raw bytes
        self._can_write: asyncio.Future[None] | None = None  # set while the send buffer is full
        self._raw = bytearray()  # bytes after an upgrade
        self._upgraded = False
        self._streaming = False
        self._ends_anywhere = True  # what is streamed
        self._reading_paused = False
        self._closing = False  # the peer is gone, or we are about to go
        self._refusal: bytes | None = None  # what is wrong with the request that comes last
        self._peer_certificate: bytes | None = None
        self._peer_chain: tuple[bytes, ...] = ()
        self._peer = ""
        self._blocked_since = NEVER  # when the send buffer filled up
        self._last_fields = LastFields()
        self._outbox = server.outbox
        self._last: Request | None = None  # that the parser has completed in this turn
        self._repeatable = b""  # the head of `_repeated` from the end of its first line on; empty: there is none
        self._repeated: Request = cast(Request, None)
        self.deadline = NEVER
        self.task: asyncio.Task[None] | None = None
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._in_head = True
        self._head_size = 0  # as far as it has come
        self._fields_size = 0
        self._body: bytes | bytearray = b""
        self._body_size = 0
        self._expects_continue = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if peer:
            self._peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._peer_certificate = tls.getpeercert(True)
            self._peer_chain = verified_chain(tls)
        self.deadline = self._server.monotonic() + HEAD_TIMEOUT_S
        self._server.added(self)
        self.task = self._loop.create_task(self._serve())

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._server.removed(self)
        if self._can_write is not None and not self._can_write.done():
            self._can_write.set_result(None)
        if self._streaming and self.task is not None:
            self.task.cancel()  # nobody reads on: the producer learns it at once
        self._notify()

    def data_received(self, data: bytes) -> None:
        if self._upgraded:
            self._take_raw(data)
            return
        if self._refusal is not None:
            return
        is_head = self._in_head and not self._head_size
        if is_head and self._repeatable and not self._closing and self._take_repeated(data):
            return
        if self._in_head:
            self._head_size += len(data)
        self._last = None
        try:
            self._parser.feed_data(data)
            if is_head and self._last is not None:
                self._note_repeatable(data, self._last)
            if self._in_head and self._head_size > HEAD_LIMIT_BYTES:
                self._refuse(431, b"431 Request Header Fields Too Large", "text/plain; charset=utf-8")
        except httptools.HttpParserUpgrade as upgrade:
            # Whatever follows is not HTTP, or not ours to read before the handler has said so.
            self._upgraded = True
            self._take_raw(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if not self._closing:
                self._refuse(400, b"400 Bad Request", "text/plain; charset=utf-8")

    def eof_received(self) -> bool:
        # A client that half-closes still gets the answer to what it has asked.
        if self._upgraded:
            self._closing = True
            self._notify()
            return self._transport.get_extra_info("ssl_object") is None
        if self._transport.get_extra_info("ssl_object") is not None:
            return False  # TLS cannot be half-closed
        return bool(self._requests) or (self.task is not None and self._wake is None)

    def pause_writing(self) -> None:
        if self._can_write is None:
            self._can_write = self._loop.create_future()
            self._blocked_since = self._server.monotonic()

    def resume_writing(self) -> None:
        waiter, self._can_write = self._can_write, None
        self._blocked_since = NEVER
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # httptools callbacks

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        headers = self._headers
        self._fields_size += len(key) + len(text)
        headers[key] = Repeated.joined(headers[key], text) if key in headers else text
        if key == "expect" and text.lower() == "100-continue":
            self._expects_continue = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        version, host = self._parser.get_http_version(), self._headers.get("host")
        if version not in ("1.0", "1.1"):
            self._refuse(400, b"400 Bad Request: malformed HTTP version", "text/plain; charset=utf-8")
            return
        if host is None and version == "1.1":
            self._refuse(400, b"400 Bad Request: missing required Host header", "text/plain; charset=utf-8")
            return
        if host is not None and "," in host:
            self._refuse(400, b"400 Bad Request: too many Host headers", "text/plain; charset=utf-8")
            return
        if self._fields_size + len(self._url) > HEAD_LIMIT_BYTES:  # came in one piece
            self._refuse(431, b"431 Request Header Fields Too Large", "text/plain; charset=utf-8")
            return
        self.deadline = self._server.monotonic() + BODY_TIMEOUT_S
        announced = self._headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._server.body_limit:
            self._refuse_body()
        elif self._expects_continue:
            self._transport.write(_CONTINUE)

    def on_body(self, data: bytes) -> None:
        self._body_size += len(data)
        if self._body_size > self._server.body_limit:
            self._refuse_body()
        elif not self._closing and self._refusal is None:
            if self._body:  # not a list of parts: chunks may be of one byte each
                self._body = self._body if isinstance(self._body, bytearray) else bytearray(self._body)
                self._body += data
            else:
                self._body = data

    def on_message_complete(self) -> None:
        if self._closing or self._refusal is not None:
            return
        path, _, query = self._url.decode("latin-1").partition("?")
        if not path.startswith("/") and "://" in path:  # absolute form, as sent to proxies
            path = "/" + path.split("://", 1)[1].partition("/")[2]
        request = Request(
            self._parser.get_method().decode("latin-1"), path, query, self._headers, bytes(self._body),
            self._peer_certificate, self._peer, peer_chain=self._peer_chain, memo=self._last_fields.memo_of(self._headers),
        )  # fmt: skip
        self._queue(request, self._parser.should_keep_alive())
        self._last = request
        self._reset()

    def _queue(self, request: Request, keep: bool) -> None:
        self.deadline = NEVER  # while it is served
        self._requests.append((request, keep))
        if len(self._requests) >= PIPELINE_LIMIT and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self._notify()

    # What a client says again and again

    def _note_repeatable(self, data: bytes, request: Request) -> None:
        """`data` ended with `request`, whose head began with it or before."""
        headers = request.headers
        self._repeatable = b""
        if (
            request.method == "GET" and request.memo is not None and not self._upgraded and self._requests[-1][1]
            and len(data) <= _SAME_AS_BEFORE_MAX and data.find(b"\r\n\r\n") == len(data) - 4
            and not any(name in headers for name in ("content-length", "transfer-encoding", "expect", "upgrade"))
        ):  # fmt: skip
            line, _, _ = data.partition(b"\r\n")
            if _PLAIN_GET.fullmatch(line):
                self._repeatable, self._repeated = data[len(line) :], request

    def _take_repeated(self, data: bytes) -> bool:
        """A head that differs from the last one's in its first line alone needs no parser; whether it was one."""
        if not data.endswith(self._repeatable):
            return False
        match = _PLAIN_GET.fullmatch(data, 0, len(data) - len(self._repeatable))
        if match is None:
            return False
        before = self._repeated
        path, _, query = match[1].decode("ascii").partition("?")
        request = Request(
            "GET",
            path,
            query,
            before.headers,
            b"",
            self._peer_certificate,
            self._peer,
            (),
            self._peer_chain,
            False,
            before.memo,
        )
        self._queue(request, keep=True)
        return True

    def _refuse_body(self) -> None:
        import orjson

        error = RequestEntityTooLarge(f"Request entity too large: limit is {self._server.body_limit}")
        self._refuse(413, orjson.dumps(error.status), "application/json")

    def _refuse(self, status: int, body: bytes, content_type: str) -> None:
        """Answer what cannot be read, after what was asked before it, and leave: the rest of the stream has no meaning."""
        if self._refusal is not None:
            return
        self.deadline = NEVER
        self._refusal = (
            _status_line(status) + f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n".encode() + body
        )  # fmt: skip
        self._notify()

    # Raw bytes after an upgrade (`Upgradable`)

    def _take_raw(self, data: bytes) -> None:
        self._raw += data
        if len(self._raw) > UPGRADED_BUFFER_BYTES and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self._notify()

    async def read(self) -> bytes:
        while not self._raw:
            if self._closing:
                return b""
            await self._wait()
        data = bytes(self._raw)
        self._raw.clear()
        self._resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        if self._closing and self._transport.is_closing():
            raise ConnectionResetError("connection closed")
        self._transport.write(data)
        if self._can_write is not None:
            await self._can_write

    def close(self) -> None:
        self._transport.close()

    # Serving

    def _notify(self) -> None:
        wake = self._wake
        if wake is not None:
            self._wake = None
            if not wake.done():
                wake.set_result(None)

    async def _wait(self) -> None:
        self._wake = self._loop.create_future()
        await self._wake

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    @property
    def tasks(self) -> Collection[asyncio.Task[None]]:
        return (self.task,) if self.task is not None else ()

    def check(self, now: float) -> None:
        """Cut the connection off where the client is too slow."""
        # A stream may stand still for as long as its reader likes: somebody's pager.
        stuck = self._blocked_since < now - WRITE_TIMEOUT_S and not self._streaming and not self._upgraded
        if self.deadline < now or stuck:
            self.abort()

    def finish(self) -> None:
        """The server stops: leave as soon as the request under way is answered; streams end now."""
        if self._wake is not None and not self._upgraded and not self._requests:
            self._closing = True
            self._transport.close()
            self._notify()
        elif ((self._streaming and self._ends_anywhere) or self._upgraded) and self.task is not None:
            self.task.cancel()

    def abort(self) -> None:
        self._closing = True
        self._transport.abort()
        if self.task is not None and (self._wake is None or self._upgraded):
            self.task.cancel()
        self._notify()

    async def _serve(self) -> None:
        try:
            while not self._closing:
                if self._can_write is not None:
                    await self._can_write
                if not self._requests:
                    if self._refusal is not None:
                        self._outbox.empty()
                        self._transport.write(self._refusal)
                        # Closing with bytes unread resets the connection, and the answer may be lost with it.
                        if self._transport.can_write_eof():
                            self._transport.write_eof()
                        await asyncio.sleep(LINGER_S)
                        return
                    await self._wait()
                    continue
                request, keep = self._requests.popleft()
                self._resume_reading()
                response = await answer(self._server.handler, request)
                if response.status == 101 and response.upgrade is not None and self._upgraded:
                    self._outbox.empty()
                    self._transport.write(self._head(response, -1, "Upgrade"))
                    await response.upgrade(self)
                    return
                keep = keep and not self._upgraded and not self._server.stopping
                if response.headers.get("Connection") == "close":
                    keep = False
                body = response.body
                if isinstance(body, bytes):
                    head = self._head(response, len(body), "" if keep else "close")
                    if request.method == "HEAD":
                        self._outbox.put(self._transport, head)
                    elif len(body) <= SMALL_BYTES:
                        self._outbox.put(self._transport, head + body)
                    else:
                        await self._send(head, body)
                else:
                    keep = await self._stream(request, response, body, keep) and keep
                if not keep or self._server.stopping:
                    return
                if not self._requests:
                    self.deadline = self._server.monotonic() + IDLE_TIMEOUT_S
        except asyncio.CancelledError:
            # Cancelled by the server's stop or the peer's going: both end this connection, and this task with it.
            if not self._server.stopping and not self._closing:
                raise
        except ConnectionError:
            pass
        finally:
            self._outbox.empty()
            if not self._transport.is_closing():
                self._transport.close()

    async def _send(self, head: bytes, body: bytes) -> None:
        """A large body, piece by piece: encrypted at once it would take its size thrice, and everybody else's turn."""
        self._outbox.empty()
        self._transport.write(head)
        whole = memoryview(body)
        for start in range(0, len(body), PIECE_BYTES):
            self._transport.write(whole[start : start + PIECE_BYTES])
            await (self._can_write or asyncio.sleep(0))
            if self._closing:
                return

    async def _stream(self, request: Request, response: Response, body: AsyncIterator[bytes], keep: bool) -> bool:
        """Send the chunks; True if the body was sent to its end, so that another request may follow."""
        chunked = "content-length" not in {name.lower() for name in response.headers}
        self._outbox.empty()
        write = self._transport.write
        write(self._head(response, -1 if chunked else -2, "" if keep else "close"))
        self._streaming, self._ends_anywhere = True, response.ends_anywhere
        complete = False
        try:
            if request.method != "HEAD":
                async for chunk in body:
                    if not chunk:
                        continue
                    write(b"".join((b"%x\r\n" % len(chunk), chunk, b"\r\n")) if chunked else chunk)
                    if self._can_write is not None:
                        await self._can_write
                    if self._closing:
                        return False
            complete = True
        except asyncio.CancelledError:
            if not self._server.stopping:
                raise
            complete = response.ends_anywhere  # then it is an orderly end
        except ConnectionError:
            raise
        except Exception:
            log.exception("Body failed", method=request.method, path=request.path)
        finally:
            self._streaming = False
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()
        if complete and chunked and request.method != "HEAD":
            write(b"0\r\n\r\n")
        return complete

    def _head(self, response: Response, length: int, connection: str) -> bytes:
        """`length` -1: chunked (or an upgrade), -2: the response says it itself."""
        head = b"%bDate: %b\r\n%b" % (
            _status_line(response.status), self._server.date().encode(), _field_lines(tuple(response.headers.items())),
        )  # fmt: skip
        if length >= 0:
            head += b"Content-Length: %d\r\n" % length
        elif length == -1 and response.status != 101:
            head += b"Transfer-Encoding: chunked\r\n"
        if connection and "Connection" not in response.headers:
            head += b"Connection: %b\r\n" % connection.encode()
        return head + b"\r\n"
