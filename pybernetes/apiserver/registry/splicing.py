"""Stored objects by the thousand as the bytes of an answer, in chunks: a list's items, and the events that a watch begins with.

What this costs is moving memory. A chunk is small enough that whoever joins, frames and encrypts it finds it in the processor's
cache, and that the allocator does not ask the kernel for new pages each time (as glibc may from 128 KiB on): with chunks of
512 KiB a list took nearly twice as long. Keeping the joined bytes for the next list would save a fifth of its time, for as much
memory again as the objects have: it is not done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.store.interface import Entry

CHUNK_BYTES: Final = 120 * 1024  # about; or up to one object more


def items(kind: Kind, head: bytes, entries: Iterable[Entry]) -> Iterator[bytes]:
    """A list: `head` up to the opening of its items, and all that follows."""
    start, rest_of = kind.item_start, kind.rest
    pieces = [head]
    add, size = pieces.append, 0
    for entry in entries:
        rest = rest_of(entry)
        if rest is None:
            rest = kind.item(entry)
        else:
            add(start % entry.mod_revision)
        add(rest)
        size += len(rest) + len(start)
        if size >= CHUNK_BYTES:
            yield b"".join(pieces)
            pieces.clear()
            size = 0
        add(b",")
    if pieces[-1] == b",":
        pieces.pop()
    add(b"]}\n")
    yield b"".join(pieces)


def events(kind: Kind, type_: str, entries: Iterable[Entry]) -> Iterator[tuple[bytes, Sequence[int]]]:
    """A watch's lines in JSON, an event of that type for each entry: a chunk, and the sizes of its lines."""
    start, rest_of = b'{"type":"%b","object":' % type_.encode(), kind.rest
    start_of_rest = start + kind.start
    pieces: list[bytes] = []
    add, size = pieces.append, 0
    sizes: list[int] = []
    for entry in entries:
        rest = rest_of(entry)
        if rest is None:
            first, rest = start, kind.served(entry)
        else:
            first = start_of_rest % entry.mod_revision
        add(first)
        add(rest)
        add(b"}\n")
        line_size = len(first) + len(rest) + 2
        sizes.append(line_size)
        size += line_size
        if size >= CHUNK_BYTES:
            yield b"".join(pieces), sizes
            pieces.clear()
            sizes, size = [], 0
    if pieces:
        yield b"".join(pieces), sizes
