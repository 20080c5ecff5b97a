"""How requests reach an API server: over sockets (`client.http.HttpTransport`) or by a function call (`InProcessTransport`).

The in-process transport opens no socket, starts no thread and reads no clock, so a whole control plane in one process is as
deterministic as its event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from pybernetes.machinery.http.messages import Handler, Request, Response, Upgradable


class ConnectionFailed(ConnectionError):
    """The server could not be reached, or the connection broke before the answer was whole.

    The request may have been carried out: read, then decide. `__cause__` is the operating system's or TLS's error, if any.
    """


class RequestTimeout(ConnectionFailed):
    """No (whole) answer within the time allowed."""


class Transport(Protocol):
    """Sends requests to one API server. Raises `ConnectionFailed`; an HTTP error status is an answer, not an exception."""

    async def send(self, request: Request, *, stream: bool = False, timeout_s: float | None = 60) -> Response:
        """The answer, its body read whole as bytes; with `stream`, its body is an `AsyncIterator[bytes]` to be closed.

        `timeout_s` bounds the whole exchange; with `stream`, only the time until the head of the answer.
        """
        ...

    async def upgrade(self, request: Request, *, timeout_s: float = 30) -> tuple[Response, Upgradable | None]:
        """Ask for another protocol: the connection, if the server answered 101, else its answer read whole and None."""
        ...

    async def reachable(self) -> bool:
        """Wait until the server takes connections. True if it does at once: what failed before, failed for another reason."""
        ...

    async def close(self) -> None:
        """Close every connection; streams end with `ConnectionFailed`."""
        ...


class ByteStream:
    """An `AsyncIterator[bytes]` that can be closed without having been started, which a bare generator cannot do."""

    def __init__(self, body: bytes | AsyncIterator[bytes]) -> None:
        self._chunk = body if isinstance(body, bytes) else b""
        self._source = None if isinstance(body, bytes) else body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._chunk:
            chunk, self._chunk = self._chunk, b""
            return chunk
        if self._source is None:
            raise StopAsyncIteration
        return await anext(self._source)

    async def aclose(self) -> None:
        source, self._source, self._chunk = self._source, None, b""
        await close_stream(source)


async def close_stream(body: object) -> None:
    """Close a streaming body (an async generator or a `ByteStream`); anything else is left alone."""
    aclose = getattr(body, "aclose", None)
    if aclose is not None:
        await aclose()


async def read_all(body: bytes | AsyncIterator[bytes]) -> bytes:
    """A body as one bytes object."""
    if isinstance(body, bytes):
        return body
    try:
        return b"".join([chunk async for chunk in body])
    finally:
        await close_stream(body)


class InProcessTransport:
    """Calls a server's handler directly.

    The caller is whoever `peer_certificate` (DER, taken as verified) or a header (`authorization: Bearer …`) says.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        headers: Mapping[str, str] | None = None,
        peer_certificate: bytes | None = None,
        peer: str = "127.0.0.1:0",
    ) -> None:
        self._handler = handler
        self._headers = dict(headers or {})
        self._peer_certificate = peer_certificate
        self._peer = peer
        self._upgraded: set[asyncio.Task[None]] = set()

    async def send(self, request: Request, *, stream: bool = False, timeout_s: float | None = 60) -> Response:
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._call(request)
                if stream:
                    return Response(response.status, response.headers, ByteStream(response.body))
                return Response(response.status, response.headers, await read_all(response.body))
        except TimeoutError as error:
            raise RequestTimeout(f"{request.method} {request.path}: no answer within {timeout_s} s") from error

    async def upgrade(self, request: Request, *, timeout_s: float = 30) -> tuple[Response, Upgradable | None]:
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._call(request)
                if response.status != 101 or response.upgrade is None:
                    return Response(response.status, response.headers, await read_all(response.body)), None
        except TimeoutError as error:
            raise RequestTimeout(f"{request.method} {request.path}: no answer within {timeout_s} s") from error
        ours, theirs = memory_connection()
        serve = response.upgrade

        async def run() -> None:
            try:
                await serve(theirs)
            finally:
                theirs.close()

        task = asyncio.create_task(run(), name=f"upgraded {request.path}")
        self._upgraded.add(task)
        task.add_done_callback(self._upgraded.discard)
        return Response(101, response.headers), ours

    async def reachable(self) -> bool:
        return True

    async def close(self) -> None:
        tasks = list(self._upgraded)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, request: Request) -> Response:
        theirs = Request(
            method=request.method,
            path=request.path,
            query=request.query,
            headers={"host": "in-process", **self._headers, **request.headers},
            body=request.body,
            peer_certificate=self._peer_certificate,
            peer=self._peer,
        )
        response = await self._handler(theirs)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status, headers, response.body, response.upgrade)


# Bytes that one end of a memory connection may be ahead of the other.
_MEMORY_BUFFER_BYTES_MAX = 256 * 1024


class _MemoryPipe:
    """One direction of a memory connection."""

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.size = 0
        self.closed = False
        self.changed = asyncio.Event()


class _MemoryEnd:
    def __init__(self, incoming: _MemoryPipe, outgoing: _MemoryPipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def read(self) -> bytes:
        pipe = self._incoming
        while not pipe.chunks and not pipe.closed:
            pipe.changed.clear()
            await pipe.changed.wait()
        data = b"".join(pipe.chunks)
        pipe.chunks.clear()
        pipe.size = 0
        pipe.changed.set()
        return data

    async def write(self, data: bytes) -> None:
        pipe = self._outgoing
        while pipe.size > _MEMORY_BUFFER_BYTES_MAX and not pipe.closed:
            pipe.changed.clear()
            await pipe.changed.wait()
        if pipe.closed:
            raise ConnectionFailed("the other side closed the connection")
        pipe.chunks.append(data)
        pipe.size += len(data)
        pipe.changed.set()

    def close(self) -> None:
        for pipe in (self._incoming, self._outgoing):
            pipe.closed = True
            pipe.changed.set()


def memory_connection() -> tuple[Upgradable, Upgradable]:
    """Two ends of a connection that exists in memory only."""
    there, back = _MemoryPipe(), _MemoryPipe()
    return _MemoryEnd(there, back), _MemoryEnd(back, there)
