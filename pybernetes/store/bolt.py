"""bbolt files: the format in which etcd keeps its data and its snapshots, as far as those need it.

A file is a row of pages of 4 KiB. Pages 0 and 1 each describe the whole (`_META`, with a checksum; the one of the later
transaction counts), the rest are nodes of B+trees: leaves hold keys and values, branches the first key of each child. A node
larger than a page goes on over the pages behind it. A bucket is such a tree; the file's own tree holds the buckets' roots.

Files are written whole, from sorted items, and read in order. Neither changes a file; that is a database's business.
Source: go.etcd.io/bbolt, package doc and `page.go`, `db.go`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

PAGE = 4096
MAGIC = 0xED0CDAED
VERSION = 2
NODE_BYTES = 4 * PAGE  # what a node is filled up to: with values of a few KB, single pages would stand half empty

_PAGE = struct.Struct("<QHHI")  # id, flags, count, pages behind
_META = struct.Struct("<IIIIQQQQQ")  # magic, version, page size, flags, root, sequence, free list, pages, transaction
_CHECKSUM = struct.Struct("<Q")
_LEAF = struct.Struct("<IIII")  # flags, offset from here, key bytes, value bytes
_BRANCH = struct.Struct("<IIQ")  # offset from here, key bytes, page
_BUCKET = struct.Struct("<QQ")  # root, sequence
_IS_BRANCH, _IS_LEAF, _IS_META, _IS_FREELIST = 0x01, 0x02, 0x04, 0x10
_IS_BUCKET = 0x01
_COUNT_MAX = 0xFFFE
DEPTH_MAX = 32

Item = tuple[bytes, bytes]


class Damaged(Exception):
    """The file is no bbolt file, or not whole."""


# Writing


class _Writer:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.next_page = 3  # behind both metas and the free list

    def node(self, flags: int, elements: list[tuple[bytes, bytes, bytes]]) -> int:
        """Append a node of (what its header says before the offset and after it, key, value); its page."""
        header = _LEAF if flags == _IS_LEAF else _BRANCH
        size = _PAGE.size + sum(header.size + len(key) + len(value) for _, key, value in elements)
        pages = -(-size // PAGE)
        at = self.next_page
        self.next_page += pages
        parts = [_PAGE.pack(at, flags, len(elements), pages - 1)]
        offset = header.size * len(elements)
        for about, key, value in elements:
            # An element's offset counts from its own header.
            if flags == _IS_LEAF:
                parts.append(_LEAF.pack(int.from_bytes(about), offset, len(key), len(value)))
            else:
                parts.append(_BRANCH.pack(offset, len(key), int.from_bytes(about)))
            offset += len(key) + len(value) - header.size
        parts += [part for _, key, value in elements for part in (key, value)]
        self._file.write(b"".join(parts))
        self._file.write(bytes(pages * PAGE - size))
        return at

    def tree(self, items: Iterable[Item], *, about: int = 0) -> int:
        """Append a bucket's tree; its root's page."""
        flag = bytes([about])
        children = self._level(_IS_LEAF, ((flag, key, value) for key, value in items)) or [(b"", self.node(_IS_LEAF, []))]
        while len(children) > 1:
            children = self._level(_IS_BRANCH, ((page.to_bytes(8), key, b"") for key, page in children))
        return children[0][1]

    def _level(self, flags: int, elements: Iterable[tuple[bytes, bytes, bytes]]) -> list[tuple[bytes, int]]:
        """Nodes side by side: (first key, page) of each."""
        nodes: list[tuple[bytes, int]] = []
        held: list[tuple[bytes, bytes, bytes]] = []
        size = _PAGE.size
        for element in elements:
            more = _LEAF.size + len(element[1]) + len(element[2])
            if held and (size + more > NODE_BYTES or len(held) == _COUNT_MAX):
                nodes.append((held[0][1], self.node(flags, held)))
                held, size = [], _PAGE.size
            held.append(element)
            size += more
        if held:
            nodes.append((held[0][1], self.node(flags, held)))
        return nodes


def write(file: BinaryIO, buckets: Mapping[bytes, Iterable[Item]]) -> None:
    """Write a whole file, at its beginning. Items are sorted by key, each key once, and none is empty."""
    file.write(bytes(3 * PAGE))
    writer = _Writer(file)
    roots = [(name, _BUCKET.pack(writer.tree(items), 0)) for name, items in sorted(buckets.items())]
    root = writer.tree(roots, about=_IS_BUCKET)
    file.seek(0)
    for number in (0, 1):
        meta = _META.pack(MAGIC, VERSION, PAGE, 0, root, 0, 2, writer.next_page, number)
        page = _PAGE.pack(number, _IS_META, 0, 0) + meta + _CHECKSUM.pack(_fnv(meta))
        file.write(page.ljust(PAGE, b"\0"))
    file.write(_PAGE.pack(2, _IS_FREELIST, 0, 0).ljust(PAGE, b"\0"))
    file.seek(0, 2)


def _fnv(data: bytes) -> int:
    """FNV-1a of 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


# Reading


@dataclass(frozen=True, slots=True)
class BoltFile:
    """A whole file, as `data` (mapped, best); made by `of`."""

    data: memoryview
    page_bytes: int
    root: int
    pages: int

    @classmethod
    def of(cls, data: memoryview) -> BoltFile:
        """Raises `Damaged`."""
        best: tuple[int, int, int, int] | None = None
        for page_bytes in (4096, 8192, 16384, 65536):  # the second meta is a page behind the first
            for at in (0, page_bytes):
                meta = data[at + _PAGE.size : at + _PAGE.size + _META.size]
                check = data[at + _PAGE.size + _META.size :][: _CHECKSUM.size]
                if len(meta) < _META.size or len(check) < _CHECKSUM.size:
                    continue
                magic, version, size, _, root, _, _, pages, transaction = _META.unpack(meta)
                if magic != MAGIC or version != VERSION or _CHECKSUM.unpack(check)[0] != _fnv(bytes(meta)):
                    continue
                if best is None or transaction > best[0]:
                    best = (transaction, size, root, pages)
        if best is None:
            raise Damaged("it is no database as etcd has them")
        _, size, root, pages = best
        if pages * size > len(data):
            raise Damaged(f"it has {len(data)} bytes of {pages * size}")
        return cls(data, size, root, pages)

    def buckets(self) -> dict[bytes, Iterator[Item]]:
        """The items of each bucket in order. Raises `Damaged`, also while items are read."""
        found = {}
        for flags, name, value in self._items(self.root, 0):
            if not flags & _IS_BUCKET or len(value) < _BUCKET.size:
                raise Damaged("its root holds something else than buckets")
            root, _ = _BUCKET.unpack(value[: _BUCKET.size])
            found[name] = self._pairs(value[_BUCKET.size :], root)
        return found

    def _pairs(self, inline: bytes, root: int) -> Iterator[Item]:
        # A small bucket has no page: its root 0 means that the page is behind its header.
        items = self._items(root, 0) if root else self._node(memoryview(inline), 0, 0)
        for flags, key, value in items:
            if not flags & _IS_BUCKET:
                yield key, value

    def _items(self, page: int, depth: int) -> Iterator[tuple[int, bytes, bytes]]:
        if not 2 <= page < self.pages or depth > DEPTH_MAX:
            raise Damaged(f"it refers to page {page} of {self.pages}")
        yield from self._node(self.data[page * self.page_bytes :], page, depth)

    def _node(self, node: memoryview, page: int, depth: int) -> Iterator[tuple[int, bytes, bytes]]:
        try:
            number, flags, count, behind = _PAGE.unpack(node[: _PAGE.size])
            if number != page or flags not in (_IS_BRANCH, _IS_LEAF):
                raise Damaged(f"page {page} is none of a tree")
            end = (behind + 1) * self.page_bytes
            for position in range(count):
                if flags == _IS_LEAF:
                    at = _PAGE.size + position * _LEAF.size
                    about, offset, key_bytes, value_bytes = _LEAF.unpack(node[at : at + _LEAF.size])
                    key_end = at + offset + key_bytes
                    if key_end + value_bytes > min(end, len(node)):
                        raise Damaged(f"an item of page {page} is not within it")
                    yield about, bytes(node[at + offset : key_end]), bytes(node[key_end : key_end + value_bytes])
                else:
                    at = _PAGE.size + position * _BRANCH.size
                    yield from self._items(_BRANCH.unpack(node[at : at + _BRANCH.size])[2], depth + 1)
        except struct.error as error:
            raise Damaged(f"page {page} is cut short") from error
