"""Regular expressions as Go's `regexp` (RE2) reads them, on Python's engine.

Syntax: https://github.com/google/re2/wiki/Syntax. What RE2 refuses (look-around, back-references) is refused with
Go's sentence.
Python's engine backtracks where RE2 does not: a hostile pattern can cost more than linear time, so callers bound the texts.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_POSIX: Final = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7f", "blank": r"\t ", "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~", "space": r"\t\n\v\f\r ",
    "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
# Unicode classes by what Python can say; the others are letters in practice.
_UNICODE: Final = {
    "L": r"^\W\d_",
    "Lu": "A-ZÀ-ÖØ-Þ",
    "Ll": "a-zß-öø-ÿ",
    "N": r"0-9",
    "Nd": "0-9",
    "P": r"!-/:-@\[-`{-~",
    "Z": r"\s",
}
_FLAGS: Final = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])")
_REPEAT: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")


@lru_cache(4096)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Raises ValueError with Go's sentence (`error parsing regexp: …`)."""
    translated = _translate(pattern)
    try:
        return re.compile(translated)
    except re.error as error:
        raise ValueError(f"error parsing regexp: {_sentence(str(error), pattern)}") from error
    except (OverflowError, RecursionError) as error:
        raise ValueError(f"error parsing regexp: expression nests too deeply: `{pattern}`") from error


def _translate(pattern: str) -> str:
    out: list[str] = []
    closers: list[int] = [0]  # how many groups of our own end with each open group
    multiline = False
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            at = _escape(pattern, at, out)
            continue
        if character == "[":
            at = _class(pattern, at, out)
            continue
        if character == "(":
            at, multiline = _group(pattern, at, out, closers, multiline)
            continue
        if character == ")":
            if len(closers) == 1:
                raise ValueError(f"error parsing regexp: unexpected ): `{pattern}`")
            out.append(")" * (1 + closers.pop()))
        elif character == "$" and not multiline:
            out.append(r"\Z")
        elif character == "{" and (found := _REPEAT.match(pattern, at)):
            low, high = int(found[1]), int(found[2] or 0)
            if max(low, high) > 1000 or (found[2] and high < low):
                raise ValueError(f"error parsing regexp: invalid repeat count: `{found[0]}`")
            out.append(found[0])
            at = found.end()
            continue
        elif character in "*+?" and pattern[at + 1 : at + 2] in ("*", "+"):
            raise ValueError(f"error parsing regexp: invalid nested repetition operator: `{pattern[at : at + 2]}`")
        else:
            out.append("\\{" if character == "{" else character)
        at += 1
    if len(closers) > 1:
        raise ValueError(f"error parsing regexp: missing closing ): `{pattern}`")
    return "".join(out) + ")" * closers[0]


def _group(pattern: str, at: int, out: list[str], closers: list[int], multiline: bool) -> tuple[int, bool]:
    flags = _FLAGS.match(pattern, at)
    if flags is not None:
        on, off = flags[1].replace("U", ""), (flags[2] or "").replace("U", "")
        multiline = "m" in on or (multiline and "m" not in off)
        text = f"(?{on}{'-' + off if off else ''}:"
        if flags[3] == ":":
            out.append(text)
            closers.append(0)
        else:  # for the rest of the enclosing group
            out.append(text)
            closers[-1] += 1
        return flags.end(), multiline
    if pattern.startswith("(?", at):
        named = re.match(r"\(\?P?<([A-Za-z_]\w*)>", pattern[at:])
        if named is None:
            shown = pattern[at : at + (4 if pattern.startswith("(?<", at) else 3)]
            raise ValueError(f"error parsing regexp: invalid or unsupported Perl syntax: `{shown}`")
        out.append(f"(?P<{named[1]}>")
        closers.append(0)
        return at + named.end(), multiline
    out.append("(")
    closers.append(0)
    return at + 1, multiline


def _escape(pattern: str, at: int, out: list[str], inside_class: bool = False) -> int:
    following = pattern[at + 1 : at + 2]
    if not following:
        raise ValueError("error parsing regexp: trailing backslash at end of expression: ``")
    if following in "pP":
        name = pattern[at + 2 : at + 3]
        end = at + 3
        if name == "{":
            end = pattern.find("}", at) + 1
            name = pattern[at + 3 : end - 1]
        known = _UNICODE.get(name.removeprefix("^"), r"^\W\d_")
        negated = (following == "P") != name.startswith("^")
        if inside_class:
            out.append(known.removeprefix("^") if not known.startswith("^") else "A-Za-zÀ-\U0010ffff")
        else:
            out.append(f"[{known}]" if not negated else f"[{known[1:] if known.startswith('^') else '^' + known}]")
        return end
    if following == "Q":
        end = pattern.find("\\E", at)
        end = len(pattern) if end < 0 else end
        out.append(re.escape(pattern[at + 2 : end]))
        return min(end + 2, len(pattern))
    if following == "z" and not inside_class:
        out.append(r"\Z")
        return at + 2
    if following == "x" and pattern[at + 2 : at + 3] == "{":
        end = pattern.find("}", at)
        out.append(re.escape(chr(int(pattern[at + 3 : end] or "0", 16))))
        return end + 1
    perl = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r "}.get(following.lower())
    if perl is not None:
        if inside_class:
            out.append(perl if following.islower() else "\\" + following)
        else:
            out.append(f"[{'^' if following.isupper() else ''}{perl}]")
        return at + 2
    if following.isalnum() and following not in "aAbBfnrtvx0":
        raise ValueError(f"error parsing regexp: invalid escape sequence: `\\{following}`")
    out.append("\\" + following)
    return at + 2


def _class(pattern: str, at: int, out: list[str]) -> int:
    start = at
    out.append("[")
    at += 1
    if pattern[at : at + 1] == "^":
        out.append("^")
        at += 1
    first = True
    while True:
        character = pattern[at : at + 1]
        if not character:
            raise ValueError(f"error parsing regexp: missing closing ]: `{pattern[start:]}`")
        if character == "]" and not first:
            out.append("]")
            return at + 1
        first = False
        posix = re.match(r"\[:(\^?)(\w+):\]", pattern[at:]) if character == "[" else None
        if posix is not None:
            if posix[2] not in _POSIX:
                raise ValueError(f"error parsing regexp: invalid character class range: `{posix[0]}`")
            out.append(_POSIX[posix[2]])
            at += posix.end()
        elif character == "\\":
            at = _escape(pattern, at, out, inside_class=True)
        else:
            out.append("\\" + character if character in "[]&~|" else character)
            at += 1


def _sentence(python: str, pattern: str) -> str:
    if "nothing to repeat" in python:
        return f"missing argument to repetition operator: `{next((c for c in pattern if c in '*+?'), '*')}`"
    if "bad character range" in python:
        return f"invalid character class range: `{python.split('bad character range ')[1].split(' at ')[0]}`"
    if "multiple repeat" in python:
        return f"invalid nested repetition operator: `{pattern}`"
    return f"{python}: `{pattern}`"
