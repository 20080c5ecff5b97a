"""The few bytes that protobuf's wire format is made of, for messages that are written by hand.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Final

VARINT: Final = 0  # wire types
LENGTH: Final = 2


def varint(value: int) -> bytes:
    """Of a number that is not negative."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sized(data: bytes) -> bytes:
    return varint(len(data)) + data


def tagged(number: int, wire_type: int, data: bytes) -> bytes:
    """A field of that number; `data` as its wire type wants it."""
    return varint(number << 3 | wire_type) + data
