"""`'%s has %d'.format([…])`: CEL's strings extension, in the locale `en_US`, as upstream has it.

Source: https://pkg.go.dev/github.com/google/cel-go/ext#Strings ("Format")
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from pybernetes.machinery.cel.values import CelError, Duration, Timestamp, TypeValue, Uint, quoted, type_name
from pybernetes.machinery.cel.weights import parts

_CLAUSE: Final = re.compile(r"%(?:\.(\d+))?(.?)", re.DOTALL)
_PRECISION: Final = 6
_PRECISION_MAX: Final = 1000
_LENGTH_MAX: Final = 16 * 1024 * 1024
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NO_NUMBERS: Final = ("NaN", "Infinity", "-Infinity")
# For each verb: the sentence about other types, and those that it takes, besides `dyn`.
_TAKES: Final = {
    "s": (
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps",
        frozenset((
            "string", "bool", "bytes", "int", "uint", "double", "map", "list", "type", "google.protobuf.Duration",
            "google.protobuf.Timestamp", "null_type",
        )),
    ),
    "d": ("decimal clause can only be used on integers", frozenset(("int", "uint"))),
    "f": ("fixed-point clause can only be used on doubles", frozenset(("double", "string"))),
    "e": ("scientific clause can only be used on doubles", frozenset(("double", "string"))),
    "b": ("only integers and bools can be formatted as binary", frozenset(("int", "uint", "bool"))),
    "o": ("octal clause can only be used on integers", frozenset(("int", "uint"))),
    "x": ("only integers, byte buffers, and strings can be formatted as hex", frozenset(("int", "uint", "string", "bytes"))),
}  # fmt: skip


class Clause(NamedTuple):
    verb: str
    precision: int


def clauses(template: str) -> Iterator[str | Clause]:
    """The texts and clauses of a template. Raises `CelError` for what is none."""
    at = 0
    for match in _CLAUSE.finditer(template):
        if match.start() < at:
            continue
        yield template[at : match.start()]
        at = match.end()
        precision, verb = match.groups()
        if verb == "%" and precision is None:
            yield "%"
            continue
        if not verb:
            raise CelError("could not parse formatting clause: unexpected end of string")
        if verb not in "sdfebxXo":
            raise CelError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
        if precision is not None and int(precision[:6]) > _PRECISION_MAX:
            raise CelError(f"precision {precision} is too large")
        yield Clause(verb, _PRECISION if precision is None else int(precision))
    yield template[at:]


def type_error(verb: str, given: str) -> str:
    """Why a clause does not take values of a type; "" if it does."""
    sentence, taken = _TAKES[verb.lower()]
    return "" if given in taken else f"error during formatting: {sentence}, was given {given}"


def format_text(template: Any, arguments: Sequence[Any], to_string: Callable[[Any], str]) -> str:
    """Raises `CelError` where clauses and arguments do not fit."""
    if type(template) is not str:
        raise CelError("no such overload")
    made: list[str] = []
    used = length = 0
    for part in clauses(template):
        if isinstance(part, str):
            made.append(part)
            continue
        if used >= len(arguments):
            raise CelError(f"index {used} out of range")
        made.append(_formatted(part, arguments[used], to_string))
        used += 1
        length += len(made[-1])
        if length > _LENGTH_MAX:
            raise CelError("the text would be too long")
    return "".join(made)


def _formatted(clause: Clause, value: Any, to_string: Callable[[Any], str]) -> str:
    verb, precision = clause
    why = type_error(verb, type_name(value))
    if why:
        raise CelError(why)
    if verb == "s":
        return _shown(value, to_string)
    if verb in "fe":
        return _number(verb, precision, value)
    if verb in "xX" and isinstance(value, str | bytes):
        text = (value.encode() if isinstance(value, str) else value).hex()
        return text.upper() if verb == "X" else text
    return format(int(value), verb)


def _number(verb: str, precision: int, value: Any) -> str:
    if isinstance(value, str):
        if value not in _NO_NUMBERS:
            raise CelError(type_error(verb, "string") or f"error during formatting: {_TAKES[verb][0]}, was given string")
        value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if verb == "f":
        return f"{value:,.{precision}f}"
    mantissa, _, exponent = f"{value:.{precision}e}".partition("e")
    return f"{mantissa}\u202f×\u202f10{exponent.lstrip('+').translate(_SUPERSCRIPTS)}"


def _shown(value: Any, to_string: Callable[[Any], str]) -> str:
    if value is None:
        return "null"
    if isinstance(value, list | dict):
        parts(value)  # not too much of it
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item, to_string) for item in value) + "]"
    if isinstance(value, dict):
        pairs = sorted((_key(key, to_string), _literal(item, to_string)) for key, item in value.items())
        return "{" + ", ".join(f"{key}:{item}" for key, item in pairs) + "}"
    if isinstance(value, TypeValue):
        return value.name
    return to_string(value)


def _key(key: Any, to_string: Callable[[Any], str]) -> str:
    if type(key) not in (str, bool, int, Uint):
        raise CelError(f"no formatting function for map key of type {type_name(key)}")
    return _literal(key, to_string)


def _literal(value: Any, to_string: Callable[[Any], str]) -> str:
    """A value in a list or map: as CEL would write it."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bytes):
        return "b" + quoted(to_string(value))
    if isinstance(value, Timestamp | Duration):
        return f"{'timestamp' if isinstance(value, Timestamp) else 'duration'}({quoted(str(value))})"
    if isinstance(value, float):
        return f"{value:.{_PRECISION}f}" if math.isfinite(value) else quoted(to_string(value))
    why = type_error("s", type_name(value))
    if why:
        raise CelError(f"no formatting function for {type_name(value)}")
    return _shown(value, to_string)
