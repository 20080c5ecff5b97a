"""HTTP/2 frames (RFC 9113, sections 4 and 6): bytes in, frames out, and the few frames that a server sends. Pure.

`Frames.feed` holds at most one unfinished frame, whose size is bounded by what we announce, so its memory is bounded too.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_SIZE_MAX: Final = 16_384  # of what we take: the least that RFC 9113 allows, and what everybody sends
WINDOW_DEFAULT: Final = 65_535
WINDOW_MAX: Final = 2**31 - 1

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

SETTINGS_ENABLE_PUSH: Final = 0x2
SETTINGS_MAX_CONCURRENT_STREAMS: Final = 0x3
SETTINGS_INITIAL_WINDOW_SIZE: Final = 0x4
SETTINGS_MAX_FRAME_SIZE: Final = 0x5
SETTINGS_MAX_HEADER_LIST_SIZE: Final = 0x6

_HEAD = struct.Struct(">HBBBL")
_SETTING = struct.Struct(">HL")
_TWO_WORDS = struct.Struct(">LL")
_WORD = struct.Struct(">L")


class Code(IntEnum):
    """Error codes (RFC 9113, section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB


class ConnectionFailure(Exception):
    """What the peer did ends the connection."""

    def __init__(self, code: Code, why: str) -> None:
        super().__init__(why)
        self.code = code


class StreamFailure(Exception):
    """What the peer did ends one stream."""

    def __init__(self, code: Code, why: str) -> None:
        super().__init__(why)
        self.code = code


class Frame(NamedTuple):
    type: int
    flags: int
    stream_id: int
    payload: bytes


class Frames:
    """The incoming half of a connection, cut into frames."""

    __slots__ = ("_pending", "_preface_seen")

    def __init__(self) -> None:
        self._pending = b""
        self._preface_seen = False

    @property
    def pending_bytes(self) -> int:
        """The size of the frame that is not whole yet, as far as it has come."""
        return len(self._pending)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Raises `ConnectionFailure` for a bad preface or a frame that is too long."""
        if self._pending:
            data = self._pending + data
        position, end = 0, len(data)
        if not self._preface_seen:
            if not PREFACE.startswith(data[: len(PREFACE)]):
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "bad preface")
            if end < len(PREFACE):
                self._pending = data
                return []
            self._preface_seen = True
            position = len(PREFACE)
        found = []
        while end - position >= 9:
            high, low, type_, flags, stream_id = _HEAD.unpack_from(data, position)
            length = high << 8 | low
            if length > FRAME_SIZE_MAX:
                raise ConnectionFailure(Code.FRAME_SIZE_ERROR, f"frame of {length} bytes")
            start = position + 9
            if end - start < length:
                break
            position = start + length
            found.append(Frame(type_, flags, stream_id & WINDOW_MAX, data[start:position]))
        self._pending = data[position:]
        return found


def unpadded(frame: Frame) -> bytes:
    """The payload of a DATA or HEADERS frame without its padding. Raises `ConnectionFailure`."""
    payload = frame.payload
    if not frame.flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFailure(Code.PROTOCOL_ERROR, "padding longer than the frame")
    return payload[1 : len(payload) - payload[0]]


def header_fragment(frame: Frame) -> bytes:
    """The header block (fragment) of a HEADERS frame. Raises `ConnectionFailure`."""
    payload = unpadded(frame)
    if not frame.flags & HAS_PRIORITY:
        return payload
    if len(payload) < 5:
        raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
    if word(payload[:4]) & WINDOW_MAX == frame.stream_id:
        raise ConnectionFailure(Code.PROTOCOL_ERROR, "stream depends on itself")
    return payload[5:]


def settings_of(frame: Frame) -> list[tuple[int, int]]:
    """(identifier, value) of a SETTINGS frame, in order. Raises `ConnectionFailure`."""
    if len(frame.payload) % 6:
        raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "SETTINGS of odd size")
    found = list(_SETTING.iter_unpack(frame.payload))
    for name, value in found:
        if name == SETTINGS_ENABLE_PUSH and value > 1:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        if name == SETTINGS_INITIAL_WINDOW_SIZE and value > WINDOW_MAX:
            raise ConnectionFailure(Code.FLOW_CONTROL_ERROR, "window too large")
        if name == SETTINGS_MAX_FRAME_SIZE and not 16_384 <= value <= 16_777_215:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "frame size out of range")
    return found


def word(payload: bytes) -> int:
    """A frame's one number. Raises `ConnectionFailure`."""
    if len(payload) != 4:
        raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "frame of the wrong size")
    number: int = _WORD.unpack(payload)[0]
    return number


def frame(type_: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return head(len(payload), type_, flags, stream_id) + payload


def head(length: int, type_: int, flags: int, stream_id: int) -> bytes:
    return _HEAD.pack(length >> 8, length & 0xFF, type_, flags, stream_id)


def data(content: memoryview, size_max: int, flags: int, stream_id: int) -> bytes:
    """Content in DATA frames of at most `size_max` bytes; the last has `flags`."""
    pieces: list[bytes | memoryview] = []
    last = max(0, len(content) - 1) // size_max * size_max
    full = head(size_max, DATA, 0, stream_id)
    for start in range(0, last, size_max):
        pieces += (full, content[start : start + size_max])
    pieces += (head(len(content) - last, DATA, flags, stream_id), content[last:])
    return b"".join(pieces)


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in pairs))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, _WORD.pack(increment))


def rst_stream(stream_id: int, code: Code) -> bytes:
    return frame(RST_STREAM, 0, stream_id, _WORD.pack(code))


def goaway(last_stream_id: int, code: Code, why: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, _TWO_WORDS.pack(last_stream_id, code) + why.encode())
