"""A profile in pprof's format (github.com/google/pprof, proto/profile.proto): what `go tool pprof` reads. Pure.

Few fields of few messages: written by hand, the encoding is shorter than its generated classes.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping

from pybernetes.apiserver.debugging.sampler import Frame, Stack
from pybernetes.machinery.protobuf_wire import LENGTH, VARINT, sized, tagged, varint


def encoded(
    stacks: Mapping[Stack, tuple[int, int]], kinds: tuple[tuple[str, str], tuple[str, str]], period: int, duration_s: float
) -> bytes:
    """Gzipped. Each stack has a value of each of the `kinds`; it was looked at every `period` of the second's unit."""
    strings: dict[str, int] = {"": 0}
    functions: dict[tuple[str, str, int], int] = {}
    locations: dict[Frame, int] = {}

    def text(value: str) -> int:
        return strings.setdefault(value, len(strings))

    samples = [
        _message(2, _packed(1, [locations.setdefault(frame, len(locations) + 1) for frame in stack]), _packed(2, values))
        for stack, values in stacks.items()
    ]
    places = []
    for (name, file, first, line), number in locations.items():
        function = functions.setdefault((name, file, first), len(functions) + 1)
        places.append(_message(4, _number(1, number), _message(4, _number(1, function), _number(2, line))))
    named = [
        _message(
            5, _number(1, number), _number(2, text(name)), _number(3, text(name)), _number(4, text(file)), _number(5, first)
        )
        for (name, file, first), number in functions.items()
    ]
    types = [_message(1, _number(1, text(type_)), _number(2, text(unit))) for type_, unit in kinds]
    (type_, unit) = kinds[1]
    tail = [
        _number(10, int(duration_s * 1e9)), _message(11, _number(1, text(type_)), _number(2, text(unit))), _number(12, period),
    ]  # fmt: skip
    table = [_message(6, value.encode("utf-8", "replace")) for value in strings]
    return gzip.compress(b"".join([*types, *samples, *places, *named, *table, *tail]), mtime=0)


def _number(field: int, value: int) -> bytes:
    return tagged(field, VARINT, varint(value))


def _message(field: int, *parts: bytes) -> bytes:
    return tagged(field, LENGTH, sized(b"".join(parts)))


def _packed(field: int, values: Iterable[int]) -> bytes:
    return _message(field, *map(varint, values))
