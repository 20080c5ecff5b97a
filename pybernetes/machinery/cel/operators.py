"""The operators of CEL on values, and the types that they take."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from pybernetes.machinery.cel import types
from pybernetes.machinery.cel.types import DYN, Type
from pybernetes.machinery.cel.values import (
    NONE,
    CelError,
    Duration,
    MapList,
    Optional,
    SetList,
    Timestamp,
    Uint,
    contains,
    equal,
    less,
    no_overload,
)

_MAX: Final = 2**63


def cost(a: Any, b: Any) -> int:
    return 1 + min(size_cost(a), size_cost(b))


def size_cost(value: Any) -> int:
    """What going through a value once costs: a tenth of a text, each item of a list."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value) // 10
    return len(value) if kind in (list, dict, SetList, MapList) else 0


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
        return Duration(-value.nanos)
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
    if kind is str and type(b) is str:
        return a + b
    if isinstance(a, list) and isinstance(b, list):
        return _joined(a, b)
    if kind is bytes and type(b) is bytes:
        return a + b
    if kind is Timestamp and type(b) is Duration:
        return Timestamp(a.nanos + b.nanos)
    if kind is Duration and type(b) is Timestamp:
        return Timestamp(a.nanos + b.nanos)
    if kind is Duration and type(b) is Duration:
        return Duration(a.nanos + b.nanos)
    return _arithmetic(operator.add, a, b)


def _joined(a: list[Any], b: list[Any]) -> list[Any]:
    """Lists that are sets or maps are merged, as server-side apply would."""
    if type(a) is SetList:
        return SetList([*a, *(item for item in b if not contains(a, item))])
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
        return Duration(a.nanos - b.nanos)
    if kind is Timestamp and other is Duration:
        return Timestamp(a.nanos - b.nanos)
    if kind is Duration and other is Duration:
        return Duration(a.nanos - b.nanos)
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
        return a in b
    raise no_overload()


def _greater(a: Any, b: Any) -> bool:
    return less(b, a)


BINARY: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": add, "-": subtract, "*": lambda a, b: _arithmetic(operator.mul, a, b), "/": divide, "%": modulo,
    "==": equal, "!=": lambda a, b: not equal(a, b), "<": less, ">": _greater,
    "<=": lambda a, b: less(a, b) or equal(a, b), ">=": lambda a, b: less(b, a) or equal(a, b), "in": is_in,
}  # fmt: skip
_NUMBERS: Final = ("int", "uint", "double")
_SCALARS: Final = frozenset(("int", "uint", "double", "string", "bytes", "bool", "timestamp", "duration"))


def result_type(symbol: str, a: Type, b: Type) -> Type | None:
    """The type of `a symbol b`; None if there is no such operation."""
    known = a != DYN and b != DYN
    scalars = isinstance(a, str) and isinstance(b, str) and a in _SCALARS and b in _SCALARS
    mixed = known and (isinstance(a, str) != isinstance(b, str)) and (a in _SCALARS or b in _SCALARS) if known else False
    if symbol in ("&&", "||"):
        return "bool" if all(kind in ("bool", DYN) for kind in (a, b)) else None
    if symbol in ("==", "!="):
        return None if (scalars and a != b) or mixed else "bool"
    if symbol == "in":
        return None if known and isinstance(b, str) and b in _SCALARS else "bool"
    if symbol in ("<", "<=", ">", ">="):
        fits = a == b or (a in _NUMBERS and b in _NUMBERS) if scalars else not mixed
        return "bool" if fits else None
    if not known:
        return _with_unknown(symbol, a, b)
    if symbol == "+" and isinstance(a, tuple) and isinstance(b, tuple) and a[0] == b[0] == "list":
        return a
    if {a, b} <= {"timestamp", "duration"} if scalars else False:
        return {
            ("+", "timestamp", "duration"): "timestamp", ("+", "duration", "timestamp"): "timestamp",
            ("+", "duration", "duration"): "duration", ("-", "timestamp", "timestamp"): "duration",
            ("-", "timestamp", "duration"): "timestamp", ("-", "duration", "duration"): "duration",
        }.get((symbol, a, b))  # fmt: skip
    if a != b:
        return None if scalars or mixed else DYN
    if a in _NUMBERS:
        return None if symbol == "%" and a == "double" else a
    return a if symbol == "+" and a in ("string", "bytes") else None


def _with_unknown(symbol: str, a: Type, b: Type) -> Type:
    """The type of `a symbol b` where one of them may be anything: what the other one leaves."""
    other = b if a == DYN else a
    if not isinstance(other, str):
        return DYN
    if other in _NUMBERS or (symbol == "+" and other in ("string", "bytes")):
        return other
    return {("+", "timestamp"): "timestamp", ("-", "duration"): "duration" if a == other else DYN}.get((symbol, other), DYN)


# Fields and elements


def select(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        if name in value:
            return value[name]
        plain = types.unescaped(name)
        if plain in value:
            return value[plain]
        raise CelError(f"no such key: {plain}")
    if isinstance(value, Optional):
        return optional_select(value, name)
    raise no_overload()


def optional_select(value: Any, name: str) -> Optional:
    if isinstance(value, Optional):
        if not value.present:
            return NONE
        value = value.value
    if not isinstance(value, dict):
        return NONE
    for key in (name, types.unescaped(name)):
        if key in value:
            return Optional(True, value[key])
    return NONE


def has(value: Any, name: str) -> bool:
    if isinstance(value, Optional):
        return optional_select(value, name).present
    if isinstance(value, dict):
        return name in value or types.unescaped(name) in value
    raise no_overload()


def index(value: Any, place: Any) -> Any:
    if isinstance(value, list):
        if isinstance(place, float) and place.is_integer():
            place = int(place)
        if not isinstance(place, int) or type(place) is bool:
            raise no_overload()
        if not 0 <= place < len(value):
            raise CelError(f"index out of bounds: {place}")
        return value[place]
    if isinstance(value, dict):
        if place in value:
            return value[place]
        raise CelError(f"no such key: {place}")
    if isinstance(value, Optional):
        return Optional(True, index(value.value, place)) if value.present else NONE
    raise no_overload()
