"""Functions of texts: CEL's own, the strings extension, and Kubernetes' regular expressions.

Places and lengths are in characters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

from pybernetes.machinery.cel import library_kubernetes as kubernetes
from pybernetes.machinery.cel.conversions import to_string
from pybernetes.machinery.cel.text_format import format_text
from pybernetes.machinery.cel.values import (
    CelError,
    CostExceeded,
    are_texts,
    equal,
    no_overload,
    quoted,
    want,
    want_list,
    want_texts,
)
from pybernetes.machinery.cel.weights import SEARCHED_EACH
from pybernetes.machinery.go_regexp import Pattern, compile_pattern
from pybernetes.machinery.turns import each

_LENGTH_MAX: Final = 16 * 1024 * 1024  # of texts that are made of others: what they cost goes by the others


_SEARCHED_MAX: Final = 1_000_000 * SEARCHED_EACH  # for each that is found, what is behind may be looked at to its end


def _check_length(length: int) -> None:
    if length > _LENGTH_MAX:
        raise CelError("the text would be too long")


def matches(text: Any, pattern: Any) -> bool:
    want_texts(text, pattern)
    return _pattern(pattern).matches(text)


def _pattern(pattern: str) -> Pattern:
    try:
        return compile_pattern(pattern)
    except ValueError as error:
        raise CelError(str(error)) from None


def find(text: Any, pattern: Any) -> str:
    want_texts(text, pattern)
    return _pattern(pattern).find(text) or ""


def find_all(text: Any, pattern: Any, limit: Any = -1) -> list[str]:
    want_texts(text, pattern)
    want(limit, int)
    pieces = _pattern(pattern).find_all(text)
    found = []
    for piece in pieces if limit < 0 else islice(pieces, limit):
        found.append(piece)
        if len(found) * len(text) > _SEARCHED_MAX:  # `costs` would say so, but only then
            raise CostExceeded("operation cancelled: actual cost limit exceeded")
    return found


def _contains(text: Any, part: Any) -> bool:
    if isinstance(text, kubernetes.Cidr):
        raise no_overload()
    want_texts(text, part)
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
    want_texts(text)
    want(place, int)
    if not 0 <= place <= len(text):
        raise CelError(f"index out of range: {place}")
    return str(text[place : place + 1])


def _index_of(value: Any, wanted: Any, start: int | None = None) -> int:
    if isinstance(value, list):
        return next((place for place, item in enumerate(each(value)) if equal(item, wanted)), -1)
    want_texts(value, wanted)
    if start is None:
        return int(value.find(wanted))
    _check_place(start)
    return int(start if not wanted else value.find(wanted, start))


def _last_index_of(value: Any, wanted: Any, start: int | None = None) -> int:
    if isinstance(value, list):
        return next((place for place in each(range(len(value) - 1, -1, -1)) if equal(value[place], wanted)), -1)
    want_texts(value, wanted)
    if start is None:
        return int(value.rfind(wanted))
    _check_place(start)
    if not wanted:
        return start
    return int(value.rfind(wanted, 0, start + len(wanted))) if start < len(value) else -1


def _check_place(place: Any) -> None:
    want(place, int)
    if place < 0:
        raise CelError(f"index out of range: {place}")


def _join(items: Any, separator: str = "") -> str:
    want_texts(separator)
    if not are_texts(want_list(items)):
        raise no_overload()
    _check_length(sum(map(len, items)) + len(items) * len(separator))
    return str(separator.join(items))


def _replace(text: Any, old: Any, new: Any, limit: Any = -1) -> str:
    want_texts(text, old, new)
    want(limit, int)
    _check_length(len(text) + text.count(old) * len(new))
    return str(text.replace(old, new, max(limit, -1)))


def _split(text: Any, separator: Any, limit: Any = -1) -> list[str]:
    want_texts(text, separator)
    want(limit, int)
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
    want_texts(text)
    want(start, int)
    want(end, int, type(None))
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
        want_texts(text)
        return change(text)

    return apply


def _trim(text: str) -> str:
    return text.strip(_WHITE_SPACE)


# By Unicode, which does not count the separators U+001C to U+001F that Python has.
_WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


def _ascii(text: str, *, upper: bool) -> str:
    raw = text.encode("utf-8", "surrogatepass")  # of bytes, it is ASCII's letters alone that change
    return (raw.upper() if upper else raw.lower()).decode("utf-8", "surrogatepass")


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {"matches": matches, "strings.quote": _simple(quoted)}
METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    "matches": matches, "find": find, "findAll": find_all, "contains": _contains, "startsWith": _starts_with,
    "endsWith": _ends_with, "charAt": _char_at, "indexOf": _index_of, "lastIndexOf": _last_index_of, "join": _join,
    "replace": _replace, "split": _split, "substring": _substring, "trim": _simple(_trim),
    "lowerAscii": _simple(lambda text: _ascii(text, upper=False)),
    "upperAscii": _simple(lambda text: _ascii(text, upper=True)),
    "format": lambda text, arguments: format_text(text, want_list(arguments), to_string),
}  # fmt: skip
