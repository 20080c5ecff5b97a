"""The values of CEL that JSON does not have, how values compare, and what can go wrong."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pybernetes.machinery import go_duration
from pybernetes.machinery.quantity import Quantity

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class CelError(Exception):
    """An evaluation that failed; `str()` is upstream's sentence, `cost` what it had spent until then."""

    cost = 0


class CostExceeded(CelError):
    """It did more than it may."""


class CompileError(Exception):
    """An expression that is none; `str()` shows where, as upstream's checker does."""

    def __init__(self, text: str, offset: int, why: str) -> None:
        before = text[:offset]
        line = before.count("\n") + 1
        column = offset - (before.rfind("\n") + 1)
        shown = text.split("\n")[line - 1] if text else ""
        super().__init__(f"ERROR: <input>:{line}:{column + 1}: {why}\n | {shown}\n | {'.' * column}^")
        self.why = why
        self.source = text


class Uint(int):
    """An unsigned integer."""


@functools.total_ordering
@dataclass(frozen=True, slots=True)
class Duration:
    nanos: int

    def __lt__(self, other: Duration) -> bool:
        return self.nanos < other.nanos

    def __str__(self) -> str:
        return f"{go_duration.decimal(abs(self.nanos), 10**9)}s" if self.nanos >= 0 else f"-{Duration(-self.nanos)}"


@functools.total_ordering
@dataclass(frozen=True, slots=True)
class Timestamp:
    """Nanoseconds since 1970, UTC."""

    nanos: int

    def __lt__(self, other: Timestamp) -> bool:
        return self.nanos < other.nanos

    @property
    def moment(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.nanos // 1000)

    def __str__(self) -> str:
        seconds, part = divmod(self.nanos, 10**9)
        text = (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{text}{f'.{part:09d}'.rstrip('0') if part else ''}Z"


@dataclass(frozen=True, slots=True)
class Optional:
    """`value` is meaningless unless `present`."""

    present: bool
    value: Any = None


NONE: Final = Optional(False)


@dataclass(frozen=True, slots=True)
class TypeValue:
    """What `type(x)` gives."""

    name: str


class MessageValue(dict[str, Any]):
    """What `Object.spec{replicas: 3}` gives: its fields, and the name of its type."""

    __slots__ = ("cel_type",)

    def __init__(self, cel_type: str, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.cel_type = cel_type

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MessageValue) and self.cel_type == other.cel_type and dict.__eq__(self, other)

    __hash__ = None


class SetList(list[Any]):
    """A list with `x-kubernetes-list-type: set`: the order of its items does not count."""


class MapList(list[Any]):
    """A list with `x-kubernetes-list-type: map`: items are known by their keys."""

    keys: Sequence[str] = ()


TYPE_NAMES: Final[Mapping[type, str]] = {
    bool: "bool", int: "int", Uint: "uint", float: "double", str: "string", bytes: "bytes", list: "list", dict: "map",
    SetList: "list", MapList: "list", type(None): "null_type", Duration: "google.protobuf.Duration",
    Timestamp: "google.protobuf.Timestamp", Optional: "optional_type", TypeValue: "type", Quantity: "kubernetes.Quantity",
}  # fmt: skip


def type_name(value: Any) -> str:
    return TYPE_NAMES.get(type(value)) or str(getattr(value, "cel_type", "dyn"))


def no_overload(function: str = "") -> CelError:
    return CelError(f"no such overload{': ' + function if function else ''}")


def equal(a: Any, b: Any) -> bool:
    """Numbers compare by value, whatever their types; everything else is equal only to its own type."""
    kind, other = type(a), type(b)
    if kind is other:
        if kind is list:
            return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
        if kind is dict:
            return len(a) == len(b) and all(key in b and equal(value, b[key]) for key, value in a.items())
        if kind is SetList:
            return len(a) == len(b) and all(contains(b, item) for item in a)
        if kind is MapList:
            return len(a) == len(b) and all(contains(b, item) for item in a)
        return bool(a == b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, int | float) and isinstance(b, int | float) and kind is not bool and other is not bool:
        return a == b
    return False


def contains(items: Sequence[Any], wanted: Any) -> bool:
    return any(equal(item, wanted) for item in items)


_ORDERED: Final = (str, bytes, bool, Duration, Timestamp)


def less(a: Any, b: Any) -> bool:
    """Raises `CelError` for what has no order."""
    kind, other = type(a), type(b)
    if kind is other and kind in _ORDERED:
        return bool(a < b)
    if isinstance(a, int | float) and isinstance(b, int | float) and kind is not bool and other is not bool:
        return bool(a < b)
    raise no_overload()
