"""`'%s has %d'.format([…])`: CEL's strings extension."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from pybernetes.machinery.cel.values import CelError, Duration, Timestamp, TypeValue, type_name

_CLAUSE: Final = re.compile(r"%(?:%|(?:\.(\d+))?([a-zA-Z]))")


def format_text(template: Any, arguments: Sequence[Any], to_string: Callable[[Any], str]) -> str:
    """Raises `CelError` where clauses and arguments do not fit."""
    if type(template) is not str:
        raise CelError("no such overload")
    left = iter(arguments)

    def replace(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        try:
            value = next(left)
        except StopIteration:
            raise CelError(f"index {len(arguments)} out of range") from None
        return _clause(match[2], int(match[1]) if match[1] else 6, value, to_string)

    return _CLAUSE.sub(replace, template)


def _clause(verb: str, precision: int, value: Any, to_string: Callable[[Any], str]) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if verb == "s":
        return _shown(value, to_string)
    if verb == "d" and number and isinstance(value, int):
        return str(int(value))
    if verb == "f" and number:
        return f"{float(value):.{precision}f}"
    if verb == "e" and number:
        return f"{float(value):.{precision}e}"
    if verb == "b" and isinstance(value, int):
        return format(int(value), "b")
    if verb == "o" and number and isinstance(value, int):
        return format(int(value), "o")
    if verb in "xX":
        if number and isinstance(value, int):
            return format(int(value), verb)
        if isinstance(value, str | bytes):
            text = (value.encode() if isinstance(value, str) else value).hex()
            return text.upper() if verb == "X" else text
    raise CelError(f"error during formatting: unsupported value of type {type_name(value)} for clause %{verb}")


def _shown(value: Any, to_string: Callable[[Any], str]) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(item, to_string) for item in value) + "]"
    if isinstance(value, dict):
        pairs = sorted((_shown(key, to_string), _shown(item, to_string)) for key, item in value.items())
        return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
    if isinstance(value, TypeValue):
        return value.name
    if isinstance(value, Duration | Timestamp):
        return str(value)
    return to_string(value)
