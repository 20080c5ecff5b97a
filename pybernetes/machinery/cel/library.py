"""The functions of expressions: CEL's own, its extensions that Kubernetes has, and Kubernetes' (`library_kubernetes`).

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#functions,
https://kubernetes.io/docs/reference/using-api/cel/#cel-options-language-features-and-libraries
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from pybernetes.machinery import go_duration
from pybernetes.machinery.cel import library_authorizer as authorizer
from pybernetes.machinery.cel import library_kubernetes as kubernetes
from pybernetes.machinery.cel import operators
from pybernetes.machinery.cel.text_format import format_text
from pybernetes.machinery.cel.values import (
    EPOCH,
    NONE,
    ORDERED,
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
    quoted,
    timestamp,
    type_name,
)
from pybernetes.machinery.go_regexp import compile_pattern

Function = Callable[..., Any]


def _want(value: Any, *kinds: type) -> None:
    if type(value) not in kinds:
        raise no_overload()


_LENGTH_MAX: Final = 16 * 1024 * 1024  # of texts that are made of others: what they cost goes by the others


def _check_length(length: int) -> None:
    if length > _LENGTH_MAX:
        raise CelError("the text would be too long")


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
        if not -(2**63) < value < 2**63:
            raise CelError("integer overflow")
        return int(value)
    if kind is Uint:
        if value >= 2**63:
            raise CelError("integer overflow")
        return int(value)
    if kind is str:
        if not re.fullmatch(r"[+-]?[0-9]{1,40}", value) or not -(2**63) <= int(value) < 2**63:
            raise _unconvertible(value, "int")
        return int(value)
    if kind is Timestamp:
        return int(value.nanos // 10**9)
    if kind is Duration:
        return int(value.nanos)
    raise no_overload()


def _unconvertible(value: Any, wanted: str) -> CelError:
    return CelError(f"type conversion error from '{type_name(value)}' to '{wanted}'")


def to_uint(value: Any) -> Uint:
    kind = type(value)
    if kind is str:
        if not re.fullmatch(r"[0-9]{1,40}", value) or int(value) >= 2**64:
            raise _unconvertible(value, "uint")
        return Uint(int(value))
    if kind in (int, Uint, float):
        if not 0 <= value < 2**64:
            raise CelError("unsigned integer overflow")
        return Uint(int(value))
    raise no_overload()


_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?|nan", re.ASCII | re.IGNORECASE)


def to_double(value: Any) -> float:
    kind = type(value)
    if kind in (int, Uint, float):
        return float(value)
    if kind is str:
        if not _NUMBER.fullmatch(value):
            raise _unconvertible(value, "double")
        return float(value)
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
        return _number_text(value)
    if kind is bytes:
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
    if kind in (Timestamp, Duration, kubernetes.Ip, kubernetes.Cidr):
        return str(value)
    raise no_overload()


def _number_text(value: float) -> str:
    """As Go's `%g`: with an exponent where it is under -4 or over 5, in as few digits as tell it from others."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    place = len(digits) + exponent - 1
    text = "".join(map(str, digits))
    if value == 0:
        text, place = "0", 0
    if not -4 <= place < _EXPONENT_FROM:
        text = f"{text[0]}{'.' if text[1:] else ''}{text[1:]}e{place:+03d}"
    elif place < 0:
        text = f"0.{'0' * (-place - 1)}{text}"
    else:
        text = text.ljust(place + 1, "0")
        text = text[: place + 1] + ("." + text[place + 1 :] if text[place + 1 :] else "")
    return f"{'-' if sign else ''}{text}"


_EXPONENT_FROM: Final = 6


def to_bool(value: Any) -> bool:
    if type(value) is bool:
        return bool(value)
    if type(value) is str:
        if value in ("true", "True", "TRUE", "t", "T", "1"):
            return True
        if value in ("false", "False", "FALSE", "f", "F", "0"):
            return False
        raise _unconvertible(value, "bool")
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
    except ValueError:
        raise _unconvertible(value, "google.protobuf.Duration") from None


_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def to_timestamp(value: Any) -> Timestamp:
    if type(value) is Timestamp:
        return value
    if type(value) is int:
        return timestamp(value * 10**9)
    _text(value)
    found = _TIME.fullmatch(value)
    try:
        if found is None:
            raise ValueError
        zone = "+00:00" if found[4] in "Zz" else found[4]
        moment = datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}")
    except ValueError:
        raise _unconvertible(value, "google.protobuf.Timestamp") from None
    offset = moment.utcoffset() or timedelta(0)
    elapsed = moment.replace(tzinfo=UTC) - EPOCH - offset
    seconds = elapsed.days * 86400 + elapsed.seconds
    return timestamp(seconds * 10**9 + int((found[3] or "").ljust(9, "0")), offset.days * 86400 + offset.seconds)


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


def find_all(text: Any, pattern: Any, limit: Any = -1) -> list[str]:
    _text(text, pattern)
    _want(limit, int)
    found = [match[0] for match in _pattern(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def _contains(text: Any, part: Any) -> bool:
    if isinstance(text, kubernetes.Cidr):
        raise no_overload()
    _text(text, part)
    return part in text


def _starts_with(text: Any, part: Any) -> bool:
    if type(text) is not str or type(part) is not str:
        raise no_overload()
    return text.startswith(part)


def _ends_with(text: Any, part: Any) -> bool:
    if type(text) is not str or type(part) is not str:
        raise no_overload()
    return text.endswith(part)


def _char_at(text: Any, place: Any) -> str:
    _text(text)
    _want(place, int)
    if not 0 <= place <= len(text):
        raise CelError(f"index out of range: {place}")
    return str(text[place : place + 1])


def _index_of(value: Any, wanted: Any, start: int | None = None) -> int:
    if isinstance(value, list):
        return next((place for place, item in enumerate(value) if equal(item, wanted)), -1)
    _text(value, wanted)
    if start is None:
        return int(value.find(wanted))
    _check_place(start)
    return int(start if not wanted else value.find(wanted, start))


def _last_index_of(value: Any, wanted: Any, start: int | None = None) -> int:
    if isinstance(value, list):
        return next((place for place in range(len(value) - 1, -1, -1) if equal(value[place], wanted)), -1)
    _text(value, wanted)
    if start is None:
        return int(value.rfind(wanted))
    _check_place(start)
    if not wanted:
        return start
    return int(value.rfind(wanted, 0, start + len(wanted))) if start < len(value) else -1


def _check_place(place: Any) -> None:
    _want(place, int)
    if place < 0:
        raise CelError(f"index out of range: {place}")


def _join(items: Any, separator: str = "") -> str:
    _text(separator, *_items(items))
    _check_length(sum(map(len, items)) + len(items) * len(separator))
    return str(separator.join(items))


def _replace(text: Any, old: Any, new: Any, limit: Any = -1) -> str:
    _text(text, old, new)
    _want(limit, int)
    _check_length(len(text) + text.count(old) * len(new))
    return str(text.replace(old, new, max(limit, -1)))


def _split(text: Any, separator: Any, limit: Any = -1) -> list[str]:
    _text(text, separator)
    _want(limit, int)
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
    _want(start, int)
    _want(end, int, type(None))
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


def _trim(text: str) -> str:
    return text.strip(_WHITE_SPACE)


# By Unicode, which does not count the separators U+001C to U+001F that Python has.
_WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


def _ascii(text: str, *, upper: bool) -> str:
    low, high, shift = ("a", "z", -32) if upper else ("A", "Z", 32)
    return "".join(chr(ord(character) + shift) if low <= character <= high else character for character in text)


# Lists


def _is_sorted(items: Any) -> bool:
    found = _items(items)
    return not any(less(b, a) for a, b in pairwise(found))


def _sum(items: Any) -> Any:
    found = _items(items)
    if not found:
        return 0
    total = found[0]
    for item in found[1:]:
        total = operators.add(total, item)
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


def _flatten(items: Any, depth: Any = 1) -> list[Any]:
    _want(depth, int)
    if depth < 0:
        raise CelError("level must be non-negative")
    found: list[Any] = []
    waiting = [(_items(items), depth)]
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
    for item in _items(items):
        if not contains(found, item):
            found.append(item)
    return found


def sorted_by(items: Any, keys: Any) -> list[Any]:
    """The items in the order of their keys."""
    found, by = _items(items), _items(keys)
    if by and type(by[0]) not in ORDERED:
        raise CelError("list elements must be comparable")
    if any(type(key) is not type(by[0]) for key in by):
        raise CelError("list elements must have the same type")
    return [found[place] for place in sorted(range(len(by)), key=by.__getitem__)]


def _slice(items: Any, start: Any, end: Any) -> list[Any]:
    found = _items(items)
    _want(start, int)
    _want(end, int)
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
    return list(reversed(_items(items)))


_RANGE_MAX: Final = 10_000_000


def _range(count: Any) -> list[int]:
    _want(count, int)
    if count < 0:
        raise CelError(f"lists.range: size must be non-negative, got {count}")
    if count > _RANGE_MAX:
        raise CelError(f"lists.range: size {count} exceeds maximum allowed ({_RANGE_MAX})")
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


def _unwrap(items: Any) -> list[Any]:
    return [item.value for item in _items(items) if _optional(item).present]


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
        return int(abs(value.nanos) // 10**6) * (-1 if value.nanos < 0 else 1)
    _want(value, Timestamp)
    return int(value.nanos % 10**9 // 10**6)


# Numbers


def _number(value: Any) -> Any:
    _want(value, int, Uint, float)
    return value


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
    "int": to_int, "uint": to_uint, "double": to_double, "string": to_string, "bool": to_bool, "bytes": to_bytes,
    "duration": to_duration, "timestamp": to_timestamp, "dyn": lambda value: value, "size": size,
    "type": lambda value: TypeValue(type_name(value)), "matches": matches, "strings.quote": _simple(quoted),
    "lists.range": _range, "sets.contains": _sets_contains,
    "sets.equivalent": lambda a, b: _sets_contains(a, b) and _sets_contains(b, a),
    "sets.intersects": lambda a, b: any(contains(_items(b), item) for item in _items(a)),
    "optional.of": lambda value: Optional(True, value), "optional.none": lambda: NONE,
    "optional.ofNonZeroValue": _of_non_zero, "optional.unwrap": _unwrap,
    "math.greatest": lambda *values: max(_numbers(values)), "math.least": lambda *values: min(_numbers(values)),
    "math.ceil": _float(_rounded(math.ceil)), "math.floor": _float(_rounded(math.floor)), "math.round": _float(_round),
    "math.trunc": _float(_rounded(math.trunc)), "math.abs": _abs, "math.sign": _sign, "math.isNaN": _float(math.isnan),
    "math.isInf": _float(math.isinf), "math.isFinite": _float(math.isfinite), **kubernetes.FUNCTIONS,
}  # fmt: skip
METHODS: Final[Mapping[str, Function]] = {
    "size": size, "matches": matches, "find": find, "findAll": find_all, "contains": _contains, "startsWith": _starts_with,
    "endsWith": _ends_with, "charAt": _char_at, "indexOf": _index_of, "lastIndexOf": _last_index_of, "join": _join,
    "replace": _replace, "split": _split, "substring": _substring, "trim": _simple(_trim),
    "lowerAscii": _simple(lambda text: _ascii(text, upper=False)),
    "upperAscii": _simple(lambda text: _ascii(text, upper=True)),
    "format": lambda text, arguments: format_text(text, _items(arguments), to_string), "reverse": _reverse,
    "isSorted": _is_sorted, "sum": _sum, "min": lambda items: _extreme(items, "min", less),
    "max": lambda items: _extreme(items, "max", lambda a, b: less(b, a)), "flatten": _flatten, "distinct": _distinct,
    "sort": lambda items: sorted_by(items, items), "@sortByAssociatedKeys": sorted_by, "slice": _slice, "first": _first,
    "last": _last, "unwrapOpt": _unwrap, "hasValue": lambda value: _optional(value).present, "value": _value,
    "getFullYear": _part(lambda moment: moment.year), "getMonth": _part(lambda moment: moment.month - 1),
    "getDate": _part(lambda moment: moment.day), "getDayOfMonth": _part(lambda moment: moment.day - 1),
    "getDayOfWeek": _part(lambda moment: (moment.weekday() + 1) % 7),
    "getDayOfYear": _part(lambda moment: moment.timetuple().tm_yday - 1),
    "getHours": _part(lambda moment: moment.hour, 3600 * 10**9), "getMinutes": _part(lambda moment: moment.minute, 60 * 10**9),
    "getSeconds": _part(lambda moment: moment.second, 10**9), "getMilliseconds": _milliseconds, **kubernetes.METHODS,
    **authorizer.METHODS,
}  # fmt: skip
