"""What Go's JSON decoder says of text that is no JSON, for the common ways of being none."""

from __future__ import annotations

import json

_LITERALS = ("null", "true", "false")


def error_in(data: bytes) -> str:
    """The sentence, "" if this is JSON."""
    text = data.decode(errors="replace")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return _sentence(text, error)
    except RecursionError:
        return "exceeded max depth"
    return ""


def _sentence(text: str, error: json.JSONDecodeError) -> str:
    position = error.pos
    if not text[position:].strip():
        return "unexpected end of JSON input"
    character = text[position]
    where = "looking for beginning of value"
    match error.msg:
        case "Extra data":
            where = "after top-level value"
        case "Expecting value":
            for literal in _LITERALS:
                if character == literal[0]:
                    return _in_literal(text, position, literal)
        case "Expecting property name enclosed in double quotes":
            where = "looking for beginning of object key string"
        case "Expecting ':' delimiter":
            where = "after object key"
        case "Expecting ',' delimiter":
            where = "after object key:value pair" if "}" in text[position:] else "after array element"
        case "Invalid control character at":
            where = "in string literal"
    return f"invalid character {_quoted(character)} {where}"


def _in_literal(text: str, start: int, literal: str) -> str:
    for offset, expected in enumerate(literal):
        if start + offset >= len(text):
            return "unexpected end of JSON input"
        found = text[start + offset]
        if found != expected:
            return f"invalid character {_quoted(found)} in literal {literal} (expecting {_quoted(expected)})"
    return "unexpected end of JSON input"


def _quoted(character: str) -> str:
    if character == "'":
        return r"'\''"
    if character == '"':
        return "'\"'"
    return "'" + json.dumps(character, ensure_ascii=False)[1:-1] + "'"
