"""HTTP messages as plain values, the same over a socket and within a process.

A server calls a `Handler` with a `Request`; the in-process transport of the client calls the same handler. Header names are
lower case; a name occurs once (repeated fields are joined by ", " and remember their lines).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Repeated(str):
    """A field that came on several lines, as the one that they mean (RFC 9110, section 5.3)."""

    __slots__ = ("lines",)
    lines: list[str]

    @classmethod
    def of(cls, lines: Sequence[str]) -> Repeated:
        """For a client: each on a line of its own."""
        made = cls(", ".join(lines))
        made.lines = list(lines)
        return made

    @classmethod
    def joined(cls, before: str, line: str, separator: str = ", ") -> Repeated:
        """One line more; `before` is used up (copying its lines each time would make many of them expensive)."""
        made = cls(f"{before}{separator}{line}")
        made.lines = before.lines if isinstance(before, Repeated) else [before]
        made.lines.append(line)
        return made


def lines_of(field: str) -> Sequence[str]:
    """A header field as it was sent: for fields whose values may hold commas."""
    return field.lines if isinstance(field, Repeated) else (field,)


class Memo:
    """Where a handler keeps what it has read off header fields: requests of one connection share it while they carry the same.

    Mostly they do, Content-Length aside, and much of what a request costs is to read again what the last one said.
    """

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept: object = None


class LastFields:
    """A connection's side of it: the fields of the last request that had any to be remembered, and their memo."""

    __slots__ = ("_fields", "_memo")

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}
        self._memo = Memo()

    def memo_of(self, headers: dict[str, str]) -> Memo | None:
        """Of the next request; `headers` are left as they are."""
        if Repeated in map(type, headers.values()):  # what looks the same joined may have been other lines
            return None
        length = headers.pop("content-length", None)
        if headers != self._fields:
            self._fields, self._memo = dict(headers), Memo()
        if length is not None:
            headers["content-length"] = length
        return self._memo


@dataclass(slots=True)
class Request:
    """One request, its body read whole (the server bounds it)."""

    method: str
    path: str  # percent-encoded as received, without the query
    query: str = ""  # raw, without "?"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer_certificate: bytes | None = None  # DER of the client's certificate, already verified
    peer: str = ""  # host:port of the other side, for logs and audit
    more_headers: tuple[tuple[str, str], ...] = ()  # sent besides `headers`, each on a line of its own; never received
    peer_chain: tuple[bytes, ...] = ()  # DER: the client's certificate up to the trusted one; empty if no TLS was between
    http2: bool = False  # it shares its connection with others
    memo: Memo | None = None  # None: nobody knows what else carries these fields


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
    """One answer. A body that is an iterator is sent chunk by chunk and closed (`aclose`) when the peer goes away.

    With a `Connection: close` the connection closes, once all that it carries is answered.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""
    # With status 101: called with the connection once the head is sent; the connection is closed when it returns.
    upgrade: Callable[[Upgradable], Awaitable[None]] | None = None
    # Of a body that is an iterator: whether what was sent of it is worth something (a watch, a log), so that a server which
    # stops ends it there. One that is not (a list) is sent to its end.
    ends_anywhere: bool = True


Handler = Callable[[Request], Awaitable[Response]]
