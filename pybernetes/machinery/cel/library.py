"""The functions of expressions: of texts (`library_texts`), lists, times, numbers, optionals, and Kubernetes' (`library_…`).

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#functions,
https://kubernetes.io/docs/reference/using-api/cel/#cel-options-language-features-and-libraries
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any, Final

from pybernetes.machinery.cel import conversions, operators
from pybernetes.machinery.cel import library_authorizer as authorizer
from pybernetes.machinery.cel import library_kubernetes as kubernetes
from pybernetes.machinery.cel import library_texts as texts
from pybernetes.machinery.cel.values import (
    NONE,
    ORDERED,
    CelError,
    Duration,
    Optional,
    Timestamp,
    TypeValue,
    Uint,
    contains,
    less,
    no_overload,
    type_name,
    want,
    want_list,
)
from pybernetes.machinery.turns import each

Function = Callable[..., Any]


def size(value: Any) -> int:
    if type(value) is str or type(value) is bytes or isinstance(value, list | dict):
        return len(value)
    raise no_overload()


# Lists


def _is_sorted(items: Any) -> bool:
    found = want_list(items)
    return not any(less(b, a) for a, b in pairwise(each(found)))


def _sum(items: Any) -> Any:
    found = want_list(items)
    if not found:
        return 0
    total = found[0]
    for item in each(found[1:]):
        total = operators.add(total, item)
    return total


def _extreme(items: Any, which: str, better: Callable[[Any, Any], bool]) -> Any:
    found = want_list(items)
    if not found:
        raise CelError(f"{which} called on empty list")
    best = found[0]
    for item in each(found[1:]):
        if better(item, best):
            best = item
    return best


def _flatten(items: Any, depth: Any = 1) -> list[Any]:
    want(depth, int)
    if depth < 0:
        raise CelError("level must be non-negative")
    found: list[Any] = []
    waiting = [(want_list(items), depth)]
    while waiting:
        inner, left = waiting.pop()
        if left == 0 or not any(isinstance(item, list) for item in inner):
            found += inner
        else:  # in parts, the first on top
            waiting += [(item, left - 1) if isinstance(item, list) else ([item], 0) for item in reversed(inner)]
        operators.check_length(found)
        operators.check_length(waiting)
    return found


def _distinct(items: Any) -> list[Any]:
    found: list[Any] = []
    for item in want_list(items):
        if not contains(found, item):
            found.append(item)
    return found


def sorted_by(items: Any, keys: Any) -> list[Any]:
    """The items in the order of their keys."""
    found, by = want_list(items), want_list(keys)
    if by and type(by[0]) not in ORDERED:
        raise CelError("list elements must be comparable")
    if any(type(key) is not type(by[0]) for key in by):
        raise CelError("list elements must have the same type")
    return [found[place] for place in sorted(range(len(by)), key=by.__getitem__)]


def _slice(items: Any, start: Any, end: Any) -> list[Any]:
    found = want_list(items)
    want(start, int)
    want(end, int)
    why = ""
    if start < 0 or end < 0:
        why = "negative indexes not supported"
    elif start > end:
        why = "start index must be less than or equal to end index"
    elif end > len(found):
        why = f"list is length {len(found)}"
    if why:
        raise CelError(f"cannot slice({start}, {end}), {why}")
    return found[start:end]


def _reverse(items: Any) -> list[Any]:
    return list(reversed(want_list(items)))


_RANGE_MAX: Final = 10_000_000


def _range(count: Any) -> list[int]:
    want(count, int)
    if count < 0:
        raise CelError(f"lists.range: size must be non-negative, got {count}")
    if count > _RANGE_MAX:
        raise CelError(f"lists.range: size {count} exceeds maximum allowed ({_RANGE_MAX})")
    return list(range(count))


def _sets_contains(a: Any, b: Any) -> bool:
    return all(contains(want_list(a), item) for item in want_list(b))


# Optionals


def _of_non_zero(value: Any) -> Optional:
    empty = value is None or value is False or (not isinstance(value, bool) and value in (0, "", b"", [], {}))
    return NONE if empty else Optional(True, value)


def _optional(value: Any) -> Optional:
    if not isinstance(value, Optional):
        raise no_overload()
    return value


def _value(value: Any) -> Any:
    if not _optional(value).present:
        raise CelError("optional.none() dereference")
    return value.value


def _unwrap(items: Any) -> list[Any]:
    return [item.value for item in want_list(items) if _optional(item).present]


def _first(items: Any) -> Optional:
    found = want_list(items)
    return Optional(True, found[0]) if found else NONE


def _last(items: Any) -> Optional:
    found = want_list(items)
    return Optional(True, found[-1]) if found else NONE


# Times


def _zone(name: str) -> tzinfo:
    from datetime import timezone
    from zoneinfo import ZoneInfo

    offset = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name)
    if offset:
        delta = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-delta if offset[1] == "-" else delta)
    try:
        return ZoneInfo(name)
    except Exception:
        raise CelError(f"unknown time zone {name}") from None


def _part(read: Callable[[datetime], int], of_duration: int = 0) -> Callable[..., int]:
    """A part of a time; of a duration, the whole of it in units of so many nanoseconds."""

    def apply(value: Any, zone: str = "") -> int:
        if type(value) is Duration and of_duration:
            return int(abs(value.nanos) // of_duration) * (-1 if value.nanos < 0 else 1)
        want(value, Timestamp)
        moment = value.moment
        return read(moment.astimezone(_zone(zone)) if zone else moment)

    return apply


def _milliseconds(value: Any, zone: str = "") -> int:
    if type(value) is Duration:
        return int(abs(value.nanos) // 10**6) * (-1 if value.nanos < 0 else 1)
    want(value, Timestamp)
    return int(value.nanos % 10**9 // 10**6)


# Numbers


def _number(value: Any) -> Any:
    want(value, int, Uint, float)
    return value


def _numbers(values: Sequence[Any]) -> Sequence[Any]:
    found = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    for value in each(found):
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise no_overload()
    return found


def _float(change: Callable[[float], Any]) -> Callable[[Any], Any]:
    def apply(value: Any) -> Any:
        want(value, float)
        return change(value)

    return apply


def _rounded(change: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(change(value)) if math.isfinite(value) else value


def _round(value: float) -> float:
    if not math.isfinite(value):
        return value
    return math.floor(abs(value) + 0.5) * math.copysign(1.0, value)


def _abs(value: Any) -> Any:
    found = _number(value)
    return found if found >= 0 else operators.negate(found)


def _sign(value: Any) -> Any:
    found = _number(value)
    return type(found)((found > 0) - (found < 0)) if found == found else found


def implementation(name: str, *, is_method: bool) -> Callable[..., Any]:
    """What a declared function, method or operator does. It takes any values, and raises `CelError` or TypeError for those that
    it is not made for."""
    if is_method:
        return METHODS[name]
    found = FUNCTIONS.get(name)
    return found if found is not None else OPERATORS[name]


OPERATORS: Final[Mapping[str, Function]] = {
    **{f"_{symbol}_": apply for symbol, apply in operators.BINARY.items()}, "@in": operators.is_in, "!_": operators.invert,
    "-_": operators.negate,
}  # fmt: skip
FUNCTIONS: Final[Mapping[str, Function]] = {
    "int": conversions.to_int, "uint": conversions.to_uint, "double": conversions.to_double, "string": conversions.to_string,
    "bool": conversions.to_bool, "bytes": conversions.to_bytes, "duration": conversions.to_duration,
    "timestamp": conversions.to_timestamp, "dyn": lambda value: value, "size": size,
    "type": lambda value: TypeValue(type_name(value)), "lists.range": _range, "sets.contains": _sets_contains,
    "sets.equivalent": lambda a, b: _sets_contains(a, b) and _sets_contains(b, a),
    "sets.intersects": lambda a, b: any(contains(want_list(b), item) for item in want_list(a)),
    "optional.of": lambda value: Optional(True, value), "optional.none": lambda: NONE,
    "optional.ofNonZeroValue": _of_non_zero, "optional.unwrap": _unwrap,
    "math.greatest": lambda *values: max(_numbers(values)), "math.least": lambda *values: min(_numbers(values)),
    "math.ceil": _float(_rounded(math.ceil)), "math.floor": _float(_rounded(math.floor)), "math.round": _float(_round),
    "math.trunc": _float(_rounded(math.trunc)), "math.abs": _abs, "math.sign": _sign, "math.isNaN": _float(math.isnan),
    "math.isInf": _float(math.isinf), "math.isFinite": _float(math.isfinite), **texts.FUNCTIONS,
    **kubernetes.FUNCTIONS,
}  # fmt: skip
METHODS: Final[Mapping[str, Function]] = {
    "size": size, "reverse": _reverse,
    "isSorted": _is_sorted, "sum": _sum, "min": lambda items: _extreme(items, "min", less),
    "max": lambda items: _extreme(items, "max", lambda a, b: less(b, a)), "flatten": _flatten, "distinct": _distinct,
    "sort": lambda items: sorted_by(items, items), "@sortByAssociatedKeys": sorted_by, "slice": _slice, "first": _first,
    "last": _last, "unwrapOpt": _unwrap, "hasValue": lambda value: _optional(value).present, "value": _value,
    "getFullYear": _part(lambda moment: moment.year), "getMonth": _part(lambda moment: moment.month - 1),
    "getDate": _part(lambda moment: moment.day), "getDayOfMonth": _part(lambda moment: moment.day - 1),
    "getDayOfWeek": _part(lambda moment: (moment.weekday() + 1) % 7),
    "getDayOfYear": _part(lambda moment: moment.timetuple().tm_yday - 1),
    "getHours": _part(lambda moment: moment.hour, 3600 * 10**9), "getMinutes": _part(lambda moment: moment.minute, 60 * 10**9),
    "getSeconds": _part(lambda moment: moment.second, 10**9), "getMilliseconds": _milliseconds, **texts.METHODS,
    **kubernetes.METHODS, **authorizer.METHODS,
}  # fmt: skip
