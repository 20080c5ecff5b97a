"""The functions of expressions: CEL's own, its extensions that Kubernetes has, and Kubernetes' (`library_kubernetes`).

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

from pybernetes.machinery import go_duration
from pybernetes.machinery.cel import library_authorizer as authorizer
from pybernetes.machinery.cel import library_kubernetes as kubernetes
from pybernetes.machinery.cel.text_format import format_text
from pybernetes.machinery.cel.types import DYN, Type
from pybernetes.machinery.cel.values import (
    EPOCH,
    NONE,
    CelError,
    Duration,
    Optional,
    Timestamp,
    TypeValue,
    Uint,
    contains,
    equal,
    less,
    no_overload,
    type_name,
)
from pybernetes.machinery.go_regexp import compile_pattern

Function = tuple[Callable[..., Any], Type]


def _want(value: Any, *kinds: type) -> None:
    if type(value) not in kinds:
        raise no_overload()


def _text(*values: Any) -> None:
    for value in values:
        if type(value) is not str:
            raise no_overload()


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise no_overload()
    return value


# Conversions


def to_int(value: Any) -> int:
    kind = type(value)
    if kind is int:
        return int(value)
    if kind is float:
        if not -(2**63) <= value < 2**63:
            raise CelError("integer overflow")
        return int(value)
    if kind is Uint:
        if value >= 2**63:
            raise CelError("integer overflow")
        return int(value)
    if kind is str:
        if not re.fullmatch(r"[+-]?\d+", value, re.ASCII) or not -(2**63) <= int(value) < 2**63:
            raise CelError(f'strconv.ParseInt: parsing "{value}": invalid syntax')
        return int(value)
    if kind is Timestamp:
        return int(value.nanos // 10**9)
    if kind is Duration:
        return int(value.nanos)
    raise no_overload()


def to_uint(value: Any) -> Uint:
    kind = type(value)
    if kind is str:
        if not re.fullmatch(r"\d+", value, re.ASCII):
            raise CelError(f'strconv.ParseUint: parsing "{value}": invalid syntax')
        return Uint(int(value))
    if kind in (int, Uint, float):
        if not 0 <= value < 2**64:
            raise CelError("unsigned integer overflow")
        return Uint(int(value))
    raise no_overload()


def to_double(value: Any) -> float:
    kind = type(value)
    if kind in (int, Uint, float):
        return float(value)
    if kind is str:
        try:
            return float(value)
        except ValueError:
            raise CelError(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from None
    raise no_overload()


def to_string(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind in (int, Uint):
        return str(int(value))
    if kind is float:
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    if kind is bytes:
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
    if kind in (Timestamp, Duration) or hasattr(value, "cel_type"):
        return str(value)
    raise no_overload()


def to_bool(value: Any) -> bool:
    if type(value) is bool:
        return bool(value)
    if type(value) is str:
        if value in ("true", "True", "TRUE", "t", "T", "1"):
            return True
        if value in ("false", "False", "FALSE", "f", "F", "0"):
            return False
        raise CelError(f'strconv.ParseBool: parsing "{value}": invalid syntax')
    raise no_overload()


def to_bytes(value: Any) -> bytes:
    _want(value, str, bytes)
    return value.encode() if type(value) is str else bytes(value)


def to_duration(value: Any) -> Duration:
    if type(value) is Duration:
        return value
    if type(value) is int:
        return Duration(value)
    _text(value)
    try:
        return Duration(go_duration.parse(value))
    except ValueError as error:
        raise CelError(str(error)) from None


_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def to_timestamp(value: Any) -> Timestamp:
    if type(value) is Timestamp:
        return value
    if type(value) is int:
        return Timestamp(value * 10**9)
    _text(value)
    found = _TIME.fullmatch(value)
    try:
        if found is None:
            raise ValueError
        zone = "+00:00" if found[4] in "Zz" else found[4]
        moment = datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}")
    except ValueError:
        raise CelError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"') from None
    return Timestamp(int((moment - EPOCH).total_seconds()) * 10**9 + int((found[3] or "").ljust(9, "0")))


def size(value: Any) -> int:
    if type(value) is str or type(value) is bytes or isinstance(value, list | dict):
        return len(value)
    raise no_overload()


# Texts


def matches(text: Any, pattern: Any) -> bool:
    _text(text, pattern)
    return _pattern(pattern).search(text) is not None


def _pattern(pattern: str) -> re.Pattern[str]:
    try:
        return compile_pattern(pattern)
    except ValueError as error:
        raise CelError(str(error)) from None


def find(text: Any, pattern: Any) -> str:
    _text(text, pattern)
    found = _pattern(pattern).search(text)
    return found[0] if found else ""


def find_all(text: Any, pattern: Any, limit: int = -1) -> list[str]:
    _text(text, pattern)
    found = [match[0] for match in _pattern(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def _contains(text: Any, part: Any) -> bool:
    if isinstance(text, kubernetes.Cidr):
        raise no_overload()
    _text(text, part)
    return part in text


def _starts_with(text: Any, part: Any) -> bool:
    _text(text, part)
    return bool(text.startswith(part))


def _ends_with(text: Any, part: Any) -> bool:
    _text(text, part)
    return bool(text.endswith(part))


def _char_at(text: Any, place: Any) -> str:
    _text(text)
    _want(place, int)
    if not 0 <= place <= len(text):
        raise CelError(f"index out of range: {place}")
    return str(text[place : place + 1])


def _index_of(value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, list):
        return next((place for place, item in enumerate(value) if equal(item, wanted)), -1)
    _text(value, wanted)
    if not 0 <= start <= len(value):
        raise CelError(f"index out of range: {start}")
    return int(value.find(wanted, start))


def _last_index_of(value: Any, wanted: Any, start: int | None = None) -> int:
    if isinstance(value, list):
        return next((place for place in range(len(value) - 1, -1, -1) if equal(value[place], wanted)), -1)
    _text(value, wanted)
    return int(value.rfind(wanted)) if start is None else int(value.rfind(wanted, 0, start + len(wanted)))


def _join(items: Any, separator: str = "") -> str:
    _text(separator, *_items(items))
    return str(separator.join(items))


def _replace(text: Any, old: Any, new: Any, limit: int = -1) -> str:
    _text(text, old, new)
    return str(text.replace(old, new, limit))


def _split(text: Any, separator: Any, limit: int = -1) -> list[str]:
    _text(text, separator)
    if limit == 0:
        return []
    if not separator:
        characters = list(text)
        return (
            characters
            if limit < 0 or len(characters) <= limit
            else [*characters[: limit - 1], "".join(characters[limit - 1 :])]
        )
    return list(text.split(separator, -1 if limit < 0 else limit - 1))


def _substring(text: Any, start: Any, end: Any = None) -> str:
    _text(text)
    last = len(text) if end is None else end
    if not 0 <= start <= len(text):
        raise CelError(f"index out of range: {start}")
    if not 0 <= last <= len(text):
        raise CelError(f"index out of range: {last}")
    if start > last:
        raise CelError(f"invalid substring range. start: {start}, end: {last}")
    return str(text[start:last])


def _simple(change: Callable[[str], str]) -> Callable[[Any], str]:
    def apply(text: Any) -> str:
        _text(text)
        return change(text)

    return apply


def _ascii(text: str, *, upper: bool) -> str:
    low, high, shift = ("a", "z", -32) if upper else ("A", "Z", 32)
    return "".join(chr(ord(character) + shift) if low <= character <= high else character for character in text)


def _quote(text: str) -> str:
    escapes = {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


# Lists


def _is_sorted(items: Any) -> bool:
    found = _items(items)
    return not any(less(b, a) for a, b in pairwise(found))


def _sum(items: Any) -> Any:
    from pybernetes.machinery.cel.operators import add

    found = _items(items)
    if not found:
        return 0
    total = found[0]
    for item in found[1:]:
        total = add(total, item)
    return total


def _extreme(items: Any, which: str, better: Callable[[Any, Any], bool]) -> Any:
    found = _items(items)
    if not found:
        raise CelError(f"{which} called on empty list")
    best = found[0]
    for item in found[1:]:
        if better(item, best):
            best = item
    return best


def _flatten(items: Any, depth: int = 1) -> list[Any]:
    found: list[Any] = []
    for item in _items(items):
        if isinstance(item, list) and depth > 0:
            found += _flatten(item, depth - 1)
        else:
            found.append(item)
    return found


def _distinct(items: Any) -> list[Any]:
    found: list[Any] = []
    for item in _items(items):
        if not contains(found, item):
            found.append(item)
    return found


def _sort(items: Any) -> list[Any]:
    from functools import cmp_to_key

    return sorted(_items(items), key=cmp_to_key(lambda a, b: -1 if less(a, b) else 1 if less(b, a) else 0))


def _slice(items: Any, start: int, end: int) -> list[Any]:
    found = _items(items)
    if start < 0 or end > len(found) or start > end:
        raise CelError(f"cannot slice({start}, {end}), list is length {len(found)}")
    return found[start:end]


def _reverse(value: Any) -> Any:
    return value[::-1] if type(value) is str else list(reversed(_items(value)))


def _range(count: Any) -> list[int]:
    _want(count, int)
    if count > 100_000:
        raise CelError("lists.range: the list would be too long")
    return list(range(count))


def _sets_contains(a: Any, b: Any) -> bool:
    return all(contains(_items(a), item) for item in _items(b))


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


def _first(items: Any) -> Optional:
    found = _items(items)
    return Optional(True, found[0]) if found else NONE


def _last(items: Any) -> Optional:
    found = _items(items)
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
        _want(value, Timestamp)
        moment = value.moment
        return read(moment.astimezone(_zone(zone)) if zone else moment)

    return apply


def _milliseconds(value: Any, zone: str = "") -> int:
    if type(value) is Duration:
        return int(abs(value.nanos) // 10**6) % 1000
    _want(value, Timestamp)
    return int(value.nanos % 10**9 // 10**6)


# Numbers


def _numbers(values: Sequence[Any]) -> Sequence[Any]:
    found = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    for value in found:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise no_overload()
    return found


def _float(change: Callable[[float], Any]) -> Callable[[Any], Any]:
    def apply(value: Any) -> Any:
        _want(value, float)
        return change(value)

    return apply


def _round(value: float) -> float:
    return math.floor(abs(value) + 0.5) * math.copysign(1.0, value)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "int": (to_int, "int"), "uint": (to_uint, "uint"), "double": (to_double, "double"), "string": (to_string, "string"),
    "bool": (to_bool, "bool"), "bytes": (to_bytes, "bytes"), "duration": (to_duration, "duration"),
    "timestamp": (to_timestamp, "timestamp"), "dyn": (lambda value: value, DYN), "size": (size, "int"),
    "type": (lambda value: TypeValue(type_name(value)), "type"), "matches": (matches, "bool"),
    "strings.quote": (_simple(_quote), "string"), "lists.range": (_range, ("list", "int")),
    "sets.contains": (_sets_contains, "bool"),
    "sets.equivalent": (lambda a, b: _sets_contains(a, b) and _sets_contains(b, a), "bool"),
    "sets.intersects": (lambda a, b: any(contains(_items(b), item) for item in _items(a)), "bool"),
    "optional.of": (lambda value: Optional(True, value), "optional"), "optional.none": (lambda: NONE, "optional"),
    "optional.ofNonZeroValue": (_of_non_zero, "optional"),
    "optional.unwrap": (lambda items: [item.value for item in _items(items) if _optional(item).present], ("list", DYN)),
    "math.greatest": (lambda *values: max(_numbers(values)), DYN), "math.least": (lambda *values: min(_numbers(values)), DYN),
    "math.ceil": (_float(lambda value: float(math.ceil(value))), "double"),
    "math.floor": (_float(lambda value: float(math.floor(value))), "double"), "math.round": (_float(_round), "double"),
    "math.trunc": (_float(lambda value: float(math.trunc(value))), "double"),
    "math.abs": (lambda value: abs(_numbers([value])[0]), DYN),
    "math.sign": (lambda value: type(value)((value > 0) - (value < 0)), DYN),
    "math.isNaN": (_float(math.isnan), "bool"), "math.isInf": (_float(math.isinf), "bool"),
    "math.isFinite": (_float(math.isfinite), "bool"), **kubernetes.FUNCTIONS,
}  # fmt: skip
METHODS: Final[Mapping[str, Function]] = {
    "size": (size, "int"), "matches": (matches, "bool"), "find": (find, "string"), "findAll": (find_all, ("list", "string")),
    "contains": (_contains, "bool"), "startsWith": (_starts_with, "bool"), "endsWith": (_ends_with, "bool"),
    "charAt": (_char_at, "string"), "indexOf": (_index_of, "int"), "lastIndexOf": (_last_index_of, "int"),
    "join": (_join, "string"), "replace": (_replace, "string"), "split": (_split, ("list", "string")),
    "substring": (_substring, "string"), "trim": (_simple(str.strip), "string"),
    "lowerAscii": (_simple(lambda text: _ascii(text, upper=False)), "string"),
    "upperAscii": (_simple(lambda text: _ascii(text, upper=True)), "string"),
    "format": (lambda text, arguments: format_text(text, _items(arguments), to_string), "string"), "reverse": (_reverse, DYN),
    "isSorted": (_is_sorted, "bool"), "sum": (_sum, DYN),
    "min": (lambda items: _extreme(items, "min", less), DYN),
    "max": (lambda items: _extreme(items, "max", lambda a, b: less(b, a)), DYN),
    "flatten": (_flatten, ("list", DYN)), "distinct": (_distinct, ("list", DYN)), "sort": (_sort, ("list", DYN)),
    "slice": (_slice, ("list", DYN)), "first": (_first, "optional"), "last": (_last, "optional"),
    "hasValue": (lambda value: _optional(value).present, "bool"), "value": (_value, DYN),
    "or": (lambda value, other: value if _optional(value).present else other, "optional"),
    "orValue": (lambda value, other: value.value if _optional(value).present else other, DYN),
    "getFullYear": (_part(lambda moment: moment.year), "int"), "getMonth": (_part(lambda moment: moment.month - 1), "int"),
    "getDate": (_part(lambda moment: moment.day), "int"), "getDayOfMonth": (_part(lambda moment: moment.day - 1), "int"),
    "getDayOfWeek": (_part(lambda moment: (moment.weekday() + 1) % 7), "int"),
    "getDayOfYear": (_part(lambda moment: moment.timetuple().tm_yday - 1), "int"),
    "getHours": (_part(lambda moment: moment.hour, 3600 * 10**9), "int"),
    "getMinutes": (_part(lambda moment: moment.minute, 60 * 10**9), "int"),
    "getSeconds": (_part(lambda moment: moment.second, 10**9), "int"), "getMilliseconds": (_milliseconds, "int"),
    **kubernetes.METHODS, **authorizer.METHODS,
}  # fmt: skip
# What a call costs besides its arguments' sizes, where that is not 1.
PRICES: Final[Mapping[str, int]] = authorizer.PRICES
