"""Sorted keys that stay cheap to change: a list of short sorted lists.

One flat list would move half a megabyte of pointers for each insertion among 150,000 keys (some 40 µs); with chunks of a
thousand it is about 1 µs, and counting a range costs one addition a chunk.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

CHUNK = 1024


class SortedKeys:
    """A set of keys in code-point order."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        ordered = sorted(keys)
        self._chunks = [ordered[i : i + CHUNK] for i in range(0, len(ordered), CHUNK)] or [[]]
        # Where each chunk begins. The first begins before every key, so that a search always finds a chunk.
        self._starts = [""] + [chunk[0] for chunk in self._chunks[1:]]

    def add(self, key: str) -> None:
        """`key` must not be there."""
        at = self._chunk_of(key)
        chunk = self._chunks[at]
        insort(chunk, key)
        if len(chunk) > 2 * CHUNK:
            self._chunks.insert(at + 1, chunk[CHUNK:])
            self._starts.insert(at + 1, chunk[CHUNK])
            del chunk[CHUNK:]

    def remove(self, key: str) -> None:
        """`key` must be there."""
        at = self._chunk_of(key)
        chunk = self._chunks[at]
        place = bisect_left(chunk, key)
        assert chunk[place] == key
        del chunk[place]
        if not chunk and len(self._chunks) > 1:
            del self._chunks[at], self._starts[at]
            self._starts[0] = ""

    def between(self, start: str, stop: str | None) -> Iterator[str]:
        """Keys from `start` on (inclusive), before `stop` (None: to the end). Not to be used across a change."""
        for at, low, high in self._pieces(start, stop):
            yield from self._chunks[at][low:high]

    def listed(self, start: str, stop: str | None) -> list[str]:
        """What `between` would give, at once."""
        found: list[str] = []
        for at, low, high in self._pieces(start, stop):
            found += self._chunks[at][low:high]
        return found

    def sample(self, most: int) -> list[str]:
        """Some keys, about evenly spread; none only where there are none."""
        chunks = self._chunks
        if len(chunks) <= most:
            share = max(1, most // len(chunks))
            return [key for chunk in chunks for key in chunk[:: max(1, len(chunk) // share)]]
        return [chunk[len(chunk) // 2] for chunk in chunks[:: len(chunks) // most]]

    def count(self, start: str, stop: str | None) -> int:
        """How many keys `between` would give."""
        return sum(high - low for _, low, high in self._pieces(start, stop))

    def _pieces(self, start: str, stop: str | None) -> Iterator[tuple[int, int, int]]:
        """(chunk, from, to) for every chunk with a part in the range."""
        first = self._chunk_of(start)
        last = len(self._chunks) - 1 if stop is None else self._chunk_of(stop)
        for at in range(first, last + 1):
            chunk = self._chunks[at]
            low = bisect_left(chunk, start) if at == first else 0
            high = len(chunk) if stop is None or at < last else bisect_left(chunk, stop)
            if low < high:
                yield at, low, high

    def _chunk_of(self, key: str) -> int:
        return bisect_right(self._starts, key) - 1
