"""What the two protocols of the server have in common: limits, and how connection and server see each other."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final, Protocol

from pybernetes.machinery.http.messages import Handler, Request, Response
from pybernetes.machinery.log import logger

log = logger("http")

HEAD_LIMIT_BYTES: Final = 128 * 1024
BODY_LIMIT_BYTES: Final = 3 * 1024 * 1024
HEAD_TIMEOUT_S: Final = 32.0  # upstream's ReadHeaderTimeout
BODY_TIMEOUT_S: Final = 60.0
IDLE_TIMEOUT_S: Final = 90.0  # upstream's IdleTimeout
WRITE_TIMEOUT_S: Final = 120.0  # how long a client may take nothing of what it asked for
STREAMS_MAX: Final = 250  # of an HTTP/2 connection at once: what --http2-max-streams-per-connection=0 means
NEVER: Final = float("inf")


class Outbox:
    """Answers of one turn of the loop, which leave together at its end.

    Each is a system call of its own, and one that finds its reader asleep has to wake it; of many in a row only the first does.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._letters: list[tuple[asyncio.Transport, bytes]] = []

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        """To be sent in this order; what is written to the transport directly would overtake it: `empty` first."""
        if not self._letters:
            self._loop.call_soon(self.empty)
        self._letters.append((transport, data))

    def empty(self) -> None:
        letters, self._letters = self._letters, []
        for transport, data in letters:
            if not transport.is_closing():
                transport.write(data)


class Owner(Protocol):
    """The server, as its connections see it."""

    handler: Handler
    body_limit: int
    streams_max: int  # of one connection, at once
    stopping: bool

    @property
    def outbox(self) -> Outbox: ...

    def date(self) -> str:
        """The `Date` header."""
        ...

    def monotonic(self) -> float: ...
    def added(self, connection: Connection) -> None: ...
    def removed(self, connection: Connection) -> None: ...


class Connection(Protocol):
    """A client's connection, as the server sees it."""

    @property
    def tasks(self) -> Collection[asyncio.Task[None]]:
        """What serves it at the moment."""
        ...

    def check(self, now: float) -> None:
        """Cut it off if a deadline has passed; called every few seconds."""
        ...

    def finish(self) -> None:
        """The server stops: end streams, answer what is under way, then leave."""
        ...

    def abort(self) -> None:
        """Leave at once."""
        ...


async def answer(handler: Handler, request: Request) -> Response:
    """The handler's answer; 500 where it raises, which it should not."""
    try:
        return await handler(request)
    except Exception:
        log.exception("Handler failed", method=request.method, path=request.path)
        return Response(500, {"Content-Type": "text/plain; charset=utf-8"}, b"500 internal server error\n")
