"""The values of CEL that JSON does not have, how values compare, and what can go wrong."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pybernetes.machinery import go_duration
from pybernetes.machinery.quantity import Quantity
from pybernetes.machinery.turns import each, spend

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class CelError(Exception):
    """An evaluation that failed; `str()` is upstream's sentence, `cost` what it had spent until then."""

    cost = 0


class CostExceeded(CelError):
    """It did more than it may."""


class CompileError(Exception):
    """An expression that is none; `str()` shows where, as upstream's checker does."""

    def __init__(self, text: str, offset: int, why: str) -> None:
        super().__init__(_pointed(text, offset, why))
        self.why = why
        self.source = text

    @classmethod
    def of_all(cls, text: str, errors: Sequence[tuple[int, str]]) -> CompileError:
        """`errors`: offset and sentence of each, at least one; they are shown in the order of the text."""
        first, *others = sorted(errors, key=lambda error: error[0])
        made = cls(text, *first)
        made.args = ("\n".join([str(made), *(_pointed(text, offset, why) for offset, why in others)]),)
        return made


def _pointed(text: str, offset: int, why: str) -> str:
    before = text[:offset]
    line = before.count("\n") + 1
    column = offset - (before.rfind("\n") + 1)
    shown = text.split("\n")[line - 1]
    return f"ERROR: <input>:{line}:{column + 1}: {why}\n | {shown}\n | {'.' * column}^"


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
    """Nanoseconds since 1970, UTC; `offset_s` is that of the zone which it was written in, and only that of its text."""

    nanos: int
    offset_s: int = field(default=0, compare=False)

    def __lt__(self, other: Timestamp) -> bool:
        return self.nanos < other.nanos

    @property
    def moment(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.nanos // 1000)

    def __str__(self) -> str:
        seconds, part = divmod(self.nanos, 10**9)
        moment = (EPOCH + timedelta(seconds=seconds + self.offset_s)).replace(tzinfo=None)
        hours, minutes = divmod(abs(self.offset_s) // 60, 60)
        zone = f"{'-' if self.offset_s < 0 else '+'}{hours:02d}:{minutes:02d}" if self.offset_s else "Z"
        return f"{moment.isoformat(timespec='seconds')}{f'.{part:09d}'.rstrip('0') if part else ''}{zone}"


# Years 1 to 9999.
_TIME_MIN: Final = -62135596800 * 10**9
_TIME_MAX: Final = 253402300800 * 10**9


def timestamp(nanos: int, offset_s: int = 0) -> Timestamp:
    """Raises `CelError` where it is out of range."""
    shown = nanos + offset_s * 10**9
    if min(nanos, shown) < _TIME_MIN or max(nanos, shown) >= _TIME_MAX:
        raise CelError("timestamp overflow")
    return Timestamp(nanos, offset_s)


def duration(nanos: int) -> Duration:
    """Raises `CelError` where it is out of range: 64 bits of nanoseconds."""
    if not -(2**63) <= nanos < 2**63:
        raise CelError("duration overflow")
    return Duration(nanos)


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


_ESCAPES: Final = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def quoted(text: str) -> str:
    """In quotation marks, with what cannot be printed escaped."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_ESCAPES.get(character) or _printable(character) for character in text) + '"'


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def no_overload(function: str = "") -> CelError:
    return CelError(f"no such overload{': ' + function if function else ''}")


def want(value: Any, *kinds: type) -> None:
    """Raises `CelError` for a value of another type."""
    if type(value) not in kinds:
        raise no_overload()


def want_texts(*values: Any) -> None:
    for value in values:
        if type(value) is not str:
            raise no_overload()


def want_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise no_overload()
    return value


def equal(a: Any, b: Any) -> bool:
    """Numbers compare by value, whatever their types; everything else is equal only to its own type."""
    kind, other = type(a), type(b)
    if kind is other:
        if kind is str or kind is int:
            return bool(a == b)
        if a is b and kind is not float:
            return True
        if kind is list:
            if len(a) != len(b):
                return False
            spend(len(a))
            return bool(a == b) if _is_plain(a) and _is_plain(b) else all(map(equal, a, b))
        if kind is dict:
            spend(len(a))
            return len(a) == len(b) and all(key in b and equal(value, b[key]) for key, value in a.items())
        if kind is SetList or kind is MapList:
            return len(a) == len(b) and all(contains(b, item) for item in a)
        if kind is Optional:
            return a.present is b.present and (not a.present or equal(a.value, b.value))
        return bool(a == b)
    if isinstance(a, list) and isinstance(b, list):
        if kind is list and other is not list:  # it is the other one that knows what makes them equal
            return equal(other(a), b)
        return len(a) == len(b) and all(contains(b, item) for item in a)
    if isinstance(a, int | float) and isinstance(b, int | float) and kind is not bool and other is not bool:
        return a == b
    if isinstance(a, MessageValue) or isinstance(b, MessageValue):
        return False
    return isinstance(a, dict) and isinstance(b, dict) and equal(dict(a), dict(b))


def are_texts(*lists: Sequence[Any]) -> bool:
    """Whether there is nothing else in them."""
    return all(_TEXTS.issuperset(map(type, items)) for items in lists)


_TEXTS: Final = frozenset((str,))
_PLAIN: Final = frozenset((str, int))


def _is_plain(items: Sequence[Any]) -> bool:
    """Whether a long list has nothing in it that Python compares otherwise."""
    return len(items) > 16 and _PLAIN.issuperset(map(type, items))


def contains(items: Sequence[Any], wanted: Any) -> bool:
    if type(wanted) is str:
        return wanted in items
    return any(equal(item, wanted) for item in each(items))


ORDERED: Final = (int, str, bytes, bool, float, Uint, Duration, Timestamp)


def less(a: Any, b: Any) -> bool:
    """Raises `CelError` for what has no order."""
    kind, other = type(a), type(b)
    if kind is other and kind in ORDERED:
        return bool(a < b)
    if isinstance(a, int | float) and isinstance(b, int | float) and kind is not bool and other is not bool:
        return bool(a < b)
    raise no_overload()


def at_most(a: Any, b: Any) -> bool:
    """Raises `CelError` for what has no order; false where a number is none."""
    return less(a, b) or (a == b if type(a) is type(b) else equal(a, b))
