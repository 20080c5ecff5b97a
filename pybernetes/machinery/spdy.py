"""SPDY/3.1 framing, sans I/O: bytes in, events out; calls in, bytes out. Enough for Kubernetes' streams, either side.

Kubernetes' remote command and port-forward protocols, and the streaming server of container runtimes, still speak SPDY: streams
within one connection, each of which can be ended in one direction (which WebSocket as it is used there cannot).

Source: SPDY Protocol - Draft 3.1. Flow control: what is received is acknowledged at once (WINDOW_UPDATE); the peers' windows
are not observed, since the implementation that all of Kubernetes uses (moby/spdystream) neither sends nor honours updates.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FLAG_FIN = 0x01
FRAME_BYTES_MAX = 16 * 1024 * 1024 - 1
DATA_BYTES_MAX = 32 * 1024  # per frame that we send
HEADER_BYTES_MAX = 256 * 1024  # decompressed

_NAMES = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length content-location "
    "content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match "
    "if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range "
    "referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method "
    "get status|200 OK|version HTTP/1.1 url public set-cookie keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
    "Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal "
    "Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, "
    "Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8"
    "charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    """The compression dictionary of draft 3 (section 2.6.10.1): words with their lengths, then plain text."""
    words = [word for part in _NAMES.split("|") for word in ([part] if part == "200 OK" else part.split())]
    return b"".join(struct.pack(">I", len(word)) + word.encode() for word in words) + _TAIL.encode()


DICTIONARY = _dictionary()


class ProtocolError(Exception):
    """The peer does not speak SPDY/3.1; the connection is of no use any more."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream. `fin`: it will send nothing on it."""

    stream_id: int
    headers: Mapping[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class StreamAccepted:
    """The peer's answer to `open_stream`."""

    stream_id: int
    headers: Mapping[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class Data:
    """`fin`: the peer sends nothing more on this stream."""

    stream_id: int
    data: bytes
    fin: bool


@dataclass(frozen=True, slots=True)
class StreamReset:
    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The peer takes no new streams."""

    last_stream_id: int


Event: TypeAlias = StreamOpened | StreamAccepted | Data | StreamReset | GoAway


class Connection:
    """One side of a connection. After each call, send what `outgoing()` gives, in order."""

    def __init__(self, *, client: bool) -> None:
        self._next_id = 1 if client else 2
        self._client = client
        self._buffer = bytearray()
        self._out = bytearray()
        self._compress = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zlib.DEFLATED, zlib.MAX_WBITS, 8, 0, DICTIONARY)
        self._decompress = zlib.decompressobj(zlib.MAX_WBITS, DICTIONARY)

    def outgoing(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out

    # Sending

    def open_stream(self, headers: Mapping[str, str], *, fin: bool = False) -> int:
        """A new stream's id. With `fin`, nothing will be sent on it from here."""
        stream_id = self._next_id
        self._next_id += 2
        block = struct.pack(">IIBB", stream_id, 0, 0, 0) + self._pack(headers)
        self._control(SYN_STREAM, FLAG_FIN if fin else 0, block)
        return stream_id

    def accept_stream(self, stream_id: int, headers: Mapping[str, str] | None = None) -> None:
        self._control(SYN_REPLY, 0, struct.pack(">I", stream_id) + self._pack(headers or {}))

    def send(self, stream_id: int, data: bytes, *, fin: bool = False) -> None:
        """In frames of a moderate size; `fin` ends our direction of the stream."""
        view = memoryview(data)
        pieces = [view[start : start + DATA_BYTES_MAX] for start in range(0, len(data), DATA_BYTES_MAX)] or [view]
        for index, piece in enumerate(pieces):
            flags = FLAG_FIN if fin and index == len(pieces) - 1 else 0
            self._out += struct.pack(">II", stream_id, (flags << 24) | len(piece))
            self._out += piece

    def reset(self, stream_id: int, status: int = 5) -> None:
        """Give the stream up (5: CANCEL)."""
        self._control(RST_STREAM, 0, struct.pack(">II", stream_id, status))

    def go_away(self) -> None:
        self._control(GOAWAY, 0, struct.pack(">II", 0, 0))

    def _control(self, kind: int, flags: int, payload: bytes) -> None:
        self._out += struct.pack(">HHI", 0x8000 | VERSION, kind, (flags << 24) | len(payload))
        self._out += payload

    def _pack(self, headers: Mapping[str, str]) -> bytes:
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            key, text = name.lower().encode(), value.encode()
            block += struct.pack(">I", len(key)) + key + struct.pack(">I", len(text)) + text
        return self._compress.compress(block) + self._compress.flush(zlib.Z_SYNC_FLUSH)

    # Receiving

    def receive(self, data: bytes) -> list[Event]:
        """What these bytes complete. Raises ProtocolError."""
        self._buffer += data
        events: list[Event] = []
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            flags, length = second >> 24, second & 0xFFFFFF
            if len(self._buffer) < 8 + length:
                break
            payload = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if first & 0x80000000:
                event = self._control_received((first >> 16) & 0x7FFF, first & 0xFFFF, flags, payload)
                if event is not None:
                    events.append(event)
            else:
                events.append(self._data_received(first, payload, bool(flags & FLAG_FIN)))
        return events

    def _data_received(self, stream_id: int, payload: bytes, fin: bool) -> Data:
        if payload:
            for scope in (stream_id, 0):
                self._control(WINDOW_UPDATE, 0, struct.pack(">II", scope, len(payload)))
        return Data(stream_id, payload, fin)

    def _control_received(self, version: int, kind: int, flags: int, payload: bytes) -> Event | None:
        if version != VERSION:
            raise ProtocolError(f"SPDY version {version}")
        fin = bool(flags & FLAG_FIN)
        try:
            if kind == SYN_STREAM:
                (stream_id,) = struct.unpack_from(">I", payload)
                return StreamOpened(stream_id, self._unpack(payload[10:]), fin)
            if kind == SYN_REPLY:
                (stream_id,) = struct.unpack_from(">I", payload)
                return StreamAccepted(stream_id, self._unpack(payload[4:]), fin)
            if kind == HEADERS:
                (stream_id,) = struct.unpack_from(">I", payload)
                self._unpack(payload[4:])  # the compression's state spans all header blocks
                return Data(stream_id, b"", fin)
            if kind == RST_STREAM:
                return StreamReset(*struct.unpack_from(">II", payload))
            if kind == GOAWAY:
                return GoAway(struct.unpack_from(">I", payload)[0])
            if kind == PING:
                (number,) = struct.unpack_from(">I", payload)
                if number % 2 == (0 if self._client else 1):  # the peer's own, not the answer to one of ours
                    self._control(PING, 0, payload[:4])
        except struct.error as error:
            raise ProtocolError(f"malformed frame of type {kind}") from error
        return None  # SETTINGS, WINDOW_UPDATE and what is unknown change nothing here

    def _unpack(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._decompress.decompress(block, HEADER_BYTES_MAX)
        except zlib.error as error:
            raise ProtocolError(f"malformed headers: {error}") from error
        if self._decompress.unconsumed_tail:
            raise ProtocolError(f"headers of more than {HEADER_BYTES_MAX} bytes")
        (count,) = struct.unpack_from(">I", plain)
        position, headers = 4, {}
        for _ in range(count):
            texts = []
            for _ in range(2):
                (length,) = struct.unpack_from(">I", plain, position)
                position += 4
                texts.append(plain[position : position + length].decode("utf-8", "replace"))
                position += length
            headers[texts[0]] = texts[1]
        return headers
