r"""Regular expressions as Go's `regexp` reads them, on RE2, for patterns that somebody else wrote.

A match takes at most time by the length of the text times that of the pattern's program. Our own constants are for `re`, whose
engine backtracks: `(a*)*b` on 30 letters holds it up for minutes.

Syntax: https://github.com/google/re2/wiki/Syntax. Its two implementations agree but for this: Go refuses `\C` and names of
groups that are not ASCII (so do we), and it knows long names of Unicode's classes (`\p{Letter}`; we do not). What a pattern may
take is bounded in Go, too, but more widely: see below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from pybernetes.machinery.turns import spend

_LENGTH_MAX: Final = 10_000  # characters: parsing alone takes 30 µs for one like those of `\pL\pL…`
_MEMORY_MAX: Final = 8 << 20  # bytes, of a program and of its automaton's states: about `\pL{100}`, 50 ms of compiling
_MEMORY_SMALL: Final = 1 << 20  # enough for the automaton's states of a small program
_SIZE_SMALL: Final = 1000
_SEARCHED_EACH: Final = 200  # bytes in about the time of a unit
_ENCODING: Final = ("utf-8", "surrogatepass")

# Names of groups, and what stands for any byte; what is quoted, escaped or in a class is passed over.
_DIFFERING: Final = re.compile(
    r"\\Q.*?(?:\\E|\Z)|(?P<byte>\\C)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*+\]?|(?P<name>\(\?P?<(?!\Z)[^>]*>?)", re.DOTALL
)
_NAME: Final = re.compile(r"\(\?P?<[0-9A-Za-z_]+>")
_TOO_LARGE: Final = "pattern too large"
_SENTENCES: Final = {
    "bad repetition operator": "invalid nested repetition operator",
    "invalid named capture group": "invalid named capture",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid repetition size": "invalid repeat count",
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "trailing \\": "trailing backslash at end of expression",
}  # fmt: skip


class PatternTooLarge(ValueError):
    """The pattern is too long, or would take too much to be compiled."""


class Pattern:
    """A compiled pattern. `size`: how many instructions its program has."""

    __slots__ = ("_search", "size")

    def __init__(self, compiled: Any) -> None:
        self._search = compiled.search
        self.size: int = compiled.programsize

    def matches(self, text: str) -> bool:
        """Whether it matches anywhere."""
        return self._search(text.encode(*_ENCODING)) is not None

    def find(self, text: str) -> str | None:
        """The leftmost match."""
        return next(self.find_all(text), None)

    def find_all(self, text: str) -> Iterator[str]:
        """The matches that do not overlap, from left to right. As Go has it, an empty one right behind another is none."""
        raw = text.encode(*_ENCODING)
        at, last_end = 0, -1
        while at <= len(raw) and (found := self._search(raw, at)) is not None:
            spend(1 + (len(raw) - at) // _SEARCHED_EACH)  # it may have looked at all of the rest
            start, end = found.span()
            if end > start or start != last_end:
                yield raw[start:end].decode(*_ENCODING)
            at = _next_character(raw, at) if end == at else end
            last_end = end


def _next_character(raw: bytes, at: int) -> int:
    at += 1
    while at < len(raw) and raw[at] & 0xC0 == 0x80:
        at += 1
    return at


def compile_pattern(pattern: str) -> Pattern:
    """Raises ValueError with Go's sentence (`error parsing regexp: …`)."""
    return _small(pattern) or _large(pattern)


# Two caches, since a pattern may come to take as much memory as it is allowed.


@lru_cache(512)
def _small(pattern: str) -> Pattern | None:
    try:
        compiled = _compiled(pattern, _MEMORY_SMALL)
    except PatternTooLarge:
        return None
    return compiled if compiled.size <= _SIZE_SMALL else None


@lru_cache(16)
def _large(pattern: str) -> Pattern:
    return _compiled(pattern, _MEMORY_MAX)


def _compiled(pattern: str, memory: int) -> Pattern:
    import re2  # here, since a server without patterns starts without it

    if len(pattern) > _LENGTH_MAX:
        raise _too_large(pattern)
    _refuse_differing(pattern)
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True  # nobody asks for groups, and finding them takes longer
    options.max_mem = memory
    try:
        compiled = re2.compile(pattern.encode(*_ENCODING), options)
    except re2.error as error:
        raise _refusal(error.args[0].decode(errors="replace"), pattern) from None
    re2.purge()  # its own cache is bounded by the count of patterns alone
    return Pattern(compiled)


def _refuse_differing(pattern: str) -> None:
    for found in _DIFFERING.finditer(pattern):
        if found["byte"]:
            raise _error("invalid escape sequence", r"\C")
        if found["name"] and not _NAME.fullmatch(found["name"]):
            raise _error("invalid named capture", found["name"])


def _refusal(said: str, pattern: str) -> ValueError:
    if said.startswith(_TOO_LARGE):
        return _too_large(pattern)
    what, named, argument = said.partition(": ")
    at_the_end = what.startswith("trailing")
    return _error(_SENTENCES.get(what, what), argument if named or at_the_end else pattern)


def _too_large(pattern: str) -> PatternTooLarge:
    return PatternTooLarge(f"error parsing regexp: expression too large: `{pattern}`")


def _error(what: str, where: str) -> ValueError:
    return ValueError(f"error parsing regexp: {what}: `{where}`")
