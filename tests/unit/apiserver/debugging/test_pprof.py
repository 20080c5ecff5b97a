"""Profiles in pprof's format, read back by its field numbers (github.com/google/pprof, proto/profile.proto)."""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterator

from pybernetes.apiserver.debugging.pprof import encoded

MAIN, BURN = ("main", "app.py", 1, 7), ("burn", "app.py", 20, 22)


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data: bytes) -> dict[int, list[int | bytes]]:
    found: dict[int, list[int | bytes]] = defaultdict(list)
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7:
            size, at = varint(data, at)
            found[key >> 3].append(data[at : at + size])
            at += size
        else:
            value, at = varint(data, at)
            found[key >> 3].append(value)
    return found


def packed(data: object) -> Iterator[int]:
    assert isinstance(data, bytes)
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        yield value


def test_stacks_are_read_back_with_their_values() -> None:
    stacks = {(BURN, MAIN): (3, 30_000_000), (MAIN,): (1, 200)}
    kinds = (("samples", "count"), ("cpu", "nanoseconds"))
    profile = fields(gzip.decompress(encoded(stacks, kinds, 10_000_000, 1.5)))
    strings = [text.decode() for text in profile[6] if isinstance(text, bytes)]
    assert strings[0] == ""

    def named(message: object, number: int) -> str:
        assert isinstance(message, bytes)
        index = fields(message)[number][0]
        assert isinstance(index, int)
        return strings[index]

    assert [(named(type_, 1), named(type_, 2)) for type_ in profile[1]] == list(kinds)
    assert profile[10] == [1_500_000_000] and profile[12] == [10_000_000]
    functions = {fields(one)[1][0]: (named(one, 2), named(one, 4), fields(one)[5][0]) for one in profile[5]}  # type: ignore[arg-type]
    places = {}
    for place in profile[4]:
        assert isinstance(place, bytes)
        line = fields(place)[4][0]
        assert isinstance(line, bytes)
        places[fields(place)[1][0]] = (*functions[fields(line)[1][0]], fields(line)[2][0])
    found = {}
    for sample in profile[2]:
        assert isinstance(sample, bytes)
        stack = tuple(places[number] for number in packed(fields(sample)[1][0]))
        found[stack] = tuple(packed(fields(sample)[2][0]))
    assert found == stacks
