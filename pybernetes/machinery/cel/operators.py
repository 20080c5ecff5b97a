"""The operators of CEL on values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from pybernetes.machinery.cel.values import (
    NONE,
    CelError,
    Duration,
    MapList,
    Optional,
    SetList,
    Timestamp,
    Uint,
    are_texts,
    at_most,
    contains,
    duration,
    equal,
    less,
    no_overload,
    timestamp,
    type_name,
)
from pybernetes.machinery.turns import each, spend

_MAX: Final = 2**63
_LENGTH_MAX: Final = 1_000_000  # of a list that others are joined to: joining costs nothing, by upstream's count


def _whole(value: int) -> int:
    if -_MAX <= value < _MAX:
        return value
    raise CelError("integer overflow")


def _unsigned(value: int) -> Uint:
    if 0 <= value < 2 * _MAX:
        return Uint(value)
    raise CelError("unsigned integer overflow")


def negate(value: Any) -> Any:
    kind = type(value)
    if kind is int:
        return _whole(-value)
    if kind is float:
        return -value
    if kind is Duration:
        return duration(-value.nanos)
    raise no_overload()


def invert(value: Any) -> bool:
    if value is True or value is False:
        return not value
    raise no_overload()


def _arithmetic(apply: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    kind = type(a)
    if kind is not type(b):
        raise no_overload()
    if kind is int:
        return _whole(apply(a, b))
    if kind is float:
        return apply(a, b)
    if kind is Uint:
        return _unsigned(apply(int(a), int(b)))
    raise no_overload()


def add(a: Any, b: Any) -> Any:
    kind = type(a)
    if kind is int and type(b) is int:
        return _whole(a + b)
    if kind is str and type(b) is str:
        return a + b
    if isinstance(a, list) and isinstance(b, list):
        return _joined(a, b)
    if kind is bytes and type(b) is bytes:
        return a + b
    if kind is Timestamp and type(b) is Duration:
        return timestamp(a.nanos + b.nanos, a.offset_s)
    if kind is Duration and type(b) is Timestamp:
        return timestamp(a.nanos + b.nanos, b.offset_s)
    if kind is Duration and type(b) is Duration:
        return duration(a.nanos + b.nanos)
    return _arithmetic(operator.add, a, b)


def check_length(*parts: list[Any]) -> None:
    """Raises `CelError` for lists that would be too long together."""
    if sum(map(len, parts)) > _LENGTH_MAX:
        raise CelError("the list would be too long")


def _joined(a: list[Any], b: list[Any]) -> list[Any]:
    """Lists that are sets or maps are merged, as server-side apply would."""
    check_length(a, b)
    if type(a) is SetList:
        known = frozenset(a).__contains__ if are_texts(a, b) else partial(contains, a)
        return SetList([*a, *(item for item in each(b) if not known(item))])
    if type(a) is MapList:
        keys = a.keys

        def identity(item: Any) -> Any:
            return tuple(str(item.get(key)) for key in keys) if isinstance(item, dict) else item

        later = {identity(item): item for item in b}
        merged = MapList([later.pop(identity(item), item) for item in a] + [])
        merged += list(later.values())
        merged.keys = keys
        return merged
    return [*a, *b]


def subtract(a: Any, b: Any) -> Any:
    kind, other = type(a), type(b)
    if kind is Timestamp and other is Timestamp:
        return duration(a.nanos - b.nanos)
    if kind is Timestamp and other is Duration:
        return timestamp(a.nanos - b.nanos, a.offset_s)
    if kind is Duration and other is Duration:
        return duration(a.nanos - b.nanos)
    return _arithmetic(operator.sub, a, b)


def divide(a: Any, b: Any) -> Any:
    if type(a) is float and type(b) is float:
        if b == 0:
            return float("nan") if a == 0 or a != a else float("inf") * (1 if a > 0 else -1)
        return a / b
    if type(a) is type(b) and isinstance(a, int) and type(a) is not bool and b == 0:
        raise CelError("division by zero")
    return _arithmetic(lambda x, y: abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1), a, b)


def modulo(a: Any, b: Any) -> Any:
    if type(a) is float:
        raise no_overload()
    if isinstance(b, int) and type(b) is not bool and b == 0:
        raise CelError("modulus by zero")
    return _arithmetic(lambda x, y: abs(x) % abs(y) * (-1 if x < 0 else 1), a, b)


def is_in(a: Any, b: Any) -> bool:
    if isinstance(b, list):
        return contains(b, a)
    if isinstance(b, dict):
        return holds_key(b, a)
    raise no_overload()


def _greater(a: Any, b: Any) -> bool:
    return less(b, a)


def _at_least(a: Any, b: Any) -> bool:
    return at_most(b, a)


BINARY: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": add, "-": subtract, "*": lambda a, b: _arithmetic(operator.mul, a, b), "/": divide, "%": modulo,
    "==": equal, "!=": lambda a, b: not equal(a, b), "<": less, ">": _greater, "<=": at_most, ">=": _at_least, "in": is_in,
}  # fmt: skip
# Fields and elements


_KEYS: Final = frozenset((str, int, bool, Uint, float))  # maps have no doubles as keys, but these may equal one


def holds_key(entries: dict[Any, Any], key: Any) -> bool:
    """Python takes `true` for 1; CEL does not."""
    if type(key) not in _KEYS or key not in entries:
        return False
    if type(key) is str or key not in (0, 1):
        return True
    spend(len(entries) // 10)  # there is no telling, but by looking for it
    return next(type(known) is bool for known in entries if known == key) is (type(key) is bool)


def insert(entries: dict[Any, Any], key: Any, value: Any) -> None:
    """Raises `CelError` for a key that is there, or cannot be one."""
    if type(key) not in _KEYS or type(key) is float:
        raise CelError(f"unsupported key type: {type_name(key)}")
    if key in entries:
        raise CelError(f"insert failed: key {key} already exists")
    entries[key] = value


def select(value: Any, name: str, plain: str) -> Any:
    """`plain`: the name as objects spell it."""
    if isinstance(value, dict):
        for key in (name, plain):
            if key in value:
                return value[key]
    if isinstance(value, Optional):
        return optional_select(value, name, plain)
    raise _nothing_at(value, plain)


def optional_select(value: Any, name: str, plain: str) -> Optional:
    if isinstance(value, Optional):
        if not value.present:
            return NONE
        value = value.value
    if isinstance(value, dict):
        for key in (name, plain):
            if key in value:
                return Optional(True, value[key])
    if isinstance(value, list):
        raise _nothing_at(value, plain)
    return NONE


def has(value: Any, name: str, plain: str, *, null_is_absent: bool = False) -> bool:
    if null_is_absent and isinstance(value, dict):
        return value.get(plain) is not None
    return optional_select(value, name, plain).present


def index(value: Any, place: Any) -> Any:
    if isinstance(value, list):
        at = _list_index(value, place)
        if not 0 <= at < len(value):
            raise CelError(f"index out of bounds: {at}")
        return value[at]
    if isinstance(value, Optional):
        return optional_index(value, place)
    if isinstance(place, list | dict):
        raise no_overload()
    if isinstance(value, dict) and holds_key(value, place):
        return value[place]
    raise _nothing_at(value, place)


def optional_index(value: Any, place: Any) -> Optional:
    """None of a place that is not there; `CelError` for what cannot be one."""
    if isinstance(value, Optional):
        if not value.present:
            return NONE
        value = value.value
    if isinstance(value, list):
        at = _list_index(value, place)
        return Optional(True, value[at]) if 0 <= at < len(value) else NONE
    if isinstance(place, list | dict):
        raise no_overload()
    return Optional(True, value[place]) if isinstance(value, dict) and holds_key(value, place) else NONE


def _list_index(value: list[Any], place: Any) -> int:
    if isinstance(place, float) and place.is_integer():
        return int(place)
    if isinstance(place, int) and type(place) is not bool:
        return int(place)
    raise _nothing_at(value, place)


def _nothing_at(value: Any, place: Any) -> CelError:
    """Null and other values that hold nothing are told of like maps that lack the key."""
    if not isinstance(value, list):
        return CelError(f"no such key: {str(place).lower() if type(place) is bool else place}")
    if isinstance(place, float):
        return CelError(f"unsupported index value {place} in list")
    return CelError(f"unsupported index type '{type_name(place)}' in list")
