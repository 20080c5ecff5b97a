"""Keys and ranges of keys as requests have them, in bytes, and as the store has them, in text.

The store's keys are text in code-point order, which is the order of their UTF-8 bytes; so any range of bytes is a range of
text, though its ends may be no text themselves. A key that is no text has no place in it.
"""

from __future__ import annotations

import sys
from bisect import bisect_left

from pybernetes.store.face.errors import InvalidArgument

EMPTY_KEY = "etcdserver: key is not provided"


def key_of(key: bytes) -> str:
    """Of a key to be written or read alone."""
    if not key:
        raise InvalidArgument(EMPTY_KEY)
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise InvalidArgument("this store keeps keys that are UTF-8 text, and no others") from None


def range_of(key: bytes, range_end: bytes) -> tuple[str, str | None]:
    """[start, stop) of the store's keys; stop None is no end.

    As in etcd: without `range_end` it is the key alone; a zero byte is no end; a `key` of a zero byte is the beginning.
    """
    if not key:
        raise InvalidArgument(EMPTY_KEY)
    if not range_end:
        start = key_of(key)
        return start, start + "\0"
    start = "" if key == b"\0" else at_or_after(key) or chr(sys.maxunicode)
    return start, None if range_end == b"\0" else at_or_after(range_end)


def at_or_after(bound: bytes) -> str | None:
    """The first text whose bytes are not before `bound`; None if there is none."""
    try:
        return bound.decode()
    except UnicodeDecodeError as error:
        text, rest = bound[: error.start].decode(), bound[error.start :]
    # The first character that, as bytes, is not before what is left.
    point = bisect_left(range(sys.maxunicode + 1), rest, key=lambda point: chr(point).encode(errors="surrogatepass"))
    if point <= sys.maxunicode:
        return text + chr(point)
    # None is: so it is the first text behind all that start with `text`.
    stem = text.rstrip(chr(sys.maxunicode))
    return stem[:-1] + chr(ord(stem[-1]) + 1) if stem else None
