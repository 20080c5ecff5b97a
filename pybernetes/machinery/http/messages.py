"""HTTP messages as plain values, the same over a socket and within a process.

A server calls a `Handler` with a `Request`; the in-process transport of the client calls the same handler. Header names are
lower case; a name occurs once (repeated fields are joined by ", ").
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True)
class Request:
    """One request, its body read whole (the server bounds it)."""

    method: str
    path: str  # percent-encoded as received, without the query
    query: str = ""  # raw, without "?"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer_certificate: bytes | None = None  # DER of the client's certificate, already verified against the client CA
    peer: str = ""  # host:port of the other side, for logs and audit
    more_headers: tuple[tuple[str, str], ...] = ()  # sent besides `headers`, each on a line of its own; never received


class Upgradable(Protocol):
    """A connection whose bytes the handler may take over after it answered 101."""

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send; returns when the send buffer has room again."""
        ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Response:
    """One answer. A body that is an iterator is sent chunk by chunk and closed (`aclose`) when the peer goes away."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""
    # With status 101: called with the connection once the head is sent; the connection is closed when it returns.
    upgrade: Callable[[Upgradable], Awaitable[None]] | None = None


Handler = Callable[[Request], Awaitable[Response]]
