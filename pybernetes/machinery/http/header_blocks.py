"""HPACK header blocks as requests and answers have them (RFC 7541; RFC 9113, section 8). No I/O.

Reading is the `hpack` library's, with a memory of blocks: a client that asks again sends the same block again, which means the
same until the table changes. Writing uses the static table alone, so that an encoded field can be remembered for good.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from hpack import Decoder, HPACKError, OversizedHeaderListError

from pybernetes.machinery.http.frames import Code, ConnectionFailure, StreamFailure
from pybernetes.machinery.http.messages import Repeated, Response

REMEMBERED_BLOCKS: Final = 32  # per connection, of at most this many bytes each:
REMEMBERED_BLOCK_BYTES: Final = 2048
REMEMBERED_HEAD_BYTES: Final = 8192

# Of the connection, not of a message (RFC 9113, section 8.2.2): a request with one is malformed, an answer goes without.
_CONNECTION_FIELDS: Final = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
_CONNECTION_NAMES: Final = frozenset(name.decode() for name in _CONNECTION_FIELDS)
# Indexes of the static table (RFC 7541, appendix A).
_STATUS: Final = {200: 8, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14}
_NAMES: Final = {
    "age": 21, "allow": 22, "cache-control": 24, "content-encoding": 26, "content-language": 27, "content-length": 28,
    "content-type": 31, "date": 33, "etag": 34, "last-modified": 44, "location": 46, "retry-after": 53, "server": 54,
    "set-cookie": 55, "vary": 59, "www-authenticate": 61,
}  # fmt: skip
_TOKEN: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


class RequestTooLarge(Exception):
    """The header list is over its limit: 431, and the connection cannot go on (its table is out of step)."""


class Head(NamedTuple):
    """A request's head."""

    method: str
    path: str
    query: str
    headers: dict[str, str]  # shared by equal blocks: copy before altering


class HeadReader:
    """The decoding side of one connection."""

    __slots__ = ("_decoder", "_known", "_unchanged")

    def __init__(self, limit_bytes: int) -> None:
        self._decoder = Decoder(max_header_list_size=limit_bytes)
        self._known: dict[bytes, Head] = {}
        self._unchanged = True  # by the last block

    def read(self, block: bytes) -> Head:
        """Raises `StreamFailure` for a malformed request, `ConnectionFailure` for a block that cannot be decoded."""
        known = self._known.get(block)
        if known is not None:
            return known
        fields = self._fields(block)
        head = _head(fields)
        # `_fields` has dropped what is remembered if this block changed the table; else it means the same until one does.
        if (
            self._unchanged and len(block) <= REMEMBERED_BLOCK_BYTES
            and sum(len(value) for _, value in fields) <= REMEMBERED_HEAD_BYTES
        ):  # fmt: skip
            if len(self._known) >= REMEMBERED_BLOCKS:
                self._known.clear()
            self._known[block] = head
        return head

    def skip(self, block: bytes, *, trailers: bool = False) -> None:
        """Decode for the table's sake alone; `trailers` may hold no pseudo-header (RFC 9113, 8.1)."""
        if trailers and any(name.startswith(b":") for name, _ in self._fields(block)):
            raise StreamFailure(Code.PROTOCOL_ERROR, "pseudo-header in trailers")
        if not trailers:
            self._fields(block)

    def _fields(self, block: bytes) -> list[tuple[bytes, bytes]]:
        table = self._decoder.header_table.dynamic_entries
        size, first = len(table), table[0] if table else None
        try:
            return list(self._decoder.decode(block, raw=True))
        except OversizedHeaderListError as error:
            raise RequestTooLarge from error
        except (HPACKError, UnicodeError, IndexError, ValueError) as error:
            raise ConnectionFailure(Code.COMPRESSION_ERROR, "bad header block") from error
        finally:
            # A new entry comes first; a smaller table has fewer.
            self._unchanged = size == len(table) and first is (table[0] if table else None)
            if not self._unchanged:
                self._known.clear()


def _head(fields: list[tuple[bytes, bytes]]) -> Head:
    """Check a request's fields as RFC 9113, sections 8.2 and 8.3, demands. Raises `StreamFailure`."""
    pseudo: dict[bytes, str] = {}
    headers: dict[str, str] = {}
    for name, value in fields:
        if name.startswith(b":"):
            if headers or name in pseudo or name not in (b":method", b":scheme", b":path", b":authority"):
                raise StreamFailure(Code.PROTOCOL_ERROR, "bad pseudo-header")
            pseudo[bytes(name)] = _text(value)
            continue
        if not name or not _TOKEN.issuperset(name):
            raise StreamFailure(Code.PROTOCOL_ERROR, "bad header name")
        if name in _CONNECTION_FIELDS or (name == b"te" and value != b"trailers"):
            raise StreamFailure(Code.PROTOCOL_ERROR, "header of the connection")
        key, text = bytes(name).decode(), _text(value)
        if key not in headers:
            headers[key] = text
        elif key == "content-length":
            raise StreamFailure(Code.PROTOCOL_ERROR, "two lengths")
        else:
            headers[key] = Repeated.joined(headers[key], text, "; " if key == "cookie" else ", ")
    method, target, scheme = pseudo.get(b":method", ""), pseudo.get(b":path", ""), pseudo.get(b":scheme")
    if not method.isalpha() or scheme is None or not (target.startswith("/") or (target == "*" and method == "OPTIONS")):
        raise StreamFailure(Code.PROTOCOL_ERROR, "no request")
    if any(byte <= " " or byte == "\x7f" for byte in target):
        raise StreamFailure(Code.PROTOCOL_ERROR, "bad path")
    length = headers.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit()):
        raise StreamFailure(Code.PROTOCOL_ERROR, "bad length")
    if b":authority" in pseudo:
        headers["host"] = pseudo[b":authority"]
    path, _, query = target.partition("?")
    return Head(method, path, query, headers)


def _text(value: bytes) -> str:
    if b"\0" in value or b"\r" in value or b"\n" in value:
        raise StreamFailure(Code.PROTOCOL_ERROR, "bad header value")
    return bytes(value).decode("latin-1")


# Writing


def status(code: int) -> bytes:
    index = _STATUS.get(code)
    return bytes((0x80 | index,)) if index else b"\x08\x03%d" % code


@lru_cache(4096)
def field(name: str, value: str) -> bytes:
    """One field, not indexed; b"" for what belongs to the connection."""
    name = name.lower()
    if name in _CONNECTION_NAMES:
        return b""
    index = _NAMES.get(name)
    text = value.encode("latin-1", "replace")
    if index is None:
        key = name.encode("latin-1", "replace")
        return b"\0" + _length(len(key)) + key + _length(len(text)) + text
    return _integer(index, 0x0F) + _length(len(text)) + text


def content_length(size: int) -> bytes:
    text = b"%d" % size
    return b"\x0f\x0d" + bytes((len(text),)) + text


def _length(size: int) -> bytes:
    return _integer(size, 0x7F)


def _integer(number: int, prefix: int) -> bytes:
    """RFC 7541, section 5.1; the bits above the prefix are 0."""
    if number < prefix:
        return bytes((number,))
    out = bytearray((prefix,))
    number -= prefix
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def response(answer: Response, length: int, date: str) -> bytes:
    """The block of an answer; a negative length: it is not known."""
    parts = [status(answer.status), field("date", date)]
    parts += [field(name, value) for name, value in answer.headers.items()]
    if length >= 0:
        parts.append(content_length(length))
    return b"".join(parts)
