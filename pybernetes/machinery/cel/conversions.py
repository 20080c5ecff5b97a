"""Conversions between the types of CEL.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#list-of-standard-definitions
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from pybernetes.machinery import go_duration
from pybernetes.machinery.cel import library_kubernetes as kubernetes
from pybernetes.machinery.cel.values import (
    EPOCH,
    CelError,
    Duration,
    Timestamp,
    Uint,
    no_overload,
    timestamp,
    type_name,
    want,
    want_texts,
)


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
    want(value, str, bytes)
    return value.encode() if type(value) is str else bytes(value)


_DURATION_MAX: Final = 1000  # characters: a call costs the same however long its text is


def to_duration(value: Any) -> Duration:
    if type(value) is Duration:
        return value
    if type(value) is int:
        return Duration(value)
    want_texts(value)
    if len(value) > _DURATION_MAX:
        raise _unconvertible(value, "google.protobuf.Duration")
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
    want_texts(value)
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
