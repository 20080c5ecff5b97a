"""What the JSON decoder does not tell: why a text is no JSON (in the sentences of Go's encoding/json), which keys are given
twice, and how deep a text nests. All of it is off the hot path, except for the two quick checks that rule the slow ones out.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

# The encoder stops at 254 levels; what is stored must be encodable, inside a list and a watch event too.
DEPTH_MAX: Final = 240

_END: Final = "unexpected end of JSON input"
_SPACE: Final = b" \t\r\n"
_DIGITS: Final = b"0123456789"
_TOKEN: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?|[{}\[\],]', re.DOTALL)
_COLON_ESCAPE: Final = re.compile(rb"\\u003[aA]")
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{}[]")


def syntax_error(text: bytes) -> str:
    """Go's sentence for the first thing that is wrong with a text that is no JSON value; "" if nothing is."""
    try:
        _Scanner(text).scan()
    except _SyntaxError as error:
        return str(error)
    return ""


class _SyntaxError(Exception):
    pass


def _unexpected(character: int, where: str) -> _SyntaxError:
    if character == ord("'"):
        shown = "'\\''"
    elif character == ord('"'):
        shown = "'\"'"
    elif 0x7F < character < 0xA0 or character == 0xAD:
        shown = f"'\\u{character:04x}'"
    elif character == 0x7F or (character < 0x20 and character not in b"\b\f\n\r\t"):
        shown = f"'\\x{character:02x}'"
    else:
        shown = "'" + json.dumps(chr(character), ensure_ascii=False)[1:-1] + "'"
    return _SyntaxError(f"invalid character {shown} {where}")


class _Scanner:
    """Walks over the text once; the stack is our own, so that nesting costs no recursion."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def _peek(self) -> int:
        """The next byte that is no white space."""
        text, at = self._text, self._at
        while at < len(text) and text[at] in _SPACE:
            at += 1
        self._at = at
        return self._byte()

    def _byte(self) -> int:
        if self._at >= len(self._text):
            raise _SyntaxError(_END)
        return self._text[self._at]

    def scan(self) -> None:
        stack: list[str] = []  # "{" or "[" for each open container
        while True:
            opened = self._value(stack)
            if opened:
                continue
            while True:  # after a value
                if not stack:
                    rest = self._text[self._at :].lstrip(_SPACE)
                    if rest:
                        raise _unexpected(rest[0], "after top-level value")
                    return
                character = self._peek()
                closing = "]" if stack[-1] == "[" else "}"
                if character == ord(closing):
                    stack.pop()
                    self._at += 1
                    continue
                if character != ord(","):
                    raise _unexpected(character, "after array element" if stack[-1] == "[" else "after object key:value pair")
                self._at += 1
                if stack[-1] == "{":
                    self._key()
                break

    def _value(self, stack: list[str]) -> bool:
        """One scalar, or the start of a container up to its first value. True if a value is wanted next."""
        character = self._peek()
        if character == ord("{"):
            self._at += 1
            if self._peek() == ord("}"):
                self._at += 1
                return False
            self._key()
            stack.append("{")
            return True
        if character == ord("["):
            self._at += 1
            if self._peek() == ord("]"):
                self._at += 1
                return False
            stack.append("[")
            return True
        if character == ord('"'):
            self._string()
        elif character == ord("-") or character in _DIGITS:
            self._number()
        elif character in b"tfn":
            self._literal({"t": "true", "f": "false", "n": "null"}[chr(character)])
        else:
            raise _unexpected(character, "looking for beginning of value")
        return False

    def _key(self) -> None:
        character = self._peek()
        if character != ord('"'):
            raise _unexpected(character, "looking for beginning of object key string")
        self._string()
        character = self._peek()
        if character != ord(":"):
            raise _unexpected(character, "after object key")
        self._at += 1

    def _string(self) -> None:
        self._at += 1
        while (character := self._byte()) != ord('"'):
            if character < 0x20:
                raise _unexpected(character, "in string literal")
            self._at += 1
            if character == ord("\\"):
                escape = self._byte()
                if escape not in b'bfnrt\\/"u':
                    raise _unexpected(escape, "in string escape code")
                self._at += 1
                for _ in range(4 if escape == ord("u") else 0):
                    digit = self._byte()
                    if digit not in b"0123456789abcdefABCDEF":
                        raise _unexpected(digit, "in \\u hexadecimal character escape")
                    self._at += 1
        self._at += 1

    def _literal(self, word: str) -> None:
        self._at += 1
        for expected in word[1:]:
            character = self._byte()
            if character != ord(expected):
                raise _unexpected(character, f"in literal {word} (expecting '{expected}')")
            self._at += 1

    def _number(self) -> None:
        if self._text[self._at] == ord("-"):
            self._at += 1
            if self._byte() not in _DIGITS:
                raise _unexpected(self._byte(), "in numeric literal")
        if self._byte() == ord("0"):
            self._at += 1
        else:
            self._digits("in numeric literal")
        if self._at < len(self._text) and self._text[self._at] == ord("."):
            self._at += 1
            self._digits("after decimal point in numeric literal")
        if self._at < len(self._text) and self._text[self._at] in b"eE":
            self._at += 1
            if self._byte() in b"+-":
                self._at += 1
            self._digits("in exponent of numeric literal")

    def _digits(self, where: str) -> None:
        if self._byte() not in _DIGITS:
            raise _unexpected(self._byte(), where)
        while self._at < len(self._text) and self._text[self._at] in _DIGITS:
            self._at += 1


def nests_too_deep(text: bytes) -> bool:
    """Whether valid or broken JSON opens more than DEPTH_MAX containers inside each other."""
    brackets = text.translate(None, _NOT_BRACKETS)
    if len(brackets) <= DEPTH_MAX:
        return False
    # Each round removes the innermost level everywhere; a real object is used up after a dozen.
    for depth in range(DEPTH_MAX):
        inner = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(inner) + depth <= DEPTH_MAX:
            return False
        if len(inner) == len(brackets):
            break
        brackets = inner
    # Brackets inside strings disturb the count above: look closely.
    depth = 0
    for matched in _TOKEN.finditer(text):
        token = matched[0]
        if token in (b"{", b"["):
            depth += 1
            if depth > DEPTH_MAX:
                return True
        elif token in (b"}", b"]"):
            depth -= 1
    return False


def duplicate_fields(text: bytes, decoded: Any) -> list[str]:
    """The paths (`spec.containers[0].name`) of keys that valid JSON gives more than once in one object, in order."""
    # A key that was dropped took a colon with it; only a colon spelt as an escape in some text could make up for it.
    if text.count(b":") == orjson.dumps(decoded).count(b":") and not _COLON_ESCAPE.search(text):
        return []
    found: list[str] = []
    # One entry for each open container: its path, and the keys seen (objects) or the index of the next item (arrays).
    stack: list[tuple[str, set[bytes] | None, list[int]]] = []
    path = ""
    for matched in _TOKEN.finditer(text):
        token = matched[0]
        if token == b"{":
            stack.append((path, set(), []))
        elif token == b"[":
            stack.append((path, None, [0]))
            path = f"{path}[0]"
        elif token in (b"}", b"]"):
            stack.pop()
        elif token == b",":
            base, keys, index = stack[-1]
            if keys is None:
                index[0] += 1
                path = f"{base}[{index[0]}]"
        elif matched[2]:
            base, keys, _ = stack[-1]
            assert keys is not None
            key = matched[1]
            if b"\\" in key:
                key = str(orjson.loads(b'"' + key + b'"')).encode()
            path = f"{base}.{key.decode()}" if base else key.decode()
            if key in keys:
                found.append(path)
            keys.add(key)
    return list(dict.fromkeys(found))
